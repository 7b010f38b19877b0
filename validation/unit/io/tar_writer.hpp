// SPDX-License-Identifier: Apache-2.0
// Folders and tars for the tests of io/.
#pragma once
#include <archive.h>
#include <archive_entry.h>

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "unit/io/pictures.hpp"

namespace dino::test {

using Files = std::map<std::string, std::string>;  ///< contents by path

/// A new folder with these files.
inline void write_tree(std::string const& folder, Files const& files) {
  std::filesystem::remove_all(folder);
  for (auto const& [path, contents] : files) {
    auto const full = std::filesystem::path(folder) / path;
    std::filesystem::create_directories(full.parent_path());
    write_contents(full.string(), bytes_of(contents));
  }
}

/// A new tar (pax where a name needs it) with these files.
inline void write_tar(std::string const& path, Files const& files) {
  archive* const tar = archive_write_new();
  archive_write_set_format_pax_restricted(tar);
  if (archive_write_open_filename(tar, path.c_str()) != ARCHIVE_OK)
    throw std::runtime_error("cannot write " + path);
  for (auto const& [name, contents] : files) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(contents.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(tar, entry);
    archive_write_data(tar, contents.data(), contents.size());
    archive_entry_free(entry);
  }
  archive_write_close(tar);
  archive_write_free(tar);
}

}  // namespace dino::test
