// SPDX-License-Identifier: Apache-2.0
#include "golden/step_check.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "golden/v3_objective.hpp"

namespace dino::golden {
namespace {

constexpr std::int64_t arena_bytes = std::int64_t{1} << 30;
constexpr double step_tolerance = 5e-5;  // loss terms and gradient norms
constexpr double student_tolerance = 1e-4;
constexpr double update_tolerance = 2e-2;      // largest, of final - initial
constexpr double update_rms_tolerance = 1e-3;  // root mean square

/// As Report::compare bounds values, where the file says what plain float32 explains. A weight
/// whose gradient is small beside its rounding moves by other amounts wherever sums run in another
/// order.
double bound(double suggested, std::optional<double> fp32_dev) {
  return fp32_dev ? std::max(suggested / 10, 20 * *fp32_dev) : suggested;
}

}  // namespace

StepCheck::StepCheck(GoldenFile const& file, Report& report, std::unique_ptr<Step> step)
    : file_(file), report_(report), step_(std::move(step)), arena_(Host{}, arena_bytes) {
  load_parameters(step_->student().store, file, "student");
  load_parameters(step_->teacher().store, file, "teacher");
}

void StepCheck::run_all() {
  groups();
  std::vector<double> totals;
  for (std::int64_t i = 0; i < file_.integer("n_steps"); ++i) {
    auto const result = one_step(i);
    totals.push_back(result.loss);
    add_result(result);
  }
  relative("losses/total", totals);
  compare_results();
  finals("student_final", "student", step_->student().store, student_tolerance);
  finals("teacher_final", "teacher", step_->teacher().store, teacher_tolerance);
}

double StepCheck::schedule(std::string const& name, std::int64_t i) const {
  return file_.at("inputs/schedule/" + name).numbers().at(static_cast<std::size_t>(i));
}

ImageView StepCheck::images(std::string const& path, std::vector<float>& pixels) const {
  if (!file_.has(path)) return {};
  auto const& array = file_.at(path);
  pixels = array.floats();
  return {pixels.data(),
          {array.shape.at(0), array.shape.at(1), array.shape.at(2), array.shape.at(3)}};
}

train::StepSettings StepCheck::settings(std::int64_t i) const {
  bool const v1 = file_.method == "dinov1";
  train::StepSettings out{.lr = schedule("lr", i),
                          .weight_decay = schedule("weight_decay", i),
                          .momentum = schedule("momentum", i),
                          .teacher_temperature = schedule("teacher_temp", i),
                          .student_temperature = file_.real("student_temp"),
                          .clip_grad = file_.real("clip_grad"),
                          .beta1 = file_.real("adamw_beta1"),
                          .beta2 = file_.real("adamw_beta2"),
                          .eps = file_.real("adamw_eps")};
  out.freeze_last_layer = v1 && schedule("epoch", i) < file_.real("freeze_last_layer_epochs");
  if (!v1) out.last_layer_lr = schedule("last_layer_lr", i);
  out.iteration = std::llround(schedule("iteration", i));
  if (file_.method == "dinov3") take_v3_weights(file_, out);
  return out;
}

CollatedMasks StepCheck::masks(std::string const& folder) const {
  CollatedMasks out;
  if (!file_.has(folder + "/masks")) return out;
  for (auto const value : file_.at(folder + "/masks").integers())
    out.masks.push_back(static_cast<std::uint8_t>(value));
  if (!file_.has(folder + "/mask_indices_list")) return out;
  out.indices = file_.at(folder + "/mask_indices_list").integers();
  out.weights = file_.at(folder + "/masks_weight").floats();
  return out;
}

train::StepResult StepCheck::one_step(std::int64_t i) {
  std::vector<float> global;
  std::vector<float> local;
  std::vector<float> gram;
  auto const folder = "inputs/step" + std::to_string(i);
  auto const collated = masks(folder);
  train::CropViews const crops{.images = file_.integer("batch"),
                               .first = 0,
                               .global = images(folder + "/global_crops", global),
                               .local = images(folder + "/local_crops", local),
                               .gram = images(folder + "/gram_teacher_crops", gram),
                               .drop_path = {},
                               .masks = collated.masks.empty() ? nullptr : &collated};
  if (i == 0) observe();
  step_->begin(crops.images);
  step_->accumulate(arena_,
                    {.micro_batches = 1,
                     .next =
                         [&] {
                           return train::StepBatch{crops, nullptr};
                         }},
                    settings(i));
  if (i == 0) first_gradients();
  before_update();
  return step_->finish(settings(i), i);
}

void StepCheck::first_gradients() {
  auto& store = step_->student().store;
  for_each_parameter(
      store, [&](int unit) { return store.gradient_part(unit); },
      [&](std::string const& name, auto const& spec, std::span<float const> values) {
        if (spec.trained == shard::Trained::yes)
          report_.compare("grad_step0/" + name, values, step_gradient_tolerance);
      });
}

void StepCheck::relative(std::string const& name, std::vector<double> const& actual) {
  auto const& array = file_.at("expected/" + name);
  auto const expected = array.numbers();
  double worst = actual.size() == expected.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
    double const scale = std::max(std::abs(expected[i]), 1e-12);
    worst = std::max(worst, std::abs(actual[i] - expected[i]) / scale);
  }
  report_.add(name, worst, step_tolerance);
}

