// SPDX-License-Identifier: Apache-2.0
#include "base/error.hpp"
#include "io/image.hpp"
#include "io/posix.hpp"
#include "io/shard_index.hpp"
#include "io/shard_set.hpp"

namespace dino::io {
namespace {

/// Re-reads the pictures of one file.
class FileCheck {
 public:
  explicit FileCheck(std::string const& path)
      : path_(path),
        index_(read_shard_index(path, IndexPart::all, FileLocking::no)),
        fd_(open_to_read(path)) {}

  std::int64_t images() const { return index_.images; }

  /// \throws Error (input) with the first fault of an image
  void check_image(std::size_t row) const {
    auto const bytes = read(index_.image, row, "image");
    auto const image = decode_image(bytes);
    check_size("image", row, image.width, image.height);
    check_raster(index_.mask, row, "mask");
    check_raster(index_.depth, row, "depth map");
  }
  std::string const& key(std::size_t row) const { return index_.key[row]; }

 private:
  std::vector<std::byte> read(PictureColumn const& column, std::size_t row,
                              char const* kind) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(column.length[row]));
    auto const got = read_at(fd_.get(), path_, column.begin + column.offset[row], bytes);
    require(got == bytes.size(), ExitCode::input, "{}: {} of {} bytes are there", kind, got,
            bytes.size());
    require(crc32_of(bytes) == column.crc32[row], ExitCode::input, "{}: its checksum differs",
            kind);
    return bytes;
  }
  void check_raster(PictureColumn const& column, std::size_t row, char const* kind) const {
    if (!column.present() || column.length[row] == 0) return;
    auto const raster = decode_raster(read(column, row, kind));
    check_size(kind, row, raster.width, raster.height);
  }
  void check_size(char const* kind, std::size_t row, std::int32_t width,
                  std::int32_t height) const {
    require(width == index_.width[row] && height == index_.height[row], ExitCode::input,
            "{}: {} x {} pixels instead of {} x {}", kind, width, height, index_.width[row],
            index_.height[row]);
  }

  std::string path_;
  ShardIndex index_;
  Fd fd_;
};

void verify_file(std::string const& path, VerifyReport& report) {
  ++report.files;
  try {
    FileCheck const check(path);
    report.images += check.images();
    for (std::size_t row = 0; row < static_cast<std::size_t>(check.images()); ++row) {
      try {
        check.check_image(row);
      } catch (Error const& error) {
        report.faults.push_back(
            fmt::format("{}: image {} '{}': {}", path, row, check.key(row), error.what()));
      }
    }
  } catch (Error const& error) {
    report.faults.push_back(fmt::format("{}: {}", path, error.what()));
  }
}

}  // namespace

VerifyReport verify_shards(std::string const& path, int part, int parts) {
  auto const files = list_shard_files(path);
  VerifyReport report;
  for (auto file = static_cast<std::size_t>(part); file < files.size();
       file += static_cast<std::size_t>(parts)) {
    verify_file(files[file], report);
  }
  if (part == 0 && report.faults.empty()) {
    try {
      static_cast<void>(ShardSet::open(path, FileLocking::no));
    } catch (Error const& error) {
      report.faults.emplace_back(error.what());
    }
  }
  return report;
}

}  // namespace dino::io
