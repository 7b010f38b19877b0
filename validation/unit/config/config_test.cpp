// SPDX-License-Identifier: Apache-2.0
#include "config/config.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>

#include "base/error.hpp"
#include "base/philox.hpp"

namespace dino {
namespace {

using Overrides = std::vector<std::string>;

Config parse(std::string const& text, Overrides const& overrides = {}) {
  return parse_config(text, "inputs/x.toml", overrides);
}

/// The message of the usage error that `action` throws; empty if it throws none.
template <class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::usage) << error.what();
    return error.what();
  }
  return {};
}

std::string refusal(std::string const& text, Overrides const& overrides = {}) {
  return message_of([&] { parse(text, overrides); });
}

TEST(Config, HasValidDefaults) {
  Config const config = parse("");

  EXPECT_EQ(config.method, "dinov1");
  EXPECT_EQ(config.crops.global_size, 224);
  EXPECT_FALSE(config.run.steps.has_value());
  EXPECT_NO_THROW(config.validate());
  EXPECT_NE(message_of([&] { config.require_shards(); }).find("data.shards"), std::string::npos);
}

TEST(Config, ReadsSections) {
  Config const config = parse(
      "method = \"dinov1\"\n[run]\nsteps = 7\n[optim]\nlr = 1\n[crops]\nglobal_scale = [0.25, 1]\n"
      "[eval]\nknn_k = [3]\n[data]\ndct_scaling = true\nshards = 'a b'\n");

  EXPECT_EQ(config.run.steps, 7);
  EXPECT_EQ(config.optim.lr, 1.0);
  EXPECT_EQ(config.crops.global_scale, (std::array<double, 2>{0.25, 1.0}));
  EXPECT_EQ(config.eval.knn_k, (std::vector<std::int64_t>{3}));
  EXPECT_TRUE(config.data.dct_scaling);
  EXPECT_EQ(config.data.shards, "a b");
}

TEST(Config, ReadsSectionsOfSections) {
  Config const config = parse(
      "[schedules.lr]\npeak = 1\nwarmup_epochs = 2\n[gram]\nuse_loss = true\n"
      "loss_weight_schedule = { start = 0.5, peak = 2 }\n[schedules]\nmomentum = { peak = 0.99 }\n",
      {"schedules.lr.end=3", "gram.loss_weight_schedule.cosine_epochs=4"});

  EXPECT_EQ(config.schedules.lr.peak, 1);
  EXPECT_EQ(config.schedules.lr.end, 3);
  EXPECT_EQ(config.schedules.lr.warmup_epochs, 2);
  EXPECT_EQ(config.schedules.momentum.peak, 0.99);
  EXPECT_TRUE(config.gram.use_loss);
  EXPECT_EQ(config.gram.loss_weight_schedule.start, 0.5);
  EXPECT_EQ(config.gram.loss_weight_schedule.cosine_epochs, 4);
}

TEST(Config, TakesOverrides) {
  Config const config =
      parse("[optim]\nlr = 0.5\nmin_lr = 0.25\n",
            {"optim.lr=1e-3", "method=dinov1", "run.dir=runs/a b", "student.arch='vit_tiny'",
             "run.steps = 12", "crops.local_scale=[0.1, 0.2]", "eval.knn_k=[1,2]",
             "data.file_locking=false", "data.staging=", "data.shards=2026", "optim.eps=1"});

  EXPECT_EQ(config.optim.lr, 1e-3);
  EXPECT_EQ(config.optim.min_lr, 0.25);
  EXPECT_EQ(config.run.dir, "runs/a b");
  EXPECT_EQ(config.student.arch, "vit_tiny");
  EXPECT_EQ(config.run.steps, 12);
  EXPECT_EQ(config.crops.local_scale, (std::array<double, 2>{0.1, 0.2}));
  EXPECT_EQ(config.eval.knn_k, (std::vector<std::int64_t>{1, 2}));
  EXPECT_FALSE(config.data.file_locking);
  EXPECT_EQ(config.data.staging, "");
  EXPECT_EQ(config.data.shards, "2026");
  EXPECT_EQ(config.optim.eps, 1.0);
}

