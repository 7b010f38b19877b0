// SPDX-License-Identifier: Apache-2.0
#include "train/teacher_source.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <span>
#include <tuple>

#include "config/crop_sizes.hpp"
#include "io/checkpoint.hpp"
#include "train/checkpointing.hpp"
#include "train/slice.hpp"

namespace dino::train {
namespace {

/// What rank 0 reads of a teacher's file.
struct TeacherFile {
  Config config;
  TeacherSource source;
};

/// FNV-1a, not negative.
std::int64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (char const letter : text)
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
  return static_cast<std::int64_t>(hash >> 1U);
}

TeacherFile read_checkpoint_file(std::string const& path) {
  TeacherFile file{.config = checkpoint_config(path), .source = {.path = path}};
  auto const summary = io::read_checkpoint_summary(path);
  auto const has = [&](std::string const& group) {
    return std::ranges::any_of(summary.arrays, [&](auto const& array) {
      return array.name.starts_with(group + "/backbone.");
    });
  };
  auto& source = file.source;
  source.group = has("teacher") ? "teacher" : "student";
  std::string facts;
  for (auto const& array : summary.arrays) {
    if (array.name.starts_with(source.group + "/"))
      facts += fmt::format("{} {}\n", array.name, array.crc32);
  }
  source.checksum = hash_of(facts);
  if (auto const step = summary.state.integers.find("step"); step != summary.state.integers.end())
    source.step = step->second;
  return file;
}

TeacherFile read_file(std::string const& path) {
  if (!path.ends_with(".toml")) return read_checkpoint_file(path);
  return {.config = load_config(path, {}), .source = {.path = path, .group = "teacher"}};
}

/// The same on all ranks. Collective.
TeacherFile share_file(Communicator const& world, std::string const& path) {
  TeacherFile file;
  std::string toml;
  on_rank_zero(world, [&] {
    file = read_file(path);
    toml = to_toml(file.config);
  });
  auto& source = file.source;
  source.path = path;
  source.group = world.broadcast_text(source.group);
  std::array facts{source.step, source.checksum};
  world.broadcast(std::as_writable_bytes(std::span(facts)));
  std::tie(source.step, source.checksum) = std::tuple(facts[0], facts[1]);
  file.config = parse_config(world.broadcast_text(toml), path, {});
  return file;
}

/// Teacher and student must have the same number of prototypes.
void check_prototypes(char const* key, std::int64_t student, std::int64_t teacher,
                      std::string const& path) {
  require(student == teacher, ExitCode::usage,
          "invalid {0}={1} (the teacher '{2}' has {0}={3}, and both compare themselves on the same "
          "prototypes). Try {0}={3}",
          key, student, path, teacher);
}

void check_heads(Config const& config, Config const& teacher, ModelShape const& shape,
                 std::string const& path) {
  check_prototypes("dino.out_dim", config.dino.out_dim, teacher.dino.out_dim, path);
  if (config.ibot.loss_weight == 0) return;
  require(teacher.ibot.loss_weight != 0, ExitCode::usage,
          "invalid ibot.loss_weight={} (the teacher '{}' was trained with ibot.loss_weight=0 and "
          "knows nothing of masked patches). Try ibot.loss_weight=0",
          config.ibot.loss_weight, path);
  bool const student_has = model_shape(config).ibot_head.has_value();
  require(student_has == shape.ibot_head.has_value(), ExitCode::usage,
          "invalid ibot.separate_head={} (the teacher '{}' has {} of its own for patches). Try "
          "ibot.separate_head={}",
          config.ibot.separate_head, path, shape.ibot_head ? "a head" : "no head", !student_has);
  if (student_has)
    check_prototypes("ibot.out_dim", config.ibot.out_dim, teacher.ibot.out_dim, path);
}

/// What both see must have the same patches and colours.
void check_crops(Config const& config, Config const& teacher, std::string const& path) {
  auto const patch = teacher.student.patch_size, own = config.student.patch_size;
  for (auto const& sizes : config::crop_sizes(config.crops)) {
    auto const size = sizes.global;
    bool const whole = teacher.method != "dinov2" || size % patch == 0;
    require(
        whole && size / patch == size / own, ExitCode::usage,
        "invalid student.patch_size={0} (global crops of {1} pixels have {2} x {2} patches of it, "
        "and {3:.4g} x {3:.4g} of the teacher '{4}' with student.patch_size={5}). Try "
        "student.patch_size={5}",
        own, size, size / own, static_cast<double>(size) / static_cast<double>(patch), path, patch);
  }
  auto const same = [&](char const* key, std::array<double, 3> const& mine,
                        std::array<double, 3> const& theirs) {
    require(mine == theirs, ExitCode::usage,
            "invalid crops.{0}=[{1}] (the teacher '{2}' was trained with crops.{0}=[{3}] and sees "
            "the same pixels). Try crops.{0}=[{3}]",
            key, fmt::join(mine, ", "), path, fmt::join(theirs, ", "));
  };
  same("mean", config.crops.mean, teacher.crops.mean);
  same("std", config.crops.std, teacher.crops.std);
}

}  // namespace

SharedPasses shared_passes(Config const& config, Communicator const& all) {
  auto const batch = config.data.batch_size;
  auto const micro = config.distill.micro_batch;
  return {.ranks = all,
          .images = largest_micro_batch(all.size(), batch, micro),
          .micro_batches = micro_batches(all.size(), batch, micro)};
}

std::optional<TeacherSource> find_teacher(Communicator const& world, Config const& config,
                                          std::optional<Communicator> const& students) {
  auto const& path = config.distill.teacher;
  if (path.empty()) return std::nullopt;
  auto [teacher, source] = share_file(world, path);
  require(teacher.method != "dinov1", ExitCode::usage,
          "invalid distill.teacher=\"{}\" (it was trained with method=dinov1; a frozen teacher is "
          "one of dinov2 or dinov3)",
          path);
  source.shape = model_shape(teacher);
  check_heads(config, teacher, source.shape, path);
  check_crops(config, teacher, path);
  if (config.ibot.loss_weight == 0) source.shape.ibot_head.reset();
  if (students) source.shared = shared_passes(config, *students);
  return source;
}

}  // namespace dino::train
