// SPDX-License-Identifier: Apache-2.0
// Colours and blurs. Compiled with --fmad=false: fused multiply-adds would change bytes.
#include "kernels/cuda/crops.cuh"
#include "kernels/cuda/reduce.cuh"

namespace dino {
namespace {

constexpr int colour_threads = 512;

/// Steps [begin, end) of a jitter. \param mean  grey of the picture, for contrast
__device__ pixel::Rgb change(ColourChange const& job, int begin, int end, float mean,
                             pixel::Rgb c) {
  for (int i = begin; i < end; ++i) {
    if (job.order[i] == ColourStep::hue) {
      auto hsv = pixel::to_hsv(c.r, c.g, c.b);
      hsv.h = (hsv.h + job.hue) & 255;
      c = pixel::to_rgb(hsv);
      continue;
    }
    float base = 0.0F, factor = job.brightness;
    if (job.order[i] == ColourStep::contrast) {
      base = mean;
      factor = job.contrast;
    } else if (job.order[i] == ColourStep::saturation) {
      base = static_cast<float>(pixel::luma(c.r, c.g, c.b));
      factor = job.saturation;
    }
    auto const blend = [&](int v) -> int {
      return pixel::blend(base, static_cast<float>(v), factor);
    };
    c = {blend(c.r), blend(c.g), blend(c.b)};
  }
  return c;
}

/// A block changes a picture in two passes: the steps before contrast, which needs the mean grey
/// after them, and the others.
__device__ void change_picture(ColourChange const& job, std::uint8_t* pictures) {
  auto* const first = pictures + job.picture.begin;
  auto const pixels = job.picture.pixels(), channel = job.picture.channel;
  auto const load = [&](std::uint8_t const* p) {
    return pixel::Rgb{p[0], p[channel], p[2 * channel]};
  };
  auto const store = [&](std::uint8_t* p, pixel::Rgb const& c) {
    p[0] = static_cast<std::uint8_t>(c.r);
    p[channel] = static_cast<std::uint8_t>(c.g);
    p[2 * channel] = static_cast<std::uint8_t>(c.b);
  };
  int middle = 0;
  float mean = 0.0F;
  if (job.jittered != 0) {
    while (job.order[middle] != ColourStep::contrast) ++middle;
    std::int64_t sum = 0;
    for (std::int64_t i = threadIdx.x; i < pixels; i += blockDim.x) {
      auto* const p = first + i * job.picture.pixel;
      auto const c = change(job, 0, middle, 0.0F, load(p));
      if (middle > 0) store(p, c);
      sum += pixel::luma(c.r, c.g, c.b);
    }
    mean = static_cast<float>(pixel::mean_gray(cuda::block_sum(sum), pixels));
  }
  for (std::int64_t i = threadIdx.x; i < pixels; i += blockDim.x) {
    auto* const p = first + i * job.picture.pixel;
    auto c = load(p);
    if (job.jittered != 0) c = change(job, middle, 4, mean, c);
    if (job.gray != 0) c.r = c.g = c.b = pixel::luma(c.r, c.g, c.b);
    store(p, c);
  }
}

__global__ void __launch_bounds__(colour_threads)
    colours_kernel(ColourChange const* changes, std::int64_t jobs, std::uint8_t* pictures) {
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) change_picture(changes[i], pictures);
}

enum class Along { rows, columns };
constexpr int most_blur_lines = 32;
constexpr std::size_t blur_bytes = std::size_t{48} << 10;

/// Three box blurs of some lines of a plane, between which they lie in shared memory. Neighbouring
/// threads have neighbouring pixels.
template <Along along>
__device__ void blur_lines(pixel::Box const& box, std::uint8_t* plane, int height, int width,
                           int first, int lines, std::uint8_t* now, std::uint8_t* next) {
  constexpr bool down = along == Along::columns;
  int const length = down ? height : width;
  int const across = down ? lines : 1, step = down ? 1 : length;  // shared: of a pixel, of a line
  auto const pixel_at = [&](int line, int at) {
    return down ? std::int64_t{at} * width + first + line
                : (std::int64_t{first} + line) * width + at;
  };
  int const count = lines * length, threads = static_cast<int>(blockDim.x);
  int const thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < count; i += threads) {
    int const line = down ? i % lines : i / length, at = down ? i / lines : i % length;
    now[i] = plane[pixel_at(line, at)];
  }
  for (int pass = 0; pass < 3; ++pass) {
    __syncthreads();
    for (int i = thread; i < count; i += threads) {
      int const line = down ? i % lines : i / length, at = down ? i / lines : i % length;
      auto const value = [&](int k) {
        int const inside = k < 0 ? 0 : (k >= length ? length - 1 : k);
        return std::uint32_t{now[line * step + inside * across]};
      };
      std::uint32_t inner = 0;
      for (int k = at - box.radius; k <= at + box.radius; ++k) inner += value(k);
      auto const out =
          pixel::boxed(box, inner, value(at - box.radius - 1) + value(at + box.radius + 1));
      if (pass == 2) {
        plane[pixel_at(line, at)] = out;
      } else {
        next[i] = out;
      }
    }
    auto* const swapped = now;
    now = next;
    next = swapped;
  }
  __syncthreads();  // before the next picture takes the memory
}

