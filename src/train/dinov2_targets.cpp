// SPDX-License-Identifier: Apache-2.0
// Rows of a frozen teacher whose passes several students share: computed once over all ranks, then
// given to those that have the images.
#include <numeric>

#include "kernels/residual.hpp"
#include "train/dinov2_step.hpp"
#include "train/part_timer.hpp"
#include "train/token_rows.hpp"

namespace dino::train {
namespace {

/// The rows of some micro-batches in the order of their images, which is that of an exchange.
struct ImageOrder {
  std::vector<std::int64_t> counts;                ///< rows of each image
  std::vector<std::vector<std::int32_t>> sources;  ///< of each micro-batch: its row at each place
  std::int64_t rows = 0;

  /// Appends a micro-batch, whose rows lie crop-major. \param of_crop  rows of each crop, [2
  /// images]
  void add(std::vector<std::int64_t> const& of_crop) {
    std::vector<std::int64_t> begin(of_crop.size() + 1, 0);
    std::partial_sum(of_crop.begin(), of_crop.end(), begin.begin() + 1);
    auto& source = sources.emplace_back();
    auto const images = of_crop.size() / 2;
    for (std::size_t image = 0; image < images; ++image) {
      counts.push_back(of_crop[image] + of_crop[images + image]);
      for (auto const crop : {image, images + image})
        for (auto row = begin[crop]; row < begin[crop + 1]; ++row)
          source.push_back(static_cast<std::int32_t>(row));
    }
    rows += begin.back();
  }
};

std::vector<std::int32_t> inverse(std::vector<std::int32_t> const& order) {
  std::vector<std::int32_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  return place;
}

/// Calls visit(micro-batch, its places among all rows).
void for_each_part(ImageOrder const& order, auto const& visit) {
  std::int64_t begin = 0;
  for (std::size_t m = 0; m < order.sources.size(); ++m) {
    auto const end = begin + std::ssize(order.sources[m]);
    visit(m, Share{begin, end});
    begin = end;
  }
}

}  // namespace

template <class T>
void DinoV2Step<T>::share_targets(Arena& arena, StepBatchSource const& source,
                                  std::vector<Work>& work) {
  ArenaScope const scope(arena);
  std::vector<Work> passes(static_cast<std::size_t>(source.teacher_micro_batches));
  for (auto& part : passes) {
    part.of_student = false;
    part.batch = this->take(source.next_of_teacher);
    prepare(arena, part);
    Stopwatch const watch(timer_, Part::teacher);
    teacher_pass(arena, part);
  }
  Stopwatch const watch(timer_, Part::communication);
  exchange_rows(arena, passes, work, Tokens::classes);
  if (with_ibot()) exchange_rows(arena, passes, work, Tokens::patches);
}

template <class T>
void DinoV2Step<T>::exchange_rows(Arena& arena, std::vector<Work> const& passes,
                                  std::vector<Work>& work, Tokens tokens) {
  ArenaScope const scope(arena);
  bool const classes = tokens == Tokens::classes;
  auto const rows_of = [&](Work const& part) {
    return classes ? part.teacher_classes : part.teacher_patches;
  };
  auto const order_of = [&](std::vector<Work> const& parts) {
    ImageOrder order;
    for (auto const& part : parts) {
      if (part.globals() == 0) {  // which has no masks either
        order.add({});
        continue;
      }
      auto const crops = static_cast<std::size_t>(part.globals());
      order.add(classes ? std::vector<std::int64_t>(crops, 1) : part.views().masks->counts);
    }
    return order;
  };
  auto const width = (classes ? target_head() : target_patch_head()).shape().bottleneck_dim;
  auto const from = order_of(passes), to = order_of(work);
  auto const sent = arena.take<T, 2>({from.rows, width});
  auto const received = arena.take<T, 2>({to.rows, width});
  for_each_part(from, [&](std::size_t m, Share places) {
    run(space_, RowGather<T>{.x = rows_of(passes[m]),
                             .rows = to_space(space_, arena, from.sources[m]),
                             .y = sent.rows(places.begin, places.end)});
  });
  if (is_host(space_)) {
    exchange_->run(global_batch_, View<T const, 2>(sent), from.counts, received, to.counts);
  } else if (!is_dry(space_)) {  // by way of the host, whose memory MPI can reach
    std::vector<T> out(static_cast<std::size_t>(sent.size())),
        in(static_cast<std::size_t>(received.size()));
    copy_to_host(space_, std::span(out), View<T const, 2>(sent));
    exchange_->run(global_batch_, View<T const, 2>{out.data(), sent.extents()}, from.counts,
                   View<T, 2>{in.data(), received.extents()}, to.counts);
    copy_to_space(space_, received, std::span<T const>(in));
  }
  for_each_part(to, [&](std::size_t m, Share places) {
    run(space_, RowGather<T>{.x = received.rows(places.begin, places.end),
                             .rows = to_space(space_, arena, inverse(to.sources[m])),
                             .y = rows_of(work[m])});
  });
}

template class DinoV2Step<float>;
template class DinoV2Step<bfloat16>;

}  // namespace dino::train
