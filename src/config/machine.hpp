// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>

namespace dino {

/// What `dino plan` must know of a machine: a flat TOML file, such as those in jobs/machines/. A
/// rank is a device, or what one rank has of the cores of a node. Every key must be given.
struct Machine {
  std::string name;
  std::int64_t ranks_per_node = 1;
  double memory_gib = 0;   ///< GiB of a rank, > 0
  double fp32_tflops = 0;  ///< peak of a rank's matrix products, 1e12 operations a second, > 0
  double bf16_tflops = 0;  ///< the same in bfloat16, > 0
  double matrix_efficiency = 0;     ///< share of that peak that a whole step reaches, in (0, 1]
  double node_bandwidth = 0;        ///< GB/s of a rank to others of its node, each direction, > 0
  double network_bandwidth = 0;     ///< GB/s of a rank's share of its node's network, > 0
  double bandwidth_efficiency = 0;  ///< share of both bandwidths that is reached, in (0, 1]
  double overlap = 0;  ///< share of parameter and gradient traffic hidden by computation, in [0, 1]

  void visit(auto&& field) {
    field("name", name, "what the plan calls it");
    field("ranks_per_node", ranks_per_node, "ranks of a node (one for each device), >= 1");
    field("memory_gib", memory_gib, "memory of a rank, GiB");
    field("fp32_tflops", fp32_tflops, "peak of a rank's float32 matrix products, TFLOP/s");
    field("bf16_tflops", bf16_tflops, "the same in bfloat16");
    field("matrix_efficiency", matrix_efficiency,
          "share of that peak that a whole step reaches, in (0, 1]");
    field("node_bandwidth", node_bandwidth,
          "GB/s from a rank to others of its node, each direction");
    field("network_bandwidth", network_bandwidth,
          "GB/s that a rank has of its node's network, each direction");
    field("bandwidth_efficiency", bandwidth_efficiency,
          "share of both bandwidths that collectives reach, in (0, 1]");
    field("overlap", overlap,
          "share of the traffic of parameters and gradients that computation hides, in [0, 1]");
  }
  /// \throws Error (usage) naming key, value, range and a remedy
  void validate() const;
};

/// Reads and validates a file. \throws Error (usage) naming file, line and key; unknown keys name
/// the nearest one
Machine load_machine(std::string const& path);
/// The same from TOML text; `origin` stands for the file in messages.
Machine parse_machine(std::string const& text, std::string const& origin);

/// One line per key: name, meaning.
std::string describe_machine_keys();

}  // namespace dino
