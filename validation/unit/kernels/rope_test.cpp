// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Operands of a rotation: q, k, v of a packed layout, and angles that no formula relates.
template <class T>
struct RopeCase {
  RopeCase(TokenLayout tokens, std::int64_t head_count, std::int64_t head_dim)
      : layout(std::move(tokens)),
        heads(head_count),
        dim(head_dim),
        qkv(random_values<T>(layout.rows() * 3 * heads * dim, 1)),
        angles(random_values<float>(rope_table_size(layout, dim) / 2, 2, 3)),
        table(at(rope_table_size(layout, dim))) {
    auto const n = at(dim / 4);
    for (std::size_t i = 0; i < angles.size(); ++i) {
      auto const cosine = i / n * 2 * n + i % n;
      table[cosine] = std::cos(angles[i]);
      table[cosine + n] = std::sin(angles[i]);
    }
  }
  RopeRotate<T> rotate(std::vector<T>& values, Rotation rotation) const {
    return {as<2>(values, {layout.rows(), 3 * heads * dim}), &layout, heads,
            as<1>(table, {static_cast<std::int64_t>(table.size())}), rotation};
  }

  /// Angle of a channel below d/2 of a patch, whose segment's lines begin at `line`.
  double angle(Segment const& s, std::int64_t line, std::int64_t patch, std::int64_t c) const {
    auto const n = dim / 4;
    auto const of = c < n ? patch / s.grid_width : s.grid_height + patch % s.grid_width;
    return angles[at((line + of) * n + c % n)];
  }
  /// The rotation in float64, as complex multiplication.
  Doubles expected(Doubles values, double sign = 1) const {
    std::int64_t line = 0;
    for (auto const& s : layout.segments()) {
      for (std::int64_t row = 0; row < s.rows(); ++row) {
        auto const patch = row % s.tokens() - s.prefix;
        for (std::int64_t i = 0; patch >= 0 && i < heads * dim; ++i) {  // pairs of q, then of k
          auto const c = i % (dim / 2);
          auto const low = at((s.first_row + row) * 3 * heads * dim + i / (dim / 2) * dim + c);
          auto const high = low + at(dim / 2);
          double const a = values[low], b = values[high], t = sign * angle(s, line, patch, c);
          values[low] = a * std::cos(t) - b * std::sin(t);
          values[high] = b * std::cos(t) + a * std::sin(t);
        }
      }
      line += s.grid_height + s.grid_width;
    }
    return values;
  }

  TokenLayout layout;
  std::int64_t heads, dim;
  std::vector<T> qkv;
  std::vector<float> angles, table;
};

/// Two sizes of image, one of which no image has, and another number of tokens before.
TokenLayout mixed_layout() {
  TokenLayout layout;
  layout.add(2, 3, 5, 4);
  layout.add(0, 7, 2, 1);
  layout.add(3, 1, 2, 1);
  return layout;
}

template <class T>
class Rope : public testing::Test {};
TYPED_TEST_SUITE(Rope, Precisions);

TYPED_TEST(Rope, RotatesQueriesAndKeysOfPatches) {
  using T = TypeParam;
  for (std::int64_t const dim : {4, 8, 12, 64, 68, 128}) {
    for (std::int64_t const heads : {1, 3}) {
      SCOPED_TRACE(dim * heads);
      RopeCase<T> c(mixed_layout(), heads, dim);
      auto values = c.qkv;

      run(space, c.rotate(values, Rotation::forward));

      EXPECT_LE(deviation_from(values, c.expected(doubles(c.qkv))), tolerance<T>());
    }
  }
}

TYPED_TEST(Rope, LeavesThePrefixAndTheValuesUntouched) {
  using T = TypeParam;
  RopeCase<T> c(mixed_layout(), 2, 8);
  auto values = c.qkv;

  run(space, c.rotate(values, Rotation::forward));

  auto const before = doubles(c.qkv), after = doubles(values);
  for (auto const& s : c.layout.segments()) {
    for (std::int64_t row = 0; row < s.rows(); ++row) {
      bool const patch = row % s.tokens() >= s.prefix;
      for (std::int64_t i = patch ? 32 : 0; i < 48; ++i) {
        auto const k = at((s.first_row + row) * 48 + i);
        ASSERT_EQ(after[k], before[k]);
      }
    }
  }
}

TYPED_TEST(Rope, BackwardAgreesWithCentralDifferences) {
  using T = TypeParam;
  RopeCase<T> c(mixed_layout(), 1, 12);
  auto const dout = random_values<T>(static_cast<std::int64_t>(c.qkv.size()), 3);
  auto gradient = dout;

  run(space, c.rotate(gradient, Rotation::backward));

  auto const loss = [&](Doubles const& v) { return inner_product(c.expected(v), doubles(dout)); };
  EXPECT_LE(deviation_from(gradient, numeric_gradient(loss, doubles(c.qkv))), tolerance<T>());
}

TYPED_TEST(Rope, BackwardUndoesForward) {
  using T = TypeParam;
  RopeCase<T> c(mixed_layout(), 3, 64);
  auto values = c.qkv;

  run(space, c.rotate(values, Rotation::forward));
  run(space, c.rotate(values, Rotation::backward));

  EXPECT_LE(deviation_from(values, doubles(c.qkv)), tolerance<T>());
}

TEST(RopeCheck, AcceptsNoImages) {
  TokenLayout empty;
  RopeCase<float> c(empty, 2, 8);
  TokenLayout none;
  none.add(0, 4, 4);
  RopeCase<float> d(none, 2, 8);

  run(space, c.rotate(c.qkv, Rotation::forward));
  run(space, d.rotate(d.qkv, Rotation::forward));

  EXPECT_TRUE(c.qkv.empty() && d.qkv.empty());
}

TEST(RopeCheck, RefusesExtentsThatDisagree) {
  RopeCase<float> c(mixed_layout(), 2, 8);
  auto op = c.rotate(c.qkv, Rotation::forward);
  op.heads = 5;
  EXPECT_EQ(refusal([&] { run(space, op); }),
            "RopeRotate: qkv has 48 columns, which is not 12 times a multiple of 5 heads");
  op.heads = 4;  // other heads have other angles
  EXPECT_EQ(refusal([&] { run(space, op); }), "RopeRotate: table is [80], expected [40]");
  op = c.rotate(c.qkv, Rotation::forward);
  op.layout = nullptr;
  EXPECT_EQ(refusal([&] { run(space, op); }), "RopeRotate: layout is missing");
  op = c.rotate(c.qkv, Rotation::forward);
  op.qkv = as<2>(c.qkv, {2, 48});
  EXPECT_EQ(refusal([&] { run(space, op); }), "RopeRotate: qkv is [2, 48], expected [47, 48]");
}

}  // namespace
