// SPDX-License-Identifier: Apache-2.0
#include "io/shard_set.hpp"

#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <mutex>

#include "io/byte_stream.hpp"
#include "io/posix.hpp"
#include "io/shard_index.hpp"

namespace dino::io {

std::vector<std::string> list_shard_files(std::string const& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  auto const status = fs::status(path, error);
  require(fs::exists(status), ExitCode::input, "there is no '{}' (shards wanted)", path);
  if (!fs::is_directory(status)) return {path};
  std::vector<std::string> files;
  for (auto const& item : fs::directory_iterator(path, error)) {
    auto const name = item.path().filename().string();
    if (item.path().extension() == ".h5" && !name.starts_with("."))
      files.push_back(item.path().string());
  }
  require(!error, ExitCode::input, "cannot list '{}': {}", path, error.message());
  require(!files.empty(), ExitCode::input,
          "folder '{}' holds no shards (*.h5). Make some with dino pack", path);
  std::ranges::sort(files);
  return files;
}

/// Open files by their index in the set, opened at first use and shared by all threads.
class OpenFiles {
 public:
  explicit OpenFiles(std::size_t count) : fds_(count) {
    for (auto& fd : fds_) fd = -1;
  }
  OpenFiles(OpenFiles const&) = delete;
  OpenFiles& operator=(OpenFiles const&) = delete;
  ~OpenFiles() {
    for (auto& fd : fds_) {
      if (fd >= 0) ::close(fd);
    }
  }
  int get(std::size_t file, std::string const& path) {
    int const open = fds_[file].load();
    if (open >= 0) return open;
    std::lock_guard const lock(opening_);
    if (fds_[file] < 0) fds_[file] = open_to_read(path).release();
    return fds_[file];
  }

 private:
  std::vector<std::atomic<int>> fds_;
  std::mutex opening_;
};

struct ShardSet::State {
  State(std::vector<std::string> paths, std::vector<std::string> classes,
        std::vector<ShardEntry> places)
      : files(std::move(paths)),
        class_names(std::move(classes)),
        entries(std::move(places)),
        open_files(std::make_unique<OpenFiles>(files.size())) {}

  std::vector<std::string> files;
  std::vector<std::string> class_names;
  std::vector<ShardEntry> entries;
  std::unique_ptr<OpenFiles> open_files;
  // the full index that read_all used last
  mutable std::int32_t full_file = -1;
  mutable ShardIndex full;

  int fd(std::int32_t file) const {
    return open_files->get(static_cast<std::size_t>(file), path(file));
  }
  std::string const& path(std::int32_t file) const { return files[static_cast<std::size_t>(file)]; }
  ShardEntry const& at(std::int64_t index) const {
    require(index >= 0 && index < static_cast<std::int64_t>(entries.size()), ExitCode::bug,
            "image {} of a set of {} images", index, entries.size());
    return entries[static_cast<std::size_t>(index)];
  }
  std::string name(std::int64_t index) const;
  void read_run(std::int64_t begin, std::span<std::vector<std::byte>> images) const;
  std::vector<std::byte> read_picture(std::int32_t file, PictureColumn const& column,
                                      std::size_t row) const;
};

std::string ShardSet::State::name(std::int64_t index) const {
  std::int64_t first = index;
  while (first > 0 && entries[static_cast<std::size_t>(first - 1)].file == at(index).file) --first;
  return fmt::format("image {} of shard '{}'", index - first, path(at(index).file));
}

/// Reads images that lie end to end in one file with one system call, as far as that gets.
void ShardSet::State::read_run(std::int64_t begin, std::span<std::vector<std::byte>> images) const {
  std::vector<iovec> parts;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < images.size(); ++i) {
    images[i].resize(static_cast<std::size_t>(at(begin + static_cast<std::int64_t>(i)).length));
    parts.push_back({images[i].data(), images[i].size()});
    bytes += static_cast<std::int64_t>(images[i].size());
  }
  ssize_t got = -1;
  do {
    got = ::preadv(fd(at(begin).file), parts.data(), static_cast<int>(parts.size()),
                   at(begin).offset);
  } while (got < 0 && errno == EINTR);
  if (got == bytes) return;
  // cut short: each on its own, so that one bad place on disk costs one image
  for (std::size_t i = 0; i < images.size(); ++i) {
    auto const& place = at(begin + static_cast<std::int64_t>(i));
    try {
      images[i].resize(read_at(fd(place.file), path(place.file), place.offset, images[i]));
    } catch (Error const&) {
      images[i].clear();
    }
  }
}

std::vector<std::byte> ShardSet::State::read_picture(std::int32_t file, PictureColumn const& column,
                                                     std::size_t row) const {
  if (!column.present() || column.length[row] == 0) return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(column.length[row]));
  auto const got = read_at(fd(file), path(file), column.begin + column.offset[row], bytes);
  require(got == bytes.size() && crc32_of(bytes) == column.crc32[row], ExitCode::input,
          "shard '{}': the checksum of a picture of image {} differs", path(file), row);
  return bytes;
}

namespace {

/// What is wrong with bytes that were read for an image; empty: nothing.
std::string fault_of(ShardEntry const& entry, std::span<std::byte const> bytes) {
  if (bytes.empty() || static_cast<std::int64_t>(bytes.size()) != entry.length) {
    return fmt::format("{} of {} bytes are there", bytes.size(), entry.length);
  }
  if (crc32_of(bytes) != entry.crc32) return "its checksum differs";
  return {};
}

void append_entries(ShardIndex const& index, std::int32_t file, std::vector<ShardEntry>& entries) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(index.images); ++i) {
    entries.push_back({.file = file,
                       .offset = index.image.begin + index.image.offset[i],
                       .length = index.image.length[i],
                       .crc32 = index.image.crc32[i],
                       .label = index.label.empty() ? -1 : index.label[i]});
  }
}

}  // namespace

