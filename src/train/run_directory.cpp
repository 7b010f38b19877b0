// SPDX-License-Identifier: Apache-2.0
#include "train/run_directory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/error.hpp"

namespace dino::train {
namespace fs = std::filesystem;

void DescriptorTraits::close(Raw raw) noexcept {
  ::close(raw);
}

namespace {

std::string read_text(fs::path const& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(fs::path const& path, std::string const& text) {
  auto const unfinished = path.string() + ".tmp";
  {
    std::ofstream file(unfinished);
    file << text;
    file.flush();
    require(file.good(), ExitCode::input, "cannot write '{}'. Check space and permissions",
            unfinished);
  }
  fs::rename(unfinished, path);
}

}  // namespace

RunDirectory::RunDirectory(std::string path, Config const& config) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  require(!error, ExitCode::input, "cannot make run.dir '{}': {}", path_, error.message());
  auto const lock = fs::path(path_) / "run.lock";
  lock_ = Descriptor(::open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644));
  require(static_cast<bool>(lock_), ExitCode::input, "{}",
          system_error_text("write", lock.string(), errno));
  require(::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK, ExitCode::usage,
          "another job is running in run.dir '{}'. Give this one another run.dir, or wait", path_);
  auto const text = to_toml(config);
  auto const saved = fs::path(path_) / "config.toml";
  if (!fs::exists(saved)) {
    write_text(saved, text);
  } else if (read_text(saved) != text) {
    write_text(fs::path(path_) / fmt::format("config_{}.toml", std::time(nullptr)), text);
  }
}

void RunDirectory::remove_stop_file() const {
  std::error_code ignored;
  fs::remove(fs::path(path_) / "STOP", ignored);
}

}  // namespace dino::train
