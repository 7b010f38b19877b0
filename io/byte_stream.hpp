// SPDX-License-Identifier: Apache-2.0
// Values to bytes and back, for sending a structure to other ranks of the same program.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.hpp"

namespace dino::io {

class ByteWriter {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(T const& value) {
    append(std::as_bytes(std::span(&value, 1)));
  }
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put_all(std::span<T const> values) {
    put(static_cast<std::int64_t>(values.size()));
    append(std::as_bytes(values));
  }
  void put_text(std::string const& text) { put_all(std::span<char const>(text)); }
  void put_texts(std::span<std::string const> texts) {
    put(static_cast<std::int64_t>(texts.size()));
    for (auto const& text : texts) put_text(text);
  }
  std::vector<std::byte> take() { return std::move(bytes_); }

 private:
  void append(std::span<std::byte const> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  std::vector<std::byte> bytes_;
};

/// \throws Error (bug) where the bytes end too early
class ByteReader {
 public:
  explicit ByteReader(std::span<std::byte const> bytes) : left_(bytes) {}
  template <class T>
  T get() {
    T value{};
    std::memcpy(&value, advance(sizeof(T)), sizeof(T));
    return value;
  }
  template <class T>
  std::vector<T> get_all() {
    auto const count = get<std::int64_t>();
    require(count >= 0 && static_cast<std::size_t>(count) <= left_.size() / sizeof(T),
            ExitCode::bug, "a message of another rank is cut short");
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count > 0)
      std::memcpy(values.data(), advance(values.size() * sizeof(T)), values.size() * sizeof(T));
    return values;
  }
  std::string get_text() {
    auto const letters = get_all<char>();
    return {letters.begin(), letters.end()};
  }
  std::vector<std::string> get_texts() {
    std::vector<std::string> texts;
    for (auto count = get<std::int64_t>(); count > 0; --count) texts.push_back(get_text());
    return texts;
  }
  bool empty() const { return left_.empty(); }

 private:
  std::byte const* advance(std::size_t count) {
    require(count <= left_.size(), ExitCode::bug, "a message of another rank is cut short");
    auto const* const here = left_.data();
    left_ = left_.subspan(count);
    return here;
  }
  std::span<std::byte const> left_;
};

}  // namespace dino::io
