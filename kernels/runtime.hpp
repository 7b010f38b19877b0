// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace dino {

/// The threads that host operations of this process use, from construction to destruction. Make one
/// at the start of `main`; operations without one initialize the runtime on their first use, with
/// the environment's number of threads.
class KernelRuntime {
 public:
  /// \param threads  per process, >= 1, for loops and matrix products alike; \throws Error if < 1
  explicit KernelRuntime(int threads);
  KernelRuntime(KernelRuntime const&) = delete;
  KernelRuntime& operator=(KernelRuntime const&) = delete;
  ~KernelRuntime();

 private:
  bool owner_ = false;
};

}  // namespace dino
