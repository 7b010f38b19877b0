// SPDX-License-Identifier: Apache-2.0
#include "io/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/error.hpp"
#include "io/describe.hpp"
#include "support/checkpoint_fixture.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

/// A path in a new empty folder inside the test's own.
std::string fresh_path(std::string const& folder) {
  fs::remove_all(folder);
  fs::create_directory(folder);
  return folder + "/metrics.h5";
}

/// Steps [begin, end) with loss = step / 4.
void append_steps(MetricsWriter& writer, std::int64_t begin, std::int64_t end) {
  for (auto step = begin; step < end; ++step) {
    writer.append_step(step, {{"loss", static_cast<double>(step) / 4}, {"lr", 1e-3}});
  }
}

/// Checks that the file holds steps 0, 1, ..., `least` - 1 at least, each once and with its loss.
void expect_steps(std::string const& path, std::size_t least) {
  auto const table = read_metrics(path, "steps");
  ASSERT_GE(table.at("step").size(), least);
  for (std::size_t i = 0; i < table.at("step").size(); ++i) {
    ASSERT_EQ(table.at("step")[i], static_cast<double>(i));
    ASSERT_EQ(table.at("loss")[i], static_cast<double>(i) / 4);
  }
}

bool has_h5py() {
  return std::system("/usr/bin/python3 -c 'import h5py' 2>/dev/null") == 0;
}

TEST(Metrics, KeepStepsAndEvaluationsApart) {
  auto const path = fresh_path("apart");
  MetricsWriter writer(path, 0);
  writer.append_step(0, {{"loss", 10.5}, {"lr", 0.25}});
  writer.append_evaluation(0, {{"knn_top1_k20", 71.25}});
  writer.append_step(1, {{"loss", 9.5}, {"lr", 0.5}});
  writer.flush();

  auto const steps = read_metrics(path, "steps");
  EXPECT_THAT(steps.at("step"), ElementsAre(0, 1));
  EXPECT_THAT(steps.at("loss"), ElementsAre(10.5, 9.5));
  EXPECT_THAT(steps.at("lr"), ElementsAre(0.25, 0.5));
  EXPECT_THAT(read_metrics(path, "evaluations").at("knn_top1_k20"), ElementsAre(71.25));
}

TEST(Metrics, AreDescribed) {
  auto const path = fresh_path("described");
  MetricsWriter writer(path, 0);
  append_steps(writer, 0, 5);
  writer.flush();

  EXPECT_THAT(describe_metrics(path), testing::HasSubstr("steps: 5 rows"));
  EXPECT_THAT(describe_metrics(path), testing::ContainsRegex("loss +0 ... 1"));
  EXPECT_THAT(describe_metrics(path), testing::HasSubstr("evaluations: 0 rows"));
}

TEST(Metrics, AreEmptyBeforeTheFirstRow) {
  auto const path = fresh_path("empty");
  MetricsWriter const writer(path, 0);

  EXPECT_TRUE(read_metrics(path, "steps").at("step").empty());
  EXPECT_TRUE(read_metrics(path, "evaluations").at("step").empty());
}

TEST(Metrics, FillWhatARowLacksWithNaN) {
  auto const path = fresh_path("lacks");
  MetricsWriter writer(path, 0);
  writer.append_step(0, {{"loss", 1}, {"lr", 2}});
  writer.flush();
  writer.append_step(1, {{"loss", 3}});
  writer.append_step(2, {{"loss", 4}, {"lr", 5}, {"entropy", 6}});
  writer.flush();

  auto const steps = read_metrics(path, "steps");
  EXPECT_THAT(steps.at("loss"), ElementsAre(1, 3, 4));
  EXPECT_THAT(steps.at("lr"), ElementsAre(2, testing::IsNan(), 5));
  EXPECT_THAT(steps.at("entropy"), ElementsAre(testing::IsNan(), testing::IsNan(), 6));
}

TEST(Metrics, LoseTheStepsThatAResumedRunRepeats) {
  auto const path = fresh_path("resume");
  {
    MetricsWriter writer(path, 0);
    append_steps(writer, 0, 1300);  // more than two chunks
    writer.append_evaluation(500, {{"knn_top1_k20", 1}});
    writer.append_evaluation(1000, {{"knn_top1_k20", 2}});
  }

  MetricsWriter writer(path, 700);
  append_steps(writer, 700, 1400);
  writer.flush();

  expect_steps(path, 1400);
  EXPECT_EQ(read_metrics(path, "steps").at("step").size(), 1400U);
  EXPECT_THAT(read_metrics(path, "evaluations").at("step"), ElementsAre(500));
}

