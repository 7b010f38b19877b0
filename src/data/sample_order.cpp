// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>

#include "base/error.hpp"
#include "base/philox.hpp"
#include "data/loader.hpp"

namespace dino {
namespace {

using Key = std::array<std::uint32_t, 2>;

Key key_of(std::int64_t seed, std::int64_t epoch, std::uint32_t level) {
  Philox random(static_cast<std::uint64_t>(seed), Purpose::sample_order,
                static_cast<std::uint64_t>(epoch), level);
  std::uint32_t const low = random.bits();
  return {low, random.bits()};
}

/// A keyed bijection of [0, n) that stores nothing: a balanced Feistel network whose round function
/// is Philox, on the least even number of bits that holds n, repeated until it falls into the
/// range. Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains" (cycle walking).
class Permutation {
 public:
  Permutation(std::uint64_t n, Key key, std::uint64_t tweak)
      : n_(n),
        half_bits_((std::bit_width(n - 1) + 1) / 2),
        mask_((std::uint64_t{1} << half_bits_) - 1),
        key_(key),
        tweak_(tweak) {}

  std::uint64_t operator()(std::uint64_t x) const {
    if (n_ < 2) return x;
    do {
      x = encrypt(x);
    } while (x >= n_);
    return x;
  }
  std::uint64_t inverse(std::uint64_t y) const {
    if (n_ < 2) return y;
    do {
      y = decrypt(y);
    } while (y >= n_);
    return y;
  }

 private:
  static constexpr std::uint32_t rounds = 8;

  std::uint64_t round(std::uint64_t half, std::uint32_t number) const {
    auto const bits =
        philox4x32({static_cast<std::uint32_t>(half), number, static_cast<std::uint32_t>(tweak_),
                    static_cast<std::uint32_t>(tweak_ >> 32)},
                   key_);
    return bits[0] & mask_;
  }
  std::uint64_t encrypt(std::uint64_t x) const {
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & mask_;
    for (std::uint32_t i = 0; i < rounds; ++i) {
      std::uint64_t const mixed = left ^ round(right, i);
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }
  std::uint64_t decrypt(std::uint64_t y) const {
    std::uint64_t left = y >> half_bits_;
    std::uint64_t right = y & mask_;
    for (std::uint32_t i = rounds; i-- > 0;) {
      std::uint64_t const mixed = right ^ round(left, i);
      right = left;
      left = mixed;
    }
    return left << half_bits_ | right;
  }

  std::uint64_t n_;
  int half_bits_;
  std::uint64_t mask_;
  Key key_;
  std::uint64_t tweak_;
};

}  // namespace

SampleOrder::SampleOrder(std::int64_t images, std::int64_t batch_size, std::int64_t seed,
                         std::int64_t block, std::int64_t window, std::uint32_t set)
    : images_(images),
      batch_size_(batch_size),
      seed_(seed),
      block_(block),
      window_(window),
      set_(set) {
  require(batch_size >= 1 && block >= 1 && window >= 1, ExitCode::usage,
          "data.batch_size={}, data.block={} and data.window={} must be at least 1", batch_size,
          block, window);
  require(
      images >= batch_size, ExitCode::usage,
      "data.batch_size={} exceeds the {} images of the shards, so that no batch is complete. Try "
      "data.batch_size={}, or pack more images",
      batch_size, images, images);
}

std::int64_t SampleOrder::index(std::int64_t step, std::int64_t g) const {
  std::int64_t const epoch = step / steps_per_epoch();
  return permuted(epoch, step % steps_per_epoch() * batch_size_ + g);
}

// Blocks of consecutive images are put into a random order of slots; the images of each window of
// slots are then put into a random order. The last block may be short; it stands in the slot
// `short_slot`, behind which all positions move down by what it lacks.
std::int64_t SampleOrder::permuted(std::int64_t epoch, std::int64_t position) const {
  std::int64_t const blocks = (images_ + block_ - 1) / block_;
  std::int64_t const lacking = blocks * block_ - images_;
  Permutation const block_order(static_cast<std::uint64_t>(blocks), key_of(seed_, epoch, 2 * set_),
                                0);
  auto const short_slot =
      static_cast<std::int64_t>(block_order.inverse(static_cast<std::uint64_t>(blocks - 1)));
  // Position, among the images in order of slots, of the first image of a slot.
  auto const slot_begin = [&](std::int64_t slot) {
    return slot * block_ - (slot > short_slot ? lacking : 0);
  };
  auto const slot_at = [&](std::int64_t place) {
    return place < slot_begin(short_slot + 1) ? place / block_ : (place + lacking) / block_;
  };

  std::int64_t const window = slot_at(position) / window_;
  std::int64_t const begin = slot_begin(window * window_);
  std::int64_t const end = std::min(slot_begin(window * window_ + window_), images_);
  Permutation const image_order(static_cast<std::uint64_t>(end - begin),
                                key_of(seed_, epoch, 2 * set_ + 1),
                                static_cast<std::uint64_t>(window));
  std::int64_t const place =
      begin + static_cast<std::int64_t>(image_order(static_cast<std::uint64_t>(position - begin)));
  std::int64_t const slot = slot_at(place);
  auto const block = static_cast<std::int64_t>(block_order(static_cast<std::uint64_t>(slot)));
  return block * block_ + place - slot_begin(slot);
}

}  // namespace dino
