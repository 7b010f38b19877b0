// SPDX-License-Identifier: Apache-2.0
#include "kernels/tokens.hpp"

#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// Two sizes of image and a segment without images between them.
TokenLayout mixed_layout() {
  TokenLayout layout;
  layout.add(2, 3, 2);
  layout.add(0, 5, 5);
  layout.add(3, 1, 2);
  return layout;
}

template <class T>
class Tokens : public testing::Test {};
TYPED_TEST_SUITE(Tokens, Precisions);

TEST(TokenLayoutTest, PacksSegmentsOneAfterAnother) {
  auto const layout = mixed_layout();

  ASSERT_EQ(layout.segments().size(), 3U);
  EXPECT_EQ(layout.rows(), 2 * 7 + 3 * 3);
  EXPECT_EQ(layout.images(), 5);
  EXPECT_EQ(layout.segments()[2].first_row, 14);
  EXPECT_EQ(layout.segments()[2].first_image, 2);
  EXPECT_THAT(refusal([] { TokenLayout().add(1, 0, 2); }),
              testing::HasSubstr("cannot add 1 images of 0 x 2 patches"));
}

TYPED_TEST(Tokens, PatchGatherTakesWholePatchesInOrder) {
  using T = TypeParam;
  std::int64_t const n = 2, channels = 3, height = 7, width = 10,
                     p = 3;  // a row and a column are dropped
  auto const images = random_values<float>(n * channels * height * width, 1);
  std::vector<T> patches(at(n * 2 * 3 * channels * p * p));

  run(host, PatchGather<T>{as<4>(images, {n, channels, height, width}),
                           as<2>(patches, {n * 6, channels * p * p}), p});
  run(host,
      PatchGather<T>{{nullptr, {0, channels, height, width}}, {nullptr, {0, channels * p * p}}, p});

  std::size_t k = 0;
  for (std::int64_t image = 0; image < n; ++image) {
    for (std::int64_t patch = 0; patch < 6; ++patch) {
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t pixel = 0; pixel < p * p; ++pixel) {
          auto const y = patch / 3 * p + pixel / p, x = patch % 3 * p + pixel % p;
          auto const value =
              static_cast<T>(images[at(((image * channels + c) * height + y) * width + x)]);
          ASSERT_EQ(static_cast<float>(patches[k++]), static_cast<float>(value));
        }
      }
    }
  }
}

Doubles assemble(Segment const& s, std::int64_t width, Doubles const& patches,
                 Doubles const& class_token, Doubles const& positions) {
  Doubles tokens(at(s.rows() * width));
  for (std::int64_t i = 0; i < s.rows() * width; ++i) {
    auto const d = i % width, token = i / width % s.tokens(), image = i / width / s.tokens();
    tokens[at(i)] = positions[at(token * width + d)] +
                    (token == 0 ? class_token[at(d)]
                                : patches[at((image * s.patches() + token - 1) * width + d)]);
  }
  return tokens;
}

TYPED_TEST(Tokens, AssembleAddsClassTokenAndPositionsAndItsGradient) {
  using T = TypeParam;
  for (std::int64_t const images : {0, 1, 3}) {
    std::int64_t const width = 5;
    Segment const s{.images = images, .grid_height = 2, .grid_width = 3};
    auto const patches = random_values<T>(images * 6 * width, 1);
    auto const class_token = random_values<T>(width, 2);
    auto const positions = random_values<T>(7 * width, 3);
    auto const dtokens = random_values<T>(s.rows() * width, 4);
    std::vector<T> tokens(at(s.rows() * width)), dpatches(patches.size());
    std::vector<float> dclass(at(width), 1.0F), dpositions(at(7 * width), 1.0F);

    run(host, TokensAssemble<T>{as<2>(patches, {images * 6, width}), as<1>(class_token, {width}),
                                as<2>(positions, {7, width}), s, as<2>(tokens, {s.rows(), width})});
    run(host, TokensAssembleBackward<T>{as<2>(dtokens, {s.rows(), width}), s,
                                        as<2>(dpatches, {images * 6, width}),
                                        as<1>(dclass, {width}), as<2>(dpositions, {7, width})});

    auto const a = doubles(patches), b = doubles(class_token), c = doubles(positions),
               g = doubles(dtokens);
    auto of_class = numeric_gradient(
        [&](auto const& v) { return inner_product(assemble(s, width, a, v, c), g); }, b);
    for (auto& v : of_class) v += 1;
    auto const of_patches = [&](auto const& v) {
      return inner_product(assemble(s, width, v, b, c), g);
    };
    auto const of_positions = [&](auto const& v) {
      return inner_product(assemble(s, width, a, b, v), g);
    };
    EXPECT_LE(deviation_from(tokens, assemble(s, width, a, b, c)), tolerance<T>());
    EXPECT_LE(deviation_from(dpatches, numeric_gradient(of_patches, a)), tolerance<T>());
    EXPECT_LE(deviation_from(dpositions, numeric_gradient(of_positions, c)),
              tolerance<float>(images));
    EXPECT_LE(deviation_from(dclass, of_class), tolerance<float>(images));
  }
}

