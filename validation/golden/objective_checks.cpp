// SPDX-License-Identifier: Apache-2.0
// Golden files of the kinds loss and step (method dinov1).
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "golden/model_arrays.hpp"
#include "kernels/elementwise.hpp"
#include "train/step.hpp"

namespace dino::golden {
namespace {

constexpr std::int64_t arena_bytes = std::int64_t{1} << 30;
constexpr double step_tolerance = 5e-5;  // loss terms and gradient norms
constexpr double step_gradient_tolerance = 1e-4;
constexpr double student_tolerance = 1e-4;
constexpr double teacher_tolerance = 2e-5;
constexpr double update_tolerance = 2e-2;      // largest, of final - initial
constexpr double update_rms_tolerance = 1e-3;  // root mean square

/// Slice i of the first axis.
std::vector<float> slice(Array const& array, std::int64_t i) {
  auto const all = array.floats();
  auto const n =
      static_cast<std::ptrdiff_t>(all.size()) / static_cast<std::ptrdiff_t>(array.shape[0]);
  return {all.begin() + i * n, all.begin() + (i + 1) * n};
}

/// Teacher temperature of an epoch: linear warm-up, inclusive, then constant. Source:
/// method.md 6.4.
double teacher_temperature(GoldenFile const& file, std::int64_t epoch) {
  auto const warm = file.integer("warmup_teacher_temp_epochs");
  auto const from = file.real("warmup_teacher_temp");
  auto const to = file.real("teacher_temp");
  if (epoch >= warm) return to;
  return warm == 1
             ? from
             : from + (to - from) * static_cast<double>(epoch) / static_cast<double>(warm - 1);
}

void check_dino_v1(GoldenFile const& file, Report& report) {
  Space const space = Host{};
  auto const k = file.integer("out_dim");
  auto const batch = file.integer("batch");
  auto const steps = file.integer("n_steps");
  auto const crops = file.integer("ncrops");
  DinoLoss loss(space, k, file.real("center_momentum"));
  loss.set_center(file.at("inputs/center_init").floats());
  std::vector<float> gradients;
  std::vector<float> centers;
  std::vector<double> losses;
  std::vector<double> temperatures;
  Arena arena(space, arena_bytes);
  for (std::int64_t i = 0; i < steps; ++i) {
    ArenaScope const scope(arena);
    temperatures.push_back(teacher_temperature(
        file, file.at("inputs/epoch").integers().at(static_cast<std::size_t>(i))));
    auto student = slice(file.at("inputs/student_logits"), i);
    auto teacher = slice(file.at("inputs/teacher_logits"), i);
    loss.begin_step();
    auto const targets = loss.targets({teacher.data(), {2 * batch, k}}, temperatures.back());
    auto const gradient =
        loss.cross_entropy<float>(arena, {student.data(), {crops * batch, k}}, targets, batch,
                                  batch, file.real("student_temp"));
    losses.push_back(loss.local_loss());
    loss.finish_step(Communicator::self(), batch);
    gradients.insert(gradients.end(), gradient.span().begin(), gradient.span().end());
    auto const center = loss.center();
    centers.insert(centers.end(), center.begin(), center.end());
  }
  report.compare("loss", losses, loss_tolerance);
  report.compare("teacher_temp", temperatures, 1e-11);
  report.compare("center", centers, loss_tolerance);
  report.compare("grad_student", gradients, loss_gradient_tolerance);
}

train::ModelShape model_shape(GoldenFile const& file) {
  train::ModelShape shape;
  shape.backbone = backbone_shape(file);
  shape.head = {.in_dim = shape.backbone.embed_dim,
                .hidden_dim = file.integer("head_hidden_dim"),
                .bottleneck_dim = file.integer("head_bottleneck_dim"),
                .out_dim = file.integer("head_out_dim"),
                .nlayers = file.integer("head_nlayers"),
                .norm_last_layer = file.integer("norm_last_layer") != 0};
  return shape;
}

/// Runs the steps of one file and compares everything that it expects.
class StepCheck {
 public:
  StepCheck(GoldenFile const& file, Report& report)
      : file_(file),
        report_(report),
        step_(space_, Communicator::self(), {}, model_shape(file), file.real("center_momentum")),
        arena_(space_, arena_bytes) {
    load_parameters(step_.student().store, file, "student");
    load_parameters(step_.teacher().store, file, "teacher");
    step_.loss().set_center(file.at("params/loss/center").floats());
  }

  void run_all() {
    groups();
    std::vector<double> totals;
    std::vector<double> norms;
    for (std::int64_t i = 0; i < file_.integer("n_steps"); ++i) {
      auto const result = one_step(i);
      totals.push_back(result.loss);
      ordered_norms(result, norms);
    }
    relative("losses/total", totals);
    report_.compare("grad_norm/name", slot_names());
    relative("grad_norm/value", norms);
    finals("student_final", "student", step_.student().store, student_tolerance);
    finals("teacher_final", "teacher", step_.teacher().store, teacher_tolerance);
    report_.compare("loss_final/center", step_.loss().center(), teacher_tolerance);
  }

 private:
  double schedule(std::string const& name, std::int64_t i) const {
    return file_.at("inputs/schedule/" + name).numbers().at(static_cast<std::size_t>(i));
  }

  ImageView images(std::string const& path, std::vector<float>& pixels) const {
    if (!file_.has(path)) return {};
    auto const& array = file_.at(path);
    pixels = array.floats();
    return {pixels.data(),
            {array.shape.at(0), array.shape.at(1), array.shape.at(2), array.shape.at(3)}};
  }

