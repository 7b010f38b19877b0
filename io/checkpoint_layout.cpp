// SPDX-License-Identifier: Apache-2.0
// The HDF5 side of a checkpoint. HDF5 works on a file in memory only, which holds the metadata and
// is empty where the arrays belong: it meets neither a full disk nor a byte that was not checked.
#include "io/checkpoint_layout.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "io/checkpoint_header.hpp"
#include "io/checkpoint_state.hpp"
#include "io/hdf5.hpp"
#include "io/memory_file.hpp"

namespace dino::io {
namespace {

using hdf5::hdf5_check;

constexpr char const* table_name = "arrays";
constexpr std::int64_t greatest_metadata_bytes = std::int64_t{1} << 30;

/// Type of a row of the table, in memory as in the file: name (zero-padded), CRC-32 of the
/// contents.
struct TableType {
  hdf5::Datatype name, row;
  std::size_t name_bytes, row_bytes;
  explicit TableType(std::size_t longest_name)
      : name(H5Tcopy(H5T_C_S1)),
        name_bytes(std::max<std::size_t>(longest_name, 1)),
        row_bytes(name_bytes + 4) {
    H5Tset_size(name.get(), name_bytes);
    H5Tset_strpad(name.get(), H5T_STR_NULLPAD);
    H5Tset_cset(name.get(), H5T_CSET_UTF8);
    row = hdf5::Datatype(
        hdf5_check(H5Tcreate(H5T_COMPOUND, row_bytes), "make the type of the table"));
    H5Tinsert(row.get(), "name", 0, name.get());
    H5Tinsert(row.get(), "crc32", name_bytes, H5T_STD_U32LE);
  }
};

/// Properties of a new dataset: no time stamps, so that equal contents make equal files.
hdf5::PropertyList dataset_properties() {
  auto properties = hdf5::property_list(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(properties.get(), false);
  return properties;
}

void write_table(hid_t file, std::span<CheckpointArray const> arrays) {
  std::size_t longest = 0;
  for (auto const& array : arrays) longest = std::max(longest, array.name.size());
  TableType const type(longest);
  std::vector<std::byte> rows(arrays.size() * type.row_bytes);
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    auto* const row = rows.data() + i * type.row_bytes;
    std::memcpy(row, arrays[i].name.data(), arrays[i].name.size());
    std::memcpy(row + type.name_bytes, &arrays[i].crc32, 4);
  }
  std::int64_t const extent = std::ssize(arrays);
  auto const space = hdf5::simple_space(std::span(&extent, 1));
  auto const properties = dataset_properties();
  hdf5::Dataset const table(hdf5_check(H5Dcreate2(file, table_name, type.row.get(), space.get(),
                                                  H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                                       "make the table of arrays"));
  if (rows.empty()) return;
  hdf5_check(H5Dwrite(table.get(), type.row.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()),
             "write the table of arrays");
}

hdf5::File create_file_in_memory(std::string const& path, std::int64_t metadata_bytes) {
  auto const create = hdf5::property_list(H5P_FILE_CREATE);
  H5Pset_userblock(create.get(), checkpoint_header_bytes);
  H5Pset_obj_track_times(create.get(), false);
  auto const access = hdf5::property_list(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_meta_block_size(access.get(), static_cast<hsize_t>(metadata_bytes));
  H5Pset_small_data_block_size(access.get(), 0);
  return hdf5::File(hdf5_check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, create.get(), access.get()),
                               "lay out a checkpoint"));
}

/// Makes the groups that an array lies in: those that HDF5 makes by itself carry the time.
void create_groups_above(hid_t file, std::string const& name) {
  for (auto end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1)) {
    auto const group = name.substr(0, end);
    if (H5Lexists(file, group.c_str(), H5P_DEFAULT) <= 0) hdf5::create_group(file, group);
  }
}

/// Makes an array and tells where its contents lie; nothing is written there.
std::int64_t create_array(hid_t file, CheckpointArray const& array) {
  create_groups_above(file, array.name);
  auto const create = dataset_properties();
  H5Pset_alloc_time(create.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(create.get(), H5D_FILL_TIME_NEVER);
  auto const space = hdf5::simple_space(array.shape);
  hdf5::Dataset const dataset(
      hdf5_check(H5Dcreate2(file, array.name.c_str(), H5T_IEEE_F32LE, space.get(), H5P_DEFAULT,
                            create.get(), H5P_DEFAULT),
                 "make array '" + array.name + "'"));
  return element_count(array.shape) == 0 ? 0
                                         : static_cast<std::int64_t>(H5Dget_offset(dataset.get()));
}

/// Room for metadata that most checkpoints do with.
std::int64_t first_metadata_bytes(std::span<CheckpointArray const> arrays) {
  return 16384 + 512 * std::ssize(arrays);
}

/// Whether the arrays fill the file from `begin` to its end, one after the other.
bool arrays_are_last(std::span<CheckpointArray const> arrays, CheckpointHead const& head) {
  auto next = static_cast<std::int64_t>(head.bytes.size());
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    auto const elements = element_count(arrays[i].shape);
    if (elements == 0) continue;
    if (head.offsets[i] != next) return false;
    next += elements * 4;
  }
  return next == head.file_bytes;
}

/// One attempt with room for `metadata_bytes` of metadata before the arrays.
CheckpointHead lay_out(std::span<CheckpointArray const> arrays, CheckpointState const& state,
                       std::int64_t metadata_bytes) {
  MemoryFile memory;
  CheckpointHead head;
  {
    auto file = create_file_in_memory(memory.path(), metadata_bytes);
    memory.forget_path();
    hdf5::write_attribute(file.get(), "format", std::string("dino-hpc checkpoint"));
    hdf5::write_attribute(file.get(), "version", std::int64_t{checkpoint_version});
    write_state(file.get(), state);
    write_table(file.get(), arrays);
    for (auto const& array : arrays) head.offsets.push_back(create_array(file.get(), array));
    hdf5::close_file(std::move(file), "a checkpoint in memory");
  }
  head.file_bytes = file_bytes(memory.fd(), memory.path());
  auto data_begin = head.file_bytes;
  for (auto const offset : head.offsets) {
    if (offset > 0) data_begin = std::min(data_begin, offset);
  }
  head.bytes.resize(static_cast<std::size_t>(data_begin));
  read_exactly(memory.fd(), memory.path(), 0, head.bytes);
  return head;
}

std::vector<CheckpointArray> read_table(hid_t file) {
  auto const table = hdf5::open_dataset(file, table_name);
  hdf5::Datatype const stored(hdf5_check(H5Dget_type(table.get()), "read the table of arrays"));
  require(H5Tget_class(stored.get()) == H5T_COMPOUND && H5Tget_nmembers(stored.get()) == 2,
          ExitCode::input, "the table of arrays has another type");
  hdf5::Datatype const name(
      hdf5_check(H5Tget_member_type(stored.get(), 0), "read the table of arrays"));
  TableType const type(H5Tget_size(name.get()));
  auto const shape = hdf5::shape_of(table.get());
  require(shape.size() == 1 && H5Tequal(stored.get(), type.row.get()) > 0, ExitCode::input,
          "the table of arrays has another type");
  std::vector<char> rows(static_cast<std::size_t>(hdf5::extent_of(table.get()).bytes));
  require(rows.size() == static_cast<std::size_t>(shape[0]) * type.row_bytes, ExitCode::input,
          "the table of arrays has another size");
  if (!rows.empty()) {
    hdf5_check(H5Dread(table.get(), type.row.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()),
               "read the table of arrays");
  }
  std::vector<CheckpointArray> arrays(static_cast<std::size_t>(shape[0]));
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    char const* const row = rows.data() + i * type.row_bytes;
    arrays[i].name.assign(row, ::strnlen(row, type.name_bytes));
    std::memcpy(&arrays[i].crc32, row + type.name_bytes, 4);
  }
  return arrays;
}

