// SPDX-License-Identifier: Apache-2.0
#include "io/pack.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/byte_stream.hpp"
#include "io/image.hpp"
#include "io/pack_companions.hpp"
#include "io/posix.hpp"
#include "io/shards.hpp"

namespace dino::io {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::sig_atomic_t volatile signal_received = 0;

/// Turns SIGINT and SIGTERM into a flag while it lives.
class SignalWatch {
 public:
  SignalWatch() {
    signal_received = 0;
    struct sigaction action{};
    action.sa_flags = SA_RESTART;
    action.sa_handler = [](int number) { signal_received = number; };
    sigaction(SIGINT, &action, &before_[0]);
    sigaction(SIGTERM, &action, &before_[1]);
  }
  SignalWatch(SignalWatch const&) = delete;
  SignalWatch& operator=(SignalWatch const&) = delete;
  ~SignalWatch() {
    sigaction(SIGINT, &before_[0], nullptr);
    sigaction(SIGTERM, &before_[1], nullptr);
  }

 private:
  std::array<struct sigaction, 2> before_{};
};

void stop_if_interrupted() {
  int const number = signal_received;
  require(number == 0, ExitCode::stopped,
          "interrupted by signal {}: nothing was written. Start again", number);
}

/// What became of one rank's part.
struct Outcome {
  ExitCode code = ExitCode::finished;
  std::string message;
};

Outcome outcome_of(std::function<void()> const& work) {
  try {
    work();
    return {};
  } catch (Error const& error) {
    return {error.code(), error.what()};
  } catch (std::exception const& error) {
    return {ExitCode::input, error.what()};
  }
}

/// Ends all ranks alike with the first error of any. Collective.
void agree(Communicator const& comm, Outcome const& mine) {
  ByteWriter writer;
  writer.put(mine.code);
  writer.put_text(mine.message);
  auto const all = comm.all_gather_varying(writer.take());
  for (ByteReader reader(all); !reader.empty();) {
    auto const code = reader.get<ExitCode>();
    auto const message = reader.get_text();
    if (code != ExitCode::finished) throw Error(code, message);
  }
}

/// Work of rank 0 whose failure all ranks get to know. Collective.
void on_root(Communicator const& comm, std::function<void()> const& work) {
  agree(comm, comm.rank() == 0 ? outcome_of(work) : Outcome{});
}

SourceList shared_list(Communicator const& comm, SourceOptions const& options) {
  std::vector<std::byte> bytes;
  on_root(comm, [&] {
    bytes = list_source(options).serialize();
    stop_if_interrupted();
  });
  bytes.resize(static_cast<std::size_t>(comm.max(static_cast<std::int64_t>(bytes.size()))));
  comm.broadcast(bytes);
  return SourceList::deserialize(bytes);
}

/// The folder that the shards are made in, beside OUT so that one rename publishes them.
std::string workshop_of(std::string const& out) {
  auto path = fs::absolute(out).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  if (fs::exists(path)) path = fs::canonical(path);
  return fmt::format("{}/.{}.packing", path.parent_path().string(), path.filename().string());
}

void prepare(std::string const& out, std::string const& workshop) {
  require(!fs::exists(out) || (fs::is_directory(out) && fs::is_empty(out)), ExitCode::usage,
          "'{}' is not an empty folder. Name a new one, or remove it first", out);
  fs::remove_all(workshop);  // of a pack that was killed
  fs::create_directories(workshop);
}

/// Images [begin, end) of the list make one shard.
std::vector<std::pair<std::size_t, std::size_t>> shard_ranges(SourceList const& list,
                                                              std::int64_t shard_bytes) {
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  std::size_t begin = 0;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < list.images.size(); ++i) {
    auto const size = list.images[i].file.bytes;
    if (i > begin && bytes + size > shard_bytes) {
      ranges.emplace_back(begin, i);
      begin = i;
      bytes = 0;
    }
    bytes += size;
  }
  if (begin < list.images.size()) ranges.emplace_back(begin, list.images.size());
  return ranges;
}

/// What one shard of this rank came to.
struct ShardResult {
  std::int64_t shard = 0, images = 0, bytes = 0, masks = 0, depths = 0;
};

std::string unnumbered(std::string const& workshop, std::int64_t shard) {
  return fmt::format("{}/part_{}.h5", workshop, shard);
}

