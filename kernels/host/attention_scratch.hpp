// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/tokens.hpp"

namespace dino::host {

/// What the workers of attention take, see attention_scratch_bytes.
std::int64_t attention_scratch_bytes(TokenLayout const& layout, std::int64_t head_dim);

}  // namespace dino::host
