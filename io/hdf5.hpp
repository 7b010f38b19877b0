// SPDX-License-Identifier: Apache-2.0
// The door to HDF5, private to io/: owners of its handles, its errors as exceptions, small reads
// and writes. HDF5 is not thread-safe: one thread at a time.
#pragma once
#include <hdf5.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.hpp"
#include "base/handle.hpp"

namespace dino::io::hdf5 {

/// Whether closing `object` now could enter a collective: it belongs to a file that is open through
/// MPI-IO.
bool is_parallel(hid_t object) noexcept;

/// Closes a handle with `close_function`; one of a parallel file not while an exception is in
/// flight, since that close is collective, and one rank alone in it hangs the run.
template <herr_t (*close_function)(hid_t)>
struct Traits {
  using Raw = hid_t;
  static Raw null() noexcept { return H5I_INVALID_HID; }
  static void close(Raw raw) noexcept {
    if (std::uncaught_exceptions() == 0 || !is_parallel(raw)) close_function(raw);
  }
};
using File = UniqueHandle<Traits<H5Fclose>>;
using Group = UniqueHandle<Traits<H5Gclose>>;
using Dataset = UniqueHandle<Traits<H5Dclose>>;
using Dataspace = UniqueHandle<Traits<H5Sclose>>;
using Datatype = UniqueHandle<Traits<H5Tclose>>;
using Attribute = UniqueHandle<Traits<H5Aclose>>;
using PropertyList = UniqueHandle<Traits<H5Pclose>>;
using Object = UniqueHandle<Traits<H5Oclose>>;

/// Ends a call of HDF5: returns `result` where it is not negative (hid_t, herr_t, htri_t, ssize_t).
/// \throws Error (input) "cannot <action>: <what HDF5 says>"; HDF5's own printing is off.
template <class Result>
Result hdf5_check(Result result, std::string_view action);
/// The innermost message of HDF5's error stack, which is cleared.
std::string error_text();
[[noreturn]] void throw_error(std::string_view action);

/// Turns off HDF5's printing of errors; done by `open_file`, `create_file` and `property_list`.
void silence();

/// A property list of a class, e.g. H5P_FILE_ACCESS.
PropertyList property_list(hid_t kind);
/// One for making a file, group or dataset without its time, so that equal contents give equal bytes.
PropertyList timeless_list(hid_t kind);

enum class Access { read, write };
/// Opens a file. `properties`: a file access list, or H5P_DEFAULT. \throws Error (input) naming it
File open_file(std::string const& path, Access access, hid_t properties = H5P_DEFAULT);
/// Makes a file, or truncates one. \throws Error (input) naming it
File create_file(std::string const& path, hid_t properties = H5P_DEFAULT);
/// Closes a file with its error reported (a destructor cannot). \throws Error (input)
void close_file(File file, std::string const& path);

Group create_group(hid_t where, std::string const& name);
Group open_group(hid_t where, std::string const& name);
Dataset open_dataset(hid_t where, std::string const& name);
/// Whether a link of this name exists (one level; no path).
bool has_link(hid_t where, std::string const& name);
Dataspace simple_space(std::span<std::int64_t const> shape);
std::vector<std::int64_t> shape_of(hid_t dataset);

/// HDF5's type in memory of T.
template <class T>
hid_t memory_type() {
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
  if constexpr (std::is_same_v<T, std::uint8_t> || std::is_same_v<T, std::byte>)
    return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, std::int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return H5T_NATIVE_UINT32;
  if constexpr (std::is_same_v<T, std::int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, std::uint64_t>) return H5T_NATIVE_UINT64;
}

bool has_attribute(hid_t where, std::string const& name);
/// Writes a scalar attribute under a name that is free. Texts are fixed-length UTF-8 (h5py: bytes).
void write_attribute(hid_t where, std::string const& name, hid_t memory_type, void const* value);
void write_attribute(hid_t where, std::string const& name, std::string const& text);
template <class T>
  requires std::is_arithmetic_v<T>
void write_attribute(hid_t where, std::string const& name, T value) {
  write_attribute(where, name, memory_type<T>(), &value);
}
/// Reads a scalar attribute. \throws Error (input) where it is missing or of another kind (number,
/// text)
void read_attribute(hid_t where, std::string const& name, hid_t memory_type, void* value);
template <class T>
T read_attribute(hid_t where, std::string const& name) {
  T value{};
  read_attribute(where, name, memory_type<T>(), &value);
  return value;
}
std::string read_text_attribute(hid_t where, std::string const& name);
/// Names of all attributes, in the order of their names.
std::vector<std::string> attribute_names(hid_t where);
enum class AttributeKind { integer, real, text, other };
AttributeKind attribute_kind(hid_t where, std::string const& name);

/// Writes a new contiguous dataset of one dimension, little-endian as the machine is.
void write_dataset(hid_t where, std::string const& name, hid_t type, std::int64_t count,
                   void const* values);
template <class T>
void write_dataset(hid_t where, std::string const& name, std::span<T const> values) {
  write_dataset(where, name, memory_type<T>(), static_cast<std::int64_t>(values.size()),
                values.data());
}
/// Texts as `write_texts` stores them: fields of the longest length, at least 1, padded with zeros.
std::vector<char> padded_fields(std::span<std::string const> texts);
/// Texts as fixed-length UTF-8 padded with zeros: [texts.size()].
void write_texts(hid_t where, std::string const& name, std::span<std::string const> texts);

/// Reads a contiguous dataset of one dimension; nothing is allocated before its extent is checked
/// against the size of its stored bytes. \throws Error (input) where it has another rank, layout or
/// kind
template <class T>
std::vector<T> read_dataset(hid_t where, std::string const& name);
std::vector<std::string> read_texts(hid_t where, std::string const& name);

/// Where the bytes of a contiguous dataset lie in the file.
struct Extent {
  std::int64_t offset = 0, bytes = 0;
};
/// \throws Error (input) where the dataset is not contiguous or reaches past the end of the file
Extent extent_of(hid_t dataset);

template <class Result>
Result hdf5_check(Result result, std::string_view action) {
  if (result < 0) [[unlikely]] {
    throw_error(action);
  }
  return result;
}

}  // namespace dino::io::hdf5
