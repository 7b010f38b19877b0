// SPDX-License-Identifier: Apache-2.0
#include "train/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/log.hpp"

namespace dino::train {
namespace {

std::string duration_text(double seconds) {
  auto const s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 86400) return fmt::format("{}d{:02}h", s / 86400, s % 86400 / 3600);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  return s >= 60 ? fmt::format("{}m{:02}s", s / 60, s % 60) : fmt::format("{}s", s);
}

std::string bar(double share) {
  constexpr int width = 24;
  auto const full = static_cast<int>(share * width);
  return fmt::format("[{:=<{}}{:{}}]", "", full, "", width - full);
}

}  // namespace

void show_progress(ProgressLine const& line) {
  auto const text = fmt::format(
      "step {}/{}  epoch {:.2f}  loss {:.4f}  lr {:.3g}  {:.1f} images/s  data wait {:.0f} %  left "
      "{}",
      line.step, line.steps, line.epoch, line.loss, line.lr, line.images_per_second,
      100 * line.wait_share, duration_text(line.seconds_left));
  if (isatty(STDERR_FILENO) == 0) {
    log::info("{}", text);
    return;
  }
  auto const share = static_cast<double>(line.step) / static_cast<double>(line.steps);
  fmt::print(stderr, "\r{} {}\x1b[K{}", bar(share), text, line.step == line.steps ? "\n" : "");
  std::fflush(stderr);
}

void RateMeter::add(std::int64_t images, double seconds, double seconds_waited) {
  if (total_steps_++ > 0) total_seconds_ += seconds;
  images_ += images;
  seconds_ += seconds;
  waited_ += seconds_waited;
}

double RateMeter::images_per_second() const {
  return seconds_ > 0 ? static_cast<double>(images_) / seconds_ : 0;
}
double RateMeter::wait_share() const {
  return seconds_ > 0 ? waited_ / seconds_ : 0;
}
double RateMeter::seconds_per_step() const {
  return total_steps_ > 1 ? total_seconds_ / static_cast<double>(total_steps_ - 1) : 0;
}

void RateMeter::new_interval() {
  seconds_ = 0;
  waited_ = 0;
  images_ = 0;
}

}  // namespace dino::train
