// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace dino {

/// This node, as the system names it.
std::string node_name();

/// Where two ranks have the same place ("NODE BUS" of their device): a sentence that names them;
/// else nothing.
std::string shared_device(std::vector<std::string> const& places);

}  // namespace dino
