// SPDX-License-Identifier: Apache-2.0
#include "train/prototype_loss.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kernels/elementwise.hpp"
#include "train/part_timer.hpp"

namespace dino::train {
namespace {

/// Alignment of the arrays of one tile: targets, logits, gradient.
constexpr std::int64_t tile_slack = 3 * Arena::alignment;

constexpr auto float_bytes = static_cast<std::int64_t>(sizeof(float));

/// Of a student's logit and its gradient, which float32 writes to the same place.
template <class T>
constexpr std::int64_t student_bytes = float_bytes + (std::is_same_v<T, float>
                                                          ? 0
                                                          : static_cast<std::int64_t>(sizeof(T)));

}  // namespace

template <class T>
PrototypeLoss<T>::PrototypeLoss(Space const& space, PartTimer& timer, Prototypes<T>& student,
                                Prototypes<T>& teacher, std::vector<TokenLoss<T>> kinds)
    : space_(space),
      timer_(timer),
      student_(student),
      teacher_(teacher),
      kinds_(std::move(kinds)) {}

template <class T>
void PrototypeLoss<T>::add(std::vector<View<T const, 2>> const& teacher_rows) {
  auto& kinds = micro_batches_.emplace_back();
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    auto const rows = teacher_rows[kind];
    kinds.push_back({.teacher = rows, .items = rows.extent(0) / kinds_[kind].teacher_rows});
  }
}

/// Of one item in a tile.
template <class T>
std::int64_t PrototypeLoss<T>::item_bytes(std::size_t kind, LogitMemory::Teacher teacher) const {
  auto const& k = kinds_[kind];
  auto const targets = teacher == LogitMemory::Teacher::kept ? 0 : k.teacher_rows * float_bytes;
  return prototypes() * (k.student_rows * student_bytes<T> + targets);
}

template <class T>
auto PrototypeLoss<T>::bytes() const -> Bytes {
  Bytes bytes;
  for (auto const& micro_batch : micro_batches_) {
    for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
      auto const& rows = micro_batch[kind];
      if (rows.items == 0) continue;
      bytes.teacher += Arena::aligned(rows.teacher.extent(0) * prototypes() * float_bytes);
      bytes.student = std::max(
          bytes.student, rows.items * item_bytes(kind, LogitMemory::Teacher::kept) + tile_slack);
      bytes.item = std::max(bytes.item,
                            item_bytes(kind, LogitMemory::Teacher::computed_in_tiles) + tile_slack);
    }
  }
  return bytes;
}

template <class T>
bool PrototypeLoss<T>::observed() const {
  return std::any_of(kinds_.begin(), kinds_.end(),
                     [](auto const& kind) { return static_cast<bool>(kind.observe); });
}

/// Into how many tiles the items of a micro-batch are cut.
template <class T>
std::int64_t PrototypeLoss<T>::tiles(LogitMemory const& memory, std::size_t kind,
                                     std::int64_t items) const {
  auto const most = std::max<std::int64_t>(
      1, (memory.tile_bytes - tile_slack) / item_bytes(kind, memory.teacher));
  return (items + most - 1) / most;
}

/// The rows of some items: where they do not lie together, a copy on the arena. There is always
/// room for all rows, so that the arena's size does not depend on tiles: a step with fewer items,
/// which has other tiles, must not need more.
template <class T>
View<T const, 2> PrototypeLoss<T>::rows_of(Arena& arena, View<T const, 2> rows,
                                           std::int64_t rows_per_item, Share items) const {
  auto const room = arena.take<T, 2>(rows.extents());
  auto const all = rows.extent(0) / rows_per_item, n = items.size();
  if (rows_per_item == 1 || n == all)
    return rows.rows(items.begin * rows_per_item, items.end * rows_per_item);
  auto const part = room.rows(0, n * rows_per_item);
  for (std::int64_t crop = 0; crop < rows_per_item; ++crop) {
    run(space_, Cast<T, T>{.x = rows.rows(crop * all + items.begin, crop * all + items.end).flat(),
                           .y = part.rows(crop * n, (crop + 1) * n).flat()});
  }
  return part;
}

