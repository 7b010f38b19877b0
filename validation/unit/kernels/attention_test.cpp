// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.hpp"

#include <cmath>

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Softmax attention in float64, image by image and head by head.
struct Reference {
  TokenLayout layout;
  std::int64_t heads, dim;
  std::int64_t width() const { return heads * dim; }

  /// f(first row, tokens, head, image of the segment) of every head of every image.
  template <class F>
  void for_heads(F const& f) const {
    for (auto const& s : layout.segments()) {
      for (std::int64_t image = 0; image < s.images; ++image) {
        for (std::int64_t h = 0; h < heads; ++h)
          f(s.first_row + image * s.tokens(), s.tokens(), h, image);
      }
    }
  }
  /// Offset of q (0), k (1) or v (2) of a row and head.
  std::size_t offset(std::int64_t row, int which, std::int64_t h) const {
    return at((row * 3 + which) * width() + h * dim);
  }
  /// Softmax over `n` keys from row `first` for the query of a row; and ln of its normalizer.
  std::pair<Doubles, double> softmax(Doubles const& qkv, std::int64_t row, std::int64_t first,
                                     std::int64_t n, std::int64_t h) const {
    Doubles p(at(n));
    double largest = -1e300, sum = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t d = 0; d < dim; ++d)
        p[at(j)] += qkv[offset(row, 0, h) + at(d)] * qkv[offset(first + j, 1, h) + at(d)];
      p[at(j)] /= std::sqrt(static_cast<double>(dim));
      largest = std::max(largest, p[at(j)]);
    }
    for (auto const s : p) sum += std::exp(s - largest);
    double const lse = largest + std::log(sum);
    for (auto& s : p) s = std::exp(s - lse);
    return {p, lse};
  }
  Doubles forward(Doubles const& qkv, Doubles* lse = nullptr) const {
    Doubles out(at(layout.rows() * width()));
    if (lse != nullptr) lse->resize(at(layout.rows() * heads));
    for_heads([&](std::int64_t first, std::int64_t n, std::int64_t h, std::int64_t) {
      for (std::int64_t i = first; i < first + n; ++i) {
        auto const [p, l] = softmax(qkv, i, first, n, h);
        if (lse != nullptr) (*lse)[at(i * heads + h)] = l;
        for (std::int64_t j = 0; j < n; ++j) {
          for (std::int64_t d = 0; d < dim; ++d) {
            out[at(i * width() + h * dim + d)] += p[at(j)] * qkv[offset(first + j, 2, h) + at(d)];
          }
        }
      }
    });
    return out;
  }
  /// By the chain rule: dP = dO Vᵀ, dS = P (dP - Σ P dP), dQ = dS K / √d, dK = dSᵀ Q / √d, dV = Pᵀ
  /// dO.
  Doubles backward(Doubles const& qkv, Doubles const& dout) const {
    Doubles dqkv(qkv.size());
    double const scale = 1 / std::sqrt(static_cast<double>(dim));
    for_heads([&](std::int64_t first, std::int64_t n, std::int64_t h, std::int64_t) {
      for (std::int64_t i = first; i < first + n; ++i) {
        auto const p = softmax(qkv, i, first, n, h).first;
        Doubles dp(p.size());
        auto const o = at(i * width() + h * dim);
        for (std::int64_t j = 0; j < n; ++j) {
          for (std::int64_t d = 0; d < dim; ++d)
            dp[at(j)] += dout[o + at(d)] * qkv[offset(first + j, 2, h) + at(d)];
        }
        double const mean = inner_product(p, dp);
        for (std::int64_t j = 0; j < n; ++j) {
          double const ds = p[at(j)] * (dp[at(j)] - mean) * scale;
          for (std::int64_t d = 0; d < dim; ++d) {
            dqkv[offset(i, 0, h) + at(d)] += ds * qkv[offset(first + j, 1, h) + at(d)];
            dqkv[offset(first + j, 1, h) + at(d)] += ds * qkv[offset(i, 0, h) + at(d)];
            dqkv[offset(first + j, 2, h) + at(d)] += p[at(j)] * dout[o + at(d)];
          }
        }
      }
    });
    return dqkv;
  }
};

Reference make_reference(std::int64_t heads, std::int64_t dim,
                         std::vector<std::array<std::int64_t, 3>> const& segments) {
  Reference r{{}, heads, dim};
  for (auto const& [images, height, width] : segments) r.layout.add(images, height, width);
  return r;
}

