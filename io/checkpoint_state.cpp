// SPDX-License-Identifier: Apache-2.0
#include "io/checkpoint_state.hpp"

#include "base/error.hpp"
#include "io/hdf5.hpp"

namespace dino::io {
namespace {

using hdf5::hdf5_check;

/// Text of any length, which h5py gives as str and which may exceed the 64 KiB of an attribute.
hdf5::Datatype text_type() {
  hdf5::Datatype type(hdf5_check(H5Tcopy(H5T_C_S1), "make a text type"));
  hdf5_check(H5Tset_size(type.get(), H5T_VARIABLE), "make a text type");
  hdf5_check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a text type");
  return type;
}

void write_text(hid_t group, std::string const& name, std::string const& text) {
  require(text.find('\0') == std::string::npos, ExitCode::bug, "the text '{}' holds a zero byte",
          name);
  char const* const begin = text.c_str();
  hdf5::write_attribute(group, name, text_type().get(), static_cast<void const*>(&begin));
}

std::string read_text(hid_t group, std::string const& name) {
  auto const action = "read attribute '" + name + "'";
  hdf5::Attribute const attribute(hdf5_check(H5Aopen(group, name.c_str(), H5P_DEFAULT), action));
  hdf5::Datatype const stored(hdf5_check(H5Aget_type(attribute.get()), action));
  hdf5::Dataspace const space(hdf5_check(H5Aget_space(attribute.get()), action));
  require(H5Tis_variable_str(stored.get()) > 0 && H5Sget_simple_extent_npoints(space.get()) == 1,
          ExitCode::input, "attribute '{}' is not one text", name);
  char* begin = nullptr;
  hdf5_check(H5Aread(attribute.get(), text_type().get(), static_cast<void*>(&begin)), action);
  std::string text = begin == nullptr ? "" : begin;
  H5free_memory(begin);
  return text;
}

}  // namespace

void write_state(hid_t file, CheckpointState const& state) {
  auto const group = hdf5::create_group(file, "state");
  for (auto const& [name, value] : state.integers) hdf5::write_attribute(group.get(), name, value);
  for (auto const& [name, value] : state.reals) hdf5::write_attribute(group.get(), name, value);
  for (auto const& [name, text] : state.texts) write_text(group.get(), name, text);
}

CheckpointState read_state(hid_t file) {
  using Kind = hdf5::AttributeKind;
  auto const group = hdf5::open_group(file, "state");
  CheckpointState state;
  for (auto const& name : hdf5::attribute_names(group.get())) {
    auto const kind = hdf5::attribute_kind(group.get(), name);
    require(kind != Kind::other, ExitCode::input, "attribute '{}' is no number and no text", name);
    if (kind == Kind::integer)
      state.integers[name] = hdf5::read_attribute<std::int64_t>(group.get(), name);
    if (kind == Kind::real) state.reals[name] = hdf5::read_attribute<double>(group.get(), name);
    if (kind == Kind::text) state.texts[name] = read_text(group.get(), name);
  }
  return state;
}

}  // namespace dino::io
