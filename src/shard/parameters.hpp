// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/view.hpp"

namespace dino::shard {

/// The law of a parameter's first values. Source: method.md 1.9.
struct Init {
  enum class Law { constant, normal, uniform } law = Law::constant;
  float scale = 0;  ///< the constant; the standard deviation; the bound of a symmetric interval

  static Init zeros() { return {}; }
  static Init ones() { return {Law::constant, 1.0F}; }
  /// Standard deviation 0.02; truncation at ±2 is 100 deviations away and has no effect.
  static Init trunc_normal() { return {Law::normal, 0.02F}; }
  static Init normal(float deviation) { return {Law::normal, deviation}; }
  static Init uniform(float bound) { return {Law::uniform, bound}; }
};

enum class Decay { no, yes };
enum class Trained { no, yes };

/// One row of a module's parameter table: initialization, sharding, weight decay, EMA, checkpoint
/// and export walk it.
struct ParameterSpec {
  std::string name;  ///< published state-dict name below the unit's prefix, e.g. "attn.qkv.weight"
  std::vector<std::int64_t> shape;
  Init init;
  Decay decay = Decay::yes;
  Trained trained = Trained::yes;
  bool last_layer = false;  ///< belongs to the prototypes, which are frozen at first

  std::int64_t size() const;
};

/// Parameters that are gathered and reduced together: a block, the embeddings, part of a head.
struct UnitSpec {
  std::string prefix;  ///< e.g. "backbone.blocks.0."
  std::vector<ParameterSpec> parameters;
  /// Running statistics: part of the model's state, but neither trained nor averaged (Trained::no
  /// in every row). They are never gathered as parameters, see ParameterStore::buffers.
  bool buffers = false;
};

/// Where a unit's parameters lie in its flat buffer, which is padded so that `parts` divide it.
class UnitLayout {
 public:
  /// Elements that a parameter's beginning is a multiple of.
  static constexpr std::int64_t alignment = 16;

  UnitLayout(UnitSpec spec, int parts);
  UnitSpec const& spec() const { return spec_; }
  std::int64_t size() const { return size_; }  ///< padded, in elements
  std::int64_t part_size() const { return size_ / parts_; }
  std::int64_t offset(std::size_t parameter) const { return offsets_[parameter]; }
  /// Index of a parameter by its name below the prefix, or -1.
  int find(std::string_view name) const;

  /// What part `part` holds of a parameter.
  struct Overlap {
    std::int64_t in_parameter = 0;  ///< first element, counted in the parameter
    std::int64_t in_part = 0;       ///< first element, counted in the part
    std::int64_t count = 0;         ///< 0: nothing
  };
  Overlap overlap(std::size_t parameter, int part) const;

 private:
  UnitSpec spec_;
  std::vector<std::int64_t> offsets_;
  std::int64_t size_ = 0;
  int parts_;
};

/// The parameters (or gradients) of one gathered unit by name.
template <class T>
class UnitView {
 public:
  UnitView() = default;
  UnitView(UnitLayout const& layout, View<T, 1> flat) : layout_(&layout), flat_(flat) {}
  View<T, 1> flat() const { return flat_; }
  bool has(std::string_view name) const { return layout_->find(name) >= 0; }
  /// The parameter as one row; empty where the unit has none of this name.
  View<T, 1> vector(std::string_view name) const {
    int const i = layout_->find(name);
    if (i < 0) return {};
    auto const begin = layout_->offset(static_cast<std::size_t>(i));
    return flat_.rows(begin,
                      begin + layout_->spec().parameters[static_cast<std::size_t>(i)].size());
  }
  /// The parameter as [first extent, the others together]; empty where there is none of this name.
  View<T, 2> matrix(std::string_view name) const {
    int const i = layout_->find(name);
    if (i < 0) return {};
    return matrix_of(name, layout_->spec().parameters[static_cast<std::size_t>(i)].shape.front());
  }
  /// The parameter as [rows, all else]; empty where there is none of this name.
  View<T, 2> matrix_of(std::string_view name, std::int64_t rows) const {
    auto const all = vector(name);
    if (!all) return {};
    return all.template reshaped<2>({rows, all.size() / rows});
  }

 private:
  UnitLayout const* layout_ = nullptr;
  View<T, 1> flat_;
};

/// Value of element `element` of a parameter at the start: a pure function of (seed, full name,
/// element).
float initial_value(Init const& init, std::uint64_t seed, std::string_view full_name,
                    std::int64_t element);

}  // namespace dino::shard