/// One rank's work: makes its shards and remembers what it skipped.
class Packer {
 public:
  Packer(SourceList const& list, std::string workshop)
      : list_(list), workshop_(std::move(workshop)), reader_(list.inputs) {
    metadata_.class_names = list.class_names;
    for (auto const& input : list.inputs)
      metadata_.source += (metadata_.source.empty() ? "" : " ") + input;
    for (auto const& image : list.images) {
      metadata_.depth_units_per_metre =
          std::max(metadata_.depth_units_per_metre, image.depth_units_per_metre);
    }
  }

  void make_shard(std::int64_t shard, std::size_t begin, std::size_t end) {
    ShardWriter writer(unnumbered(workshop_, shard), metadata_);
    ShardResult result{.shard = shard};
    for (std::size_t i = begin; i < end; ++i) {
      stop_if_interrupted();
      try {
        auto const image = load(list_.images[i]);
        writer_add(writer, image, result);
      } catch (UnreadableImage const& fault) {
        skipped.push_back({list_.images[i].key, fault.what()});
      }
    }
    if (writer.images() == 0) return;
    writer.finish();
    results.push_back(result);
  }

  std::vector<ShardResult> results;
  std::vector<SkippedImage> skipped;

 private:
  /// A fault of one image, apart from faults of the output.
  struct UnreadableImage : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  ShardImage load(SourceImage const& source) try {
    constexpr std::size_t longest_key = 4096;
    require(source.key.size() <= longest_key, ExitCode::input, "its name is longer than {} bytes",
            longest_key);
    ShardImage image{.key = source.key,
                     .bytes = reader_.read(source.file),
                     .label = source.label,
                     .mask = {},
                     .depth = {},
                     .duplicate = source.duplicate};
    auto const picture = decode_image(image.bytes);
    image.width = picture.width;
    image.height = picture.height;
    if (source.mask)
      image.mask = prepare_mask(reader_.read(*source.mask), {picture.width, picture.height});
    if (source.depth) {
      image.depth = prepare_depth(reader_.read(*source.depth), {picture.width, picture.height},
                                  metadata_.depth_units_per_metre / source.depth_units_per_metre);
    }
    return image;
  } catch (Error const& error) {
    throw UnreadableImage(error.what());
  }

  static void writer_add(ShardWriter& writer, ShardImage const& image, ShardResult& result) {
    writer.add(image);
    ++result.images;
    result.bytes += static_cast<std::int64_t>(image.bytes.size());
    result.masks += image.mask.empty() ? 0 : 1;
    result.depths += image.depth.empty() ? 0 : 1;
  }

  SourceList const& list_;
  std::string workshop_;
  SourceReader reader_;
  ShardMetadata metadata_;
};

/// A line every 10 s about this rank's part.
class Progress {
 public:
  explicit Progress(std::size_t shards) : shards_(shards) {}
  void shard_done(std::int64_t images) {
    ++done_;
    images_ += images;
    auto const now = Clock::now();
    if (now - last_ < std::chrono::seconds(10)) return;
    last_ = now;
    std::chrono::duration<double> const spent = now - begin_;
    log::info("packing: shard {} of {}, {:.0f} images/s on this rank, {:.0f} s left", done_,
              shards_, static_cast<double>(images_) / spent.count(),
              spent.count() * static_cast<double>(shards_ - done_) / static_cast<double>(done_));
  }

