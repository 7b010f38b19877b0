// SPDX-License-Identifier: Apache-2.0
#include "golden/v3_objective.hpp"

#include "base/error.hpp"
#include "optim/schedule.hpp"

namespace dino::golden {
namespace {

bool flag(GoldenFile const& file, std::string const& key) {
  return file.integer(key, 0) != 0;
}

/// A count of which -1 means none.
std::optional<std::int64_t> count(GoldenFile const& file, std::string const& key) {
  auto const value = file.integer(key, -1);
  return value < 0 ? std::nullopt : std::optional(value);
}

train::GramTokens tokens_of(std::string const& name) {
  if (name == "masked") return train::GramTokens::masked;
  if (name == "unmasked") return train::GramTokens::unmasked;
  require(name == "all", ExitCode::input, "gram_tokens_used '{}' is unknown", name);
  return train::GramTokens::all;
}

GramNegatives negatives_of(GoldenFile const& file) {
  if (flag(file, "gram_remove_neg")) return GramNegatives::removed;
  return flag(file, "gram_remove_only_teacher_neg") ? GramNegatives::removed_of_teacher
                                                    : GramNegatives::kept;
}

train::GramObjective gram_objective(GoldenFile const& file) {
  bool const cubic = file.text("gram_global_teacher_resize_method") == "bicubic";
  return {.ema_teacher = flag(file, "gram_ema_teacher"),
          .life_cycle = {.load_before = count(file, "gram_it_load_ema_teacher"),
                         .repeated = flag(file, "gram_rep_update"),
                         .frequency = file.integer("gram_update_frequency"),
                         .first = file.integer("gram_it_first_update"),
                         .most = count(file, "gram_max_updates")},
          .loss = {.normalized = flag(file, "gram_normalized"), .negatives = negatives_of(file)},
          .level = flag(file, "gram_img_level") ? train::GramLevel::image : train::GramLevel::batch,
          .tokens = tokens_of(file.text("gram_tokens_used")),
          .resize = {.filter = cubic ? ResampleFilter::bicubic : ResampleFilter::bilinear,
                     .antialias = flag(file, "gram_global_teacher_resize_antialias")}};
}

/// Value of the schedule <name>_start, _peak, … at an iteration.
double scheduled(GoldenFile const& file, std::string const& name, std::int64_t iteration) {
  auto const epoch = file.integer("niter_per_epoch");
  optim::CosineB schedule{.total = file.integer("epochs") * epoch,
                          .start = file.real(name + "_start"),
                          .peak = file.real(name + "_peak"),
                          .end = file.real(name + "_end"),
                          .warmup = file.integer(name + "_warmup_epochs") * epoch};
  if (file.has_config(name + "_cosine_epochs"))
    schedule.cosine = file.integer(name + "_cosine_epochs") * epoch;
  return schedule.at(iteration);
}

}  // namespace

void take_v3_objective(GoldenFile const& file, train::DinoV2Objective& objective) {
  objective.pairs = CropPairs::v3(
      file.integer("n_local_crops"),
      flag(file, "dino_global_ignore_diagonal") ? CropPairing::different : CropPairing::all);
  objective.scale = train::TermScale::mean;
  objective.koleo_topk = file.integer("koleo_topk", 1);
  if (flag(file, "gram_use_loss")) objective.gram = gram_objective(file);
}

void take_v3_weights(GoldenFile const& file, train::StepSettings& settings) {
  if (flag(file, "reweight_dino_local_loss"))
    settings.dino_local_weight = scheduled(file, "local_loss_weight_schedule", settings.iteration);
  settings.gram_weight = flag(file, "gram_has_loss_weight_schedule")
                             ? scheduled(file, "gram_loss_weight_schedule", settings.iteration)
                             : file.real("gram_loss_weight", 0.0);
}

}  // namespace dino::golden
