// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cublasLt.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "base/handle.hpp"

namespace dino::cuda {

/// What a matrix product's algorithm depends on, in cuBLASLt's column-major terms:
/// d [m, n] = op(a) [m, k] op(b) [k, n] (+ d) (+ bias [m]).
struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0;  ///< of a and b as they lie in memory; d has no gaps
  bool transpose_a = false, transpose_b = false;
  cudaDataType_t input = CUDA_R_32F, output = CUDA_R_32F;
  bool accumulate = false, bias = false;
  std::uint32_t align_a = 16, align_b = 16, align_d = 16;  ///< of the addresses, bytes
  auto operator<=>(GemmShape const&) const = default;
};

/// Largest power of two, at most 256, that divides the address.
std::uint32_t alignment_of(void const* address);

struct MatmulDescTraits {
  using Raw = cublasLtMatmulDesc_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cublasLtMatmulDescDestroy(raw); }
};
struct MatrixLayoutTraits {
  using Raw = cublasLtMatrixLayout_t;
  static Raw null() noexcept { return nullptr; }
  static void close(Raw raw) noexcept { cublasLtMatrixLayoutDestroy(raw); }
};

/// How a product is computed: its description, and the algorithm that was chosen for it.
struct GemmPlan {
  UniqueHandle<MatmulDescTraits> product;
  UniqueHandle<MatrixLayoutTraits> a, b, d;
  cublasLtMatmulAlgo_t algorithm{};

  /// The description; the algorithm is chosen later. Needs no device.
  explicit GemmPlan(GemmShape const& shape);
};

/// Plans by shape: asking cuBLASLt for an algorithm takes far longer than a launch.
class GemmPlans {
 public:
  /// A plan, or none: the library has no algorithm, for example with a bias.
  using Plan = std::optional<GemmPlan>;
  /// The plan of this shape; `choose` is called once for each.
  Plan& find(GemmShape const& shape, std::function<Plan(GemmShape const&)> const& choose);
  std::size_t size() const { return plans_.size(); }

 private:
  std::map<GemmShape, Plan> plans_;
};

}  // namespace dino::cuda
