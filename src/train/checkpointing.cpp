// SPDX-License-Identifier: Apache-2.0
#include "train/checkpointing.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <sstream>

#include "base/log.hpp"
#include "kernels/host_arrays.hpp"
#include "train/frozen_teacher.hpp"

namespace dino::train {
namespace {

/// A parameter's elements of which this rank holds some.
struct HeldPart {
  std::vector<std::int64_t> const* shape;
  std::string name;       ///< full state-dict name
  std::size_t parameter;  ///< in its unit
  std::int64_t in_parameter = 0, in_part = 0, count = 0;
};

template <class T>
std::vector<HeldPart> held_parts(shard::ParameterStore<T> const& store, int unit) {
  auto const& layout = store.layout(unit);
  auto const& parameters = layout.spec().parameters;
  std::vector<HeldPart> parts;
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    auto const overlap = layout.overlap(p, store.part());
    parts.push_back({.shape = &parameters[p].shape,
                     .name = layout.spec().prefix + parameters[p].name,
                     .parameter = p,
                     .in_parameter = overlap.in_parameter,
                     .in_part = overlap.in_part,
                     .count = overlap.count});
  }
  return parts;
}

/// Which of a model's arrays are meant: parameters or an optimizer moment.
template <class T>
struct ArrayGroup {
  std::string path;
  shard::ParameterStore<T> const* store;
  std::function<View<float, 1>(int unit)> values;
  bool trained_only = false;
};

constexpr char const* gram_group = "gram_teacher/";
constexpr char const* gram_state = "loss/gram_teacher";

template <class T>
std::vector<ArrayGroup<T>> array_groups(TrainingStep<T>& step) {
  auto const masters = [](std::string path, shard::ParameterStore<T>& store) {
    return ArrayGroup<T>{std::move(path), &store, [&store](int u) { return store.master(u); }};
  };
  auto& student = step.student().store;
  std::vector<ArrayGroup<T>> groups{
      masters("student/", student),
      masters("teacher/", step.teacher().store),
      {"optimizer/exp_avg/", &student, [&student](int u) { return student.exp_avg(u); }, true},
      {"optimizer/exp_avg_sq/", &student, [&student](int u) { return student.exp_avg_sq(u); },
       true}};
  if (auto* const gram = step.gram_teacher()) groups.push_back(masters(gram_group, *gram));
  return groups;
}

/// Calls visit(array name, part, this rank's values of it) for every array of a group.
template <class T>
void for_each_array(ArrayGroup<T> const& group, auto const& visit) {
  auto const& store = *group.store;
  for (int unit = 0; unit < store.units(); ++unit) {
    for (auto const& part : held_parts(store, unit)) {
      auto const& spec = store.layout(unit).spec().parameters[part.parameter];
      if (group.trained_only && spec.trained == shard::Trained::no) continue;
      auto const values = group.values(unit).rows(part.in_part, part.in_part + part.count);
      visit(group.path + part.name, part, values);
    }
  }
}

/// Requests for every array of a group, to be sent to the space when they are answered.
template <class T>
void request_arrays(ArrayGroup<T> const& group, HostArrays& arrays,
                    std::vector<io::CheckpointRequest>& requests) {
  for_each_array(group, [&](std::string name, HeldPart const& part, View<float, 1> values) {
    requests.push_back({.name = std::move(name),
                        .shape = *part.shape,
                        .offset = part.in_parameter,
                        .values = arrays.room(values)});
  });
}

/// The share of a part that this rank writes: groups that hold the same part share the work.
io::CheckpointPart written_share(std::string name, HeldPart const& part, View<float, 1> values,
                                 HostArrays& arrays, int replica, int replicas) {
  auto const share = share_of(part.count, replica, replicas);
  return {.name = std::move(name),
          .shape = *part.shape,
          .offset = part.in_parameter + share.begin,
          .values = arrays.values(values.rows(share.begin, share.end))};
}

template <class T>
std::vector<float> optimizer_steps(optim::AdamW<T> const& optimizer) {
  std::vector<float> steps;
  for (auto const& slot : optimizer.slots()) steps.push_back(static_cast<float>(slot.steps));
  return steps;
}

constexpr char const* steps_array = "optimizer/steps";

/// An array that every rank has whole: rank 0 writes it.
io::CheckpointPart whole_array(std::string name, std::vector<float> const& values, int rank) {
  auto const all = std::span<float const>(values);
  return {.name = std::move(name),
          .shape = {static_cast<std::int64_t>(values.size())},
          .offset = 0,
          .values = rank == 0 ? all : all.first(0)};
}

constexpr char const* teacher_checksum = "distill_teacher_checksum";

io::CheckpointState run_state(Config const& config, Progress const& progress,
                              TeacherSource const* teacher) {
  io::CheckpointState state{.integers = {{"step", progress.step},
                                         {"batch_size", config.data.batch_size},
                                         {"dataset_size", progress.dataset_size},
                                         {"mixed_in_size", progress.mixed_in_size},
                                         {"images_seen", progress.step * config.data.batch_size},
                                         {"seed", config.run.seed}},
                            .reals = {{"mixed_in_share", progress.mixed_in_share}},
                            .texts = {{"method", config.method}, {"config", to_toml(config)}}};
  if (teacher == nullptr) return state;
  state.integers.insert(
      {{"distill_teacher_step", teacher->step}, {teacher_checksum, teacher->checksum}});
  state.texts.insert({"distill_teacher", teacher->path});
  return state;
}

template <class T>
TeacherSource const* frozen_source(TrainingStep<T>& step) {
  auto const* const frozen = step.frozen_teacher();
  return frozen == nullptr ? nullptr : &frozen->source();
}

/// \throws Error (usage) unless the run had the frozen teacher that it has now
void check_teacher(TeacherSource const* teacher, std::string const& path,
                   io::CheckpointState const& state) {
  auto const had = state.integers.find(teacher_checksum);
  bool const frozen = had != state.integers.end();
  require(
      frozen == (teacher != nullptr), ExitCode::usage,
      "'{}' was trained {} a frozen teacher (distill.teacher). Go on {} one, or begin a new run "
      "with run.start_from='{}' in another run.dir",
      path, frozen ? "with" : "without", frozen ? "with" : "without", path);
  require(
      !frozen || had->second == teacher->checksum, ExitCode::usage,
      "'{}' was trained with another teacher: '{}' has other weights now. Give the file of that "
      "run as distill.teacher, or choose another run.dir",
      path, teacher == nullptr ? "" : teacher->path);
}

/// Every array that a checkpoint of this run has, with its shape.
template <class T>
std::map<std::string, std::vector<std::int64_t>> expected_arrays(TrainingStep<T>& step) {
  std::map<std::string, std::vector<std::int64_t>> arrays;
  for (auto const& group : array_groups(step)) {
    for_each_array(group, [&](std::string const& name, HeldPart const& part, View<float, 1>) {
      arrays[name] = *part.shape;
    });
  }
  for (auto const& state : step.loss_state())
    arrays["loss/" + state.name] = {static_cast<std::int64_t>(state.values.size())};
  arrays[steps_array] = {static_cast<std::int64_t>(step.optimizer().slots().size())};
  return arrays;
}

/// Whether a checkpoint holds a Gram teacher of its own. A run may get one on its way.
bool has_gram_teacher(io::CheckpointSummary const& summary) {
  return std::any_of(summary.arrays.begin(), summary.arrays.end(),
                     [](auto const& array) { return array.name.starts_with(gram_group); });
}

bool belongs_to_gram_teacher(std::string const& array) {
  return array.starts_with(gram_group) || array == gram_state;
}

/// Whether the arrays of a Gram teacher are taken from a checkpoint.
enum class GramArrays { taken, passed_over };

/// \throws Error (usage) where the checkpoint cannot be continued by this configuration
template <class T>
void check_belongs(TrainingStep<T>& step, Config const& config, std::string const& path,
                   io::CheckpointSummary const& summary, GramArrays gram) {
  auto expected = expected_arrays(step);
  if (gram == GramArrays::passed_over || !has_gram_teacher(summary))
    std::erase_if(expected, [](auto const& row) { return belongs_to_gram_teacher(row.first); });
  std::size_t found = 0;
  for (auto const& array : summary.arrays) {
    if (gram == GramArrays::passed_over && belongs_to_gram_teacher(array.name)) continue;
    auto const it = expected.find(array.name);
    require(it != expected.end() && it->second == array.shape, ExitCode::usage,
            "'{}' belongs to another model: its array {} [{}] is [{}] in this configuration. Go on "
            "with the configuration of that run, or choose another run.dir",
            path, array.name, fmt::join(array.shape, ", "),
            it == expected.end() ? "missing" : fmt::format("{}", fmt::join(it->second, ", ")));
    ++found;
  }
  require(found == expected.size(), ExitCode::usage,
          "'{}' belongs to another model: it has {} arrays, this configuration {}. Choose another "
          "run.dir",
          path, found, expected.size());
  check_teacher(frozen_source(step), path, summary.state);
  auto const batch = summary.state.integers.find("batch_size");
  require(batch == summary.state.integers.end() || batch->second == config.data.batch_size,
          ExitCode::usage,
          "'{}' was trained with data.batch_size={}, this configuration says {}: the place in the "
          "data would be lost. Keep the batch size (run.micro_batch may change), or choose another "
          "run.dir",
          path, batch == summary.state.integers.end() ? 0 : batch->second, config.data.batch_size);
}

std::int64_t state_integer(io::CheckpointSummary const& summary, std::string const& path,
                           std::string const& name) {
  auto const it = summary.state.integers.find(name);
  require(it != summary.state.integers.end(), ExitCode::input,
          "'{}' has no state '{}': it is no checkpoint of a training run", path, name);
  return it->second;
}

/// A value that checkpoints of former versions do not have: 0 there.
template <class Value>
Value optional_state(std::map<std::string, Value> const& values, std::string const& name) {
  auto const it = values.find(name);
  return it == values.end() ? Value{} : it->second;
}

/// Reads one checkpoint that is known to be good into the step.
template <class T>
Progress load_checkpoint(TrainingStep<T>& step, Config const& config, std::string const& path,
                         GramArrays gram_arrays = GramArrays::taken) {
  auto const summary = io::read_checkpoint_summary(path);
  check_belongs(step, config, path, summary, gram_arrays);
  bool const gram = gram_arrays == GramArrays::taken && has_gram_teacher(summary);
  HostArrays arrays(step.student().store.space());
  std::vector<io::CheckpointRequest> requests;
  for (auto const& group : array_groups(step))
    if (gram || !belongs_to_gram_teacher(group.path)) request_arrays(group, arrays, requests);
  io::read_checkpoint(path, requests);
  arrays.send();
  for (auto& state : step.loss_state()) {
    auto const name = "loss/" + state.name;
    if (gram || !belongs_to_gram_teacher(name))
      step.set_loss_state({state.name, io::read_checkpoint_array(path, name)});
  }
  auto const steps = io::read_checkpoint_array(path, steps_array);
  for (std::size_t i = 0; i < steps.size(); ++i)
    step.optimizer().set_steps(i, static_cast<std::int64_t>(steps[i]));
  step.student().store.invalidate();
  step.teacher().store.invalidate();
  return {.step = state_integer(summary, path, "step"),
          .dataset_size = state_integer(summary, path, "dataset_size"),
          .mixed_in_size = optional_state(summary.state.integers, "mixed_in_size"),
          .mixed_in_share = optional_state(summary.state.reals, "mixed_in_share")};
}

/// The steps of the run's checkpoints as rank 0 sees them, newest first.
std::vector<std::int64_t> shared_checkpoint_list(Communicator const& world,
                                                 std::string const& run_dir) {
  std::string text;
  on_rank_zero(world,
               [&] { text = fmt::format("{}", fmt::join(io::list_checkpoints(run_dir), " ")); });
  std::istringstream stream(world.broadcast_text(text));
  return {std::istream_iterator<std::int64_t>(stream), {}};
}

}  // namespace

