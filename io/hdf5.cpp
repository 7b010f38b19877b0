// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5.hpp"

#include <algorithm>
#include <cstring>

namespace dino::io::hdf5 {
namespace {

herr_t keep_innermost(unsigned, H5E_error2_t const* entry, void* text) {
  if (entry->desc != nullptr && entry->desc[0] != '\0')
    *static_cast<std::string*>(text) = entry->desc;
  return 0;
}

Attribute open_attribute(hid_t where, std::string const& name) {
  return Attribute(
      hdf5_check(H5Aopen(where, name.c_str(), H5P_DEFAULT), "open attribute '" + name + "'"));
}

Datatype text_type(std::size_t length) {
  Datatype type(hdf5_check(H5Tcopy(H5T_C_S1), "make a text type"));
  hdf5_check(H5Tset_size(type.get(), std::max<std::size_t>(length, 1)), "size a text type");
  hdf5_check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "pad a text type");
  hdf5_check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "set the character set of a text type");
  return type;
}

bool is_number(H5T_class_t kind) {
  return kind == H5T_INTEGER || kind == H5T_FLOAT;
}

/// The text of a zero-padded field.
std::string field_text(char const* field, std::size_t size) {
  return {field, strnlen(field, size)};
}

/// Opens a dataset of one dimension and gives its length.
std::int64_t require_vector(Dataset const& dataset, std::string const& name) {
  auto const shape = shape_of(dataset.get());
  require(shape.size() == 1, ExitCode::input, "dataset '{}' has {} dimensions instead of 1", name,
          shape.size());
  return shape[0];
}

/// A contiguous dataset holds `count` elements of its own type, all inside the file.
void require_stored(Dataset const& dataset, std::string const& name, std::int64_t count) {
  Datatype const type(
      hdf5_check(H5Dget_type(dataset.get()), "read the type of dataset '" + name + "'"));
  auto const size = static_cast<std::int64_t>(H5Tget_size(type.get()));
  auto const stored = extent_of(dataset.get()).bytes;
  require(size > 0 && stored % size == 0 && stored / size == count, ExitCode::input,
          "dataset '{}' declares {} elements of {} bytes, but {} bytes are stored", name, count,
          size, stored);
}

}  // namespace

bool is_parallel(hid_t object) noexcept {
  auto const kind = H5Iget_type(object);
  if (kind == H5I_DATASPACE || kind == H5I_GENPROP_LST) return false;
  hid_t const file = H5Iget_file_id(object);
  if (file < 0) return false;  // a data type that no file holds
  hid_t const list = H5Fget_access_plist(file);
  bool const parallel = list < 0 || H5Pget_driver(list) == H5FD_MPIO;
  if (list >= 0) H5Pclose(list);
  if (!parallel) H5Fclose(file);
  H5Eclear2(H5E_DEFAULT);
  return parallel;
}

void silence() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

std::string error_text() {
  std::string text = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
  std::string innermost = "no reason given";
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, keep_innermost, &innermost);
  H5Eclear2(H5E_DEFAULT);
  return text == innermost ? text : innermost + " (" + text + ")";
}

void throw_error(std::string_view action) {
  fail(ExitCode::input, "cannot {}: HDF5: {}", action, error_text());
}

PropertyList property_list(hid_t kind) {
  silence();
  return PropertyList(hdf5_check(H5Pcreate(kind), "make a property list"));
}

PropertyList timeless_list(hid_t kind) {
  auto list = property_list(kind);
  hdf5_check(H5Pset_obj_track_times(list.get(), false), "leave times out");
  return list;
}

File open_file(std::string const& path, Access access, hid_t properties) {
  silence();
  auto const flags = access == Access::read ? H5F_ACC_RDONLY : H5F_ACC_RDWR;
  return File(hdf5_check(H5Fopen(path.c_str(), flags, properties), "open '" + path + "'"));
}

File create_file(std::string const& path, hid_t properties) {
  silence();
  auto const create = timeless_list(H5P_FILE_CREATE);
  return File(hdf5_check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create.get(), properties),
                         "write '" + path + "'"));
}

void close_file(File file, std::string const& path) {
  hdf5_check(H5Fclose(file.release()), "finish writing '" + path + "'");
}

Group create_group(hid_t where, std::string const& name) {
  auto const create = timeless_list(H5P_GROUP_CREATE);
  return Group(hdf5_check(H5Gcreate2(where, name.c_str(), H5P_DEFAULT, create.get(), H5P_DEFAULT),
                          "make group '" + name + "'"));
}

