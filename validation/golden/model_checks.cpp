// SPDX-License-Identifier: Apache-2.0
// Golden files of the kinds backbone and head.
#include <algorithm>
#include <array>
#include <vector>

#include "base/error.hpp"
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

/// Images of one size in a file, with the mask of their patches.
struct ImageEntry {
  std::string prefix;  ///< of the names in /inputs and /expected: "" or "local/"
  std::vector<float> pixels;
  std::array<std::int64_t, 4> extents{};
  std::vector<std::uint8_t> masked;

  ImageEntry(GoldenFile const& file, std::string names, std::string const& images,
             std::string const& masks)
      : prefix(std::move(names)), pixels(file.at(images).floats()) {
    auto const& shape = file.at(images).shape;
    std::copy(shape.begin(), shape.end(), extents.begin());
    if (!file.has(masks)) return;
    for (auto const value : file.at(masks).integers())
      masked.push_back(static_cast<std::uint8_t>(value));
  }
  ImageView view() const { return {pixels.data(), extents}; }
  MaskView mask() const {
    if (masked.empty()) return {};
    return {masked.data(), {extents[0], static_cast<std::int64_t>(masked.size()) / extents[0]}};
  }
};

std::vector<ImageEntry> image_entries(GoldenFile const& file) {
  std::vector<ImageEntry> entries;
  entries.emplace_back(file, "", "inputs/images", "inputs/masks");
  if (file.has("inputs/images_local"))
    entries.emplace_back(file, "local/", "inputs/images_local", "");
  return entries;
}

/// The rows of all tokens, those of one kind together.
struct SortedTokens {
  std::vector<std::int32_t> rows;
  std::vector<RowGroup> groups;

  /// \param local  what the tokens before the patches are in the sizes after the first
  SortedTokens(TokenLayout const& layout, TokenKind local) {
    for (auto const& segment : layout.segments()) {
      bool const first = &segment == &layout.segments().front();
      add(segment, 0, segment.prefix, first ? TokenKind::prefix : local);
      add(segment, segment.prefix, segment.tokens(), TokenKind::patch);
    }
  }
  View<std::int32_t const, 1> view() const {
    return {rows.data(), {static_cast<std::int64_t>(rows.size())}};
  }

