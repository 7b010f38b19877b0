// SPDX-License-Identifier: Apache-2.0
#include "kernels/runtime.hpp"

#include <cstdlib>

#include "base/error.hpp"
#include "kernels/host/parallel.hpp"

// Of the OpenMP runtime that the matrix library uses, if it uses one.
extern "C" [[gnu::weak]] void omp_set_num_threads(int threads);

namespace dino {

namespace {
void initialize(int threads) {
#if KOKKOS_VERSION >= 30700
  Kokkos::initialize(Kokkos::InitializationSettings{}.set_num_threads(threads));
#else
  Kokkos::InitArguments arguments;
  arguments.num_threads = threads;
  Kokkos::initialize(arguments);
#endif
}
}  // namespace

KernelRuntime::KernelRuntime(int threads) {
  require(threads >= 1, ExitCode::usage, "invalid number of threads: {} (must be at least 1)",
          threads);
  if (omp_set_num_threads != nullptr) omp_set_num_threads(threads);
  if (Kokkos::is_initialized()) return;
  initialize(threads);
  owner_ = true;
}

KernelRuntime::~KernelRuntime() {
  if (owner_ && Kokkos::is_initialized()) Kokkos::finalize();
}

namespace host {

void ensure_runtime() {
  if (Kokkos::is_initialized()) [[likely]] {
    return;
  }
  Kokkos::initialize();
  std::atexit([] {
    if (Kokkos::is_initialized()) Kokkos::finalize();
  });
}

std::int64_t concurrency() {
  ensure_runtime();
#if KOKKOS_VERSION >= 30700
  return std::max<std::int64_t>(1, Kokkos::DefaultHostExecutionSpace().concurrency());
#else
  return std::max<std::int64_t>(1, Kokkos::DefaultHostExecutionSpace::concurrency());
#endif
}

}  // namespace host

}  // namespace dino
