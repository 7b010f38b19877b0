// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "kernels/softmax.hpp"
#include "kernels/space.hpp"

namespace dino {

/// Numbers of pairs of a teacher crop (always a global one) and a student crop.
struct CropPairs {
  std::int64_t global = 2, local = 1;
  CropPairing global_pairing = CropPairing::different;
  std::int64_t total() const { return global + local; }
  /// Each makes a pair with both crops of the teacher.
  std::int64_t local_crops() const { return local / 2; }

  /// DINOv2: pairs of different global crops; one local pair is counted where there are none.
  /// Source: method.md 3.2.
  static CropPairs v2(std::int64_t local_crops);
  /// DINOv3: `all` keeps pairs of the same crop (ignore_diagonal = false). Source: method.md 3.3.
  static CropPairs v3(std::int64_t local_crops, CropPairing global_pairing);
};

/// What the two terms of one micro-batch are measured by.
struct DinoV2Settings {
  CropPairs pairs;
  std::int64_t images = 0;        ///< B of this micro-batch, may be 0
  std::int64_t global_batch = 1;  ///< images of all ranks and micro-batches
  double student_temperature = 0.1;
  double loss_weight = 1;   ///< w_dino
  double local_weight = 1;  ///< α(it) of v3: scales the local term only
};

/// Σ over pairs of the mean over the images of the global batch of CE, of either kind of pair.
struct DinoTerms {
  double local = 0, global = 0;
  /// w_dino (α Σ_local + Σ_global) / (T_g + T_l): this share of the objective.
  double objective(DinoV2Settings const& settings) const;
};

/// Cross-entropy of the student's crops against the teacher's two global crops, over the global
/// batch under any number of ranks and micro-batches: divisors are global counts. With
/// T = T_g + T_l pairs
///   L = w_dino/(T B) [α Σ_{v local, a} CE(t_a, s_v) + Σ_{v ≠ a} CE(t_a, s_v)].
/// v3's shares and means T_l/T ℓ_loc, T_g/T ℓ_glob come to the same. Source: method.md 3.2, 3.3.
class DinoV2Loss {
 public:
  explicit DinoV2Loss(Space const& space);

  void begin_step();
  /// Adds a micro-batch of student logits and gives d(objective)/d(logits).
  /// \param student  [L B, K] or [2 B, K], crop-major
  /// \param targets  [2 B, K], crop-major, each row sums to 1
  /// \param dlogits  as student, overwritten; may alias it where T is float
  template <class T>
  void add_local(View<float const, 2> student, View<float const, 2> targets,
                 DinoV2Settings const& settings, View<T, 2> dlogits);
  template <class T>
  void add_global(View<float const, 2> student, View<float const, 2> targets,
                  DinoV2Settings const& settings, View<T, 2> dlogits);

  /// This rank's share since `begin_step`; the sum over ranks is the terms of the global batch.
  /// Logged by v2: term / pairs.total(); by v3: term / its own number of pairs.
  DinoTerms local_terms() const;

 private:
  Space space_;
  Buffer memory_;
  View<double, 1> local_, global_;  ///< [1]
};

}  // namespace dino
