// SPDX-License-Identifier: Apache-2.0
// The specification of the device's crops. Host runs make theirs with the loader's threads (data/),
// to the same bits. Compiled with -ffp-contract=off.
#include "kernels/crops.hpp"

#include <array>

namespace dino {
namespace {

/// The weight of the k-th tap before they are normalised, in order, and their sum.
double sum_of_weights(pixel::Taps const& taps) {
  double sum = 0;
  for (int k = 0; k < taps.count; ++k) sum += pixel::bicubic_kernel(taps.place(k));
  return sum;
}

void write_weights(ResizeAxis const& axis, View<std::int32_t, 1> table) {
  for (int i = 0; i < axis.out; ++i) {
    auto const taps = pixel::taps_of(axis.in, axis.out, i, 2.0);
    auto const sum = sum_of_weights(taps);
    auto* const entry = table.data() + axis.entry(i);
    entry[0] = taps.first;
    entry[1] = taps.count;
    for (int k = 0; k < taps.count; ++k)
      entry[2 + k] = pixel::fixed_weight(pixel::bicubic_kernel(taps.place(k)) / sum);
  }
}

/// The weighted mean of bytes that lie `step` apart.
std::uint8_t weighed(std::int32_t const* entry, std::uint8_t const* first, std::int64_t step) {
  std::int32_t sum = pixel::fixed_half;
  for (int k = 0; k < entry[1]; ++k) sum += entry[2 + k] * first[k * step];
  return pixel::fixed_byte(sum);
}

void resize_channel(ResizePictures const& op, PictureResize const& job, int channel) {
  auto const height = job.rows.out, width = job.columns.out;
  auto* const out = op.out.data() + job.out + std::int64_t{channel} * height * width;
  for (int y = 0; y < height; ++y) {
    auto const* const down = op.weights.data() + job.rows.entry(y);
    for (int x = 0; x < width; ++x) {
      auto const* const across = op.weights.data() + job.columns.entry(x);
      std::int32_t sum = pixel::fixed_half;
      for (int k = 0; k < down[1]; ++k) {
        auto const first = job.source.at(channel, job.top + down[0] + k, job.left + across[0]);
        sum += down[2 + k] * weighed(across, op.pictures.data() + first, job.source.pixel);
      }
      auto const target = job.mirrored != 0 ? width - 1 - x : x;
      out[std::int64_t{y} * width + target] = pixel::fixed_byte(sum);
    }
  }
}

/// The bytes of a pixel.
struct Pixel {
  std::uint8_t &r, &g, &b;
  void set(pixel::Rgb const& c) const {
    r = static_cast<std::uint8_t>(c.r);
    g = static_cast<std::uint8_t>(c.g);
    b = static_cast<std::uint8_t>(c.b);
  }
};

template <class Change>
void for_pixels(ChangeColours const& op, ColourChange const& job, Change const& change) {
  auto* const first = op.pictures.data() + job.picture.begin;
  for (std::int64_t i = 0; i < job.picture.pixels(); ++i) {
    auto* const p = first + i * job.picture.pixel;
    change(Pixel{p[0], p[job.picture.channel], p[2 * job.picture.channel]});
  }
}

void blend_all(ChangeColours const& op, ColourChange const& job, float base, float factor) {
  for_pixels(op, job, [&](Pixel const& p) {
    p.set({pixel::blend(base, p.r, factor), pixel::blend(base, p.g, factor),
           pixel::blend(base, p.b, factor)});
  });
}

void change_step(ChangeColours const& op, ColourChange const& job, ColourStep step) {
  auto const luma = [](Pixel const& p) { return pixel::luma(p.r, p.g, p.b); };
  if (step == ColourStep::brightness) return blend_all(op, job, 0.0F, job.brightness);
  if (step == ColourStep::contrast) {
    std::int64_t sum = 0;
    for_pixels(op, job, [&](Pixel const& p) { sum += luma(p); });
    auto const mean = static_cast<float>(pixel::mean_gray(sum, job.picture.pixels()));
    return blend_all(op, job, mean, job.contrast);
  }
  for_pixels(op, job, [&](Pixel const& p) {
    if (step == ColourStep::saturation) {
      auto const gray = static_cast<float>(luma(p));
      p.set({pixel::blend(gray, p.r, job.saturation), pixel::blend(gray, p.g, job.saturation),
             pixel::blend(gray, p.b, job.saturation)});
    } else {
      auto hsv = pixel::to_hsv(p.r, p.g, p.b);
      hsv.h = (hsv.h + job.hue) & 255;
      p.set(pixel::to_rgb(hsv));
    }
  });
}

/// A box blur of `n` bytes that lie `step` apart, with the edges repeated.
void box_blur(pixel::Box const& box, std::uint8_t* line, int n, std::int64_t step) {
  std::array<std::uint8_t, longest_blurred> before;
  for (int i = 0; i < n; ++i) before[static_cast<std::size_t>(i)] = line[i * step];
  auto const at = [&](int i) {
    return std::uint32_t{before[static_cast<std::size_t>(std::clamp(i, 0, n - 1))]};
  };
  for (int i = 0; i < n; ++i) {
    std::uint32_t inner = 0;
    for (int k = -box.radius; k <= box.radius; ++k) inner += at(i + k);
    line[i * step] = pixel::boxed(box, inner, at(i - box.radius - 1) + at(i + box.radius + 1));
  }
}

void box_blur_plane(PictureBoxBlur const& job, std::uint8_t* plane) {
  auto const height = job.picture.height, width = job.picture.width;
  for (int y = 0; y < height; ++y)
    for (int pass = 0; pass < 3; ++pass)
      box_blur(job.box, plane + std::int64_t{y} * width, width, 1);
  for (int x = 0; x < width; ++x)
    for (int pass = 0; pass < 3; ++pass) box_blur(job.box, plane + x, height, width);
}

constexpr int gaussian_half = PictureGaussianBlur::taps / 2;

/// The sum down a column.
float column_sum(PictureGaussianBlur const& job, std::uint8_t const* plane, int y, int x) {
  float sum = 0;
  for (int k = -gaussian_half; k <= gaussian_half; ++k) {
    auto const row = std::int64_t{pixel::reflected(y + k, job.picture.height)};
    sum += job.weights[k + gaussian_half] * plane[row * job.picture.width + x];
  }
  return sum;
}

void gaussian_row(PictureGaussianBlur const& job, std::uint8_t const* plane, int y,
                  std::uint8_t* out) {
  for (int x = 0; x < job.picture.width; ++x) {
    float sum = 0;
    for (int k = -gaussian_half; k <= gaussian_half; ++k) {
      auto const column = pixel::reflected(x + k, job.picture.width);
      sum += job.weights[k + gaussian_half] * column_sum(job, plane, y, column);
    }
    out[x] = pixel::nearest_byte(sum);
  }
}

/// The value at (y, x) of a resized plane: of sums along the rows, the sum along the column.
float resized_value(float const* plane, CropResize const& job, int y, int x) {
  auto const rows = pixel::taps_of(job.n_in, job.n_out, y, 2.0);
  auto const columns = pixel::taps_of(job.n_in, job.n_out, x, 2.0);
  auto const row_sum = sum_of_weights(rows), column_sum = sum_of_weights(columns);
  double sum = 0;
  for (int j = 0; j < rows.count; ++j) {
    auto const* const row = plane + std::int64_t{rows.first + j} * job.n_in + columns.first;
    double narrow = 0;
    for (int k = 0; k < columns.count; ++k)
      narrow += pixel::bicubic_kernel(columns.place(k)) / column_sum * static_cast<double>(row[k]);
    sum += pixel::bicubic_kernel(rows.place(j)) / row_sum * narrow;
  }
  return static_cast<float>(sum);
}

}  // namespace

void execute(Host const&, ResizeWeights const& op) {
  for (auto const& job : op.resizes.span()) {
    write_weights(job.rows, op.weights);
    write_weights(job.columns, op.weights);
  }
}

void execute(Host const&, ResizePictures const& op) {
  for (auto const& job : op.resizes.span())
    for (int channel = 0; channel < 3; ++channel) resize_channel(op, job, channel);
}

void execute(Host const&, ChangeColours const& op) {
  for (auto const& job : op.changes.span()) {
    if (job.jittered != 0)
      for (auto const step : job.order) change_step(op, job, step);
    if (job.gray == 0) continue;
    for_pixels(op, job, [](Pixel const& p) {
      auto const gray = pixel::luma(p.r, p.g, p.b);
      p.set({gray, gray, gray});
    });
  }
}

void execute(Host const&, BoxBlurPictures const& op) {
  for (auto const& job : op.blurs.span())
    for (int c = 0; c < 3; ++c) box_blur_plane(job, op.pictures.data() + job.picture.at(c, 0, 0));
}

void execute(Host const&, GaussianBlurPictures const& op) {
  for (auto const& job : op.blurs.span()) {
    for (int row = 0; row < 3 * job.picture.height; ++row) {
      auto const c = row / job.picture.height;
      gaussian_row(job, op.pictures.data() + job.picture.at(c, 0, 0), row % job.picture.height,
                   op.pictures.data() + job.out + std::int64_t{row} * job.picture.width);
    }
  }
}

void execute(Host const&, NormalizeCrops const& op) {
  for (auto const& job : op.windows.span()) {
    auto* out = op.crops.data() + job.out;
    for (int c = 0; c < 3; ++c) {
      auto const* const values = op.values.row(job.solarized) + 256 * c;
      for (int y = 0; y < job.side; ++y)
        for (int x = 0; x < job.side; ++x)
          *out++ = values[op.pictures[job.picture.at(c, job.top + y, job.left + x)]];
    }
  }
}

void execute(Host const&, ResizeCrops const& op) {
  for (auto const& job : op.resizes.span()) {
    auto* out = op.crops.data() + job.out;
    for (int c = 0; c < 3; ++c) {
      auto const* const plane = op.crops.data() + job.in + std::int64_t{c} * job.n_in * job.n_in;
      for (int y = 0; y < job.n_out; ++y)
        for (int x = 0; x < job.n_out; ++x) *out++ = resized_value(plane, job, y, x);
    }
  }
}

}  // namespace dino
