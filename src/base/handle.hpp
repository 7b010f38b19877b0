// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <utility>

namespace dino {

/// Sole owner of a C handle. `Traits` names `Raw`, `null()` and `close(Raw)`; close must not throw.
template <class Traits>
class UniqueHandle {
 public:
  using Raw = typename Traits::Raw;

  UniqueHandle() noexcept = default;
  explicit UniqueHandle(Raw raw) noexcept : raw_(raw) {}
  UniqueHandle(UniqueHandle&& other) noexcept : raw_(std::exchange(other.raw_, Traits::null())) {}
  UniqueHandle& operator=(UniqueHandle&& other) noexcept {
    if (this != &other) {
      reset();
      raw_ = std::exchange(other.raw_, Traits::null());
    }
    return *this;
  }
  UniqueHandle(UniqueHandle const&) = delete;
  UniqueHandle& operator=(UniqueHandle const&) = delete;
  ~UniqueHandle() { reset(); }

  Raw get() const noexcept { return raw_; }
  Raw release() noexcept { return std::exchange(raw_, Traits::null()); }
  explicit operator bool() const noexcept { return raw_ != Traits::null(); }
  void reset() noexcept {
    if (raw_ != Traits::null()) {
      Traits::close(std::exchange(raw_, Traits::null()));
    }
  }

 private:
  Raw raw_ = Traits::null();
};

}  // namespace dino