struct Resampling {
  std::int64_t side, height, width, channels;
  Doubles operator()(Doubles const& positions, Doubles const& a, Doubles const& b) const {
    Doubles out(at((1 + height * width) * channels));
    for (std::int64_t d = 0; d < channels; ++d) {
      out[at(d)] = positions[at(d)];
      for (std::int64_t cell = 0; cell < height * width; ++cell) {
        for (std::int64_t from = 0; from < side * side; ++from) {
          out[at((1 + cell) * channels + d)] += a[at(cell / width * side + from / side)] *
                                                b[at(cell % width * side + from % side)] *
                                                positions[at((1 + from) * channels + d)];
        }
      }
    }
    return out;
  }
};

TYPED_TEST(Tokens, PositionResampleIsTheProductWithBothWeights) {
  using T = TypeParam;
  for (auto const& r : {Resampling{3, 2, 4, 5}, {1, 1, 1, 1}, {4, 6, 3, 300}}) {
    auto const positions = random_values<T>((1 + r.side * r.side) * r.channels, 1);
    auto a = random_values<float>(r.height * r.side, 2),
         b = random_values<float>(r.width * r.side, 3);
    if (r.side > 1) a[1] = b[0] = 0;  // bicubic weights are mostly 0
    std::vector<T> out(at((1 + r.height * r.width) * r.channels));

    run(host, PositionResample<T>{as<2>(positions, {1 + r.side * r.side, r.channels}),
                                  as<2>(std::as_const(a), {r.height, r.side}),
                                  as<2>(std::as_const(b), {r.width, r.side}),
                                  as<2>(out, {1 + r.height * r.width, r.channels})});

    EXPECT_LE(deviation_from(out, r(doubles(positions), doubles(a), doubles(b))),
              tolerance<T>(r.side * r.side));
  }
}

TEST(PositionResampleGradient, AgreesWithCentralDifferences) {
  Resampling const r{3, 2, 4, 5};
  auto const dout = random_values<float>(9 * 5, 1);
  auto a = random_values<float>(2 * 3, 2), b = random_values<float>(4 * 3, 3);
  a[1] = b[4] = 0;
  std::vector<float> dpositions(50, 1.0F);

  run(host, PositionResampleBackward{as<2>(dout, {9, 5}), as<2>(std::as_const(a), {2, 3}),
                                     as<2>(std::as_const(b), {4, 3}), as<2>(dpositions, {10, 5})});

  auto expected = numeric_gradient(
      [&](auto const& v) { return inner_product(r(v, doubles(a), doubles(b)), doubles(dout)); },
      Doubles(50));
  for (auto& v : expected) v += 1;
  EXPECT_LE(deviation_from(dpositions, expected), tolerance<float>(9));
}

TYPED_TEST(Tokens, ClassTokensAreGatheredAndScattered) {
  using T = TypeParam;
  auto const layout = mixed_layout();
  auto const tokens = random_values<T>(layout.rows() * 5, 1);
  std::vector<T> rows(at(layout.images() * 5)), scattered(tokens.size(), T{9.0F});
  std::array<std::int64_t, 5> const class_rows{0, 7, 14, 17, 20};

  run(host, ClassTokenGather<T>{as<2>(tokens, {layout.rows(), 5}), &layout, as<2>(rows, {5, 5})});
  run(host, ClassTokenScatter<T>{as<2>(std::as_const(rows), {5, 5}), &layout,
                                 as<2>(scattered, {layout.rows(), 5})});

  Doubles gathered, expected(tokens.size());
  for (auto const row : class_rows) {
    for (std::int64_t d = 0; d < 5; ++d) {
      gathered.push_back(doubles(tokens)[at(row * 5 + d)]);
      expected[at(row * 5 + d)] = gathered.back();
    }
  }
  EXPECT_EQ(doubles(rows), gathered);
  EXPECT_EQ(doubles(scattered), expected);
}

