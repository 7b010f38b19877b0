// SPDX-License-Identifier: Apache-2.0
// Crops by lists of jobs, byte for byte those of data/, which equal Pillow's and torchvision's
// (data/image_operations).
#include "kernels/crops.hpp"

#include "data/augment.hpp"
#include "unit/data/test_images.hpp"
#include "unit/kernels/kernel_test.hpp"

using namespace dino;
using namespace dino::test;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// Pictures of noise, one behind the other, and their values.
struct Pictures {
  Bytes bytes;
  /// \return where the picture's values begin
  std::int64_t add(Bytes const& values) {
    auto const begin = std::ssize(bytes);
    bytes.insert(bytes.end(), values.begin(), values.end());
    return begin;
  }
  PictureLayout add_interleaved(int height, int width) {
    return PictureLayout::interleaved(add(NoiseImage(height, width).pixels), height, width);
  }
  PictureLayout add_planes(int height, int width) {
    Planes const planes(NoiseImage(height, width).view());
    return PictureLayout::planes(add({planes.values().begin(), planes.values().end()}), height,
                                 width);
  }
  /// A picture as planes.
  Bytes planes(PictureLayout const& layout) const {
    Bytes out;
    for (int c = 0; c < 3; ++c)
      for (int y = 0; y < layout.height; ++y)
        for (int x = 0; x < layout.width; ++x)
          out.push_back(bytes[static_cast<std::size_t>(layout.at(c, y, x))]);
    return out;
  }
  Bytes slice(std::int64_t begin, std::int64_t size) const {
    return {bytes.begin() + begin, bytes.begin() + begin + size};
  }
};

Bytes bytes_of(Planes const& planes) {
  return {planes.values().begin(), planes.values().end()};
}

struct ResizeCase {
  int height, width;  ///< of the picture
  CropBox box;
  Extents extents;
  Flip flip;
  bool planes;
};

std::vector<ResizeCase> const resize_cases{
    {37, 53, {0, 0, 37, 53}, {16, 16}, Flip::no, false},
    {37, 53, {3, 5, 20, 31}, {48, 40}, Flip::yes, false},
    {37, 53, {1, 2, 33, 7}, {5, 11}, Flip::yes, true},
    {37, 53, {10, 11, 1, 1}, {4, 4}, Flip::no, false},
    {1, 1, {0, 0, 1, 1}, {33, 65}, Flip::yes, false},
    {1, 300, {0, 0, 1, 300}, {3, 2}, Flip::no, false},
    {301, 2, {0, 0, 301, 2}, {2, 3}, Flip::yes, true},
    {400, 333, {0, 0, 400, 333}, {1, 1}, Flip::no, false},
    {400, 333, {7, 11, 390, 301}, {33, 31}, Flip::yes, false},
    {64, 64, {0, 0, 64, 64}, {64, 64}, Flip::no, true}};

TEST(Crops, AreResizedAsOnTheHost) {
  Pictures pictures, out;
  std::vector<PictureResize> jobs;
  std::int64_t weights = 0;
  for (auto const& c : resize_cases) {
    PictureResize job;
    job.source = c.planes ? pictures.add_planes(c.height, c.width)
                          : pictures.add_interleaved(c.height, c.width);
    job.top = c.box.top;
    job.left = c.box.left;
    job.rows = ResizeAxis(c.box.height, c.extents.height, weights);
    weights += job.rows.size();
    job.columns = ResizeAxis(c.box.width, c.extents.width, weights);
    weights += job.columns.size();
    job.mirrored = c.flip == Flip::yes ? 1 : 0;
    job.out = out.add(Bytes(static_cast<std::size_t>(3 * c.extents.height * c.extents.width), 99));
    jobs.push_back(job);
  }
  std::vector<std::int32_t> table(static_cast<std::size_t>(weights), -1);
  auto const n = std::ssize(jobs);

  run(space, ResizeWeights{as<1>(std::as_const(jobs), {n}), 65, as<1>(table, {weights})});
  run(space, ResizePictures{as<1>(std::as_const(pictures.bytes), {std::ssize(pictures.bytes)}),
                            as<1>(std::as_const(table), {weights}), as<1>(std::as_const(jobs), {n}),
                            65, as<1>(out.bytes, {std::ssize(out.bytes)})});

  for (std::size_t i = 0; i < resize_cases.size(); ++i) {
    auto const& c = resize_cases[i];
    Columns columns;
    columns.assign(NoiseImage(c.height, c.width).view());
    Planes expected;
    Resizer().resize(columns, c.box, c.extents, Interpolation::bicubic, c.flip, expected);
    EXPECT_EQ(out.slice(jobs[i].out, 3 * expected.size()), bytes_of(expected)) << "case " << i;
  }
}

struct ColourCase {
  int height, width;
  ColorJitter jitter;
  bool jittered, gray, planes;
};

