// SPDX-License-Identifier: Apache-2.0
#include "train/run.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "comm/collective_watch.hpp"
#include "data/open_shards.hpp"
#include "io/metrics.hpp"
#include "train/checkpointing.hpp"
#include "train/collapse.hpp"
#include "train/common_checkpoint.hpp"
#include "train/device.hpp"
#include "train/device_memory.hpp"
#include "train/evaluation.hpp"
#include "train/frozen_teacher.hpp"
#include "train/initial_weights.hpp"
#include "train/make_step.hpp"
#include "train/progress.hpp"
#include "train/run_directory.hpp"
#include "train/slice.hpp"
#include "train/stop.hpp"
#include "train/student_feed.hpp"
#include "train/teacher_feed.hpp"
#include "train/training_data.hpp"

namespace dino::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Lengths of a run in steps.
struct Extent {
  std::int64_t steps_per_epoch = 0, steps = 0;
};

Extent run_extent(Config const& config, std::int64_t images) {
  require(images >= config.data.batch_size, ExitCode::usage,
          "data.batch_size={} is larger than the data set of {} images in '{}'. Try "
          "data.batch_size={}",
          config.data.batch_size, images, config.data.shards, images);
  auto const per_epoch = config.run.epoch_length.value_or(images / config.data.batch_size);
  return {per_epoch,
          config.run.head_warmup_steps + config.run.steps.value_or(config.run.epochs * per_epoch)};
}

/// One training run on this rank, from opening its data to its last checkpoint.
template <class T>
class Run {
 public:
  /// \param students  the ranks of all students, where there are several
  Run(Communicator const& world, Config const& config, std::optional<Communicator> students);
  ExitCode operator()();

 private:
  void resume();
  void start_anew();
  void start_from_weights();
  void take_gram_teacher();
  void open_metrics(std::int64_t first_step);
  void start_feed();
  void look_for_collapse(StepResult const& result);
  StepResult one_step(StepSettings const& settings);
  void look_at_fault(StepResult const& result);
  void record(StepSettings const& settings, StepResult const& result);
  void report(StepSettings const& settings, StepResult const& result);
  void poll() {
    if (step_) step_->poll();
    if (feed_) feed_->poll();
    if (teacher_feed_) teacher_feed_->poll();
  }
  using Moment = typename TeacherEvaluation<T>::Moment;
  void evaluate(Moment moment);
  void save();
  bool finished() const { return progress_.step >= extent_.steps; }
  bool at_stop() const {
    return config_.run.stop_after_steps && progress_.step >= *config_.run.stop_after_steps;
  }
  bool chief() const { return world_.rank() == 0; }
  double reserve_seconds() const { return 2 * rate_.seconds_per_step() + 1.5 * save_seconds_ + 1; }

  Clock::time_point begin_ = Clock::now();
  Communicator world_;
  std::optional<Communicator> students_;
  Config config_;
  std::optional<RunDirectory> directory_;
  Space space_;
  std::optional<DeviceShare> memory_;  ///< looked at before anything is allocated
  io::ShardSet shards_;
  std::optional<io::ShardSet> mixed_in_;
  Extent extent_;
  BatchSlice slice_;
  std::optional<TeacherSource> teacher_;  ///< frozen
  std::unique_ptr<TrainingStep<T>> step_;
  Arena arena_;
  Progress progress_;
  std::optional<StudentFeed> feed_;
  std::optional<TeacherFeed> teacher_feed_;
  std::optional<io::MetricsWriter> metrics_;
  std::optional<StopWatcher> stop_;
  std::optional<std::string> stop_reason_;
  RateMeter rate_;
  double save_seconds_ = 0;
  std::int64_t saved_step_ = -1;
  CollapseMonitor collapse_;
  TeacherEvaluation<T> evaluation_;
  std::int64_t faults_ = 0, faults_in_row_ = 0;  ///< steps that were skipped
};