/// Tokens 2, 5, 37, 50 (more than a tile of queries by two), 101; widths that no vector divides.
std::vector<Reference> cases() {
  return {make_reference(1, 1, {{1, 1, 1}}),
          make_reference(3, 4, {{2, 2, 2}}),
          make_reference(2, 17, {{2, 6, 6}, {0, 3, 3}, {3, 2, 2}}),
          make_reference(1, 8, {{1, 7, 7}}),
          make_reference(2, 64, {{1, 10, 10}}),
          make_reference(2, 8, {{0, 4, 4}})};
}

template <class T>
struct Operands {
  explicit Operands(Reference const& reference)
      : r(reference),
        qkv(random_values<T>(r.layout.rows() * 3 * r.width(), 1, 1.5)),
        dout(random_values<T>(r.layout.rows() * r.width(), 2)),
        out(dout.size()),
        dqkv(qkv.size(), T{5.0F}),
        lse(at(r.layout.rows() * r.heads)),
        scratch(at(attention_scratch_bytes<T>(Processor::host, r.layout, r.heads, r.dim)) / 4) {}
  void forward() {
    auto const rows = r.layout.rows();
    run(space,
        AttentionForward<T>{as<2>(std::as_const(qkv), {rows, 3 * r.width()}), &r.layout, r.heads,
                            as<2>(out, {rows, r.width()}), as<2>(lse, {rows, r.heads}), memory()});
  }
  void backward() {
    auto const rows = r.layout.rows();
    run(space, AttentionBackward<T>{as<2>(std::as_const(qkv), {rows, 3 * r.width()}),
                                    as<2>(std::as_const(out), {rows, r.width()}),
                                    as<2>(std::as_const(dout), {rows, r.width()}),
                                    as<2>(std::as_const(lse), {rows, r.heads}), &r.layout, r.heads,
                                    as<2>(dqkv, {rows, 3 * r.width()}), memory()});
  }
  std::byte* memory() { return reinterpret_cast<std::byte*>(scratch.data()); }
  Reference r;
  std::vector<T> qkv, dout, out, dqkv;
  std::vector<float> lse, scratch;
};

template <class T>
class Attention : public testing::Test {};
TYPED_TEST_SUITE(Attention, Precisions);

TYPED_TEST(Attention, ForwardIsSoftmaxTimesValues) {
  using T = TypeParam;
  for (auto const& r : cases()) {
    SCOPED_TRACE(r.layout.rows());
    Operands<T> c(r);

    c.forward();

    Doubles lse;
    EXPECT_LE(deviation_from(c.out, r.forward(doubles(c.qkv), &lse)), tolerance<T>(r.dim));
    EXPECT_LE(deviation_from(c.lse, lse), tolerance<float>(r.dim));
  }
}

TYPED_TEST(Attention, BackwardIsTheChainRule) {
  using T = TypeParam;
  for (auto const& r : cases()) {
    SCOPED_TRACE(r.layout.rows());
    Operands<T> c(r);
    c.forward();

    c.backward();

    auto const tokens = r.layout.segments().front().tokens();
    EXPECT_LE(deviation_from(c.dqkv, r.backward(doubles(c.qkv), doubles(c.dout))),
              tolerance<T>(r.dim + tokens));
  }
}

TYPED_TEST(Attention, BackwardAgreesWithCentralDifferences) {
  using T = TypeParam;
  auto const r = make_reference(2, 3, {{2, 2, 2}, {1, 1, 2}});
  Operands<T> c(r);
  c.forward();

  c.backward();

  auto const loss = [&](Doubles const& v) { return inner_product(r.forward(v), doubles(c.dout)); };
  EXPECT_LE(deviation_from(c.dqkv, numeric_gradient(loss, doubles(c.qkv))),
            tolerance<T>(r.dim + 5));
}

TYPED_TEST(Attention, AnImageDoesNotDependOnTheOthers) {
  using T = TypeParam;
  Operands<T> three(make_reference(2, 16, {{3, 6, 6}}));
  Operands<T> one(make_reference(2, 16, {{1, 6, 6}}));
  three.forward();
  three.backward();
  std::copy_n(three.qkv.begin() + 37 * 96, one.qkv.size(), one.qkv.begin());
  std::copy_n(three.dout.begin() + 37 * 32, one.dout.size(), one.dout.begin());

  one.forward();
  one.backward();

  auto const second = [](auto const& v, std::size_t n) {
    return std::vector(v.begin() + static_cast<std::ptrdiff_t>(n),
                       v.begin() + static_cast<std::ptrdiff_t>(2 * n));
  };
  EXPECT_EQ(doubles(one.out), doubles(second(three.out, one.out.size())));
  EXPECT_EQ(doubles(one.dqkv), doubles(second(three.dqkv, one.dqkv.size())));
}

