// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace dino::io {

/// The shards of a folder (its *.h5, by name), or the one file. \throws Error (input) where there
/// are none
std::vector<std::string> list_shard_files(std::string const& path);

}  // namespace dino::io
