// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cudnn_graph.hpp"

#include <algorithm>
#include <array>

#include "base/log.hpp"
#include "kernels/cuda/check.hpp"

namespace dino::cuda {
namespace {

constexpr std::int64_t alignment = 16;  // of operands, bytes
constexpr cudnnDataType_t arithmetic = CUDNN_DATA_FLOAT;

Descriptor create(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t raw = nullptr;
  cudnn_check(cudnnBackendCreateDescriptor(type, &raw));
  return Descriptor(raw);
}

void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
         cudnnBackendAttributeType_t type, std::int64_t count, void const* values) {
  cudnn_check(cudnnBackendSetAttribute(of, name, type, count, values));
}
void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, std::int64_t value) {
  set(of, name, CUDNN_TYPE_INT64, 1, &value);
}
void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, bool value) {
  set(of, name, CUDNN_TYPE_BOOLEAN, 1, &value);
}
void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  set(of, name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
void set(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
         std::vector<std::int64_t> const& values) {
  set(of, name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
}
void set_factor(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name, float value) {
  set(of, name, CUDNN_TYPE_FLOAT, 1, &value);
}
void link(cudnnBackendDescriptor_t of, cudnnBackendAttributeName_t name,
          cudnnBackendDescriptor_t to) {
  set(of, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to);
}
void finalize(cudnnBackendDescriptor_t descriptor) {
  cudnn_check(cudnnBackendFinalize(descriptor));
}

bool is_not_supported(cudnnStatus_t code) {
  return CUDNN_STATUS_CATEGORY(code) == CUDNN_STATUS_NOT_SUPPORTED;
}

/// Finalizes what cuDNN may not have; null then.
Descriptor finalize_if_supported(Descriptor descriptor) {
  auto const code = cudnnBackendFinalize(descriptor.get());
  if (is_not_supported(code)) return {};
  cudnn_check(code);
  return descriptor;
}

/// The heuristics' answers to a graph; null where there are none.
Descriptor heuristics(Graph const& graph, cudnnBackendDescriptor_t properties) {
  if (graph.raw() == nullptr) return {};
  auto query = create(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  link(query.get(), CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.raw());
  cudnnBackendHeurMode_t const mode = CUDNN_HEUR_MODE_A;
  set(query.get(), CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (properties != nullptr) link(query.get(), CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, properties);
  return finalize_if_supported(std::move(query));
}

std::int64_t count_answers(cudnnBackendDescriptor_t query) {
  std::int64_t count = 0;
  if (query == nullptr) return count;
  cudnn_check(cudnnBackendGetAttribute(query, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
  return count;
}

/// Configurations of engines that run on this machine, the best first.
std::vector<Descriptor> usable_engines(cudnnBackendDescriptor_t query) {
  std::vector<Descriptor> engines;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::int64_t i = count_answers(query); i > 0; --i) {
    engines.push_back(create(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    raw.push_back(engines.back().get());
  }
  std::int64_t usable = 0;
  if (!raw.empty()) {
    cudnn_check(cudnnBackendGetAttribute(
        query, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
        static_cast<std::int64_t>(raw.size()), &usable, raw.data()));
  }
  engines.resize(std::min(engines.size(), static_cast<std::size_t>(usable)));
  return engines;
}

bool is_exact(Descriptor const& configuration) {
  auto const engine = create(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  auto* raw = engine.get();
  std::int64_t count = 0;
  cudnn_check(cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                       CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &raw));
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  cudnn_check(cudnnBackendGetAttribute(raw, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                       CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), &count,
                                       notes.data()));
  constexpr std::array allowed{CUDNN_NUMERICAL_NOTE_TENSOR_CORE,
                               CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP};
  if (count > std::ssize(notes)) return false;  // of a newer cuDNN, with notes that it alone knows
  return std::all_of(notes.begin(), notes.begin() + count,
                     [&](auto note) { return std::ranges::find(allowed, note) != allowed.end(); });
}

}  // namespace

Descriptor device_properties(std::string const& json) {
  auto properties = create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  set(properties.get(), CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
      static_cast<std::int64_t>(json.size()), json.data());
  finalize(properties.get());
  return properties;
}

cudnnBackendDescriptor_t Graph::add(cudnnBackendDescriptorType_t type) {
  return descriptors_.emplace_back(create(type)).get();
}

cudnnBackendDescriptor_t Graph::at(std::size_t tensor) const {
  return descriptors_[tensors_[tensor]].get();
}

std::size_t Graph::tensor(GraphTensor const& t) {
  constexpr std::int64_t first_inner_number = 1000;
  auto const index = tensors_.size();
  auto* const made = add(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensors_.push_back(descriptors_.size() - 1);
  set(made, CUDNN_ATTR_TENSOR_UNIQUE_ID,
      t.number > 0 ? t.number : first_inner_number + static_cast<std::int64_t>(index));
  set(made, CUDNN_ATTR_TENSOR_DATA_TYPE, t.type);
  set(made, CUDNN_ATTR_TENSOR_DIMENSIONS, t.extents);
  set(made, CUDNN_ATTR_TENSOR_STRIDES, t.strides);
  set(made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  set(made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, t.number == 0);
  if (t.by_value) set(made, CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  finalize(made);
  return index;
}

void Graph::pointwise(cudnnPointwiseMode_t mode, std::size_t x, std::optional<std::size_t> b,
                      std::size_t y) {
  auto* const kind = add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set(kind, CUDNN_ATTR_POINTWISE_MATH_PREC, arithmetic);
  finalize(kind);
  auto* const made = add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  link(made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(x));
  if (b) link(made, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, at(*b));
  link(made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(y));
  finalize(made);
  operations_.push_back(made);
}

void Graph::matmul(std::size_t a, std::size_t b, std::size_t c) {
  auto* const kind = add(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  set(kind, CUDNN_ATTR_MATMUL_COMP_TYPE, arithmetic);
  finalize(kind);
  auto* const made = add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
  link(made, CUDNN_ATTR_OPERATION_MATMUL_ADESC, at(a));
  link(made, CUDNN_ATTR_OPERATION_MATMUL_BDESC, at(b));
  link(made, CUDNN_ATTR_OPERATION_MATMUL_CDESC, at(c));
  finalize(made);
  operations_.push_back(made);
}

void Graph::sum(std::size_t x, std::size_t y) {
  auto* const kind = add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  cudnnReduceTensorOp_t const operation = CUDNN_REDUCE_TENSOR_ADD;
  set(kind, CUDNN_ATTR_REDUCTION_COMP_TYPE, arithmetic);
  set(kind, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &operation);
  finalize(kind);
  auto* const made = add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
  link(made, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, at(x));
  link(made, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, at(y));
  finalize(made);
  operations_.push_back(made);
}

void Graph::reshape(std::size_t x, std::size_t y) {
  auto* const made = add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, at(x));
  link(made, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, at(y));
  finalize(made);
  operations_.push_back(made);
}

void Graph::attention(Attention const& operands) {
  auto* const made = add(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, at(operands.q));
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, at(operands.k));
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, at(operands.v));
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, at(operands.o));
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, at(operands.statistics));
  link(made, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, at(operands.scale));
  finalize(made);
  operations_.push_back(made);
}

cudnnBackendDescriptor_t Graph::convolution_kind(Convolution const& of) {
  auto* const kind = add(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  std::vector<std::int64_t> const ones(2, 1), strides(2, of.stride), paddings(2, of.padding);
  cudnnConvolutionMode_t const mode = CUDNN_CROSS_CORRELATION;
  set(kind, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  set(kind, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, arithmetic);
  set(kind, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set(kind, CUDNN_ATTR_CONVOLUTION_DILATIONS, ones);
  set(kind, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, strides);
  set(kind, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, paddings);
  set(kind, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, paddings);
  finalize(kind);
  return kind;
}

void Graph::convolution(Convolution const& of, std::size_t x, std::size_t w, std::size_t y) {
  auto* const kind = convolution_kind(of);
  auto* const made = add(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, kind);
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, at(x));
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, at(w));
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, at(y));
  set_factor(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1);
  set_factor(made, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0);
  finalize(made);
  operations_.push_back(made);
}

void Graph::convolution_input(Convolution const& of, std::size_t dy, std::size_t w,
                              std::size_t dx) {
  auto* const kind = convolution_kind(of);
  auto* const made = add(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, kind);
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, at(dy));
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, at(w));
  link(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, at(dx));
  set_factor(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1);
  set_factor(made, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0);
  finalize(made);
  operations_.push_back(made);
}

void Graph::finish(cudnnHandle_t handle) {
  graph_ = create(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  if (handle != nullptr)
    set(graph_.get(), CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  set(graph_.get(), CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
      static_cast<std::int64_t>(operations_.size()), operations_.data());
  graph_ = finalize_if_supported(std::move(graph_));
}

ProposedEngines proposed_engines(Graph const& graph, cudnnBackendDescriptor_t properties) {
  auto const query = heuristics(graph, properties);
  auto const engines = usable_engines(query.get());
  return {.all = count_answers(query.get()),
          .configured = static_cast<std::int64_t>(engines.size()),
          .exact = std::ranges::count_if(engines, is_exact)};
}

std::optional<GraphPlan> GraphPlan::make(cudnnHandle_t handle, Graph const& graph,
                                         EngineDemands const& demands) {
  auto const query = heuristics(graph, nullptr);
  for (auto& engine : usable_engines(query.get())) {
    if (demands.exact && !is_exact(engine)) continue;
    GraphPlan made;
    made.engine_ = std::move(engine);
    made.plan_ = create(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    auto* const raw = made.plan_.get();
    set(raw, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    link(raw, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, made.engine_.get());
    if (auto const code = cudnnBackendFinalize(raw); code != CUDNN_STATUS_SUCCESS) {
      if (!is_not_supported(code))
        log::warning("cuDNN cannot prepare an engine, the next one is tried: {}",
                     cudnnGetErrorString(code));
      continue;
    }
    std::int64_t count = 0;
    cudnn_check(cudnnBackendGetAttribute(raw, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                         CUDNN_TYPE_INT64, 1, &count, &made.workspace_bytes_));
    if (made.workspace_bytes_ > demands.workspace_bytes) continue;
    return made;
  }
  return std::nullopt;
}

void GraphPlan::run(cudnnHandle_t handle, std::span<Operand const> operands,
                    void* workspace) const {
  std::vector<std::int64_t> numbers;
  std::vector<void*> pointers;
  for (auto const& operand : operands) {
    numbers.push_back(operand.number);
    pointers.push_back(const_cast<void*>(operand.data));  // those that are read too
  }
  auto const pack = create(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(pack.get(), CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, numbers);
  set(pack.get(), CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
      static_cast<std::int64_t>(pointers.size()), pointers.data());
  set(pack.get(), CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finalize(pack.get());
  cudnn_check(cudnnBackendExecute(handle, plan_.get(), pack.get()));
}

}  // namespace dino::cuda
