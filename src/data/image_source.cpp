// SPDX-License-Identifier: Apache-2.0
#include "data/image_source.hpp"

#include <algorithm>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"

namespace dino {

std::vector<std::vector<std::byte>> ImageSource::read(std::int64_t begin, std::int64_t count) {
  return shards_.read_block(
      begin, begin + count,
      [this](std::int64_t index, std::string const& reason) { note_bad(index, reason); });
}

ImageSource::Result ImageSource::decode(std::int64_t index, std::span<std::byte const> bytes,
                                        Decode const& decode) {
  auto const attempt = [&](std::int64_t candidate,
                           std::span<std::byte const> encoded) -> std::optional<io::Image> {
    if (encoded.empty()) return std::nullopt;  // noted when it was read
    try {
      return decode(encoded);
    } catch (Error const& error) {
      note_bad(candidate, error.what());
      return std::nullopt;
    }
  };
  if (auto image = attempt(index, bytes)) return {std::move(*image), false};
  std::int64_t const tries = std::min(most_replacements, shards_.size() - 1);
  for (std::int64_t k = 1; k <= tries; ++k) {
    std::int64_t const candidate = (index + k) % shards_.size();
    auto const encoded = read(candidate, 1);
    if (auto image = attempt(candidate, encoded.front())) return {std::move(*image), true};
  }
  fail(ExitCode::input,
       "image {} of the shards ({}) and the {} after it cannot be read or decoded; the reasons "
       "stand in the log. "
       "Check the shards with `dino pack --verify`",
       index, shards_.files()[static_cast<std::size_t>(shards_.entry(index).file)], tries);
}

std::int64_t ImageSource::images_skipped() const {
  std::lock_guard const lock(mutex_);
  return std::ssize(bad_);
}

void ImageSource::note_bad(std::int64_t index, std::string const& reason) {
  {
    std::lock_guard const lock(mutex_);
    if (!bad_.insert(index).second) return;
  }
  log::warning("image {} is left out and replaced by the next one: {}", index, reason);
}

}  // namespace dino
