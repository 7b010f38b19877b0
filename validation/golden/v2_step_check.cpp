// SPDX-License-Identifier: Apache-2.0
// Steps of DINOv2, and of DINOv3, which adds to them.
#include <algorithm>
#include <cmath>
#include <map>

#include "golden/step_check.hpp"
#include "golden/v3_objective.hpp"
#include "train/dinov2_step.hpp"

namespace dino::golden {
namespace {

constexpr double koleo_tolerance = 1e-5;  // absolute: it crosses zero

DinoHeadShape v2_head(GoldenFile const& file, std::string const& name, std::int64_t in_dim) {
  auto const key = [&](std::string const& what) { return file.integer(name + "_" + what); };
  return {.in_dim = in_dim,
          .hidden_dim = key("hidden_dim"),
          .bottleneck_dim = key("bottleneck_dim"),
          .out_dim = key("n_prototypes"),
          .nlayers = key("nlayers"),
          .weight_norm = file.method == "dinov2",
          .norm_last_layer = false};
}

train::ModelShape v2_shape(GoldenFile const& file) {
  train::ModelShape shape;
  shape.backbone = backbone_shape(file);
  shape.head_prefix = "dino_head.";
  shape.head = v2_head(file, "dino_head", shape.backbone.embed_dim);
  if (file.integer("ibot_separate_head", 0) != 0)
    shape.ibot_head = v2_head(file, "ibot_head", shape.backbone.embed_dim);
  return shape;
}

/// Of DINOv2, or of DINOv3.
train::DinoV2Objective v2_objective(GoldenFile const& file) {
  auto const centering = file.text("centering") == "sinkhorn_knopp"
                             ? train::Centering::sinkhorn_knopp
                             : train::Centering::centering;
  train::DinoV2Objective objective{
      .dino_weight = file.real("dino_loss_weight"),
      .ibot_weight = file.real("ibot_loss_weight"),
      .koleo_weight = file.real("koleo_loss_weight", 0.0),
      .koleo_group = std::nullopt,
      .dino_centering = centering,
      .ibot_centering = centering,
      .center_momentum = file.real("center_momentum", 0.9),
      .sinkhorn_iterations = static_cast<int>(file.integer("sinkhorn_iterations", 3)),
      .pairs = CropPairs::v2(file.integer("n_local_crops"))};
  if (file.method == "dinov3") take_v3_objective(file, objective);
  return objective;
}

optim::ParameterRules v2_rules(GoldenFile const& file) {
  bool const v2 = file.method == "dinov2";
  return {
      .layers = optim::LayerwiseDecay{.rules = v2 ? optim::GroupRules::v2 : optim::GroupRules::v3,
                                      .depth = file.integer("depth"),
                                      .decay = file.real("layerwise_decay"),
                                      .patch_embed = file.real("patch_embed_lr_mult")},
      .clipping = optim::Clipping::module};
}

class V2Check : public StepCheck {
 public:
  V2Check(GoldenFile const& file, Report& report)
      : StepCheck(file, report,
                  std::make_unique<train::DinoV2Step<float>>(Host{}, Communicator::self(),
                                                             shard::Strategy{}, v2_shape(file),
                                                             v2_rules(file), v2_objective(file))) {
    for (auto const& [state, name] : centers())
      if (file.has("params/loss/" + name))
        step_->set_loss_state({state, file.at("params/loss/" + name).floats()});
  }

 protected:
  train::DinoV2Step<float>& v2() { return static_cast<train::DinoV2Step<float>&>(*step_); }
  static std::map<std::string, std::string> centers() {
    return {{"center", "dino_loss.center"}, {"ibot_center", "ibot_patch_loss.center"}};
  }

  /// Logits and targets of one kind of tokens.
  struct Seen {
    std::vector<float> student, teacher, targets;
  };

  void observe() override {
    v2().observe([this](train::DinoV2Step<float>::Tokens tokens, train::SeenTile const& tile) {
      auto const copy = [](View<float const, 2> x) {
        return std::vector<float>(x.span().begin(), x.span().end());
      };
      auto& seen = tokens == train::DinoV2Step<float>::Tokens::classes ? classes_ : patches_;
      seen = {copy(tile.student), copy(tile.teacher), copy(tile.targets)};
    });
  }

