// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

#include "golden/golden_file.hpp"
#include "golden/report.hpp"
#include "shard/store.hpp"
#include "train/dino_model.hpp"

namespace dino::golden {

/// Fills the masters of a store on one rank from params/<role>/<name>. \throws Error where a
/// parameter is missing or of another size
void load_parameters(shard::ParameterStore<float>& store, GoldenFile const& file,
                     std::string const& role);

/// Calls use(full name, values) for every parameter, with its part of `flat(unit)`.
void for_each_parameter(shard::ParameterStore<float> const& store, auto&& flat, auto&& use) {
  for (int unit = 0; unit < store.units(); ++unit) {
    auto const& layout = store.layout(unit);
    for (std::size_t p = 0; p < layout.spec().parameters.size(); ++p) {
      auto const& spec = layout.spec().parameters[p];
      auto const view = flat(unit).rows(layout.offset(p), layout.offset(p) + spec.size());
      use(layout.spec().prefix + spec.name, spec, std::span<float const>(view.span()));
    }
  }
}

/// Sizes of a ViT, read off /config and the parameters of params/student.
VitShape backbone_shape(GoldenFile const& file);

/// Rotary positions as /config describes them.
Rope rope_of(GoldenFile const& file);

enum class RopePart { cosine, sine };
/// The part of a table of RopeRotate's that begins with this segment, as golden files write it:
/// [patches, head_dim].
std::vector<float> rope_channels(View<float const, 1> table, Segment const& segment,
                                 std::int64_t head_dim, RopePart part);

constexpr double backbone_tolerance = 2e-5;  // README, "Tolerances for a float32 implementation"
constexpr double backbone_gradient_tolerance = 5e-5;
constexpr double head_tolerance = 1e-5;
constexpr double head_gradient_tolerance = 2e-5;
constexpr double loss_tolerance = 1e-5;
constexpr double loss_gradient_tolerance = 2e-5;

}  // namespace dino::golden