TEST(Metrics, OutliveAWriterThatIsKilled) {
  auto const path = fresh_path("killed");
  std::int64_t first = 0;
  for (int round = 0; round < 8; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    auto const child = fork();
    if (child == 0) {
      MetricsWriter writer(path, first);
      append_steps(writer, first, first + 40);
      writer.flush();
      if (write(ends[1], "x", 1) != 1) _exit(1);
      for (auto step = first + 40;; ++step) {  // until killed, in the middle of anything
        append_steps(writer, step, step + 1);
        writer.flush();
      }
    }
    char got = 0;
    ASSERT_EQ(read(ends[0], &got, 1), 1);
    usleep(static_cast<useconds_t>(round) * 777);  // where in its work the writer dies
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ends[0]);
    close(ends[1]);
    first += 40;

    expect_steps(path, static_cast<std::size_t>(first));
    MetricsWriter(path, first)
        .append_step(first, {{"loss", static_cast<double>(first) / 4}, {"lr", 1e-3}});
    expect_steps(path, static_cast<std::size_t>(first) + 1);
  }
}

TEST(Metrics, AreReadByH5pyWhileTheWriterLives) {
  if (!has_h5py()) GTEST_SKIP() << "h5py is not installed";
  auto const path = fresh_path("swmr");
  MetricsWriter writer(path, 0);
  append_steps(writer, 0, 600);
  writer.flush();
  std::ofstream("swmr/reader.py")
      << "import h5py, os, time\n"
         "f = h5py.File('swmr/metrics.h5', 'r', libver='latest', swmr=True)\n"
         "step, loss = f['steps/step'], f['steps/loss']\n"
         "print(step.shape[0], step[-1], loss[-1], flush=True)\n"
         "while not os.path.exists('swmr/go'): time.sleep(.01)\n"
         "step.refresh(); loss.refresh()\n"
         "print(step.shape[0], step[-1], loss[-1], flush=True)\n";
  auto* const reader = popen("/usr/bin/python3 swmr/reader.py 2>&1", "r");
  ASSERT_NE(reader, nullptr);
  char line[200] = "";

  ASSERT_NE(fgets(line, sizeof line, reader), nullptr);
  EXPECT_STREQ(line, "600 599 149.75\n");
  append_steps(writer, 600, 700);
  writer.flush();
  std::ofstream("swmr/go") << "go";
  ASSERT_NE(fgets(line, sizeof line, reader), nullptr);
  EXPECT_STREQ(line, "700 699 174.75\n");
  EXPECT_EQ(pclose(reader), 0);
}

TEST(Metrics, KeepAnUnreadableFileAside) {
  auto const path = fresh_path("aside");
  {
    MetricsWriter writer(path, 0);
    append_steps(writer, 0, 10);
  }
  auto const whole = test::file_bytes(path);

  for (std::size_t const length :
       {std::size_t{0}, std::size_t{47}, std::size_t{900}, whole.size() / 2}) {
    test::write_file(path, std::span(whole).first(length));
    MetricsWriter writer(path, 5);
    append_steps(writer, 0, 3);
    writer.flush();
    expect_steps(path, 3);
  }
  EXPECT_EQ(fs::file_size("aside/metrics_damaged_1.h5"), 0U);
  EXPECT_TRUE(fs::exists("aside/metrics_damaged_4.h5"));
}

TEST(Metrics, SurviveFlippedBits) {
  auto const path = fresh_path("flips");
  {
    MetricsWriter writer(path, 0);
    append_steps(writer, 0, 100);
    writer.append_evaluation(50, {{"knn_top1_k20", 1}});
  }
  auto const whole = test::file_bytes(path);
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    auto damaged = whole;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 << (random() % 8));
    test::write_file(path, damaged);
    MetricsWriter writer(path, 50);  // repairs or keeps aside, but never fails
    append_steps(writer, 50, 52);
  }
}

TEST(Metrics, SayWhereTheyCannotBeWritten) {
  try {
    MetricsWriter const writer("no/such/folder/metrics.h5", 0);
    FAIL();
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    EXPECT_THAT(error.what(), testing::HasSubstr("cannot write 'no/such/folder/metrics.h5'"));
  }
}

TEST(Metrics, WaitInMemoryWhileTheDiskIsFull) {
  auto const path = fresh_path("full");
  MetricsWriter writer(path, 0);
  append_steps(writer, 0, 10);
  writer.flush();

  {
    test::FileSizeLimit const full(static_cast<rlim_t>(fs::file_size(path)) + 1000);
    append_steps(writer, 10, 2000);
    writer.flush();
    EXPECT_EQ(read_metrics(path, "steps").at("step").size(), 10U);
  }
  writer.flush();

  expect_steps(path, 2000);
}

}  // namespace
}  // namespace dino::io
