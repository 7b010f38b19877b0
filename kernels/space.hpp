// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <variant>

#include "kernels/view.hpp"

namespace dino {

/// The processor of this rank and its memory. `between` is called between operations, where a
/// communicator advances the collectives that are under way; it may be empty.
struct Host {
  std::function<void()> between;
};

namespace cuda {
class Context;
}

/// A graphics processor and its memory; copies share one context. Operations are queued on its
/// stream in the order of their calls, and `run` returns before they are done. `between` as for
/// Host. Made by `device_space` (kernels/device.hpp).
struct Cuda {
  std::shared_ptr<cuda::Context> context;
  std::function<void()> between;
};

/// What the operations of a dry run would have done.
struct Tally {
  double matrix_flops =
      0;  ///< floating-point operations of matrix products, multiply and add apart
  std::int64_t operations = 0;
};

/// What computes: the processor, or a device.
enum class Processor { host, cuda };

/// A dry run: operations are checked and counted, nothing is computed, memory is never touched.
struct Dry {
  Tally* tally;
  Processor stands_for = Processor::host;  ///< whose scratch memory is counted
};

/// Where operations run and where their memory lies.
#ifdef DINO_WITH_CUDA
using Space = std::variant<Host, Dry, Cuda>;
#else
using Space = std::variant<Host, Dry>;
#endif

/// Counts the operation; operations without matrix products need no `matrix_flops`.
template <class Op>
void execute(Dry const& dry, Op const& op) {
  ++dry.tally->operations;
  if constexpr (requires { op.matrix_flops(); }) dry.tally->matrix_flops += op.matrix_flops();
}

/// The only dispatch: checks the operation's extents and executes it on its space.
template <class Op>
void run(Space const& space, Op const& op) {
  op.check();
  std::visit(
      [&](auto const& where) {
        execute(where, op);
        if constexpr (requires { where.between; }) {
          if (where.between) where.between();
        }
      },
      space);
}

inline bool is_dry(Space const& space) {
  return std::holds_alternative<Dry>(space);
}
/// Whether the space's memory can be read and written by the processor: host code may use views of
/// it, and MPI its addresses.
inline bool is_host(Space const& space) {
  return std::holds_alternative<Host>(space);
}

/// What the space, or the run that a dry one stands for, computes with.
inline Processor processor_of(Space const& space) {
  if (auto const* dry = std::get_if<Dry>(&space)) return dry->stands_for;
  return is_host(space) ? Processor::host : Processor::cuda;
}

/// Waits until everything that was run is done.
void synchronize(Space const& space);

/// One block of memory of a space, zero, aligned to 64 bytes. In a dry run it has an address that
/// must not be read. It must not outlive the context of a device.
class Buffer {
 public:
  Buffer() = default;
  /// \throws Error (usage) where a device has too little memory, with what is needed and free
  Buffer(Space const& space, std::int64_t bytes);
  /// Memory that belongs to someone else and outlives this.
  explicit Buffer(View<std::byte, 1> memory) : data_(memory.data()), bytes_(memory.size()) {}
  std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  template <class T>
  View<T, 1> as(std::int64_t begin_bytes, std::int64_t count) const {
    return {reinterpret_cast<T*>(data_ + begin_bytes), {count}};
  }
  template <class T>
  View<T, 1> as() const {
    return as<T>(0, bytes_ / static_cast<std::int64_t>(sizeof(T)));
  }

 private:
  std::unique_ptr<std::byte, void (*)(std::byte*)> owner_{nullptr, [](std::byte*) {}};
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Copies host memory into the space's; nothing in a dry run. Host memory may be reused on return.
void copy_bytes_to_space(Space const& space, void* to, void const* from, std::int64_t bytes);
/// Copies memory of the space to the host's, after everything that was run before.
void copy_bytes_to_host(Space const& space, void* to, void const* from, std::int64_t bytes);

template <class T, int R>
void copy_to_space(Space const& space, View<T, R> to, std::span<T const> from) {
  assert(to.size() == static_cast<std::int64_t>(from.size()));
  copy_bytes_to_space(space, to.data(), from.data(), static_cast<std::int64_t>(from.size_bytes()));
}
template <class T, int R>
void copy_to_host(Space const& space, std::span<T> to, View<T const, R> from) {
  assert(from.size() == static_cast<std::int64_t>(to.size()));
  copy_bytes_to_host(space, to.data(), from.data(), static_cast<std::int64_t>(to.size_bytes()));
}

}  // namespace dino
