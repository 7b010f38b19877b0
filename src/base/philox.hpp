// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace dino {

/// What a random draw is for: part of the key, so that no two purposes share numbers.
enum class Purpose : std::uint32_t {
  initial_weight = 1,
  sample_order,
  crop,
  colour,
  flip,
  blur,
  solarize,
  mask,
  drop_path,
  rope,
  synth,
  evaluation,
  test,
  window,
  crop_pair,
  data_mix,
};

/// Philox4x32-10: ten rounds of a bijection of 128-bit counters under a 64-bit key.
/// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    std::uint64_t const p0 = std::uint64_t{0xD2511F53} * counter[0];
    std::uint64_t const p1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// A stream of random numbers that is a pure function of (seed, purpose, a, b): never of rank or
/// thread. `a` is usually a global sample position (64 bit), `b` a small index (crop, parameter,
/// block).
class Philox {
 public:
  constexpr Philox(std::uint64_t seed, Purpose purpose, std::uint64_t a, std::uint32_t b = 0)
      : counter_{0, static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32), b} {
    auto const mixed =
        philox4x32({static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32),
                    static_cast<std::uint32_t>(purpose), 0},
                   {0x64696E6F, 0x68706331});
    key_ = {mixed[0], mixed[1]};
  }

  /// 32 uniform random bits.
  constexpr std::uint32_t bits() {
    if (used_ == 4) {
      block_ = philox4x32(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }
  /// Uniform in [0, 1), 53 bits.
  constexpr double uniform() {
    std::uint64_t const high = bits();
    return static_cast<double>(((high << 32) | bits()) >> 11) * 0x1.0p-53;
  }
  /// Uniform in [low, high).
  constexpr double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform integer in [0, n), n >= 1; the bias is below n / 2^64.
  constexpr std::uint64_t below(std::uint64_t n) {
    std::uint64_t const high = bits();
    std::uint64_t const x = (high << 32) | bits();
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(x) * n) >> 64);
  }
  /// Standard normal (Box-Muller, one of the pair).
  double normal() {
    double const u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }

 private:
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace dino