/// The inverse of `rows_of`.
template <class T>
void PrototypeLoss<T>::put_rows(View<T const, 2> part, View<T, 2> rows, std::int64_t rows_per_item,
                                Share items) const {
  auto const all = rows.extent(0) / rows_per_item, n = items.size();
  for (std::int64_t crop = 0; crop < rows_per_item; ++crop) {
    run(space_,
        Cast<T, T>{.x = part.rows(crop * n, (crop + 1) * n).flat(),
                   .y = rows.rows(crop * all + items.begin, crop * all + items.end).flat()});
  }
}

template <class T>
void PrototypeLoss<T>::prepare(Arena& arena, LogitMemory& memory) {
  if (memory.teacher == LogitMemory::Teacher::kept) {
    keep_logits(arena, memory);
  } else {
    Stopwatch const watch(timer_, Part::teacher);
    teacher_.load(arena);
  }
  Stopwatch const watch(timer_, Part::loss);
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kinds_[kind].solve) solve(kind, memory);
  }
}

/// In the order of the tiles that the student's pass will ask for.
template <class T>
void PrototypeLoss<T>::keep_logits(Arena& arena, LogitMemory& memory) {
  Stopwatch const watch(timer_, Part::teacher);
  ArenaScope const scope(arena);
  teacher_.load(arena);
  for (auto& micro_batch : micro_batches_) {
    for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
      auto& rows = micro_batch[kind];
      auto const per_item = kinds_[kind].teacher_rows;
      rows.kept.values = memory.arena.take<float, 2>({rows.teacher.extent(0), prototypes()});
      auto const count = tiles(memory, kind, rows.items);
      for (std::int64_t i = 0; i < count; ++i) {
        ArenaScope const tile(arena);
        auto const items = share_of(rows.items, i, count);
        teacher_.logits(rows_of(arena, rows.teacher, per_item, items),
                        rows.kept.values.rows(items.begin * per_item, items.end * per_item));
      }
    }
  }
}

template <class T>
void PrototypeLoss<T>::solve(std::size_t kind, LogitMemory& memory) {
  auto const row_bytes = prototypes() * float_bytes;
  auto const most = std::max<std::int64_t>(1, (memory.tile_bytes - tile_slack) / row_bytes);
  kinds_[kind].solve([&](std::function<void(LogitTile&)> const& visit) {
    for (auto& micro_batch : micro_batches_) {
      auto& rows = micro_batch[kind];
      if (memory.teacher == LogitMemory::Teacher::kept) {
        visit(rows.kept);
        continue;
      }
      auto const all = rows.teacher.extent(0), count = (all + most - 1) / most;
      for (std::int64_t i = 0; i < count; ++i) {
        ArenaScope const scope(memory.arena);
        auto const part = share_of(all, i, count);
        LogitTile tile{memory.arena.take<float, 2>({part.size(), prototypes()})};
        teacher_.logits(rows.teacher.rows(part.begin, part.end), tile.values);
        visit(tile);
      }
    }
  });
}

/// Logits of the teacher's rows of some items, kept or computed.
template <class T>
LogitTile PrototypeLoss<T>::teacher_tile(Arena& arena, LogitMemory& memory, std::size_t kind,
                                         Rows const& rows, Share items) {
  auto const per_item = kinds_[kind].teacher_rows;
  if (memory.teacher == LogitMemory::Teacher::kept)
    return {rows.kept.values.rows(items.begin * per_item, items.end * per_item), rows.kept.holds};
  Stopwatch const watch(timer_, Part::teacher);
  LogitTile const tile{memory.arena.take<float, 2>({items.size() * per_item, prototypes()})};
  ArenaScope const scope(arena);
  teacher_.logits(rows_of(arena, rows.teacher, per_item, items), tile.values);
  return tile;
}