 private:
  void add(Segment const& segment, std::int64_t begin, std::int64_t end, TokenKind kind) {
    groups.push_back({segment.images * (end - begin), kind});
    for (std::int64_t i = 0; i < segment.images; ++i) {
      for (auto t = begin; t < end; ++t)
        rows.push_back(static_cast<std::int32_t>(segment.first_row + i * segment.tokens() + t));
    }
  }
};

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
        entries_(image_entries(file)) {
    load_parameters(store_, file, "student");
    for (auto const& entry : entries_) {
      images_.push_back(entry.view());
      masks_.push_back(entry.mask());
    }
  }

  void run_all() {
    auto const x = vit_.forward(arena_, images_, {}, Keep::yes, masks_);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      auto const& segment = vit_.layout().segments()[i];
      report_.compare(entries_[i].prefix + "x_prenorm",
                      x.rows(segment.first_row, segment.first_row + segment.rows()).span(),
                      backbone_tolerance);
    }
    if (file_.has("expected/last_attention"))
      report_.compare("last_attention", vit_.last_attention(arena_).span(), backbone_tolerance);
    positions();
    outputs_and_gradients(x);
    intermediate();
  }

 private:
  void positions() {
    if (!shape_.rope) {
      auto const& first = images_.front();
      return report_.compare("pos_embed_used",
                             vit_.positions(arena_, first.extent(2), first.extent(3)).span(),
                             backbone_tolerance);
    }
    auto const& segment = vit_.layout().segments().front();
    auto const compare = [&](std::string const& name, RopePart part) {
      report_.compare(name, rope_channels(vit_.rope_table(0), segment, shape_.head_dim(), part),
                      backbone_tolerance);
    };
    compare("rope_cos", RopePart::cosine);
    compare("rope_sin", RopePart::sine);
    // The buffer is not read: it must be what the settings give.
    auto const periods = shape_.rope->periods(shape_.head_dim());
    auto const stored = file_.at("params/student/backbone.rope_embed.periods").reals();
    report_.add("periods", deviation(std::span(periods), stored), backbone_tolerance / 10);
  }

  /// All tokens after the final norm of their kind, in their order.
  View<float, 2> normalized(View<float const, 2> x) {
    SortedTokens const sorted(vit_.layout(), TokenKind::prefix);
    auto const rows = vit_.gather_rows(arena_, x, sorted.view());
    return vit_.scatter_rows(arena_, vit_.normalize(arena_, rows, Keep::no, sorted.groups),
                             sorted.view());
  }

  /// The last n blocks after the final norm, without masks.
  void intermediate() {
    auto const n = file_.integer("n_intermediate", 0);
    auto const first = shape_.depth - n;
    vit_.forward(arena_, std::span(images_).first(1), {}, Keep::no, {},
                 [&](std::int64_t block, View<float const, 2> out) {
                   if (block < first) return;
                   ArenaScope const scope(arena_);
                   auto const y = normalized(out);
                   auto const name = "intermediate/" + std::to_string(block - first);
                   if (file_.has("expected/" + name))
                     return report_.compare(name, y.span(), backbone_tolerance);
                   auto const& segment = vit_.layout().segments().front();
                   report_.compare(name + "/clstoken", tokens_of(y, segment, 0, 1),
                                   backbone_tolerance);
                   report_.compare(name + "/patchtokens",
                                   tokens_of(y, segment, segment.prefix, segment.tokens()),
                                   backbone_tolerance);
                 });
  }

  void outputs_and_gradients(View<float, 2> x) {
    bool const training = file_.integer("training", 0) != 0;
    SortedTokens const sorted(vit_.layout(),
                              training ? TokenKind::local_prefix : TokenKind::prefix);
    auto const normal = vit_.normalize(arena_, vit_.gather_rows(arena_, x, sorted.view()),
                                       Keep::yes, sorted.groups);
    auto const y = vit_.scatter_rows(arena_, normal, sorted.view());
    auto const dy = arena_.take<float, 2>(y.extents());
    run(space_, Fill<float>{.y = dy.flat()});
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      auto const& segment = vit_.layout().segments()[i];
      auto const& prefix = entries_[i].prefix;
      output(prefix, "x_norm_clstoken", y, dy, segment, 0, 1);
      if (segment.prefix > 1)
        output(prefix, shape_.rope ? "x_storage_tokens" : "x_norm_regtokens", y, dy, segment, 1,
               segment.prefix);
      output(prefix, "x_norm_patchtokens", y, dy, segment, segment.prefix, segment.tokens());
    }
    auto const dnormal = vit_.gather_rows(arena_, dy, sorted.view());
    vit_.normalize_backward(dnormal, dnormal, Last::yes);
    vit_.backward(arena_, images_, vit_.scatter_rows(arena_, dnormal, sorted.view()), Last::yes);
    store_.finish_gradients();
    for_each_parameter(
        store_, [&](int unit) { return store_.gradient_part(unit); },
        [&](std::string const& name, auto const&, std::span<float const> values) {
          if (file_.has("expected/grad/" + name))
            report_.compare("grad/" + name, values, backbone_gradient_tolerance);
        });
  }

  /// Tokens [begin, end) of each image of a segment.
  static std::vector<float> tokens_of(View<float const, 2> y, Segment const& segment,
                                      std::int64_t begin, std::int64_t end) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < segment.images; ++i) {
      auto const row = segment.first_row + i * segment.tokens();
      values.insert(values.end(), y.row(row + begin), y.row(row + end));
    }
    return values;
  }

  /// Compares tokens [begin, end) of each image, and puts their cotangent into dy.
  void output(std::string const& prefix, std::string const& name, View<float, 2> y,
              View<float, 2> dy, Segment const& segment, std::int64_t begin, std::int64_t end) {
    report_.compare(prefix + name, tokens_of(y, segment, begin, end), backbone_tolerance);
    auto const path = "inputs/" + prefix + "cot_" + name;
    if (!file_.has(path)) return;
    auto const cotangent = file_.at(path).floats();
    auto const count = static_cast<std::size_t>((end - begin) * y.extent(1));
    for (std::int64_t i = 0; i < segment.images; ++i) {
      auto const from = std::span(cotangent).subspan(static_cast<std::size_t>(i) * count, count);
      std::copy(from.begin(), from.end(), dy.row(segment.first_row + i * segment.tokens() + begin));
    }
  }

  Space space_ = Host{};
  GoldenFile const& file_;
  Report& report_;
  VitShape shape_;
  shard::ParameterStore<float> store_;
  Vit<float> vit_;
  Arena arena_;
  std::vector<ImageEntry> entries_;
  std::vector<ImageView> images_;
  std::vector<MaskView> masks_;
};

