// SPDX-License-Identifier: Apache-2.0
// Resizes and normalised values. Compiled with --fmad=false: fused multiply-adds would change
// bytes.
#include "kernels/cuda/crops.cuh"

namespace dino {
namespace {

constexpr int tile = 32;   // outputs of a block along either side
constexpr int strip = 64;  // rows between the two passes that a block holds at a time
constexpr int lines = cuda::block_threads / tile;

__device__ double sum_of_weights(pixel::Taps const& taps) {
  double sum = 0;
  for (int k = 0; k < taps.count; ++k) sum += pixel::bicubic_kernel(taps.place(k));
  return sum;
}

__device__ void write_weights(ResizeAxis const& axis, int output, std::int32_t* weights) {
  auto const taps = pixel::taps_of(axis.in, axis.out, output, 2.0);
  auto const sum = sum_of_weights(taps);
  auto* const entry = weights + axis.entry(output);
  entry[0] = taps.first;
  entry[1] = taps.count;
  for (int k = 0; k < taps.count; ++k)
    entry[2 + k] = pixel::fixed_weight(pixel::bicubic_kernel(taps.place(k)) / sum);
}

/// A thread for each output of either axis.
__global__ void __launch_bounds__(cuda::block_threads)
    weights_kernel(PictureResize const* resizes, std::int64_t jobs, std::int32_t* weights) {
  auto const output = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = resizes[i];
    if (output < job.rows.out) write_weights(job.rows, output, weights);
    if (output < job.columns.out) write_weights(job.columns, output, weights);
  }
}

/// The weighted mean of bytes that lie `step` apart.
__device__ std::uint8_t weighed(std::int32_t const* entry, std::uint8_t const* first,
                                std::int64_t step) {
  std::int32_t sum = pixel::fixed_half;
  int const count = entry[1];
  for (int k = 0; k < count; ++k) sum += entry[2 + k] * first[k * step];
  return pixel::fixed_byte(sum);
}

/// A tile of one channel of a resized picture: strips of rows go through the first pass into shared
/// memory, and each thread adds what its outputs take of them.
__device__ void resize_tile(std::uint8_t const* pictures, std::int32_t const* weights,
                            PictureResize const& job, int channel, int left, int top,
                            std::uint8_t* out) {
  __shared__ std::uint8_t narrow[strip][tile];
  int const width = job.columns.out, height = job.rows.out;
  int const column = static_cast<int>(threadIdx.x) % tile;
  int const line = static_cast<int>(threadIdx.x) / tile;
  int const x = left + column;
  auto const* const across = weights + job.columns.entry(x < width ? x : width - 1);
  auto const* const source = pictures + job.source.at(channel, job.top, job.left + across[0]);
  auto const row_step = job.source.width * job.source.pixel;
  int const bottom = (top + tile < height ? top + tile : height) - 1;
  auto const* const last = weights + job.rows.entry(bottom);
  int const begin = weights[job.rows.entry(top)], end = last[0] + last[1];
  std::int32_t sums[tile / lines];
  for (auto& sum : sums) sum = pixel::fixed_half;
  for (int first = begin; first < end; first += strip) {
    int const rows = end - first < strip ? end - first : strip;
    __syncthreads();  // of the strip before, all have read
    for (int r = line; r < rows; r += lines)
      narrow[r][column] = weighed(across, source + (first + r) * row_step, job.source.pixel);
    __syncthreads();
    for (int i = 0; i < tile / lines; ++i) {
      int const y = top + line + i * lines;
      if (y >= height) continue;
      auto const* const down = weights + job.rows.entry(y);
      int const from = down[0] > first ? down[0] : first;
      int const to = down[0] + down[1] < first + rows ? down[0] + down[1] : first + rows;
      for (int r = from; r < to; ++r) sums[i] += down[2 + r - down[0]] * narrow[r - first][column];
    }
  }
  if (x >= width) return;
  int const target = job.mirrored != 0 ? width - 1 - x : x;
  for (int i = 0; i < tile / lines; ++i) {
    int const y = top + line + i * lines;
    if (y >= height) continue;
    out[job.out + (std::int64_t{channel} * height + y) * width + target] =
        pixel::fixed_byte(sums[i]);
  }
}

__global__ void __launch_bounds__(cuda::block_threads)
    resize_kernel(std::uint8_t const* pictures, std::int32_t const* weights,
                  PictureResize const* resizes, std::int64_t jobs, int tiles, std::uint8_t* out) {
  int const channel = static_cast<int>(blockIdx.x) % 3, place = static_cast<int>(blockIdx.x) / 3;
  int const left = place % tiles * tile, top = place / tiles * tile;
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = resizes[i];
    if (left < job.columns.out && top < job.rows.out)
      resize_tile(pictures, weights, job, channel, left, top, out);
  }
}

