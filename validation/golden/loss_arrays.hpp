// SPDX-License-Identifier: Apache-2.0
// Arrays of golden files of the kind loss as matrices in float32.
#pragma once
#include <charconv>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "golden/golden_file.hpp"
#include "kernels/view.hpp"

namespace dino::golden {

/// Rows of K values each, in float32.
struct Matrix {
  std::vector<float> values;
  std::int64_t width = 1;

  View<float, 2> view() {
    return {values.data(), {static_cast<std::int64_t>(values.size()) / width, width}};
  }
  std::span<float> row(std::int64_t i) {
    return std::span(values).subspan(static_cast<std::size_t>(i * width),
                                     static_cast<std::size_t>(width));
  }
};

/// The whole of an array, its last axis as rows.
inline Matrix matrix(GoldenFile const& file, std::string const& path) {
  auto const& array = file.at(path);
  require(!array.shape.empty() && array.shape.back() > 0, ExitCode::input, "{} has no rows", path);
  return {array.floats(), array.shape.back()};
}

inline Matrix zeros_like(Matrix const& m) {
  return {std::vector<float>(m.values.size()), m.width};
}

/// The numbers in a name, in order.
inline std::vector<std::int64_t> numbers_in(std::string const& name) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < name.size();) {
    std::int64_t value = 0;
    auto const [end, error] = std::from_chars(name.data() + i, name.data() + name.size(), value);
    if (error == std::errc{}) out.push_back(value);
    i = error == std::errc{} ? static_cast<std::size_t>(end - name.data()) : i + 1;
  }
  return out;
}

}  // namespace dino::golden
