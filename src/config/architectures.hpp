// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace dino::config {

/// Published sizes of a vision transformer, which keys of [student] may replace.
struct Architecture {
  std::string_view name;
  std::int64_t embed_dim, depth, num_heads;
  double mlp_ratio = 4;
};

/// Source: DeiT, arXiv:2012.12877, table 1; DINOv2, arXiv:2304.07193, table 17; DINOv3,
/// arXiv:2508.10104, table 2; method.md 1.1.
constexpr std::array architectures{
    Architecture{"vit_small", 384, 12, 6},
    Architecture{"vit_tiny", 192, 12, 3},
    Architecture{"vit_base", 768, 12, 12},
    Architecture{"vit_large", 1024, 24, 16},
    Architecture{"vit_so400m", 1152, 27, 18, 3.777777778},
    Architecture{"vit_huge2", 1280, 32, 20},
    Architecture{"vit_giant2", 1536, 40, 24},
    Architecture{"vit_7b", 4096, 40, 32, 3},
};

/// The architecture of a name; null: there is none.
constexpr Architecture const* find_architecture(std::string_view name) {
  for (auto const& architecture : architectures)
    if (architecture.name == name) return &architecture;
  return nullptr;
}

/// Published sizes of a residual network.
struct ConvnetArchitecture {
  std::string_view name;
  std::int64_t embed_dim;              ///< width of the features: 32 times that of the stem
  std::array<std::int64_t, 4> blocks;  ///< of each stage
};

/// Source: He et al. 2016, arXiv:1512.03385, table 1; method.md 1.1, 1.10.
constexpr std::array convnets{ConvnetArchitecture{"resnet50", 2048, {3, 4, 6, 3}}};

/// The convnet of a name; null: there is none.
constexpr ConvnetArchitecture const* find_convnet(std::string_view name) {
  for (auto const& convnet : convnets)
    if (convnet.name == name) return &convnet;
  return nullptr;
}

}  // namespace dino::config
