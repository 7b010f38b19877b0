// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "shard/store.hpp"

namespace dino::optim {

/// Values of one optimizer step.
struct StepValues {
  double lr = 0;
  double weight_decay = 0;  ///< of the parameters that decay
  double clip_grad = 0;     ///< largest L2 norm of each parameter's gradient; 0: no clipping
  bool freeze_last_layer =
      false;  ///< skip the prototypes: no update, no decay, no moments, no count
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// A trained parameter in the order of the units.
struct Slot {
  int unit = 0;
  std::size_t parameter = 0;
  std::string name;        ///< full state-dict name
  std::int64_t steps = 0;  ///< updates so far: AdamW's t - 1
};

/// AdamW over the parts of a sharded student, with v1's groups (biases and norms do not decay) and
/// clipping of each parameter by itself.
/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101; method.md 6.1, 6.2, 6.5.
template <class T>
class AdamW {
 public:
  AdamW(Space const& space, shard::ParameterStore<T>& store);

  /// L2 norm of each trained parameter's whole gradient, in the order of `slots`; alike on all
  /// ranks of the group.
  std::vector<double> gradient_norms() const;
  /// Clips by `norms`, updates the masters and marks what is gathered as stale.
  void step(StepValues const& values, std::vector<double> const& norms);

  std::vector<Slot> const& slots() const { return slots_; }
  void set_steps(std::size_t slot, std::int64_t steps) { slots_[slot].steps = steps; }

 private:
  Space space_;
  shard::ParameterStore<T>& store_;
  std::vector<Slot> slots_;
  Buffer sums_memory_;
};

/// teacher ← m teacher + (1-m) student, part by part: no traffic. Source: method.md 6.5.
template <class T>
void update_teacher(Space const& space, shard::ParameterStore<T>& teacher,
                    shard::ParameterStore<T> const& student, double momentum);

}  // namespace dino::optim