void StepCheck::finals(std::string const& group, std::string const& role,
                       shard::ParameterStore<float>& store, double tolerance) {
  for_each_parameter(
      store, [&](int unit) { return store.master(unit); },
      [&](std::string const& name, auto const&, std::span<float const> values) {
        auto const& expected = file_.at("expected/" + group + "/" + name);
        auto const start = file_.at("params/" + role + "/" + name).numbers();
        compare_final(group + "/" + name, values, expected, start, tolerance);
      });
}

void StepCheck::compare_final(std::string const& name, std::span<float const> actual,
                              Array const& array, std::vector<double> const& start,
                              double tolerance) {
  auto const expected = array.numbers();
  bool const qkv_bias = file_.integer("mask_k_bias", 0) == 0 && name.ends_with("attn.qkv.bias");
  double learning_rates = 0;
  for (auto const lr : file_.at("inputs/schedule/lr").numbers()) learning_rates += lr;
  std::array<double, 5> worst{};  // value, its scale, update, its scale, k third
  double squares = 0;
  double square_scale = 0;
  auto const third = expected.size() / 3;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double const error = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (qkv_bias && i >= third && i < 2 * third) {
      worst[4] = std::max(worst[4], error);
      continue;
    }
    worst[0] = std::max(worst[0], error);
    worst[1] = std::max(worst[1], std::abs(expected[i]));
    worst[3] = std::max(worst[3], std::abs(expected[i] - start[i]));
    squares += error * error;
    square_scale += (expected[i] - start[i]) * (expected[i] - start[i]);
  }
  auto const share = [](double error, double scale) { return scale > 0 ? error / scale : error; };
  auto const explained = qkv_bias ? array.fp32_dev_update_without_k : array.fp32_dev_update;
  // What float32 explains of one weight, as a share of all that the weights move.
  double const of_one = share(20 * explained.value_or(0) * worst[3], std::sqrt(square_scale));
  report_.add(name, share(worst[0], worst[1]),
              bound(tolerance, qkv_bias ? array.fp32_dev_without_k : array.fp32_dev));
  report_.add(name + " (update)", share(worst[0], worst[3]), bound(update_tolerance, explained));
  report_.add(name + " (update, rms)", std::sqrt(share(squares, square_scale)),
              std::max(update_rms_tolerance, of_one));
  if (qkv_bias) report_.add(name + " (k third)", worst[4], 2 * learning_rates);
}

void check_step(GoldenFile const& file, Report& report) {
  if (file.text("optimizer", "adamw") != "adamw")
    return report.skip("", "optimizer " + file.text("optimizer") + " is not implemented");
  if (file.method == "dinov1") return check_step_v1(file, report);
  if (file.method == "dinov2") return check_step_v2(file, report);
  if (file.method == "dinov3") return check_step_v3(file, report);
  report.skip("", "steps of method " + file.method + " are not implemented");
}

}  // namespace dino::golden
