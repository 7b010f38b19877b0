// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "io/image.hpp"
#include "io/shards.hpp"

namespace dino::test {

/// A smooth picture that differs from number to number.
inline io::Image numbered_picture(int number, int height, int width) {
  io::Image image;
  image.width = width;
  image.height = height;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.pixels.push_back(
            static_cast<std::uint8_t>(x * (3 + c) + y * (number % 7) + 11 * number + 60 * c));
      }
    }
  }
  return image;
}

/// Writes `count` pictures of different sizes, JPEG and PNG by turns, as two shards in a new
/// folder. Those numbered in `bad` are no images. \return the folder
inline std::string write_shards(std::string const& folder, std::int64_t count,
                                std::vector<std::int64_t> const& bad = {}) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  std::int64_t const split = (count + 1) / 2;
  for (std::int64_t begin = 0; begin < count; begin += split) {
    io::ShardWriter writer(folder + "/part" + std::to_string(begin / split) + ".h5", {});
    for (std::int64_t i = begin; i < std::min(begin + split, count); ++i) {
      int const number = static_cast<int>(i);
      auto const picture = numbered_picture(number, 30 + number % 5, 41 - number % 3);
      io::ShardImage image;
      image.key = "picture" + std::to_string(i);
      image.width = picture.width;
      image.height = picture.height;
      image.bytes = i % 2 == 0 ? io::encode_jpeg(picture, 90) : io::encode_png(picture);
      for (std::int64_t const b : bad) {
        if (b == i) image.bytes.assign(40, std::byte{7});
      }
      writer.add(image);
    }
    writer.finish();
  }
  return folder;
}

}  // namespace dino::test
