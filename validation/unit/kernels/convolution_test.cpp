// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.hpp"

#include <cmath>
#include <limits>

#include "kernels/arena.hpp"
#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Doubles = std::vector<double>;

std::size_t at(std::int64_t index) {
  return static_cast<std::size_t>(index);
}

/// f(output row, place in the window, input row) for every pixel of every window that exists.
template <class F>
void for_pixels(Windows const& w, F const& f) {
  std::int64_t row = 0;
  for (std::int64_t n = 0; n < w.images; ++n) {
    for (std::int64_t oy = 0; oy < w.out_height(); ++oy) {
      for (std::int64_t ox = 0; ox < w.out_width(); ++ox, ++row) {
        for (std::int64_t place = 0; place < w.area(); ++place) {
          auto const y = oy * w.stride - w.padding + place / w.kernel;
          auto const x = ox * w.stride - w.padding + place % w.kernel;
          if (y >= 0 && y < w.height && x >= 0 && x < w.width)
            f(row, place, (n * w.height + y) * w.width + x);
        }
      }
    }
  }
}

/// The convolution by its definition; with dy also its gradients.
struct Reference {
  Windows w;
  std::int64_t in, out;

  Doubles forward(Doubles const& x, Doubles const& filters) const {
    Doubles y(at(w.rows_out() * out));
    each([&](auto row, auto o, auto pixel, auto c, auto f) {
      y[at(row * out + o)] += x[at(pixel * in + c)] * filters[f];
    });
    return y;
  }
  Doubles input_gradient(Doubles const& dy, Doubles const& filters) const {
    Doubles dx(at(w.rows_in() * in));
    each([&](auto row, auto o, auto pixel, auto c, auto f) {
      dx[at(pixel * in + c)] += dy[at(row * out + o)] * filters[f];
    });
    return dx;
  }
  Doubles filter_gradient(Doubles const& dy, Doubles const& x) const {
    Doubles df(at(out * w.area() * in), 1.0);  // it is added to ones
    each([&](auto row, auto o, auto pixel, auto c, auto f) {
      df[f] += dy[at(row * out + o)] * x[at(pixel * in + c)];
    });
    return df;
  }

 private:
  template <class F>
  void each(F const& f) const {
    for_pixels(w, [&](std::int64_t row, std::int64_t place, std::int64_t pixel) {
      for (std::int64_t o = 0; o < out; ++o) {
        for (std::int64_t c = 0; c < in; ++c)
          f(row, o, pixel, c, at((o * w.area() + place) * in + c));
      }
    });
  }
};

/// No image; one pixel; primes; several tiles of an image; several images in a tile; strides that
/// leave pixels out; channels that are read in packs; several tiles of a device; layers of
/// ResNet-50.
std::vector<Reference> cases() {
  return {{{0, 5, 4, 3, 1, 1}, 2, 3},      {{1, 1, 1, 3, 1, 1}, 1, 1},
          {{2, 5, 7, 3, 1, 1}, 3, 4},      {{1, 9, 6, 3, 2, 1}, 5, 2},
          {{3, 13, 11, 7, 2, 3}, 3, 5},    {{2, 4, 5, 1, 1, 0}, 7, 3},
          {{2, 5, 4, 1, 2, 0}, 3, 2},      {{2, 31, 29, 3, 1, 1}, 2, 3},
          {{37, 4, 5, 3, 2, 1}, 3, 2},     {{11, 7, 7, 3, 1, 1}, 17, 1},
          {{1, 4, 500, 3, 2, 1}, 1, 2},    {{2, 6, 5, 3, 2, 1}, 16, 8},
          {{4, 30, 32, 3, 1, 1}, 1024, 1}, {{2, 20, 18, 7, 2, 3}, 3, 64},
          {{2, 14, 13, 3, 2, 1}, 64, 128}, {{2, 7, 7, 3, 1, 1}, 64, 64},
          {{2, 8, 7, 1, 2, 0}, 256, 128}};
}

template <class T>
class Convolution : public testing::Test {};
TYPED_TEST_SUITE(Convolution, Precisions);

