// SPDX-License-Identifier: Apache-2.0
#include "train/step.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"
#include "train/part_timer.hpp"

namespace dino::train {

template <class T>
DinoStep<T>::DinoStep(Space const& space, Communicator const& world,
                      shard::Strategy const& strategy, ModelShape const& shape,
                      double center_momentum, optim::ParameterRules const& rules)
    : Base(space, world, strategy, shape, rules),
      whole_batch_(shape.has_batch_norm()),
      loss_(space, shape.head.out_dim, center_momentum) {}

template <class T>
auto DinoStep<T>::local_terms() const -> std::vector<Term> {
  return {{.name = "DINO loss", .value = loss_.local_loss()}};
}

template <class T>
std::vector<LossState> DinoStep<T>::loss_state() const {
  return {{"center", loss_.center()}};
}

template <class T>
void DinoStep<T>::set_loss_state(LossState const& state) {
  loss_.set_center(state.values);
}

template <class T>
void DinoStep<T>::accumulate(Arena& arena, StepBatchSource const& source,
                             StepSettings const& settings) {
  require(
      !whole_batch_ || source.micro_batches == 1, ExitCode::usage,
      "a batch norm takes the statistics of the whole batch, which would come in {} parts. Leave "
      "run.micro_batch out",
      source.micro_batches);
  for (std::int64_t m = 0; m < source.micro_batches; ++m) {
    auto const batch = this->take(source.next);
    micro_batch(arena, batch.views, settings, m + 1 == source.micro_batches ? Last::yes : Last::no);
  }
}

/// The losses of this micro-batch's class tokens.
template <class T>
PrototypeLoss<T> DinoStep<T>::class_loss(CropViews const& crops, StepSettings const& settings) {
  auto const locals = crops.images == 0 ? 0 : crops.local.extent(0) / crops.images;
  TokenLoss<T> tokens{.teacher_rows = 2, .student_rows = 2 + locals};
  tokens.make_targets = [this, &settings](LogitTile& tile) {
    loss_.targets(tile.values, settings.teacher_temperature);
  };
  tokens.cross_entropy = [this, &settings](LossTile<T> const& tile) {
    loss_.template cross_entropy<T>(tile.student, tile.targets, tile.items.size(), global_batch_,
                                    settings.student_temperature, tile.dlogits);
  };
  tokens.observe = observer_;
  return PrototypeLoss<T>(space_, timer_, student_.head.prototypes(), teacher_.head.prototypes(),
                          {std::move(tokens)});
}

/// The teacher's rows before the prototypes, [2 b, bottleneck_dim] on the arena.
template <class T>
View<T const, 2> DinoStep<T>::teacher_rows(Arena& arena, CropViews const& crops) {
  Stopwatch const watch(timer_, Part::teacher);
  auto const rows = arena.take<T, 2>({2 * crops.images, teacher_.head.shape().bottleneck_dim});
  ArenaScope const scope(arena);
  // Batch norms of the teacher take the statistics of the batch too (method.md 1.10).
  auto const features =
      teacher_.backbone->features(arena, std::span(&crops.global, 1), {}, Mode::training, Keep::no);
  auto const normalized = teacher_.head.forward(arena, features, Keep::no);
  run(space_, Cast<T, T>{.x = normalized.flat(), .y = rows.flat()});
  return rows;
}

template <class T>
void DinoStep<T>::micro_batch(Arena& arena, CropViews const& crops, StepSettings const& settings,
                              Last last) {
  ArenaScope const scope(arena);
  auto const store_last =
      last == Last::yes ? shard::ParameterStore<T>::Last::yes : shard::ParameterStore<T>::Last::no;
  auto loss = class_loss(crops, settings);
  loss.add({teacher_rows(arena, crops)});
  auto* const heads = &loss;
  auto memory = take_logit_memory<T>(arena, logits_limit_, std::span(&heads, 1));
  logits_bytes_ = std::max(logits_bytes_, memory.arena.bytes());
  loss.prepare(arena, memory);
  std::vector<ImageView> images{crops.global};
  if (crops.local.extent(2) > 0) images.push_back(crops.local);
  View<T, 2> rows;
  {
    Stopwatch const watch(timer_, Part::student_forward);
    auto const features =
        student_.backbone->features(arena, images, crops.drop_path, Mode::training, Keep::yes);
    spread_.add(space_, View<T const, 2>(features.rows(0, 2 * crops.images)));
    rows = student_.head.forward(arena, features, Keep::yes);
  }
  auto const drows = loss.run_student(arena, memory, 0, rows, store_last);
  Stopwatch const watch(timer_, Part::backward);
  auto const dfeatures = student_.head.backward(arena, drows, store_last);
  student_.backbone->features_backward(arena, images, dfeatures, store_last);
}

template class DinoStep<float>;
template class DinoStep<bfloat16>;

}  // namespace dino::train
