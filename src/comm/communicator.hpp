// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dino {

/// Initializes MPI for the life of the object (unless the process is already inside MPI), makes
/// errors return, and lets an uncaught exception end all ranks through MPI_Abort.
class MpiSession {
 public:
  MpiSession(int* argc, char*** argv);
  MpiSession(MpiSession const&) = delete;
  MpiSession& operator=(MpiSession const&) = delete;
  ~MpiSession();

  /// Whether all ranks call this within `seconds`: an error that all of them know alike may then
  /// end the program in order; one that a rank met alone must abort the others.
  bool all_ranks_arrive(double seconds) const;

 private:
  bool owner_ = false;
  MPI_Comm farewell_ = MPI_COMM_NULL;  ///< of `all_ranks_arrive` alone, whatever else is under way
};

/// Ends the process when one rank alone meets an error: prints it and aborts all ranks with its
/// code.
[[noreturn]] void abort_all_ranks(std::string const& message, int exit_code) noexcept;

/// \throws Error (bug) with MPI's text unless `code` is MPI_SUCCESS
void mpi_check(int code);

/// A collective under way. Its buffers must stay untouched until `wait` returns.
class Request {
 public:
  Request() = default;
  /// \param name  for the watch over collectives
  Request(MPI_Request raw, std::string name);
  Request(Request&& other) noexcept;
  Request& operator=(Request&& other) noexcept;
  ~Request() = default;  // abandoned only when the process ends
  bool active() const { return raw_ != MPI_REQUEST_NULL; }
  /// Lets MPI make progress; true when finished.
  bool test();
  void wait();

 private:
  MPI_Request raw_ = MPI_REQUEST_NULL;
  std::string name_;
  std::int64_t number_ = 0;
};

/// Bytes that this rank moved in the collectives of a communicator of n ranks, counted as a ring
/// moves them: the least that any algorithm needs.
struct Traffic {
  double gathered = 0;   ///< received in all-gathers: what the others have
  double scattered = 0;  ///< sent in reduce-scatters: the shares of the others
  double summed = 0;     ///< sent in sums and maxima over ranks: 2 (n - 1) / n of the values
  double broadcast = 0;  ///< received, or sent by the root, in broadcasts
  double total() const { return gathered + scattered + summed + broadcast; }
  /// Of one collective of `ranks`: `all` bytes gathered, `all` bytes reduced and scattered, `bytes`
  /// summed.
  static Traffic of_gather(std::int64_t all, int ranks);
  static Traffic of_scatter(std::int64_t all, int ranks);
  static Traffic of_sum(std::int64_t bytes, int ranks);
};

/// A group of ranks and their collectives on host memory. All calls come from one thread, in the
/// same order on every rank of the group.
class Communicator {
 public:
  /// All ranks of the program.
  static Communicator world();
  /// This rank alone.
  static Communicator self();
  /// Rank 0 of `size` ranks that do not exist, for dry runs: sums are this rank's, other
  /// collectives move nothing and touch no memory; all are counted.
  static Communicator imaginary(int size);
  bool is_imaginary() const { return imaginary_; }

  int rank() const { return rank_; }
  int size() const { return size_; }
  MPI_Comm raw() const { return raw_; }
  /// What was moved so far; copies of a communicator count together, parts of it by themselves.
  Traffic const& traffic() const { return *traffic_; }

  /// The ranks that give the same colour, in the order of their ranks here.
  Communicator split(int color) const;
  /// The ranks of the same node (shared memory).
  Communicator split_node() const;
  /// This rank's place among the ranks of its node. Collective.
  int local_rank() const { return split_node().rank(); }
  /// Texts of all ranks, in their order, on every rank.
  std::vector<std::string> all_gather_text(std::string const& mine) const;

  void barrier() const;
  void broadcast(std::span<std::byte> bytes, int root = 0) const;
  /// Text of `root` on every rank.
  std::string broadcast_text(std::string const& text, int root = 0) const;
  double sum(double value) const;
  std::int64_t sum(std::int64_t value) const;
  double max(double value) const;
  std::int64_t max(std::int64_t value) const;
  bool any(bool value) const;
  void sum(std::span<double> values) const;
  void sum(std::span<float> values) const;
  void sum(std::span<std::int64_t> values) const;
  /// Byte strings of all ranks, one after the other, on every rank.
  std::vector<std::byte> all_gather_varying(std::span<std::byte const> mine,
                                            std::vector<std::int64_t>* counts = nullptr) const;

  /// Sends `send[r]` to each rank r and waits until `receive[r]` is filled by it. Both ranks of a
  /// pair give the same size; empty: no message.
  void exchange(std::span<std::span<std::byte const> const> send,
                std::span<std::span<std::byte> const> receive) const;

  /// all = the equal shares of all ranks; `mine` may be this rank's part of `all`.
  /// \param what  is gathered, for the watch over collectives; so below
  Request all_gather(std::span<std::byte const> mine, std::span<std::byte> all,
                     std::string_view what = {}) const;
  /// mine = this rank's share of the sum over ranks of `all`; all.size() = size() * mine.size().
  Request reduce_scatter_sum(std::span<float const> all, std::span<float> mine,
                             std::string_view what = {}) const;
  /// values = the sum over ranks.
  Request all_reduce_sum(std::span<float> values, std::string_view what = {}) const;

  /// Adds what was moved for this group on another way, such as between devices.
  void count(Traffic const& moved) const;

 private:
  struct Owner;
  explicit Communicator(MPI_Comm raw, std::shared_ptr<Owner> owner);
  MPI_Comm raw_ = MPI_COMM_NULL;
  std::shared_ptr<Owner> owner_;
  std::shared_ptr<Traffic> traffic_ = std::make_shared<Traffic>();
  int rank_ = 0;
  int size_ = 1;
  bool imaginary_ = false;
};

/// Runs `work` on rank 0 alone; what it throws there is thrown on every rank, as an Error alike.
void on_rank_zero(Communicator const& comm, std::function<void()> const& work);

/// This rank's part of `total` things that are dealt out in consecutive, nearly equal shares.
struct Share {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};
constexpr Share share_of(std::int64_t total, std::int64_t part, std::int64_t parts) {
  return {total * part / parts, total * (part + 1) / parts};
}

}  // namespace dino
