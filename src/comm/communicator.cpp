// SPDX-License-Identifier: Apache-2.0
#include "comm/communicator.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "comm/collective_record.hpp"

namespace dino {

void mpi_check(int code) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(ExitCode::bug, "MPI: {}", std::string(text, static_cast<std::size_t>(length)));
}

void abort_all_ranks(std::string const& message, int exit_code) noexcept {
  try {
    log::error("{}", message);
  } catch (...) {
    std::fputs(message.c_str(), stderr);
  }
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized != 0 && finalized == 0) MPI_Abort(MPI_COMM_WORLD, exit_code);
  std::_Exit(exit_code);
}

namespace {
[[noreturn]] void on_terminate() {
  auto const [message, code] = describe_current_exception();
  abort_all_ranks(message, static_cast<int>(code));
}

std::string collective_name(char const* kind, std::string_view what) {
  return what.empty() ? kind : fmt::format("{} of {}", kind, what);
}

template <class T>
std::int64_t bytes_of(std::span<T> values) {
  return static_cast<std::int64_t>(values.size_bytes());
}

int element_count(std::size_t n) {
  require(
      n <= static_cast<std::size_t>(std::numeric_limits<int>::max()), ExitCode::usage,
      "a message of {} elements is beyond MPI's limit of 2^31 - 1. Use more ranks or smaller units",
      n);
  return static_cast<int>(n);
}
}  // namespace

MpiSession::MpiSession(int* argc, char*** argv) {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized == 0) {
    int provided = 0;
    mpi_check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
    owner_ = true;
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
  mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &farewell_));
  std::set_terminate(on_terminate);
}

bool MpiSession::all_ranks_arrive(double seconds) const {
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Ibarrier(farewell_, &request));
  auto const end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  int done = 0;
  while (done == 0 && std::chrono::steady_clock::now() < end) {
    mpi_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE));
    if (done == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return done != 0;
}

MpiSession::~MpiSession() {
  if (owner_ && std::uncaught_exceptions() == 0) MPI_Finalize();
}

Request::Request(MPI_Request raw, std::string name)
    : raw_(raw), name_(std::move(name)), number_(next_collective()) {}

Request::Request(Request&& other) noexcept
    : raw_(std::exchange(other.raw_, MPI_REQUEST_NULL)),
      name_(std::move(other.name_)),
      number_(other.number_) {}

Request& Request::operator=(Request&& other) noexcept {
  std::swap(raw_, other.raw_);
  std::swap(name_, other.name_);
  std::swap(number_, other.number_);
  return *this;
}

bool Request::test() {
  if (!active()) return true;
  int done = 0;
  mpi_check(MPI_Test(&raw_, &done, MPI_STATUS_IGNORE));
  return done != 0;
}

void Request::wait() {
  if (!active()) return;
  InCollective const inside(name_, number_);
  mpi_check(MPI_Wait(&raw_, MPI_STATUS_IGNORE));
}

/// Frees a communicator that `split` made.
struct Communicator::Owner {
  MPI_Comm raw;
  explicit Owner(MPI_Comm comm) : raw(comm) {}
  Owner(Owner const&) = delete;
  Owner& operator=(Owner const&) = delete;
  ~Owner() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&raw);
  }
};

Communicator::Communicator(MPI_Comm raw, std::shared_ptr<Owner> owner)
    : raw_(raw), owner_(std::move(owner)) {
  mpi_check(MPI_Comm_rank(raw_, &rank_));
  mpi_check(MPI_Comm_size(raw_, &size_));
}

Communicator Communicator::world() {
  return Communicator(MPI_COMM_WORLD, nullptr);
}
Communicator Communicator::imaginary(int size) {
  auto made = self();
  made.size_ = size;
  made.imaginary_ = true;
  return made;
}
Communicator Communicator::self() {
  return Communicator(MPI_COMM_SELF, nullptr);
}

Communicator Communicator::split(int color) const {
  InCollective const inside("split of ranks");
  MPI_Comm part = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split(raw_, color, rank_, &part));
  mpi_check(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN));
  return Communicator(part, std::make_shared<Owner>(part));
}

Communicator Communicator::split_node() const {
  InCollective const inside("split of ranks by node");
  MPI_Comm part = MPI_COMM_NULL;
  mpi_check(MPI_Comm_split_type(raw_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &part));
  mpi_check(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN));
  return Communicator(part, std::make_shared<Owner>(part));
}

