// SPDX-License-Identifier: Apache-2.0
#include "io/image.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "base/error.hpp"
#include "unit/io/picture_cases.hpp"
#include "unit/io/pictures.hpp"

namespace dino::io {
namespace {

using test::damaged;
using test::drawn_picture;

std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

std::vector<std::byte> picture_case(std::string_view name) {
  for (auto const& picture : test::picture_cases) {
    if (picture.name == name) return from_hex(picture.file);
  }
  throw std::logic_error("no such picture");
}

std::string refusal(std::span<std::byte const> bytes) {
  try {
    static_cast<void>(decode_image(bytes));
  } catch (Error const& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    return error.what();
  }
  return "not refused";
}

/// A JPEG with an EXIF block that holds nothing but the orientation.
std::vector<std::byte> with_orientation(std::vector<std::byte> jpeg, int orientation,
                                        bool big_endian) {
  std::string exif("Exif\0\0", 6);
  if (big_endian) {
    exif += std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 19) +
            static_cast<char>(orientation) + std::string(6, '\0');
  } else {
    exif += std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) +
            static_cast<char>(orientation) + std::string(7, '\0');
  }
  std::string const segment =
      std::string("\xFF\xE1\0", 3) + static_cast<char>(exif.size() + 2) + exif;
  auto const inserted = test::bytes_of(segment);
  jpeg.insert(jpeg.begin() + 2, inserted.begin(), inserted.end());
  return jpeg;
}

std::array<std::uint8_t, 3> pixel(Image const& image, std::int64_t x, std::int64_t y) {
  return {image.row(y)[x * 3], image.row(y)[x * 3 + 1], image.row(y)[x * 3 + 2]};
}

}  // namespace

TEST(DecodeImage, GivesThePixelsOfPillowForEveryKindOfPicture) {
  for (auto const& picture : test::picture_cases) {
    SCOPED_TRACE(picture.name);
    auto const file = from_hex(picture.file);

    auto const image = decode_image(file);

    ASSERT_EQ(image.width, picture.width);
    ASSERT_EQ(image.height, picture.height);
    auto const expected = from_hex(picture.rgb);
    EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(image.pixels)), expected));
    auto const size = image_size(file);
    EXPECT_EQ(size.width, picture.width);
    EXPECT_EQ(size.height, picture.height);
  }
}

TEST(DecodeImage, SetsAllEightExifOrientationsUpright) {
  auto const jpeg = encode_jpeg(drawn_picture(13, 6), 90);
  auto const plain = decode_image(jpeg);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);

    auto const image = decode_image(with_orientation(jpeg, orientation, orientation % 2 == 0));

    bool const turned = orientation >= 5;
    ASSERT_EQ(image.width, turned ? 6 : 13);
    ASSERT_EQ(image.height, turned ? 13 : 6);
    // where the stored top left pixel goes: its row and column are named in the EXIF standard
    bool const right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    bool const bottom =
        orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    EXPECT_EQ(pixel(image, right ? image.width - 1 : 0, bottom ? image.height - 1 : 0),
              pixel(plain, 0, 0));
    // and its right neighbour goes along the row, or along the column where width and height change
    // places
    std::int64_t const x = right ? image.width - 1 : 0;
    std::int64_t const y = bottom ? image.height - 1 : 0;
    EXPECT_EQ(
        turned ? pixel(image, x, bottom ? y - 1 : y + 1) : pixel(image, right ? x - 1 : x + 1, y),
        pixel(plain, 1, 0));
  }
}

TEST(DecodeImage, TakesDamagedExifForUpright) {
  auto const jpeg = encode_jpeg(drawn_picture(13, 6), 90);

  EXPECT_EQ(decode_image(with_orientation(jpeg, 9, false)).width, 13);
  EXPECT_EQ(decode_image(with_orientation(jpeg, 0, true)).width, 13);
}

TEST(DecodeImage, DecodesSmallerWhereNoSideFallsBelowTheLeast) {
  auto const jpeg = encode_jpeg(drawn_picture(130, 64), 90);

  EXPECT_EQ(decode_image(jpeg, {.least_side = 0}).width, 130);
  EXPECT_EQ(decode_image(jpeg, {.least_side = 33}).width, 130);
  EXPECT_EQ(decode_image(jpeg, {.least_side = 32}).width, 65);
  EXPECT_EQ(decode_image(jpeg, {.least_side = 16}).width, 33);
  EXPECT_EQ(decode_image(jpeg, {.least_side = 1}).width, 17);
}

