// SPDX-License-Identifier: Apache-2.0
// Expected hashes and numbers: outputs of the formulas of method.md 5 in NumPy, which equal
// Pillow 9.4 and torchvision 0.14 byte for byte, on the picture of noise of 37 x 53 pixels.
#include <gmock/gmock.h>

#include <cmath>
#include <utility>

#include "base/error.hpp"
#include "data/augment.hpp"
#include "test_images.hpp"

namespace dino {
namespace {

using test::hash_floats;
using test::hash_picture;

constexpr std::array<double, 3> mean{0.485, 0.456, 0.406};
constexpr std::array<double, 3> deviation{0.229, 0.224, 0.225};

test::NoiseImage const noise(37, 53);

Planes resized(CropBox box, Extents extents, Interpolation interpolation, Flip flip = Flip::no) {
  Columns columns;
  columns.assign(noise.view());
  Planes out;
  Resizer().resize(columns, box, extents, interpolation, flip, out);
  return out;
}

TEST(Noise, IsThePictureOfTheExpectedHashes) {
  EXPECT_EQ(test::hash_bytes(noise.pixels), 0x727248dd683fae43U);
  EXPECT_EQ(Planes(noise.view()).interleaved(), noise.pixels);
}

struct ResizeCase {
  CropBox box;
  Extents extents;
  Interpolation interpolation;
  std::uint64_t hash;
};

TEST(Resize, EqualsPillowByteForByte) {
  auto const bicubic = Interpolation::bicubic;
  std::vector<ResizeCase> const cases{
      {{0, 0, 37, 53}, {16, 16}, bicubic, 0x807b48b4c422a8c6},
      {{3, 5, 20, 31}, {48, 40}, bicubic, 0xeba10c714d34f1c2},
      {{1, 2, 33, 7}, {5, 11}, bicubic, 0x9ab3b549e6921709},
      {{10, 11, 1, 1}, {4, 4}, bicubic, 0xb72e1275468d60f5},
      {{0, 0, 37, 53}, {37, 53}, bicubic, 0x727248dd683fae43},
      {{2, 3, 30, 40}, {13, 17}, Interpolation::bilinear, 0xf827770d5056a0a3},
      {{0, 0, 37, 53}, {3, 2}, bicubic, 0x7363e603e2e33c93},
  };
  for (auto const& c : cases) {
    EXPECT_EQ(hash_picture(resized(c.box, c.extents, c.interpolation)), c.hash)
        << c.box.height << " x " << c.box.width << " to " << c.extents.height << " x "
        << c.extents.width;
  }
}

TEST(Resize, GivesTheseBytes) {
  auto const x = resized({3, 5, 8, 9}, {3, 3}, Interpolation::bicubic);

  EXPECT_THAT(x.interleaved(), testing::ElementsAre(126, 128, 142, 123, 148, 131, 111, 130, 135,
                                                    109, 144, 115, 109, 134, 131, 147, 143, 150,
                                                    112, 150, 139, 127, 113, 128, 138, 116, 118));
}

TEST(Resize, MirrorsAndCutsWindowsAsOperationsAfterwards) {
  CropBox const box{2, 3, 31, 44};
  Extents const extents{29, 27};
  CropBox const window{5, 4, 13, 17};
  auto const whole = resized(box, extents, Interpolation::bicubic);
  Columns columns;
  columns.assign(noise.view());
  Planes part;

  Resizer().resize(columns, box, extents, window, Interpolation::bicubic, Flip::yes, part);

  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < window.height; ++y) {
      for (int x = 0; x < window.width; ++x) {
        ASSERT_EQ(part.plane(c)[y * window.width + window.width - 1 - x],
                  whole.plane(c)[(y + window.top) * extents.width + x + window.left]);
      }
    }
  }
}

TEST(Resize, RefusesACentreCropThatDoesNotFit) {
  EXPECT_THROW(center_box({100, 50}, 51), Error);
  EXPECT_EQ(center_box({100, 51}, 50), (CropBox{25, 0, 50, 50}));  // 0.5 is rounded to even
  EXPECT_EQ(center_box({100, 53}, 50), (CropBox{25, 2, 50, 50}));  // and so is 1.5
}

