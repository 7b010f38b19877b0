// SPDX-License-Identifier: Apache-2.0
#include "eval/neighbours.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "base/error.hpp"

namespace dino {
namespace {

constexpr std::int64_t lanes = 16;     // test images whose dot products are summed side by side
constexpr std::int64_t tile_rows = 4;  // training images that are read together

struct Candidate {
  double similarity = 0;
  std::int64_t index = 0;
};

/// A total order, so that the first k do not depend on the order in which candidates come.
bool better(Candidate const& a, Candidate const& b) {
  return a.similarity > b.similarity || (a.similarity == b.similarity && a.index < b.index);
}

/// The best k candidates so far; the worst of them on top of a heap.
class Best {
 public:
  explicit Best(std::int64_t k) : k_(static_cast<std::size_t>(k)) { heap_.reserve(k_); }

  void offer(Candidate const& candidate) {
    if (heap_.size() == k_) {
      if (!better(candidate, heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end(), better);
      heap_.back() = candidate;
    } else {
      heap_.push_back(candidate);
    }
    std::push_heap(heap_.begin(), heap_.end(), better);
  }
  std::vector<Candidate> const& sorted() {
    std::sort_heap(heap_.begin(), heap_.end(), better);
    return heap_;
  }

 private:
  std::size_t k_;
  std::vector<Candidate> heap_;
};

/// Dot products of `tile_rows` training rows with the 16 test rows of a group [dim, lanes]. The
/// product of two float32 is exact in double, so a fused multiply-add rounds as the two operations
/// do, and the bits of a pair depend on its two rows alone.
using Products = std::array<std::array<double, lanes>, tile_rows>;

void multiply(std::array<float const*, tile_rows> const& rows, float const* group, std::int64_t dim,
              Products& out) {
  Products sums{};
  for (std::int64_t d = 0; d < dim; ++d) {
    for (std::size_t r = 0; r < tile_rows; ++r) {
      auto const x = static_cast<double>(rows[r][d]);
      for (std::size_t b = 0; b < lanes; ++b)
        sums[r][b] += x * static_cast<double>(group[d * lanes + static_cast<std::int64_t>(b)]);
    }
  }
  out = sums;
}

/// Test rows in groups of 16, each transposed to [dim, lanes]; the last one filled up with zeros.
std::vector<float> grouped(LabelledFeatures const& test, std::int64_t dim) {
  auto const groups = (test.size() + lanes - 1) / lanes;
  std::vector<float> out(static_cast<std::size_t>(groups * dim * lanes), 0.0F);
  for (std::int64_t i = 0; i < test.size(); ++i)
    for (std::int64_t d = 0; d < dim; ++d)
      out[static_cast<std::size_t>(((i / lanes) * dim + d) * lanes + i % lanes)] =
          test.features[static_cast<std::size_t>(i * dim + d)];
  return out;
}

/// Throws on every rank what the first rank with a problem says. \throws Error (usage)
void agree(Communicator const& comm, std::string const& problem) {
  std::vector<std::int64_t> counts;
  auto const all = comm.all_gather_varying(std::as_bytes(std::span(problem)), &counts);
  std::size_t begin = 0;
  for (auto const count : counts) {
    if (count > 0)
      throw Error(ExitCode::usage, {reinterpret_cast<char const*>(all.data()) + begin,
                                    static_cast<std::size_t>(count)});
    begin += static_cast<std::size_t>(count);
  }
}

std::string shape_problem(LabelledFeatures const& set, std::string_view name, std::int64_t dim,
                          int rank) {
  if (set.size() > 0 && set.dim != dim)
    return fmt::format(
        "{} features on rank {} have {} columns, others {}: extract all of them "
        "with the same model",
        name, rank, set.dim, dim);
  if (static_cast<std::int64_t>(set.features.size()) != set.size() * set.dim)
    return fmt::format("{} features on rank {} are {} numbers for {} labels of {} columns each",
                       name, rank, set.features.size(), set.size(), set.dim);
  return {};
}

bool finite(std::vector<float> const& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

std::int64_t checked_width(Communicator const& comm, LabelledFeatures const& train,
                           LabelledFeatures const& test) {
  require(comm.sum(train.size()) > 0, ExitCode::usage,
          "there are no training images to vote. Give a training set with labelled images");
  require(comm.sum(test.size()) > 0, ExitCode::usage,
          "there are no test images to classify. Give a test set with labelled images");
  auto const dim =
      comm.max(std::max(train.size() > 0 ? train.dim : 0, test.size() > 0 ? test.dim : 0));
  auto const first = shape_problem(train, "training", dim, comm.rank());
  agree(comm, first.empty() ? shape_problem(test, "test", dim, comm.rank()) : first);
  require(dim > 0, ExitCode::usage, "features have no columns");
  require(!comm.any(!finite(train.features) || !finite(test.features)), ExitCode::numerical,
          "a feature is NaN or infinite: the model that computed it has diverged");
  return dim;
}

/// Pieces of the training features of all ranks, one after the other on every rank; the next one is
/// on its way while one is worked on.
class PassingFeatures {
 public:
  PassingFeatures(Communicator const& comm, LabelledFeatures const& train, std::int64_t dim,
                  std::int64_t piece_bytes)
      : comm_(comm), train_(train), dim_(dim) {
    auto const row_bytes = dim * static_cast<std::int64_t>(sizeof(float));
    auto const longest = comm.max(train.size());
    rows_ = std::clamp<std::int64_t>(piece_bytes / (row_bytes * comm.size()), 1, longest);
    pieces_ = (longest + rows_ - 1) / rows_;
    send(0);
  }

  std::int64_t pieces() const { return pieces_; }
  std::int64_t rows() const { return rows_; }  ///< of one rank in one piece

  /// Piece `piece`, [ranks, rows, dim]; valid until the next call. To be called with 0, 1, 2, ...
  float const* receive(std::int64_t piece) {
    pending_.wait();
    auto const& arrived = received_[static_cast<std::size_t>(piece % 2)];
    if (piece + 1 < pieces_) send(piece + 1);
    return arrived.data();
  }

 private:
  void send(std::int64_t piece) {
    auto& mine = sent_[static_cast<std::size_t>(piece % 2)];
    auto& all = received_[static_cast<std::size_t>(piece % 2)];
    mine.assign(static_cast<std::size_t>(rows_ * dim_), 0.0F);
    all.resize(mine.size() * static_cast<std::size_t>(comm_.size()));
    auto const begin = std::min(piece * rows_, train_.size());
    auto const end = std::min(begin + rows_, train_.size());
    std::copy(train_.features.begin() + begin * dim_, train_.features.begin() + end * dim_,
              mine.begin());
    pending_ =
        comm_.all_gather(std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)));
  }

