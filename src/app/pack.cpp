// SPDX-License-Identifier: Apache-2.0
#include "io/pack.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/command.hpp"

namespace dino::app {
namespace {

struct PackCommand {
  io::PackOptions pack;
  std::string verify;
  std::int64_t shard_mib = 256;
};

ExitCode verify(Communicator const& world, std::string const& path) {
  auto const report = io::verify_shards(world, path);
  if (world.rank() == 0) {
    for (auto const& fault : report.faults) fmt::print("{}\n", fault);
    fmt::print("{} shards, {} images, {} faults\n", report.files, report.images,
               report.faults.size());
  }
  return report.faults.empty() ? ExitCode::finished : ExitCode::input;
}

void print_report(io::PackReport const& report, std::string const& out) {
  constexpr std::size_t shown = 20;
  for (std::size_t i = 0; i < std::min(shown, report.skipped.size()); ++i)
    fmt::print("skipped {}: {}\n", report.skipped[i].key, report.skipped[i].reason);
  if (report.skipped.size() > shown)
    fmt::print("... and {} more in {}/skipped.txt\n", report.skipped.size() - shown, out);
  fmt::print(
      "{} images ({:.1f} MiB) in {} shards, {} classes, {} masks, {} depth maps, {} skipped, "
      "{:.1f} s\n",
      report.images, static_cast<double>(report.bytes) / 1048576.0, report.shards, report.classes,
      report.masks, report.depths, report.skipped.size(), report.seconds);
}

ExitCode pack(Communicator const& world, PackCommand const& command) {
  if (!command.verify.empty()) return verify(world, command.verify);
  require(!command.pack.source.inputs.empty() && !command.pack.out.empty(), ExitCode::usage,
          "dino pack needs a folder or tar of images and -o FOLDER (or --verify SHARDS)");
  auto options = command.pack;
  options.shard_bytes = command.shard_mib << 20;
  auto const report = io::pack(world, options);
  if (world.rank() == 0) print_report(report, options.out);
  return ExitCode::finished;
}

}  // namespace

void declare_pack(CLI::App& command, Action& action) {
  auto const options = std::make_shared<PackCommand>();
  auto& source = options->pack.source;
  command.add_option("inputs", source.inputs, "image folders and tars (WebDataset too)");
  command.add_option("-o,--out", options->pack.out, "folder for the shards: missing or empty");
  command.add_option("--subset", source.subset, "only images whose path begins with this");
  static std::map<std::string, io::LabelMode> const modes{{"auto", io::LabelMode::automatic},
                                                          {"none", io::LabelMode::none},
                                                          {"folder", io::LabelMode::folder}};
  command.add_option("--labels", source.labels, "where labels come from: auto, none or folder")
      ->transform(CLI::CheckedTransformer(modes));
  command.add_option("--shard-mib", options->shard_mib, "size of a shard, MiB, about")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_flag("--strict", options->pack.strict, "an unreadable image is an error, not a skip");
  command.add_option("--verify", options->verify, "re-read this shard set and report every fault");
  command.callback([options, &action] {
    action = [options](Communicator const& world) { return pack(world, *options); };
  });
}

}  // namespace dino::app
