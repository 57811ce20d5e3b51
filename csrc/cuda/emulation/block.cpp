#include "block.h"

#include <algorithm>
#include <utility>

#include "emulation.h"

namespace vk_emulation {

namespace {

Block* active = nullptr;

std::string name(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

std::string name(int thread) { return "thread " + std::to_string(thread); }

bool same(Site a, Site b) { return a.line == b.line && std::strcmp(a.file, b.file) == 0; }

uint32_t lane_bit(int thread) { return 1u << (thread % kWarp); }

int warp_of(int thread) { return thread / kWarp; }

}  // namespace

void Block::run(const std::vector<int>& order, void (*body)(const void*), const void* context) {
  const size_t n = order.size();
  body_ = body;
  context_ = context;
  order_ = order;
  position_.resize(n);
  for (size_t p = 0; p < n; ++p) position_[order[p]] = static_cast<int>(p);
  threads_.assign(n, Thread());
  cursor_ = n_waiting_ = n_ended_ = 0;
  std::fill_n(arrived_, kMaxThreads / kWarp, 0u);
  addresses_.clear();
  failure_.clear();
  active = this;

  go_on_with(next(), home_);
  if (failure_.empty() && n_ended_ < static_cast<int>(n)) failure_ = deadlock();
  if (failure_.empty()) return;
  for (Thread& thread : threads_) {
    if (thread.fiber == nullptr || thread.state == Thread::State::ended) continue;
    thread.fiber->abandon();
    idle_.push_back(thread.fiber);
  }
  throw Fault("block " + std::to_string(blockIdx.x) + ": " + failure_);
}

// A fiber runs one thread after another for as long as none of them has to wait.
void Block::run_threads_from_here() {
  for (;;) {
    body_(context_);
    Thread& thread = threads_[running_];
    thread.state = Thread::State::ended;
    ++n_ended_;
    idle_.push_back(thread.fiber);
    go_on_with(next(), *thread.fiber);
  }
}

void Block::fiber_entry() { active->run_threads_from_here(); }

// The next thread to run, -1: none can.
int Block::next() {
  for (; cursor_ < static_cast<int>(order_.size()); ++cursor_) {
    const Thread::State state = threads_[order_[cursor_]].state;
    if (state == Thread::State::unstarted || state == Thread::State::ready) return order_[cursor_];
  }
  return -1;
}

// Leaves the fiber `from` for a thread's, or for home if there is none. (An ended thread's fiber is
// idle: a thread that starts may get the very same one.)
void Block::go_on_with(int thread, Fiber& from) {
  if (thread < 0) return home_.switch_from(from);
  Thread& to = threads_[thread];
  if (to.fiber == nullptr) {
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>(fiber_entry, static_cast<int>(fibers_.size())));
      idle_.push_back(fibers_.back().get());
    }
    to.fiber = idle_.back();
    idle_.pop_back();
    to.state = Thread::State::ready;
  }
  running_ = thread;
  threadIdx.x = static_cast<unsigned>(thread);
  if (to.fiber != &from) to.fiber->switch_from(from);
}

void Block::suspend(Thread::State state, Site site) {
  Thread& self = threads_[running_];
  self.state = state;
  self.site = site;
  go_on_with(next(), *self.fiber);
}

void Block::release(int thread) {
  threads_[thread].state = Thread::State::ready;
  cursor_ = std::min(cursor_, position_[thread]);
}

void Block::wait_for_block(Site site) {
  const int self = running_;
  if (n_waiting_ + 1 < static_cast<int>(threads_.size())) {
    ++n_waiting_;
    return suspend(Thread::State::at_barrier, site);
  }
  n_waiting_ = 0;
  for (int t = 0; t < static_cast<int>(threads_.size()); ++t) {
    if (t == self) continue;
    if (!same(threads_[t].site, site)) {
      fail(name(t) + " is at the barrier " + name(threads_[t].site) + ", " + name(self) +
           " at another: " + name(site));
    }
    release(t);
  }
}

void Block::check_mask(uint32_t mask, int from_lane, Site site) {
  const int first = warp_of(running_) * kWarp;
  const int n_lanes = std::min(kWarp, static_cast<int>(threads_.size()) - first);
  const uint32_t existing = 0xFFFFFFFFu >> (kWarp - n_lanes);
  if ((mask & lane_bit(running_)) == 0) {
    fail(name(running_) + " is not in its own mask at " + name(site));
  }
  if ((mask & ~existing) != 0) {
    fail("the mask at " + name(site) + " names lanes that a warp of " + std::to_string(n_lanes) +
         " does not have");
  }
  if ((mask & lane_bit(from_lane)) == 0) {
    fail(name(running_) + " reads from a lane that is not in the mask at " + name(site));
  }
}

uint64_t Block::exchange(uint32_t mask, uint64_t bits, int from_lane, Site site) {
  check_mask(mask, from_lane, site);
  const int self = running_, warp = warp_of(self);
  Thread& thread = threads_[self];
  thread.mask = mask;
  thread.from_lane = from_lane;
  thread.sent = bits;
  thread.site = site;
  arrived_[warp] |= lane_bit(self);
  if ((arrived_[warp] & mask) == mask) {
    release_lanes(mask);
  } else {
    suspend(Thread::State::in_exchange, site);
  }
  return thread.received;
}

// All results are handed out at once: a lane that goes on may already bring its next number.
void Block::release_lanes(uint32_t mask) {
  const int first = warp_of(running_) * kWarp;
  const Thread& self = threads_[running_];
  arrived_[warp_of(running_)] &= ~mask;
  for (int t = first; t < first + kWarp; ++t) {
    if ((mask & lane_bit(t)) == 0) continue;
    Thread& thread = threads_[t];
    if (thread.mask != mask || !same(thread.site, self.site)) {
      fail(name(t) + " is in the exchange " + name(thread.site) + ", " + name(running_) +
           " in another or with another mask: " + name(self.site));
    }
    thread.received = threads_[first + thread.from_lane].sent;
    if (t != running_) release(t);
  }
}

bool Block::first(const void* address) {
  if (std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end()) return false;
  addresses_.push_back(address);
  return true;
}

void Block::fail(std::string what) {
  failure_ = std::move(what);  // nobody destroys what is left on this stack
  home_.switch_from(*threads_[running_].fiber);
  __builtin_unreachable();  // nobody goes back to an abandoned fiber
}

// What keeps the first thread that waits from going on.
std::string Block::deadlock() const {
  int waiting = 0;
  while (threads_[waiting].state == Thread::State::ended) ++waiting;
  const Thread& thread = threads_[waiting];
  const bool at_barrier = thread.state == Thread::State::at_barrier;
  const int from = at_barrier ? 0 : warp_of(waiting) * kWarp;
  int missing = from;
  for (;; ++missing) {
    const Thread& other = threads_[missing];
    const bool awaited = at_barrier || (thread.mask & lane_bit(missing)) != 0;
    if (awaited && other.state != thread.state) break;
  }
  const Thread& other = threads_[missing];
  const bool ended = other.state == Thread::State::ended;
  return name(waiting) + " waits at " + (at_barrier ? "the barrier " : "the exchange ") +
         name(thread.site) + " for " + name(missing) + ", which " +
         (ended ? "has ended" : "waits at " + name(other.site));
}

}  // namespace vk_emulation
