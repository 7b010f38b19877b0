// SPDX-License-Identifier: Apache-2.0
// Golden files of the kind step: three training steps of DINO v1, DINOv2 or DINOv3.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "golden/model_arrays.hpp"
#include "train/training_step.hpp"

namespace dino::golden {

constexpr double step_gradient_tolerance = 1e-4;
constexpr double teacher_tolerance = 2e-5;

using Step = train::TrainingStep<float>;

/// Runs the steps of one file and compares everything that it expects.
class StepCheck {
 public:
  StepCheck(GoldenFile const& file, Report& report, std::unique_ptr<Step> step);
  virtual ~StepCheck() = default;

  void run_all();

 protected:
  virtual void groups() = 0;
  virtual void observe() = 0;
  virtual void before_update() {}
  virtual void add_result(train::StepResult const& result) = 0;
  virtual void compare_results() = 0;

  train::StepSettings settings(std::int64_t i) const;
  /// Relative per value.
  void relative(std::string const& name, std::vector<double> const& actual);
  /// Final values and updates; the k third of qkv biases, whose gradient is rounding noise, is
  /// bounded by twice the sum of the learning rates instead.
  void finals(std::string const& group, std::string const& role,
              shard::ParameterStore<float>& store, double tolerance);

  GoldenFile const& file_;
  Report& report_;
  std::unique_ptr<Step> step_;

 private:
  double schedule(std::string const& name, std::int64_t i) const;
  ImageView images(std::string const& path, std::vector<float>& pixels) const;
  CollatedMasks masks(std::string const& folder) const;
  train::StepResult one_step(std::int64_t i);
  void first_gradients();
  void compare_final(std::string const& name, std::span<float const> actual, Array const& array,
                     std::vector<double> const& start, double tolerance);

  Arena arena_;
};

void check_step_v1(GoldenFile const& file, Report& report);
void check_step_v2(GoldenFile const& file, Report& report);
void check_step_v3(GoldenFile const& file, Report& report);

}  // namespace dino::golden
