// SPDX-License-Identifier: Apache-2.0
#include "data/loader.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/error.hpp"
#include "data/batch_kinds.hpp"
#include "data/crop_maker.hpp"
#include "data/image_source.hpp"
#include "data/micro_batch.hpp"

namespace dino {
namespace {

constexpr std::int64_t longest_run = 16;       // images read by one call
constexpr std::int64_t fewest_bad_images = 4;  // below this many, bad images are bad luck

/// A data set: its images and their order.
struct DataSet {
  DataSet(io::ShardSet shards, Loader::Options const& options, std::uint32_t number)
      : source(std::move(shards)),
        order(source.shards().size(), options.data.batch_size, options.seed, options.data.block,
              options.data.window, number) {}
  ImageSource source;
  SampleOrder order;
};

/// A micro-batch that is being made.
struct Slot {
  ImageSource* source = nullptr;
  CropBatch batch;
  std::vector<std::int64_t> indices;
  std::int64_t unfinished = 0;  ///< images
  std::int64_t replaced = 0;    ///< images
};

struct ReadTask {
  Slot* slot = nullptr;
  ReadRun run;
};
struct DecodeTask {
  Slot* slot = nullptr;
  std::int64_t image = 0;  ///< within the micro-batch
  std::vector<std::byte> bytes;
};

void shape(CropGroup& group, std::int64_t size, std::int64_t count, std::int64_t images,
           Deliver deliver) {
  group.size = size;
  group.count = count;
  if (deliver == Deliver::pictures) return;
  group.pixels.resize(static_cast<std::size_t>(count * images * 3 * size * size));
}

/// Room for decoded images, as much as the batch before would have needed and a quarter more.
void make_room(CropBatch& batch) {
  batch.decoded.assign(static_cast<std::size_t>(batch.images), {});
  if (auto const wanted = std::exchange(batch.pixels_wanted, 0);
      wanted > std::ssize(batch.pixels)) {
    batch.pixels.clear();  // nothing is copied
    batch.pixels.resize(static_cast<std::size_t>(wanted + wanted / 4));
  }
}

}  // namespace

// Reader threads fetch encoded bytes, worker threads decode and augment; both are plain code, since
// Kokkos may be issued from one thread only (the training step's), MPI and HDF5 likewise. What an
// image becomes depends on its position alone, so the order in which threads finish does not
// matter.
struct Loader::State {
  State(io::ShardSet shards, Options const& loader_options, std::optional<io::ShardSet> mixed_in)
      : options(loader_options),
        sizes(config::crop_sizes(options.crops)),
        first(std::move(shards), options, 0),
        mix(mixed_in ? options.data.mix.share : 0.0, options.seed),
        next_step(options.first_step),
        steps_mixed(mix.second_before(next_step)) {
    if (mixed_in) second.emplace(std::move(*mixed_in), options, 1U);
  }

  void start();
  std::unique_ptr<Slot> next_slot(CropBatch batch);
  CropBatch empty_batch() const;
  void begin_micro_batch(std::unique_lock<std::mutex>& lock);
  void read(std::stop_token const& stop);
  void work(std::stop_token const& stop, CropMaker& maker);
  void finish_image(Slot& slot, bool replaced);
  bool next_is_ready() const { return failure || slots.front()->unfinished == 0; }
  template <class Body>
  void guard(Body const& body);

  Options options;
  std::vector<config::CropSizes> sizes;
  DataSet first;
  std::optional<DataSet> second;
  DataMix mix;
  std::int64_t next_step, next_part = 0;  ///< of the micro-batch that is begun next
  std::int64_t steps_mixed;               ///< steps before that whose batch is of the second set
  double seconds_waited = 0;

  std::mutex mutex;  ///< guards all below
  std::condition_variable_any read_wanted, decode_wanted, slot_finished;
  std::deque<std::unique_ptr<Slot>> slots;  ///< in the order of delivery
  std::deque<ReadTask> reads;
  std::deque<DecodeTask> decodes;
  std::vector<CropBatch> spare;
  std::exception_ptr failure;

