// SPDX-License-Identifier: Apache-2.0
#include "shard/exchange.hpp"

#include <span>
#include <utility>

namespace dino::shard {
namespace {

std::span<float> floats(std::vector<std::byte>& bytes) {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

std::int64_t bytes_of(View<float, 1> view) {
  return view.size() * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

void Exchange::wait() {
  if (auto const* const device = std::exchange(device_, nullptr)) device->wait(ticket_);
  request_.wait();
  if (auto const staging = std::exchange(staging_, nullptr)) {
    copy_bytes_to_space(staging->space, staging->to, staging->received.data(),
                        static_cast<std::int64_t>(staging->received.size()));
  }
}

/// Host copies of what is sent, and room for what is received.
std::unique_ptr<Exchange::Staging> Exchanger::stage(void const* from, std::int64_t bytes, void* to,
                                                    std::int64_t received) const {
  auto staging = std::make_unique<Exchange::Staging>();
  staging->space = space_;
  staging->sent.resize(static_cast<std::size_t>(bytes));
  staging->received.resize(static_cast<std::size_t>(received));
  staging->to = to;
  copy_bytes_to_host(space_, staging->sent.data(), from, bytes);
  return staging;
}

Exchange Exchanger::all_gather(View<std::byte, 1> mine, View<std::byte, 1> all,
                               std::string_view what) const {
  if (device_) {
    group_.count(Traffic::of_gather(all.size(), group_.size()));
    return {*device_, device_->all_gather(mine.data(), all.data(), mine.size(), what)};
  }
  if (path_ == Path::in_place) return Exchange(group_.all_gather(mine.span(), all.span(), what));
  auto staging = stage(mine.data(), mine.size(), all.data(), all.size());
  auto request = group_.all_gather(staging->sent, staging->received, what);
  return Exchange(std::move(request), std::move(staging));
}

Exchange Exchanger::reduce_scatter_sum(View<float, 1> all, View<float, 1> mine,
                                       std::string_view what) const {
  if (device_) {
    group_.count(Traffic::of_scatter(bytes_of(all), group_.size()));
    return {*device_, device_->reduce_scatter_sum(all.data(), mine.data(), mine.size(), what)};
  }
  if (path_ == Path::in_place)
    return Exchange(group_.reduce_scatter_sum(all.span(), mine.span(), what));
  auto staging = stage(all.data(), bytes_of(all), mine.data(), bytes_of(mine));
  auto request = group_.reduce_scatter_sum(floats(staging->sent), floats(staging->received), what);
  return Exchange(std::move(request), std::move(staging));
}

Exchange Exchanger::all_reduce_sum(View<float, 1> values, std::string_view what) const {
  if (device_) {
    group_.count(Traffic::of_sum(bytes_of(values), group_.size()));
    return {*device_, device_->all_reduce_sum(values.data(), values.size(), what)};
  }
  if (path_ == Path::in_place) return Exchange(group_.all_reduce_sum(values.span(), what));
  auto staging = stage(values.data(), bytes_of(values), values.data(), 0);
  staging->received = std::move(staging->sent);
  auto request = group_.all_reduce_sum(floats(staging->received), what);
  return Exchange(std::move(request), std::move(staging));
}

}  // namespace dino::shard
