// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/resource.h>

#include <bit>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "io/checkpoint.hpp"

namespace dino::test {

/// An array of a checkpoint under test, whole on every rank.
struct NamedArray {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};

/// Arrays of awkward sizes (none, one, a prime, a scalar), values of every kind of float32.
inline std::vector<NamedArray> sample_arrays() {
  std::vector<NamedArray> arrays{{"student/backbone.cls_token", {1, 1, 7}, {}},
                                 {"student/backbone.blocks.0.attn.qkv.weight", {12, 31}, {}},
                                 {"student/head.last_layer.bias", {0}, {}},
                                 {"teacher/backbone.blocks.0.attn.qkv.weight", {12, 31}, {}},
                                 {"moments/center", {1009}, {}},
                                 {"moments/scale", {}, {}}};
  std::uint32_t bits = 1;
  for (auto& array : arrays) {
    std::int64_t count = 1;
    for (auto const extent : array.shape) count *= extent;
    for (std::int64_t i = 0; i < count; ++i) {
      bits = bits * 1664525U + 1013904223U;
      array.values.push_back(std::bit_cast<float>(bits));  // NaN, infinity and denormals too
    }
  }
  return arrays;
}

inline io::CheckpointState sample_state() {
  return {.integers = {{"step", 1234567890123}, {"seed", -7}},
          .reals = {{"loss", 10.5}, {"nothing", std::numeric_limits<double>::quiet_NaN()}},
          .texts = {{"config", "[run]\nname = \"grün\"\n"},
                    {"empty", ""},
                    {"long", std::string(100000, 'x')}}};
}

/// The parts of one of `ranks` ranks.
inline std::vector<io::CheckpointPart> parts_of(std::span<NamedArray const> arrays, int rank,
                                                int ranks) {
  std::vector<io::CheckpointPart> parts;
  for (auto const& array : arrays) {
    auto const share = share_of(static_cast<std::int64_t>(array.values.size()), rank, ranks);
    parts.push_back({array.name, array.shape, share.begin,
                     std::span(array.values)
                         .subspan(static_cast<std::size_t>(share.begin),
                                  static_cast<std::size_t>(share.size()))});
  }
  return parts;
}

inline std::vector<char> file_bytes(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(std::string const& path, std::span<char const> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Whether two lists of numbers have the same bits (NaN included).
inline bool same_bits(std::span<float const> a, std::span<float const> b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
  }
  return true;
}

/// Lets no file of this process grow beyond `bytes`, as a full disk would, for the life of the
/// object.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit const limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(FileSizeLimit const&) = delete;
  FileSizeLimit& operator=(FileSizeLimit const&) = delete;
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

}  // namespace dino::test
