// SPDX-License-Identifier: Apache-2.0
#include "emulator/emulator.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "emulator/memory.hpp"

namespace dino::emulator {
namespace {

enum class State { ready, waits_for_block, waits_for_warp, done };

/// A thread of the block that runs.
struct Thread {
  std::vector<char> stack;
  jmp_buf resume;
  bool started = false;  ///< it has a stack
  State state = State::ready;
  Index index;
};

constexpr int warp_size = 32;
constexpr std::size_t stack_bytes = std::size_t{96} << 10;
constexpr unsigned most_threads = 1024, most_blocks_down = 65535;
constexpr std::size_t most_shared_bytes = std::size_t{48} << 10;

Place place;
std::int64_t launched = 0;
std::vector<Thread> threads(most_threads);
int running = 0;
jmp_buf scheduler;
ucontext_t launcher;
std::function<void()> const* work = nullptr;
unsigned char slots[most_threads][16];

[[noreturn]] void give_up(char const* problem) {
  std::fprintf(stderr, "emulator: %s\n", problem);
  std::abort();
}

Thread& self() {
  return threads[static_cast<std::size_t>(running)];
}

/// Back to the scheduler; returns when this thread's turn comes.
void leave(State state) {
  self().state = state;
  if (_setjmp(self().resume) == 0) _longjmp(scheduler, 1);
}

/// A stack serves the thread of this place in every block of every launch.
void body() {
  for (;;) {
    (*work)();
    leave(State::done);
  }
}

/// Lets thread i run until it waits. A thread's first turn needs a stack; later ones are jumps.
void turn(int i) {
  running = i;
  auto& thread = self();
  place.thread = thread.index;
  if (_setjmp(scheduler) != 0) return;
  if (thread.started) _longjmp(thread.resume, 1);
  thread.started = true;
  thread.stack.resize(stack_bytes);
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = thread.stack.data();
  context.uc_stack.ss_size = thread.stack.size();
  context.uc_link = nullptr;
  makecontext(&context, body, 0);
  swapcontext(&launcher, &context);
}

/// Whether all threads of [begin, end) that are not done are in `state`; at least one is.
bool all_in(State state, int begin, int end) {
  int there = 0, gone = 0;
  for (int i = begin; i < end; ++i) {
    there += threads[static_cast<std::size_t>(i)].state == state;
    gone += threads[static_cast<std::size_t>(i)].state == State::done;
  }
  if (there == 0 || there + gone < end - begin) return false;
  if (gone > 0) give_up("threads have ended while others wait for them");
  return true;
}

bool release(State state, int begin, int end) {
  if (!all_in(state, begin, end)) return false;
  for (int i = begin; i < end; ++i) threads[static_cast<std::size_t>(i)].state = State::ready;
  return true;
}

void run_block(int count) {
  for (int i = 0; i < count; ++i) {
    auto& thread = threads[static_cast<std::size_t>(i)];
    thread.state = State::ready;
    thread.index = {static_cast<unsigned>(i) % place.block_size.x,
                    static_cast<unsigned>(i) / place.block_size.x, 0};
  }
  for (bool progress = true; progress;) {
    progress = false;
    for (int i = 0; i < count; ++i) {
      if (threads[static_cast<std::size_t>(i)].state != State::ready) continue;
      turn(i);
      progress = true;
    }
    for (int i = 0; i < count; i += warp_size)
      progress |= release(State::waits_for_warp, i, std::min(i + warp_size, count));
    progress |= release(State::waits_for_block, 0, count);
  }
  for (int i = 0; i < count; ++i) {
    if (threads[static_cast<std::size_t>(i)].state != State::done)
      give_up("threads of a block wait at different places");
  }
}

}  // namespace

Place& here() {
  return place;
}

std::int64_t launch_count() {
  return launched;
}

bool only_counts() {
  static bool const only = std::getenv("DINO_EMULATOR_ONLY_COUNTS") != nullptr;
  return only;
}

void run(dim3 grid, dim3 block, std::size_t shared_bytes, std::function<void()> const& thread) {
  auto const count = block.x * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.y > most_blocks_down || grid.z != 1 || count == 0 ||
      count > most_threads || block.z != 1 || shared_bytes > most_shared_bytes)
    give_up("a launch that no device takes");
  ++launched;
  if (only_counts()) return;
  MemoryAccess const access;
  std::vector<float> shared(shared_bytes / sizeof(float) + 1);
  work = &thread;
  place.block_size = block;
  place.grid_size = grid;
  place.dynamic_shared = shared.data();
  for (unsigned y = 0; y < grid.y; ++y) {
    for (unsigned x = 0; x < grid.x; ++x) {
      place.block = {x, y, 0};
      std::fill(shared.begin(), shared.end(), std::nanf(""));  // as it is found on a device
      run_block(static_cast<int>(count));
    }
  }
}

void wait_for_block() {
  leave(State::waits_for_block);
}
void wait_for_warp() {
  leave(State::waits_for_warp);
}
int lane() {
  return running % warp_size;
}
unsigned char (*warp_slots())[16] {
  return slots + running / warp_size * warp_size;
}

}  // namespace dino::emulator
