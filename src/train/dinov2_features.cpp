// SPDX-License-Identifier: Apache-2.0
// The losses on features, without heads: KoLeo and Gram, and what they need of other micro-batches.
#include <array>

#include "kernels/elementwise.hpp"
#include "train/dinov2_step.hpp"
#include "train/part_timer.hpp"
#include "train/token_rows.hpp"

namespace dino::train {

template <class T>
bool DinoV2Step<T>::needs_all_features(std::vector<Work> const& work) const {
  return work.size() > 1 && (objective_.koleo_weight != 0 || gram_of_batch());
}

/// The student's features of a micro-batch that the losses of the whole batch take, normalised: the
/// class tokens of its global crops, then their patches where Gram compares those of the batch.
template <class T>
View<T, 2> DinoV2Step<T>::features_ahead(Arena& arena, Work& work) {
  auto const images = student_images(work);
  std::vector<MaskView> masks(images.size());
  masks.front() = work.masks;
  auto& backbone = student_.vit();
  auto const tokens = backbone.forward(arena, images, work.draws(), Keep::no, masks);
  std::vector<std::int32_t> rows;
  add_class_rows(backbone.layout(), rows);
  rows.resize(static_cast<std::size_t>(work.globals()));
  if (gram_of_batch())
    add_patch_rows(backbone.layout(), std::span<std::int32_t const>(work.patches.order), rows);
  auto const there = to_space(space_, arena, rows);
  auto const groups = row_groups(work.globals(), 0, there.extent(0) - work.globals());
  return backbone.normalize(arena, backbone.gather_rows(arena, tokens, there), Keep::no, groups);
}

/// Gradients of KoLeo and Gram with respect to the features of every micro-batch.
template <class T>
void DinoV2Step<T>::run_ahead(Arena& arena, std::vector<Work>& work, StepSettings const& settings) {
  bool const with_koleo = objective_.koleo_weight != 0;
  std::int64_t patches = 0;
  for (auto& part : work) {
    if (with_koleo) part.koleo_gradient = arena.take<float, 2>({part.globals(), dim()});
    if (!gram_of_batch()) continue;
    auto const n = gram_->count(part.patches);
    part.gram_gradient = arena.take<float, 2>({n, dim()});
    patches += n;
  }
  ArenaScope const scope(arena);
  auto const student = arena.take<float, 2>({patches, dim()});
  auto const targets = arena.take<float, 2>({patches, dim()});
  std::vector<View<float, 2>> classes;
  std::int64_t begin = 0;
  for (auto& part : work) {
    classes.push_back(arena.take<float, 2>({part.globals(), dim()}));
    ArenaScope const pass(arena);
    Stopwatch const watch(timer_, Part::student_forward);
    auto const features = features_ahead(arena, part);
    run(space_,
        Cast<T, float>{.x = features.rows(0, part.globals()).flat(), .y = classes.back().flat()});
    if (!gram_of_batch()) continue;
    auto const end = begin + gram_->count(part.patches);
    gram_->take(arena, part.patches, features.rows(part.globals(), features.extent(0)),
                student.rows(begin, end));
    put_gram_targets(arena, part, targets.rows(begin, end));
    begin = end;
  }
  Stopwatch const watch(timer_, Part::loss);
  if (with_koleo) koleo_ahead(arena, work, classes);
  if (gram_of_batch()) gram_ahead(arena, work, student, targets, settings.gram_weight);
}

template <class T>
void DinoV2Step<T>::koleo_ahead(Arena& arena, std::vector<Work>& work,
                                std::vector<View<float, 2>> const& class_features) {
  ArenaScope const scope(arena);
  std::int64_t images = 0;
  for (auto const& part : work) images += part.views().images;
  auto const features = arena.take<float, 2>({2 * images, dim()});
  auto const gradient = arena.take<float, 2>({2 * images, dim()});
  // Crop-major over the whole share of this rank, where a micro-batch is crop-major by itself.
  auto const for_each_piece = [&](auto const& visit) {
    std::int64_t before = 0;
    for (std::size_t i = 0; i < work.size(); ++i) {
      auto const b = work[i].views().images;
      for (std::int64_t crop = 0; crop < 2; ++crop) {
        auto const to = crop * images + before;
        visit(i, Share{crop * b, (crop + 1) * b}, Share{to, to + b});
      }
      before += b;
    }
  };
  auto const copy = [&](View<float, 2> from, Share rows, View<float, 2> to, Share place) {
    run(space_, Cast<float, float>{.x = from.rows(rows.begin, rows.end).flat(),
                                   .y = to.rows(place.begin, place.end).flat()});
  };
  for_each_piece([&](std::size_t i, Share part, Share whole) {
    copy(class_features[i], part, features, whole);
  });
  koleo(arena, features, images, work.front().views().first, gradient);
  for_each_piece([&](std::size_t i, Share part, Share whole) {
    copy(gradient, whole, work[i].koleo_gradient, part);
  });
}

template <class T>
void DinoV2Step<T>::gram_ahead(Arena& arena, std::vector<Work>& work, View<float const, 2> student,
                               View<float const, 2> targets, double weight) {
  ArenaScope const scope(arena);
  auto const gradient = arena.take<float, 2>(student.extents());
  gram_->add(arena, world_, student, targets, 0, 2 * global_batch_, weight, gradient);
  std::int64_t begin = 0;
  for (auto& part : work) {
    auto const end = begin + part.gram_gradient.extent(0);
    run(space_,
        Cast<float, float>{.x = gradient.rows(begin, end).flat(), .y = part.gram_gradient.flat()});
    begin = end;
  }
}

/// Adds KoLeo's gradient to that of the class features; computes it unless that is done.
template <class T>
void DinoV2Step<T>::add_koleo(Arena& arena, Work& work, View<T, 2> features, View<T, 2> dfeatures) {
  if (objective_.koleo_weight == 0) return;
  ArenaScope const scope(arena);
  auto gradient = work.koleo_gradient;
  if (!gradient) {
    gradient = arena.take<float, 2>({work.globals(), dim()});
    koleo(arena, as_float(arena, features.rows(0, work.globals())), work.views().images,
          work.views().first, gradient);
  }
  add_float(arena, gradient, dfeatures.rows(0, work.globals()));
}

/// What the Gram teacher has for these patches: kept from the teacher's pass, or computed.
template <class T>
void DinoV2Step<T>::put_gram_targets(Arena& arena, Work const& work, View<float, 2> out) {
  if (gram_->ema_teacher())
    return run(space_, Cast<float, float>{.x = work.gram_targets.flat(), .y = out.flat()});
  auto const& views = work.views();
  auto const crops = views.gram.extent(2) > 0 ? views.gram : views.global;
  gram_->teacher_features(arena, work.patches, crops, out);
}

/// Adds Gram's gradient to that of the patch features; computes it unless that is done.
template <class T>
void DinoV2Step<T>::add_gram(Arena& arena, Work& work, View<T const, 2> features,
                             View<T, 2> dfeatures, double weight) {
  if (!with_gram()) return;
  ArenaScope const scope(arena);
  auto gradient = work.gram_gradient;
  if (!gradient) {
    std::array const extents{gram_->count(work.patches), dim()};
    gradient = arena.take<float, 2>(extents);
    auto const student = arena.take<float, 2>(extents), targets = arena.take<float, 2>(extents);
    gram_->take(arena, work.patches, features, student);
    put_gram_targets(arena, work, targets);
    gram_->add(arena, world_, student, targets, work.patches.grid.patches(), 2 * global_batch_,
               weight, gradient);
  }
  gram_->give_back(arena, work.patches, gradient, dfeatures);
}

template <class T>
shard::ParameterStore<T>* DinoV2Step<T>::gram_teacher() {
  return gram_ && gram_->teacher() ? &gram_->teacher()->store() : nullptr;
}

template <class T>
std::int64_t DinoV2Step<T>::gram_updates() const {
  return gram_ && gram_->teacher() ? gram_->teacher()->updates() : 0;
}

template <class T>
void DinoV2Step<T>::after_teacher_update(StepSettings const& settings) {
  if (gram_ && gram_->teacher()) gram_->teacher()->after_step(teacher_.store, settings.iteration);
}

template class DinoV2Step<float>;
template class DinoV2Step<bfloat16>;

}  // namespace dino::train