/// \param lines  of a block, at most
template <Along along>
__global__ void __launch_bounds__(cuda::block_threads)
    box_blur_kernel(PictureBoxBlur const* blurs, std::int64_t jobs, int lines, int longest,
                    std::uint8_t* pictures) {
  DINO_DYNAMIC_SHARED(std::uint8_t, line_bytes);
  int const channel = static_cast<int>(blockIdx.x) % 3;
  int const first = static_cast<int>(blockIdx.x) / 3 * lines;
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = blurs[i];
    int const height = job.picture.height, width = job.picture.width;
    int const all = along == Along::columns ? width : height;
    if (first >= all) continue;
    blur_lines<along>(job.box, pictures + job.picture.at(channel, 0, 0), height, width, first,
                      all - first < lines ? all - first : lines, line_bytes,
                      line_bytes + lines * longest);
  }
}

template <Along along>
void launch_box_blur(Cuda const& cuda, BoxBlurPictures const& op) {
  auto const fit = static_cast<int>(blur_bytes / 2) / op.longest;
  int const lines = std::min(fit, most_blur_lines);
  auto const blocks = 3 * ((op.longest + lines - 1) / lines);
  cuda::launch(cuda,
               {cuda::grid_of_jobs(op.blurs.size(), blocks), cuda::block_threads,
                static_cast<std::size_t>(2 * lines * op.longest)},
               box_blur_kernel<along>, op.blurs.data(), op.blurs.size(), lines, op.longest,
               op.pictures.data());
}

constexpr int gaussian_rows = 8;  // of a block

/// A row of a plane: sums down the columns in shared memory, then along the row.
__device__ void gaussian_row(PictureGaussianBlur const& job, std::uint8_t const* plane, int y,
                             float* sums, std::uint8_t* out) {
  constexpr int taps = PictureGaussianBlur::taps, half = taps / 2;
  int const height = job.picture.height, width = job.picture.width;
  __syncthreads();  // of the row before, all have read
  for (int x = static_cast<int>(threadIdx.x); x < width; x += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int k = 0; k < taps; ++k)
      sum +=
          job.weights[k] * plane[std::int64_t{pixel::reflected(y + k - half, height)} * width + x];
    sums[x] = sum;
  }
  __syncthreads();
  for (int x = static_cast<int>(threadIdx.x); x < width; x += static_cast<int>(blockDim.x)) {
    float sum = 0;
    for (int k = 0; k < taps; ++k)
      sum += job.weights[k] * sums[pixel::reflected(x + k - half, width)];
    out[x] = pixel::nearest_byte(sum);
  }
}

__global__ void __launch_bounds__(cuda::block_threads)
    gaussian_kernel(PictureGaussianBlur const* blurs, std::int64_t jobs, std::uint8_t* pictures) {
  DINO_DYNAMIC_SHARED(float, column_sums);
  int const channel = static_cast<int>(blockIdx.x) % 3;
  int const first = static_cast<int>(blockIdx.x) / 3 * gaussian_rows;
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = blurs[i];
    int const height = job.picture.height, width = job.picture.width;
    for (int y = first; y < first + gaussian_rows && y < height; ++y) {
      auto const row = std::int64_t{channel} * height + y;
      gaussian_row(job, pictures + job.picture.at(channel, 0, 0), y, column_sums,
                   pictures + job.out + row * width);
    }
  }
}

}  // namespace

void execute(Cuda const& cuda, ChangeColours const& op) {
  auto const jobs = op.changes.size();
  if (jobs == 0) return;
  cuda::launch(cuda, {cuda::grid_of_jobs(jobs, 1), colour_threads}, colours_kernel,
               op.changes.data(), jobs, op.pictures.data());
}

void execute(Cuda const& cuda, BoxBlurPictures const& op) {
  if (op.blurs.size() == 0) return;
  launch_box_blur<Along::rows>(cuda, op);
  launch_box_blur<Along::columns>(cuda, op);
}

void execute(Cuda const& cuda, GaussianBlurPictures const& op) {
  auto const jobs = op.blurs.size();
  if (jobs == 0) return;
  auto const blocks = 3 * ((op.longest + gaussian_rows - 1) / gaussian_rows);
  cuda::launch(cuda,
               {cuda::grid_of_jobs(jobs, blocks), cuda::block_threads,
                static_cast<std::size_t>(op.longest) * sizeof(float)},
               gaussian_kernel, op.blurs.data(), jobs, op.pictures.data());
}

}  // namespace dino
