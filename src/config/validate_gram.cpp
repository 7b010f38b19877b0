// SPDX-License-Identifier: Apache-2.0
#include "config/ranges.hpp"

namespace dino::config {
namespace {

/// Where the Gram teacher comes from, and how often.
void validate_teacher(Config const& config) {
  auto const& gram = config.gram;
  at_least("gram.it_load_ema_teacher", gram.it_load_ema_teacher, 0, "0");
  at_least("gram.update_frequency", gram.update_frequency, 1, "10000");
  at_least("gram.it_first_update", gram.it_first_update, 0, "0");
  at_least("gram.max_updates", gram.max_updates, 0, "3");
  if (!gram.use_loss) return;
  require(config.method == "dinov3", ExitCode::usage,
          "invalid gram.use_loss=true (the Gram loss belongs to dinov3). Try method=dinov3, or "
          "gram.use_loss=false");
  if (!gram.ema_teacher) {
    require(!gram.ckpt.empty() || gram.it_load_ema_teacher, ExitCode::usage,
            "invalid gram.use_loss=true (there is no Gram teacher). Try gram.ckpt=CHECKPOINT, "
            "gram.it_load_ema_teacher=0 or gram.ema_teacher=true");
    return;
  }
  auto const refuse_with_ema = [](bool given, std::string_view key, std::string_view remedy) {
    require(!given, ExitCode::usage,
            "invalid {} with gram.ema_teacher=true (the Gram teacher is the teacher itself). Try "
            "{}, or gram.ema_teacher=false",
            key, remedy);
  };
  refuse_with_ema(!gram.ckpt.empty(), "gram.ckpt", "gram.ckpt=\"\"");
  refuse_with_ema(gram.rep_update, "gram.rep_update", "gram.rep_update=false");
  refuse_with_ema(config.crops.gram_teacher_crops_size.has_value(), "crops.gram_teacher_crops_size",
                  "leaving it out");
  refuse_with_ema(!config.crops.pairs.gram_teacher_crops_size.empty(),
                  "crops.pairs.gram_teacher_crops_size", "leaving it out");
}

}  // namespace

void validate_gram(Config const& config) {
  auto const& gram = config.gram;
  not_negative("gram.loss_weight", gram.loss_weight, "1.0");
  one_of("gram.tokens_used", gram.tokens_used, {"all", "masked", "unmasked"});
  one_of("gram.global_teacher_resize_method", gram.global_teacher_resize_method,
         {"bicubic", "bilinear"});
  check(!gram.remove_neg || !gram.remove_only_teacher_neg, "gram.remove_only_teacher_neg",
        gram.remove_only_teacher_neg, "false with gram.remove_neg=true", "false");
  check(gram.tokens_used == "all" || !gram.img_level, "gram.img_level", gram.img_level,
        fmt::format("false with gram.tokens_used={}", gram.tokens_used), "false");
  check(gram.tokens_used == "all" || config.ibot.loss_weight > 0, "gram.tokens_used",
        gram.tokens_used, "all without masks (ibot.loss_weight=0)", "all");
  validate_teacher(config);
  auto const patch = config.student.patch_size;
  if (auto const size = config.crops.gram_teacher_crops_size) {
    check(*size >= patch && *size % patch == 0, "crops.gram_teacher_crops_size", *size,
          fmt::format("a multiple of student.patch_size={}", patch),
          toml_text(2 * config.crops.global_size));
  }
}

}  // namespace dino::config
