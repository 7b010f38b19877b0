// SPDX-License-Identifier: Apache-2.0
#include "train/make_step.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "train/dinov2_step.hpp"
#include "train/step.hpp"

namespace dino::train {
namespace {

Centering centering_of(std::string const& name) {
  return name == "sinkhorn_knopp" ? Centering::sinkhorn_knopp : Centering::centering;
}

GramNegatives negatives_of(config::Gram const& gram) {
  if (gram.remove_neg) return GramNegatives::removed;
  return gram.remove_only_teacher_neg ? GramNegatives::removed_of_teacher : GramNegatives::kept;
}

GramTokens tokens_of(std::string const& name) {
  if (name == "masked") return GramTokens::masked;
  return name == "unmasked" ? GramTokens::unmasked : GramTokens::all;
}

GramObjective gram_objective(config::Gram const& gram) {
  bool const cubic = gram.global_teacher_resize_method == "bicubic";
  return {.ema_teacher = gram.ema_teacher,
          .life_cycle = {.load_before = gram.it_load_ema_teacher,
                         .repeated = gram.rep_update,
                         .frequency = gram.update_frequency,
                         .first = gram.it_first_update,
                         .most = gram.max_updates},
          .loss = {.normalized = gram.normalized, .negatives = negatives_of(gram)},
          .level = gram.img_level ? GramLevel::image : GramLevel::batch,
          .tokens = tokens_of(gram.tokens_used),
          .resize = {.filter = cubic ? ResampleFilter::bicubic : ResampleFilter::bilinear,
                     .antialias = gram.global_teacher_resize_antialias}};
}

/// What DINOv2 and DINOv3 share, then what DINOv3 does otherwise.
DinoV2Objective v2_objective(Config const& config) {
  DinoV2Objective objective{
      .dino_weight = config.dino.loss_weight,
      .ibot_weight = config.ibot.loss_weight,
      .koleo_weight = config.koleo.loss_weight,
      .koleo_group = config.koleo.group_size,
      .koleo_topk = config.koleo.topk,
      .dino_centering = centering_of(config.dino.centering),
      .ibot_centering = centering_of(config.ibot.centering),
      .center_momentum = config.dino.center_momentum,
      .sinkhorn_iterations = static_cast<int>(config.dino.sinkhorn_iterations),
      .pairs = CropPairs::v2(config.crops.local_count)};
  if (config.method == "dinov2") return objective;
  objective.pairs =
      CropPairs::v3(config.crops.local_count,
                    config.dino.global_ignore_diagonal ? CropPairing::different : CropPairing::all);
  objective.scale = TermScale::mean;
  objective.dino_centering = objective.ibot_centering = Centering::sinkhorn_knopp;
  if (config.gram.use_loss) objective.gram = gram_objective(config.gram);
  return objective;
}

optim::ParameterRules v2_rules(Config const& config, ModelShape const& shape) {
  bool const v2 = config.method == "dinov2";
  return {
      .layers = optim::LayerwiseDecay{.rules = v2 ? optim::GroupRules::v2 : optim::GroupRules::v3,
                                      .depth = shape.backbone.depth,
                                      .decay = config.optim.layerwise_decay,
                                      .patch_embed = config.optim.patch_embed_lr_mult},
      .clipping = optim::Clipping::module};
}

optim::Algorithm algorithm_of(std::string const& name) {
  if (name == "sgd") return optim::Algorithm::sgd;
  return name == "lars" ? optim::Algorithm::lars : optim::Algorithm::adamw;
}

}  // namespace

StepBatch dry_batch(Config const& config, ModelShape const& shape, config::CropSizes const& sizes,
                    std::int64_t images) {
  auto const fake = [&](std::int64_t count, std::int64_t size) {
    return ImageView{no_memory<float const>(), {count * images, 3, size, size}};
  };
  StepBatch batch;
  auto& views = batch.views;
  views.images = images;
  views.global = fake(2, sizes.global);
  auto const local = config.crops.local_count;
  if (local > 0) views.local = fake(local, sizes.local);
  if (sizes.gram) views.gram = fake(2, *sizes.gram);
  if (config.student.drop_path_rate > 0) {
    views.drop_path = {no_memory<float const>(), {2 * shape.backbone.depth, (2 + local) * images}};
  }
  if (rope_augmentation(config).any()) {
    views.rope = {no_memory<RopeDraw const>(), {shape.backbone.depth, 2}};
  }
  if (auto const maker = make_masks(config, sizes.global)) {
    auto const most = static_cast<std::size_t>(maker->most_masked(images));
    auto const side = sizes.global / shape.backbone.patch_size;
    auto const masks = std::make_shared<CollatedMasks>();
    masks->masks.resize(static_cast<std::size_t>(2 * images * side * side));
    masks->indices.resize(most);
    masks->weights.resize(most);
    masks->counts.resize(static_cast<std::size_t>(2 * images));
    if (images > 0) masks->counts.front() = static_cast<std::int64_t>(most);
    views.masks = masks.get();
    batch.keeper = masks;
  }
  return batch;
}

template <class T>
std::unique_ptr<TrainingStep<T>> make_step(Space const& space, Communicator const& world,
                                           shard::Strategy const& strategy, Config const& config,
                                           std::optional<TeacherSource> const& teacher) {
  require(teacher.has_value() == !config.distill.teacher.empty(), ExitCode::bug,
          "the frozen teacher '{}' was not looked for", config.distill.teacher);
  auto const shape = model_shape(config);
  std::unique_ptr<TrainingStep<T>> step;
  if (config.method == "dinov1") {
    step = std::make_unique<DinoStep<T>>(
        space, world, strategy, shape, config.dino.center_momentum,
        optim::ParameterRules{.algorithm = algorithm_of(config.optim.optimizer)});
  } else {
    std::unique_ptr<FrozenTeacher<T>> frozen;
    Spread const spread{world, strategy};
    if (teacher) frozen = std::make_unique<FrozenTeacher<T>>(space, spread, *teacher);
    step = std::make_unique<DinoV2Step<T>>(space, world, strategy, shape, v2_rules(config, shape),
                                           v2_objective(config), std::move(frozen));
  }
  step->limit_logits(config.run.logits_mib << 20);
  return step;
}

std::optional<MaskMaker> make_masks(Config const& config, std::int64_t global_size) {
  if (config.method == "dinov1" || config.ibot.loss_weight == 0) return std::nullopt;
  auto const size = static_cast<int>(global_size);
  auto const patch = static_cast<int>(config.student.patch_size);
  MaskSettings const settings{
      .grid_h = size / patch,
      .grid_w = size / patch,
      .max_block = largest_block(size, patch),
      .sample_probability = config.ibot.mask_sample_probability,
      .ratio = config.ibot.mask_ratio,
      .completion = config.method == "dinov3" ? MaskCompletion::exact : MaskCompletion::none,
      .circular_shift = config.ibot.mask_random_circular_shift};
  settings.validate();
  return MaskMaker(settings, config.data.batch_size, static_cast<std::uint64_t>(config.run.seed));
}

MaskMakers make_masks(Config const& config) {
  MaskMakers all;
  for (auto const& sizes : config::crop_sizes(config.crops))
    if (auto const maker = make_masks(config, sizes.global)) all.emplace(sizes.global, *maker);
  return all;
}

template <class T>
StepCost step_cost(Config const& config, config::CropSizes const& sizes, std::int64_t images,
                   std::int64_t micro_batches, std::optional<TeacherSource> const& teacher,
                   Processor processor) {
  Tally tally;
  Space const dry = Dry{&tally, processor};
  auto const shape = model_shape(config);
  auto alone = teacher;
  StepBatchSource source{.micro_batches = micro_batches,
                         .next = [&] { return dry_batch(config, shape, sizes, images); }};
  if (alone && alone->shared) {
    alone->shared->ranks = Communicator::self();
    source.teacher_micro_batches = alone->shared->micro_batches;
    source.next_of_teacher = [&] { return dry_batch(config, shape, sizes, alone->shared->images); };
  }
  auto const step = make_step<T>(dry, Communicator::self(), shard::Strategy{}, config, alone);
  Arena arena(dry, Arena::no_limit);
  // All micro-batches count as full, which together may be more than the batch.
  step->begin(std::max(config.data.batch_size, images * micro_batches));
  step->accumulate(arena, source, {});
  return {.arena_bytes = arena.high_water(),
          .logits_bytes = step->logits_bytes(),
          .matrix_flops = tally.matrix_flops};
}

template <class T>
StepCost step_cost(Config const& config, std::int64_t images, std::int64_t micro_batches,
                   std::optional<TeacherSource> const& teacher, Processor processor) {
  StepCost all;
  for (auto const& sizes : config::crop_sizes(config.crops)) {
    auto const cost = step_cost<T>(config, sizes, images, micro_batches, teacher, processor);
    if (cost.arena_bytes > all.arena_bytes) {
      all.arena_bytes = cost.arena_bytes;
      all.logits_bytes = cost.logits_bytes;
    }
    all.matrix_flops += sizes.share * cost.matrix_flops;
  }
  return all;
}

template std::unique_ptr<TrainingStep<float>> make_step(Space const&, Communicator const&,
                                                        shard::Strategy const&, Config const&,
                                                        std::optional<TeacherSource> const&);
template std::unique_ptr<TrainingStep<bfloat16>> make_step(Space const&, Communicator const&,
                                                           shard::Strategy const&, Config const&,
                                                           std::optional<TeacherSource> const&);
template StepCost step_cost<float>(Config const&, config::CropSizes const&, std::int64_t,
                                   std::int64_t, std::optional<TeacherSource> const&, Processor);
template StepCost step_cost<bfloat16>(Config const&, config::CropSizes const&, std::int64_t,
                                      std::int64_t, std::optional<TeacherSource> const&, Processor);
template StepCost step_cost<float>(Config const&, std::int64_t, std::int64_t,
                                   std::optional<TeacherSource> const&, Processor);
template StepCost step_cost<bfloat16>(Config const&, std::int64_t, std::int64_t,
                                      std::optional<TeacherSource> const&, Processor);

}  // namespace dino::train