TEST(Config, LetsTheLastOverrideWin) {
  EXPECT_EQ(parse("", {"run.seed=1", "run.seed=2"}).run.seed, 2);
}

TEST(Config, KeepsOneOverrideToOneKey) {
  EXPECT_EQ(parse("", {"run.dir=\"a\"\nx = 1"}).run.dir, "\"a\"\nx = 1");
}

/// Every field differs from its default; doubles that take all their digits.
Config unusual() {
  Config config;
  config.run = {.dir = "a \"b\" \\ \n\t\x01\x7F é",
                .seed = -5,
                .device = "host",
                .precision = "bf16",
                .epochs = 3,
                .steps = 11,
                .stop_after_steps = 4,
                .micro_batch = 2,
                .logits_mib = 7,
                .time_budget = 0.1 + 0.2,
                .collective_timeout = 0.5,
                .log_every = 1};
  config.data = {"s", 8, 2, 3, 4, 5, "t", false, true};
  config.crops.mean = {1.0 / 3, 5e-324, 1.7976931348623157e308};
  config.crops.std = {1.0, 1e16, 1e15};
  config.crops.hue = -0.0;
  config.student.embed_dim = 10;
  config.student.depth = 1;
  config.student.num_heads = 5;
  config.dino.norm_last_layer = false;
  config.optim.lr = 123456789.0;
  config.shard = {.strategy = "hybrid", .group_size = 2, .prefetch = 0};
  config.eval.knn_k = {7};
  config.eval.train_shards = "é";
  config.run.epoch_length = 1250;
  config.student.layer_scale = 1e-5;
  config.student.mlp_ratio = 3.777777778;
  config.student.rope_base = config.student.rope_min_period = config.student.rope_max_period = 50;
  config.student.rope_shift = config.student.rope_jitter = config.student.rope_rescale = 2;
  config.koleo.group_size = 16;
  config.crops.gram_teacher_crops_size = 448;
  config.data.mix.share = 0.3;
  config.crops.pairs = {{64, 96}, {32, 48}, {96, 128}, {1.0 / 3, 2.0 / 3}};
  config.crops.share_color_jitter = config.crops.localcrops_subset_of_globalcrops = true;
  config.gram.it_load_ema_teacher = 7;
  config.gram.max_updates = 3;
  config.distill.students = {"a \"b\".toml", "é.toml"};
  config.distill.micro_batch = 5;
  auto& s = config.schedules;
  for (auto* const schedule :
       {&s.lr, &s.weight_decay, &s.momentum, &s.teacher_temp,
        &config.dino.local_loss_weight_schedule, &config.gram.loss_weight_schedule}) {
    *schedule = {.start = 0.25, .peak = 1e-3, .end = 2e-7, .warmup_epochs = 9, .cosine_epochs = 0};
  }
  return config;
}

TEST(Config, IsWrittenAndReadBackExactly) {
  Config const config = unusual();
  std::string const text = to_toml(config);
  Config const back = parse(text);

  EXPECT_EQ(to_toml(back), text);
  EXPECT_EQ(back.run.dir, config.run.dir);
  EXPECT_EQ(back.run.seed, -5);
  EXPECT_EQ(back.run.logits_mib, 7);
  EXPECT_EQ(back.run.time_budget, config.run.time_budget);
  EXPECT_EQ(back.run.collective_timeout, config.run.collective_timeout);
  EXPECT_EQ(back.crops.mean, config.crops.mean);
  EXPECT_EQ(back.crops.std, config.crops.std);
  EXPECT_TRUE(std::signbit(back.crops.hue));
  EXPECT_EQ(back.student.num_heads, 5);
  EXPECT_EQ(back.shard.group_size, 2);
  EXPECT_FALSE(back.dino.norm_last_layer);
  EXPECT_EQ(back.optim.lr, config.optim.lr);
  EXPECT_EQ(back.eval.knn_k, config.eval.knn_k);
  EXPECT_EQ(back.data.mix.share, 0.3);
  EXPECT_EQ(back.crops.pairs.global_size, config.crops.pairs.global_size);
  EXPECT_EQ(back.crops.pairs.ratio, config.crops.pairs.ratio);
  EXPECT_EQ(back.distill.students, config.distill.students);
  EXPECT_EQ(back.schedules.momentum.end, 2e-7);
  EXPECT_EQ(back.gram.loss_weight_schedule.cosine_epochs, 0);
  EXPECT_NE(text.find("lr = 123456789.0\n"), std::string::npos) << text;
}

