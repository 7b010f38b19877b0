// SPDX-License-Identifier: Apache-2.0
// Batch norms take the statistics of the global batch: ranks only slice it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/philox.hpp"
#include "support/expect_refusal.hpp"
#include "support/tolerance.hpp"
#include "train/step.hpp"

namespace dino::train {
namespace {

constexpr std::int64_t global_side = 37, local_side = 32, local_crops = 2;

ModelShape small_model() {
  ModelShape shape{.backbone = {.depth = 0},
                   .head = {.in_dim = 64,
                            .hidden_dim = 20,
                            .bottleneck_dim = 12,
                            .out_dim = 37,
                            .batch_norm = true,
                            .norm_last_layer = false}};
  shape.resnet = ResNetShape{.blocks = {1, 1, 2, 1}, .width = 2};
  return shape;
}

/// Crops of images at global positions, noise around a level of their own each: [crops, images].
std::vector<float> crops(std::int64_t first, std::int64_t images, std::int64_t begin_crop,
                         std::int64_t count, std::int64_t side) {
  std::vector<float> out;
  for (std::int64_t c = begin_crop; c < begin_crop + count; ++c) {
    for (auto position = first; position < first + images; ++position) {
      Philox draw(7, Purpose::test, static_cast<std::uint64_t>(position),
                  static_cast<std::uint32_t>(c));
      double const level = draw.uniform(-1, 1);
      for (std::int64_t i = 0; i < 3 * side * side; ++i)
        out.push_back(static_cast<float>(level + 0.3 * draw.normal()));
    }
  }
  return out;
}

/// What a run leaves, alike on all ranks.
struct Results {
  std::vector<double> losses, gradient_norms;
  std::vector<float> student, teacher;  ///< running statistics of the backbones
  std::vector<float> heads;             ///< of both heads
};

void add_running(DinoModel<float>& model, std::string const& prefix, std::vector<float>& out) {
  for (int unit = 0; unit < model.store.units(); ++unit) {
    if (!model.store.is_buffers(unit) || model.store.layout(unit).spec().prefix != prefix) continue;
    for (auto const& row : model.store.layout(unit).spec().parameters) {
      auto const values = model.store.buffers(unit).vector(row.name);
      out.insert(out.end(), values.span().begin(), values.span().end());
    }
  }
}

/// Steps of a run: the losses of the last see two updates. Not many, for runs do part sooner or
/// later: rounding puts one of some 10^5 activations on the other side of a ReLU's kink, and with
/// few images behind each statistic that one moves the loss by 1e-4 and more from then on.
constexpr int steps = 3;

Results run_steps(Communicator const& world, shard::Strategy const& strategy,
                  optim::Algorithm algorithm, std::int64_t global_batch) {
  Space const space = Host{};
  DinoStep<float> step(space, world, strategy, small_model(), 0.9, {.algorithm = algorithm});
  step.initialize(3);
  Arena arena(space, std::int64_t{64} << 20);
  auto const share = share_of(global_batch, world.rank(), world.size());
  auto const images = share.size();
  Results out;
  for (int s = 0; s < steps; ++s) {
    StepSettings const settings{.lr = algorithm == optim::Algorithm::adamw ? 1e-3 : 0.05,
                                .weight_decay = 0.01,
                                .momentum = 0.9,
                                .freeze_last_layer = s < 1,
                                .clip_grad = 0.3};
    auto const first = s * global_batch + share.begin;
    auto const global = crops(first, images, 0, 2, global_side);
    auto const local = crops(first, images, 2, local_crops, local_side);
    CropViews const views{
        .images = images,
        .global = {global.data(), {2 * images, 3, global_side, global_side}},
        .local = {local.data(), {local_crops * images, 3, local_side, local_side}},
        .drop_path = {}};
    step.begin(global_batch);
    step.accumulate(arena,
                    {.micro_batches = 1,
                     .next =
                         [&] {
                           return StepBatch{views, nullptr};
                         }},
                    settings);
    auto const result = step.finish(settings, s);
    EXPECT_FALSE(result.fault) << *result.fault;
    out.losses.push_back(result.loss);
    if (s == 0) out.gradient_norms = result.gradient_norms;
  }
  add_running(step.student(), "backbone.", out.student);
  add_running(step.teacher(), "backbone.", out.teacher);
  add_running(step.student(), "head.", out.heads);
  add_running(step.teacher(), "head.", out.heads);
  return out;
}

double worst_relative(std::vector<double> const& a, std::vector<double> const& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

/// The heads' too where `heads` is yes. Biases before a batch norm have no gradient but rounding,
/// which AdamW makes into whole steps: they, and the running means behind them, are free.
enum class Heads { no, yes };
void expect_same(Communicator const& world, std::string const& name, Results const& got,
                 Results const& reference, Heads heads) {
  auto const losses = worst_relative(got.losses, reference.losses);
  auto const norms = test::deviation(got.gradient_norms, reference.gradient_norms);
  auto const student = test::deviation(got.student, reference.student);
  auto const teacher = test::deviation(got.teacher, reference.teacher);
  auto const of_heads = test::deviation(got.heads, reference.heads);
  if (world.rank() == 0) {
    std::printf(
        "%s on %d ranks: losses %.1e, gradients %.1e, running statistics %.1e, %.1e, %.1e\n",
        name.c_str(), world.size(), losses, norms, student, teacher, of_heads);
  }
  EXPECT_LT(losses, 1e-5) << name;
  EXPECT_LT(norms, 1e-5) << name;
  EXPECT_LT(student, 1e-5) << name;
  EXPECT_LT(teacher, 1e-5) << name;
  if (heads == Heads::yes) {
    EXPECT_LT(of_heads, 1e-5) << name;
  }
}

// Three images: on four ranks one of them has none.
TEST(InvarianceResNet, StepsDoNotDependOnRanksOrStrategy) {
  auto const world = Communicator::world();
  for (std::int64_t const batch : {5, 3}) {
    auto const reference = run_steps(Communicator::self(), {}, optim::Algorithm::adamw, batch);
    ASSERT_TRUE(std::isfinite(reference.losses.back()));
    ASSERT_NE(reference.losses.front(), reference.losses.back());
    EXPECT_NE(reference.student, reference.teacher);  // locals are the student's alone
    for (std::string const name : {"full", "grad_op", "hybrid", "replicate"}) {
      auto const group = world.size() % 2 == 0 ? world.size() / 2 : world.size();
      auto const strategy = shard::Strategy::named(name, world.size(), group, 1);
      expect_same(world, name + ", batch " + std::to_string(batch),
                  run_steps(world, strategy, optim::Algorithm::adamw, batch), reference, Heads::no);
    }
  }
}

TEST(InvarianceResNet, NeitherDoSgdAndLars) {
  auto const world = Communicator::world();
  auto const adamw = run_steps(Communicator::self(), {}, optim::Algorithm::adamw, 5);
  for (auto const algorithm : {optim::Algorithm::sgd, optim::Algorithm::lars}) {
    auto const reference = run_steps(Communicator::self(), {}, algorithm, 5);
    EXPECT_NE(reference.losses.back(), adamw.losses.back());
    expect_same(world, algorithm == optim::Algorithm::sgd ? "sgd" : "lars",
                run_steps(world, {.group_size = world.size()}, algorithm, 5), reference,
                Heads::yes);
  }
}

TEST(InvarianceResNet, MicroBatchesAreRefused) {
  DinoStep<float> step(Host{}, Communicator::self(), {}, small_model(), 0.9);
  Arena arena(Host{}, 64);

  expect_refusal([&] { step.accumulate(arena, {.micro_batches = 2, .next = {}}, StepSettings{}); },
                 ExitCode::usage, "the statistics of the whole batch, which would come in 2 parts");
}

}  // namespace
}  // namespace dino::train
