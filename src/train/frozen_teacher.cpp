// SPDX-License-Identifier: Apache-2.0
#include "train/frozen_teacher.hpp"

#include <iterator>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/checkpoint.hpp"
#include "train/checkpointing.hpp"

namespace dino::train {
namespace {

/// The units of a model's passes, and those of its prototypes, in the order of `model_units`.
struct Units {
  std::vector<shard::UnitSpec> passes, prototypes;
};

Units units_of(ModelShape const& shape) {
  Units units;
  for (auto& unit : model_units(shape)) {
    bool const last = unit.parameters.front().last_layer;
    (last ? units.prototypes : units.passes).push_back(std::move(unit));
  }
  return units;
}

Spread spread_of_passes(Spread const& student, TeacherSource const& source) {
  if (!source.shared) return student;
  auto const& all = source.shared->ranks;
  return {all,
          {.group_size = all.size(),
           .prefetch = student.strategy.prefetch,
           .collectives = student.strategy.collectives}};
}

shard::ShardGroups groups_of(Space const& space, Spread const& spread) {
  return shard::ShardGroups::make(space, spread.ranks, spread.strategy);
}

}  // namespace

template <class T>
FrozenTeacher<T>::FrozenTeacher(Space const& space, Spread const& student, TeacherSource source)
    : all_(spread_of_passes(student, source).ranks),
      source_(std::move(source)),
      store_(space, groups_of(space, spread_of_passes(student, source_)),
             spread_of_passes(student, source_).strategy, units_of(source_.shape).passes,
             shard::Role::teacher),
      prototypes_(space, groups_of(space, student), student.strategy,
                  units_of(source_.shape).prototypes, shard::Role::teacher),
      backbone_(space, source_.shape.backbone, store_, 0),
      head_(space, source_.shape.head, store_, static_cast<int>(source_.shape.backbone.depth) + 2,
            prototypes_, 0) {
  if (source_.shape.ibot_head)
    ibot_head_.emplace(space, *source_.shape.ibot_head, store_,
                       static_cast<int>(source_.shape.backbone.depth) + 3, prototypes_, 1);
}

template <class T>
void FrozenTeacher<T>::load() {
  require(source_.checksum >= 0, ExitCode::usage,
          "invalid distill.teacher=\"{}\" (a configuration, which has no weights). Try "
          "distill.teacher=CHECKPOINT",
          source_.path);
  if (auto const fault = io::find_checkpoint_fault(all_, source_.path))
    fail(ExitCode::input, "cannot use distill.teacher: {}", *fault);
  for (auto* const store : stores()) load_model(*store, source_.path, source_.group);
  if (all_.rank() == 0)
    log::info("the frozen teacher is that of '{}', step {}", source_.path, source_.step);
}

template <class T>
void FrozenTeacher<T>::initialize(std::uint64_t seed) {
  for (auto* const store : stores()) {
    store->initialize(seed);
    store->invalidate();
  }
}

template class FrozenTeacher<float>;
template class FrozenTeacher<bfloat16>;

}  // namespace dino::train
