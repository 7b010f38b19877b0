// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"

namespace dino {

/// What the KoLeo term is, the same on every rank.
struct KoleoSettings {
  /// Consecutive samples of the global batch among which neighbours are sought, >= 1; unset: all.
  /// Published: the batch of one rank (v2; v3 sets 16), which makes the result depend on the ranks.
  std::optional<std::int64_t> group_size;
  std::int64_t topk = 1;          ///< neighbours of each sample, >= 1
  std::int64_t global_batch = 1;  ///< B, samples of all ranks and micro-batches
  double loss_weight = 1;         ///< in the gradient only

  /// \throws Error (usage) where some group has fewer than topk samples
  void validate() const;
};

/// The Kozachenko-Leonenko regularizer: -mean over the B topk pairs of a sample and its neighbour
/// of ln ‖u_i - u_j + 1e-8‖, u the normalised features, neighbours within groups of samples that
/// follow each other in the GLOBAL batch, whichever rank has them. The last group may be smaller. A
/// sample that is alone in its group is its own neighbour (finite loss, no gradient), as in the
/// reference. Source: Sablayrolles et al. 2019, arXiv:1806.03198; DINOv2, arXiv:2304.07193, sec. 4;
/// method.md 3.7.
class KoleoLoss {
 public:
  /// \param dim  D, width of a feature
  KoleoLoss(Space const& space, std::int64_t dim);

  void begin_step();
  /// Adds one global crop of the samples [first, first + b) of the global batch and gives
  /// d(loss_weight L)/d(features). All ranks call this; their features are gathered (every rank
  /// then holds those of all ranks: B D values where there are no micro-batches), nothing is sent
  /// back. \param features  [b, D], not normalised; b may be 0 \param gradient  [b, D],
  /// overwritten; must not alias features \throws Error (usage), alike on all ranks, where a group
  /// is not complete among the samples of
  ///         this call: a group may straddle ranks, but not micro-batches
  void add(Arena& arena, Communicator const& world, View<float const, 2> features,
           std::int64_t first, KoleoSettings const& settings, View<float, 2> gradient);

  /// The same for gathered features: those of rows `own` are differentiated and count for the loss.
  /// \param all  [n, D], consecutive samples, whole groups from `first_sample` on
  void add_gathered(Arena& arena, View<float const, 2> all, std::int64_t first_sample, Share own,
                    KoleoSettings const& settings, View<float, 2> gradient);

  /// This rank's share of L, summed over the crops since `begin_step`.
  double local_loss() const;

 private:
  /// Rows of the global batch in the order of their samples.
  struct Gathered {
    View<float const, 2> rows;
    std::vector<std::int64_t> samples;  ///< of each row
    Share own;                          ///< rows of this rank
  };
  void count_gather(Communicator const& world, View<float const, 2> features) const;
  Gathered gather(Arena& arena, Communicator const& world, View<float const, 2> features,
                  std::int64_t first);
  void add_group(Arena& arena, View<float const, 2> group, Share own, KoleoSettings const& settings,
                 View<float, 2> gradient);
  View<std::int64_t, 2> neighbours(Arena& arena, View<float const, 2> u, std::int64_t topk);

  Space space_;
  std::int64_t dim_;
  Buffer memory_;
  View<double, 1> loss_;                ///< [1]
  std::vector<float> mine_, of_ranks_;  ///< host; grow to the largest call
};

}  // namespace dino