void Communicator::barrier() const {
  InCollective const inside("barrier");
  mpi_check(MPI_Barrier(raw_));
}

Traffic Traffic::of_gather(std::int64_t all, int ranks) {
  return {.gathered = static_cast<double>(all - all / ranks)};
}
Traffic Traffic::of_scatter(std::int64_t all, int ranks) {
  return {.scattered = static_cast<double>(all - all / ranks)};
}
// In whole bytes, so that counts of the same calls are the same.
Traffic Traffic::of_sum(std::int64_t bytes, int ranks) {
  return {.summed = static_cast<double>(2 * bytes * (ranks - 1) / ranks)};
}

void Communicator::count(Traffic const& moved) const {
  traffic_->gathered += moved.gathered;
  traffic_->scattered += moved.scattered;
  traffic_->summed += moved.summed;
  traffic_->broadcast += moved.broadcast;
}

void Communicator::broadcast(std::span<std::byte> bytes, int root) const {
  if (size_ > 1) traffic_->broadcast += static_cast<double>(bytes.size());
  if (imaginary_) return;
  InCollective const inside("broadcast");
  constexpr std::size_t piece = std::size_t{1} << 30;
  for (std::size_t begin = 0; begin < bytes.size(); begin += piece) {
    auto const part = bytes.subspan(begin, std::min(piece, bytes.size() - begin));
    mpi_check(MPI_Bcast(part.data(), element_count(part.size()), MPI_BYTE, root, raw_));
  }
}

std::string Communicator::broadcast_text(std::string const& text, int root) const {
  InCollective const inside("broadcast of a text");
  auto length = static_cast<std::int64_t>(text.size());
  mpi_check(MPI_Bcast(&length, 1, MPI_INT64_T, root, raw_));
  std::string out = rank_ == root ? text : std::string(static_cast<std::size_t>(length), '\0');
  broadcast(std::as_writable_bytes(std::span(out)), root);
  return out;
}

double Communicator::sum(double value) const {
  sum(std::span(&value, 1));
  return value;
}
std::int64_t Communicator::sum(std::int64_t value) const {
  sum(std::span(&value, 1));
  return value;
}
double Communicator::max(double value) const {
  InCollective const inside("maximum over ranks");
  count(Traffic::of_sum(sizeof(value), size_));
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_MAX, raw_));
  return value;
}
std::int64_t Communicator::max(std::int64_t value) const {
  InCollective const inside("maximum over ranks");
  count(Traffic::of_sum(sizeof(value), size_));
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_INT64_T, MPI_MAX, raw_));
  return value;
}
bool Communicator::any(bool value) const {
  return max(std::int64_t{value ? 1 : 0}) != 0;
}

void Communicator::sum(std::span<double> values) const {
  InCollective const inside("sum over ranks");
  count(Traffic::of_sum(bytes_of(values), size_));
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, values.data(), element_count(values.size()), MPI_DOUBLE,
                          MPI_SUM, raw_));
}
void Communicator::sum(std::span<float> values) const {
  InCollective const inside("sum over ranks");
  count(Traffic::of_sum(bytes_of(values), size_));
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, values.data(), element_count(values.size()), MPI_FLOAT,
                          MPI_SUM, raw_));
}
void Communicator::sum(std::span<std::int64_t> values) const {
  InCollective const inside("sum over ranks");
  count(Traffic::of_sum(bytes_of(values), size_));
  mpi_check(MPI_Allreduce(MPI_IN_PLACE, values.data(), element_count(values.size()), MPI_INT64_T,
                          MPI_SUM, raw_));
}

std::vector<std::byte> Communicator::all_gather_varying(std::span<std::byte const> mine,
                                                        std::vector<std::int64_t>* counts) const {
  InCollective const inside("gather of varying sizes");
  std::vector<int> lengths(static_cast<std::size_t>(size_));
  int const length = element_count(mine.size());
  mpi_check(MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, raw_));
  std::vector<int> begins(lengths.size());
  std::size_t total = 0;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    begins[i] = element_count(total);
    total += static_cast<std::size_t>(lengths[i]);
  }
  std::vector<std::byte> all(total);
  traffic_->gathered += static_cast<double>(total - mine.size());
  mpi_check(MPI_Allgatherv(mine.data(), length, MPI_BYTE, all.data(), lengths.data(), begins.data(),
                           MPI_BYTE, raw_));
  if (counts != nullptr) counts->assign(lengths.begin(), lengths.end());
  return all;
}

