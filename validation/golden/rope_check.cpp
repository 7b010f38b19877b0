// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind rope: the table of angles, and q and k rotated by it.
#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "golden/model_arrays.hpp"
#include "kernels/rope.hpp"

namespace dino::golden {
namespace {

/// The draw that a file holds; what was not enabled is not there.
RopeDraw draw_of(GoldenFile const& file) {
  RopeDraw draw;
  auto const value = [&](std::string const& name, std::size_t i) {
    return file.has("inputs/" + name) ? file.at("inputs/" + name).numbers().at(i) : 0.0;
  };
  for (std::size_t axis = 0; axis < 2; ++axis) {
    draw.shift[axis] = value("shift_hw", axis);
    draw.factor[axis] = std::exp(value("log_jitter_hw", axis) + value("log_rescale", 0));
  }
  return draw;
}

/// Copies [images, heads, tokens, d] of a file into column block `which` of qkv, or back.
template <class F>
void for_vectors(Segment const& segment, std::int64_t heads, std::int64_t dim, std::int64_t which,
                 View<float, 2> qkv, std::vector<float>& file_order, F const& copy) {
  auto* at = file_order.data();
  for (std::int64_t i = 0; i < segment.images; ++i) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t t = 0; t < segment.tokens(); ++t, at += dim)
        copy(qkv.row(i * segment.tokens() + t) + (which * heads + h) * dim, at);
    }
  }
}

void check_rotation(GoldenFile const& file, Report& report, View<float const, 1> table) {
  auto const heads = file.integer("num_heads"), dim = file.integer("head_dim");
  TokenLayout layout;
  layout.add(file.at("inputs/q").shape.at(0), file.integer("grid_h"), file.integer("grid_w"),
             file.integer("n_prefix"));
  auto const& segment = layout.segments().front();
  std::vector<float> values(static_cast<std::size_t>(layout.rows() * 3 * heads * dim));
  View<float, 2> const qkv{values.data(), {layout.rows(), 3 * heads * dim}};
  auto const names = {"q", "k"};
  auto const visit = [&](auto const& f) {
    std::int64_t which = 0;
    for (std::string const name : names) f(name, which++);
  };
  visit([&](std::string const& name, std::int64_t which) {
    auto given = file.at("inputs/" + name).floats();
    require(given.size() * 3 == values.size(), ExitCode::input, "inputs/{} has {} values", name,
            given.size());
    for_vectors(segment, heads, dim, which, qkv, given,
                [dim](float* row, float const* from) { std::copy_n(from, dim, row); });
  });
  run(Space(Host{}),
      RopeRotate<float>{.qkv = qkv, .layout = &layout, .heads = heads, .table = table});
  visit([&](std::string const& name, std::int64_t which) {
    std::vector<float> rotated(values.size() / 3);
    for_vectors(segment, heads, dim, which, qkv, rotated,
                [dim](float const* row, float* to) { std::copy_n(row, dim, to); });
    report.compare(name + "_rotated", rotated, backbone_tolerance);
  });
}

}  // namespace

void check_rope(GoldenFile const& file, Report& report) {
  auto const dim = file.integer("head_dim");
  auto const rope = rope_of(file);
  auto const periods = rope.periods(dim);
  report.compare("periods", std::span<double const>(periods), backbone_tolerance);

  Segment const grid{
      .images = 1, .grid_height = file.integer("grid_h"), .grid_width = file.integer("grid_w")};
  std::vector<float> table(static_cast<std::size_t>((grid.grid_height + grid.grid_width) * 2) *
                           periods.size());
  fill_rope_table(rope.normalize, periods, grid.grid_height, grid.grid_width, draw_of(file), table);
  View<float const, 1> const view = view_of(table);
  report.compare("cos", rope_channels(view, grid, dim, RopePart::cosine), backbone_tolerance);
  report.compare("sin", rope_channels(view, grid, dim, RopePart::sine), backbone_tolerance);
  check_rotation(file, report, view);
}

}  // namespace dino::golden