TYPED_TEST(Tokens, ResidualAddAndScaleImagesScaleByImage) {
  using T = TypeParam;
  auto const layout = mixed_layout();
  auto const rows = layout.rows(), width = std::int64_t{7};
  auto const x = random_values<T>(rows * width, 1), branch = random_values<T>(rows * width, 2);
  std::vector<float> const scale{0, 1.25F, 1, 0, 1.25F};
  std::vector<T> y(x.size()), plain(x.size()), scaled(x.size()), in_place = x;
  auto const shape = std::array{rows, width};

  run(host, ResidualAdd<T>{as<2>(x, shape), as<2>(branch, shape), as<1>(scale, {5}), &layout,
                           as<2>(y, shape)});
  run(host,
      ResidualAdd<T>{as<2>(x, shape), as<2>(branch, shape), {}, &layout, as<2>(plain, shape)});
  run(host, ResidualAdd<T>{as<2>(std::as_const(in_place), shape), as<2>(branch, shape),
                           as<1>(scale, {5}), &layout, as<2>(in_place, shape)});
  run(host, ScaleImages<T>{as<2>(x, shape), as<1>(scale, {5}), &layout, as<2>(scaled, shape)});

  auto sum = doubles(x), all = sum, product = sum;
  for (std::int64_t i = 0; i < rows * width; ++i) {
    auto const row = i / width;
    auto const factor = static_cast<double>(scale[at(row < 14 ? row / 7 : 2 + (row - 14) / 3)]);
    product[at(i)] *= factor;
    sum[at(i)] += factor * static_cast<double>(static_cast<float>(branch[at(i)]));
    all[at(i)] += static_cast<double>(static_cast<float>(branch[at(i)]));
  }
  EXPECT_LE(deviation_from(y, sum), tolerance<T>());
  EXPECT_LE(deviation_from(plain, all), tolerance<T>());
  EXPECT_LE(deviation_from(scaled, product), tolerance<T>());
  EXPECT_EQ(doubles(in_place), doubles(y));
}

TYPED_TEST(Tokens, EveryOperationAcceptsNoImages) {
  using T = TypeParam;
  TokenLayout layout;
  layout.add(0, 3, 2);
  View<T, 2> const none{nullptr, {0, 5}};

  EXPECT_NO_THROW(run(host, ClassTokenGather<T>{none, &layout, none}));
  EXPECT_NO_THROW(run(host, ClassTokenScatter<T>{none, &layout, none}));
  EXPECT_NO_THROW(run(host, ResidualAdd<T>{none, none, {}, &layout, none}));
  EXPECT_NO_THROW(run(host, ScaleImages<T>{none, {}, &layout, none}));
}

TEST(TokensCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(1000);
  auto const layout = mixed_layout();
  EXPECT_EQ(
      refusal([&] { run(host, PatchGather<float>{as<4>(a, {1, 3, 4, 4}), as<2>(a, {4, 11}), 2}); }),
      "PatchGather: patches is [4, 11], expected [4, 12]");
  EXPECT_EQ(refusal([&] {
              run(host, ClassTokenGather<float>{as<2>(a, {23, 5}), nullptr, as<2>(a, {5, 5})});
            }),
            "ClassTokenGather: layout is missing");
  EXPECT_EQ(refusal([&] {
              run(host, ClassTokenScatter<float>{as<2>(a, {4, 5}), &layout, as<2>(a, {23, 5})});
            }),
            "ClassTokenScatter: rows is [4, 5], expected [5, 5]");
  EXPECT_EQ(refusal([&] {
              run(host, ResidualAdd<float>{
                            as<2>(a, {22, 5}), as<2>(a, {22, 5}), {}, &layout, as<2>(a, {22, 5})});
            }),
            "ResidualAdd: x is [22, 5], expected [23, 5]");
  EXPECT_EQ(refusal([&] {
              run(host,
                  ScaleImages<float>{as<2>(a, {23, 5}), as<1>(a, {4}), &layout, as<2>(a, {23, 5})});
            }),
            "ScaleImages: scale is [4], expected [5]");
  EXPECT_EQ(refusal([&] {
              run(host, TokensAssemble<float>{as<2>(a, {6, 5}),
                                              as<1>(a, {5}),
                                              as<2>(a, {6, 5}),
                                              {.images = 1, .grid_height = 2, .grid_width = 3},
                                              as<2>(a, {7, 5})});
            }),
            "TokensAssemble: positions is [6, 5], expected [7, 5]");
  EXPECT_EQ(refusal([&] {
              run(host, PositionResample<float>{as<2>(a, {9, 5}), as<2>(a, {2, 3}),
                                                as<2>(a, {2, 3}), as<2>(a, {5, 5})});
            }),
            "PositionResample: 9 positions are not 1 + 3 x 3");
}

}  // namespace
