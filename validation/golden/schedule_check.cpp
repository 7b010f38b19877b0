// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind schedule: schedules, scaling rules and layer-wise decay of all methods.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.hpp"
#include "golden/report.hpp"
#include "optim/parameter_groups.hpp"
#include "optim/schedule.hpp"

namespace dino::golden {
namespace {

using namespace optim;

constexpr double relative_tolerance = 1e-12;  // of each value: double precision throughout
constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr std::int64_t past_the_end = 3;  // values that the files of v2 and v3 hold in addition

/// The settings of one schedule.
class Settings {
 public:
  Settings(GoldenFile const& file, std::string const& name)
      : file_(file), path_("inputs/" + name + "/") {}

  double real(std::string const& key) const { return file_.at(path_ + key).numbers().at(0); }
  std::int64_t integer(std::string const& key) const {
    return file_.at(path_ + key).integers().at(0);
  }
  std::vector<std::int64_t> integers(std::string const& key) const {
    return file_.at(path_ + key).integers();
  }
  std::string text(std::string const& key) const { return file_.at(path_ + key).texts().at(0); }
  bool has(std::string const& key) const { return file_.has(path_ + key); }

 private:
  GoldenFile const& file_;
  std::string path_;
};

class ScheduleCheck {
 public:
  ScheduleCheck(GoldenFile const& file, Report& report) : file_(file), report_(report) {}

  /// Settings tell by their name which schedule they are of; an unknown one is left uncompared,
  /// which the report counts as a failure.
  void check(std::string const& name) {
    auto const starts = [&](char const* prefix) { return name.rfind(prefix, 0) == 0; };
    auto const ends = [&](std::string_view suffix) {
      return std::string_view(name).ends_with(suffix);
    };
    Settings const s(file_, name);
    if (name == "lr_scaling") return scaling(name, s);
    if (ends("param_groups")) return groups(name, s);
    if (starts("v3_schedules")) return blocks_of_v3(name, s);
    if (ends("_set")) return set(name, s);
    if (starts("v1_cosine")) return cosine_v1(name, s);
    if (starts("v1_teacher_temp")) return temperature_v1(name, s);
    if (starts("v3_linear")) return cosine_b(name, s);
    if (starts("v2_cosine") || starts("v3_cosine")) return cosine_a(name, s);
  }

 private:
  void compare(std::string const& name, std::vector<double> const& actual) {
    auto const expected = file_.at("expected/" + name).numbers();
    double worst = actual.size() == expected.size() ? 0 : infinite;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      double const error = std::abs(actual[i] - expected[i]);
      if (error == 0) continue;
      double const relative = error / std::abs(expected[i]);
      worst = std::isnan(relative) ? infinite : std::max(worst, relative);
    }
    report_.add(name, worst, relative_tolerance);
  }

  /// Compares the values at 0 ... steps - 1 of a function of the iteration.
  void compare_steps(std::string const& name, auto const& value, std::int64_t steps) {
    auto const held = file_.at("expected/" + name).size();
    std::vector<double> values;  // empty, and so a failure, where the file holds another number
    for (std::int64_t i = 0; i < steps && steps == held; ++i) values.push_back(value(i));
    compare(name, values);
  }

  void compare_steps(std::string const& name, auto const& schedule, std::int64_t steps)
    requires requires { schedule.at(0); }
  {
    compare_steps(name, [&](std::int64_t i) { return schedule.at(i); }, steps);
  }

  void compare_last_layer(std::string const& name, auto const& lr, std::int64_t steps,
                          std::int64_t frozen) {
    compare_steps(name, [&](std::int64_t i) { return last_layer_lr(lr.at(i), i, frozen); }, steps);
  }

  void cosine_v1(std::string const& name, Settings const& s) {
    auto const epoch = s.integer("niter_per_ep");
    CosineA const schedule{.total = s.integer("epochs") * epoch,
                           .base = s.real("base_value"),
                           .last = s.real("final_value"),
                           .warmup = s.integer("warmup_epochs") * epoch,
                           .start = s.real("start_warmup_value")};
    compare_steps(name, schedule, schedule.total);
  }

  void temperature_v1(std::string const& name, Settings const& s) {
    LinearRamp const ramp{.start = s.real("warmup_teacher_temp"),
                          .value = s.real("teacher_temp"),
                          .warmup = s.integer("warmup_teacher_temp_epochs")};
    compare_steps(name, ramp, s.integer("epochs"));
  }

  void cosine_a(std::string const& name, Settings const& s) {
    CosineA const schedule{.total = s.integer("total_iters"),
                           .base = s.real("base_value"),
                           .last = s.real("final_value"),
                           .warmup = s.integer("warmup_iters"),
                           .start = s.real("start_warmup_value"),
                           .freeze = s.integer("freeze_iters"),
                           .trunc_extra = s.has("trunc_extra") ? s.real("trunc_extra") : 0.0};
    compare_steps(name, schedule, schedule.total + past_the_end);
  }