Group open_group(hid_t where, std::string const& name) {
  return Group(hdf5_check(H5Gopen2(where, name.c_str(), H5P_DEFAULT), "open group '" + name + "'"));
}

Dataset open_dataset(hid_t where, std::string const& name) {
  return Dataset(
      hdf5_check(H5Dopen2(where, name.c_str(), H5P_DEFAULT), "open dataset '" + name + "'"));
}

bool has_link(hid_t where, std::string const& name) {
  return hdf5_check(H5Lexists(where, name.c_str(), H5P_DEFAULT), "look for '" + name + "'") > 0;
}

Dataspace simple_space(std::span<std::int64_t const> shape) {
  std::vector<hsize_t> const extents(shape.begin(), shape.end());
  if (extents.empty()) return Dataspace(hdf5_check(H5Screate(H5S_SCALAR), "make a scalar space"));
  return Dataspace(
      hdf5_check(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr),
                 "make a data space"));
}

std::vector<std::int64_t> shape_of(hid_t dataset) {
  Dataspace const space(hdf5_check(H5Dget_space(dataset), "read the extent of a dataset"));
  int const rank =
      hdf5_check(H5Sget_simple_extent_ndims(space.get()), "read the extent of a dataset");
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  hdf5_check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr),
             "read the extent of a dataset");
  return {extents.begin(), extents.end()};
}

bool has_attribute(hid_t where, std::string const& name) {
  return hdf5_check(H5Aexists(where, name.c_str()), "look for attribute '" + name + "'") > 0;
}

void write_attribute(hid_t where, std::string const& name, hid_t memory_type, void const* value) {
  auto const space = simple_space({});
  std::string const action = "write attribute '" + name + "'";
  Attribute const attribute(hdf5_check(
      H5Acreate2(where, name.c_str(), memory_type, space.get(), H5P_DEFAULT, H5P_DEFAULT), action));
  hdf5_check(H5Awrite(attribute.get(), memory_type, value), action);
}

void write_attribute(hid_t where, std::string const& name, std::string const& text) {
  auto const type = text_type(text.size());
  write_attribute(where, name, type.get(), text.c_str());
}

void read_attribute(hid_t where, std::string const& name, hid_t memory_type, void* value) {
  auto const attribute = open_attribute(where, name);
  Datatype const type(
      hdf5_check(H5Aget_type(attribute.get()), "read the type of attribute '" + name + "'"));
  Dataspace const space(
      hdf5_check(H5Aget_space(attribute.get()), "read the extent of attribute '" + name + "'"));
  require(is_number(H5Tget_class(type.get())) && H5Sget_simple_extent_npoints(space.get()) == 1,
          ExitCode::input, "attribute '{}' is not one number", name);
  hdf5_check(H5Aread(attribute.get(), memory_type, value), "read attribute '" + name + "'");
}

std::string read_text_attribute(hid_t where, std::string const& name) {
  constexpr std::size_t most = std::size_t{1}
                               << 26;  // bytes; a hostile file may declare any length
  auto const attribute = open_attribute(where, name);
  std::string const action = "read attribute '" + name + "'";
  Datatype const type(hdf5_check(H5Aget_type(attribute.get()), action));
  Dataspace const space(hdf5_check(H5Aget_space(attribute.get()), action));
  std::size_t const size = H5Tget_size(type.get());
  require(H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0 &&
              size <= most && H5Sget_simple_extent_npoints(space.get()) == 1,
          ExitCode::input, "attribute '{}' is not one text of fixed length", name);
  std::vector<char> field(size + 1, '\0');
  hdf5_check(H5Aread(attribute.get(), type.get(), field.data()), action);
  return field_text(field.data(), size);
}

std::vector<std::string> attribute_names(hid_t where) {
  std::vector<std::string> names;
  auto const collect = [](hid_t, char const* name, H5A_info_t const*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  hsize_t position = 0;
  hdf5_check(H5Aiterate2(where, H5_INDEX_NAME, H5_ITER_INC, &position, collect, &names),
             "list attributes");
  return names;
}

AttributeKind attribute_kind(hid_t where, std::string const& name) {
  auto const attribute = open_attribute(where, name);
  Datatype const type(
      hdf5_check(H5Aget_type(attribute.get()), "read the type of attribute '" + name + "'"));
  switch (H5Tget_class(type.get())) {
    case H5T_INTEGER:
      return AttributeKind::integer;
    case H5T_FLOAT:
      return AttributeKind::real;
    case H5T_STRING:
      return AttributeKind::text;
    default:
      return AttributeKind::other;
  }
}

void write_dataset(hid_t where, std::string const& name, hid_t type, std::int64_t count,
                   void const* values) {
  auto const space = simple_space(std::span(&count, 1));
  auto const create = timeless_list(H5P_DATASET_CREATE);
  std::string const action = "write dataset '" + name + "'";
  Dataset const dataset(hdf5_check(
      H5Dcreate2(where, name.c_str(), type, space.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT),
      action));
  if (count > 0)
    hdf5_check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), action);
}

