// SPDX-License-Identifier: Apache-2.0
#include "app/load_config.hpp"

#include <CLI/CLI.hpp>

namespace dino::app {

void ConfigOptions::declare(CLI::App& command) {
  command.add_option("config", path, "TOML file, see inputs/")->required();
  command.add_option("overrides", overrides, "key=value, e.g. optim.lr=1e-3");
}

Config ConfigOptions::load(Communicator const& world) const {
  std::string text;
  on_rank_zero(world, [&] {
    auto const config = load_config(path, overrides);
    config.validate();
    text = to_toml(config);
  });
  return parse_config(world.broadcast_text(text), path, {});
}

}  // namespace dino::app