template <class T>
View<T, 2> PrototypeLoss<T>::run_student(Arena& arena, LogitMemory& memory, std::size_t micro_batch,
                                         View<T const, 2> rows,
                                         typename shard::ParameterStore<T>::Last last) {
  auto const drows = arena.take<T, 2>(rows.extents());
  ArenaScope const scope(arena);
  {
    Stopwatch const watch(timer_, Part::student_forward);
    student_.begin_pass(arena);
  }
  std::int64_t begin = 0;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    auto const items = micro_batches_[micro_batch][kind].items;
    auto const end = begin + items * kinds_[kind].student_rows;
    auto const count = tiles(memory, kind, items);
    for (std::int64_t i = 0; i < count; ++i) {
      run_tile(arena, memory, kind,
               {.micro_batch = micro_batch, .items = share_of(items, i, count)},
               rows.rows(begin, end), drows.rows(begin, end));
    }
    begin = end;
  }
  Stopwatch const watch(timer_, Part::backward);
  student_.finish_pass(last);
  return drows;
}

/// \param rows, drows  of all items of the kind
template <class T>
void PrototypeLoss<T>::run_tile(Arena& arena, LogitMemory& memory, std::size_t kind,
                                LossTile<T> tile, View<T const, 2> rows, View<T, 2> drows) {
  ArenaScope const scope(arena);
  ArenaScope const logits_scope(memory.arena);
  auto const per_item = kinds_[kind].student_rows;
  auto teacher =
      teacher_tile(arena, memory, kind, micro_batches_[tile.micro_batch][kind], tile.items);
  auto const x = rows_of(arena, rows, per_item, tile.items);
  auto const logits = memory.arena.take<float, 2>({x.extent(0), prototypes()});
  {
    Stopwatch const watch(timer_, Part::student_forward);
    student_.logits(x, logits);
  }
  if constexpr (std::is_same_v<T, float>) {
    tile.dlogits = logits;
  } else {
    tile.dlogits = memory.arena.take<T, 2>(logits.extents());
  }
  tile.student = logits;
  tile.targets = teacher.values;
  {
    Stopwatch const watch(timer_, Part::loss);
    make_targets(arena, kind, teacher, logits);
    kinds_[kind].cross_entropy(tile);
  }
  Stopwatch const watch(timer_, Part::backward);
  auto const dx = arena.take<T, 2>(drows.extents()).rows(0, x.extent(0));
  student_.backward(tile.dlogits, x, dx);
  put_rows(dx, drows, per_item, tile.items);
}

template <class T>
void PrototypeLoss<T>::make_targets(Arena& arena, std::size_t kind, LogitTile& teacher,
                                    View<float const, 2> student) {
  auto const& tokens = kinds_[kind];
  if (!tokens.observe) return tokens.make_targets(teacher);
  ArenaScope const scope(arena);
  auto const logits = arena.take<float, 2>(teacher.values.extents());
  run(space_, Cast<float, float>{.x = teacher.values.flat(), .y = logits.flat()});
  tokens.make_targets(teacher);
  tokens.observe({.student = student, .teacher = logits, .targets = teacher.values});
}

template <class T>
LogitMemory take_logit_memory(Arena& arena, std::int64_t limit,
                              std::span<PrototypeLoss<T>* const> heads) {
  std::int64_t teacher = 0, student = 0, item = 0;
  bool observed = false;
  for (auto const* const head : heads) {
    auto const bytes = head->bytes();
    teacher += bytes.teacher;
    student = std::max(student, bytes.student);
    item = std::max(item, bytes.item);
    observed = observed || head->observed();
  }
  auto const all = teacher + student;
  if (observed) limit = all;
  // Half of the memory is left to tiles: small ones are slow.
  bool const keep = !observed && (all <= limit || (teacher <= limit / 2 && item <= limit / 2));
  auto const bytes = std::min(all, std::max(limit, item));
  return {.arena = Arena(arena.take<std::byte, 1>({bytes})),
          .teacher = keep ? LogitMemory::Teacher::kept : LogitMemory::Teacher::computed_in_tiles,
          .tile_bytes = keep ? bytes - teacher : bytes};
}

template class PrototypeLoss<float>;
template class PrototypeLoss<bfloat16>;
template LogitMemory take_logit_memory(Arena&, std::int64_t,
                                       std::span<PrototypeLoss<float>* const>);
template LogitMemory take_logit_memory(Arena&, std::int64_t,
                                       std::span<PrototypeLoss<bfloat16>* const>);

}  // namespace dino::train