TEST(Resize, OfFloatsFollowsTheSameFilter) {
  auto const crop = resized({4, 6, 25, 31}, {8, 8}, Interpolation::bicubic);
  std::vector<float> x(crop.values().size());
  Normalization(mean, deviation).apply(crop, x.data());

  auto const y = resize_float(x, 3, 8, 5, Interpolation::bicubic);

  std::vector<double> const first_rows{
      -0.12633711902557448, -0.0749315459975324,   -0.20816805281073208, 0.1521245666765691,
      -0.14101531992239372, 0.3553737148556432,    0.3346007629088261,   0.2955296200012552,
      0.2507355689534217,   -0.016870741830206135, 0.5421355620210971,   0.5587130124614541,
      0.3936471966249905,   0.6501026479204955,    0.5422619183902946};
  ASSERT_EQ(y.size(), 75U);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(y[c * 25 + i], first_rows[c * 5 + i], 1e-6);
  }
}

using Operation = void (*)(Planes&, double);
struct ColourCase {
  Operation operation;
  double factor;
  std::uint64_t hash;
};

TEST(Colour, EqualsPillowByteForByte) {
  std::vector<ColourCase> const cases{
      {brightness, 0, 0x28e64c5fde1472d7},   {brightness, 0.6, 0x342cae59ae103e66},
      {brightness, 1, 0x727248dd683fae43},   {brightness, 1.37, 0xfaac8fa14ee80fd0},
      {contrast, 0, 0x8460973c70a20a57},     {contrast, 0.61, 0x297801d9d5725c65},
      {contrast, 1.4, 0xa51a0d32614c7e0},    {saturation, 0, 0xa56c252f2ffdff0a},
      {saturation, 0.8, 0xe4896406a509306f}, {saturation, 1.19, 0xac7e03ed98c50799},
      {hue, -0.1, 0x5f272c9a6ff5a464},       {hue, -0.03, 0x22c4f4d1253c0e69},
      {hue, 0, 0x881130ed7056f9fa},          {hue, 0.0999, 0x752855fb59307c77},
      {hue, 0.5, 0x49c4356d90240b6c},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    Planes x(noise.view());
    cases[i].operation(x, cases[i].factor);
    EXPECT_EQ(hash_picture(x), cases[i].hash) << "case " << i << ", factor " << cases[i].factor;
  }
}

TEST(Colour, JitterFollowsItsOrder) {
  ColorJitter jitter{.order = {JitterStep::hue, JitterStep::contrast, JitterStep::brightness,
                               JitterStep::saturation},
                     .brightness = 1.2,
                     .contrast = 0.7,
                     .saturation = 1.15,
                     .hue = -0.07};
  Planes x(noise.view());

  std::vector<std::uint64_t> stages;
  for (JitterStep const step : jitter.order) {
    color_jitter(x, step, jitter.factor(step));
    stages.push_back(hash_picture(x));
  }

  EXPECT_THAT(stages, testing::ElementsAre(0xa1b16c9772486f4, 0xe198b7a15182274b,
                                           0x2d36d61a3319caee, 0x5943f574ab1dd1f9));
}

TEST(Colour, GrayAndSolarized) {
  Planes gray(noise.view());
  Planes half(noise.view());
  Planes low(noise.view());

  grayscale(gray);
  solarize(half, 128);
  solarize(low, 77);

  EXPECT_EQ(hash_picture(gray), 0xa56c252f2ffdff0aU);
  EXPECT_EQ(hash_picture(half), 0xcc6835eaf4b16b41U);
  EXPECT_EQ(hash_picture(low), 0xea72105bca45431cU);
}

TEST(Colour, NormalizationIsFloat32InEveryOperation) {
  Planes const x(noise.view());
  std::vector<float> out(x.values().size());

  Normalization(mean, deviation).apply(x, out.data());

  EXPECT_EQ(out[0], -1.0904186964035034F);
  EXPECT_EQ(out[37 * 53 + 1], -1.8256301879882812F);
  EXPECT_EQ(hash_floats(out), 0xdccbd6c8d25e5b81U);
}