template <class T>
void save_checkpoint(TrainingStep<T>& step, Config const& config, Progress const& progress) {
  auto const& world = step.world();
  auto const& store = step.student().store;
  int const group_size = store.group().size();
  HostArrays arrays(store.space());
  std::vector<io::CheckpointPart> parts;
  for (auto const& group : array_groups(step)) {
    for_each_array(group, [&](std::string name, HeldPart const& part, View<float, 1> values) {
      parts.push_back(written_share(std::move(name), part, values, arrays,
                                    world.rank() / group_size, world.size() / group_size));
    });
  }
  auto const losses = step.loss_state();
  auto const steps = optimizer_steps(step.optimizer());
  for (auto const& state : losses)
    parts.push_back(whole_array("loss/" + state.name, state.values, world.rank()));
  parts.push_back(whole_array(steps_array, steps, world.rank()));
  auto const path = io::checkpoint_path(config.run.dir, progress.step);
  io::write_checkpoint(world, path, parts, run_state(config, progress, frozen_source(step)));
  on_rank_zero(world, [&] {
    io::publish_checkpoint(config.run.dir, progress.step, config.checkpoint.keep_last,
                           config.checkpoint.keep_every);
  });
}

template <class T>
std::optional<Progress> load_newest_checkpoint(TrainingStep<T>& step, Config const& config,
                                               std::optional<std::int64_t> at_most) {
  auto const& world = step.world();
  auto steps = shared_checkpoint_list(world, config.run.dir);
  if (at_most) std::erase_if(steps, [&](auto const number) { return number > *at_most; });
  std::string last_fault;
  for (auto const number : steps) {
    auto const path = io::checkpoint_path(config.run.dir, number);
    auto const fault = io::find_checkpoint_fault(world, path);
    if (!fault) {
      if (!last_fault.empty() && world.rank() == 0)
        log::warning("going on from the older checkpoint '{}'", path);
      return load_checkpoint(step, config, path);
    }
    last_fault = *fault;
    if (world.rank() == 0) log::warning("passing over a damaged checkpoint: {}", last_fault);
  }
  require(steps.empty(), ExitCode::input,
          "all {} checkpoints of run.dir '{}' are damaged, the oldest: {}. Restore one, or choose "
          "another run.dir to start anew",
          steps.size(), config.run.dir, last_fault);
  return std::nullopt;
}

