// SPDX-License-Identifier: Apache-2.0
#include "data/staging.hpp"

#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"

namespace dino {
namespace {

namespace fs = std::filesystem;

bool is_staged(fs::path const& source, fs::path const& target) {
  std::error_code error;
  return fs::file_size(target, error) == fs::file_size(source) &&
         fs::last_write_time(target, error) == fs::last_write_time(source) && !error;
}

void copy_complete(fs::path const& source, fs::path const& target) {
  // The name differs between nodes and processes, in case the folder is not local after all.
  fs::path unfinished = target;
  unfinished += fmt::format(".unfinished-{}-{}", gethostid(), getpid());
  try {
    fs::copy_file(source, unfinished, fs::copy_options::overwrite_existing);
    fs::last_write_time(unfinished, fs::last_write_time(source));
    fs::rename(unfinished, target);
  } catch (fs::filesystem_error const&) {
    std::error_code ignored;
    fs::remove(unfinished, ignored);
    throw;
  }
}

/// Copies every `parts`-th file, beginning with `part`. \return the reason of a failure, else empty
std::string copy_share(std::vector<std::string> const& files, fs::path const& folder, int part,
                       int parts) {
  try {
    fs::create_directories(folder);
    for (auto i = static_cast<std::size_t>(part); i < files.size();
         i += static_cast<std::size_t>(parts)) {
      fs::path const source = files[i];
      fs::path const target = folder / source.filename();
      if (!is_staged(source, target)) copy_complete(source, target);
    }
  } catch (fs::filesystem_error const& error) {
    return error.what();
  }
  return {};
}

}  // namespace

io::ShardSet stage_shards(Communicator const& world, io::ShardSet const& shards,
                          std::string const& folder) {
  Communicator const node = world.split_node();
  std::string const failure = copy_share(shards.files(), folder, node.rank(), node.size());
  bool const failed = world.any(!failure.empty());
  require(failure.empty(), ExitCode::input,
          "cannot stage shards to {}: {}. Choose another data.staging, make room there, or leave "
          "it empty",
          folder, failure);
  require(!failed, ExitCode::input, "another rank cannot stage shards to {}", folder);
  log::info("{} shards staged to {}", shards.files().size(), folder);
  return shards.relocated(folder);
}

}  // namespace dino