TEST(Blur, EqualsPillowByteForByte) {
  std::vector<std::pair<double, std::uint64_t>> const cases{
      {0.1, 0xb228d7b498eaaf71}, {0.5, 0x81da9c40b53b2cf0},       {1.0, 0x3e321e2befd0116e},
      {1.3, 0x44492cd4ff7bbb80}, {1.7320508, 0x625a5dacbf2bb556}, {2.0, 0x2dcb6badd7388d3c},
      {5.5, 0x3f21b5a9dd2055b1},
  };
  for (auto const& [radius, hash] : cases) {
    Planes x(noise.view());
    Blur().pil(x, radius);
    EXPECT_EQ(hash_picture(x), hash) << "radius " << radius;
  }
}

/// torchvision's blur of one pixel in float64: 9 x 9 weights, edges reflected without repeating
/// them.
double gaussian_at(Planes const& x, int channel, int row, int column, double sigma) {
  auto const reflect = [](int i, int n) { return i < 0 ? -i : (i >= n ? 2 * (n - 1) - i : i); };
  double sum = 0;
  double weights = 0;
  for (int dy = -4; dy <= 4; ++dy) {
    for (int dx = -4; dx <= 4; ++dx) {
      double const weight = std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma));
      weights += weight;
      sum +=
          weight *
          x.plane(
              channel)[reflect(row + dy, x.height()) * x.width() + reflect(column + dx, x.width())];
    }
  }
  return sum / weights;
}

TEST(Blur, OfTorchvisionRoundsTheGaussianToTheNearestByte) {
  for (double const sigma : {0.1, 1.0, 2.0}) {
    Planes const before(noise.view());
    Planes x = before;
    Blur().torchvision(x, sigma, 9);
    for (int c = 0; c < 3; ++c) {
      for (int i = 0; i < x.size(); ++i) {
        double const exact = gaussian_at(before, c, i / x.width(), i % x.width(), sigma);
        ASSERT_LE(std::abs(x.plane(c)[i] - exact), 0.5 + 255 * 32 * 0x1p-24)
            << "sigma " << sigma << ", pixel " << i;
      }
    }
  }
}

TEST(Augmenter, AppliesAllStepsOfAViewInOrder) {
  Augmenter augmenter(mean, deviation);
  augmenter.set_image(noise.view());
  DrawnView view{.box = {4, 6, 25, 31}, .flip = Flip::yes};
  view.jitter = ColorJitter{.order = {JitterStep::hue, JitterStep::contrast, JitterStep::brightness,
                                      JitterStep::saturation},
                            .brightness = 1.2,
                            .contrast = 0.7,
                            .saturation = 1.15,
                            .hue = -0.07};
  view.blur_radius = 1.1;
  view.solarize = true;
  std::vector<float> out(3 * 24 * 24);

  augmenter.make_view(view, 24, out.data());
  EXPECT_EQ(hash_floats(out), 0x6f615dcab3c14deU);

  augmenter.make_view({.box = {4, 6, 25, 31}, .gray = true}, 24, out.data());
  EXPECT_EQ(hash_floats(out), 0xfc993b8f9cf7f61eU);
}

TEST(Augmenter, MakesTheEvaluationView) {
  std::vector<std::uint8_t> pixels(37 * 53 * 3);
  auto next = pixels.begin();
  for (int y = 0; y < 37; ++y) {
    for (int x = 0; x < 53; ++x) {
      for (int c = 0; c < 3; ++c) {
        *next++ = static_cast<std::uint8_t>(x * (5 + c) + y * (3 + 2 * c) + x * y / 7 + 40 * c);
      }
    }
  }
  ASSERT_EQ(test::hash_bytes(pixels), 0x73ca4ac39b8aefa1U);
  Augmenter augmenter(mean, deviation);
  augmenter.set_image({pixels.data(), 53, 37});
  std::vector<float> out(3 * 12 * 12);

  augmenter.make_evaluation_view(16, 12, out.data());

  EXPECT_EQ(hash_floats(out), 0x34de86d8988faaf0U);
}

}  // namespace
}  // namespace dino