TYPED_TEST(Convolution, IsItsDefinitionWithItsGradients) {
  using T = TypeParam;
  for (auto const& c : cases()) {
    auto const& w = c.w;
    SCOPED_TRACE(testing::Message() << w.images << " x " << w.height << " x " << w.width
                                    << ", side " << w.kernel << ", stride " << w.stride);
    auto const columns = w.area() * c.in;
    auto const x = random_values<T>(w.rows_in() * c.in, 1),
               filters = random_values<T>(c.out * columns, 2),
               dy = random_values<T>(w.rows_out() * c.out, 3);
    auto const unwritten = static_cast<T>(std::numeric_limits<float>::quiet_NaN());
    std::vector<T> y(dy.size(), unwritten), dx(x.size(), unwritten);
    std::vector<float> dfilters(filters.size(), 1.0F);
    std::vector<std::byte> scratch(at(convolution_scratch_bytes<T>(Processor::host, w, c.in) + 64));
    auto* const memory = scratch.data();

    run(space,
        ConvolutionForward<T>{w, as<2>(x, {w.rows_in(), c.in}), as<2>(filters, {c.out, columns}),
                              as<2>(y, {w.rows_out(), c.out}), memory});
    run(space, ConvolutionBackwardInput<T>{w, as<2>(dy, {w.rows_out(), c.out}),
                                           as<2>(filters, {c.out, columns}),
                                           as<2>(dx, {w.rows_in(), c.in}), memory});
    run(space, ConvolutionBackwardFilters<T>{w, as<2>(x, {w.rows_in(), c.in}),
                                             as<2>(dy, {w.rows_out(), c.out}),
                                             as<2>(dfilters, {c.out, columns}), memory});

    auto const dx_expected = c.input_gradient(doubles(dy), doubles(filters));
    auto const df_expected = c.filter_gradient(doubles(dy), doubles(x));
    EXPECT_LE(deviation_from(y, c.forward(doubles(x), doubles(filters))), tolerance<T>(columns));
    EXPECT_LE(deviation_from(dx, dx_expected), tolerance<T>(w.area() * c.out));
    EXPECT_LE(deviation_from(dfilters, df_expected), tolerance<float>(w.rows_out()));
  }
}

TEST(ConvolutionReference, IsDifferentiatedAsCentralDifferencesSay) {
  Reference const c{{2, 4, 3, 3, 2, 1}, 2, 3};
  auto const x = doubles(random_values<float>(c.w.rows_in() * 2, 1)),
             filters = doubles(random_values<float>(3 * 9 * 2, 2)),
             dy = doubles(random_values<float>(c.w.rows_out() * 3, 3));

  auto const of_x =
      numeric_gradient([&](auto const& v) { return inner_product(c.forward(v, filters), dy); }, x);
  auto of_filters =
      numeric_gradient([&](auto const& v) { return inner_product(c.forward(x, v), dy); }, filters);
  for (auto& v : of_filters) v += 1;

  EXPECT_LE(deviation(c.input_gradient(dy, filters), of_x), tolerance<float>());
  EXPECT_LE(deviation(c.filter_gradient(dy, x), of_filters), tolerance<float>());
}

TYPED_TEST(Convolution, SwapsAxes) {
  using T = TypeParam;
  for (auto const& [n, a, b] :
       {std::array<std::int64_t, 3>{0, 3, 4}, {1, 1, 1}, {2, 17, 35}, {3, 64, 9}}) {
    auto const x = random_values<T>(n * a * b, 1);
    auto const pixels = random_values<float>(n * a * b, 2);
    std::vector<T> y(x.size()), rows(x.size());
    std::vector<float> sum(x.size(), 0.5F);

    run(space, SwapAxes<T, T>{as<3>(x, {n, a, b}), as<3>(y, {n, b, a})});
    run(space, SwapAxes<float, T>{as<3>(pixels, {n, a, b}), as<3>(rows, {n, b, a})});
    run(space, SwapAxes<float, float>{as<3>(pixels, {n, a, b}), as<3>(sum, {n, b, a}), true});

    for (std::int64_t i = 0; i < n * a * b; ++i) {
      auto const to = at(i / (a * b) * a * b + i % b * a + i / b % a);
      ASSERT_EQ(static_cast<float>(y[to]), static_cast<float>(x[at(i)]));
      ASSERT_EQ(static_cast<float>(rows[to]), static_cast<float>(static_cast<T>(pixels[at(i)])));
      ASSERT_EQ(sum[to], 0.5F + pixels[at(i)]);
    }
  }
}

std::vector<Windows> pool_cases() {
  return {{0, 4, 4, 3, 2, 1},
          {1, 1, 1, 3, 2, 1},
          {2, 7, 6, 3, 2, 1},
          {1, 112, 5, 3, 2, 1},
          {2, 5, 5, 2, 1, 0}};
}

