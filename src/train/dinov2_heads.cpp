// SPDX-License-Identifier: Apache-2.0
// The losses of DINOv2 and DINOv3 that need a head: DINO on class tokens, iBOT on masked patches.
#include <algorithm>
#include <utility>

#include "kernels/elementwise.hpp"
#include "train/dinov2_step.hpp"
#include "train/part_timer.hpp"

namespace dino::train {

/// For the class tokens of `images` images.
template <class T>
DinoV2Settings DinoV2Step<T>::dino_settings(std::int64_t images,
                                            StepSettings const& settings) const {
  return {.pairs = objective_.pairs,
          .images = images,
          .global_batch = global_batch_,
          .student_temperature = settings.student_temperature,
          .loss_weight = objective_.dino_weight,
          .local_weight = settings.dino_local_weight};
}

template <class T>
void DinoV2Step<T>::set_targets(TokenLoss<T>& tokens, Arena& arena, Centering how,
                                SinkhornKnopp& sinkhorn, SoftmaxCentering& centering,
                                double temperature) {
  if (how == Centering::centering) {
    tokens.make_targets = [&centering, temperature](LogitTile& tile) {
      centering.targets(tile.values, temperature);
    };
    return;
  }
  tokens.solve = [this, &arena, &sinkhorn, temperature](LogitTiles const& tiles) {
    sinkhorn.solve(arena, world_, tiles, temperature);
  };
  tokens.make_targets = [&arena, &sinkhorn](LogitTile& tile) { sinkhorn.targets(arena, tile); };
}

/// An item is an image, with its class tokens.
template <class T>
TokenLoss<T> DinoV2Step<T>::class_tokens(Arena& arena, StepSettings const& settings) {
  TokenLoss<T> tokens{.teacher_rows = 2, .student_rows = 2 + objective_.pairs.local_crops()};
  set_targets(tokens, arena, objective_.dino_centering, dino_sinkhorn_, dino_center_,
              settings.teacher_temperature);
  tokens.make_targets = [this, targets = std::move(tokens.make_targets)](LogitTile& tile) {
    targets(tile);
    statistics_.add(tile.values);
  };
  tokens.cross_entropy = [this, &settings](LossTile<T> const& tile) {
    auto const dino = dino_settings(tile.items.size(), settings);
    auto const globals = 2 * tile.items.size(), all = tile.student.extent(0);
    dino_loss_.template add_global<T>(tile.student.rows(0, globals), tile.targets, dino,
                                      tile.dlogits.rows(0, globals));
    if (all > globals)
      dino_loss_.template add_local<T>(tile.student.rows(globals, all), tile.targets, dino,
                                       tile.dlogits.rows(globals, all));
  };
  if (observer_)
    tokens.observe = [this](SeenTile const& seen) { observer_(Tokens::classes, seen); };
  return tokens;
}

/// An item is a masked patch.
template <class T>
TokenLoss<T> DinoV2Step<T>::patch_tokens(Arena& arena, std::vector<Work> const& work,
                                         StepSettings const& settings) {
  TokenLoss<T> tokens;
  if (with_ibot()) {
    set_targets(tokens, arena, objective_.ibot_centering, ibot_sinkhorn_, ibot_center_,
                settings.teacher_temperature);
  }
  tokens.cross_entropy = [this, &work, &settings](LossTile<T> const& tile) {
    auto const weights = work[tile.micro_batch].mask_weights;
    ibot_loss_.template add<T>(tile.student, tile.targets,
                               weights.rows(tile.items.begin, tile.items.end),
                               {.global_crops = 2 * global_batch_,
                                .student_temperature = settings.student_temperature,
                                .loss_weight = objective_.ibot_weight},
                               tile.dlogits);
  };
  if (observer_)
    tokens.observe = [this](SeenTile const& seen) { observer_(Tokens::patches, seen); };
  return tokens;
}

/// The losses of a step whose teacher rows are there.
template <class T>
auto DinoV2Step<T>::head_losses(Arena& arena, std::vector<Work> const& work,
                                StepSettings const& settings) -> HeadLosses {
  std::vector<TokenLoss<T>> dino{class_tokens(arena, settings)}, ibot;
  (shared_head() ? dino : ibot).push_back(patch_tokens(arena, work, settings));
  HeadLosses losses{.dino{space_, timer_, student_.head.prototypes(), target_head().prototypes(),
                          std::move(dino)},
                    .ibot = {},
                    .memory = {}};
  std::vector<PrototypeLoss<T>*> heads{&losses.dino};
  if (!shared_head()) {
    losses.ibot.emplace(space_, timer_, student_.ibot_head->prototypes(),
                        target_patch_head().prototypes(), std::move(ibot));
    heads.push_back(&*losses.ibot);
  }
  for (auto const& part : work) {
    if (shared_head()) {
      losses.dino.add({part.teacher_classes, part.teacher_patches});
    } else {
      losses.dino.add({part.teacher_classes});
      losses.ibot->add({part.teacher_patches});
    }
  }
  losses.memory = take_logit_memory<T>(arena, logits_limit_, heads);
  logits_bytes_ = std::max(logits_bytes_, losses.memory.arena.bytes());
  for (auto* const head : heads) head->prepare(arena, losses.memory);
  return losses;
}

/// Forward, losses and backward of one head.
/// \param dfeatures  as features, overwritten
template <class T>
void DinoV2Step<T>::head_pass(Arena& arena, DinoHead<T>& head, PrototypeLoss<T>& loss,
                              LogitMemory& memory, std::size_t micro_batch,
                              View<T const, 2> features, View<T, 2> dfeatures, StoreLast last) {
  ArenaScope const scope(arena);
  View<T, 2> rows;
  {
    Stopwatch const watch(timer_, Part::student_forward);
    rows = head.forward(arena, features, Keep::yes);
  }
  auto const drows = loss.run_student(arena, memory, micro_batch, rows, last);
  Stopwatch const watch(timer_, Part::backward);
  auto const d = head.backward(arena, drows, last);
  run(space_, Cast<T, T>{.x = d.flat(), .y = dfeatures.flat()});
}

template class DinoV2Step<float>;
template class DinoV2Step<bfloat16>;

}  // namespace dino::train
