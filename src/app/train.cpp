// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "app/command.hpp"
#include "app/load_config.hpp"
#include "train/run.hpp"

namespace dino::app {

void declare_train(CLI::App& command, Action& action) {
  auto const options = std::make_shared<ConfigOptions>();
  options->declare(command);
  command.footer("Keys:\n" + describe_keys());
  command.callback([options, &action] {
    action = [options](Communicator const& world) {
      return train::train(world, options->load_students(world));
    };
  });
}

}  // namespace dino::app
