// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "config/student_set.hpp"

namespace CLI {
class App;
}

namespace dino::app {

/// The arguments `CONFIG [key=value ...]`.
struct ConfigOptions {
  std::string path;
  std::vector<std::string> overrides;

  void declare(CLI::App& command);
  /// Rank 0 reads the file of one student, all ranks get the same. Collective. \throws Error
  /// (usage) alike
  Config load(Communicator const& world) const;
  /// The same where distill.students may name several.
  StudentSet load_students(Communicator const& world) const;
};

}  // namespace dino::app
