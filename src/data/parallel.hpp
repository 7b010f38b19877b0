// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace dino {

/// Calls make_worker() in each of `workers` threads and the function that it returns for every i in
/// [0, n), each by one of the threads. \throws what the call of the least i that failed threw
template <class MakeWorker>
void for_each_in_threads(std::int64_t n, std::int64_t workers, MakeWorker const& make_worker) {
  std::atomic<std::int64_t> next = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  std::int64_t failed = n;
  auto const run = [&] {
    auto worker = make_worker();
    for (std::int64_t i = next++; i < n; i = next++) {
      try {
        worker(i);
      } catch (...) {  // the edge of the thread
        std::lock_guard const lock(mutex);
        if (i < failed) failure = std::current_exception();
        failed = std::min(failed, i);
        next = n;  // calls of lesser i are under way already
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::int64_t i = 1; i < std::min(workers, n); ++i) threads.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace dino