/// Fills in the shape of an array and returns the place of its contents.
std::int64_t read_array_place(hid_t file, CheckpointArray& array) {
  auto const dataset = hdf5::open_dataset(file, array.name);
  hdf5::Datatype const type(
      hdf5_check(H5Dget_type(dataset.get()), "read the type of '" + array.name + "'"));
  require(H5Tequal(type.get(), H5T_IEEE_F32LE) > 0, ExitCode::input, "array '{}' is not float32",
          array.name);
  array.shape = hdf5::shape_of(dataset.get());
  return hdf5::extent_of(dataset.get()).offset;
}

/// Lets HDF5 read a head that has been checked. `file_bytes`: of the whole checkpoint.
CheckpointContents parse(std::span<std::byte const> head, std::int64_t file_bytes) {
  MemoryFile memory;
  write_at(memory.fd(), memory.path(), 0, head);
  set_file_size(memory.fd(), memory.path(), file_bytes);
  auto const file = hdf5::open_file(memory.path(), hdf5::Access::read);
  memory.forget_path();
  CheckpointContents contents;
  contents.summary.state = read_state(file.get());
  contents.summary.arrays = read_table(file.get());
  for (auto& array : contents.summary.arrays)
    contents.offsets.push_back(read_array_place(file.get(), array));
  return contents;
}

