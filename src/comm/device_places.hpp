// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>
#include <vector>

namespace dino {

/// This node, as the system names it.
std::string node_name();

/// Of a device of this node, by its PCI address: "SYSTEM BUS NODE", where SYSTEM is the running
/// system's own identity. Nodes may have the same name, and containers of one node different ones.
std::string device_place(std::string const& bus);

/// Where two ranks have devices in the same place (SYSTEM and BUS): a sentence that names them;
/// else nothing.
std::string shared_device(std::vector<std::string> const& places);

}  // namespace dino
