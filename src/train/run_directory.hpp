// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "base/handle.hpp"
#include "config/config.hpp"

namespace dino::train {

struct DescriptorTraits {
  using Raw = int;
  static Raw null() noexcept { return -1; }
  static void close(Raw raw) noexcept;
};
using Descriptor = UniqueHandle<DescriptorTraits>;

/// The directory of a run, held by one job at a time (rank 0 of it).
class RunDirectory {
 public:
  /// Makes and locks the directory and writes config.toml; where one is there that differs, the new
  /// one is written beside it as config_<time>.toml. \throws Error (usage) where another job holds
  /// it, (input) where it cannot be written
  RunDirectory(std::string path, Config const& config);
  /// Removes the STOP file that ended the run, so that the next start goes on.
  void remove_stop_file() const;

 private:
  std::string path_;
  Descriptor lock_;
};

}  // namespace dino::train