std::vector<ColourCase> colour_cases() {
  std::vector<ColourCase> cases;
  ColorJitter jitter{.brightness = 1.3, .contrast = 0.7, .saturation = 1.15, .hue = -0.07};
  int height = 1, width = 1;
  do {
    cases.push_back({height, width, jitter, true, cases.size() % 5 == 3, cases.size() % 2 == 0});
    jitter.brightness = 1.9 - 0.9 * jitter.brightness;
    jitter.contrast = 2.1 - jitter.contrast;
    jitter.hue = -jitter.hue;
    height = height % 40 + 9;
    width = width % 50 + 17;
  } while (std::next_permutation(jitter.order.begin(), jitter.order.end()));
  cases.push_back({37, 53, {}, false, true, true});
  cases.push_back({37, 53, {}, false, true, false});
  cases.push_back({3, 3, {}, false, false, false});
  return cases;
}

TEST(Crops, ChangeColoursAsOnTheHost) {
  auto const cases = colour_cases();
  Pictures pictures;
  std::vector<ColourChange> jobs;
  for (auto const& c : cases) {
    ColourChange job;
    job.picture = c.planes ? pictures.add_planes(c.height, c.width)
                           : pictures.add_interleaved(c.height, c.width);
    job.jittered = c.jittered ? 1 : 0;
    for (std::size_t i = 0; i < 4; ++i)
      job.order[i] = static_cast<ColourStep>(static_cast<int>(c.jitter.order[i]));
    job.brightness = static_cast<float>(c.jitter.brightness);
    job.contrast = static_cast<float>(c.jitter.contrast);
    job.saturation = static_cast<float>(c.jitter.saturation);
    job.hue = pixel::hue_shift(c.jitter.hue);
    job.gray = c.gray ? 1 : 0;
    jobs.push_back(job);
  }

  run(space, ChangeColours{as<1>(std::as_const(jobs), {std::ssize(jobs)}),
                           as<1>(pictures.bytes, {std::ssize(pictures.bytes)})});

  for (std::size_t i = 0; i < cases.size(); ++i) {
    Planes expected(NoiseImage(cases[i].height, cases[i].width).view());
    if (cases[i].jittered) color_jitter(expected, cases[i].jitter);
    if (cases[i].gray) grayscale(expected);
    EXPECT_EQ(pictures.planes(jobs[i].picture), bytes_of(expected)) << "case " << i;
  }
}

// Every fifth value of each channel, with both ends.
TEST(Crops, ChangeHuesOfAllColoursAsOnTheHost) {
  constexpr int values = 52;
  Bytes cube;
  for (int i = 0; i < values * values * values; ++i)
    for (int const v : {i / values / values, i / values % values, i % values})
      cube.push_back(static_cast<std::uint8_t>(5 * v));
  for (double const turns : {-0.1, 0.0, 0.0999}) {
    Pictures pictures;
    ColourChange job;
    job.picture = PictureLayout::interleaved(pictures.add(cube), values * values, values);
    job.jittered = 1;
    job.hue = pixel::hue_shift(turns);

    run(space, ChangeColours{View<ColourChange const, 1>(&job, {1}),
                             as<1>(pictures.bytes, {std::ssize(pictures.bytes)})});

    Planes expected(RgbView{cube.data(), values, values * values});
    hue(expected, turns);
    EXPECT_EQ(pictures.planes(job.picture), bytes_of(expected)) << turns;
  }
}

constexpr std::array<std::array<int, 2>, 7> blurred{
    {{1, 1}, {1, 7}, {9, 1}, {37, 53}, {100, 33}, {5, 130}, {64, 64}}};

TEST(Crops, AreBlurredByBoxesAsOnTheHost) {
  for (double const radius : {0.0, 0.1, 0.5, 1.0, 1.7320508, 2.0, 5.5, 30.0}) {
    Pictures pictures;
    std::vector<PictureBoxBlur> jobs;
    for (auto const& [height, width] : blurred)
      jobs.push_back({pictures.add_planes(height, width), pixel::box_of(radius)});

    run(space, BoxBlurPictures{as<1>(std::as_const(jobs), {std::ssize(jobs)}), 130,
                               as<1>(pictures.bytes, {std::ssize(pictures.bytes)})});

    for (std::size_t i = 0; i < blurred.size(); ++i) {
      Planes expected(NoiseImage(blurred[i][0], blurred[i][1]).view());
      Blur().pil(expected, radius);
      EXPECT_EQ(pictures.planes(jobs[i].picture), bytes_of(expected))
          << "radius " << radius << ", picture " << i;
    }
  }
}

