// SPDX-License-Identifier: Apache-2.0
#include "train/step.hpp"

#include <chrono>
#include <cmath>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"

namespace dino::train {
namespace {

/// Adds the time of its life to a counter.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  Stopwatch(Stopwatch const&) = delete;
  Stopwatch& operator=(Stopwatch const&) = delete;
  ~Stopwatch() {
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

template <class T>
DinoStep<T>::DinoStep(Space const& space, Communicator const& world,
                      shard::Strategy const& strategy, ModelShape const& shape,
                      double center_momentum)
    : space_(space),
      world_(world),
      groups_(shard::ShardGroups::make(world, strategy.group_size)),
      student_(space, groups_, strategy, shape, shard::Role::student),
      teacher_(space, groups_, strategy, shape, shard::Role::teacher),
      loss_(space, shape.head.out_dim, center_momentum),
      optimizer_(space, student_.store) {}

template <class T>
void DinoStep<T>::initialize(std::uint64_t seed) {
  student_.store.initialize(seed);
  teacher_.store.initialize(seed);
  student_.store.invalidate();
  teacher_.store.invalidate();
}

template <class T>
void DinoStep<T>::begin(std::int64_t global_batch) {
  global_batch_ = global_batch;
  times_ = {};
  student_.store.zero_gradients();
  loss_.begin_step();
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

template <class T>
StepResult DinoStep<T>::finish(StepSettings const& settings, std::int64_t step, bool stop) {
  StepResult result;
  std::vector<double> shared(static_cast<std::size_t>(world_.size()) + 2, 0.0);
  {
    Stopwatch const watch(times_.communication);
    student_.store.finish_gradients();
    auto const local = loss_.local_loss();
    shared[static_cast<std::size_t>(world_.rank())] = std::isfinite(local) ? 0.0 : 1.0;
    shared[shared.size() - 2] = local;
    shared.back() = stop ? 1.0 : 0.0;
    world_.sum(std::span(shared));
    result.loss = shared[shared.size() - 2];
    result.stop = shared.back() > 0;
    result.gradient_norms = optimizer_.gradient_norms();
  }
  check_finite(shared, result, step);
  Stopwatch const watch(times_.optimizer);
  optimizer_.step({.lr = settings.lr,
                   .weight_decay = settings.weight_decay,
                   .clip_grad = settings.clip_grad,
                   .freeze_last_layer = settings.freeze_last_layer,
                   .beta1 = settings.beta1,
                   .beta2 = settings.beta2,
                   .eps = settings.eps},
                  result.gradient_norms);
  optim::update_teacher(space_, teacher_.store, student_.store, settings.momentum);
  result.teacher = loss_.finish_step(world_, global_batch_);
  return result;
}

template <class T>
void DinoStep<T>::check_finite(std::vector<double> const& shared, StepResult const& result,
                               std::int64_t step) const {
  for (int rank = 0; rank < world_.size(); ++rank) {
    require(shared[static_cast<std::size_t>(rank)] == 0.0, ExitCode::numerical,
            "the DINO loss of rank {} is not finite at step {}. Nothing was updated; the last "
            "checkpoint is good. "
            "Lower optim.lr, or set optim.clip_grad",
            rank, step);
  }
  auto const& norms = result.gradient_norms;
  for (std::size_t i = 0; i < norms.size(); ++i) {
    require(std::isfinite(norms[i]), ExitCode::numerical,
            "the gradient of {} is not finite at step {}. Nothing was updated; the last checkpoint "
            "is good. "
            "Lower optim.lr, or set optim.clip_grad",
            optimizer_.slots()[i].name, step);
  }
}

template <class T>
View<T, 2> DinoStep<T>::teacher_features(Arena& arena, ImageView images) {
  auto const tokens = teacher_.backbone.forward(arena, std::span(&images, 1), {}, Keep::no);
  return teacher_.backbone.normalize(arena, teacher_.backbone.class_tokens(arena, tokens),
                                     Keep::no);
}

template <class T>
void DinoStep<T>::poll() {
  student_.store.poll();
  teacher_.store.poll();
}

template <class T>
StepCost step_cost(ModelShape const& shape, config::Crops const& crops, std::int64_t images) {
  Tally tally;
  Space const dry = Dry{&tally};
  auto const self = Communicator::self();
  DinoStep<T> step(dry, self, shard::Strategy{}, shape, 0.9);
  Arena arena(dry, Arena::no_limit);
  auto const fake = [&](std::int64_t count, std::int64_t size) {
    return ImageView{reinterpret_cast<float const*>(Arena::alignment),
                     {count * images, shape.backbone.channels, size, size}};
  };
  CropViews views{
      .images = images, .global = fake(2, crops.global_size), .local = {}, .drop_path = {}};
  if (crops.local_count > 0) views.local = fake(crops.local_count, crops.local_size);
  auto const factors =
      arena.take<float, 2>({2 * shape.backbone.depth, (2 + crops.local_count) * images});
  views.drop_path = factors;
  step.begin(std::max<std::int64_t>(images, 1));
  step.micro_batch(arena, views, {}, DinoStep<T>::Last::yes);
  return {.arena_bytes = arena.high_water(), .matrix_flops = tally.matrix_flops};
}

template class DinoStep<float>;
template class DinoStep<bfloat16>;
template StepCost step_cost<float>(ModelShape const&, config::Crops const&, std::int64_t);
template StepCost step_cost<bfloat16>(ModelShape const&, config::Crops const&, std::int64_t);

}  // namespace dino::train
