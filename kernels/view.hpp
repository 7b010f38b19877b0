// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace dino {

/// 16-bit float with the exponent of float32. Conversion from float rounds to nearest even.
struct bfloat16 {
  std::uint16_t bits = 0;

  constexpr bfloat16() = default;
  constexpr explicit bfloat16(float value) : bits(round(value)) {}
  constexpr operator float() const { return std::bit_cast<float>(std::uint32_t{bits} << 16); }
  /// The bits of the nearest bfloat16 value.
  static constexpr std::uint16_t round(float value) {
    auto const u = std::bit_cast<std::uint32_t>(value);
    bool const nan = (u & 0x7FFFFFFFU) > 0x7F800000U;
    auto const nearest = u + 0x7FFFU + ((u >> 16) & 1U);
    return static_cast<std::uint16_t>((nan ? u | 0x400000U : nearest) >> 16);
  }
};

/// Precision of parameters and activations in forward and backward; masters, reductions and losses
/// are float32 whatever it is.
enum class Precision { fp32, bf16 };

/// A dense row-major array that lies somewhere else (on the host or on a device): pointer and
/// extents.
template <class T, int R>
class View {
 public:
  static constexpr int rank = R;
  using value_type = T;

  constexpr View() = default;
  constexpr View(T* data, std::array<std::int64_t, R> extents) : data_(data), extents_(extents) {}
  /// A view of values that may be written is one of values that may be read.
  template <class U>
  requires(std::is_same_v<U const, T>) constexpr View(View<U, R> const& other)
      : data_(other.data()), extents_(other.extents()) {}

  constexpr T* data() const { return data_; }
  constexpr std::array<std::int64_t, R> const& extents() const { return extents_; }
  constexpr std::int64_t extent(int axis) const { return extents_[static_cast<std::size_t>(axis)]; }
  constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (auto const e : extents_) n *= e;
    return n;
  }
  constexpr bool empty() const { return data_ == nullptr || size() == 0; }
  constexpr explicit operator bool() const { return data_ != nullptr; }

  /// Rows [begin, end) of the first axis.
  constexpr View rows(std::int64_t begin, std::int64_t end) const {
    assert(0 <= begin && begin <= end && end <= extent(0));
    auto extents = extents_;
    extents[0] = end - begin;
    return {data_ + begin * stride(), extents};
  }
  /// The same values as a view of other extents.
  template <int S>
  constexpr View<T, S> reshaped(std::array<std::int64_t, S> extents) const {
    View<T, S> const out{data_, extents};
    assert(out.size() == size());
    return out;
  }
  constexpr View<T, 1> flat() const { return {data_, {size()}}; }
  /// Host access to row i of the first axis; only where the memory is the host's.
  constexpr T* row(std::int64_t i) const { return data_ + i * stride(); }
  constexpr std::span<T> span() const { return {data_, static_cast<std::size_t>(size())}; }
  constexpr T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  constexpr std::int64_t stride() const {
    std::int64_t n = 1;
    for (int axis = 1; axis < R; ++axis) n *= extent(axis);
    return n;
  }
  T* data_ = nullptr;
  std::array<std::int64_t, R> extents_{};
};

/// A view of the values of a contiguous host range.
template <class Range>
auto view_of(Range& range) {
  using T = std::remove_reference_t<decltype(*std::data(range))>;
  return View<T, 1>{std::data(range), {static_cast<std::int64_t>(std::size(range))}};
}

}  // namespace dino
