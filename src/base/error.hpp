// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace dino {

/// Exit codes of the program; anything else is a bug.
enum class ExitCode : int {
  finished = 0,
  bug = 1,
  usage = 2,      ///< usage or configuration
  input = 3,      ///< unreadable or corrupt input
  numerical = 4,  ///< NaN, Inf, or collapse where configured to stop
  stopped = 75,   ///< stopped early with a good checkpoint: start me again
};

/// The one exception of the program: what, where and what to do, and how the process ends.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string const& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

/// Throws an Error with a message formatted by fmt.
template <class... Args>
[[noreturn]] void fail(ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

/// Checks what users, files or machines can get wrong. \throws Error unless `condition`
template <class... Args>
void require(bool condition, ExitCode code, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]] {
    fail(code, format, std::forward<Args>(args)...);
  }
}

/// The error that is being handled, as text and exit code (for the edges of the program).
std::pair<std::string, ExitCode> describe_current_exception() noexcept;

/// "strerror(errno)" with the action and the file concerned, for system calls that failed.
std::string system_error_text(std::string const& action, std::string const& path, int error_number);

}  // namespace dino
