// SPDX-License-Identifier: Apache-2.0
// Convolutions as matrix products: windows of whole images, a tile of them at a time, lie as rows
// in the operation's scratch.
#pragma once
#include "kernels/convolution.hpp"

namespace dino::cuda {

template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionForward<T> const& op);
template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionBackwardInput<T> const& op);
template <class T>
void convolution_gathered(Cuda const& cuda, ConvolutionBackwardFilters<T> const& op);

}  // namespace dino::cuda
