// SPDX-License-Identifier: Apache-2.0
#include "model/conv_norm.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/elementwise.hpp"

namespace dino {

using shard::UnitView;

void ConvNormShape::add_parameters(shard::UnitSpec& spec) const {
  auto const fan_out = static_cast<double>(out * kernel * kernel);
  spec.parameters.push_back(
      {.name = conv + ".weight",
       .shape = {out, in, kernel, kernel},
       .init = shard::Init::normal(static_cast<float>(std::sqrt(2.0 / fan_out)))});
  add_batch_norm(spec, norm, out);
}

/// The published filters [out, in, k, k] with their channels last, [out, k k in].
template <class T>
View<T const, 2> ConvNorm<T>::filters(Arena& arena, UnitView<T const> const& p) const {
  auto const published = p.matrix(shape_.conv + ".weight");
  if (shape_.kernel == 1) return published;
  auto const out = arena.take<T, 2>(published.extents());
  auto const area = shape_.kernel * shape_.kernel;
  run(space_, SwapAxes<T, T>{.x = published.template reshaped<3>({shape_.out, shape_.in, area}),
                             .y = out.template reshaped<3>({shape_.out, area, shape_.in})});
  return out;
}

template <class T>
std::byte* ConvNorm<T>::scratch(Arena& arena, FeatureMaps<T> const& in) const {
  std::int64_t bytes = 0;
  for (auto const& map : in)
    bytes = std::max(bytes,
                     convolution_scratch_bytes<T>(processor_of(space_), windows(map), shape_.in));
  return arena.take<std::byte, 1>({bytes}).data();
}

template <class T>
void ConvNorm<T>::convolve(Arena& arena, UnitView<T const> const& p, FeatureMaps<T> const& in,
                           FeatureMaps<T> const& out) const {
  ArenaScope const scope(arena);
  auto const weight = filters(arena, p);
  auto* const memory = scratch(arena, in);
  for (std::size_t g = 0; g < in.size(); ++g) {
    run(space_, ConvolutionForward<T>{.windows = windows(in[g]),
                                      .x = in[g].rows,
                                      .filters = weight,
                                      .y = out[g].rows,
                                      .scratch = memory});
  }
}

template <class T>
void ConvNorm<T>::forward(ConvPass<T> const& pass, FeatureMaps<T> const& in,
                          FeatureMaps<T> const& residual, FeatureMaps<T> const& out, Relu relu) {
  // Backward needs what the norm sees; else it works in place.
  auto const convolved = pass.keep == Keep::yes ? take_maps(pass.arena, out, shape_.out) : out;
  convolve(pass.arena, pass.parameters, in, convolved);
  std::vector<typename BatchNorm<T>::Rows> groups;
  for (std::size_t g = 0; g < in.size(); ++g) {
    groups.push_back({.x = convolved[g].rows, .residual = {}, .y = out[g].rows});
    if (!residual.empty()) groups.back().residual = residual[g].rows;
  }
  if (pass.mode == Mode::training) {
    norm_.forward(pass.arena, affine_of(pass.parameters, shape_.norm), groups, relu, pass.keep);
  } else {
    norm_.evaluate(pass.arena, affine_of(pass.parameters, shape_.norm),
                   pass.running.vector(norm_name() + ".running_mean"),
                   pass.running.vector(norm_name() + ".running_var"), groups, relu);
  }
  if (pass.keep == Keep::yes) in_ = in;
}

/// Adds the gradient of the filters, in the published order.
template <class T>
void ConvNorm<T>::filters_backward(Arena& arena, View<float, 1> dweight,
                                   FeatureMaps<T> const& dout) const {
  ArenaScope const scope(arena);
  auto const area = shape_.kernel * shape_.kernel;
  std::array<std::int64_t, 2> const extents{shape_.out, area * shape_.in};
  auto const dfilters =
      area == 1 ? dweight.template reshaped<2>(extents) : arena.take<float, 2>(extents);
  if (area > 1) run(space_, Fill<float>{.y = dfilters.flat()});
  auto* const memory = scratch(arena, in_);
  for (std::size_t g = 0; g < in_.size(); ++g) {
    run(space_, ConvolutionBackwardFilters<T>{.windows = windows(in_[g]),
                                              .x = in_[g].rows,
                                              .dy = dout[g].rows,
                                              .dfilters = dfilters,
                                              .scratch = memory});
  }
  if (area == 1) return;
  run(space_,
      SwapAxes<float, float>{.x = dfilters.template reshaped<3>({shape_.out, area, shape_.in}),
                             .y = dweight.template reshaped<3>({shape_.out, shape_.in, area}),
                             .accumulate = true});
}

template <class T>
void ConvNorm<T>::backward(Arena& arena, UnitView<T const> const& p, UnitView<float> const& g,
                           FeatureMaps<T> const& dout, FeatureMaps<T> const& dresidual,
                           FeatureMaps<T> const& din) {
  std::vector<typename BatchNorm<T>::Gradients> groups;
  for (std::size_t i = 0; i < dout.size(); ++i) {
    groups.push_back({.dy = dout[i].rows, .dresidual = {}});
    if (!dresidual.empty()) groups.back().dresidual = dresidual[i].rows;
  }
  norm_.backward(arena, affine_of(p, shape_.norm), g.vector(shape_.norm + ".weight"),
                 g.vector(shape_.norm + ".bias"), groups);
  filters_backward(arena, g.vector(shape_.conv + ".weight"), dout);
  if (din.empty()) return;
  ArenaScope const scope(arena);
  auto const weight = filters(arena, p);
  auto* const memory = scratch(arena, in_);
  for (std::size_t i = 0; i < din.size(); ++i) {
    run(space_, ConvolutionBackwardInput<T>{.windows = windows(in_[i]),
                                            .dy = dout[i].rows,
                                            .filters = weight,
                                            .dx = din[i].rows,
                                            .scratch = memory});
  }
}

template class ConvNorm<float>;
template class ConvNorm<bfloat16>;

}  // namespace dino
