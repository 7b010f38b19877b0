// SPDX-License-Identifier: Apache-2.0
// cuDNN's graphs of operations, through its back-end interface.
#pragma once
#include <cudnn.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/handle.hpp"

namespace dino::cuda {

struct DescriptorTraits {
  using Raw = cudnnBackendDescriptor_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cudnnBackendDestroyDescriptor(raw); }
};
using Descriptor = UniqueHandle<DescriptorTraits>;

/// A device by the properties that cuDNN tells (JSON), for choosing engines without one.
Descriptor device_properties(std::string const& json);

/// A tensor of a graph. Those with a number are operands; the others exist within the graph only.
struct GraphTensor {
  std::vector<std::int64_t> extents, strides;  ///< in elements
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::int64_t number = 0;  ///< > 0: an operand, known by it
  bool by_value = false;    ///< a host scalar
};

/// Operations with their tensors, which are referred to by the index that `tensor` returns.
class Graph {
 public:
  std::size_t tensor(GraphTensor const& tensor);
  /// y = mode(x) or mode(x, b), value by value in float32; extents of 1 are repeated.
  void pointwise(cudnnPointwiseMode_t mode, std::size_t x, std::optional<std::size_t> b,
                 std::size_t y);
  /// c = a b, matrices in the last two axes, sums in float32.
  void matmul(std::size_t a, std::size_t b, std::size_t c);
  /// y = sums of x over the axes that have extent 1 in y.
  void sum(std::size_t x, std::size_t y);
  /// y = x in other strides or with other axes.
  void reshape(std::size_t x, std::size_t y);
  /// o = softmax(scale q kᵀ) v, and the logarithms of its sums.
  struct Attention {
    std::size_t q, k, v, o, statistics, scale;
  };
  void attention(Attention const& operands);
  /// Of two axes, sums in float32: a cross-correlation, with the same padding on all sides.
  struct Convolution {
    std::int64_t stride = 1, padding = 0;
  };
  /// y = x filtered by w.
  void convolution(Convolution const& of, std::size_t x, std::size_t w, std::size_t y);
  /// dx = the gradient of x from that of y.
  void convolution_input(Convolution const& of, std::size_t dy, std::size_t w, std::size_t dx);

  /// No more operations. \param handle  null: without a device
  void finish(cudnnHandle_t handle);
  /// Null where cuDNN has no such graph.
  cudnnBackendDescriptor_t raw() const { return graph_.get(); }

 private:
  cudnnBackendDescriptor_t at(std::size_t tensor) const;
  cudnnBackendDescriptor_t convolution_kind(Convolution const& of);
  cudnnBackendDescriptor_t add(cudnnBackendDescriptorType_t type);
  std::vector<Descriptor> descriptors_;
  std::vector<std::size_t> tensors_;  ///< places in `descriptors_`
  std::vector<cudnnBackendDescriptor_t> operations_;
  Descriptor graph_;
};

/// What an engine has to be.
struct EngineDemands {
  bool exact =
      false;  ///< the same bits in every run, of sums in float32 of the operands as they are
  std::int64_t workspace_bytes = std::numeric_limits<std::int64_t>::max();  ///< at most
};

/// Engines that cuDNN's heuristics propose for a graph, whether or not this machine can run them:
/// how many, of which so many are configured here, of which so many are exact.
struct ProposedEngines {
  std::int64_t all = 0, configured = 0, exact = 0;
};
/// \param properties  of the device; null: that of the graph's handle
ProposedEngines proposed_engines(Graph const& graph, cudnnBackendDescriptor_t properties);

/// A graph that is ready to run.
class GraphPlan {
 public:
  /// The first proposal that this machine can run; none where there is no such.
  static std::optional<GraphPlan> make(cudnnHandle_t handle, Graph const& graph,
                                       EngineDemands const& demands = {});
  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  struct Operand {
    std::int64_t number;
    void const* data;  ///< on the device; of a value: on the host
  };
  void run(cudnnHandle_t handle, std::span<Operand const> operands, void* workspace) const;

 private:
  Descriptor engine_, plan_;  ///< the plan refers to the engine's configuration
  std::int64_t workspace_bytes_ = 0;
};

/// Plans by what they are for; making one takes far longer than running it.
template <class Shape>
class GraphPlans {
 public:
  using Plan = std::optional<GraphPlan>;
  /// `make` is called once for each shape.
  Plan const& find(Shape const& shape, std::function<Plan(Shape const&)> const& make) {
    auto it = plans_.find(shape);
    if (it == plans_.end()) it = plans_.emplace(shape, make(shape)).first;
    return it->second;
  }

 private:
  std::map<Shape, Plan> plans_;
};

}  // namespace dino::cuda
