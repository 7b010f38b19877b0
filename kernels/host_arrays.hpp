// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// Arrays of a space for code of the host, such as files: the memory itself where it is the host's,
/// else copies. Spans are valid for the life of this.
class HostArrays {
 public:
  explicit HostArrays(Space const& space) : space_(space) {}

  /// The values of an array, to be read.
  std::span<float> values(View<float, 1> array) {
    if (is_host(space_)) return array.span();
    auto const copy = make_copy(array);
    copy_to_host(space_, copy, View<float const, 1>(array));
    return copy;
  }
  /// Room for the values of an array, which `send` brings to the space.
  std::span<float> room(View<float, 1> array) {
    if (is_host(space_)) return array.span();
    sent_.emplace_back(array, make_copy(array));
    return sent_.back().second;
  }
  void send() {
    for (auto const& [array, copy] : sent_)
      copy_to_space(space_, array, std::span<float const>(copy));
    sent_.clear();
  }

 private:
  std::span<float> make_copy(View<float, 1> array) {
    return copies_.emplace_back(static_cast<std::size_t>(array.size()));
  }

  Space space_;
  std::deque<std::vector<float>> copies_;
  std::vector<std::pair<View<float, 1>, std::span<float>>> sent_;
};

}  // namespace dino