/// The head of a checkpoint, compared with its checksums.
std::vector<std::byte> read_checked_head(int fd, std::int64_t bytes, std::string const& path) {
  require(bytes >= checkpoint_header_bytes, ExitCode::input,
          "'{}' is no checkpoint: it has only {} bytes", path, bytes);
  std::array<std::byte, checkpoint_header_bytes> first;
  read_exactly(fd, path, 0, first);
  auto const header = decode_checkpoint_header(first, path);
  require(bytes == header.file_bytes, ExitCode::input,
          "checkpoint '{}' is damaged: it has {} bytes instead of {}", path, bytes,
          header.file_bytes);
  std::vector<std::byte> head(static_cast<std::size_t>(header.data_begin));
  read_exactly(fd, path, 0, head);
  require(crc32_of(std::span(head).subspan(checkpoint_header_bytes)) == header.metadata_crc32,
          ExitCode::input,
          "checkpoint '{}' is damaged: the checksum of its metadata and state differs", path);
  return head;
}

}  // namespace

std::int64_t element_count(std::span<std::int64_t const> shape) {
  std::int64_t count = 1;
  for (auto const extent : shape) count *= extent;
  return count;
}

void read_exactly(int fd, std::string const& path, std::int64_t offset,
                  std::span<std::byte> bytes) {
  auto const got = read_at(fd, path, offset, bytes);
  require(got == bytes.size(), ExitCode::input,
          "cannot read '{}': {} of {} bytes are there at offset {} (truncated?)", path, got,
          bytes.size(), offset);
}

std::uint32_t crc32_of(std::span<std::byte const> bytes, std::uint32_t crc) {
  auto const* const begin = reinterpret_cast<Bytef const*>(bytes.data());
  return bytes.empty() ? crc : static_cast<std::uint32_t>(::crc32_z(crc, begin, bytes.size()));
}

std::int64_t checkpoint_bytes_bound(std::span<CheckpointArray const> arrays,
                                    CheckpointState const& state) {
  auto bytes = 2 * first_metadata_bytes(arrays);
  for (auto const& array : arrays) {
    bytes += element_count(array.shape) * 4 + std::ssize(array.name) * std::ssize(arrays);
  }
  for (auto const& [name, text] : state.texts) bytes += 4096 + 2 * std::ssize(text);
  return bytes;
}

CheckpointHead build_checkpoint_head(std::span<CheckpointArray const> arrays,
                                     CheckpointState const& state) {
  auto metadata_bytes = first_metadata_bytes(arrays);
  auto head = lay_out(arrays, state, metadata_bytes);
  while (!arrays_are_last(arrays, head)) {  // some metadata came to lie behind an array
    metadata_bytes *= 2;
    require(metadata_bytes <= greatest_metadata_bytes, ExitCode::bug,
            "the metadata of a checkpoint do not fit");
    head = lay_out(arrays, state, metadata_bytes);
  }
  auto const metadata = std::span(head.bytes).subspan(checkpoint_header_bytes);
  auto const header = encode_checkpoint_header({.metadata_crc32 = crc32_of(metadata),
                                                .data_begin = std::ssize(head.bytes),
                                                .file_bytes = head.file_bytes});
  std::ranges::copy(header, head.bytes.begin());
  return head;
}

CheckpointContents read_checkpoint_head(std::string const& path) {
  auto const file = open_to_read(path);
  auto const bytes = file_bytes(file.get(), path);
  auto head = read_checked_head(file.get(), bytes, path);
  CheckpointContents contents;
  try {
    contents = parse(head, bytes);
  } catch (Error const& error) {
    fail(error.code(), "checkpoint '{}' is damaged or of another program: {}", path, error.what());
  }
  require(arrays_are_last(contents.summary.arrays, {std::move(head), contents.offsets, bytes}),
          ExitCode::input, "checkpoint '{}' is damaged: its arrays do not fill it", path);
  return contents;
}

}  // namespace dino::io
