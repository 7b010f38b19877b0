// SPDX-License-Identifier: Apache-2.0
#include "train/row_exchange.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>

namespace dino::train {
namespace {

Share overlap(Share a, Share b) {
  auto const begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

/// Where the rows of each image of a share begin, and where those of the last end.
std::vector<std::int64_t> begins(std::vector<std::int64_t> const& rows) {
  std::vector<std::int64_t> out(rows.size() + 1, 0);
  std::partial_sum(rows.begin(), rows.end(), out.begin() + 1);
  return out;
}

/// Bytes of the rows of some images of a share.
template <class Byte, class T>
std::span<Byte> bytes_of(View<T, 2> rows, std::vector<std::int64_t> const& begin, Share share,
                         Share images) {
  if (images.size() == 0) return {};
  auto const first = begin[static_cast<std::size_t>(images.begin - share.begin)];
  auto const last = begin[static_cast<std::size_t>(images.end - share.begin)];
  auto const row_bytes = rows.extent(1) * static_cast<std::int64_t>(sizeof(T));
  return {reinterpret_cast<Byte*>(rows.data()) + first * row_bytes,
          static_cast<std::size_t>((last - first) * row_bytes)};
}

}  // namespace

RowExchange::RowExchange(Communicator const& all, Communicator const& group) : all_(all) {
  Place const own{group.rank(), group.size()};
  if (all.is_imaginary()) return;
  auto const bytes = all.all_gather_varying(std::as_bytes(std::span(&own, 1)));
  places_.resize(static_cast<std::size_t>(all.size()));
  std::memcpy(places_.data(), bytes.data(), bytes.size());
}

Share RowExchange::computed(std::int64_t batch) const {
  return share_of(batch, all_.rank(), all_.size());
}

Share RowExchange::used(std::int64_t batch) const {
  auto const& place = places_[static_cast<std::size_t>(all_.rank())];
  return share_of(batch, place.rank, place.ranks);
}

template <class T>
void RowExchange::run(std::int64_t batch, View<T const, 2> sent,
                      std::vector<std::int64_t> const& sent_rows, View<T, 2> received,
                      std::vector<std::int64_t> const& received_rows) const {
  auto const from = begins(sent_rows), to = begins(received_rows);
  auto const mine = computed(batch), needed = used(batch);
  std::vector<std::span<std::byte const>> send;
  std::vector<std::span<std::byte>> receive;
  for (int r = 0; r < all_.size(); ++r) {
    auto const& place = places_[static_cast<std::size_t>(r)];
    auto const his = share_of(batch, place.rank, place.ranks);
    send.push_back(bytes_of<std::byte const>(sent, from, mine, overlap(mine, his)));
    receive.push_back(bytes_of<std::byte>(received, to, needed,
                                          overlap(share_of(batch, r, all_.size()), needed)));
  }
  all_.exchange(send, receive);
}

template void RowExchange::run(std::int64_t, View<float const, 2>, std::vector<std::int64_t> const&,
                               View<float, 2>, std::vector<std::int64_t> const&) const;
template void RowExchange::run(std::int64_t, View<bfloat16 const, 2>,
                               std::vector<std::int64_t> const&, View<bfloat16, 2>,
                               std::vector<std::int64_t> const&) const;

}  // namespace dino::train