/// The directory is locked before anything else is done. Collective.
std::optional<RunDirectory> open_directory(Communicator const& world, Config const& config) {
  std::optional<RunDirectory> directory;
  on_rank_zero(world, [&] { directory.emplace(config.run.dir, config); });
  return directory;
}

template <class T>
Run<T>::Run(Communicator const& world, Config const& config, std::optional<Communicator> students)
    : world_(world),
      students_(std::move(students)),
      config_(config),
      directory_(open_directory(world, config)),
      space_(make_space(world, config.run.device, [this] { poll(); })),
      memory_(require_device_memory(world, space_, config, students_)),
      shards_(open_training_shards(world, config)),
      mixed_in_(open_mixed_in_shards(world, config)),
      extent_(run_extent(config, shards_.size())),
      slice_(rank_slice(world, config.data.batch_size, config.run.micro_batch)),
      teacher_(find_teacher(world, config, students_)),
      step_(make_step<T>(space_, world, make_strategy(config, world.size()), config, teacher_)),
      arena_(space_, step_cost<T>(config,
                                  largest_micro_batch(world.size(), config.data.batch_size,
                                                      config.run.micro_batch),
                                  slice_.micro_batches, teacher_, processor_of(space_))
                         .arena_bytes),
      collapse_(config.dino.out_dim),
      evaluation_(space_, world, config) {
  stop_.emplace(chief() ? config.run.dir : std::string(), config.run.time_budget);
}

template <class T>
void Run<T>::resume() {
  if (auto* const frozen = step_->frozen_teacher()) frozen->load();
  auto const found = students_ ? load_common_checkpoint(*step_, config_, *students_)
                               : load_newest_checkpoint(*step_, config_);
  if (found) {
    progress_ = *found;
    saved_step_ = progress_.step;
    if (chief()) log::info("going on from step {} of {}", progress_.step, extent_.steps);
  } else {
    start_anew();
  }
  take_gram_teacher();
  note_data(progress_, config_, shards_, mixed_in_, found && chief());
  open_metrics(found ? progress_.step + 1 : progress_.step);
  if (found) return;
  evaluate(Moment::before_training);
  save();  // the untrained model, and proof that checkpoints can be written at all
}

template <class T>
void Run<T>::start_anew() {
  step_->initialize(static_cast<std::uint64_t>(config_.run.seed));
  if (!config_.run.start_from.empty()) start_from_weights();
  auto const& former = config_.run.continue_from;
  if (former.empty()) return;
  progress_ = load_former_stage(*step_, config_, former);
  require(
      !finished(), ExitCode::usage,
      "run.continue_from='{}' stands at step {} and this run ends at step {}, as schedules go on "
      "from there. Raise run.epochs or run.steps",
      former, progress_.step, extent_.steps);
  if (chief()) log::info("going on from step {} of '{}'", progress_.step, former);
}

/// The first Gram teacher, where there is none yet.
template <class T>
void Run<T>::take_gram_teacher() {
  auto path = config_.gram.ckpt;
  if (path.empty() || !lacks_gram_teacher(*step_)) return;
  on_rank_zero(world_, [&] {
    if (std::filesystem::is_directory(path)) path = pick_gram_teacher(path);
  });
  path = world_.broadcast_text(path);
  if (load_gram_teacher(*step_, path) && chief())
    log::info("the Gram teacher is that of '{}'", path);
}

/// Rows of `first_step` and later ones will be written again.
template <class T>
void Run<T>::open_metrics(std::int64_t first_step) {
  std::map<std::string, std::vector<double>> earlier;
  on_rank_zero(world_, [&] {
    auto const path = config_.run.dir + "/metrics.h5";
    metrics_.emplace(path, first_step);
    earlier = io::read_metrics(path, "evaluations");
  });
  evaluation_.remember(earlier);
}

