// SPDX-License-Identifier: Apache-2.0
#include "train/step.hpp"

#include "base/error.hpp"
#include "kernels/elementwise.hpp"
#include "train/stopwatch.hpp"

namespace dino::train {

template <class T>
DinoStep<T>::DinoStep(Space const& space, Communicator const& world,
                      shard::Strategy const& strategy, ModelShape const& shape,
                      double center_momentum)
    : Base(space, world, strategy, shape, {}), loss_(space, shape.head.out_dim, center_momentum) {}

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
  for (std::int64_t m = 0; m < source.micro_batches; ++m) {
    auto const batch = source.next();
    micro_batch(arena, batch.views, settings, m + 1 == source.micro_batches ? Last::yes : Last::no);
  }
}

template <class T>
void DinoStep<T>::micro_batch(Arena& arena, CropViews const& crops, StepSettings const& settings,
                              Last last) {
  ArenaScope const scope(arena);
  auto const store_last =
      last == Last::yes ? shard::ParameterStore<T>::Last::yes : shard::ParameterStore<T>::Last::no;
  View<float, 2> teacher_logits;
  {
    Stopwatch const watch(times_.teacher);
    // The logits outlive the teacher's activations: they are taken first and copied.
    auto const k = loss_.prototypes();
    teacher_logits = arena.take<float, 2>({2 * crops.images, k});
    ArenaScope const inner(arena);
    auto const tokens = teacher_.backbone.forward(arena, std::span(&crops.global, 1), {}, Keep::no);
    auto const cls =
        teacher_.backbone.normalize(arena, teacher_.backbone.class_tokens(arena, tokens), Keep::no);
    auto const logits = teacher_.head.forward(arena, cls, Keep::no);
    run(space_, Cast<float, float>{.x = logits.flat(), .y = teacher_logits.flat()});
  }
  std::vector<ImageView> images{crops.global};
  if (!crops.local.extents().empty() && crops.local.extent(2) > 0) images.push_back(crops.local);
  View<float, 2> logits;
  {
    Stopwatch const watch(times_.student_forward);
    auto const tokens = student_.backbone.forward(arena, images, crops.drop_path, Keep::yes);
    auto const cls = student_.backbone.normalize(
        arena, student_.backbone.class_tokens(arena, tokens), Keep::yes);
    spread_.add(space_, View<T const, 2>(cls.rows(0, 2 * crops.images)));
    logits = student_.head.forward(arena, cls, Keep::yes);
  }
  View<T, 2> dlogits;
  {
    Stopwatch const watch(times_.loss);
    if (observer_) observer_(logits, teacher_logits);
    auto const targets = loss_.targets(teacher_logits, settings.teacher_temperature);
    dlogits = loss_.template cross_entropy<T>(arena, logits, targets, crops.images, global_batch_,
                                              settings.student_temperature);
  }
  Stopwatch const watch(times_.backward);
  auto const dcls = student_.head.backward(arena, dlogits, store_last);
  student_.backbone.normalize_backward(dcls, dcls, store_last);
  auto const dtokens = student_.backbone.class_tokens_backward(arena, dcls);
  student_.backbone.backward(arena, images, dtokens, store_last);
}

template class DinoStep<float>;
template class DinoStep<bfloat16>;

}  // namespace dino::train
