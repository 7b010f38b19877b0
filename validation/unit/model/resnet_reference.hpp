// SPDX-License-Identifier: Apache-2.0
// A ResNet by its definition in float64: channels first, one loop per index.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/resnet.hpp"

namespace dino::test {

struct ReferenceMaps {
  std::int64_t n = 0, channels = 0, height = 0, width = 0;
  std::vector<double> values;
  double& at(std::int64_t i, std::int64_t c, std::int64_t y, std::int64_t x) {
    return values[static_cast<std::size_t>(((i * channels + c) * height + y) * width + x)];
  }
  double at(std::int64_t i, std::int64_t c, std::int64_t y, std::int64_t x) const {
    return const_cast<ReferenceMaps*>(this)->at(i, c, y, x);
  }
  bool inside(std::int64_t y, std::int64_t x) const {
    return y >= 0 && y < height && x >= 0 && x < width;
  }
};

inline ReferenceMaps reference_maps(std::int64_t n, std::int64_t channels, std::int64_t height,
                                    std::int64_t width) {
  return {n, channels, height, width,
          std::vector<double>(static_cast<std::size_t>(n * channels * height * width))};
}

class ReferenceResNet {
 public:
  using Arrays = std::map<std::string, std::vector<double>>;

  ReferenceResNet(ResNetShape const& shape, Arrays& arrays, Mode mode)
      : shape_(shape), arrays_(arrays), mode_(mode) {}

  /// [n, D]; in training the running statistics of `arrays` move.
  std::vector<double> features(ReferenceMaps const& images) {
    auto x = pool(layer(images, {.conv = "conv1",
                                 .norm = "bn1",
                                 .in = shape_.channels,
                                 .out = shape_.width,
                                 .kernel = 7,
                                 .stride = 2}));
    rectify(x);
    for (auto const& block : bottlenecks(shape_)) {
      auto y = layer(x, block.conv1);
      rectify(y);
      y = layer(y, block.conv2);
      rectify(y);
      y = layer(y, block.conv3);
      auto const residual = block.downsample ? layer(x, *block.downsample) : x;
      for (std::size_t i = 0; i < y.values.size(); ++i) y.values[i] += residual.values[i];
      rectify(y);
      x = y;
    }
    std::vector<double> out;
    for (std::int64_t i = 0; i < x.n; ++i) {
      for (std::int64_t c = 0; c < x.channels; ++c) {
        double sum = 0;
        for (std::int64_t p = 0; p < x.height * x.width; ++p)
          sum += x.at(i, c, p / x.width, p % x.width);
        out.push_back(sum / static_cast<double>(x.height * x.width));
      }
    }
    return out;
  }

 private:
  std::vector<double>& array(std::string const& name) { return arrays_.at("backbone." + name); }

  ReferenceMaps layer(ReferenceMaps const& x, ConvNormShape const& s) {
    auto y = convolution(x, s);
    normalize(y, s.unit + s.norm);
    return y;
  }

  ReferenceMaps convolution(ReferenceMaps const& x, ConvNormShape const& s) {
    auto const& weight = array(s.unit + s.conv + ".weight");
    auto const k = s.kernel;
    auto y = reference_maps(x.n, s.out, (x.height + 2 * s.padding() - k) / s.stride + 1,
                            (x.width + 2 * s.padding() - k) / s.stride + 1);
    for (std::int64_t i = 0; i < y.n * s.out * y.height * y.width; ++i) {
      auto const image = i / (s.out * y.height * y.width), o = i / (y.height * y.width) % s.out;
      auto const top = i / y.width % y.height * s.stride - s.padding(),
                 left = i % y.width * s.stride - s.padding();
      for (std::int64_t j = 0; j < s.in * k * k; ++j) {
        auto const yy = top + j / k % k, xx = left + j % k;
        if (x.inside(yy, xx)) {
          y.values[static_cast<std::size_t>(i)] +=
              weight[static_cast<std::size_t>(o * s.in * k * k + j)] *
              x.at(image, j / (k * k), yy, xx);
        }
      }
    }
    return y;
  }

  void normalize(ReferenceMaps& y, std::string const& name) {
    auto const n = static_cast<double>(y.n * y.height * y.width);
    auto const pixels = y.height * y.width;
    for (std::int64_t c = 0; c < y.channels; ++c) {
      auto const channel = static_cast<std::size_t>(c);
      auto const each = [&](auto const& f) {
        for (std::int64_t i = 0; i < y.n * pixels; ++i)
          f(y.at(i / pixels, c, i / y.width % y.height, i % y.width));
      };
      double mean = array(name + ".running_mean")[channel];
      double variance = array(name + ".running_var")[channel];
      if (mode_ == Mode::training) {
        double sum = 0, squares = 0;
        each([&](double v) { sum += v; });
        each([&](double v) { squares += (v - sum / n) * (v - sum / n); });
        auto& running_mean = array(name + ".running_mean")[channel];
        auto& running_var = array(name + ".running_var")[channel];
        mean = sum / n;
        variance = squares / n;
        running_mean = 0.9 * running_mean + 0.1 * mean;
        running_var = 0.9 * running_var + 0.1 * squares / (n - 1);
      }
      each([&](double& v) {
        v = (v - mean) / std::sqrt(variance + 1e-5) * array(name + ".weight")[channel] +
            array(name + ".bias")[channel];
      });
    }
  }

  /// The maximum before the ReLU is the maximum behind it.
  static ReferenceMaps pool(ReferenceMaps const& x) {
    auto y = reference_maps(x.n, x.channels, (x.height - 1) / 2 + 1, (x.width - 1) / 2 + 1);
    for (std::int64_t i = 0; i < y.n * y.channels * y.height * y.width; ++i) {
      auto const image = i / (y.channels * y.height * y.width),
                 c = i / (y.height * y.width) % y.channels;
      auto const top = i / y.width % y.height * 2 - 1, left = i % y.width * 2 - 1;
      double largest = -1e300;
      for (std::int64_t j = 0; j < 9; ++j) {
        if (x.inside(top + j / 3, left + j % 3))
          largest = std::max(largest, x.at(image, c, top + j / 3, left + j % 3));
      }
      y.values[static_cast<std::size_t>(i)] = largest;
    }
    return y;
  }

  static void rectify(ReferenceMaps& x) {
    for (auto& v : x.values) v = std::max(v, 0.0);
  }

  ResNetShape shape_;
  Arrays& arrays_;
  Mode mode_;
};

}  // namespace dino::test
