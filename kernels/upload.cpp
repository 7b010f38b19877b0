// SPDX-License-Identifier: Apache-2.0
#include "kernels/upload.hpp"

#include <utility>

#include "kernels/memory.hpp"

namespace dino {
namespace {

/// Blocks of a space's own host memory.
class BlockMemory : public std::pmr::memory_resource {
 public:
  explicit BlockMemory(Space const& space) : space_(space) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    auto const block = std::visit(
        [&](auto const& where) {
          return allocate_for_upload(where, static_cast<std::int64_t>(bytes));
        },
        space_);
    free_ = block.free;
    return block.data;
  }
  void do_deallocate(void* data, std::size_t, std::size_t) override {
    free_(static_cast<std::byte*>(data));
  }
  bool do_is_equal(memory_resource const& other) const noexcept override { return this == &other; }

  Space space_;
  void (*free_)(std::byte*) = nullptr;
};

}  // namespace

MemoryBlock allocate_for_upload(Host const& host, std::int64_t bytes) {
  return allocate(host, bytes);
}
MemoryBlock allocate_for_upload(Dry const&, std::int64_t bytes) {
  return allocate(Host{}, bytes);
}

std::unique_ptr<UploadOrder> make_upload_order(Host const&) {
  return nullptr;
}
std::unique_ptr<UploadOrder> make_upload_order(Dry const&) {
  return nullptr;
}

std::shared_ptr<std::pmr::memory_resource> upload_memory(Space const& space) {
  if (is_host(space) || is_dry(space)) return nullptr;
  return std::make_shared<BlockMemory>(space);
}

UploadBuffer::UploadBuffer(Space const& space, std::int64_t bytes)
    : space_(space),
      memory_(space, bytes),
      order_(std::visit([](auto const& where) { return make_upload_order(where); }, space)) {
  release();  // the first copies come after the memory was set to zero
}

void UploadBuffer::begin() {
  if (order_) order_->begin();
}
void UploadBuffer::copy(std::int64_t offset, void const* from, std::int64_t bytes) {
  if (bytes <= 0) return;
  if (!order_) return copy_bytes_to_space(space_, data() + offset, from, bytes);
  order_->copy(data() + offset, from, bytes);
}
void UploadBuffer::finish() {
  if (order_) order_->finish();
}
void UploadBuffer::acquire() {
  if (order_) order_->acquire();
}
void UploadBuffer::wait() {
  if (order_) order_->wait();
}
void UploadBuffer::release() {
  if (order_) order_->release();
}

}  // namespace dino
