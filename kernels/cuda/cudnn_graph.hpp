// SPDX-License-Identifier: Apache-2.0
// cuDNN's graphs of operations, through its back-end interface.
#pragma once
#include <cudnn.h>

#include <cstdint>
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

  /// No more operations. \param handle  null: without a device
  void finish(cudnnHandle_t handle);
  cudnnBackendDescriptor_t raw() const { return graph_.get(); }

 private:
  cudnnBackendDescriptor_t add(cudnnBackendDescriptorType_t type);
  std::vector<Descriptor> descriptors_;
  std::vector<std::size_t> tensors_;  ///< places in `descriptors_`
  std::vector<cudnnBackendDescriptor_t> operations_;
  Descriptor graph_;
};

/// Engines that cuDNN's heuristics propose for a graph, whether or not this machine can run them.
/// \param properties  of the device; null: that of the graph's handle
std::int64_t proposed_engines(Graph const& graph, cudnnBackendDescriptor_t properties);

/// A graph that is ready to run.
class GraphPlan {
 public:
  /// The first proposal that this machine can run; none where there is no such.
  static std::optional<GraphPlan> make(cudnnHandle_t handle, Graph const& graph);
  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  struct Operand {
    std::int64_t number;
    void const* data;  ///< on the device; of a value: on the host
  };
  void run(cudnnHandle_t handle, std::span<Operand const> operands, void* workspace) const;

 private:
  Descriptor plan_;
  std::int64_t workspace_bytes_ = 0;
};

}  // namespace dino::cuda