  void compare_seen() {
    auto const b = file_.integer("batch"), k = file_.integer("dino_head_n_prototypes");
    bool const shared = file_.integer("ibot_separate_head", 0) == 0;
    // In v2 local crops come first there, and the teacher's two crops are swapped.
    auto const moved = [&](std::vector<float> values, std::int64_t rows) {
      if (file_.method == "dinov2")
        std::rotate(values.begin(), values.begin() + rows * k, values.end());
      return values;
    };
    auto student = moved(classes_.student, 2 * b), teacher = moved(classes_.teacher, b);
    if (shared) {
      student.insert(student.end(), patches_.student.begin(), patches_.student.end());
      teacher.insert(teacher.end(), patches_.teacher.begin(), patches_.teacher.end());
    } else {
      beginning("debug_step0/student_ibot_head_output", patches_.student);
      beginning("debug_step0/teacher_ibot_head_output", patches_.teacher);
    }
    beginning("debug_step0/student_dino_head_output", student);
    beginning("debug_step0/teacher_dino_head_output", teacher);
    beginning("debug_step0/teacher_cls_probs", moved(classes_.targets, b));
    beginning("debug_step0/teacher_patch_probs", patches_.targets);
  }

  /// Compares the first rows: the reference pads some arrays with rows that nothing uses.
  void beginning(std::string const& name, std::vector<float> const& actual) {
    if (!file_.has("expected/" + name)) return;
    auto const& array = file_.at("expected/" + name);
    auto const expected = array.numbers();
    double worst = actual.size() <= expected.size() ? 0 : INFINITY;
    double scale = 0;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
      worst = std::max(worst, std::abs(static_cast<double>(actual[i]) - expected[i]));
      scale = std::max(scale, std::abs(expected[i]));
    }
    report_.add(name, scale > 0 ? worst / scale : worst,
                std::max(step_gradient_tolerance / 10, 20 * array.fp32_dev.value_or(0)));
  }

  void groups() override {
    // Parameters in the file's order, ours by name.
    std::map<std::string, optim::Slot> slots;
    for (auto const& slot : step_->optimizer().slots()) slots[slot.name] = slot;
    auto const names = file_.at("expected/param_groups/name").texts();
    std::vector<std::string> found, modules;
    std::vector<double> lr, decay;
    std::vector<std::int64_t> last;
    for (auto const& [full, module] : qualified(names)) {
      auto const it = slots.find(full);
      if (it == slots.end()) continue;
      found.push_back(full);
      modules.push_back(module);
      lr.push_back(it->second.group.lr);
      decay.push_back(it->second.group.weight_decay);
      last.push_back(it->second.group.last_layer ? 1 : 0);
    }
    report_.add("param_groups/name",
                found.size() == slots.size() && found.size() == names.size() ? 0 : INFINITY, 0);
    report_.compare("param_groups/submodule", modules);
    report_.compare("param_groups/lr_multiplier", std::span<double const>(lr), 1e-11);
    report_.compare("param_groups/wd_multiplier", std::span<double const>(decay), 1e-11);
    report_.compare("param_groups/is_last_layer", std::span<std::int64_t const>(last));
  }

  /// Full names and modules of the file's table, whose names may lack the module.
  std::vector<std::pair<std::string, std::string>> qualified(
      std::vector<std::string> const& names) const {
    auto const modules = file_.at("expected/param_groups/submodule").texts();
    std::vector<std::pair<std::string, std::string>> out;
    for (std::size_t i = 0; i < names.size(); ++i) {
      bool const full = names[i].starts_with(modules[i] + ".");
      out.emplace_back(full ? names[i] : modules[i] + "." + names[i],
                       names[i].empty() ? "" : modules[i]);
    }
    return out;
  }

  void before_update() override {
    if (!classes_.student.empty()) compare_seen();
    v2().observe({});
    classes_ = patches_ = {};
    for (auto const& state : step_->loss_state()) before_last_[state.name] = state.values;
  }

  void add_result(train::StepResult const& result) override {
    for (auto const& [name, value] : result.terms) terms_[name].push_back(value);
    auto const& slots = step_->optimizer().slots();
    std::map<std::string, double> squares;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      auto const module = slots[i].name.substr(0, slots[i].name.find('.'));
      squares[module] += result.gradient_norms[i] * result.gradient_norms[i];
    }
    for (auto const& [module, sum] : squares) norms_[module].push_back(std::sqrt(sum));
  }