TEST(DecodeImage, NamesWhatItCannotRead) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal({}), HasSubstr("empty"));
  EXPECT_THAT(refusal(test::bytes_of("GIF89a")), HasSubstr("GIF"));
  EXPECT_THAT(refusal(test::bytes_of("hello")), HasSubstr("neither JPEG nor PNG"));
  auto jpeg = encode_jpeg(drawn_picture(64, 64), 90);
  jpeg.resize(jpeg.size() / 2);
  EXPECT_THAT(refusal(jpeg), HasSubstr("JPEG: Premature end"));
  auto png = encode_png(drawn_picture(64, 64));
  png.resize(png.size() / 2);
  EXPECT_THAT(refusal(png), HasSubstr("PNG: premature end"));
}

TEST(DecodeImage, RefusesHugeClaimsBeforeAllocating) {
  auto jpeg = encode_jpeg(drawn_picture(16, 16), 90);
  auto const frame = std::ranges::search(jpeg, test::bytes_of("\xFF\xC0"));
  ASSERT_FALSE(frame.empty());
  std::fill_n(frame.begin() + 5, 4, std::byte{0xF0});  // 61680 x 61680
  EXPECT_THAT(refusal(jpeg), testing::HasSubstr("too large"));
  std::fill_n(frame.begin() + 5, 4, std::byte{0x30});  // 12336 x 12336, below the limit
  EXPECT_THAT(refusal(jpeg), testing::HasSubstr("cannot hold"));

  auto png = encode_png(drawn_picture(16, 16));
  png[18] = std::byte{0x20};  // width 8208
  png[22] = std::byte{0x20};
  auto const* const header = reinterpret_cast<Bytef const*>(png.data()) + 12;
  auto const crc = crc32(0, header, 17);
  for (std::size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<std::byte>(crc >> (24 - 8 * i));
  EXPECT_THAT(refusal(png), testing::HasSubstr("cannot hold"));
}

TEST(DecodeImage, SurvivesDamage) {
  std::vector<std::vector<std::byte>> const files{
      encode_jpeg(drawn_picture(40, 30), 80), encode_png(drawn_picture(24, 20)),
      picture_case("jpeg_444_progressive"),   picture_case("jpeg_cmyk"),
      picture_case("png_interlaced"),         picture_case("png_palette"),
  };
  for (auto const& file : files) {
    int refused = 0;
    for (std::uint64_t number = 0; number < 400; ++number) {
      auto const bytes = damaged(file, number);
      try {
        auto const image = decode_image(bytes);
        ASSERT_EQ(image.pixels.size(), static_cast<std::size_t>(image.width) *
                                           static_cast<std::size_t>(image.height) * 3);
      } catch (Error const& error) {
        ASSERT_EQ(error.code(), ExitCode::input);
        ++refused;
      }
      try {
        static_cast<void>(image_size(bytes));
        static_cast<void>(decode_raster(bytes));
      } catch (Error const&) {
      }
    }
    EXPECT_GE(refused, 100);  // every cut is found: a quarter
  }
}

TEST(EncodePng, KeepsPixelsAndSamples) {
  auto const image = drawn_picture(31, 17);
  EXPECT_EQ(decode_image(encode_png(image)).pixels, image.pixels);

  Raster const depth{.width = 3, .height = 2, .values = {0, 1, 255, 256, 4660, 65535}};
  EXPECT_EQ(decode_raster(encode_png(depth, 16)).values, depth.values);
  Raster const mask{.width = 3, .height = 2, .values = {0, 1, 2, 11, 254, 255}};
  EXPECT_EQ(decode_raster(encode_png(mask, 8)).values, mask.values);
}

TEST(DecodeRaster, KeepsPaletteIndicesAndRefusesColour) {
  auto const mask = decode_raster(picture_case("png_palette_2_bits"));
  EXPECT_EQ(mask.width, 9);
  EXPECT_EQ(*std::ranges::max_element(mask.values), 3);

  EXPECT_THROW(static_cast<void>(decode_raster(picture_case("png_rgb"))), Error);
  EXPECT_THROW(static_cast<void>(decode_raster(picture_case("jpeg_grey"))), Error);
}

}  // namespace dino::io
