// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind loss: that of DINO v1; the others are in loss_checks.cpp.
#include <vector>

#include "golden/model_arrays.hpp"
#include "objective/dino_loss.hpp"

namespace dino::golden {
namespace {

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
  for (std::int64_t i = 0; i < steps; ++i) {
    temperatures.push_back(teacher_temperature(
        file, file.at("inputs/epoch").integers().at(static_cast<std::size_t>(i))));
    auto student = slice(file.at("inputs/student_logits"), i);
    auto teacher = slice(file.at("inputs/teacher_logits"), i);
    loss.begin_step();
    auto const targets = loss.targets({teacher.data(), {2 * batch, k}}, temperatures.back());
    View<float, 2> const logits{student.data(), {crops * batch, k}};
    loss.cross_entropy<float>(logits, targets, batch, batch, file.real("student_temp"), logits);
    losses.push_back(loss.local_loss());
    loss.finish_step(Communicator::self(), batch);
    gradients.insert(gradients.end(), student.begin(), student.end());
    auto const center = loss.center();
    centers.insert(centers.end(), center.begin(), center.end());
  }
  report.compare("loss", losses, loss_tolerance);
  report.compare("teacher_temp", temperatures, 1e-11);
  report.compare("center", centers, loss_tolerance);
  report.compare("grad_student", gradients, loss_gradient_tolerance);
}

}  // namespace

void check_loss(GoldenFile const& file, Report& report) {
  auto const loss = file.text("loss", "");
  if (loss == "dino_v1") return check_dino_v1(file, report);
  if (auto const check = loss_check(loss)) return check(file, report);
  report.skip("", "loss " + loss + " is not implemented");
}

}  // namespace dino::golden
