// SPDX-License-Identifier: Apache-2.0
#include "train/gram_teacher.hpp"

#include "train/dino_model.hpp"
#include "unit/kernels/kernel_test.hpp"

namespace dino::train {
namespace {

/// Numbers of the iterations, counted from 0, of the first twenty that an update follows.
std::vector<std::int64_t> updates(GramLifeCycle const& life) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < 20; ++i)
    if (life.due_after(i, std::ssize(out))) out.push_back(i);
  return out;
}

// Source: method.md 3.8.
TEST(GramLifeCycleTest, UpdatesAfterMultiplesOfItsFrequency) {
  using Iterations = std::vector<std::int64_t>;
  EXPECT_EQ(updates({.repeated = false, .frequency = 5}), Iterations{});
  EXPECT_EQ(updates({.repeated = true, .frequency = 5}), (Iterations{4, 9, 14, 19}));
  EXPECT_EQ(updates({.repeated = true, .frequency = 5, .first = 10}), (Iterations{9, 14, 19}));
  EXPECT_EQ(updates({.repeated = true, .frequency = 5, .first = 11}), (Iterations{14, 19}));
  EXPECT_EQ(updates({.repeated = true, .frequency = 5, .first = 6, .most = 2}),
            (Iterations{9, 14}));
  EXPECT_EQ(updates({.repeated = true, .frequency = 5, .most = 0}), Iterations{});
}

struct Models {
  ModelShape shape{.backbone = {.grid = 2,
                                .patch_size = 4,
                                .embed_dim = 8,
                                .depth = 1,
                                .num_heads = 2,
                                .mlp_hidden = 16},
                   .head = {.in_dim = 8, .hidden_dim = 4, .bottleneck_dim = 4, .out_dim = 5}};
  shard::ShardGroups groups = shard::ShardGroups::make(Communicator::self(), 1);
  DinoModel<float> teacher{test::host, Communicator::self(), groups, {},
                           shape,      shard::Role::teacher};
  GramTeacher<float> gram;

  explicit Models(GramLifeCycle const& life) : gram(test::host, groups, {}, shape.backbone, life) {
    fill(1);
  }
  void fill(float value) {
    for (int unit = 0; unit < teacher.store.units(); ++unit)
      for (auto& v : teacher.store.master(unit).span()) v = value;
  }
  /// The value that all parameters of the Gram teacher have.
  float value() {
    auto const first = gram.store().master(0)[0];
    for (int unit = 0; unit < gram.store().units(); ++unit)
      for (auto const v : gram.store().master(unit).span()) EXPECT_EQ(v, first);
    return first;
  }
};

TEST(GramTeacherTest, BecomesTheTeacherOnceAndOnSchedule) {
  Models m({.load_before = 2, .repeated = true, .frequency = 3, .first = 4, .most = 1});
  std::vector<float> seen;
  for (std::int64_t i = 0; i < 10; ++i) {
    m.fill(static_cast<float>(10 * i));
    m.gram.before_step(m.teacher.store, i);
    EXPECT_EQ(m.gram.ready(), i >= 2);
    seen.push_back(m.value());
    m.fill(static_cast<float>(10 * i + 1));
    m.gram.after_step(m.teacher.store, i);
  }

  // Loaded before iteration 2; replaced after iteration 5, the sixth; that is all.
  EXPECT_EQ(seen, (std::vector<float>{0, 0, 20, 20, 20, 20, 51, 51, 51, 51}));
  EXPECT_EQ(m.gram.updates(), 1);
}

TEST(GramTeacherTest, GoesOnFromItsState) {
  GramLifeCycle const life{.repeated = true, .frequency = 2, .most = 2};
  Models first(life), second(life);
  first.gram.after_step(first.teacher.store, 1);

  second.gram.set_state(first.gram.state());

  EXPECT_TRUE(second.gram.ready());
  EXPECT_EQ(second.gram.updates(), 1);
  second.gram.after_step(second.teacher.store, 3);
  second.gram.after_step(second.teacher.store, 5);
  EXPECT_EQ(second.gram.updates(), 2);
  EXPECT_EQ(test::refusal([&] { second.gram.set_state({1}); }),
            "the state of a Gram teacher has 1 values, not 2");
}

}  // namespace
}  // namespace dino::train