ShardSet ShardSet::open(std::string const& path, FileLocking locking) {
  auto files = list_shard_files(path);
  std::vector<ShardEntry> entries;
  std::vector<std::string> class_names;
  for (std::size_t file = 0; file < files.size(); ++file) {
    auto const index = read_shard_index(files[file], IndexPart::places_and_labels, locking);
    if (file == 0) class_names = index.metadata.class_names;
    require(index.metadata.class_names == class_names, ExitCode::input,
            "shards '{}' and '{}' name different classes: they were not packed together", files[0],
            files[file]);
    append_entries(index, static_cast<std::int32_t>(file), entries);
  }
  ShardSet set;
  set.state_ =
      std::make_shared<State>(std::move(files), std::move(class_names), std::move(entries));
  return set;
}

std::vector<std::byte> ShardSet::serialize() const {
  ByteWriter writer;
  writer.put_texts(state_->files);
  writer.put_texts(state_->class_names);
  writer.put_all(std::span<ShardEntry const>(state_->entries));
  return writer.take();
}

ShardSet ShardSet::deserialize(std::span<std::byte const> bytes) {
  ByteReader reader(bytes);
  auto files = reader.get_texts();
  auto class_names = reader.get_texts();
  auto entries = reader.get_all<ShardEntry>();
  for (auto const& entry : entries) {
    require(
        entry.file >= 0 && static_cast<std::size_t>(entry.file) < files.size() && entry.length >= 0,
        ExitCode::bug, "a message of another rank is no shard index");
  }
  ShardSet set;
  set.state_ =
      std::make_shared<State>(std::move(files), std::move(class_names), std::move(entries));
  return set;
}

ShardSet ShardSet::relocated(std::string const& folder) const {
  auto files = state_->files;
  for (auto& file : files) file = (folder / std::filesystem::path(file).filename()).string();
  ShardSet set;
  set.state_ = std::make_shared<State>(std::move(files), state_->class_names, state_->entries);
  return set;
}

std::int64_t ShardSet::size() const {
  return static_cast<std::int64_t>(state_->entries.size());
}
std::vector<std::string> const& ShardSet::files() const {
  return state_->files;
}
ShardEntry const& ShardSet::entry(std::int64_t index) const {
  return state_->at(index);
}
std::vector<std::string> const& ShardSet::class_names() const {
  return state_->class_names;
}
bool ShardSet::labelled() const {
  return !state_->class_names.empty();
}

std::vector<std::byte> ShardSet::read(std::int64_t index) const {
  std::vector<std::byte> bytes;
  state_->read_run(index, std::span(&bytes, 1));
  auto const fault = fault_of(state_->at(index), bytes);
  require(fault.empty(), ExitCode::input, "{}: {}", state_->name(index), fault);
  return bytes;
}

std::vector<std::vector<std::byte>> ShardSet::read_block(
    std::int64_t begin, std::int64_t end,
    std::function<void(std::int64_t, std::string const&)> const& on_bad) const {
  require(begin >= 0 && begin <= end && end <= size(), ExitCode::bug, "images [{}, {}) of {}",
          begin, end, size());
  constexpr std::int64_t most_parts = 1024;  // of one preadv
  std::vector<std::vector<std::byte>> images(static_cast<std::size_t>(end - begin));
  for (std::int64_t first = begin; first < end;) {
    std::int64_t last = first + 1;
    auto const adjacent = [&](ShardEntry const& a, ShardEntry const& b) {
      return a.file == b.file && a.offset + a.length == b.offset;
    };
    while (last < end && last - first < most_parts &&
           adjacent(state_->at(last - 1), state_->at(last)))
      ++last;
    auto const run = std::span(images).subspan(static_cast<std::size_t>(first - begin),
                                               static_cast<std::size_t>(last - first));
    std::string unreadable;
    try {
      state_->read_run(first, run);
    } catch (Error const& error) {
      unreadable = error.what();
    }
    for (std::int64_t i = first; i < last; ++i) {
      auto& bytes = images[static_cast<std::size_t>(i - begin)];
      auto const fault = unreadable.empty() ? fault_of(state_->at(i), bytes) : unreadable;
      if (fault.empty()) continue;
      bytes.clear();
      on_bad(i, state_->name(i) + ": " + fault);
    }
    first = last;
  }
  return images;
}

ShardImage ShardSet::read_all(std::int64_t index) const {
  auto const& entry = state_->at(index);
  if (state_->full_file != entry.file) {
    state_->full = read_shard_index(state_->path(entry.file), IndexPart::all, FileLocking::no);
    state_->full_file = entry.file;
  }
  auto const& full = state_->full;
  auto const first = std::ranges::lower_bound(state_->entries, entry.file, {}, &ShardEntry::file) -
                     state_->entries.begin();
  auto const row = static_cast<std::size_t>(index - first);
  require(row < full.key.size(), ExitCode::input, "shard '{}' has changed",
          state_->path(entry.file));
  ShardImage image{.key = full.key[row],
                   .bytes = read(index),
                   .width = full.width[row],
                   .height = full.height[row],
                   .label = {},
                   .mask = state_->read_picture(entry.file, full.mask, row),
                   .depth = state_->read_picture(entry.file, full.depth, row),
                   .duplicate = {}};
  if (entry.label >= 0) image.label = entry.label;
  if (!full.duplicate.empty() && full.duplicate[row] >= 0) image.duplicate = full.duplicate[row];
  return image;
}

}  // namespace dino::io
