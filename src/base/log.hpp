// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace dino::log {

enum class Level { debug, info, warning, error };

/// Sets the least level that is printed, and the rank that each line names where there are several.
void configure(Level least, int rank, int ranks);

/// One line to standard error: time, level, rank (if several) and text.
void write(Level level, std::string_view text);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dino::log
