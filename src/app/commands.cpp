// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "app/command.hpp"

namespace dino::app {

std::span<Command const> commands() {
  static constexpr std::array table{
      Command{"synth", "write the embedded demo world as labelled shards", declare_synth},
      Command{"pack", "image folders or tars -> HDF5 shards; --verify checks a set", declare_pack},
      Command{"train", "train as a configuration says; resumes by itself", declare_train},
      Command{"plan", "what a run takes: parameters, bytes, operations; nothing is run",
              declare_plan},
      Command{"features", "frozen features of a shard set -> HDF5", declare_features},
      Command{"eval", "evaluation protocols", declare_eval},
      Command{"info", "what a file holds; alone: how this program was built", declare_info},
      Command{"bench", "measure a part of the program; prints one JSON object", declare_bench},
  };
  return table;
}

}  // namespace dino::app
