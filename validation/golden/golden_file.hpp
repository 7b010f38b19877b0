// SPDX-License-Identifier: Apache-2.0
// Reading of files of the format `dino-golden/1` (validation/golden/README.md).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace dino::golden {

/// A dataset: numbers as double or int64, bytes as int64, texts.
struct Array {
  std::vector<std::int64_t> shape;
  std::variant<std::vector<double>, std::vector<std::int64_t>, std::vector<std::string>> values;
  /// Deviation that plain float32 explains, and that of final - initial value.
  std::optional<double> fp32_dev, fp32_dev_update;
  /// The same of a qkv bias without the keys' third.
  std::optional<double> fp32_dev_without_k, fp32_dev_update_without_k;
  bool bytes = false;  ///< uint8 in the file: an image, a mask or a boolean

  std::int64_t size() const;
  /// \throws Error (input) where it holds another kind
  std::vector<double> const& reals() const;
  std::vector<std::int64_t> const& integers() const;
  std::vector<std::string> const& texts() const;
  /// Numbers of either kind.
  std::vector<double> numbers() const;
  std::vector<float> floats() const;
};

/// A whole file in memory. Paths are like "params/student/backbone.cls_token",
/// "inputs/step0/global_crops".
class GoldenFile {
 public:
  /// \throws Error (input) where it is no golden file
  explicit GoldenFile(std::string const& path);

  std::string kind, method;
  std::map<std::string, Array> arrays;

  bool has(std::string const& path) const { return arrays.count(path) != 0; }
  /// \throws Error (input) naming the array that is missing
  Array const& at(std::string const& path) const;
  /// Entries of /config. \throws Error (input) where one without fallback is missing
  double real(std::string const& key, std::optional<double> fallback = {}) const;
  std::int64_t integer(std::string const& key, std::optional<std::int64_t> fallback = {}) const;
  std::string text(std::string const& key, std::optional<std::string> fallback = {}) const;
  bool has_config(std::string const& key) const { return config_.count(key) != 0; }
  /// Names of the entries directly below a group, sorted: groups and arrays.
  std::vector<std::string> children(std::string const& group) const;

 private:
  using Value = std::variant<std::int64_t, double, std::string>;
  std::map<std::string, Value> config_;
};

}  // namespace dino::golden
