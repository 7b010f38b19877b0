// SPDX-License-Identifier: Apache-2.0
// Steps of list_source, private to io/.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/source.hpp"
#include "io/source_table.hpp"

namespace dino::io {

/// All files of one input.
struct InputListing {
  std::string name;               ///< of the folder or tar, without extension
  std::vector<SourceFile> files;  ///< by path
  std::optional<Table> table;     ///< labels.csv
};
InputListing list_input(std::int32_t input, std::vector<std::string> const& inputs);

/// An image whose label is not resolved yet.
struct Draft {
  SourceImage image;
  std::string input_name;
  std::string class_name;                   ///< from labels.csv or a sidecar
  std::optional<std::int64_t> class_index;  ///< from labels.csv or a sidecar
  bool listed = false;                      ///< its input has a labels.csv
};

/// The images of an input with their masks, depth maps and what labels.csv says.
std::vector<Draft> draft_images(InputListing const& listing, std::vector<SkippedImage>& skipped);

/// Reads class_name and class_index from the sidecars of WebDataset where there are any.
void read_sidecars(InputListing const& listing, SourceReader& reader, std::vector<Draft>& drafts);

/// Gives every image its label. \return names of the classes
std::vector<std::string> resolve_labels(std::vector<Draft>& drafts, SourceOptions const& options);

/// The path without the extension: all after the last dot of its last part (`first`: after the
/// first dot).
enum class Dot { first, last };
std::string stem_of(std::string const& path, Dot dot);

}  // namespace dino::io