  void cosine_b(std::string const& name, Settings const& s) {
    CosineB schedule{.total = s.integer("total_iterations"),
                     .start = s.real("start"),
                     .peak = s.real("peak"),
                     .end = s.real("end"),
                     .warmup = s.integer("warmup_iterations")};
    if (s.has("cosine_iterations")) schedule.cosine = s.integer("cosine_iterations");
    compare_steps(name, schedule, schedule.total);
  }

  /// All schedules of a run of v2, or of v3 in the older form of its configuration.
  void set(std::string const& name, Settings const& s) {
    auto const epoch = s.integer("OFFICIAL_EPOCH_LENGTH");
    auto const total = s.integer("epochs") * epoch;
    auto const extra = s.has("schedule_trunc_extra") ? s.real("schedule_trunc_extra") : 0.0;
    auto const cosine = [&](char const* from, char const* to, std::int64_t warmup = 0) {
      return CosineA{.total = total,
                     .base = s.real(from),
                     .last = s.real(to),
                     .warmup = warmup,
                     .trunc_extra = extra};
    };
    auto const lr = cosine("lr", "min_lr", s.integer("warmup_epochs") * epoch);
    compare_steps(name + "/lr", lr, total);
    compare_last_layer(name + "/last_layer_lr", lr, total,
                       s.integer("freeze_last_layer_epochs") * epoch);
    compare_steps(name + "/weight_decay", cosine("weight_decay", "weight_decay_end"), total);
    compare_steps(name + "/momentum", cosine("momentum_teacher", "final_momentum_teacher"), total);
    LinearRamp const ramp{.start = s.real("warmup_teacher_temp"),
                          .value = s.real("teacher_temp"),
                          .warmup = s.integer("warmup_teacher_temp_epochs") * epoch};
    compare_steps(name + "/teacher_temp", ramp, total);
  }

  static LrScaling scaling_rule(std::string const& name) {
    if (name == "linear_wrt_256") return LrScaling::linear_256;
    if (name == "sqrt_wrt_1024") return LrScaling::four_sqrt_1024;
    require(name == "none", ExitCode::input, "scaling rule {} is unknown", name);
    return LrScaling::none;
  }

  /// The `schedules` block of v3: start, peak, end, warm-up and cosine of each quantity.
  void blocks_of_v3(std::string const& name, Settings const& s) {
    auto const epoch = s.integer("OFFICIAL_EPOCH_LENGTH");
    auto const total = s.integer("epochs") * epoch;
    auto const rule = scaling_rule(s.text("scaling_rule"));
    auto const block = [&](std::string const& key) {
      CosineB out{.total = total,
                  .start = s.real(key + "/start"),
                  .peak = s.real(key + "/peak"),
                  .end = s.real(key + "/end"),
                  .warmup = s.integer(key + "/warmup_epochs") * epoch};
      if (s.has(key + "/cosine_epochs")) out.cosine = s.integer(key + "/cosine_epochs") * epoch;
      return out;
    };
    auto lr = block("lr");
    lr.peak = scaled_lr(lr.peak, rule, s.integer("total_batch_size"));
    lr.end = scaled_lr(lr.end, rule, s.integer("total_batch_size"));
    compare_steps(name + "/lr", lr, total);
    compare_last_layer(name + "/last_layer_lr", lr, total,
                       s.integer("lr/freeze_last_layer_epochs") * epoch);
    for (std::string const key : {"weight_decay", "momentum", "teacher_temp"})
      compare_steps(name + "/" + key, block(key), total);
  }

  void scaling(std::string const& name, Settings const& s) {
    auto const compare_rule = [&](char const* entry, LrScaling rule) {
      std::vector<double> values;
      for (auto const batch : s.integers("total_batch_size"))
        values.push_back(scaled_lr(s.real("base_lr"), rule, batch));
      compare(name + "/" + entry, values);
    };
    compare_rule("v1_linear_256", LrScaling::linear_256);
    compare_rule("v2_sqrt_wrt_1024", LrScaling::sqrt_1024);
    compare_rule("v3_linear_wrt_256", LrScaling::linear_256);
    compare_rule("v3_sqrt_wrt_1024", LrScaling::four_sqrt_1024);
  }

  void groups(std::string const& name, Settings const& s) {
    LayerwiseDecay const layers{.rules = name.rfind("v2", 0) == 0 ? GroupRules::v2 : GroupRules::v3,
                                .depth = s.integer("depth"),
                                .decay = s.real("layerwise_decay"),
                                .patch_embed = s.real("patch_embed_lr_mult")};
    std::vector<double> lr;
    std::vector<double> decay;
    std::vector<std::int64_t> last;
    for (auto const& parameter : file_.at("expected/" + name + "/name").texts()) {
      auto const group = parameter_group(parameter, layers);
      lr.push_back(group.lr);
      decay.push_back(group.weight_decay);
      last.push_back(group.last_layer ? 1 : 0);
    }
    report_.cover(name + "/name");
    compare(name + "/lr_multiplier", lr);
    compare(name + "/wd_multiplier", decay);
    report_.compare(name + "/is_last_layer", last);
  }

  GoldenFile const& file_;
  Report& report_;
};

}  // namespace

void check_schedule(GoldenFile const& file, Report& report) {
  ScheduleCheck check(file, report);
  for (auto const& name : file.children("inputs")) check.check(name);
}

}  // namespace dino::golden
