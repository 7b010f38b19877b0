// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.hpp"
#include "kernels/arena.hpp"

namespace dino::train {

/// Rows that belong to images of the global batch go from the ranks that computed them to those
/// that need them. All ranks share the batch evenly to compute; the ranks of each group of them,
/// one group for each student, share it evenly to use. Source: method.md 3.10.
class RowExchange {
 public:
  /// \param all    ranks that compute
  /// \param group  those of them that use rows together with this one. Collective over `all`
  RowExchange(Communicator const& all, Communicator const& group);

  /// Images of a global batch that this rank computes, and uses.
  Share computed(std::int64_t batch) const;
  Share used(std::int64_t batch) const;

  /// \param sent      rows of the images that this rank computes, image after image, [n, D]
  /// \param received  rows of those that it uses, the same, overwritten
  /// \param sent_rows, received_rows  rows of each of these images
  template <class T>
  void run(std::int64_t batch, View<T const, 2> sent, std::vector<std::int64_t> const& sent_rows,
           View<T, 2> received, std::vector<std::int64_t> const& received_rows) const;

 private:
  /// The place of a rank in its group.
  struct Place {
    std::int64_t rank = 0, ranks = 1;
  };
  Communicator all_;
  std::vector<Place> places_;  ///< of all ranks
};

}  // namespace dino::train