TEST(Config, ReadsBackRandomDoublesToTheBit) {
  for (std::uint64_t i = 0; i < 500; ++i) {
    Philox random(1, Purpose::test, i);
    auto bits = std::uint64_t{random.bits()} << 32;
    bits |= random.bits();
    Config config;
    config.optim.lr = std::bit_cast<double>(bits);
    if (!std::isfinite(config.optim.lr)) continue;
    double const back = parse(to_toml(config)).optim.lr;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(back), bits) << config.optim.lr;
  }
}

TEST(Config, OmitsUnsetKeys) {
  std::string const text = to_toml(Config{});

  EXPECT_EQ(text.find("\nsteps ="), std::string::npos) << text;
  EXPECT_EQ(text.find("embed_dim"), std::string::npos) << text;
  EXPECT_EQ(to_toml(parse(text)), text);
}

TEST(Config, DescribesEveryKey) {
  std::string const text = describe_keys();

  EXPECT_EQ(text.rfind("method ", 0), 0U);
  for (char const* part : {"\nrun.steps ", "(unset)", "\noptim.lr ", "0.0005", "\neval.knn_k ",
                           "[10, 20, 100, 200]", "numbers of neighbours"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
  std::string const written = to_toml(unusual());
  auto const lines = std::count(text.begin(), text.end(), '\n');
  auto const keys = std::count(written.begin(), written.end(), '=');
  EXPECT_EQ(lines, keys);
}

struct Refusal {
  std::string given, message;
};

TEST(Config, NamesTheNearestKey) {
  for (auto const& [given, message] : std::vector<Refusal>{
           {"\n[optim]\nlrr = 1\n",
            "unknown key optim.lrr in inputs/x.toml:3. Did you mean optim.lr?"},
           {"lr = 1\n", "unknown key lr in inputs/x.toml:1. Did you mean optim.lr?"},
           {"metod = 1\n", "unknown key metod in inputs/x.toml:1. Did you mean method?"},
           {"[run]\nbatch_size = 1\n",
            "unknown key run.batch_size in inputs/x.toml:2. Did you mean data.batch_size?"},
           {"[optm]\nlr = 1\n", "unknown section optm in inputs/x.toml:1. Did you mean [optim]?"},
           {"[schedules.lt]\npeak = 1\n",
            "unknown key schedules.lt in inputs/x.toml:1. Did you mean optim.lr?"},
           {"[schedules.lr]\npaek = 1\n",
            "unknown key schedules.lr.paek in inputs/x.toml:2. Did you mean schedules.lr.peak?"},
           {"[optim.lt]\na = 1\n",
            "unknown key optim.lt in inputs/x.toml:1. Did you mean optim.lr?"}}) {
    EXPECT_EQ(refusal(given), message);
  }
  EXPECT_EQ(refusal("", {"crop.global_sise=3"}),
            "unknown key crop.global_sise in the override \"crop.global_sise=3\". Did you mean "
            "crops.global_size?");
}

TEST(Config, RefusesWrongTypes) {
  for (auto const& [given, message] : std::vector<Refusal>{
           {"[optim]\nlr = \"fast\"\n",
            "invalid optim.lr in inputs/x.toml:2 (expected a number, found the string \"fast\"). "
            "Try optim.lr=0.0005"},
           {"[run]\nepochs = 1.0\n",
            "invalid run.epochs in inputs/x.toml:2 (expected an integer, found the floating-point "
            "number 1.0). Try run.epochs=100"},
           {"[run]\nsteps = true\n",
            "invalid run.steps in inputs/x.toml:2 (expected an integer, found true). Try "
            "run.steps=100"},
           {"[run]\ndir = 3\n",
            "invalid run.dir in inputs/x.toml:2 (expected a string, found the integer 3). Try "
            "run.dir=\"run\""},
           {"[data]\n\nfile_locking = 1\n",
            "invalid data.file_locking in inputs/x.toml:3 (expected true or false, found the "
            "integer 1). Try data.file_locking=true"},
           {"[crops]\nglobal_scale = [1, 2, 3]\n",
            "invalid crops.global_scale in inputs/x.toml:2 (expected an array of 2 numbers, found "
            "the array [1, 2, 3]). Try crops.global_scale=[0.4, 1.0]"},
           {"[crops]\nmean = [1, \"a\", 3]\n",
            "invalid crops.mean in inputs/x.toml:2 (expected an array of 3 numbers, found the "
            "array [1, \"a\", 3]). Try crops.mean=[0.485, 0.456, 0.406]"},
           {"[eval]\nknn_k = 10\n",
            "invalid eval.knn_k in inputs/x.toml:2 (expected an array of integers, found the "
            "integer 10). Try eval.knn_k=[10, 20, 100, 200]"},
           {"[eval]\nknn_k = [1, 2.5]\n",
            "invalid eval.knn_k in inputs/x.toml:2 (expected an array of integers, found the "
            "array [1, 2.5]). Try eval.knn_k=[10, 20, 100, 200]"},
           {"[run.seed]\n",
            "invalid run.seed in inputs/x.toml:1 (expected an integer, found a table). Try "
            "run.seed=0"},
           {"[schedules]\nlr = 3\n",
            "invalid schedules.lr in inputs/x.toml:2 (expected a section, found the integer 3). "
            "Write its keys below a line [schedules.lr]"},
           {"run = 3\n",
            "invalid run in inputs/x.toml:1 (expected a section, found the integer 3). Write its "
            "keys below a line [run]"},
           {"method = 2026-01-01\n",
            "invalid method in inputs/x.toml:1 (expected a string, found a date or time). Try "
            "method=\"dinov1\""}}) {
    EXPECT_EQ(refusal(given), message);
  }
}

TEST(Config, RefusesBadOverrides) {
  EXPECT_EQ(refusal("", {"optim.lr"}),
            "invalid override \"optim.lr\" (there is no '='). Write section.key=value, such as "
            "optim.lr=1e-3");
  EXPECT_EQ(refusal("", {"optim.lr=fast"}),
            "invalid optim.lr in the override \"optim.lr=fast\" (expected a number, found the "
            "string \"fast\"). Try optim.lr=0.0005");
  EXPECT_EQ(refusal("", {"optim={lr=1}"}),
            "invalid optim in the override \"optim={lr=1}\" (it is a section). Write "
            "optim.key=value, one for each key");
  EXPECT_NE(refusal("", {"run.dir=\xFF"}).find("the value is not UTF-8 text"), std::string::npos);
}

TEST(Config, NamesTheLineThatIsNoToml) {
  std::string const message = refusal("[run]\nseed = = 3\n");

  EXPECT_EQ(message.rfind("cannot read inputs/x.toml:2:", 0), 0U) << message;
  EXPECT_NE(refusal("[run]\nseed = 1\nseed = 2\n").find("inputs/x.toml:3:"), std::string::npos);
}

TEST(Config, ReadsAFile) {
  std::ofstream("a.toml") << "[run]\nseed = 9\n";

  EXPECT_EQ(load_config("a.toml", {}).run.seed, 9);
  EXPECT_EQ(load_config("a.toml", Overrides{"run.seed=10"}).run.seed, 10);
  EXPECT_EQ(message_of([] { load_config("none.toml", {}); }),
            "cannot open the configuration 'none.toml': No such file or directory. Give the path "
            "of a TOML file, such as those in inputs/");
  EXPECT_NE(message_of([] { load_config(".", {}); }).find("the configuration '.'"),
            std::string::npos);
}

}  // namespace
}  // namespace dino
