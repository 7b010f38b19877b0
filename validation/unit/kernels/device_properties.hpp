// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "kernels/cuda/cudnn_graph.hpp"

namespace dino::test {

/// A device whose properties are in devices/, for cuDNN's heuristics.
inline cuda::Descriptor properties_of(std::string const& device) {
  std::string const folder = std::getenv("DINO_SOURCE_DIR");
  std::ifstream const file(folder + "/validation/unit/kernels/devices/" + device + ".json");
  std::stringstream text;
  text << file.rdbuf();
  return cuda::device_properties(text.str());
}

}  // namespace dino::test