void Communicator::exchange(std::span<std::span<std::byte const> const> send,
                            std::span<std::span<std::byte> const> receive) const {
  InCollective const inside("exchange between pairs");
  constexpr int tag = 1;
  std::vector<MPI_Request> requests;
  for (int r = 0; r < size_; ++r) {
    auto const to = receive[static_cast<std::size_t>(r)];
    if (to.empty() || r == rank_) continue;
    mpi_check(MPI_Irecv(to.data(), element_count(to.size()), MPI_BYTE, r, tag, raw_,
                        &requests.emplace_back()));
  }
  for (int r = 0; r < size_; ++r) {
    auto const from = send[static_cast<std::size_t>(r)];
    if (from.empty()) continue;
    if (r == rank_) {
      std::ranges::copy(from, receive[static_cast<std::size_t>(r)].begin());
      continue;
    }
    mpi_check(MPI_Isend(from.data(), element_count(from.size()), MPI_BYTE, r, tag, raw_,
                        &requests.emplace_back()));
  }
  mpi_check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE));
}

std::vector<std::string> Communicator::all_gather_text(std::string const& mine) const {
  std::vector<std::int64_t> lengths;
  auto const all = all_gather_varying(std::as_bytes(std::span(mine)), &lengths);
  std::vector<std::string> texts;
  auto const* next = reinterpret_cast<char const*>(all.data());
  for (auto const length : lengths) {
    texts.emplace_back(next, static_cast<std::size_t>(length));
    next += length;
  }
  return texts;
}

Request Communicator::all_gather(std::span<std::byte const> mine, std::span<std::byte> all,
                                 std::string_view what) const {
  require(all.size() == mine.size() * static_cast<std::size_t>(size_), ExitCode::bug,
          "all_gather: {} bytes do not hold {} from each of {} ranks", all.size(), mine.size(),
          size_);
  int const elements = element_count(mine.size());
  count(Traffic::of_gather(bytes_of(all), size_));
  if (imaginary_) return {};
  bool const in_place = mine.data() == all.data() + mine.size() * static_cast<std::size_t>(rank_);
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Iallgather(in_place ? MPI_IN_PLACE : mine.data(), elements, MPI_BYTE, all.data(),
                           elements, MPI_BYTE, raw_, &request));
  return Request(request, collective_name("all-gather", what));
}

Request Communicator::reduce_scatter_sum(std::span<float const> all, std::span<float> mine,
                                         std::string_view what) const {
  require(all.size() == mine.size() * static_cast<std::size_t>(size_), ExitCode::bug,
          "reduce_scatter: {} values are not {} for each of {} ranks", all.size(), mine.size(),
          size_);
  int const elements = element_count(mine.size());
  count(Traffic::of_scatter(bytes_of(all), size_));
  if (imaginary_) return {};
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(MPI_Ireduce_scatter_block(all.data(), mine.data(), elements, MPI_FLOAT, MPI_SUM, raw_,
                                      &request));
  return Request(request, collective_name("reduce-scatter", what));
}

Request Communicator::all_reduce_sum(std::span<float> values, std::string_view what) const {
  int const elements = element_count(values.size());
  count(Traffic::of_sum(bytes_of(values), size_));
  if (imaginary_) return {};
  MPI_Request request = MPI_REQUEST_NULL;
  mpi_check(
      MPI_Iallreduce(MPI_IN_PLACE, values.data(), elements, MPI_FLOAT, MPI_SUM, raw_, &request));
  return Request(request, collective_name("sum over ranks", what));
}

void on_rank_zero(Communicator const& comm, std::function<void()> const& work) {
  std::pair<std::string, ExitCode> outcome{"", ExitCode::finished};
  if (comm.rank() == 0) {
    try {
      work();
    } catch (...) {
      outcome = describe_current_exception();
    }
  }
  auto const code = comm.max(static_cast<std::int64_t>(outcome.second));
  if (code == 0) return;
  throw Error(static_cast<ExitCode>(code), comm.broadcast_text(outcome.first));
}

}  // namespace dino
