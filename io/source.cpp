// SPDX-License-Identifier: Apache-2.0
#include "io/source.hpp"

#include <algorithm>
#include <filesystem>

#include "base/error.hpp"
#include "io/archive.hpp"
#include "io/byte_stream.hpp"
#include "io/posix.hpp"
#include "io/source_listing.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;

/// Whether a link to a folder leads back to a folder around it.
bool leads_back(fs::path const& folder) {
  std::error_code error;
  auto const target = fs::canonical(folder, error);
  auto const around = fs::canonical(folder.parent_path(), error);
  if (error) return true;
  return std::mismatch(target.begin(), target.end(), around.begin(), around.end()).first ==
         target.end();
}

std::vector<SourceFile> list_folder(std::int32_t input, std::string const& folder) {
  std::vector<SourceFile> files;
  std::error_code error;
  fs::recursive_directory_iterator item(folder, fs::directory_options::follow_directory_symlink,
                                        error);
  for (; !error && item != fs::recursive_directory_iterator(); item.increment(error)) {
    std::error_code unknown;
    if (item->is_directory(unknown)) {
      if (item->is_symlink(unknown) && leads_back(item->path())) item.disable_recursion_pending();
      continue;
    }
    if (!item->is_regular_file(unknown)) continue;
    auto const bytes = item->file_size(unknown);
    files.push_back({.input = input,
                     .path = item->path().lexically_relative(folder).generic_string(),
                     .bytes = unknown ? 0 : static_cast<std::int64_t>(bytes)});
  }
  require(!error, ExitCode::input, "cannot list folder '{}': {}", folder, error.message());
  return files;
}

std::vector<SourceFile> list_members(std::int32_t input, std::string const& tar) {
  std::vector<SourceFile> files;
  for (auto& member : list_tar(tar)) {
    files.push_back({.input = input,
                     .path = std::move(member.path),
                     .position = member.position,
                     .bytes = member.bytes});
  }
  return files;
}

/// Sorts by path; of members of one name the last counts, as when a tar is unpacked.
void sort_files(std::vector<SourceFile>& files) {
  std::ranges::sort(files, [](SourceFile const& a, SourceFile const& b) {
    return a.path != b.path ? a.path < b.path : a.position > b.position;
  });
  auto const repeated = std::ranges::unique(files, {}, &SourceFile::path);
  files.erase(repeated.begin(), repeated.end());
}

void put_file(ByteWriter& writer, SourceFile const& file) {
  writer.put(file.input);
  writer.put_text(file.path);
  writer.put(file.position);
  writer.put(file.bytes);
}
SourceFile get_file(ByteReader& reader) {
  SourceFile file;
  file.input = reader.get<std::int32_t>();
  file.path = reader.get_text();
  file.position = reader.get<std::int64_t>();
  file.bytes = reader.get<std::int64_t>();
  return file;
}
void put_optional(ByteWriter& writer, std::optional<SourceFile> const& file) {
  writer.put(file.has_value());
  if (file) put_file(writer, *file);
}
std::optional<SourceFile> get_optional(ByteReader& reader) {
  if (!reader.get<bool>()) return {};
  return get_file(reader);
}

/// Keys of several inputs stand below the input's name.
void set_keys(std::vector<Draft>& drafts, bool several) {
  if (!several) return;
  for (auto& draft : drafts) draft.image.key = draft.input_name + "/" + draft.image.key;
}

void require_distinct(std::vector<Draft> const& drafts) {
  auto const key = [](Draft const& draft) { return draft.image.key; };
  auto const repeated = std::ranges::adjacent_find(drafts, {}, key);
  require(repeated == drafts.end(), ExitCode::usage,
          "two inputs hold an image '{}': inputs of one name cannot be packed together",
          repeated == drafts.end() ? "" : repeated->image.key);
}

void keep_subset(std::vector<Draft>& drafts, std::string const& subset) {
  if (subset.empty()) return;
  std::string const first = drafts.empty() ? "" : drafts.front().image.file.path;
  std::erase_if(drafts,
                [&](Draft const& draft) { return !draft.image.file.path.starts_with(subset); });
  require(!drafts.empty(), ExitCode::usage,
          "no image has a path that begins with '{}' (--subset); the first is '{}'", subset, first);
}

}  // namespace

