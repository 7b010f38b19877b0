// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "kernels/space.hpp"

namespace dino::cuda {

/// y += bias in every row, in float32.
/// \param y  [rows, columns]; \param bias  [columns]
template <class T, class Out>
void add_bias(Cuda const& cuda, View<T const, 1> bias, View<Out, 2> y);

/// dbias += column sums of dy.
/// \param dy  [rows, columns]; \param dbias  [columns]
template <class T>
void add_bias_gradient(Cuda const& cuda, View<T const, 2> dy, View<float, 1> dbias);

}  // namespace dino::cuda
