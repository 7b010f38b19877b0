// SPDX-License-Identifier: Apache-2.0
#include "train/dinov2_step.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "kernels/elementwise.hpp"
#include "train/part_timer.hpp"
#include "train/token_rows.hpp"

namespace dino::train {
namespace {

std::int64_t ibot_prototypes(ModelShape const& shape) {
  return shape.ibot_head ? shape.ibot_head->out_dim : shape.head.out_dim;
}

}  // namespace

template <class T>
DinoV2Step<T>::DinoV2Step(Space const& space, Communicator const& world,
                          shard::Strategy const& strategy, ModelShape const& shape,
                          optim::ParameterRules const& rules, DinoV2Objective const& objective,
                          std::unique_ptr<FrozenTeacher<T>> frozen)
    : Base(space, world, strategy, shape, rules),
      objective_(objective),
      dino_loss_(space),
      ibot_loss_(space),
      koleo_loss_(space, shape.backbone.embed_dim),
      dino_sinkhorn_(space, shape.head.out_dim, objective.sinkhorn_iterations),
      ibot_sinkhorn_(space, ibot_prototypes(shape), objective.sinkhorn_iterations),
      dino_center_(space, shape.head.out_dim, objective.center_momentum),
      ibot_center_(space, ibot_prototypes(shape), objective.center_momentum),
      statistics_(space, shape.head.out_dim),
      frozen_(std::move(frozen)) {
  if (frozen_ && frozen_->source().shared)
    exchange_.emplace(frozen_->source().shared->ranks, world);
  if (objective.gram) gram_.emplace(space, groups_, strategy, shape.backbone, *objective.gram);
}

template <class T>
void DinoV2Step<T>::accumulate(Arena& arena, StepBatchSource const& source,
                               StepSettings const& settings) {
  ArenaScope const scope(arena);
  dino_local_weight_ = settings.dino_local_weight;
  gram_weight_ = settings.gram_weight;
  if (gram_ && gram_->teacher()) gram_->teacher()->before_step(teacher_.store, settings.iteration);
  std::vector<Work> work(static_cast<std::size_t>(source.micro_batches));
  for (auto& part : work) {
    part.batch = this->take(source.next);
    prepare(arena, part);
    if (exchange_) continue;
    Stopwatch const watch(timer_, Part::teacher);
    teacher_pass(arena, part);
  }
  if (exchange_) share_targets(arena, source, work);
  auto losses = head_losses(arena, work, settings);
  if (needs_all_features(work)) run_ahead(arena, work, settings);
  for (std::size_t m = 0; m < work.size(); ++m)
    student_pass(arena, work[m], losses, m, m + 1 == work.size() ? StoreLast::yes : StoreLast::no);
}

/// Row lists and masks in the space's memory, and room for the teacher's rows.
template <class T>
void DinoV2Step<T>::prepare(Arena& arena, Work& work) {
  auto const& views = work.views();
  auto const layout = target_backbone().make_layout(std::span(&views.global, 1));
  std::vector<std::int32_t> rows;
  add_class_rows(layout, rows);
  if (with_ibot() && views.masks != nullptr) {
    auto const& masks = *views.masks;
    work.masked = static_cast<std::int64_t>(masks.indices.size());
    add_patch_rows(layout, std::span<std::int64_t const>(masks.indices), rows);
    work.mask_weights = to_space(space_, arena, masks.weights);
    auto const patches = layout.segments().front().patches();
    if (!frozen_)
      work.masks =
          to_space(space_, arena, masks.masks).template reshaped<2>({work.globals(), patches});
  }
  if (with_gram() && work.of_student) {
    auto const& segment = layout.segments().front();
    work.patches = gram_->patches(arena, {segment.grid_height, segment.grid_width}, work.globals(),
                                  with_ibot() ? views.masks : nullptr);
    if (gram_->ema_teacher()) {
      add_patch_rows(layout, work.other_patches(), rows);
      work.gram_targets = arena.take<float, 2>({gram_->count(work.patches), dim()});
    }
  }
  work.rows = to_space(space_, arena, rows);
  work.teacher_classes = arena.take<T, 2>({work.globals(), target_head().shape().bottleneck_dim});
  work.teacher_patches =
      arena.take<T, 2>({work.masked, target_patch_head().shape().bottleneck_dim});
}

/// The teacher's class tokens, and its patches where the student's are masked, up to the
/// prototypes.
template <class T>
void DinoV2Step<T>::teacher_pass(Arena& arena, Work& work) {
  auto const& views = work.views();
  ArenaScope const scope(arena);
  auto& backbone = target_backbone();
  auto const tokens = backbone.forward(arena, std::span(&views.global, 1), {}, Keep::no);
  auto const groups = row_groups(work.globals(), 0, work.rows.extent(0) - work.globals());
  auto const features =
      backbone.normalize(arena, backbone.gather_rows(arena, tokens, work.rows), Keep::no, groups);
  auto const head = [&](DinoHead<T>& h, std::int64_t begin, std::int64_t end, View<T, 2> to) {
    ArenaScope const inner(arena);
    auto const rows = h.forward(arena, features.rows(begin, end), Keep::no);
    run(space_, Cast<T, T>{.x = rows.flat(), .y = to.flat()});
  };
  auto const globals = work.globals();
  head(target_head(), 0, globals, work.teacher_classes);
  head(target_patch_head(), globals, globals + work.masked, work.teacher_patches);
  if (with_gram() && gram_->ema_teacher())
    gram_->take(arena, work.patches, features.rows(globals, features.extent(0)), work.gram_targets);
}

template <class T>
View<float const, 2> DinoV2Step<T>::as_float(Arena& arena, View<T const, 2> rows) const {
  auto const out = arena.take<float, 2>(rows.extents());
  run(space_, Cast<T, float>{.x = rows.flat(), .y = out.flat()});
  return out;
}

/// y += x.
template <class T>
void DinoV2Step<T>::add_float(Arena& arena, View<float const, 2> x, View<T, 2> y) const {
  ArenaScope const scope(arena);
  auto const converted = arena.take<T, 2>(x.extents());
  run(space_, Cast<float, T>{.x = x.flat(), .y = converted.flat()});
  run(space_, Axpy<T>{.a = 1, .x = converted.flat(), .y = y.flat()});
}

/// Both global crops of `images` samples from `first` of the global batch on: features and
/// gradient are [2 images, D].
template <class T>
void DinoV2Step<T>::koleo(Arena& arena, View<float const, 2> features, std::int64_t images,
                          std::int64_t first, View<float, 2> gradient) {
  KoleoSettings const settings{.group_size = objective_.koleo_group,
                               .topk = objective_.koleo_topk,
                               .global_batch = global_batch_,
                               .loss_weight = objective_.koleo_weight};
  for (std::int64_t crop = 0; crop < 2; ++crop) {
    ArenaScope const scope(arena);
    koleo_loss_.add(arena, world_, features.rows(crop * images, (crop + 1) * images), first,
                    settings, gradient.rows(crop * images, (crop + 1) * images));
  }
}

template <class T>
std::vector<ImageView> DinoV2Step<T>::student_images(Work const& work) const {
  std::vector<ImageView> images{work.views().global};
  if (work.views().local.extent(2) > 0) images.push_back(work.views().local);
  return images;
}

template <class T>
View<std::int32_t const, 1> DinoV2Step<T>::student_rows(Arena& arena, Work const& work,
                                                        TokenLayout const& layout) {
  std::vector<std::int32_t> rows;
  add_class_rows(layout, rows);
  if (work.masked > 0)
    add_patch_rows(layout, std::span<std::int64_t const>(work.views().masks->indices), rows);
  if (with_gram()) add_patch_rows(layout, work.other_patches(), rows);
  return to_space(space_, arena, rows);
}

template <class T>
void DinoV2Step<T>::student_pass(Arena& arena, Work& work, HeadLosses& losses,
                                 std::size_t micro_batch, StoreLast last) {
  ArenaScope const scope(arena);
  auto& backbone = student_.vit();
  auto const images = student_images(work);
  std::vector<MaskView> masks(images.size());
  masks.front() = work.masks;
  auto const layout = backbone.make_layout(images);
  auto const classes = layout.images(), count = classes + work.masked;
  auto const rows = student_rows(arena, work, layout);
  View<T, 2> features;
  {
    Stopwatch const watch(timer_, Part::student_forward);
    auto const tokens = backbone.forward(arena, images, work.draws(), Keep::yes, masks);
    auto const groups =
        row_groups(work.globals(), classes - work.globals(), rows.extent(0) - classes);
    features =
        backbone.normalize(arena, backbone.gather_rows(arena, tokens, rows), Keep::yes, groups);
    spread_.add(space_, View<T const, 2>(features.rows(0, work.globals())));
  }
  auto const dfeatures = arena.take<T, 2>(features.extents());
  // One head after the other, in the order of the backward pass, which its gathered units follow.
  if (!shared_head()) {
    head_pass(arena, *student_.ibot_head, *losses.ibot, losses.memory, micro_batch,
              features.rows(classes, count), dfeatures.rows(classes, count), last);
  }
  auto const end = shared_head() ? count : classes;
  head_pass(arena, student_.head, losses.dino, losses.memory, micro_batch, features.rows(0, end),
            dfeatures.rows(0, end), last);
  {
    Stopwatch const watch(timer_, Part::loss);
    add_koleo(arena, work, features, dfeatures);
    auto const patches = [&](View<T, 2> of) { return of.rows(classes, of.extent(0)); };
    run(space_, Fill<T>{.y = dfeatures.rows(count, dfeatures.extent(0)).flat()});
    add_gram(arena, work, patches(features), patches(dfeatures), gram_weight_);
  }
  Stopwatch const watch(timer_, Part::backward);
  backbone.normalize_backward(dfeatures, dfeatures, last);
  backbone.backward(arena, images, backbone.scatter_rows(arena, dfeatures, rows), last);
}

template <class T>
auto DinoV2Step<T>::local_terms() const -> std::vector<Term> {
  bool const means = objective_.scale == TermScale::mean;
  auto const dino = dino_loss_.local_terms();
  auto const total = static_cast<double>(objective_.pairs.total());
  // A sum over pairs, reported divided by `pairs` where that is no 0.
  auto const pairs_term = [&](char const* name, double sum, std::int64_t pairs, double weight) {
    double const divisor = means && pairs > 0 ? static_cast<double>(pairs) : total;
    return Term{name, sum / divisor, objective_.dino_weight * weight * divisor / total};
  };
  double const crops = means ? 2 : 1;  // over which KoLeo is the mean
  std::vector<Term> terms{
      pairs_term("dino_local_crops_loss", dino.local, objective_.pairs.local, dino_local_weight_),
      pairs_term("dino_global_crops_loss", dino.global, objective_.pairs.global, 1),
      {"koleo_loss", koleo_loss_.local_loss() / crops, crops * objective_.koleo_weight},
      {"ibot_loss", ibot_loss_.local_loss(), objective_.ibot_weight}};
  if (gram_) terms.push_back({"gram_loss", gram_->local_loss(), gram_weight_});
  return terms;
}

template <class T>
void DinoV2Step<T>::begin_losses() {
  dino_loss_.begin_step();
  ibot_loss_.begin_step();
  koleo_loss_.begin_step();
  dino_center_.begin_step();
  ibot_center_.begin_step();
  statistics_.begin_step();
  if (gram_) gram_->begin_step();
}

template <class T>
TeacherStatistics DinoV2Step<T>::finish_losses() {
  if (objective_.dino_centering == Centering::centering) dino_center_.finish_step(world_);
  if (with_ibot() && objective_.ibot_centering == Centering::centering)
    ibot_center_.finish_step(world_);
  return statistics_.finish_step(world_);
}

template <class T>
std::vector<LossState> DinoV2Step<T>::loss_state() const {
  std::vector<LossState> state;
  if (objective_.dino_centering == Centering::centering)
    state.push_back({"center", dino_center_.center()});
  if (with_ibot() && objective_.ibot_centering == Centering::centering)
    state.push_back({"ibot_center", ibot_center_.center()});
  if (gram_ && gram_->teacher()) state.push_back({"gram_teacher", gram_->teacher()->state()});
  return state;
}

template <class T>
void DinoV2Step<T>::set_loss_state(LossState const& state) {
  if (state.name == "gram_teacher") return gram_->teacher()->set_state(state.values);
  (state.name == "center" ? dino_center_ : ibot_center_).set_center(state.values);
}

template class DinoV2Step<float>;
template class DinoV2Step<bfloat16>;

}  // namespace dino::train