  train::StepResult one_step(std::int64_t i) {
    train::StepSettings const settings{
        .lr = schedule("lr", i),
        .weight_decay = schedule("weight_decay", i),
        .momentum = schedule("momentum", i),
        .teacher_temperature = schedule("teacher_temp", i),
        .student_temperature = file_.real("student_temp"),
        .freeze_last_layer = schedule("epoch", i) < file_.real("freeze_last_layer_epochs"),
        .clip_grad = file_.real("clip_grad"),
        .beta1 = file_.real("adamw_beta1"),
        .beta2 = file_.real("adamw_beta2"),
        .eps = file_.real("adamw_eps")};
    std::vector<float> global;
    std::vector<float> local;
    auto const folder = "inputs/step" + std::to_string(i);
    train::CropViews crops{.images = file_.integer("batch"),
                           .global = images(folder + "/global_crops", global),
                           .local = images(folder + "/local_crops", local),
                           .drop_path = {}};
    if (i == 0) {
      step_.observe_logits([&](View<float const, 2> student, View<float const, 2> teacher) {
        report_.compare("debug_step0/student_output", student.span(), step_gradient_tolerance);
        report_.compare("debug_step0/teacher_output", teacher.span(), step_gradient_tolerance);
      });
    }
    step_.begin(crops.images);
    step_.micro_batch(arena_, crops, settings, train::DinoStep<float>::Last::yes);
    step_.observe_logits({});
    if (i == 0) first_gradients();
    return step_.finish(settings, i);
  }

  void first_gradients() {
    auto& store = step_.student().store;
    for_each_parameter(
        store, [&](int unit) { return store.gradient_part(unit); },
        [&](std::string const& name, auto const& spec, std::span<float const> values) {
          if (spec.trained == shard::Trained::yes)
            report_.compare("grad_step0/" + name, values, step_gradient_tolerance);
        });
  }

  std::vector<std::string> slot_names() {
    std::vector<std::string> names;
    for (auto const& slot : step_.optimizer().slots()) names.push_back(slot.name);
    return names;
  }

  void ordered_norms(train::StepResult const& result, std::vector<double>& out) {
    out.insert(out.end(), result.gradient_norms.begin(), result.gradient_norms.end());
  }

  /// Relative per value.
  void relative(std::string const& name, std::vector<double> const& actual) {
    auto const& array = file_.at("expected/" + name);
    auto const expected = array.numbers();
    double worst = actual.size() == expected.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      double const scale = std::max(std::abs(expected[i]), 1e-12);
      worst = std::max(worst, std::abs(actual[i] - expected[i]) / scale);
    }
    report_.add(name, worst, step_tolerance);
  }

  /// Final values and updates; the k third of qkv biases, whose gradient is rounding noise, is
  /// bounded by twice the sum of the learning rates instead.
  void finals(std::string const& group, std::string const& role,
              shard::ParameterStore<float>& store, double tolerance) {
    for_each_parameter(
        store, [&](int unit) { return store.master(unit); },
        [&](std::string const& name, auto const&, std::span<float const> values) {
          auto const expected = file_.at("expected/" + group + "/" + name).numbers();
          auto const start = file_.at("params/" + role + "/" + name).numbers();
          compare_final(group + "/" + name, values, expected, start, tolerance);
        });
  }

  void compare_final(std::string const& name, std::span<float const> actual,
                     std::vector<double> const& expected, std::vector<double> const& start,
                     double tolerance) {
    bool const qkv_bias =
        name.size() > 13 && name.compare(name.size() - 13, 13, "attn.qkv.bias") == 0;
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
    report_.add(name, share(worst[0], worst[1]), tolerance);
    report_.add(name + " (update)", share(worst[0], worst[3]), update_tolerance);
    report_.add(name + " (update, rms)", std::sqrt(share(squares, square_scale)),
                update_rms_tolerance);
    if (qkv_bias) report_.add(name + " (k third)", worst[4], 2 * learning_rates);
  }

  void groups() {
    std::vector<std::string> names;
    std::vector<std::int64_t> trained;
    std::vector<std::int64_t> decayed;
    auto& store = step_.student().store;
    for_each_parameter(
        store, [&](int unit) { return store.master(unit); },
        [&](std::string const& name, auto const& spec, std::span<float const>) {
          bool const in = spec.trained == shard::Trained::yes;
          names.push_back(name);
          trained.push_back(in ? 1 : 0);
          decayed.push_back(in && spec.decay == shard::Decay::yes ? 1 : 0);
        });
    report_.compare("param_groups/name", names);
    report_.compare("param_groups/in_optimizer", std::span<std::int64_t const>(trained));
    report_.compare("param_groups/weight_decayed", std::span<std::int64_t const>(decayed));
  }

  Space space_ = Host{};
  GoldenFile const& file_;
  Report& report_;
  train::DinoStep<float> step_;
  Arena arena_;
};

}  // namespace

void check_loss(GoldenFile const& file, Report& report) {
  auto const loss = file.text("loss", "");
  if (loss == "dino_v1") return check_dino_v1(file, report);
  if (auto const check = loss_check(loss)) return check(file, report);
  report.skip("", "loss " + loss + " is not implemented");
}

void check_step(GoldenFile const& file, Report& report) {
  if (file.method != "dinov1")
    return report.skip("", "steps of method " + file.method + " are not implemented");
  if (file.text("optimizer", "adamw") != "adamw")
    return report.skip("", "optimizer " + file.text("optimizer") + " is not implemented");
  StepCheck(file, report).run_all();
}

}  // namespace dino::golden