template <class T>
Progress load_former_stage(TrainingStep<T>& step, Config const& config, std::string const& path) {
  if (auto const fault = io::find_checkpoint_fault(step.world(), path))
    fail(ExitCode::input, "cannot go on from the checkpoint: {}", *fault);
  bool const own_gram = step.gram_teacher() == nullptr || !config.gram.ckpt.empty();
  return load_checkpoint(step, config, path,
                         own_gram ? GramArrays::passed_over : GramArrays::taken);
}

template <class T>
void load_model(shard::ParameterStore<T>& store, std::string const& path,
                std::string const& group) {
  HostArrays arrays(store.space());
  std::vector<io::CheckpointRequest> requests;
  request_arrays<T>({group + "/", &store, [&](int u) { return store.master(u); }}, arrays,
                    requests);
  io::read_checkpoint(path, requests);
  arrays.send();
  store.invalidate();
}

Config checkpoint_config(std::string const& path) {
  auto const summary = io::read_checkpoint_summary(path);
  auto const it = summary.state.texts.find("config");
  require(it != summary.state.texts.end(), ExitCode::input,
          "'{}' holds no configuration: it is no checkpoint of a training run", path);
  return parse_config(it->second, path, {});
}

template void save_checkpoint(TrainingStep<float>&, Config const&, Progress const&);
template void save_checkpoint(TrainingStep<bfloat16>&, Config const&, Progress const&);
template std::optional<Progress> load_newest_checkpoint(TrainingStep<float>&, Config const&,
                                                        std::optional<std::int64_t>);
template std::optional<Progress> load_newest_checkpoint(TrainingStep<bfloat16>&, Config const&,
                                                        std::optional<std::int64_t>);
template Progress load_former_stage(TrainingStep<float>&, Config const&, std::string const&);
template Progress load_former_stage(TrainingStep<bfloat16>&, Config const&, std::string const&);
template void load_model(shard::ParameterStore<float>&, std::string const&, std::string const&);
template void load_model(shard::ParameterStore<bfloat16>&, std::string const&, std::string const&);

}  // namespace dino::train
