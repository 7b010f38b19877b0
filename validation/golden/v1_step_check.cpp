// SPDX-License-Identifier: Apache-2.0
#include "golden/step_check.hpp"
#include "train/step.hpp"

namespace dino::golden {
namespace {

train::ModelShape v1_shape(GoldenFile const& file) {
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

class V1Check : public StepCheck {
 public:
  V1Check(GoldenFile const& file, Report& report)
      : StepCheck(file, report,
                  std::make_unique<train::DinoStep<float>>(Host{}, Communicator::self(),
                                                           shard::Strategy{}, v1_shape(file),
                                                           file.real("center_momentum"))) {
    v1().loss().set_center(file.at("params/loss/center").floats());
  }

 private:
  train::DinoStep<float>& v1() { return static_cast<train::DinoStep<float>&>(*step_); }

  void observe() override {
    v1().observe([this](train::SeenTile const& seen) {
      report_.compare("debug_step0/student_output", seen.student.span(), step_gradient_tolerance);
      report_.compare("debug_step0/teacher_output", seen.teacher.span(), step_gradient_tolerance);
    });
  }
  void before_update() override { v1().observe({}); }

  void groups() override {
    std::vector<std::string> names;
    std::vector<std::int64_t> trained;
    std::vector<std::int64_t> decayed;
    auto& store = step_->student().store;
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

  void add_result(train::StepResult const& result) override {
    norms_.insert(norms_.end(), result.gradient_norms.begin(), result.gradient_norms.end());
  }

  void compare_results() override {
    std::vector<std::string> names;
    for (auto const& slot : step_->optimizer().slots()) names.push_back(slot.name);
    report_.compare("grad_norm/name", names);
    relative("grad_norm/value", norms_);
    report_.compare("loss_final/center", v1().loss().center(), teacher_tolerance);
  }

  std::vector<double> norms_;
};

}  // namespace

void check_step_v1(GoldenFile const& file, Report& report) {
  V1Check(file, report).run_all();
}

}  // namespace dino::golden