TYPED_TEST(Convolution, PoolsTheFirstLargestValue) {
  using T = TypeParam;
  for (auto const& w : pool_cases()) {
    for (std::int64_t const channels : {1, 64, 67}) {
      SCOPED_TRACE(w.height);
      auto x = random_values<T>(w.rows_in() * channels, 1);
      for (auto& v : x) v = static_cast<T>(std::round(2 * static_cast<float>(v)));  // equal values
      auto const dy = random_values<T>(w.rows_out() * channels, 2);
      auto const unwritten = static_cast<T>(std::numeric_limits<float>::quiet_NaN());
      std::vector<T> y(dy.size(), unwritten), alone = y, dx(x.size(), unwritten);
      std::vector<std::uint8_t> argument(dy.size());
      std::array<std::int64_t, 2> const rows_in{w.rows_in(), channels},
          rows_out{w.rows_out(), channels};

      run(space, MaxPoolForward<T>{w, as<2>(std::as_const(x), rows_in), as<2>(y, rows_out),
                                   as<2>(argument, rows_out)});
      run(space,
          MaxPoolForward<T>{w, as<2>(std::as_const(x), rows_in), as<2>(alone, rows_out), {}});
      run(space, MaxPoolBackward<T>{w, as<2>(dy, rows_out),
                                    as<2>(std::as_const(argument), rows_out), as<2>(dx, rows_in)});

      Doubles best(y.size(), -std::numeric_limits<double>::infinity()), dx_expected(x.size());
      std::vector<std::int64_t> where(y.size());
      for_pixels(w, [&](std::int64_t row, std::int64_t, std::int64_t pixel) {
        for (std::int64_t c = 0; c < channels; ++c) {
          double const v = static_cast<float>(x[at(pixel * channels + c)]);
          auto const i = at(row * channels + c);
          if (v > best[i]) where[i] = pixel * channels + c;
          best[i] = std::max(best[i], v);
        }
      });
      for (std::size_t i = 0; i < y.size(); ++i)
        dx_expected[at(where[i])] += static_cast<double>(static_cast<float>(dy[i]));
      EXPECT_EQ(doubles(y), best);
      EXPECT_EQ(doubles(alone), best);
      EXPECT_LE(deviation_from(dx, dx_expected), tolerance<T>(w.area()));
    }
  }
}

TEST(MaxPool, PassesNaNOn) {
  auto const nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> const x{1, nan, 3, 2};
  std::vector<float> y(1);

  run(space, MaxPoolForward<float>{{1, 2, 2, 3, 2, 1}, as<2>(x, {4, 1}), as<2>(y, {1, 1}), {}});

  EXPECT_TRUE(std::isnan(y[0]));
}

TYPED_TEST(Convolution, AveragesPixels) {
  using T = TypeParam;
  for (auto const& [n, pixels, channels] :
       {std::array<std::int64_t, 3>{0, 4, 3}, {1, 1, 1}, {3, 49, 67}, {2, 130, 5}, {3, 9, 64}}) {
    auto const x = random_values<T>(n * pixels * channels, 1);
    auto const dy = random_values<T>(n * channels, 2);
    std::vector<T> y(dy.size()), dx(x.size());

    run(space, AveragePoolForward<T>{as<3>(x, {n, pixels, channels}), as<2>(y, {n, channels})});
    run(space, AveragePoolBackward<T>{as<2>(dy, {n, channels}), as<3>(dx, {n, pixels, channels})});

    Doubles y_expected(y.size()), dx_expected(x.size());
    for (std::int64_t i = 0; i < n * pixels * channels; ++i) {
      auto const to = at(i / (pixels * channels) * channels + i % channels);
      auto const share = 1.0 / static_cast<double>(pixels);
      y_expected[to] += static_cast<double>(static_cast<float>(x[at(i)])) * share;
      dx_expected[at(i)] = static_cast<double>(static_cast<float>(dy[to])) * share;
    }
    EXPECT_LE(deviation_from(y, y_expected), tolerance<T>(pixels));
    EXPECT_LE(deviation_from(dx, dx_expected), tolerance<T>());
  }
}

TEST(ConvolutionChecks, NameWhatDisagrees) {
  std::vector<float> const x(25), filters(27);
  std::vector<float> y(25), small(9);
  Windows const w{1, 5, 5, 3, 1, 1};

  EXPECT_THAT(refusal([&] {
                run(space, ConvolutionForward<float>{w, as<2>(x, {25, 1}), as<2>(filters, {3, 9}),
                                                     as<2>(y, {25, 1})});
              }),
              testing::HasSubstr("ConvolutionForward: y is [25, 1], expected [25, 3]"));
  EXPECT_THAT(refusal([&] {
                run(space, MaxPoolForward<float>{
                               {1, 5, 5, 7, 1, 0}, as<2>(x, {25, 1}), as<2>(y, {25, 1}), {}});
              }),
              testing::HasSubstr("windows of side 7, stride 1 and padding 0 do not fit 5 x 5"));
}

}  // namespace