TYPED_TEST(Attention, ProbabilitiesAreTheSoftmaxItself) {
  using T = TypeParam;
  auto const r = make_reference(2, 5, {{3, 2, 3}});
  Operands<T> c(r);
  std::vector<float> p(3 * 2 * 7 * 7);

  run(space, AttentionProbabilities<T>{as<2>(std::as_const(c.qkv), {21, 30}), &c.r.layout, 2,
                                       as<4>(p, {3, 2, 7, 7})});

  Doubles expected(p.size());
  r.for_heads([&](std::int64_t first, std::int64_t n, std::int64_t h, std::int64_t image) {
    for (std::int64_t i = 0; i < n; ++i) {
      std::ranges::copy(r.softmax(doubles(c.qkv), first + i, first, n, h).first,
                        expected.begin() + ((image * 2 + h) * n + i) * n);
    }
  });
  EXPECT_LE(deviation_from(p, expected), tolerance<float>(r.dim));
}

TEST(AttentionRows, OfEqualKeysAverageTheValues) {
  Operands<float> c(make_reference(1, 2, {{1, 1, 2}}));
  c.qkv = {1, 2, 7, 7, 3, 0, /**/ 5, 6, 7, 7, 6, 3, /**/ -9, 0, 7, 7, 0, 3};

  c.forward();

  EXPECT_LE(deviation_from(c.out, {3, 2, 3, 2, 3, 2}), tolerance<float>());
}

TEST(AttentionCheck, RefusesExtentsThatDisagree) {
  Operands<float> c(make_reference(2, 4, {{1, 2, 2}}));
  AttentionForward<float> op{
      as<2>(std::as_const(c.qkv), {5, 24}), &c.r.layout, 2, as<2>(c.out, {5, 8}), {}, c.memory()};
  op.heads = 3;
  EXPECT_EQ(refusal([&] { run(space, op); }),
            "AttentionForward: qkv has 24 columns, which is not 3 times a multiple of 3 heads");
  op.heads = 2;
  op.out = as<2>(c.out, {4, 8});
  EXPECT_EQ(refusal([&] { run(space, op); }), "AttentionForward: out is [4, 8], expected [5, 8]");
  op.out = as<2>(c.out, {5, 8});
  op.scratch = nullptr;
  EXPECT_EQ(refusal([&] { run(space, op); }), "AttentionForward: scratch has no memory");
  op.layout = nullptr;
  EXPECT_EQ(refusal([&] { run(space, op); }), "AttentionForward: layout is missing");
  EXPECT_EQ(
      refusal([&] {
        run(space,
            AttentionBackward<float>{
                op.qkv, op.out, op.out, {}, &c.r.layout, 2, as<2>(c.dqkv, {5, 24}), c.memory()});
      }),
      "AttentionBackward: lse is [0, 0], expected [5, 2]");
  c.r.layout.add(1, 1, 1);
  EXPECT_EQ(refusal([&] {
              run(space, AttentionProbabilities<float>{op.qkv, &c.r.layout, 2, {}});
            }),
            "AttentionProbabilities: the layout has 2 segments, expected 1");
}

TEST(AttentionDry, CountsTwoProductsForwardAndFiveBackward) {
  Tally tally;
  Space const dry{Dry{&tally}};
  Operands<float> c(make_reference(2, 4, {{3, 2, 2}}));
  run(dry, AttentionForward<float>{as<2>(std::as_const(c.qkv), {15, 24}),
                                   &c.r.layout,
                                   2,
                                   as<2>(c.out, {15, 8}),
                                   {},
                                   c.memory()});
  EXPECT_EQ(tally.matrix_flops, 2 * 2.0 * 5 * 5 * 8 * 3);
  run(dry, AttentionBackward<float>{
               as<2>(std::as_const(c.qkv), {15, 24}), as<2>(std::as_const(c.out), {15, 8}),
               as<2>(std::as_const(c.dout), {15, 8}), as<2>(std::as_const(c.lse), {15, 2}),
               &c.r.layout, 2, as<2>(c.dqkv, {15, 24}), c.memory()});
  EXPECT_EQ(tally.matrix_flops, 7 * 2.0 * 5 * 5 * 8 * 3);
}

}  // namespace
