// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace dino::log {
namespace {

spdlog::level::level_enum spdlog_level(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      break;
  }
  return spdlog::level::err;
}

spdlog::logger& logger() {
  static auto const instance = [] {
    auto made =
        std::make_shared<spdlog::logger>("dino", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%H:%M:%S %l: %v");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *instance;
}

}  // namespace

void configure(Level least, int rank, int ranks) {
  logger().set_level(spdlog_level(least));
  if (ranks > 1) logger().set_pattern(fmt::format("%H:%M:%S %l [rank {}]: %v", rank));
}

void write(Level level, std::string_view text) {
  logger().log(spdlog_level(level), text);
}

}  // namespace dino::log
