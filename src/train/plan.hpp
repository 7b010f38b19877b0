// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "config/machine.hpp"
#include "shard/store.hpp"
#include "train/dino_model.hpp"
#include "train/make_step.hpp"

namespace dino::train {

/// What a rank holds, worked out by a dry run of the same code: nothing is computed or allocated.
/// Of the rank with the largest share.
struct PlannedMemory {
  shard::StoreBytes student, teacher;
  shard::StoreBytes gram_teacher;    ///< of its own, where there is one
  shard::StoreBytes frozen_teacher;  ///< where there is one
  /// The arena, of the largest crops: activations, logits and scratch.
  std::int64_t activation_bytes = 0;
  std::int64_t logits_bytes = 0;     ///< of these, matrices over prototypes: at most run.logits_mib
  std::int64_t crops_bytes = 0;      ///< of micro-batches on their way to a device
  std::int64_t workspace_bytes = 0;  ///< of a device's libraries, at most
  std::int64_t images = 0;           ///< of a micro-batch, at most
  std::int64_t micro_batches = 1;
  double shared_gathers = 0;  ///< bytes of a frozen teacher that several students' ranks share

  std::int64_t total_bytes() const;
};

/// What a run takes.
struct Plan {
  int ranks = 1;
  int group_size = 1;                              ///< ranks that share one copy
  std::map<std::string, std::int64_t> parameters;  ///< of the student: backbone, head, …
  PlannedMemory memory;
  StepWork work;  ///< of a typical step, on average over the sizes of crops
  /// Of the steps with each of several sizes of crops; empty: all steps have the same.
  struct OfSizes {
    config::CropSizes sizes;
    std::int64_t activation_bytes = 0;
    double matrix_flops = 0;
  };
  std::vector<OfSizes> of_sizes;
};

/// Parameters of a model by its parts: backbone, head, … Nothing is allocated.
std::map<std::string, std::int64_t> count_parameters(ModelShape const& shape);

/// A frozen teacher is described by its checkpoint, or by a TOML file in place of it.
/// \param all_ranks  of all students that share a frozen teacher; 0: there is one student
/// \throws Error (usage) where the strategy does not fit the number of ranks
PlannedMemory plan_memory(Config const& config, int ranks, int all_ranks = 0);
/// Its parts by their names, in bytes; those that there are.
std::vector<std::pair<char const*, std::int64_t>> parts_of(PlannedMemory const& memory);
Plan make_plan(Config const& config, int ranks, int all_ranks = 0);

/// Steps of a run; unset where that is for the data set to say.
/// \param dataset  images, where they are known
std::optional<std::int64_t> planned_steps(Config const& config,
                                          std::optional<std::int64_t> dataset);

/// Seconds of a step on a machine. Each collective is a ring over the network of the nodes and
/// inside them, which move data at the same time; its latency is left out.
struct PlannedTime {
  double compute = 0;     ///< matrix products, at the share of their peak that a step reaches
  double parameters = 0;  ///< traffic of parameters and gradients
  double losses = 0;      ///< all other traffic: it is waited for
  double hidden = 0;      ///< of `parameters`, behind computation
  double step() const { return compute + losses + parameters - hidden; }
  double step_without_overlap() const { return compute + losses + parameters; }
};
PlannedTime plan_time(Plan const& plan, Machine const& machine, std::string const& precision);

/// A change that makes the plan fit into so many bytes, such as "run.micro_batch=4"; unset: none
/// of those tried does.
std::optional<std::string> fitting_change(Config const& config, int ranks, double bytes,
                                          int all_ranks = 0);

}  // namespace dino::train