InputListing list_input(std::int32_t input, std::vector<std::string> const& inputs) {
  auto const& path = inputs[static_cast<std::size_t>(input)];
  std::error_code error;
  auto const status = fs::status(path, error);
  require(fs::exists(status), ExitCode::input, "there is no '{}' to pack", path);
  fs::path const plain =
      fs::path(path).has_filename() ? fs::path(path) : fs::path(path).parent_path();
  InputListing listing;
  if (fs::is_directory(status)) {
    listing.name = plain.filename().string();
    listing.files = list_folder(input, path);
  } else {
    listing.name = plain.stem().string();
    listing.files = list_members(input, path);
  }
  sort_files(listing.files);
  auto const table = std::ranges::find(listing.files, "labels.csv", &SourceFile::path);
  if (table == listing.files.end()) return listing;
  try {
    listing.table = read_table(SourceReader(inputs).read(*table));
    require(listing.table->has("path"), ExitCode::input, "there is no column 'path'");
  } catch (Error const& fault) {
    fail(fault.code(), "labels.csv of '{}': {}", path, fault.what());
  }
  return listing;
}

SourceList list_source(SourceOptions const& options) {
  require(!options.inputs.empty(), ExitCode::usage,
          "there is nothing to pack: name a folder or a tar");
  SourceList list{.inputs = options.inputs, .images = {}, .class_names = {}, .skipped = {}};
  SourceReader reader(options.inputs);
  std::vector<Draft> drafts;
  for (std::size_t input = 0; input < options.inputs.size(); ++input) {
    auto const listing = list_input(static_cast<std::int32_t>(input), options.inputs);
    auto found = draft_images(listing, list.skipped);
    require(!found.empty(), ExitCode::input, "'{}' holds no images (.jpg, .jpeg, .png)",
            options.inputs[input]);
    if (options.labels == LabelMode::automatic) read_sidecars(listing, reader, found);
    std::ranges::move(found, std::back_inserter(drafts));
  }
  list.class_names = resolve_labels(drafts, options);
  keep_subset(drafts, options.subset);
  set_keys(drafts, options.inputs.size() > 1);
  std::ranges::sort(drafts, {},
                    [](Draft const& draft) -> std::string const& { return draft.image.key; });
  require_distinct(drafts);
  for (auto& draft : drafts) list.images.push_back(std::move(draft.image));
  return list;
}

std::vector<std::byte> SourceList::serialize() const {
  ByteWriter writer;
  writer.put_texts(inputs);
  writer.put_texts(class_names);
  writer.put(static_cast<std::int64_t>(images.size()));
  for (auto const& image : images) {
    writer.put_text(image.key);
    put_file(writer, image.file);
    writer.put(image.label.value_or(-1));
    put_optional(writer, image.mask);
    put_optional(writer, image.depth);
    writer.put(image.depth_units_per_metre);
    writer.put(image.duplicate.value_or(-1));
  }
  writer.put(static_cast<std::int64_t>(skipped.size()));
  for (auto const& image : skipped) {
    writer.put_text(image.key);
    writer.put_text(image.reason);
  }
  return writer.take();
}

SourceList SourceList::deserialize(std::span<std::byte const> bytes) {
  ByteReader reader(bytes);
  SourceList list;
  list.inputs = reader.get_texts();
  list.class_names = reader.get_texts();
  for (auto count = reader.get<std::int64_t>(); count > 0; --count) {
    SourceImage image;
    image.key = reader.get_text();
    image.file = get_file(reader);
    auto const label = reader.get<std::int32_t>();
    if (label >= 0) image.label = label;
    image.mask = get_optional(reader);
    image.depth = get_optional(reader);
    image.depth_units_per_metre = reader.get<double>();
    auto const duplicate = reader.get<std::int64_t>();
    if (duplicate >= 0) image.duplicate = duplicate;
    list.images.push_back(std::move(image));
  }
  for (auto count = reader.get<std::int64_t>(); count > 0; --count) {
    auto key = reader.get_text();
    list.skipped.push_back({.key = std::move(key), .reason = reader.get_text()});
  }
  return list;
}

struct SourceReader::State {
  std::map<std::int32_t, Fd> tars;  ///< by input
};

SourceReader::SourceReader(std::vector<std::string> inputs)
    : inputs_(std::move(inputs)), state_(std::make_unique<State>()) {}
SourceReader::~SourceReader() = default;

std::vector<std::byte> SourceReader::read(SourceFile const& file) {
  auto const& input = inputs_.at(static_cast<std::size_t>(file.input));
  if (file.position >= 0) {
    Fd& fd = state_->tars[file.input];
    if (!fd) fd = open_to_read(input);
    return read_tar_member(fd.get(), input,
                           {.path = file.path, .position = file.position, .bytes = file.bytes});
  }
  auto const path = input + "/" + file.path;
  Fd const fd = open_to_read(path);
  auto const now = file_bytes(fd.get(), path);
  require(now == file.bytes, ExitCode::input, "it changed from {} to {} bytes since it was listed",
          file.bytes, now);
  std::vector<std::byte> bytes(static_cast<std::size_t>(now));
  require(read_at(fd.get(), path, 0, bytes) == bytes.size(), ExitCode::input,
          "it became shorter while it was read");
  return bytes;
}

}  // namespace dino::io
