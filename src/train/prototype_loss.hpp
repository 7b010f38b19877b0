// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"
#include "model/prototypes.hpp"
#include "objective/logit_tiles.hpp"
#include "train/training_step.hpp"

namespace dino::train {

/// Items of one micro-batch whose logits lie in memory, rows crop-major.
template <class T>
struct LossTile {
  std::size_t micro_batch = 0;
  Share items;
  View<float const, 2> student;  ///< [student_rows * items, K] logits
  View<float const, 2> targets;  ///< [teacher_rows * items, K]
  View<T, 2> dlogits;            ///< as student, to be written; the same memory where T is float
};

/// What a tile computed, for comparing with golden numbers.
struct SeenTile {
  View<float const, 2> student, teacher;  ///< logits
  View<float const, 2> targets;
};

/// A kind of tokens that meets a head's prototypes, and what is done with its logits. An item is
/// what the loss needs together: an image with its class tokens, or a masked patch.
template <class T>
struct TokenLoss {
  std::int64_t teacher_rows = 1, student_rows = 1;  ///< of an item
  /// Sees all the teacher's logits of the step before the first target is made. Empty: need not.
  std::function<void(LogitTiles const&)> solve = {};
  /// Replaces the logits by targets. Called once for each item.
  std::function<void(LogitTile&)> make_targets;
  std::function<void(LossTile<T> const&)> cross_entropy;
  /// With an observer there is one tile, whatever it takes.
  std::function<void(SeenTile const&)> observe = {};
};

/// Memory of all matrices over prototypes of one step: teacher logits that are kept, and the tile
/// at work.
struct LogitMemory {
  enum class Teacher { kept, computed_in_tiles };
  Arena arena{View<std::byte, 1>{}};
  Teacher teacher = Teacher::kept;
  std::int64_t tile_bytes = 0;  ///< what is not taken by kept logits
};

/// Losses on one head's prototypes, computed in tiles of items: the teacher's targets, the
/// student's logits, the cross-entropy and the prototypes' backward pass follow each other, so that
/// no matrix over K is larger than its tile. What is kept of a micro-batch are the rows before the
/// prototypes. Sums over items are in another order for other tiles, nothing else differs.
///
/// Where all the teacher's logits of the step are small they are computed once and kept; else once
/// more for every visit that a `solve` makes, and for the targets.
template <class T>
class PrototypeLoss {
 public:
  PrototypeLoss(Space const& space, PartTimer& timer, Prototypes<T>& student,
                Prototypes<T>& teacher, std::vector<TokenLoss<T>> kinds);

  /// The teacher's rows of the next micro-batch: of each kind [teacher_rows * items,
  /// bottleneck_dim], normalised, crop-major. They must stay until the step's end.
  void add(std::vector<View<T const, 2>> const& teacher_rows);

  /// Bytes of all the teacher's logits; of the largest micro-batch's student logits and their
  /// gradient; of everything for one item.
  struct Bytes {
    std::int64_t teacher = 0, student = 0, item = 0;
  };
  Bytes bytes() const;
  bool observed() const;

  /// Teacher logits, and the prototypes where logits will be computed again: on the arena, until
  /// the step's end. All ranks call this, after all `add`.
  void prepare(Arena& arena, LogitMemory& memory);

  /// Losses of a micro-batch; gradients are added to the prototypes'.
  /// \param rows  the student's, normalised: of one kind after the other, crop-major
  /// \return      gradient of rows, on the arena
  View<T, 2> run_student(Arena& arena, LogitMemory& memory, std::size_t micro_batch,
                         View<T const, 2> rows, typename shard::ParameterStore<T>::Last last);

 private:
  /// Rows of one kind of one micro-batch.
  struct Rows {
    View<T const, 2> teacher;
    std::int64_t items = 0;
    LogitTile kept;  ///< teacher logits tile by tile, where they are kept
  };

  std::int64_t prototypes() const { return teacher_.shape().out_dim; }
  std::int64_t item_bytes(std::size_t kind, LogitMemory::Teacher teacher) const;
  std::int64_t tiles(LogitMemory const& memory, std::size_t kind, std::int64_t items) const;
  View<T const, 2> rows_of(Arena& arena, View<T const, 2> rows, std::int64_t rows_per_item,
                           Share items) const;
  void put_rows(View<T const, 2> part, View<T, 2> rows, std::int64_t rows_per_item,
                Share items) const;
  void keep_logits(Arena& arena, LogitMemory& memory);
  void solve(std::size_t kind, LogitMemory& memory);
  LogitTile teacher_tile(Arena& arena, LogitMemory& memory, std::size_t kind, Rows const& rows,
                         Share items);
  void make_targets(Arena& arena, std::size_t kind, LogitTile& teacher,
                    View<float const, 2> student);
  void run_tile(Arena& arena, LogitMemory& memory, std::size_t kind, LossTile<T> tile,
                View<T const, 2> rows, View<T, 2> drows);

  Space space_;
  PartTimer& timer_;
  Prototypes<T>& student_;
  Prototypes<T>& teacher_;
  std::vector<TokenLoss<T>> kinds_;
  std::vector<std::vector<Rows>> micro_batches_;  ///< of each micro-batch, the rows of each kind
};

/// Takes the memory of the logits of a step of some heads from the arena: what they need, at most
/// `limit` bytes unless a single item needs more. A step with fewer items never takes more.
template <class T>
LogitMemory take_logit_memory(Arena& arena, std::int64_t limit,
                              std::span<PrototypeLoss<T>* const> heads);

}  // namespace dino::train
