// SPDX-License-Identifier: Apache-2.0
#include "golden/golden_file.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include "base/error.hpp"
#include "io/hdf5.hpp"

namespace dino::golden {
namespace {

using namespace io::hdf5;

constexpr std::int64_t most_values = 1 << 28;  // a golden file is small: a larger extent is corrupt

std::vector<std::string> read_strings(hid_t dataset, hid_t type, std::size_t count) {
  std::vector<std::string> out;
  if (H5Tis_variable_str(type) > 0) {
    Datatype const memory(hdf5_check(H5Tcopy(H5T_C_S1), "copy a type"));
    hdf5_check(H5Tset_size(memory.get(), H5T_VARIABLE), "size a type");
    hdf5_check(H5Tset_cset(memory.get(), H5Tget_cset(type)), "set a character set");
    std::vector<char*> raw(count, nullptr);
    hdf5_check(H5Dread(dataset, memory.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()),
               "read texts");
    for (char* const text : raw) out.emplace_back(text == nullptr ? "" : text);
    Dataspace const space(H5Dget_space(dataset));
    H5Dvlen_reclaim(memory.get(), space.get(), H5P_DEFAULT, raw.data());
    return out;
  }
  auto const width = H5Tget_size(type);
  require(width * count < static_cast<std::size_t>(most_values), ExitCode::input,
          "texts are too long");
  std::string raw(width * count, '\0');
  hdf5_check(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw.data()), "read texts");
  for (std::size_t i = 0; i < count; ++i) {
    auto const text = raw.substr(i * width, width);
    out.push_back(text.substr(0, text.find('\0')));
  }
  return out;
}

Array read_array(hid_t dataset) {
  Array out;
  Dataspace const space(hdf5_check(H5Dget_space(dataset), "read an extent"));
  auto const rank = hdf5_check(H5Sget_simple_extent_ndims(space.get()), "read a rank");
  std::vector<hsize_t> extents(static_cast<std::size_t>(rank));
  hdf5_check(H5Sget_simple_extent_dims(space.get(), extents.data(), nullptr), "read an extent");
  for (auto const e : extents) {
    require(e < static_cast<hsize_t>(most_values), ExitCode::input,
            "an extent of {} is not plausible", e);
    out.shape.push_back(static_cast<std::int64_t>(e));
    require(out.size() < most_values, ExitCode::input, "an array of {} values is not plausible",
            out.size());
  }
  auto const n = static_cast<std::size_t>(out.size());
  Datatype const type(hdf5_check(H5Dget_type(dataset), "read a type"));
  auto const read = [&](hid_t memory, void* to) {
    if (n > 0)
      hdf5_check(H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, to), "read an array");
  };
  switch (H5Tget_class(type.get())) {
    case H5T_FLOAT: {
      std::vector<double> v(n);
      read(H5T_NATIVE_DOUBLE, v.data());
      out.values = std::move(v);
      break;
    }
    case H5T_INTEGER: {
      std::vector<std::int64_t> v(n);
      read(H5T_NATIVE_INT64, v.data());
      out.values = std::move(v);
      out.bytes = H5Tget_size(type.get()) == 1;
      break;
    }
    case H5T_STRING:
      out.values = read_strings(dataset, type.get(), n);
      break;
    default:
      fail(ExitCode::input, "an array is of a type that golden files do not have");
  }
  auto const figure = [&](char const* name, std::optional<double>& to) {
    if (has_attribute(dataset, name)) to = read_attribute<double>(dataset, name);
  };
  figure("fp32_dev", out.fp32_dev);
  figure("fp32_dev_update", out.fp32_dev_update);
  figure("fp32_dev_without_k", out.fp32_dev_without_k);
  figure("fp32_dev_update_without_k", out.fp32_dev_update_without_k);
  return out;
}

std::string read_text(hid_t where, std::string const& name) {
  Attribute const attribute(
      hdf5_check(H5Aopen(where, name.c_str(), H5P_DEFAULT), "open attribute " + name));
  Datatype const type(hdf5_check(H5Aget_type(attribute.get()), "read a type"));
  require(H5Tget_class(type.get()) == H5T_STRING, ExitCode::input, "attribute {} is no text", name);
  if (H5Tis_variable_str(type.get()) <= 0) return read_text_attribute(where, name);
  char* raw = nullptr;
  Datatype const memory(hdf5_check(H5Tcopy(type.get()), "copy a type"));
  hdf5_check(H5Aread(attribute.get(), memory.get(), &raw), "read attribute " + name);
  std::string out = raw == nullptr ? "" : raw;
  H5free_memory(raw);
  return out;
}