template <class T>
void Run<T>::start_from_weights() {
  auto const taken = load_initial_weights(*step_, config_.run.start_from);
  if (!chief()) return;
  log::info("starting from the weights of '{}'{}{}", config_.run.start_from,
            taken.positions ? ", positions resampled" : "", taken.heads ? "" : ", with new heads");
  if (!taken.heads && config_.run.head_warmup_steps == 0) {
    log::warning(
        "the heads are new and the backbone is not: its first steps follow noise. Set "
        "run.head_warmup_steps, e.g. to 1000");
  }
}

template <class T>
void Run<T>::start_feed() {
  feed_.emplace(space_, world_, shards_, mixed_in_, config_, progress_.step);
  if (students_)
    teacher_feed_.emplace(space_, shards_, mixed_in_, config_, *teacher_->shared, progress_.step);
}

template <class T>
StepResult Run<T>::one_step(StepSettings const& settings) {
  step_->begin(config_.data.batch_size);
  StepBatchSource source{.micro_batches = slice_.micro_batches,
                         .next = [this] { return feed_->next(); }};
  if (teacher_feed_) teacher_feed_->serve(source);
  step_->accumulate(arena_, source, settings);
  stop_reason_ = stop_->reason(reserve_seconds());
  bool const stop = stop_reason_.has_value();
  auto result = step_->finish(settings, progress_.step, students_ ? students_->any(stop) : stop);
  look_at_fault(result);
  return result;
}

/// Skips a step that is not finite, or ends the run where there are too many in a row.
template <class T>
void Run<T>::look_at_fault(StepResult const& result) {
  if (!result.fault) {
    faults_in_row_ = 0;
    return;
  }
  ++faults_;
  ++faults_in_row_;
  require(faults_in_row_ <= config_.run.skip_non_finite, ExitCode::numerical,
          "{}. Nothing was updated; the last checkpoint is good. Lower optim.lr, or set "
          "optim.clip_grad",
          *result.fault);
  if (chief()) log::warning("{}: this step is skipped", *result.fault);
}

template <class T>
void Run<T>::look_for_collapse(StepResult const& result) {
  auto const sign = collapse_.look(result);
  if (!sign) return;
  require(!config_.run.stop_on_collapse, ExitCode::numerical, "step {}: {}", progress_.step, *sign);
  if (chief()) log::warning("step {}: {}", progress_.step, *sign);
}

template <class T>
void Run<T>::record(StepSettings const& settings, StepResult const& result) {
  if (!metrics_) return;
  double squares = 0;
  for (auto const norm : result.gradient_norms) squares += norm * norm;
  auto values = result.terms;
  values.insert({{"loss", result.loss},
                 {"lr", settings.lr},
                 {"weight_decay", settings.weight_decay},
                 {"momentum", settings.momentum},
                 {"teacher_temperature", settings.teacher_temperature},
                 {"teacher_entropy", result.teacher.entropy},
                 {"feature_spread", result.feature_spread},
                 {"prototypes_used", static_cast<double>(result.teacher.prototypes)},
                 {"gradient_norm", std::sqrt(squares)},
                 {"epoch", static_cast<double>(progress_.step) /
                               static_cast<double>(extent_.steps_per_epoch)},
                 {"images_per_second", rate_.images_per_second()},
                 {"data_wait_share", rate_.wait_share()},
                 {"images_skipped", static_cast<double>(feed_->loader().images_skipped())},
                 {"steps_skipped", static_cast<double>(faults_)}});
  if (config_.method == "dinov3") {
    values.insert({{"dino_local_loss_weight", settings.dino_local_weight},
                   {"gram_loss_weight", config_.gram.use_loss ? settings.gram_weight : 0.0}});
  }
  if (!config_.crops.pairs.global_size.empty())
    values["global_size"] = static_cast<double>(feed_->global_size());
  if (mixed_in_) values["mixed_in"] = feed_->mixed_in() ? 1.0 : 0.0;
  metrics_->append_step(progress_.step, values);
}

