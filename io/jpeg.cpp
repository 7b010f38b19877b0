// SPDX-License-Identifier: Apache-2.0
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
// clang-format off: jpeglib.h needs <cstdio> before it, jerror.h needs jpeglib.h
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <memory>
#include <span>
#include <string>

#include "base/error.hpp"
#include "io/codecs.hpp"
#include "io/orientation.hpp"

namespace dino::io {
namespace {

// libjpeg reports errors through a callback that must not return. It jumps back into one of the
// functions marked "jumps", which hold no object with a destructor; the Error is thrown by their
// callers.

struct JpegErrors {
  jpeg_error_mgr base{};
  std::jmp_buf jump{};
  char message[JMSG_LENGTH_MAX] = "unknown fault";
};

[[noreturn]] void jump_out(j_common_ptr info) {
  auto* const errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

/// Warnings that mean lost pixels; libjpeg would go on with grey. Stray bytes between segments,
/// which some cameras write, lose nothing.
void judge_warning(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
      jump_out(info);
    default:
      return;
  }
}

/// Refuses pictures of very many scans, each of which costs a pass over all of it.
void limit_scans(j_common_ptr info) {
  constexpr int most_scans = 100;
  if (!info->is_decompressor) return;
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= most_scans) return;
  auto* const errors = reinterpret_cast<JpegErrors*>(info->err);
  std::snprintf(errors->message, sizeof(errors->message), "more than %d scans", most_scans);
  std::longjmp(errors->jump, 1);
}

jpeg_error_mgr* install(JpegErrors& errors) {
  jpeg_error_mgr* const base = jpeg_std_error(&errors.base);
  base->error_exit = jump_out;
  base->emit_message = judge_warning;
  base->output_message = [](j_common_ptr) {};
  return base;
}

class JpegReader {
 public:
  explicit JpegReader(std::span<std::byte const> bytes) : JpegReader(bytes, Opened::no) {
    check(open());
    require_sane_size(info_.image_width, info_.image_height);
    // Each 8 x 8 block takes at least one bit; sampling factors go up to 4 x 4.
    constexpr std::uint64_t most_pixels_per_byte = 8 * 64 * 16;
    std::uint64_t const pixels = std::uint64_t{info_.image_width} * info_.image_height;
    require(pixels / most_pixels_per_byte <= bytes.size(), ExitCode::input,
            "JPEG: {} bytes cannot hold {} x {} pixels", bytes.size(), info_.image_width,
            info_.image_height);
  }
  JpegReader(JpegReader const&) = delete;
  JpegReader& operator=(JpegReader const&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&info_); }

  int orientation() const {
    constexpr int app1 = JPEG_APP0 + 1;
    for (auto const* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      if (marker->marker != app1 || marker->data_length < 14 || marker->data[0] != 'E') continue;
      return exif_orientation(std::as_bytes(std::span(marker->data, marker->data_length)));
    }
    return 1;
  }
  ImageSize size() const {
    return {static_cast<std::int32_t>(info_.image_width),
            static_cast<std::int32_t>(info_.image_height)};
  }

  /// Decodes at 1/2, 1/4 or 1/8 where neither side falls below `least_side`.
  void scale_down(std::int32_t least_side) {
    if (least_side <= 0) return;
    auto const side = static_cast<std::int64_t>(std::min(info_.image_width, info_.image_height));
    while (info_.scale_denom < 8 &&
           (side + 2 * info_.scale_denom - 1) / (2 * info_.scale_denom) >= least_side) {
      info_.scale_denom *= 2;
    }
  }

  Image pixels() {
    bool const cmyk = info_.num_components == 4;
    info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    check(start());
    Image image{.width = static_cast<std::int32_t>(info_.output_width),
                .height = static_cast<std::int32_t>(info_.output_height),
                .pixels = {}};
    image.pixels.resize(std::size_t{info_.output_width} * info_.output_height * 3);
    std::vector<std::uint8_t> inks(cmyk ? std::size_t{info_.output_width} * 4 : 0);
    check(rows(image.pixels.data(), cmyk ? inks.data() : nullptr));
    return image;
  }

