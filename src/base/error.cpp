// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"

#include <new>
#include <system_error>

namespace dino {

std::pair<std::string, ExitCode> describe_current_exception() noexcept try {
  throw;
} catch (Error const& error) {
  return {error.what(), error.code()};
} catch (std::bad_alloc const&) {
  return {"out of host memory. Lower run.micro_batch, or use more ranks", ExitCode::usage};
} catch (std::exception const& error) {
  return {error.what(), ExitCode::bug};
} catch (...) {
  return {"unknown exception", ExitCode::bug};
}

std::string system_error_text(std::string const& action, std::string const& path,
                              int error_number) {
  return fmt::format("cannot {} '{}': {}", action, path,
                     std::generic_category().message(error_number));
}

}  // namespace dino
