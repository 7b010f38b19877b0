// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "io/codecs.hpp"
#include "io/orientation.hpp"

namespace dino::io {
namespace {

// libpng reports errors as libjpeg does: by a jump into one of the functions marked "jumps", which
// hold no object with a destructor; the Error is thrown by their callers.

struct PngErrors {
  char message[256] = "unknown fault";
};

[[noreturn]] void jump_out(png_structp png, png_const_charp message) {
  auto* const errors = static_cast<PngErrors*>(png_get_error_ptr(png));
  std::snprintf(errors->message, sizeof(errors->message), "%s", message);
  png_longjmp(png, 1);
}
void ignore_warning(png_structp, png_const_charp) {}

/// What a PNG holds, as stored.
struct PngHeader {
  std::uint32_t width = 0, height = 0;
  int bits = 0, color = 0;
};

class PngReader {
 public:
  explicit PngReader(std::span<std::byte const> bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &errors_, jump_out, ignore_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ == nullptr || !open()) {
      png_destroy_read_struct(&png_, &info_, nullptr);
      check(false);
    }
  }
  PngReader(PngReader const&) = delete;
  PngReader& operator=(PngReader const&) = delete;
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  PngHeader const& header() const { return header_; }
  /// Call after the pixels: the block may stand behind them.
  int orientation() const {
    png_uint_32 size = 0;
    png_bytep exif = nullptr;
    if (png_get_eXIf_1(png_, info_, &size, &exif) == 0) return 1;
    return exif_orientation(std::as_bytes(std::span(exif, size)));
  }
  /// 8-bit RGB: palette and grey expanded, alpha dropped, 16 bits cut to the upper 8.
  void want_rgb() { check(set_rgb()); }
  /// One channel as stored, samples of 1 to 8 bits in bytes, palette indices, 16 bits in machine
  /// order.
  void want_samples() { check(set_samples()); }
  /// Reads all rows into `out`, of `stride` bytes each.
  void read(std::uint8_t* out, std::size_t stride) {
    require(png_get_rowbytes(png_, info_) == stride, ExitCode::input,
            "PNG: rows of {} bytes instead of {}", png_get_rowbytes(png_, info_), stride);
    std::vector<png_bytep> rows(header_.height);
    for (std::size_t y = 0; y < rows.size(); ++y) rows[y] = out + y * stride;
    check(read_rows(rows.data()));
  }
  void check_size() const {
    require_sane_size(header_.width, header_.height);
    int const channels = png_get_channels(png_, info_);
    std::uint64_t const raw =
        (std::uint64_t{header_.width} * static_cast<unsigned>(channels * header_.bits) / 8 + 1) *
        header_.height;
    constexpr std::uint64_t most_ratio = 1032;  // of deflate
    require(raw / most_ratio <= bytes_.size(), ExitCode::input,
            "PNG: {} bytes cannot hold {} x {} pixels", bytes_.size(), header_.width,
            header_.height);
  }

 private:
  void check(bool good) const { require(good, ExitCode::input, "PNG: {}", errors_.message); }