  Communicator const& comm_;
  LabelledFeatures const& train_;
  std::int64_t dim_, rows_ = 1, pieces_ = 0;
  std::array<std::vector<float>, 2> sent_, received_;
  Request pending_;
};

/// Consecutive training rows with their first global index.
struct Block {
  float const* rows = nullptr;
  std::int64_t count = 0, first_index = 0;
};

void offer_block(Block const& block, float const* group, std::int64_t dim, std::span<Best> best) {
  Products products;
  for (std::int64_t i = 0; i < block.count; i += tile_rows) {
    std::array<float const*, tile_rows> rows;
    for (std::int64_t r = 0; r < tile_rows; ++r)  // past the end: the last row again, unused
      rows[static_cast<std::size_t>(r)] = block.rows + std::min(i + r, block.count - 1) * dim;
    multiply(rows, group, dim, products);
    auto const used = std::min(tile_rows, block.count - i);
    for (std::int64_t r = 0; r < used; ++r)
      for (std::size_t b = 0; b < best.size(); ++b)
        best[b].offer({products[static_cast<std::size_t>(r)][b], block.first_index + i + r});
  }
}

std::vector<std::int64_t> all_labels(Communicator const& comm, LabelledFeatures const& train,
                                     std::vector<std::int64_t>& counts) {
  auto const bytes = comm.all_gather_varying(std::as_bytes(std::span(train.labels)), &counts);
  for (auto& c : counts) c /= static_cast<std::int64_t>(sizeof(std::int64_t));
  std::vector<std::int64_t> labels(bytes.size() / sizeof(std::int64_t));
  std::memcpy(labels.data(), bytes.data(), bytes.size());
  return labels;
}

Neighbours finished(std::vector<Best>& best, std::int64_t k,
                    std::vector<std::int64_t> const& labels) {
  Neighbours out{.k = k, .rows = static_cast<std::int64_t>(best.size())};
  for (auto& row : best) {
    for (auto const& candidate : row.sorted()) {
      out.similarity.push_back(candidate.similarity);
      out.index.push_back(candidate.index);
      out.label.push_back(labels[static_cast<std::size_t>(candidate.index)]);
    }
  }
  return out;
}

}  // namespace

Neighbours nearest_neighbours(Communicator const& comm, LabelledFeatures const& train,
                              LabelledFeatures const& test, std::int64_t k,
                              std::int64_t piece_bytes) {
  auto const dim = checked_width(comm, train, test);
  require(k >= 1, ExitCode::usage, "invalid number of neighbours {} (must be at least 1)", k);
  std::vector<std::int64_t> counts;
  auto const labels = all_labels(comm, train, counts);
  auto const clamped = std::min(k, static_cast<std::int64_t>(labels.size()));
  std::vector<Best> best(static_cast<std::size_t>(test.size()), Best(clamped));
  auto const groups = grouped(test, dim);
  PassingFeatures features(comm, train, dim, piece_bytes);
  for (std::int64_t piece = 0; piece < features.pieces(); ++piece) {
    auto const* const rows = features.receive(piece);
    std::int64_t first = 0;
    for (std::size_t r = 0; r < counts.size(); first += counts[r++]) {
      auto const begin = std::min(piece * features.rows(), counts[r]);
      Block const block{.rows = rows + static_cast<std::int64_t>(r) * features.rows() * dim,
                        .count = std::min(features.rows(), counts[r] - begin),
                        .first_index = first + begin};
      for (std::int64_t i = 0; i < test.size(); i += lanes) {
        auto const width = std::min(lanes, test.size() - i);
        offer_block(
            block, groups.data() + i * dim, dim,
            std::span(best).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(width)));
      }
    }
  }
  return finished(best, clamped, labels);
}

std::span<double const> Neighbours::similarities_of(std::int64_t row) const {
  return std::span(similarity)
      .subspan(static_cast<std::size_t>(row * k), static_cast<std::size_t>(k));
}
std::span<std::int64_t const> Neighbours::labels_of(std::int64_t row) const {
  return std::span(label).subspan(static_cast<std::size_t>(row * k), static_cast<std::size_t>(k));
}

std::vector<double> vote_weights(Neighbours const& neighbours, std::int64_t row,
                                 double temperature) {
  auto const similarity = neighbours.similarities_of(row);
  std::vector<double> out;
  for (auto const s : similarity) out.push_back(std::exp((s - similarity[0]) / temperature));
  return out;
}

void add_votes(Neighbours const& neighbours, std::int64_t row, std::span<double const> weights,
               std::int64_t k, std::span<double> scores) {
  auto const label = neighbours.labels_of(row);
  for (std::size_t j = 0; j < static_cast<std::size_t>(std::min(k, neighbours.k)); ++j)
    scores[static_cast<std::size_t>(label[j])] += weights[j];
}

}  // namespace dino
