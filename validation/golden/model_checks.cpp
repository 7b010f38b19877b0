// SPDX-License-Identifier: Apache-2.0
// Golden files of the kinds backbone and head (method dinov1).
#include <vector>

#include "golden/model_arrays.hpp"
#include "kernels/elementwise.hpp"

namespace dino::golden {
namespace {

using shard::Role;
using Last = shard::ParameterStore<float>::Last;
constexpr std::int64_t arena_bytes = std::int64_t{1} << 30;

shard::ShardGroups alone() {
  return {Communicator::self(), Communicator::self()};
}

/// Runs one backbone file.
class BackboneCheck {
 public:
  BackboneCheck(GoldenFile const& file, Report& report)
      : file_(file),
        report_(report),
        shape_(backbone_shape(file)),
        store_(space_, alone(), {}, vit_units(shape_, "backbone."), Role::student),
        vit_(space_, shape_, store_, 0),
        arena_(space_, arena_bytes),
        pixels_(file.at("inputs/images").floats()) {
    load_parameters(store_, file, "student");
    auto const& s = file.at("inputs/images").shape;
    images_ = ImageView{pixels_.data(), {s[0], s[1], s[2], s[3]}};
  }

  void run_all() {
    std::vector<std::vector<float>> blocks;
    auto const x = vit_.forward(arena_, std::span(&images_, 1), {}, Keep::yes,
                                [&](std::int64_t, View<float const, 2> out) {
                                  blocks.emplace_back(out.span().begin(), out.span().end());
                                });
    report_.compare("x_prenorm", x.span(), backbone_tolerance);
    report_.compare("last_attention", vit_.last_attention(arena_).span(), backbone_tolerance);
    report_.compare("pos_embed_used",
                    vit_.positions(arena_, images_.extent(2), images_.extent(3)).span(),
                    backbone_tolerance);
    intermediate(blocks);
    outputs_and_gradients(x);
  }

 private:
  /// The last n blocks after the final norm.
  void intermediate(std::vector<std::vector<float>> const& blocks) {
    auto const n = file_.integer("n_intermediate", 0);
    auto const first = static_cast<std::int64_t>(blocks.size()) - n;
    for (std::int64_t i = 0; i < n; ++i) {
      ArenaScope const scope(arena_);
      auto const& block = blocks[static_cast<std::size_t>(first + i)];
      View<float const, 2> const rows{block.data(), {vit_.layout().rows(), shape_.embed_dim}};
      report_.compare("intermediate/" + std::to_string(i),
                      vit_.normalize(arena_, rows, Keep::no).span(), backbone_tolerance);
    }
  }

  void outputs_and_gradients(View<float, 2> x) {
    auto const y = vit_.normalize(arena_, x, Keep::yes);
    auto const dy = arena_.take<float, 2>(y.extents());
    run(space_, Fill<float>{.y = dy.flat()});
    auto const tokens = vit_.layout().segments().front().tokens();
    split("x_norm_clstoken", y, dy, 0, 1, tokens);
    split("x_norm_patchtokens", y, dy, 1, tokens, tokens);
    vit_.normalize_backward(dy, dy, Last::yes);
    vit_.backward(arena_, std::span(&images_, 1), dy, Last::yes);
    store_.finish_gradients();
    for_each_parameter(
        store_, [&](int unit) { return store_.gradient_part(unit); },
        [&](std::string const& name, auto const&, std::span<float const> values) {
          report_.compare("grad/" + name, values, backbone_gradient_tolerance);
        });
  }

  /// Compares tokens [begin, end) of each image, and puts their cotangent into dy.
  void split(std::string const& name, View<float, 2> y, View<float, 2> dy, std::int64_t begin,
             std::int64_t end, std::int64_t tokens) {
    std::vector<float> values;
    bool const has_cotangent = file_.has("inputs/cot_" + name);
    auto const cotangent =
        has_cotangent ? file_.at("inputs/cot_" + name).floats() : std::vector<float>();
    std::size_t at = 0;
    for (std::int64_t row = 0; row < y.extent(0); ++row) {
      if (row % tokens < begin || row % tokens >= end) continue;
      values.insert(values.end(), y.row(row), y.row(row) + y.extent(1));
      for (std::int64_t d = 0; has_cotangent && d < y.extent(1); ++d)
        dy.row(row)[d] = cotangent.at(at++);
    }
    report_.compare(name, values, backbone_tolerance);
  }

  Space space_ = Host{};
  GoldenFile const& file_;
  Report& report_;
  VitShape shape_;
  shard::ParameterStore<float> store_;
  Vit<float> vit_;
  Arena arena_;
  std::vector<float> pixels_;
  ImageView images_;
};

DinoHeadShape head_shape(GoldenFile const& file) {
  return {.in_dim = file.integer("in_dim"),
          .hidden_dim = file.integer("hidden_dim"),
          .bottleneck_dim = file.integer("bottleneck_dim"),
          .out_dim = file.integer("out_dim"),
          .nlayers = file.integer("nlayers"),
          .norm_last_layer = file.integer("norm_last_layer") != 0,
          .normalize_eps = static_cast<float>(file.real("normalize_eps", 1e-12))};
}

}  // namespace

void check_backbone(GoldenFile const& file, Report& report) {
  if (file.method != "dinov1")
    return report.skip("", "backbones of method " + file.method + " are not implemented");
  if (file.integer("interpolate_antialias", 0) != 0)
    return report.skip("", "antialiased positions are not implemented");
  if (file.text("ffn_layer", "mlp") != "mlp")
    return report.skip("", "ffn_layer " + file.text("ffn_layer") + " is not implemented");
  BackboneCheck(file, report).run_all();
}

void check_head(GoldenFile const& file, Report& report) {
  if (file.method != "dinov1")
    return report.skip("", "heads of method " + file.method + " are not implemented");
  if (file.integer("use_bn", 0) != 0)
    return report.skip("", "batch norm in the head is not implemented");
  Space const space = Host{};
  auto const shape = head_shape(file);
  shard::ParameterStore<float> store(space, alone(), {}, dino_head_units(shape, "head."),
                                     Role::student);
  load_parameters(store, file, "student");
  DinoHead<float> head(space, shape, store, 0);
  Arena arena(space, arena_bytes);
  auto const x = file.at("inputs/x").floats();
  auto const cotangent = file.at("inputs/cot_logits").floats();
  auto const rows = file.at("inputs/x").shape[0];

  auto const logits = head.forward(arena, {x.data(), {rows, shape.in_dim}}, Keep::yes);
  auto const dx = head.backward(arena, {cotangent.data(), logits.extents()}, Last::yes);
  store.finish_gradients();

  report.compare("logits", logits.span(), head_tolerance);
  report.compare("bottleneck", head.bottleneck().span(), head_tolerance);
  report.compare("bottleneck_normalized", head.bottleneck_normalized().span(), head_tolerance);
  report.compare("grad_x", dx.span(), head_gradient_tolerance);
  for_each_parameter(
      store, [&](int unit) { return store.gradient_part(unit); },
      [&](std::string const& name, auto const& spec, std::span<float const> values) {
        if (spec.trained == shard::Trained::yes)
          report.compare("grad/" + name, values, head_gradient_tolerance);
      });
}

}  // namespace dino::golden
