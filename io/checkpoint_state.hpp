// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <hdf5.h>

#include "io/checkpoint.hpp"

namespace dino::io {

/// Writes the state as attributes of a new group /state (int64, float64, UTF-8 text).
void write_state(hid_t file, CheckpointState const& state);

/// \throws Error (input) where an attribute has another type
CheckpointState read_state(hid_t file);

}  // namespace dino::io
