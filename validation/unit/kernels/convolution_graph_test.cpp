// SPDX-License-Identifier: Apache-2.0
// The graphs of cuDNN's convolutions without a device: cuDNN's heuristics know engines for them on
// the devices whose properties are in devices/.
#include "kernels/cuda/convolution_graph.hpp"

#include <gtest/gtest.h>

#include "unit/kernels/device_properties.hpp"

using namespace dino;
using namespace dino::cuda;

namespace {

/// What ResNet-50 asks for of crops of this side.
std::vector<ConvolutionShape> shapes_of_resnet50(std::int64_t images, std::int64_t side) {
  std::vector<ConvolutionShape> shapes{{{images, side, side, 7, 2, 3}, 3, 64}};
  auto map = side / 4;
  for (std::int64_t channels = 64; channels <= 512; channels *= 2) {
    if (channels > 64) {
      shapes.push_back({{images, map, map, 3, 2, 1}, channels, channels});
      shapes.push_back({{images, map, map, 1, 2, 0}, 2 * channels, 4 * channels});
      map /= 2;
    }
    shapes.push_back({{images, map, map, 3, 1, 1}, channels, channels});
  }
  return shapes;
}

class ConvolutionGraphs : public testing::TestWithParam<char const*> {};

TEST_P(ConvolutionGraphs, HaveExactEnginesForResNet50) {
  auto const properties = test::properties_of(GetParam());
  for (auto const& [images, side] : {std::pair{64, 224}, std::pair{384, 96}, std::pair{7, 224}}) {
    for (auto shape : shapes_of_resnet50(images, side)) {
      for (auto const pass : {ConvolutionPass::forward, ConvolutionPass::input_gradient}) {
        if (shape.in == 3 && pass == ConvolutionPass::input_gradient) continue;  // of the images
        shape.pass = pass;
        auto const graph = convolution_graph(shape, nullptr);
        auto const& w = shape.windows;
        EXPECT_GT(proposed_engines(graph, properties.get()).exact, 0)
            << "pass " << static_cast<int>(pass) << ", " << images << " maps of side " << w.height
            << ", windows of side " << w.kernel << " and stride " << w.stride << ", " << shape.in
            << " to " << shape.out << " channels";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, ConvolutionGraphs, testing::Values("a100", "h200", "b200"));

/// The oldest engine of input gradients adds with atomics.
TEST(ProposedEngines, AreToldApartByTheirNotes) {
  auto const properties = test::properties_of("a100");
  auto const graph = convolution_graph(
      {{64, 56, 56, 3, 2, 1}, 128, 128, ConvolutionPass::input_gradient}, nullptr);

  auto const engines = proposed_engines(graph, properties.get());

  EXPECT_GT(engines.exact, 0);
  EXPECT_LT(engines.exact, engines.configured);
  EXPECT_LE(engines.configured, engines.all);
}

}  // namespace
