// SPDX-License-Identifier: Apache-2.0
#include "kernels/tokens.hpp"

#include <utility>

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

  run(space, PatchGather<T>{as<4>(images, {n, channels, height, width}),
                            as<2>(patches, {n * 6, channels * p * p}), p});
  run(space,
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

/// What TokensAssemble makes of its operands, in float64.
struct Assembly {
  Segment s;
  std::int64_t width;
  std::vector<std::uint8_t> masked;
  Doubles operator()(Doubles const& patches, Doubles const& class_token, Doubles const& registers,
                     Doubles const& mask_token, Doubles const& positions) const {
    Doubles tokens(at(s.rows() * width));
    for (std::int64_t i = 0; i < s.rows() * width; ++i) {
      auto const d = i % width, token = i / width % s.tokens(), image = i / width / s.tokens();
      auto const patch = image * s.patches() + token - s.prefix;
      auto& out = tokens[at(i)];
      if (token == 0) {
        out = class_token[at(d)] + positions[at(d)];
      } else if (token < s.prefix) {
        out = registers[at((token - 1) * width + d)];
      } else {
        bool const hidden = !masked.empty() && masked[at(patch)] != 0;
        out = positions[at((token - s.prefix + 1) * width + d)] +
              (hidden ? mask_token[at(d)] : patches[at(patch * width + d)]);
      }
    }
    return tokens;
  }
};

TYPED_TEST(Tokens, AssembleAddsClassTokenRegistersMasksAndPositionsAndItsGradient) {
  using T = TypeParam;
  for (std::int64_t const images : {0, 1, 3}) {
    for (std::int64_t const registers : {0, 2}) {
      std::int64_t const width = 5;
      Assembly reference{{.images = images, .grid_height = 2, .grid_width = 3}, width, {}};
      auto& s = reference.s;
      s.prefix = 1 + registers;
      if (registers > 0) {
        for (std::int64_t i = 0; i < images * 6; ++i)
          reference.masked.push_back(i % 4 == 1 ? 1 : 0);
      }
      auto const patches = random_values<T>(images * 6 * width, 1);
      auto const class_token = random_values<T>(width, 2);
      auto const extra = random_values<T>(registers * width, 5);
      auto const mask_token = random_values<T>(width, 6);
      auto const positions = random_values<T>(7 * width, 3);
      auto const dtokens = random_values<T>(s.rows() * width, 4);
      std::vector<T> tokens(at(s.rows() * width)), dpatches(patches.size());
      std::vector<float> dclass(at(width), 1.0F), dpositions(at(7 * width), 1.0F),
          dextra(extra.size(), 1.0F), dmask(at(width), 1.0F);
      auto const masked =
          as<1>(reference.masked, {static_cast<std::int64_t>(reference.masked.size())});

      run(space,
          TokensAssemble<T>{as<2>(patches, {images * 6, width}), as<1>(class_token, {width}),
                            as<2>(extra, {registers, width}), as<1>(mask_token, {width}), masked,
                            as<2>(positions, {7, width}), s, as<2>(tokens, {s.rows(), width})});
      run(space,
          TokensAssembleBackward<T>{as<2>(dtokens, {s.rows(), width}), masked, s,
                                    as<2>(dpatches, {images * 6, width}), as<1>(dclass, {width}),
                                    as<2>(dextra, {registers, width}), as<1>(dmask, {width}),
                                    as<2>(dpositions, {7, width})});

      auto const a = doubles(patches), b = doubles(class_token), e = doubles(extra),
                 m = doubles(mask_token), c = doubles(positions), g = doubles(dtokens);
      auto const gradient = [&](auto const& f, Doubles const& v, double added) {
        auto out = numeric_gradient([&](auto const& w) { return inner_product(f(w), g); }, v);
        for (auto& value : out) value += added;
        return out;
      };
      EXPECT_LE(deviation_from(tokens, reference(a, b, e, m, c)), tolerance<T>());
      EXPECT_LE(
          deviation_from(dpatches,
                         gradient([&](auto const& v) { return reference(v, b, e, m, c); }, a, 0)),
          tolerance<T>());
      EXPECT_LE(
          deviation_from(dclass,
                         gradient([&](auto const& v) { return reference(a, v, e, m, c); }, b, 1)),
          tolerance<float>(images));
      EXPECT_LE(
          deviation_from(dextra,
                         gradient([&](auto const& v) { return reference(a, b, v, m, c); }, e, 1)),
          tolerance<float>(images));
      EXPECT_LE(deviation_from(
                    dmask, gradient([&](auto const& v) { return reference(a, b, e, v, c); }, m, 1)),
                tolerance<float>(6 * images));
      EXPECT_LE(
          deviation_from(dpositions,
                         gradient([&](auto const& v) { return reference(a, b, e, m, v); }, c, 0)),
          tolerance<float>(images));
    }
  }
}

TYPED_TEST(Tokens, AssembleWithoutPositionsIsThatWithZeros) {
  using T = TypeParam;
  Segment const s{.images = 3, .grid_height = 2, .grid_width = 3, .prefix = 3};
  std::int64_t const width = 5;
  auto const patches = random_values<T>(18 * width, 1), dtokens = random_values<T>(27 * width, 2);
  auto const tokens_of_prefix = random_values<T>(4 * width, 3);
  std::vector<std::uint8_t> masked(18, 0);
  masked[4] = masked[17] = 1;
  std::vector<T> zeros(at(7 * width));
  std::vector<float> unused(zeros.size());
  struct Result {
    std::vector<T> tokens, dpatches;
    std::vector<float> dclass, dregisters, dmask;
  };
  auto const assemble = [&](View<T const, 2> positions, View<float, 2> dpositions) {
    Result r{std::vector<T>(at(27 * width)), std::vector<T>(patches.size()),
             std::vector<float>(at(width)), std::vector<float>(at(2 * width)),
             std::vector<float>(at(width))};
    auto const extra = as<2>(tokens_of_prefix, {4, width});
    run(space, TokensAssemble<T>{as<2>(patches, {18, width}), extra.rows(0, 1).flat(),
                                 extra.rows(1, 3), extra.rows(3, 4).flat(), as<1>(masked, {18}),
                                 positions, s, as<2>(r.tokens, {27, width})});
    run(space, TokensAssembleBackward<T>{as<2>(dtokens, {27, width}), as<1>(masked, {18}), s,
                                         as<2>(r.dpatches, {18, width}), as<1>(r.dclass, {width}),
                                         as<2>(r.dregisters, {2, width}), as<1>(r.dmask, {width}),
                                         dpositions});
    return r;
  };

  auto const without = assemble({}, {});
  auto const with = assemble(as<2>(std::as_const(zeros), {7, width}), as<2>(unused, {7, width}));

  EXPECT_EQ(doubles(without.tokens), doubles(with.tokens));
  EXPECT_EQ(doubles(without.dpatches), doubles(with.dpatches));
  EXPECT_EQ(without.dclass, with.dclass);
  EXPECT_EQ(without.dregisters, with.dregisters);
  EXPECT_EQ(without.dmask, with.dmask);
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

    run(space, PositionResample<T>{as<2>(positions, {1 + r.side * r.side, r.channels}),
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

  run(space, PositionResampleBackward{as<2>(dout, {9, 5}), as<2>(std::as_const(a), {2, 3}),
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

  run(space, ClassTokenGather<T>{as<2>(tokens, {layout.rows(), 5}), &layout, as<2>(rows, {5, 5})});
  run(space, ClassTokenScatter<T>{as<2>(std::as_const(rows), {5, 5}), &layout,
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

TYPED_TEST(Tokens, EveryOperationAcceptsNoImages) {
  using T = TypeParam;
  TokenLayout layout;
  layout.add(0, 3, 2);
  View<T, 2> const none{nullptr, {0, 5}};

  EXPECT_NO_THROW(run(space, ClassTokenGather<T>{none, &layout, none}));
  EXPECT_NO_THROW(run(space, ClassTokenScatter<T>{none, &layout, none}));
}

TEST(TokensCheck, RefusesExtentsThatDisagree) {
  std::vector<float> a(1000);
  auto const layout = mixed_layout();
  EXPECT_EQ(refusal([&] {
              run(space, PatchGather<float>{as<4>(a, {1, 3, 4, 4}), as<2>(a, {4, 11}), 2});
            }),
            "PatchGather: patches is [4, 11], expected [4, 12]");
  EXPECT_EQ(refusal([&] {
              run(space, ClassTokenGather<float>{as<2>(a, {23, 5}), nullptr, as<2>(a, {5, 5})});
            }),
            "ClassTokenGather: layout is missing");
  EXPECT_EQ(refusal([&] {
              run(space, ClassTokenScatter<float>{as<2>(a, {4, 5}), &layout, as<2>(a, {23, 5})});
            }),
            "ClassTokenScatter: rows is [4, 5], expected [5, 5]");
  EXPECT_EQ(refusal([&] {
              run(space, TokensAssemble<float>{as<2>(a, {6, 5}),
                                               as<1>(a, {5}),
                                               {},
                                               {},
                                               {},
                                               as<2>(a, {6, 5}),
                                               {.images = 1, .grid_height = 2, .grid_width = 3},
                                               as<2>(a, {7, 5})});
            }),
            "TokensAssemble: positions is [6, 5], expected [7, 5]");
  EXPECT_EQ(refusal([&] {
              run(space, PositionResample<float>{as<2>(a, {9, 5}), as<2>(a, {2, 3}),
                                                 as<2>(a, {2, 3}), as<2>(a, {5, 5})});
            }),
            "PositionResample: 9 positions are not 1 + 3 x 3");
  Segment const with_registers{.images = 1, .grid_height = 2, .grid_width = 3, .prefix = 3};
  EXPECT_EQ(refusal([&] {
              run(space, TokensAssemble<float>{as<2>(a, {6, 5}),
                                               as<1>(a, {5}),
                                               {},
                                               {},
                                               {},
                                               as<2>(a, {7, 5}),
                                               with_registers,
                                               as<2>(a, {9, 5})});
            }),
            "TokensAssemble: 2 registers are missing");
}

}  // namespace
