// SPDX-License-Identifier: Apache-2.0
// Convolutional networks and their optimizers have no device form yet: they say so. The
// configuration is refused before (run.device=cuda with student.arch=resnet50), so that a run never
// comes here.
#include "base/error.hpp"
#include "kernels/batch_norm.hpp"
#include "kernels/convolution.hpp"
#include "kernels/optimizer.hpp"

namespace dino {
namespace {

[[noreturn]] void refuse() {
  fail(ExitCode::usage,
       "convolutional networks, SGD and LARS run on the host only. Try run.device=host, or "
       "--device=host");
}

}  // namespace

template <class T>
void execute(Cuda const&, BatchMoments<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, BatchNormForward<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, BatchNormBackwardSums<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, BatchNormBackward<T> const&) {
  refuse();
}
template <class From, class To>
void execute(Cuda const&, SwapAxes<From, To> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, ConvolutionForward<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, ConvolutionBackwardInput<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, ConvolutionBackwardFilters<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, MaxPoolForward<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, MaxPoolBackward<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, AveragePoolForward<T> const&) {
  refuse();
}
template <class T>
void execute(Cuda const&, AveragePoolBackward<T> const&) {
  refuse();
}
void execute(Cuda const&, MomentumStep const&) {
  refuse();
}
void execute(Cuda const&, TrustSums const&) {
  refuse();
}

template void execute(Cuda const&, SwapAxes<float, float> const&);
template void execute(Cuda const&, SwapAxes<float, bfloat16> const&);
template void execute(Cuda const&, SwapAxes<bfloat16, bfloat16> const&);
template void execute(Cuda const&, ConvolutionForward<float> const&);
template void execute(Cuda const&, ConvolutionForward<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<float> const&);
template void execute(Cuda const&, ConvolutionBackwardInput<bfloat16> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<float> const&);
template void execute(Cuda const&, ConvolutionBackwardFilters<bfloat16> const&);
template void execute(Cuda const&, MaxPoolForward<float> const&);
template void execute(Cuda const&, MaxPoolForward<bfloat16> const&);
template void execute(Cuda const&, MaxPoolBackward<float> const&);
template void execute(Cuda const&, MaxPoolBackward<bfloat16> const&);
template void execute(Cuda const&, AveragePoolForward<float> const&);
template void execute(Cuda const&, AveragePoolForward<bfloat16> const&);
template void execute(Cuda const&, AveragePoolBackward<float> const&);
template void execute(Cuda const&, AveragePoolBackward<bfloat16> const&);
template void execute(Cuda const&, BatchMoments<float> const&);
template void execute(Cuda const&, BatchMoments<bfloat16> const&);
template void execute(Cuda const&, BatchNormForward<float> const&);
template void execute(Cuda const&, BatchNormForward<bfloat16> const&);
template void execute(Cuda const&, BatchNormBackwardSums<float> const&);
template void execute(Cuda const&, BatchNormBackwardSums<bfloat16> const&);
template void execute(Cuda const&, BatchNormBackward<float> const&);
template void execute(Cuda const&, BatchNormBackward<bfloat16> const&);

}  // namespace dino