std::vector<char> padded_fields(std::span<std::string const> texts) {
  std::size_t longest = 1;
  for (auto const& text : texts) longest = std::max(longest, text.size());
  std::vector<char> fields(longest * texts.size(), '\0');
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::memcpy(fields.data() + i * longest, texts[i].data(), texts[i].size());
  }
  return fields;
}

void write_texts(hid_t where, std::string const& name, std::span<std::string const> texts) {
  auto const fields = padded_fields(texts);
  std::size_t const longest = texts.empty() ? 1 : fields.size() / texts.size();
  write_dataset(where, name, text_type(longest).get(), static_cast<std::int64_t>(texts.size()),
                fields.data());
}

template <class T>
std::vector<T> read_dataset(hid_t where, std::string const& name) {
  auto const dataset = open_dataset(where, name);
  auto const count = require_vector(dataset, name);
  Datatype const type(
      hdf5_check(H5Dget_type(dataset.get()), "read the type of dataset '" + name + "'"));
  require(is_number(H5Tget_class(type.get())), ExitCode::input,
          "dataset '{}' does not hold numbers", name);
  if (count == 0) return {};
  require_stored(dataset, name, count);
  std::vector<T> values(static_cast<std::size_t>(count));
  hdf5_check(H5Dread(dataset.get(), memory_type<T>(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
             "read dataset '" + name + "'");
  return values;
}
template std::vector<float> read_dataset(hid_t, std::string const&);
template std::vector<double> read_dataset(hid_t, std::string const&);
template std::vector<std::uint8_t> read_dataset(hid_t, std::string const&);
template std::vector<std::byte> read_dataset(hid_t, std::string const&);
template std::vector<std::int32_t> read_dataset(hid_t, std::string const&);
template std::vector<std::uint32_t> read_dataset(hid_t, std::string const&);
template std::vector<std::int64_t> read_dataset(hid_t, std::string const&);
template std::vector<std::uint64_t> read_dataset(hid_t, std::string const&);

std::vector<std::string> read_texts(hid_t where, std::string const& name) {
  auto const dataset = open_dataset(where, name);
  auto const count = require_vector(dataset, name);
  Datatype const type(
      hdf5_check(H5Dget_type(dataset.get()), "read the type of dataset '" + name + "'"));
  require(H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0,
          ExitCode::input, "dataset '{}' does not hold texts of fixed length", name);
  if (count == 0) return {};
  require_stored(dataset, name, count);
  std::size_t const size = H5Tget_size(type.get());
  std::vector<char> fields(size * static_cast<std::size_t>(count));
  hdf5_check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, fields.data()),
             "read dataset '" + name + "'");
  std::vector<std::string> texts;
  texts.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    texts.push_back(field_text(fields.data() + static_cast<std::size_t>(i) * size, size));
  return texts;
}

Extent extent_of(hid_t dataset) {
  PropertyList const list(hdf5_check(H5Dget_create_plist(dataset), "read the layout of a dataset"));
  require(H5Pget_layout(list.get()) == H5D_CONTIGUOUS && H5Pget_external_count(list.get()) == 0,
          ExitCode::input, "a dataset is not stored in one piece");
  Extent extent;
  extent.bytes = static_cast<std::int64_t>(H5Dget_storage_size(dataset));
  if (extent.bytes == 0) return extent;
  haddr_t const offset = H5Dget_offset(dataset);
  H5Eclear2(H5E_DEFAULT);
  hsize_t file_bytes = 0;
  File const file(hdf5_check(H5Iget_file_id(dataset), "find the file of a dataset"));
  hdf5_check(H5Fget_filesize(file.get(), &file_bytes), "read the size of a file");
  extent.offset = static_cast<std::int64_t>(offset);
  require(offset != HADDR_UNDEF && extent.bytes > 0 && extent.offset >= 0 && offset <= file_bytes &&
              static_cast<hsize_t>(extent.bytes) <= file_bytes - offset,
          ExitCode::input,
          "a dataset of {} bytes at {} reaches past the end of its file ({} bytes)", extent.bytes,
          static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(file_bytes));
  return extent;
}

}  // namespace dino::io::hdf5
