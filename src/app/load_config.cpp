// SPDX-License-Identifier: Apache-2.0
#include "app/load_config.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/error.hpp"

namespace dino::app {

void ConfigOptions::declare(CLI::App& command) {
  command.add_option("config", path, "TOML file, see inputs/")->required();
  command.add_option("overrides", overrides, "key=value, e.g. optim.lr=1e-3");
}

Config ConfigOptions::load(Communicator const& world) const {
  auto set = load_students(world);
  require(set.ranks.empty(), ExitCode::usage,
          "'{}' names {} students (distill.students), and this command takes one. Try "
          "distill.students=[] distill.ranks=[], and the keys of one of them",
          path, set.students.size());
  return std::move(set.students.front());
}

StudentSet ConfigOptions::load_students(Communicator const& world) const {
  StudentSet set;
  on_rank_zero(world, [&] { set = dino::load_students(path, overrides); });
  auto const sizes = world.all_gather_varying(std::as_bytes(std::span(set.ranks)));
  if (world.rank() != 0) {
    set.ranks.resize(sizes.size() / sizeof(std::int64_t));
    std::memcpy(set.ranks.data(), sizes.data(), sizes.size());
  }
  set.students.resize(std::max<std::size_t>(1, set.ranks.size()));
  for (auto& student : set.students) {
    auto const text = world.rank() == 0 ? to_toml(student) : std::string();
    student = parse_config(world.broadcast_text(text), path, {});
  }
  return set;
}

}  // namespace dino::app