TEST(Crops, AreBlurredByAGaussianAsOnTheHost) {
  constexpr std::array<std::array<int, 2>, 4> sizes{{{5, 5}, {37, 53}, {17, 300}, {130, 6}}};
  Pictures pictures;
  std::vector<PictureGaussianBlur> jobs;
  double sigma = 0.1;
  for (auto const& [height, width] : sizes) {
    PictureGaussianBlur job;
    job.picture = pictures.add_planes(height, width);
    auto const weights = gaussian_weights(sigma, PictureGaussianBlur::taps);
    std::copy(weights.begin(), weights.end(), job.weights);
    job.out = pictures.add(Bytes(static_cast<std::size_t>(3 * height * width), 99));
    jobs.push_back(job);
    sigma += 0.6;
  }

  run(space, GaussianBlurPictures{as<1>(std::as_const(jobs), {std::ssize(jobs)}), 300,
                                  as<1>(pictures.bytes, {std::ssize(pictures.bytes)})});

  sigma = 0.1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    Planes expected(NoiseImage(sizes[i][0], sizes[i][1]).view());
    Blur().torchvision(expected, sigma, PictureGaussianBlur::taps);
    EXPECT_EQ(pictures.slice(jobs[i].out, 3 * expected.size()), bytes_of(expected)) << "case " << i;
    sigma += 0.6;
  }
}

constexpr std::array<double, 3> mean{0.485, 0.456, 0.406}, deviation_of{0.229, 0.224, 0.225};

TEST(Crops, AreNormalizedWindowsOfPictures) {
  Normalization const normalization(mean, deviation_of);
  auto const values = normalization.values();
  Pictures pictures;
  auto const small = pictures.add_planes(1, 1), large = pictures.add_planes(37, 53);
  std::vector<CropWindow> const jobs{
      {small, 0, 0, 1, 0, 0}, {large, 0, 16, 37, 1, 3}, {large, 5, 2, 31, 0, 3 + 3 * 37 * 37}};
  std::int64_t const size = 3 + 3 * 37 * 37 + 3 * 31 * 31;
  std::vector<float> crops(static_cast<std::size_t>(size), 99.0F);

  run(space,
      NormalizeCrops{as<1>(std::as_const(pictures.bytes), {std::ssize(pictures.bytes)}),
                     as<1>(jobs, {3}), 37, as<3>(values, {2, 3, 256}), as<1>(crops, {size})});

  std::vector<float> plain(3 * 37 * 53), solarized(plain.size());
  Planes const picture(NoiseImage(37, 53).view());
  normalization.apply(picture, plain.data());
  normalization.apply_solarized(picture, solarized.data());
  std::vector<float> expected(3);
  normalization.apply(Planes(NoiseImage(1, 1).view()), expected.data());
  auto const add = [&](std::vector<float> const& from, CropWindow const& w) {
    for (int c = 0; c < 3; ++c)
      for (int y = w.top; y < w.top + w.side; ++y)
        for (int x = w.left; x < w.left + w.side; ++x)
          expected.push_back(from[static_cast<std::size_t>((c * 37 + y) * 53 + x)]);
  };
  add(solarized, jobs[1]);
  add(plain, jobs[2]);
  EXPECT_EQ(crops, expected);
}

TEST(Crops, AreResizedAsNumbersAsOnTheHost) {
  std::vector<CropResize> jobs;
  std::vector<float> crops;
  for (auto const& [n_in, n_out] : {std::array{8, 5}, std::array{5, 8}, std::array{1, 3},
                                    std::array{48, 32}, std::array{9, 9}}) {
    auto const in = random_values<float>(3 * n_in * n_in, 7);
    jobs.push_back({n_in, n_out, std::ssize(crops), std::ssize(crops) + std::ssize(in)});
    crops.insert(crops.end(), in.begin(), in.end());
    crops.resize(crops.size() + static_cast<std::size_t>(3 * n_out * n_out));
  }
  auto const before = crops;

  run(space, ResizeCrops{as<1>(std::as_const(jobs), {std::ssize(jobs)}), 32,
                         as<1>(crops, {std::ssize(crops)})});

  for (auto const& job : jobs) {
    auto const in = std::span(before).subspan(static_cast<std::size_t>(job.in),
                                              static_cast<std::size_t>(3 * job.n_in * job.n_in));
    auto const begin = crops.begin() + job.out;
    EXPECT_EQ(std::vector<float>(begin, begin + 3 * job.n_out * job.n_out),
              resize_float(in, 3, job.n_in, job.n_out, Interpolation::bicubic))
        << job.n_in << " to " << job.n_out;
  }
}

TEST(Crops, OfNoJobsAreNothing) {
  run(space, ResizePictures{});
  run(space, ChangeColours{});
  run(space, BoxBlurPictures{});
  run(space, GaussianBlurPictures{});
  run(space, ResizeCrops{});
}

TEST(Crops, RefuseWhatIsTooLongToBeBlurred) {
  std::vector<PictureBoxBlur> const jobs(1);
  EXPECT_THAT(refusal([&] {
                BoxBlurPictures{as<1>(jobs, {1}), 9000, {}}.check();
              }),
              testing::HasSubstr("crops of 9000 pixels cannot be blurred on the device"));
  EXPECT_THAT(refusal([&] {
                BoxBlurPictures{as<1>(jobs, {1}), 0, {}}.check();
              }),
              testing::HasSubstr("1 jobs whose longest side is 0"));
}

}  // namespace
