// SPDX-License-Identifier: Apache-2.0
#include "objective/gram_loss.hpp"

#include <algorithm>
#include <array>

#include "kernels/elementwise.hpp"
#include "kernels/gemm.hpp"
#include "kernels/norm.hpp"

namespace dino {
namespace {

constexpr std::int64_t block_rows = 512;  // of the blocks of matrices that are kept at once

double squared(std::int64_t n) {
  return static_cast<double>(n) * static_cast<double>(n);
}

}  // namespace

GramLoss::GramLoss(Space const& space, GramSettings const& settings)
    : space_(space),
      settings_(settings),
      memory_(space, sizeof(double)),
      loss_(memory_.as<double>(0, 1)) {}

void GramLoss::begin_step() {
  copy_to_space(space_, loss_, std::span<double const>(std::array{0.0}));
}

double GramLoss::local_loss() const {
  double value = 0;
  copy_to_host(space_, std::span(&value, 1), View<double const, 1>(loss_));
  return value;
}

void GramLoss::add_crops(Arena& arena, View<float const, 2> student, View<float const, 2> teacher,
                         std::int64_t patches, std::int64_t global_crops, double loss_weight,
                         View<float, 2> gradient) {
  Weights const weights{1.0 / (static_cast<double>(global_crops) * squared(patches)), loss_weight};
  run(space_, Fill<float>{.y = gradient.flat()});
  for (std::int64_t begin = 0; begin < student.extent(0); begin += patches) {
    ArenaScope const scope(arena);
    auto const end = begin + patches;
    auto const crop = features(arena, student.rows(begin, end), teacher.rows(begin, end));
    add_pairs(arena, crop, crop, weights, gradient.rows(begin, end));
    finish_gradient(crop, gradient.rows(begin, end));
  }
}

void GramLoss::add_batch(Arena& arena, Communicator const& world, View<float const, 2> student,
                         View<float const, 2> teacher, double loss_weight,
                         View<float, 2> gradient) {
  ArenaScope const scope(arena);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(world.size()));
  counts[static_cast<std::size_t>(world.rank())] = student.extent(0);
  world.sum(std::span(counts));
  if (world.is_imaginary()) std::fill(counts.begin(), counts.end(), student.extent(0));
  std::int64_t rows = 0;
  for (auto const count : counts) rows += count;
  if (rows == 0) return;
  Weights const weights{1.0 / squared(rows), loss_weight};
  auto const own = features(arena, student, teacher);
  auto const buffer = arena.take<float, 3>({2, block_rows, student.extent(1)});
  run(space_, Fill<float>{.y = gradient.flat()});
  for (int root = 0; root < world.size(); ++root) {
    auto const count = counts[static_cast<std::size_t>(root)];
    share(world, root, own, 2 * count * student.extent(1));
    if (root == world.rank()) {
      add_pairs(arena, own, own, weights, gradient);
    } else {
      add_received(arena, own, count, buffer, weights, gradient);
    }
  }
  finish_gradient(own, gradient);
}

/// What `root` has of features, to `received_` of all others.
void GramLoss::share(Communicator const& world, int root, Features const& own,
                     std::int64_t values) {
  if (world.size() == 1 || values == 0) return;
  auto const size = static_cast<std::size_t>(values);
  if (is_dry(space_)) return world.broadcast({no_memory<std::byte>(), size * sizeof(float)}, root);
  if (received_.size() < size) received_.resize(size);
  auto const all = std::span(received_).first(size);
  if (root == world.rank()) {
    copy_to_host(space_, all.first(size / 2), own.student);
    copy_to_host(space_, all.last(size / 2), own.teacher);
  }
  world.broadcast(std::as_writable_bytes(all), root);
}

/// Pairs of own rows with the `count` rows that another rank sent.
void GramLoss::add_received(Arena& arena, Features const& own, std::int64_t count,
                            View<float, 3> buffer, Weights weights, View<float, 2> gradient) {
  if (own.student.extent(0) == 0) return;
  auto const dim = buffer.extent(2);
  auto const sent = std::span<float const>(received_);
  for (std::int64_t begin = 0; begin < count; begin += block_rows) {
    auto const rows = std::min(block_rows, count - begin);
    auto const part = [&](std::int64_t which) {  // 0: student, 1: teacher
      auto const y = buffer.rows(which, which + 1).reshaped<2>({block_rows, dim}).rows(0, rows);
      if (!is_dry(space_))
        copy_to_space(space_, y,
                      sent.subspan(static_cast<std::size_t>((which * count + begin) * dim),
                                   static_cast<std::size_t>(rows * dim)));
      return y;
    };
    add_pairs(arena, own, {part(0), part(1), {}}, weights, gradient);
  }
}

GramLoss::Features GramLoss::features(Arena& arena, View<float const, 2> student,
                                      View<float const, 2> teacher) {
  if (!settings_.normalized) return {student, teacher, {}};
  auto const normalized = [&](View<float const, 2> x, View<float, 1> norm) {
    auto const y = arena.take<float, 2>(x.extents());
    run(space_, L2NormalizeForward<float>{.x = x, .y = y, .norm = norm});
    return y;
  };
  auto const norm = arena.take<float, 1>({student.extent(0)});
  auto const y = normalized(teacher, norm);  // whose lengths are not needed
  return {normalized(student, norm), y, norm};
}

/// Adds the elements of the matrices that belong to a row of `own` and a column of `others`, and
/// their gradient with respect to `own` as far as it is normalised.
void GramLoss::add_pairs(Arena& arena, Features const& own, Features const& others, Weights weights,
                         View<float, 2> gradient) {
  ArenaScope const scope(arena);
  auto const n = own.student.extent(0), m = others.student.extent(0);
  auto const student = arena.take<float, 1>({std::min(n, block_rows) * std::min(m, block_rows)});
  auto const teacher = arena.take<float, 1>(student.extents());
  for (std::int64_t j = 0; j < m; j += block_rows) {
    for (std::int64_t i = 0; i < n; i += block_rows) {
      auto const to_i = std::min(n, i + block_rows), to_j = std::min(m, j + block_rows);
      // Transposed, so that the gradient of own rows is a product that adds.
      auto const block = [&](View<float const, 2> mine, View<float const, 2> theirs,
                             View<float, 1> memory) {
        auto const y = memory.rows(0, (to_j - j) * (to_i - i)).reshaped<2>({to_j - j, to_i - i});
        run(space_,
            LinearForward<float>{
                .x = theirs.rows(j, to_j), .weight = mine.rows(i, to_i), .bias = {}, .y = y});
        return y;
      };
      auto const s = block(own.student, others.student, student);
      // Each row of X stands on both sides of X Xᵀ: twice the gradient of one.
      run(space_, GramDifference{.student = s,
                                 .teacher = block(own.teacher, others.teacher, teacher),
                                 .negatives = settings_.negatives,
                                 .weight = weights.element,
                                 .gradient_factor = 2 * weights.objective,
                                 .loss = loss_});
      run(space_, LinearBackwardWeight<float>{.x = others.student.rows(j, to_j),
                                              .dy = s,
                                              .dweight = gradient.rows(i, to_i),
                                              .dbias = {}});
    }
  }
}

void GramLoss::finish_gradient(Features const& own, View<float, 2> gradient) {
  if (!settings_.normalized) return;
  run(space_, L2NormalizeBackward<float>{
                  .dy = gradient, .y = own.student, .norm = own.norm, .dx = gradient});
}

}  // namespace dino
