// SPDX-License-Identifier: Apache-2.0
#include "kernels/check.hpp"

#include <string>

#include "base/error.hpp"

namespace dino {

namespace {
std::string text(std::span<std::int64_t const> extents) {
  std::string out = "[";
  for (auto const e : extents) {
    if (out.size() > 1) out += ", ";
    out += std::to_string(e);
  }
  return out + "]";
}
}  // namespace

void fail_extents(char const* operation, char const* operand, std::span<std::int64_t const> extents,
                  std::span<std::int64_t const> expected) {
  fail(ExitCode::bug, "{}: {} is {}, expected {}", operation, operand, text(extents),
       text(expected));
}

void fail_memory(char const* operation, char const* operand) {
  fail(ExitCode::bug, "{}: {} has no memory", operation, operand);
}

}  // namespace dino
