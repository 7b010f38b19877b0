// SPDX-License-Identifier: Apache-2.0
// Running an operation of a test, whose operands lie in host memory, on the device under test.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/convolution.hpp"
#include "kernels/device.hpp"

namespace dino::test {

/// Whether this run of the tests is the one on a device (DINO_TEST_DEVICE=cuda).
inline bool device_wanted() {
  auto const* const wanted = std::getenv("DINO_TEST_DEVICE");
  return wanted != nullptr && std::string_view(wanted) == "cuda";
}

/// Converts to everything: counts the members of an aggregate.
struct AnyMember {
  template <class T>
  operator T() const;
};

template <class Op, class... Members>
constexpr std::size_t member_count() {
  if constexpr (requires { Op{Members{}..., AnyMember{}}; }) {
    return member_count<Op, Members..., AnyMember>();
  } else {
    return sizeof...(Members);
  }
}

/// References to the members of an operation.
template <class Op>
auto members(Op& op) {
  constexpr auto count = member_count<std::remove_const_t<Op>>();
  static_assert(1 <= count && count <= 12, "more members than this knows");
  if constexpr (count == 1) {
    auto& [a] = op;
    return std::tie(a);
  } else if constexpr (count == 2) {
    auto& [a, b] = op;
    return std::tie(a, b);
  } else if constexpr (count == 3) {
    auto& [a, b, c] = op;
    return std::tie(a, b, c);
  } else if constexpr (count == 4) {
    auto& [a, b, c, d] = op;
    return std::tie(a, b, c, d);
  } else if constexpr (count == 5) {
    auto& [a, b, c, d, e] = op;
    return std::tie(a, b, c, d, e);
  } else if constexpr (count == 6) {
    auto& [a, b, c, d, e, f] = op;
    return std::tie(a, b, c, d, e, f);
  } else if constexpr (count == 7) {
    auto& [a, b, c, d, e, f, g] = op;
    return std::tie(a, b, c, d, e, f, g);
  } else if constexpr (count == 8) {
    auto& [a, b, c, d, e, f, g, h] = op;
    return std::tie(a, b, c, d, e, f, g, h);
  } else if constexpr (count == 9) {
    auto& [a, b, c, d, e, f, g, h, i] = op;
    return std::tie(a, b, c, d, e, f, g, h, i);
  } else if constexpr (count == 10) {
    auto& [a, b, c, d, e, f, g, h, i, j] = op;
    return std::tie(a, b, c, d, e, f, g, h, i, j);
  } else if constexpr (count == 11) {
    auto& [a, b, c, d, e, f, g, h, i, j, k] = op;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k);
  } else {
    auto& [a, b, c, d, e, f, g, h, i, j, k, l] = op;
    return std::tie(a, b, c, d, e, f, g, h, i, j, k, l);
  }
}

/// Host memory of an operation's operands and its counterpart on the device. Operands that overlap
/// on the host do so there, and addresses are aligned alike.
class DeviceOperands {
 public:
  explicit DeviceOperands(Space const& space) : space_(space) {}

  void add(std::byte* data, std::int64_t bytes) {
    if (data != nullptr && bytes > 0) ranges_.push_back({data, data + bytes});
  }
  /// All have been added: copies them to the device.
  void send() {
    std::sort(ranges_.begin(), ranges_.end());
    for (auto const& range : ranges_) {
      if (blocks_.empty() || range.first >= blocks_.back().end) {
        blocks_.push_back({range.first, range.second, {}});
      } else {
        blocks_.back().end = std::max(blocks_.back().end, range.second);
      }
    }
    for (auto& block : blocks_) {
      block.device = Buffer(space_, block.shift() + block.bytes());
      copy_bytes_to_space(space_, block.data(), block.begin, block.bytes());
    }
  }
  std::byte* device(std::byte* data) const {
    for (auto const& block : blocks_) {
      if (block.begin <= data && data < block.end) return block.data() + (data - block.begin);
    }
    return nullptr;
  }
  void fetch() const {
    for (auto const& block : blocks_)
      copy_bytes_to_host(space_, block.begin, block.data(), block.bytes());
  }

 private:
  struct Block {
    std::byte *begin, *end;
    Buffer device;
    std::int64_t bytes() const { return end - begin; }
    std::int64_t shift() const {
      return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(begin) % 64);
    }
    std::byte* data() const { return device.data() + shift(); }
  };
  Space space_;
  std::vector<std::pair<std::byte*, std::byte*>> ranges_;
  std::vector<Block> blocks_;
};

/// Scratch for an operation of a test; more than it takes, where it cannot be told here.
template <class Op>
std::int64_t device_scratch_bytes(Op const&) {
  return std::int64_t{256} << 20;
}
template <class T>
std::int64_t device_scratch_bytes(ConvolutionForward<T> const& op) {
  return convolution_scratch_bytes<T>(Processor::cuda, op.windows, op.x.extent(1));
}
template <class T>
std::int64_t device_scratch_bytes(ConvolutionBackwardInput<T> const& op) {
  return convolution_scratch_bytes<T>(Processor::cuda, op.windows, op.dx.extent(1));
}
template <class T>
std::int64_t device_scratch_bytes(ConvolutionBackwardFilters<T> const& op) {
  return convolution_scratch_bytes<T>(Processor::cuda, op.windows, op.x.extent(1));
}

template <class T, int R>
std::byte* bytes_of(View<T, R> const& view) {
  return reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(view.data()));
}

/// Runs an operation with host operands on `space`, a device's, and brings its results back.
template <class Op>
void run_with_host_operands(Space const& space, Op op) {
  op.check();
  DeviceOperands operands(space);
  auto const for_views = [&](auto const& visit) {
    std::apply(
        [&](auto&... member) {
          auto const one = [&](auto& m) {
            if constexpr (requires { m.extents(); }) visit(m);
          };
          (one(member), ...);
        },
        members(op));
  };
  for_views([&](auto& view) {
    operands.add(bytes_of(view), view.size() * static_cast<std::int64_t>(sizeof(*view.data())));
  });
  operands.send();
  for_views([&](auto& view) {
    if (view.size() == 0) return;
    auto* const there = operands.device(bytes_of(view));
    view = {reinterpret_cast<decltype(view.data())>(there), view.extents()};
  });
  Buffer scratch;
  if constexpr (requires { op.scratch; }) {
    scratch = Buffer(space, device_scratch_bytes(op));
    op.scratch = scratch.data();
  }
  run(space, op);
  operands.fetch();
}

}  // namespace dino::test
