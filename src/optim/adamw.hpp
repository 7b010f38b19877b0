// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "optim/parameter_groups.hpp"
#include "shard/store.hpp"

namespace dino::optim {

/// How gradients are clipped: each parameter by itself (v1), or all of a module together, that is
/// of a backbone or a head (v2, v3). Source: method.md 6.5.
enum class Clipping { parameter, module };

/// The update of a parameter. SGD and LARS have the momentum 0.9, which is kept in place of AdamW's
/// first moment; the second one is not used. Source: method.md 6.1.
enum class Algorithm { adamw, sgd, lars };

/// The rules by which parameters differ.
struct ParameterRules {
  /// Unset: v1's rules, by the parameter tables alone.
  std::optional<LayerwiseDecay> layers;
  Clipping clipping = Clipping::parameter;
  Algorithm algorithm = Algorithm::adamw;
};

/// Values of one optimizer step.
struct StepValues {
  double lr = 0;
  std::optional<double> last_layer_lr = {};  ///< of the prototypes (v2, v3); unset: lr
  double weight_decay = 0;                   ///< of the parameters that decay
  double clip_grad = 0;  ///< largest L2 norm of what is clipped together; 0: no clipping
  bool freeze_last_layer =
      false;                ///< skip the prototypes: no update, no decay, no moments, no count
  bool heads_only = false;  ///< skip the backbone in the same way
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
};

/// A trained parameter in the order of the units.
struct Slot {
  int unit = 0;
  std::size_t parameter = 0;
  std::string name;        ///< full state-dict name
  std::int64_t steps = 0;  ///< updates so far: AdamW's t - 1
  ParameterGroup group;
  std::size_t module = 0;  ///< backbone, head, …: what is clipped together
};

/// AdamW (or another algorithm, see ParameterRules) over the parts of a sharded student, with
/// groups of parameters and clipping. Source: Loshchilov & Hutter 2019, arXiv:1711.05101;
/// method.md 6.1, 6.2, 6.5.
template <class T>
class AdamW {
 public:
  AdamW(Space const& space, shard::ParameterStore<T>& store, ParameterRules const& rules = {});

  /// L2 norm of each trained parameter's whole gradient, in the order of `slots`; alike on all
  /// ranks of the group.
  std::vector<double> gradient_norms() const;
  /// Clips by `norms`, updates the masters and marks what is gathered as stale. Collective in the
  /// group of the store.
  void step(StepValues const& values, std::vector<double> const& norms);

  std::vector<Slot> const& slots() const { return slots_; }
  void set_steps(std::size_t slot, std::int64_t steps) { slots_[slot].steps = steps; }

 private:
  void add_slot(int unit, std::size_t parameter);
  /// This rank's part of a slot, and what it is updated with.
  struct Update {
    View<float, 1> parameter, exp_avg, exp_avg_sq;
    View<float const, 1> gradient;
    float gradient_scale = 1;
    double lr = 0, weight_decay = 0;
  };
  bool skipped(Slot const& slot, StepValues const& values) const;
  std::vector<Update> updates(StepValues const& values, std::vector<double> const& norms) const;
  std::vector<double> trust(std::vector<Update> const& updates) const;
  double clip_factor(Slot const& slot, double own_norm, std::vector<double> const& module_norms,
                     double clip_grad) const;

  Space space_;
  shard::ParameterStore<T>& store_;
  ParameterRules rules_;
  std::vector<Slot> slots_;
  std::vector<std::string> modules_;
  Buffer sums_memory_;  ///< two sums of each slot
};

/// teacher ← m teacher + (1-m) student, part by part: no traffic; buffers stay each model's own.
/// Source: method.md 6.5, 1.10.
template <class T>
void update_teacher(Space const& space, shard::ParameterStore<T>& teacher,
                    shard::ParameterStore<T> const& student, double momentum);

}  // namespace dino::optim
