// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "base/error.hpp"
#include "io/source_listing.hpp"

namespace dino::io {
namespace {

using FilesByPath = std::unordered_map<std::string_view, SourceFile const*>;

FilesByPath by_path(InputListing const& listing) {
  FilesByPath files;
  for (auto const& file : listing.files) files.emplace(file.path, &file);
  return files;
}

std::optional<SourceFile> find_first(FilesByPath const& files,
                                     std::initializer_list<std::string> paths) {
  for (auto const& path : paths) {
    if (auto const found = files.find(path); found != files.end()) return *found->second;
  }
  return {};
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// Names that pictures have, also of formats that are skipped with a reason.
bool is_picture_name(std::string const& path) {
  static std::unordered_set<std::string> const endings{"jpg",  "jpeg", "jpe",  "jfif", "png", "tif",
                                                       "tiff", "bmp",  "gif",  "webp", "pgm", "ppm",
                                                       "pnm",  "heic", "avif", "jp2"};
  auto const dot = path.find_last_of("./");
  return dot != std::string::npos && path[dot] == '.' &&
         endings.contains(lower(path.substr(dot + 1)));
}

bool is_hidden(std::string const& path) {
  auto const name = path.substr(path.find_last_of('/') + 1);
  return name.starts_with(".") || path.starts_with("__MACOSX/");
}

/// Paths that are masks or depth maps of images rather than images.
std::unordered_set<std::string> companions_of(InputListing const& listing) {
  std::unordered_set<std::string> paths;
  bool const has_images = std::ranges::any_of(
      listing.files, [](auto const& f) { return f.path.starts_with("images/"); });
  for (auto const& file : listing.files) {
    auto const& path = file.path;
    if ((has_images && (path.starts_with("masks/") || path.starts_with("depth/"))) ||
        path.ends_with(".mask.png") || path.ends_with(".seg.png") || path.ends_with(".depth.png")) {
      paths.insert(path);
    }
  }
  if (!listing.table) return paths;
  for (std::size_t row = 0; row < listing.table->rows.size(); ++row) {
    paths.insert(listing.table->at(row, "mask"));
    paths.insert(listing.table->at(row, "depth"));
  }
  return paths;
}

/// Mask and depth map found by their names.
void find_companions(FilesByPath const& files, Draft& draft) {
  auto const& path = draft.image.file.path;
  auto const stem = stem_of(path, Dot::last);
  std::string const beside = path.starts_with("images/") ? stem.substr(7) : stem;
  auto const first = stem_of(path, Dot::first);
  if (path.starts_with("images/")) {
    draft.image.mask = find_first(files, {"masks/" + beside + ".png"});
    draft.image.depth = find_first(files, {"depth/" + beside + ".png", "depth/" + beside + ".pgm"});
  }
  if (!draft.image.mask)
    draft.image.mask = find_first(files, {first + ".mask.png", first + ".seg.png"});
  if (!draft.image.depth) draft.image.depth = find_first(files, {first + ".depth.png"});
}

/// What a row of labels.csv says.
void apply_row(Table const& table, std::size_t row, FilesByPath const& files, Draft& draft) {
  draft.class_name = table.at(row, "class_name");
  draft.class_index = whole_number(table.at(row, "class_index"));
  draft.image.duplicate = whole_number(table.at(row, "duplicate"));
  for (auto const* kind : {"mask", "depth"}) {
    auto const& path = table.at(row, kind);
    if (path.empty()) continue;
    auto const found = find_first(files, {path});
    require(found.has_value(), ExitCode::input,
            "labels.csv names '{}' as {} of '{}', but it is missing", path, kind,
            draft.image.file.path);
    (kind[0] == 'm' ? draft.image.mask : draft.image.depth) = found;
  }
  auto const units = std::strtod(table.at(row, "units_per_metre").c_str(), nullptr);
  if (units > 0 && std::isfinite(units)) draft.image.depth_units_per_metre = units;
}

std::unordered_map<std::string_view, std::size_t> rows_by_path(InputListing const& listing) {
  std::unordered_map<std::string_view, std::size_t> rows;
  if (!listing.table) return rows;
  for (std::size_t row = 0; row < listing.table->rows.size(); ++row)
    rows.emplace(listing.table->at(row, "path"), row);
  return rows;
}

/// Names of splits, which are no classes.
bool is_split(std::string_view name) {
  constexpr std::array<std::string_view, 7> splits{"train",      "training", "val",    "valid",
                                                   "validation", "test",     "testing"};
  return std::ranges::find(splits, name) != splits.end();
}

std::string_view first_folder(std::string_view path) {
  auto const slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

/// The folder that names the class of an image; empty: none.
std::string class_folder(std::string_view path, bool splits, std::string const& subset) {
  if (splits) {
    path.remove_prefix(path.find('/') + 1);
  } else if (subset.ends_with('/') && path.starts_with(subset)) {
    path.remove_prefix(subset.size());
  }
  return std::string(first_folder(path));
}

std::vector<std::string> number_names(std::vector<Draft>& drafts) {
  std::set<std::string> names;
  for (auto const& draft : drafts) {
    if (!draft.class_name.empty()) names.insert(draft.class_name);
  }
  std::vector<std::string> const sorted(names.begin(), names.end());
  for (auto& draft : drafts) {
    if (draft.class_name.empty()) continue;
    draft.image.label = static_cast<std::int32_t>(
        std::ranges::lower_bound(sorted, draft.class_name) - sorted.begin());
  }
  return sorted;
}

/// Labels as numbered by the source; a class without a name is called by its number.
std::vector<std::string> take_indices(std::vector<Draft>& drafts) {
  constexpr std::int64_t most_classes = 10'000'000;
  std::vector<std::string> names;
  for (auto& draft : drafts) {
    if (!draft.class_index) continue;
    auto const index = *draft.class_index;
    require(index >= 0 && index < most_classes, ExitCode::input, "image '{}' has class index {}",
            draft.image.file.path, index);
    if (static_cast<std::size_t>(index) >= names.size())
      names.resize(static_cast<std::size_t>(index) + 1);
    auto& name = names[static_cast<std::size_t>(index)];
    if (name.empty()) name = draft.class_name;
    require(draft.class_name.empty() || name == draft.class_name, ExitCode::input,
            "class index {} is called both '{}' and '{}'", index, name, draft.class_name);
    draft.image.label = static_cast<std::int32_t>(index);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) names[i] = std::to_string(i);
  }
  return names;
}

std::vector<std::string> label_by_folder(std::vector<Draft>& drafts, SourceOptions const& options) {
  bool const splits = std::ranges::all_of(
      drafts, [](Draft const& draft) { return is_split(first_folder(draft.image.file.path)); });
  bool const forced = options.labels == LabelMode::folder;
  std::size_t without = 0;
  for (auto& draft : drafts) {
    draft.class_name = class_folder(draft.image.file.path, splits, options.subset);
    if (draft.class_name.empty() && forced) draft.class_name = draft.input_name;
    without += draft.class_name.empty() ? 1 : 0;
  }
  std::set<std::string_view> names;
  for (auto const& draft : drafts) names.insert(draft.class_name);
  if (!forced && ((!splits && without > 0) || names.size() < 2)) return {};
  return number_names(drafts);
}

/// Class of one sidecar: a number or name as text, or JSON with one of the usual members.
void apply_sidecar(std::vector<std::byte> const& bytes, bool json, Draft& draft) {
  std::string const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
  if (!json) {
    draft.class_index = whole_number(text);
    if (!draft.class_index) draft.class_name = text.substr(0, text.find_first_of("\r\n"));
    return;
  }
  auto const members = nlohmann::json::parse(text, nullptr, false);
  if (!members.is_object()) return;
  for (auto const* name : {"class_index", "label", "cls", "class", "class_name"}) {
    auto const member = members.find(name);
    if (member == members.end()) continue;
    if (member->is_number_integer()) draft.class_index = member->get<std::int64_t>();
    if (member->is_string()) draft.class_name = member->get<std::string>();
  }
}

}  // namespace

std::string stem_of(std::string const& path, Dot dot) {
  auto const name = path.find_last_of('/') + 1;  // npos + 1 = 0
  auto const at = dot == Dot::first ? path.find('.', name) : path.find_last_of('.');
  return at == std::string::npos || at < name ? path : path.substr(0, at);
}

std::vector<Draft> draft_images(InputListing const& listing, std::vector<SkippedImage>& skipped) {
  auto const files = by_path(listing);
  auto const companions = companions_of(listing);
  auto const rows = rows_by_path(listing);
  for (auto const& [path, row] : rows) {
    if (!files.contains(path))
      skipped.push_back({std::string(path), "named in labels.csv, but missing"});
  }
  std::ranges::sort(skipped, {}, &SkippedImage::key);
  std::vector<Draft> drafts;
  for (auto const& file : listing.files) {
    auto const row = rows.find(file.path);
    bool const named = row != rows.end();
    if (!named &&
        (!is_picture_name(file.path) || is_hidden(file.path) || companions.contains(file.path)))
      continue;
    Draft draft;
    draft.input_name = listing.name;
    draft.listed = listing.table.has_value();
    draft.image.key = file.path;
    draft.image.file = file;
    find_companions(files, draft);
    if (named) apply_row(*listing.table, row->second, files, draft);
    if (draft.image.depth && draft.image.depth_units_per_metre == 0)
      draft.image.depth_units_per_metre = 1000;
    drafts.push_back(std::move(draft));
  }
  return drafts;
}

void read_sidecars(InputListing const& listing, SourceReader& reader, std::vector<Draft>& drafts) {
  constexpr std::int64_t most_bytes = 1 << 20;
  auto const files = by_path(listing);
  for (auto& draft : drafts) {
    if (draft.class_index || !draft.class_name.empty()) continue;
    auto const stem = stem_of(draft.image.file.path, Dot::first);
    auto const sidecar = find_first(files, {stem + ".cls", stem + ".json"});
    if (!sidecar || sidecar->bytes > most_bytes) continue;
    apply_sidecar(reader.read(*sidecar), sidecar->path.ends_with(".json"), draft);
  }
}

std::vector<std::string> resolve_labels(std::vector<Draft>& drafts, SourceOptions const& options) {
  if (options.labels == LabelMode::none) return {};
  if (options.labels == LabelMode::folder) return label_by_folder(drafts, options);
  if (std::ranges::any_of(drafts, [](Draft const& d) { return d.class_index.has_value(); }))
    return take_indices(drafts);
  if (std::ranges::any_of(drafts, [](Draft const& d) { return !d.class_name.empty(); }))
    return number_names(drafts);
  if (std::ranges::any_of(drafts, &Draft::listed))
    return {};  // labels.csv says nothing about classes
  return label_by_folder(drafts, options);
}

}  // namespace dino::io