  std::vector<std::jthread> threads;  ///< last: joined before the rest goes
};

void Loader::State::start() {
  {
    std::unique_lock lock(mutex);
    for (std::int64_t i = 0; i < options.data.prefetch; ++i) begin_micro_batch(lock);
  }
  for (std::int64_t i = 0; i < 1 + options.data.workers / 8; ++i) {
    threads.emplace_back([this](std::stop_token const& stop) { guard([&] { read(stop); }); });
  }
  for (std::int64_t i = 0; i < options.data.workers; ++i) {
    threads.emplace_back([this](std::stop_token const& stop) {
      guard([&] {
        CropMaker maker(options);
        work(stop, maker);
      });
    });
  }
}

/// Runs the body of a thread; what it throws waits for the caller of next().
template <class Body>
void Loader::State::guard(Body const& body) {
  try {
    body();
  } catch (...) {  // the edge of the thread: an exception may not leave it
    std::lock_guard const lock(mutex);
    if (!failure) failure = std::current_exception();
    slot_finished.notify_all();
  }
}

/// The next micro-batch, of which nothing is read yet, in the memory of a former one.
std::unique_ptr<Slot> Loader::State::next_slot(CropBatch batch) {
  batch.mixed_in = mix.second(next_step);
  auto& set = batch.mixed_in ? *second : first;
  auto const number = batch.mixed_in ? steps_mixed : next_step - steps_mixed;
  auto part = micro_batch_at(set.order, options.slice, options.data.batch_size, next_step, number,
                             next_part);
  auto const& size = sizes_at(sizes, options.seed, next_step);
  batch.step = next_step;
  next_part = (next_part + 1) % options.slice.micro_batches;
  if (next_part == 0) {
    ++next_step;
    steps_mixed += batch.mixed_in ? 1 : 0;
  }
  auto const images = std::ssize(part.indices);
  batch.images = images;
  batch.positions = std::move(part.positions);
  batch.first_position = batch.positions.empty() ? 0 : batch.positions.front();
  auto const deliver = options.deliver;
  shape(batch.global, size.global, 2, images, deliver);
  shape(batch.local, size.local, options.crops.local_count, images, deliver);
  shape(batch.gram, size.gram.value_or(0), size.gram ? 2 : 0, images, deliver);
  if (deliver == Deliver::pictures) make_room(batch);
  return std::make_unique<Slot>(Slot{.source = &set.source,
                                     .batch = std::move(batch),
                                     .indices = std::move(part.indices),
                                     .unfinished = images});
}

/// A batch whose crops will lie in the memory that was asked for.
CropBatch Loader::State::empty_batch() const {
  CropBatch batch;
  for (auto* const group : {&batch.global, &batch.local, &batch.gram})
    group->pixels = UploadVector<float>(options.memory);
  batch.pixels = UploadVector<std::uint8_t>(options.memory);
  return batch;
}

void Loader::State::begin_micro_batch(std::unique_lock<std::mutex>& lock) {
  CropBatch batch = empty_batch();
  if (!spare.empty()) {
    batch = std::move(spare.back());
    spare.pop_back();
  }
  lock.unlock();
  auto slot = next_slot(std::move(batch));
  auto runs = read_runs(slot->indices, longest_run);
  lock.lock();
  for (ReadRun& run : runs) reads.push_back({slot.get(), std::move(run)});
  slots.push_back(std::move(slot));
  read_wanted.notify_all();
}

void Loader::State::read(std::stop_token const& stop) {
  std::unique_lock lock(mutex);
  while (read_wanted.wait(lock, stop, [&] { return !reads.empty(); })) {
    ReadTask task = std::move(reads.front());
    reads.pop_front();
    lock.unlock();
    auto bytes = task.slot->source->read(task.run.begin, std::ssize(task.run.places));
    lock.lock();
    for (std::size_t k = 0; k < bytes.size(); ++k) {
      decodes.push_back({task.slot, task.run.places[k], std::move(bytes[k])});
    }
    decode_wanted.notify_all();
    if (stop.stop_requested()) return;
  }
}

void Loader::State::work(std::stop_token const& stop, CropMaker& maker) {
  std::unique_lock lock(mutex);
  while (decode_wanted.wait(lock, stop, [&] { return !decodes.empty(); })) {
    DecodeTask const task = std::move(decodes.front());
    decodes.pop_front();
    lock.unlock();
    bool const replaced =
        maker.make(*task.slot->source, task.slot->indices[static_cast<std::size_t>(task.image)],
                   task.bytes, task.image, task.slot->batch);
    lock.lock();
    finish_image(*task.slot, replaced);
    if (stop.stop_requested()) return;
  }
}

void Loader::State::finish_image(Slot& slot, bool replaced) {
  slot.replaced += replaced ? 1 : 0;
  if (--slot.unfinished == 0) slot_finished.notify_all();
}

Loader::Loader(io::ShardSet shards, Options const& options, std::optional<io::ShardSet> mixed_in)
    : state_(std::make_unique<State>(std::move(shards), options, std::move(mixed_in))) {
  require(options.data.workers >= 1 && options.data.prefetch >= 1, ExitCode::usage,
          "data.workers={} and data.prefetch={} must be at least 1", options.data.workers,
          options.data.prefetch);
  require(options.slice.micro_batches >= 1 && options.slice.begin <= options.slice.end,
          ExitCode::bug, "a slice [{}, {}) of {} micro-batches is not one", options.slice.begin,
          options.slice.end, options.slice.micro_batches);
  state_->start();
}

Loader::Loader(Loader&&) noexcept = default;
Loader::~Loader() = default;

std::int64_t Loader::steps_per_epoch() const {
  return state_->first.order.steps_per_epoch();
}

CropBatch Loader::next() {
  auto const begin = std::chrono::steady_clock::now();
  std::unique_lock lock(state_->mutex);
  state_->slot_finished.wait(lock, [&] { return state_->next_is_ready(); });
  if (state_->failure) std::rethrow_exception(state_->failure);
  auto const slot = std::move(state_->slots.front());
  state_->slots.pop_front();
  state_->seconds_waited +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  require(slot->replaced < fewest_bad_images || slot->replaced * 2 <= slot->batch.images,
          ExitCode::input,
          "{} of the {} images of a micro-batch cannot be read or decoded; the reasons stand in "
          "the log. Check the "
          "shards with `dino pack --verify`",
          slot->replaced, slot->batch.images);
  state_->begin_micro_batch(lock);
  return std::move(slot->batch);
}

bool Loader::ready() const {
  std::lock_guard const lock(state_->mutex);
  return state_->next_is_ready();
}

void Loader::recycle(CropBatch&& batch) {
  std::lock_guard const lock(state_->mutex);
  // A step may give all of its micro-batches back at once; pinned memory is slow to come and to go.
  auto const most = state_->options.data.prefetch + state_->options.slice.micro_batches;
  if (std::ssize(state_->spare) < most) state_->spare.push_back(std::move(batch));
}

double Loader::seconds_waited() const {
  return state_->seconds_waited;
}

std::int64_t Loader::images_skipped() const {
  return state_->first.source.images_skipped() +
         (state_->second ? state_->second->source.images_skipped() : 0);
}

}  // namespace dino
