// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dino::io {

/// Where labels come from: `automatic` takes labels.csv, else the sidecars of WebDataset (key.cls,
/// key.json), else the first folder of each image where every image lies in one and there are two
/// or more; `folder` takes the folder (or the name of the tar) in any case.
enum class LabelMode { automatic, none, folder };

struct SourceOptions {
  std::vector<std::string> inputs;  ///< folders of images and uncompressed tars
  std::string subset;               ///< only images whose path begins with this
  LabelMode labels = LabelMode::automatic;
};

/// One file of a source: in a folder, or at a position of a tar.
struct SourceFile {
  std::int32_t input = 0;
  std::string path;            ///< below the input
  std::int64_t position = -1;  ///< of the header in the tar; -1 in a folder
  std::int64_t bytes = 0;      ///< when it was listed
};

struct SourceImage {
  std::string key;  ///< the path; several inputs: below the name of the input
  SourceFile file;
  std::optional<std::int32_t> label;
  std::optional<SourceFile> mask, depth;
  double depth_units_per_metre = 0;  ///< 0: no depth
  std::optional<std::int64_t> duplicate;
};

/// An image that was not taken, and why.
struct SkippedImage {
  std::string key, reason;
};

/// What there is to read, in the order of the keys.
struct SourceList {
  std::vector<std::string> inputs;
  std::vector<SourceImage> images;
  std::vector<std::string> class_names;  ///< of the whole input, also of what `subset` leaves out
  std::vector<SkippedImage> skipped;     ///< named in labels.csv, but missing

  std::vector<std::byte> serialize() const;
  static SourceList deserialize(std::span<std::byte const> bytes);
};

/// Lists the images of folders (any depth) and tars with their labels, masks and depth maps: by a
/// labels.csv at the root (columns path, class_name, class_index, mask, depth, units_per_metre,
/// duplicate; all but path optional), by images/X beside masks/X.png and depth/X.png, or by
/// X.mask.png and X.depth.png. Folders named as splits (train, val, test, …) at the root are no
/// classes.
/// \throws Error (usage or input) where an input is missing or holds no images
SourceList list_source(SourceOptions const& options);

/// Reads files of a source; keeps its tars open. One thread.
class SourceReader {
 public:
  explicit SourceReader(std::vector<std::string> inputs);
  SourceReader(SourceReader const&) = delete;
  SourceReader& operator=(SourceReader const&) = delete;
  ~SourceReader();
  /// \throws Error (input) where it is unreadable or has another size than when it was listed
  std::vector<std::byte> read(SourceFile const& file);

 private:
  struct State;
  std::vector<std::string> inputs_;
  std::unique_ptr<State> state_;
};

}  // namespace dino::io
