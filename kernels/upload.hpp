// SPDX-License-Identifier: Apache-2.0
// Data that go from the host's memory to a space's while the space computes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <vector>

#include "kernels/space.hpp"

namespace dino {

/// Host memory that is read by the copies of UploadBuffer: pinned where the space is a device's,
/// plain where it is the host's. To be used from one thread; it keeps the device's context alive.
std::shared_ptr<std::pmr::memory_resource> upload_memory(Space const& space);

/// Allocates from such memory, or plain memory by default. Containers keep theirs when they are
/// moved.
template <class T>
class UploadAllocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  UploadAllocator() = default;
  UploadAllocator(std::shared_ptr<std::pmr::memory_resource> memory) : memory_(std::move(memory)) {}
  template <class U>
  UploadAllocator(UploadAllocator<U> const& other) : memory_(other.memory()) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(resource()->allocate(count * sizeof(T), alignof(T)));
  }
  void deallocate(T* data, std::size_t count) {
    resource()->deallocate(data, count * sizeof(T), alignof(T));
  }
  std::shared_ptr<std::pmr::memory_resource> const& memory() const { return memory_; }
  friend bool operator==(UploadAllocator const& a, UploadAllocator const& b) {
    return a.memory_ == b.memory_;
  }

 private:
  std::pmr::memory_resource* resource() const {
    return memory_ ? memory_.get() : std::pmr::new_delete_resource();
  }
  std::shared_ptr<std::pmr::memory_resource> memory_;
};

template <class T>
using UploadVector = std::vector<T, UploadAllocator<T>>;

/// The order of the copies into one buffer and of the operations that read it; see UploadBuffer.
class UploadOrder {
 public:
  virtual ~UploadOrder() = default;
  virtual void begin() = 0;
  virtual void copy(void* to, void const* from, std::int64_t bytes) = 0;
  virtual void finish() = 0;
  virtual void acquire() = 0;
  virtual void wait() = 0;
  virtual void release() = 0;
};
/// Null: copies are done when `copy` returns.
std::unique_ptr<UploadOrder> make_upload_order(Host const& host);
std::unique_ptr<UploadOrder> make_upload_order(Dry const& dry);
std::unique_ptr<UploadOrder> make_upload_order(Cuda const& cuda);

/// Memory of a space that is filled over and over while the space computes: begin, copy…, finish;
/// acquire; operations that read it; release; and again.
class UploadBuffer {
 public:
  UploadBuffer() = default;
  /// \throws Error (usage) where a device has too little memory
  UploadBuffer(Space const& space, std::int64_t bytes);
  std::byte* data() const { return memory_.data(); }
  std::int64_t bytes() const { return memory_.bytes(); }
  template <class T>
  View<T, 1> as(std::int64_t begin_bytes, std::int64_t count) const {
    return memory_.as<T>(begin_bytes, count);
  }

  /// Copies that follow wait for what was run before `release`.
  void begin();
  /// Queues a copy to `offset` bytes from the beginning. What it reads stays as it is until `wait`
  /// has returned.
  void copy(std::int64_t offset, void const* from, std::int64_t bytes);
  /// All copies are queued.
  void finish();
  /// Operations run from here on wait for the copies.
  void acquire();
  /// Waits, on the host, until the copies are done.
  void wait();
  /// All operations that read the memory have been run.
  void release();

 private:
  Space space_;
  Buffer memory_;
  std::unique_ptr<UploadOrder> order_;
};

}  // namespace dino
