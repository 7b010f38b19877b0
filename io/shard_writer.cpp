// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <utility>

#include "io/posix.hpp"
#include "io/shard_index.hpp"

namespace dino::io {
namespace {

/// Pictures of one kind on their way: their bytes in a file without a name, until their number is
/// known (an HDF5 dataset in one piece cannot grow).
class PictureSpool {
 public:
  PictureSpool(std::string group, std::string const& shard)
      : group_(std::move(group)), path_(shard + "." + group_) {}

  void add(std::span<std::byte const> picture) {
    if (!fd_ && !picture.empty()) {
      fd_ = open_to_write(path_);
      std::filesystem::remove(path_);
    }
    if (!picture.empty()) write_at(fd_.get(), path_, bytes_, picture);
    column_.offset.push_back(bytes_);
    column_.length.push_back(static_cast<std::int64_t>(picture.size()));
    column_.crc32.push_back(crc32_of(picture));
    bytes_ += static_cast<std::int64_t>(picture.size());
  }
  std::int64_t bytes() const { return bytes_; }

  /// Makes the group with room for the bytes, which `fill` writes when HDF5 has closed the file.
  void write_group(hid_t file) {
    auto const group = hdf5::create_group(file, group_);
    auto const list = hdf5::timeless_list(H5P_DATASET_CREATE);
    hdf5::hdf5_check(H5Pset_alloc_time(list.get(), H5D_ALLOC_TIME_EARLY), "allocate early");
    hdf5::hdf5_check(H5Pset_fill_time(list.get(), H5D_FILL_TIME_NEVER), "leave unfilled");
    auto const space = hdf5::simple_space(std::span(&bytes_, 1));
    hdf5::Dataset const data(
        hdf5::hdf5_check(H5Dcreate2(group.get(), "data", H5T_STD_U8LE, space.get(), H5P_DEFAULT,
                                    list.get(), H5P_DEFAULT),
                         "make room for pictures"));
    column_.begin = bytes_ > 0 ? static_cast<std::int64_t>(H5Dget_offset(data.get())) : 0;
    write_column(group.get(), "offset", column_.offset);
    write_column(group.get(), "length", column_.length);
    write_column(group.get(), "crc32", column_.crc32);
  }
  void fill(int fd, std::string const& path) const {
    if (bytes_ > 0) copy_bytes(fd_.get(), bytes_, fd, column_.begin, path);
  }

 private:
  std::string group_, path_;
  Fd fd_;
  std::int64_t bytes_ = 0;
  PictureColumn column_;
};

}  // namespace

struct ShardWriter::State {
  State(std::string final_path, ShardMetadata about)
      : path(std::move(final_path)),
        unfinished(folder_of(path) + "/." + std::filesystem::path(path).filename().string() +
                   ".tmp"),
        metadata(std::move(about)),
        image("image", unfinished),
        mask("mask", unfinished),
        depth("depth", unfinished) {}
  State(State const&) = delete;
  State& operator=(State const&) = delete;
  ~State() {
    std::error_code ignored;
    if (!finished) std::filesystem::remove(unfinished, ignored);
  }

  std::string path, unfinished;
  ShardMetadata metadata;
  PictureSpool image, mask, depth;
  std::vector<std::string> key;
  std::vector<std::int32_t> width, height, label;
  std::vector<std::int64_t> duplicate;
  bool finished = false;

  void write_hdf5();
  void fill_and_sync() const;
};

void ShardWriter::State::write_hdf5() {
  auto const properties = hdf5::property_list(H5P_FILE_ACCESS);
  // since 1.8 metadata carries checksums of its own: damage is found, not followed
  hdf5::hdf5_check(H5Pset_libver_bounds(properties.get(), H5F_LIBVER_V18, H5F_LIBVER_V18),
                   "choose the file format");
  auto file = hdf5::create_file(unfinished, properties.get());
  hdf5::write_attribute(file.get(), "format", layout::format);
  hdf5::write_attribute(file.get(), "version", layout::version);
  hdf5::write_attribute(file.get(), "images", static_cast<std::int64_t>(key.size()));
  hdf5::write_attribute(file.get(), "source", metadata.source);
  hdf5::write_attribute(file.get(), "depth_units_per_metre", metadata.depth_units_per_metre);
  image.write_group(file.get());
  if (mask.bytes() > 0) mask.write_group(file.get());
  if (depth.bytes() > 0) depth.write_group(file.get());
  write_column(file.get(), "key", key);
  write_column(file.get(), "width", width);
  write_column(file.get(), "height", height);
  if (!metadata.class_names.empty()) {
    write_column(file.get(), "class_names", metadata.class_names);
    write_column(file.get(), "label", label);
  }
  if (std::ranges::any_of(duplicate, [](std::int64_t group) { return group >= 0; })) {
    write_column(file.get(), "duplicate", duplicate);
  }
  hdf5::close_file(std::move(file), unfinished);
}

void ShardWriter::State::fill_and_sync() const {
  Fd const fd = open_to_update(unfinished);
  for (auto const* pictures : {&image, &mask, &depth}) pictures->fill(fd.get(), unfinished);
  sync_file(fd.get(), unfinished);
}

ShardWriter::ShardWriter(std::string path, ShardMetadata metadata)
    : state_(std::make_unique<State>(std::move(path), std::move(metadata))) {}
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;

void ShardWriter::add(ShardImage const& picture) {
  auto& state = *state_;
  require(!state.finished, ExitCode::bug, "shard '{}' is finished", state.path);
  require(!picture.bytes.empty(), ExitCode::bug, "image '{}' has no bytes", picture.key);
  auto const classes = static_cast<std::int64_t>(state.metadata.class_names.size());
  require(!picture.label || (*picture.label >= 0 && *picture.label < classes), ExitCode::bug,
          "image '{}' has label {} of {} classes", picture.key, picture.label.value_or(-1),
          classes);
  state.image.add(picture.bytes);
  state.mask.add(picture.mask);
  state.depth.add(picture.depth);
  state.key.push_back(picture.key);
  state.width.push_back(picture.width);
  state.height.push_back(picture.height);
  state.label.push_back(picture.label.value_or(-1));
  state.duplicate.push_back(picture.duplicate.value_or(-1));
}

std::int64_t ShardWriter::images() const {
  return static_cast<std::int64_t>(state_->key.size());
}
std::int64_t ShardWriter::bytes() const {
  return state_->image.bytes() + state_->mask.bytes() + state_->depth.bytes();
}

void ShardWriter::finish() {
  state_->write_hdf5();
  state_->fill_and_sync();
  auto const written = read_shard_index(state_->unfinished, IndexPart::all, FileLocking::no);
  require(written.images == images(), ExitCode::bug, "shard '{}' lost images", state_->path);
  rename_file(state_->unfinished, state_->path);
  sync_folder(folder_of(state_->path));
  state_->finished = true;
}

}  // namespace dino::io
