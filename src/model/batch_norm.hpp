// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"
#include "kernels/batch_norm.hpp"
#include "model/backbone.hpp"
#include "shard/store.hpp"

namespace dino {

/// What a batch norm multiplies with and adds, [C].
template <class T>
struct BatchNormAffine {
  View<T const, 1> weight, bias;
};
template <class T>
BatchNormAffine<T> affine_of(shard::UnitView<T const> const& parameters, std::string const& name) {
  return {.weight = parameters.vector(name + ".weight"), .bias = parameters.vector(name + ".bias")};
}

/// Batch normalisation of one layer with the statistics of the global batch. Rows come in groups
/// (one per size of image), each with statistics of its own; the sums of all groups are added over
/// ranks together. Source: Ioffe & Szegedy 2015, arXiv:1502.03167; method.md 1.10.
template <class T>
class BatchNorm {
 public:
  static constexpr double eps = 1e-5;
  static constexpr double momentum = 0.1;  ///< share of the newest statistics in the running ones

  /// \param world  the ranks that the global batch lies on
  BatchNorm(Space const& space, Communicator const& world, std::int64_t channels);

  using Affine = BatchNormAffine<T>;
  /// One group: y = act(norm(x) + residual).
  struct Rows {
    View<T const, 2> x;         ///< [rows, C]
    View<T const, 2> residual;  ///< [rows, C], or empty
    View<T, 2> y;               ///< [rows, C], may alias x where nothing is kept
  };
  /// With the statistics of the batch, which are remembered for `update_running`. Collective.
  void forward(Arena& arena, Affine const& affine, std::span<Rows const> groups, Relu relu,
               Keep keep);
  /// With running statistics.
  void evaluate(Arena& arena, Affine const& affine, View<float const, 1> running_mean,
                View<float const, 1> running_var, std::span<Rows const> groups, Relu relu) const;

  /// Gradients of one group.
  struct Gradients {
    View<T, 2> dy;         ///< [rows, C], overwritten by that of x
    View<T, 2> dresidual;  ///< [rows, C], overwritten; or empty: not wanted
  };
  /// After `forward` with Keep::yes. Collective.
  void backward(Arena& arena, Affine const& affine, View<float, 1> dweight, View<float, 1> dbias,
                std::span<Gradients const> groups);

  /// Forgets the statistics of passes that have not gone into the running ones.
  void forget();
  /// Moves this rank's part of `name`.running_mean and .running_var (unbiased) of a unit of
  /// buffers.
  void update_running(shard::ParameterStore<T>& store, int unit, std::string const& name) const;

 private:
  struct Kept {
    Rows rows;
    View<float, 1> mean, rstd;
    double count = 0;  ///< rows of all ranks
  };
  View<double, 2> take_sums(Arena& arena, std::size_t groups) const;
  void take_statistics(std::span<double const> sums, double count, Kept const& kept);
  void move_part(shard::ParameterStore<T>& store, int unit, std::string const& name,
                 std::vector<double> const& fresh) const;
  std::size_t channels() const { return mean_.size(); }

  Space space_;
  Communicator world_;
  std::vector<Kept> kept_;
  Relu relu_ = Relu::no;
  double rest_ = 1;                      ///< what remains of the running statistics
  std::vector<double> mean_, variance_;  ///< what is added to them
};

/// The parameters of a batch norm: weight 1, bias 0, neither decayed.
void add_batch_norm(shard::UnitSpec& unit, std::string const& name, std::int64_t channels);
/// The rows of a unit of buffers that a batch norm needs.
void add_running_statistics(shard::UnitSpec& unit, std::string const& name, std::int64_t channels);

}  // namespace dino
