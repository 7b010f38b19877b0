// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/convolution.hpp"

namespace dino::host {

/// Scratch of the host's form, in bytes, for windows that are not pointwise.
template <class T>
std::int64_t convolution_scratch_bytes(Windows const& windows, std::int64_t in);

}  // namespace dino::host