herr_t collect(hid_t root, char const* name, H5O_info_t const* info, void* data) {
  if (info->type == H5O_TYPE_DATASET)
    static_cast<std::vector<std::string>*>(data)->emplace_back(name);
  (void)root;
  return 0;
}

}  // namespace

std::int64_t Array::size() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<double> const& Array::reals() const {
  auto const* v = std::get_if<std::vector<double>>(&values);
  require(v != nullptr, ExitCode::input, "an array is not of floating point");
  return *v;
}
std::vector<std::int64_t> const& Array::integers() const {
  auto const* v = std::get_if<std::vector<std::int64_t>>(&values);
  require(v != nullptr, ExitCode::input, "an array is not of integers");
  return *v;
}
std::vector<std::string> const& Array::texts() const {
  auto const* v = std::get_if<std::vector<std::string>>(&values);
  require(v != nullptr, ExitCode::input, "an array is not of texts");
  return *v;
}
std::vector<double> Array::numbers() const {
  if (auto const* v = std::get_if<std::vector<std::int64_t>>(&values))
    return {v->begin(), v->end()};
  return reals();
}
std::vector<float> Array::floats() const {
  auto const all = numbers();
  return {all.begin(), all.end()};
}

GoldenFile::GoldenFile(std::string const& path) {
  File const file = open_file(path, Access::read);
  require(has_attribute(file.get(), "format") && read_text(file.get(), "format") == "dino-golden/1",
          ExitCode::input, "'{}' is not a file of the format dino-golden/1", path);
  kind = read_text(file.get(), "kind");
  method = read_text(file.get(), "method");
  if (has_link(file.get(), "config")) {
    Group const config = open_group(file.get(), "config");
    for (auto const& name : attribute_names(config.get())) {
      switch (attribute_kind(config.get(), name)) {
        case AttributeKind::integer:
          config_[name] = read_attribute<std::int64_t>(config.get(), name);
          break;
        case AttributeKind::real:
          config_[name] = read_attribute<double>(config.get(), name);
          break;
        case AttributeKind::text:
          config_[name] = read_text(config.get(), name);
          break;
        case AttributeKind::other:
          break;
      }
    }
  }
  std::vector<std::string> names;
  hdf5_check(H5Ovisit(file.get(), H5_INDEX_NAME, H5_ITER_INC, collect, &names), "list the arrays");
  for (auto const& name : names) {
    Dataset const dataset(
        hdf5_check(H5Dopen(file.get(), name.c_str(), H5P_DEFAULT), "open " + name));
    arrays.emplace(name, read_array(dataset.get()));
  }
}

Array const& GoldenFile::at(std::string const& path) const {
  auto const it = arrays.find(path);
  require(it != arrays.end(), ExitCode::input, "array {} is missing", path);
  return it->second;
}

double GoldenFile::real(std::string const& key, std::optional<double> fallback) const {
  auto const it = config_.find(key);
  require(it != config_.end() || fallback.has_value(), ExitCode::input, "config/{} is missing",
          key);
  if (it == config_.end()) return *fallback;
  if (auto const* i = std::get_if<std::int64_t>(&it->second)) return static_cast<double>(*i);
  auto const* v = std::get_if<double>(&it->second);
  require(v != nullptr, ExitCode::input, "config/{} is no number", key);
  return *v;
}

std::int64_t GoldenFile::integer(std::string const& key,
                                 std::optional<std::int64_t> fallback) const {
  return static_cast<std::int64_t>(
      real(key, fallback ? std::optional<double>(static_cast<double>(*fallback)) : std::nullopt));
}

std::string GoldenFile::text(std::string const& key, std::optional<std::string> fallback) const {
  auto const it = config_.find(key);
  require(it != config_.end() || fallback.has_value(), ExitCode::input, "config/{} is missing",
          key);
  if (it == config_.end()) return *fallback;
  auto const* v = std::get_if<std::string>(&it->second);
  require(v != nullptr, ExitCode::input, "config/{} is no text", key);
  return *v;
}

std::vector<std::string> GoldenFile::children(std::string const& group) const {
  std::set<std::string> out;
  auto const prefix = group + "/";
  for (auto it = arrays.lower_bound(prefix);
       it != arrays.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
    auto const rest = it->first.substr(prefix.size());
    out.insert(rest.substr(0, rest.find('/')));
  }
  return {out.begin(), out.end()};
}

}  // namespace dino::golden