 private:
  void check(bool good) const { require(good, ExitCode::input, "JPEG: {}", errors_.message); }

  // The other constructor delegates to this one, so that its refusals run the destructor.
  enum class Opened { no };
  JpegReader(std::span<std::byte const> bytes, Opened) : bytes_(bytes) {
    info_.err = install(errors_);
  }

  bool open() {  // jumps
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = limit_scans;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<unsigned char const*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
    return true;
  }
  bool start() {  // jumps
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_start_decompress(&info_);
    return true;
  }
  bool rows(std::uint8_t* pixels, std::uint8_t* inks) {  // jumps
    if (setjmp(errors_.jump) != 0) return false;
    std::size_t const stride = std::size_t{info_.output_width} * 3;
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = inks != nullptr ? inks : pixels + info_.output_scanline * stride;
      std::size_t const y = info_.output_scanline;
      if (jpeg_read_scanlines(&info_, &row, 1) != 1) continue;
      if (inks != nullptr) convert_inks(inks, pixels + y * stride, info_.output_width);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }
  /// CMYK stored inverted, as Adobe and Pillow take every 4-channel JPEG to be, as RGB.
  static void convert_inks(std::uint8_t const* inks, std::uint8_t* rgb, std::size_t width) {
    for (std::size_t x = 0; x < width; ++x, inks += 4, rgb += 3) {
      unsigned const light = inks[3];
      for (int c = 0; c < 3; ++c) {
        unsigned const product = (255U - inks[c]) * light + 128;
        rgb[c] = static_cast<std::uint8_t>(light - ((product + (product >> 8)) >> 8));
      }
    }
  }

  std::span<std::byte const> bytes_;
  JpegErrors errors_;
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
};

struct Free {
  void operator()(unsigned char* bytes) const {
    std::free(bytes);
  }  // libjpeg allocates with malloc
};

class JpegWriter {
 public:
  JpegWriter() { info_.err = install(errors_); }
  JpegWriter(JpegWriter const&) = delete;
  JpegWriter& operator=(JpegWriter const&) = delete;
  ~JpegWriter() {
    jpeg_destroy_compress(&info_);
    Free{}(bytes_);
  }
  std::vector<std::byte> encode(Image const& image, int quality) {
    require(write(image, quality), ExitCode::bug, "cannot encode a JPEG: {}", errors_.message);
    auto const* const first = reinterpret_cast<std::byte const*>(bytes_);
    return {first, first + size_};
  }

 private:
  bool write(Image const& image, int quality) {  // jumps
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_compress(&info_);
    jpeg_mem_dest(&info_, &bytes_, &size_);
    info_.image_width = static_cast<JDIMENSION>(image.width);
    info_.image_height = static_cast<JDIMENSION>(image.height);
    info_.input_components = 3;
    info_.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    jpeg_start_compress(&info_, TRUE);
    while (info_.next_scanline < info_.image_height) {
      auto* row = const_cast<JSAMPROW>(image.row(info_.next_scanline));
      jpeg_write_scanlines(&info_, &row, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  JpegErrors errors_;
  jpeg_compress_struct info_{};
  unsigned char* bytes_ = nullptr;
  unsigned long size_ = 0;
};

}  // namespace

Image decode_jpeg(std::span<std::byte const> bytes, DecodeOptions options) {
  JpegReader reader(bytes);
  int const orientation = reader.orientation();
  reader.scale_down(options.least_side);
  return upright(reader.pixels(), orientation);
}

ImageSize jpeg_size(std::span<std::byte const> bytes) {
  JpegReader const reader(bytes);
  auto size = reader.size();
  if (swaps_sides(reader.orientation())) std::swap(size.width, size.height);
  return size;
}

std::vector<std::byte> encode_jpeg(Image const& image, int quality) {
  require_sane_size(image.width, image.height);
  require(quality >= 1 && quality <= 100, ExitCode::bug, "JPEG quality {} is not in 1 to 100",
          quality);
  return JpegWriter().encode(image, quality);
}

}  // namespace dino::io
