// SPDX-License-Identifier: Apache-2.0
#include "train/stop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <string>
#include <system_error>

#include "base/log.hpp"

namespace dino::train {
namespace {

using Clock = std::chrono::steady_clock;

std::sig_atomic_t volatile last_signal = 0;
constexpr std::array stop_signals{SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
std::array<struct sigaction, stop_signals.size()> former_actions;

void remember_signal(int number) {
  last_signal = number;
}

/// End of the Slurm job as a moment of the steady clock, where there is one.
std::optional<Clock::time_point> slurm_deadline() {
  char const* const text = std::getenv("SLURM_JOB_END_TIME");
  if (text == nullptr) return std::nullopt;
  auto const end = std::strtoll(text, nullptr, 10);
  if (end <= 0) return std::nullopt;
  auto const left = std::chrono::system_clock::from_time_t(end) - std::chrono::system_clock::now();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

}  // namespace

StopWatcher::StopWatcher(std::filesystem::path const& run_dir, std::optional<double> time_budget)
    : stop_file_(run_dir.empty() ? run_dir : run_dir / "STOP"),
      begin_(Clock::now()),
      deadline_(slurm_deadline()),
      last_look_(begin_) {
  if (time_budget) {
    auto const end = begin_ + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(*time_budget));
    deadline_ = deadline_ ? std::min(*deadline_, end) : end;
  }
  last_signal = 0;
  struct sigaction action {};
  action.sa_handler = remember_signal;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < stop_signals.size(); ++i)
    sigaction(stop_signals[i], &action, &former_actions[i]);
}

StopWatcher::~StopWatcher() {
  for (std::size_t i = 0; i < stop_signals.size(); ++i)
    sigaction(stop_signals[i], &former_actions[i], nullptr);
}

double StopWatcher::elapsed() const {
  return std::chrono::duration<double>(Clock::now() - begin_).count();
}

std::optional<std::string> StopWatcher::reason(double reserve_seconds) {
  if (int const number = last_signal; number != 0) return fmt::format("signal {}", number);
  auto const now = Clock::now();
  if (deadline_ && now + std::chrono::duration_cast<Clock::duration>(
                             std::chrono::duration<double>(reserve_seconds)) >=
                       *deadline_) {
    return "the time limit is near";
  }
  if (stop_file_.empty() || now - last_look_ < std::chrono::milliseconds(500)) return std::nullopt;
  last_look_ = now;
  std::error_code error;
  if (std::filesystem::exists(stop_file_, error))
    return fmt::format("{} exists", stop_file_.string());
  return std::nullopt;
}

}  // namespace dino::train