  static void take(png_structp png, png_bytep out, std::size_t count) {
    auto& left = *static_cast<std::span<std::byte const>*>(png_get_io_ptr(png));
    if (left.size() < count) png_error(png, "premature end of file");
    std::memcpy(out, left.data(), count);
    left = left.subspan(count);
  }
  bool open() {  // jumps
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    left_ = bytes_;
    png_set_read_fn(png_, &left_, take);
    png_set_user_limits(png_, static_cast<png_uint_32>(most_pixels),
                        static_cast<png_uint_32>(most_pixels));
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_WARN_DISCARD);
    // profiles and texts are not used: do not inflate them
    static png_byte const unused[] = "iCCP\0zTXt\0iTXt\0tEXt\0sPLT";
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, unused, 5);
    png_read_info(png_, info_);
    png_get_IHDR(png_, info_, &header_.width, &header_.height, &header_.bits, &header_.color,
                 nullptr, nullptr, nullptr);
    return true;
  }
  bool set_rgb() {  // jumps
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_strip_16(png_);
    if (header_.color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if (header_.color == PNG_COLOR_TYPE_GRAY && header_.bits < 8)
      png_set_expand_gray_1_2_4_to_8(png_);
    if ((header_.color & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png_);
    png_set_strip_alpha(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }
  bool set_samples() {  // jumps
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_packing(png_);
    if (header_.bits == 16 && std::endian::native == std::endian::little) png_set_swap(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }
  bool read_rows(png_bytepp rows) {  // jumps
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, info_);
    return true;
  }

  std::span<std::byte const> bytes_, left_;
  PngErrors errors_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  PngHeader header_;
};

class PngWriter {
 public:
  PngWriter() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &errors_, jump_out, ignore_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    require(info_ != nullptr, ExitCode::bug, "cannot set up the PNG encoder");
  }
  PngWriter(PngWriter const&) = delete;
  PngWriter& operator=(PngWriter const&) = delete;
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }

  /// \param rows  `header.height` rows of samples, 16-bit ones in the order of the machine
  std::vector<std::byte> encode(PngHeader const& header,
                                std::vector<std::uint8_t const*> const& rows) {
    std::vector<std::byte> bytes;
    require(write(header, rows.data(), bytes), ExitCode::bug, "cannot encode a PNG: {}",
            errors_.message);
    return bytes;
  }

 private:
  static void append(png_structp png, png_bytep from, std::size_t count) {
    auto& bytes = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
    auto const* const first = reinterpret_cast<std::byte const*>(from);
    bytes.insert(bytes.end(), first, first + count);
  }
  bool write(PngHeader const& header, std::uint8_t const* const* rows,
             std::vector<std::byte>& bytes) {  // jumps
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_write_fn(png_, &bytes, append, nullptr);
    png_set_IHDR(png_, info_, header.width, header.height, header.bits, header.color,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    if (header.bits == 16 && std::endian::native == std::endian::little) png_set_swap(png_);
    png_write_image(png_, const_cast<png_bytepp>(rows));
    png_write_end(png_, info_);
    return true;
  }

  PngErrors errors_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

template <class Sample>
std::vector<std::byte> encode_rows(PngHeader const& header, std::vector<Sample> const& samples) {
  require_sane_size(header.width, header.height);
  std::size_t const row = samples.size() / header.height;
  std::vector<std::uint8_t const*> rows(header.height);
  for (std::size_t y = 0; y < rows.size(); ++y) {
    rows[y] = reinterpret_cast<std::uint8_t const*>(samples.data() + y * row);
  }
  return PngWriter().encode(header, rows);
}

}  // namespace

Image decode_png(std::span<std::byte const> bytes) {
  PngReader reader(bytes);
  reader.check_size();
  reader.want_rgb();
  Image image{.width = static_cast<std::int32_t>(reader.header().width),
              .height = static_cast<std::int32_t>(reader.header().height),
              .pixels = {}};
  std::size_t const stride = std::size_t{reader.header().width} * 3;
  image.pixels.resize(stride * reader.header().height);
  reader.read(image.pixels.data(), stride);
  return upright(std::move(image), reader.orientation());
}

ImageSize png_size(std::span<std::byte const> bytes) {
  PngReader const reader(bytes);
  reader.check_size();
  ImageSize size{static_cast<std::int32_t>(reader.header().width),
                 static_cast<std::int32_t>(reader.header().height)};
  if (swaps_sides(reader.orientation())) std::swap(size.width, size.height);
  return size;
}

Raster decode_raster(std::span<std::byte const> png) {
  require(is_png(png), ExitCode::input, "a mask or depth map must be a PNG");
  PngReader reader(png);
  reader.check_size();
  auto const& header = reader.header();
  require(header.color == PNG_COLOR_TYPE_GRAY || header.color == PNG_COLOR_TYPE_PALETTE,
          ExitCode::input, "PNG: a mask or depth map must have one channel (grey or palette)");
  reader.want_samples();
  Raster raster{.width = static_cast<std::int32_t>(header.width),
                .height = static_cast<std::int32_t>(header.height),
                .values = {}};
  std::size_t const pixels = std::size_t{header.width} * header.height;
  raster.values.resize(pixels);
  if (header.bits == 16) {
    reader.read(reinterpret_cast<std::uint8_t*>(raster.values.data()),
                std::size_t{header.width} * 2);
    return raster;
  }
  std::vector<std::uint8_t> samples(pixels);
  reader.read(samples.data(), header.width);
  raster.values.assign(samples.begin(), samples.end());
  return raster;
}

std::vector<std::byte> encode_png(Image const& image) {
  return encode_rows({.width = static_cast<std::uint32_t>(image.width),
                      .height = static_cast<std::uint32_t>(image.height),
                      .bits = 8,
                      .color = PNG_COLOR_TYPE_RGB},
                     image.pixels);
}

std::vector<std::byte> encode_png(Raster const& raster, int bits) {
  PngHeader const header{.width = static_cast<std::uint32_t>(raster.width),
                         .height = static_cast<std::uint32_t>(raster.height),
                         .bits = bits,
                         .color = PNG_COLOR_TYPE_GRAY};
  require(bits == 8 || bits == 16, ExitCode::bug, "a raster has 8 or 16 bits, not {}", bits);
  if (bits == 16) return encode_rows(header, raster.values);
  return encode_rows(header, std::vector<std::uint8_t>(raster.values.begin(), raster.values.end()));
}

}  // namespace dino::io