  void compare_results() override {
    scale_terms();
    for (auto const& [name, values] : terms_) {
      if (!file_.has("expected/losses/" + name)) continue;
      if (name == "koleo_loss") {
        absolute("losses/" + name, values);
      } else {
        relative("losses/" + name, values);
      }
    }
    for (auto const& [module, values] : norms_) relative("grad_norm/" + module, values);
    compare_centers();
  }

  /// The reference logs half of the iBOT loss, and the weighted mean over the two KoLeo terms.
  virtual void scale_terms() {
    for (auto& value : terms_["ibot_loss"]) value /= 2;
    for (auto& value : terms_["koleo_loss"]) value *= file_.real("koleo_loss_weight", 0.0) / 2;
  }

  /// The reference stores the centre without the last step's mean, which it folds in later. With
  /// Sinkhorn-Knopp centres stay as they were.
  void compare_centers() {
    std::map<std::string, std::vector<float>> last;
    for (auto const& state : step_->loss_state()) last[state.name] = state.values;
    for (auto const& [state, name] : centers()) {
      if (!file_.has("expected/loss_final/" + name)) continue;
      auto const start = file_.at("params/loss/" + name).floats();
      bool const moves = last.count(state) != 0;
      report_.compare("loss_final/" + name, moves ? before_last_[state] : start, teacher_tolerance);
      report_.compare("loss_final/" + name + "_with_pending_update", moves ? last[state] : start,
                      teacher_tolerance);
    }
  }

  void absolute(std::string const& name, std::vector<double> const& actual) {
    auto const expected = file_.at("expected/" + name).numbers();
    double worst = actual.size() == expected.size() ? 0 : INFINITY;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i)
      worst = std::max(worst, std::abs(actual[i] - expected[i]));
    report_.add(name, worst, koleo_tolerance);
  }

  Seen classes_, patches_;
  std::map<std::string, std::vector<double>> terms_, norms_;
  std::map<std::string, std::vector<float>> before_last_;
};

class V3Check : public V2Check {
 public:
  V3Check(GoldenFile const& file, Report& report) : V2Check(file, report) {
    if (!file.has("params/gram_teacher/backbone.cls_token")) return;
    require(step_->gram_teacher() != nullptr, ExitCode::input, "there is a Gram teacher too many");
    load_parameters(*step_->gram_teacher(), file, "gram_teacher");
    step_->set_loss_state({"gram_teacher", {1, 0}});
  }

 private:
  void scale_terms() override {}

  void compare_results() override {
    V2Check::compare_results();
    std::vector<double> local, gram;
    for (std::int64_t i = 0; i < file_.integer("n_steps"); ++i) {
      local.push_back(settings(i).dino_local_weight);
      gram.push_back(settings(i).gram_weight);
    }
    relative("losses/dino_local_loss_weight", local);
    if (file_.has("expected/losses/gram_loss_weight")) relative("losses/gram_loss_weight", gram);
    if (file_.has("expected/n_gram_updates"))
      report_.compare("n_gram_updates", std::vector{v2().gram_updates()});
    buffers("student_final");
    buffers("teacher_final");
    if (auto* const store = step_->gram_teacher()) {
      finals("gram_teacher_final", "gram_teacher", *store, teacher_tolerance);
      buffers("gram_teacher_final");
    }
  }

  /// What the reference keeps beside the parameters: periods, and masks of the keys' biases.
  void buffers(std::string const& group) {
    auto const shape = backbone_shape(file_);
    report_.compare(group + "/backbone.rope_embed.periods", shape.rope->periods(shape.head_dim()),
                    backbone_tolerance);
    if (!shape.mask_k_bias) return;
    std::vector<double> mask(static_cast<std::size_t>(3 * shape.embed_dim), 1.0);
    auto const third = mask.begin() + static_cast<std::ptrdiff_t>(shape.embed_dim);
    std::fill_n(third, shape.embed_dim, 0.0);
    for (std::int64_t i = 0; i < shape.depth; ++i)
      report_.compare(fmt::format("{}/backbone.blocks.{}.attn.qkv.bias_mask", group, i), mask, 0.0);
  }
};

}  // namespace

void check_step_v2(GoldenFile const& file, Report& report) {
  V2Check(file, report).run_all();
}

void check_step_v3(GoldenFile const& file, Report& report) {
  V3Check(file, report).run_all();
}

}  // namespace dino::golden
