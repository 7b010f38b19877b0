// SPDX-License-Identifier: Apache-2.0
#include "train/part_timer.hpp"

#include <utility>

namespace dino::train {

void PartTimer::measure(std::unique_ptr<Timer> timer) {
  timer_ = std::move(timer);
  running_.assign(1, Part::other);
}

void PartTimer::begin_step() {
  if (!timer_) return;
  timer_->take();
  running_.assign(1, Part::other);
  marked_.clear();
  timer_->mark();
}

void PartTimer::mark() {
  timer_->mark();
  marked_.push_back(running_.back());
}

void PartTimer::enter(Part part) {
  if (!timer_) return;
  mark();
  running_.push_back(part);
}

void PartTimer::leave() {
  if (!timer_) return;
  mark();
  running_.pop_back();
}

StepTimes PartTimer::end_step() {
  StepTimes times;
  if (!timer_) return times;
  mark();
  auto const seconds = timer_->take();
  for (std::size_t i = 0; i < seconds.size(); ++i) times[marked_[i]] += seconds[i];
  marked_.clear();
  return times;
}

}  // namespace dino::train