template <class T>
void Run<T>::report(StepSettings const& settings, StepResult const& result) {
  if (progress_.step % config_.run.log_every != 0 && !finished()) return;
  if (chief()) {
    show_progress({.step = progress_.step,
                   .steps = extent_.steps,
                   .epoch = static_cast<double>(progress_.step) /
                            static_cast<double>(extent_.steps_per_epoch),
                   .loss = result.loss,
                   .lr = settings.lr,
                   .images_per_second = rate_.images_per_second(),
                   .wait_share = rate_.wait_share(),
                   .seconds_left = rate_.seconds_per_step() *
                                   static_cast<double>(extent_.steps - progress_.step)});
  }
  rate_.new_interval();
}

template <class T>
void Run<T>::evaluate(Moment moment) {
  auto const row = evaluation_.measure(*step_->teacher().backbone, progress_.step, moment);
  if (metrics_ && !row.empty()) metrics_->append_evaluation(progress_.step, row);
}

template <class T>
void Run<T>::save() {
  if (saved_step_ == progress_.step) return;
  auto const begin = Clock::now();
  // First: who is killed in between writes these rows again, as they lie behind the older
  // checkpoint.
  if (metrics_) metrics_->flush();
  save_checkpoint(*step_, config_, progress_);
  save_seconds_ = seconds_since(begin);
  saved_step_ = progress_.step;
}

template <class T>
ExitCode Run<T>::operator()() {
  resume();
  if (chief()) {
    log::info("{} images, {} steps of {} images on {} ranks, started in {:.2f} s", shards_.size(),
              extent_.steps, config_.data.batch_size, world_.size(), seconds_since(begin_));
    if (mixed_in_)
      log::info("{} images of data.mix in a share {} of the steps", mixed_in_->size(),
                config_.data.mix.share);
  }
  if (!finished() && !at_stop()) start_feed();
  bool stop = false;
  while (!finished() && !at_stop() && !stop) {
    auto const begin = Clock::now();
    auto const waited = feed_->loader().seconds_waited();
    auto const settings =
        settings_at(config_, progress_.step, extent_.steps_per_epoch, extent_.steps);
    auto const result = one_step(settings);
    stop = result.stop;
    ++progress_.step;
    rate_.add(config_.data.batch_size, seconds_since(begin),
              feed_->loader().seconds_waited() - waited);
    if (!result.fault) look_for_collapse(result);
    record(settings, result);
    report(settings, result);
    evaluate(finished() ? Moment::last : Moment::step);
    if (progress_.step % config_.checkpoint.every == 0) save();
  }
  save();
  if (finished()) {
    if (chief()) log::info("finished {} steps: {}/latest.h5", extent_.steps, config_.run.dir);
    return ExitCode::finished;
  }
  if (stop_reason_) log::info("stopping: {}", *stop_reason_);
  if (directory_) directory_->remove_stop_file();
  if (chief())
    log::info("saved step {} of {}; the same command goes on", progress_.step, extent_.steps);
  return ExitCode::stopped;
}

}  // namespace

ExitCode train(Communicator const& world, StudentSet const& students) {
  auto const part = students.part_of(world.rank(), world.size());
  auto const& config = students.students[part];
  config.require_shards();
  std::optional<CollectiveWatch> watch;
  if (auto const limit = students.students.front().run.collective_timeout; limit > 0)
    watch.emplace(world, limit);
  std::optional<Communicator> all;
  auto ranks = world;
  if (!students.ranks.empty()) {
    all = world;
    ranks = world.split(static_cast<int>(part));
    if (ranks.rank() == 0)
      log::info("student '{}' on {} of {} ranks", config.run.dir, ranks.size(), world.size());
  }
  if (config.run.precision == "bf16") return Run<bfloat16>(ranks, config, all)();
  return Run<float>(ranks, config, all)();
}

}  // namespace dino::train