/// "head." in v1; "dino_head." or "ibot_head." in v2 and v3.
std::string head_prefix(GoldenFile const& file) {
  for (auto const& name : file.children("params/student"))
    return name.substr(0, name.find('.') + 1);
  fail(ExitCode::input, "the file has no parameters of a student");
}

DinoHeadShape head_shape(GoldenFile const& file) {
  return {.in_dim = file.integer("in_dim"),
          .hidden_dim = file.integer("hidden_dim"),
          .bottleneck_dim = file.integer("bottleneck_dim"),
          .out_dim = file.integer("out_dim"),
          .nlayers = file.integer("nlayers"),
          .batch_norm = file.integer("use_bn", 0) != 0,
          .weight_norm = file.integer("weight_norm", 1) != 0,
          .norm_last_layer = file.integer("norm_last_layer", 0) != 0,
          .normalize_eps = static_cast<float>(file.real("normalize_eps", 1e-12))};
}

}  // namespace

void check_backbone(GoldenFile const& file, Report& report) {
  auto const arch = file.text("arch", "vit");
  if (arch.starts_with("resnet")) return check_resnet(file, report);
  if (!arch.starts_with("vit"))
    return report.skip("", "backbones of architecture " + arch + " are not implemented");
  for (std::string const draw : {"shift", "jitter", "rescale"}) {
    if (file.integer("training", 0) != 0 && file.real("pos_embed_rope_" + draw + "_coords", 0) != 0)
      return report.skip("", "the file does not hold the " + draw + " that was drawn");
  }
  BackboneCheck(file, report).run_all();
}

void check_head(GoldenFile const& file, Report& report) {
  Space const space = Host{};
  auto const shape = head_shape(file);
  shard::ParameterStore<float> store(space, alone(), {}, dino_head_units(shape, head_prefix(file)),
                                     Role::student);
  load_parameters(store, file, "student");
  DinoHead<float> head(space, shape, store, 0);
  Arena arena(space, arena_bytes);
  auto const x = file.at("inputs/x").floats();
  auto const cotangent = file.at("inputs/cot_logits").floats();
  auto const rows = file.at("inputs/x").shape[0];

  head.begin_step();
  auto const normalized = head.forward(arena, {x.data(), {rows, shape.in_dim}}, Keep::yes);
  auto& prototypes = head.prototypes();
  prototypes.begin_pass(arena);
  auto const logits = arena.take<float, 2>({rows, shape.out_dim});
  prototypes.logits(normalized, logits);
  auto const dnormalized = arena.take<float, 2>(normalized.extents());
  prototypes.backward({cotangent.data(), logits.extents()}, normalized, dnormalized);
  prototypes.finish_pass(Last::yes);
  auto const dx = head.backward(arena, dnormalized, Last::yes);
  store.finish_gradients();
  head.finish_step();

  report.compare("logits", logits.span(), head_tolerance);
  report.compare("bottleneck", head.bottleneck().span(), head_tolerance);
  report.compare("bottleneck_normalized", normalized.span(), head_tolerance);
  report.compare("grad_x", dx.span(), head_gradient_tolerance);
  for_each_parameter(
      store,
      [&](int unit) {
        return store.is_buffers(unit) ? store.master(unit) : store.gradient_part(unit);
      },
      [&](std::string const& name, auto const& spec, std::span<float const> values) {
        if (name.find(".running_") != std::string::npos)
          report.compare("running/" + name, values, head_gradient_tolerance);
        if (spec.trained == shard::Trained::yes)
          report.compare("grad/" + name, values, head_gradient_tolerance);
      });
}

}  // namespace dino::golden
