// SPDX-License-Identifier: Apache-2.0
#include "train/gram_teacher.hpp"

#include "base/error.hpp"
#include "kernels/elementwise.hpp"

namespace dino::train {

bool GramLifeCycle::due_after(std::int64_t iteration, std::int64_t updates) const {
  auto const number = iteration + 1;
  return repeated && number >= first && number % frequency == 0 && (!most || updates < *most);
}

template <class T>
GramTeacher<T>::GramTeacher(Space const& space, shard::ShardGroups const& groups,
                            shard::Strategy const& strategy, VitShape const& shape,
                            GramLifeCycle const& life_cycle)
    : space_(space),
      store_(space, groups, strategy, vit_units(shape, "backbone."), shard::Role::teacher),
      backbone_(space, shape, store_, 0),
      life_cycle_(life_cycle),
      ready_(is_dry(space)) {}  // a dry run is one of the steps that cost most

template <class T>
void GramTeacher<T>::before_step(shard::ParameterStore<T> const& teacher, std::int64_t iteration) {
  if (life_cycle_.load_before == iteration) copy_from(teacher);
}

template <class T>
void GramTeacher<T>::after_step(shard::ParameterStore<T> const& teacher, std::int64_t iteration) {
  if (!life_cycle_.due_after(iteration, updates_)) return;
  copy_from(teacher);
  ++updates_;
}

/// Both are sharded alike, the teacher's backbone comes before its heads: no traffic.
template <class T>
void GramTeacher<T>::copy_from(shard::ParameterStore<T> const& teacher) {
  for (int unit = 0; unit < store_.units(); ++unit)
    run(space_, Cast<float, float>{.x = teacher.master(unit), .y = store_.master(unit)});
  store_.invalidate();
  ready_ = true;
}

template <class T>
std::vector<float> GramTeacher<T>::state() const {
  return {ready_ ? 1.0F : 0.0F, static_cast<float>(updates_)};
}

template <class T>
void GramTeacher<T>::set_state(std::vector<float> const& state) {
  require(state.size() == 2, ExitCode::input, "the state of a Gram teacher has {} values, not 2",
          state.size());
  ready_ = state[0] != 0;
  updates_ = static_cast<std::int64_t>(state[1]);
  store_.invalidate();
}

template class GramTeacher<float>;
template class GramTeacher<bfloat16>;

}  // namespace dino::train