__global__ void __launch_bounds__(cuda::block_threads)
    normalize_kernel(std::uint8_t const* pictures, CropWindow const* windows, std::int64_t jobs,
                     float const* values, float* crops) {
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = windows[i];
    int const side = job.side, count = 3 * side * side;
    int const step = static_cast<int>(gridDim.x * blockDim.x);
    for (int at = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); at < count; at += step) {
      int const channel = at / (side * side), y = at / side % side, x = at % side;
      auto const byte = pictures[job.picture.at(channel, job.top + y, job.left + x)];
      crops[job.out + at] = values[(job.solarized * 3 + channel) * 256 + byte];
    }
  }
}

/// The value at (y, x) of a resized plane: of sums along the rows, the sum along the column.
__device__ float resized_value(float const* plane, CropResize const& job, int y, int x) {
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

__global__ void __launch_bounds__(cuda::block_threads)
    resize_crops_kernel(CropResize const* resizes, std::int64_t jobs, float* crops) {
  for (std::int64_t i = blockIdx.y; i < jobs; i += gridDim.y) {
    auto const& job = resizes[i];
    int const side = job.n_out, count = 3 * side * side;
    int const step = static_cast<int>(gridDim.x * blockDim.x);
    for (int at = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); at < count; at += step) {
      auto const* const plane =
          crops + job.in + std::int64_t{at / (side * side)} * job.n_in * job.n_in;
      crops[job.out + at] = resized_value(plane, job, at / side % side, at % side);
    }
  }
}

std::int64_t blocks_of(std::int64_t values, std::int64_t of_a_block) {
  return (values + of_a_block - 1) / of_a_block;
}

}  // namespace

void execute(Cuda const& cuda, ResizeWeights const& op) {
  auto const jobs = op.resizes.size();
  if (jobs == 0) return;
  cuda::launch(
      cuda,
      {cuda::grid_of_jobs(jobs, blocks_of(op.longest, cuda::block_threads)), cuda::block_threads},
      weights_kernel, op.resizes.data(), jobs, op.weights.data());
}

void execute(Cuda const& cuda, ResizePictures const& op) {
  auto const jobs = op.resizes.size();
  if (jobs == 0) return;
  auto const tiles = static_cast<int>(blocks_of(op.longest, tile));
  cuda::launch(cuda, {cuda::grid_of_jobs(jobs, 3 * tiles * tiles), cuda::block_threads},
               resize_kernel, op.pictures.data(), op.weights.data(), op.resizes.data(), jobs, tiles,
               op.out.data());
}

void execute(Cuda const& cuda, NormalizeCrops const& op) {
  auto const jobs = op.windows.size();
  if (jobs == 0) return;
  auto const blocks = blocks_of(3 * std::int64_t{op.longest} * op.longest, 8 * cuda::block_threads);
  cuda::launch(cuda, {cuda::grid_of_jobs(jobs, blocks), cuda::block_threads}, normalize_kernel,
               op.pictures.data(), op.windows.data(), jobs, op.values.data(), op.crops.data());
}

void execute(Cuda const& cuda, ResizeCrops const& op) {
  auto const jobs = op.resizes.size();
  if (jobs == 0) return;
  auto const blocks = blocks_of(3 * std::int64_t{op.longest} * op.longest, cuda::block_threads);
  cuda::launch(cuda, {cuda::grid_of_jobs(jobs, blocks), cuda::block_threads}, resize_crops_kernel,
               op.resizes.data(), jobs, op.crops.data());
}

}  // namespace dino
