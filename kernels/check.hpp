// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

#include "kernels/view.hpp"

namespace dino {

/// \throws Error (a bug) "operation: operand is [2, 3], expected [2, 4]"
[[noreturn]] void fail_extents(char const* operation, char const* operand,
                               std::span<std::int64_t const> extents,
                               std::span<std::int64_t const> expected);
/// \throws Error (a bug) "operation: operand has no memory"
[[noreturn]] void fail_memory(char const* operation, char const* operand);

/// Checks an operand of an operation. \throws Error unless it has these extents and, where it has
/// values, memory
template <class T, int R>
void require_extents(char const* operation, char const* operand, View<T, R> const& view,
                     std::type_identity_t<std::array<std::int64_t, R>> const& expected) {
  if (view.extents() != expected) fail_extents(operation, operand, view.extents(), expected);
  if (view.size() > 0 && view.data() == nullptr) fail_memory(operation, operand);
}

/// The same for an operand that may be left out (it then has no values).
template <class T, int R>
void require_extents_or_none(char const* operation, char const* operand, View<T, R> const& view,
                             std::type_identity_t<std::array<std::int64_t, R>> const& expected) {
  if (view.size() > 0) require_extents(operation, operand, view, expected);
}

}  // namespace dino