 private:
  std::size_t shards_, done_ = 0;
  std::int64_t images_ = 0;
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

/// All ranks' shards, in order, and skipped images, by key. Collective.
std::vector<ShardResult> gather(Communicator const& comm, Packer const& packer,
                                PackReport& report) {
  ByteWriter writer;
  writer.put_all(std::span<ShardResult const>(packer.results));
  writer.put(static_cast<std::int64_t>(packer.skipped.size()));
  for (auto const& image : packer.skipped) {
    writer.put_text(image.key);
    writer.put_text(image.reason);
  }
  auto const all = comm.all_gather_varying(writer.take());
  std::vector<ShardResult> shards;
  for (ByteReader reader(all); !reader.empty();) {
    std::ranges::copy(reader.get_all<ShardResult>(), std::back_inserter(shards));
    for (auto count = reader.get<std::int64_t>(); count > 0; --count) {
      auto key = reader.get_text();
      report.skipped.push_back({.key = std::move(key), .reason = reader.get_text()});
    }
  }
  std::ranges::sort(shards, {}, &ShardResult::shard);
  std::ranges::sort(report.skipped, {}, &SkippedImage::key);
  for (auto const& shard : shards) {
    report.images += shard.images;
    report.bytes += shard.bytes;
    report.masks += shard.masks;
    report.depths += shard.depths;
  }
  report.shards = static_cast<std::int64_t>(shards.size());
  return shards;
}

void refuse_if_useless(PackReport const& report, bool strict) {
  if (report.skipped.empty() || (report.images > 0 && !strict)) return;
  auto const& first = report.skipped.front();
  fail(ExitCode::input, "{} of {} images cannot be read, e.g. '{}': {}. Nothing was written{}",
       report.skipped.size(), static_cast<std::int64_t>(report.skipped.size()) + report.images,
       first.key, first.reason, strict ? " (--strict)" : "");
}

/// The list of skipped images, one a line, with control characters replaced.
void write_skipped(std::string const& path, std::vector<SkippedImage> const& skipped) {
  std::string text;
  for (auto const& image : skipped) {
    auto line = image.key + ": " + image.reason;
    std::ranges::replace_if(line, [](unsigned char c) { return c < ' ' || c == 127; }, '?');
    text += line + "\n";
  }
  Fd const fd = open_to_write(path);
  write_at(fd.get(), path, 0, std::as_bytes(std::span(text)));
  sync_file(fd.get(), path);
}

void publish(std::string const& workshop, std::string const& out,
             std::vector<ShardResult> const& shards, PackReport const& report) {
  for (std::size_t i = 0; i < shards.size(); ++i) {
    rename_file(unnumbered(workshop, shards[i].shard),
                fmt::format("{}/shard_{:05}.h5", workshop, i));
  }
  if (!report.skipped.empty()) write_skipped(workshop + "/skipped.txt", report.skipped);
  sync_folder(workshop);
  auto const target =
      fs::exists(out) ? fs::canonical(out).string() : fs::absolute(out).lexically_normal().string();
  auto const plain = target.ends_with('/') ? target.substr(0, target.size() - 1) : target;
  rename_file(workshop, plain);
  sync_folder(folder_of(plain));
}

/// Removes the workshop unless the shards left it. Collective at the end of `pack` only.
class Workshop {
 public:
  Workshop(Communicator const& comm, std::string const& out) : root_(comm.rank() == 0) {
    on_root(comm, [&] {
      require(!out.empty(), ExitCode::usage, "no folder for the shards. Try -o shards");
      path_ = workshop_of(out);
      prepare(out, path_);
    });
    path_ = comm.broadcast_text(path_);
  }
  Workshop(Workshop const&) = delete;
  Workshop& operator=(Workshop const&) = delete;
  ~Workshop() {
    std::error_code ignored;
    if (root_) fs::remove_all(path_, ignored);
  }
  std::string const& path() const { return path_; }

 private:
  bool root_;
  std::string path_;
};

}  // namespace

PackReport pack(Communicator const& comm, PackOptions const& options) {
  auto const begin = Clock::now();
  require(options.shard_bytes >= 1, ExitCode::usage,
          "a shard of {} bytes is not possible. Try --shard-bytes 268435456", options.shard_bytes);
  SignalWatch const watch;
  Workshop const workshop(comm, options.out);
  auto const list = shared_list(comm, options.source);
  auto const ranges = shard_ranges(list, options.shard_bytes);

  Packer packer(list, workshop.path());
  agree(comm, outcome_of([&] {
          auto const ranks = static_cast<std::size_t>(comm.size());
          auto const first = static_cast<std::size_t>(comm.rank());
          Progress progress((ranges.size() + ranks - 1) / ranks);
          for (std::size_t shard = first; shard < ranges.size(); shard += ranks) {
            auto const [from, to] = ranges[shard];
            packer.make_shard(static_cast<std::int64_t>(shard), from, to);
            if (comm.rank() == 0) progress.shard_done(static_cast<std::int64_t>(to - from));
          }
        }));

  PackReport report{.classes = static_cast<std::int64_t>(list.class_names.size()),
                    .skipped = list.skipped};
  auto const shards = gather(comm, packer, report);
  refuse_if_useless(report, options.strict);
  on_root(comm, [&] {
    stop_if_interrupted();
    publish(workshop.path(), options.out, shards, report);
  });
  report.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return report;
}

VerifyReport verify_shards(Communicator const& comm, std::string const& path) {
  VerifyReport mine;
  agree(comm, outcome_of([&] { mine = verify_shards(path, comm.rank(), comm.size()); }));
  ByteWriter writer;
  writer.put_texts(mine.faults);
  auto const all = comm.all_gather_varying(writer.take());
  VerifyReport report{.files = comm.sum(mine.files), .images = comm.sum(mine.images), .faults = {}};
  for (ByteReader reader(all); !reader.empty();) {
    std::ranges::move(reader.get_texts(), std::back_inserter(report.faults));
  }
  std::ranges::sort(report.faults);
  return report;
}

}  // namespace dino::io
