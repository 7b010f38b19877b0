// SPDX-License-Identifier: Apache-2.0
#include "kernels/host/matrix_product.hpp"

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "base/error.hpp"

namespace dino::host {

namespace {

using dnnl::memory;

/// What a primitive is made for; everything but the addresses.
struct Key {
  std::int64_t m, n, k, a_stride, b_stride;
  bool a_transposed, b_transposed, bias, accumulate;
  Scalar type, c_type;
  bool operator==(Key const&) const = default;
};

struct KeyHash {
  std::size_t operator()(Key const& key) const {
    std::uint64_t hash = 0xCBF29CE484222325;
    auto const flags = (key.a_transposed ? 1 : 0) | (key.b_transposed ? 2 : 0) |
                       (key.bias ? 4 : 0) | (key.accumulate ? 8 : 0) |
                       static_cast<int>(key.type) << 4 | static_cast<int>(key.c_type) << 5;
    for (std::int64_t const part :
         {key.m, key.n, key.k, key.a_stride, key.b_stride, std::int64_t{flags}}) {
      hash = (hash ^ static_cast<std::uint64_t>(part)) * 0x9E3779B97F4A7C15;
      hash ^= hash >> 29;
    }
    return hash;
  }
};

memory::data_type data_type(Scalar type) {
  return type == Scalar::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

memory::desc describe(std::int64_t rows, std::int64_t columns, bool transposed, std::int64_t stride,
                      Scalar type) {
  auto const strides = transposed ? memory::dims{1, stride} : memory::dims{stride, 1};
  return {{rows, columns}, data_type(type), strides};
}

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

/// A primitive and the memory objects that its arguments are bound to, call by call.
struct Primitive {
  dnnl::matmul matmul;
  memory a, b, c, bias;
};

Primitive make_primitive(Key const& key) {
  auto const a = describe(key.m, key.k, key.a_transposed, key.a_stride, key.type);
  auto const b = describe(key.k, key.n, key.b_transposed, key.b_stride, key.type);
  auto const c = describe(key.m, key.n, false, key.n, key.c_type);
  auto const bias = key.bias ? describe(1, key.n, false, key.n, key.type) : memory::desc{};
  dnnl::primitive_attr attributes;
  if (key.accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  auto const description = key.bias
                               ? dnnl::matmul::primitive_desc(engine(), a, b, bias, c, attributes)
                               : dnnl::matmul::primitive_desc(engine(), a, b, c, attributes);
#else
  auto const operation = key.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  dnnl::matmul::primitive_desc const description(operation, attributes, engine());
#endif
  return {dnnl::matmul(description), memory(a, engine(), nullptr), memory(b, engine(), nullptr),
          memory(c, engine(), nullptr), key.bias ? memory(bias, engine(), nullptr) : memory()};
}

/// Kept between calls: making a primitive takes about a millisecond, running one 5 us.
Primitive& primitive_for(Key const& key) {
  constexpr std::size_t most = 1024;
  static thread_local std::unordered_map<Key, Primitive, KeyHash> cache;
  if (auto const found = cache.find(key); found != cache.end()) return found->second;
  if (cache.size() >= most) cache.clear();
  return cache.emplace(key, make_primitive(key)).first->second;
}

void* writable(void const* data) {
  return const_cast<void*>(data);
}

}  // namespace

void multiply(MatrixProduct const& product) {
  if (product.m == 0 || product.n == 0) return;
  Key const key{product.m,
                product.n,
                product.k,
                product.a.stride,
                product.b.stride,
                product.a.transposed,
                product.b.transposed,
                product.bias != nullptr,
                product.accumulate,
                product.type,
                product.c_type};
  try {
    auto& primitive = primitive_for(key);
    static thread_local dnnl::stream stream(engine());
    primitive.a.set_data_handle(writable(product.a.data));
    primitive.b.set_data_handle(writable(product.b.data));
    primitive.c.set_data_handle(product.c);
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, primitive.a}, {DNNL_ARG_WEIGHTS, primitive.b}, {DNNL_ARG_DST, primitive.c}};
    if (key.bias) {
      primitive.bias.set_data_handle(writable(product.bias));
      arguments.emplace(DNNL_ARG_BIAS, primitive.bias);
    }
    primitive.matmul.execute(stream, arguments);
    stream.wait();
  } catch (dnnl::error const& error) {
    fail(ExitCode::bug, "matrix product [{}, {}] x [{}, {}] in {}: oneDNN says: {}", product.m,
         product.k, product.k, product.n, product.type == Scalar::bf16 ? "bf16" : "fp32",
         error.what());
  }
}

bool native_bfloat16() {
  static bool const native = [] {
    auto const isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
    auto const needed = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
    return (isa & needed) == needed;
  }();
  return native;
}

}  // namespace dino::host
