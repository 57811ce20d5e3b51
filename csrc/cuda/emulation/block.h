// One block of threads: who runs, who waits for whom.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fibers.h"
#include "scheduler.h"

namespace vk_emulation {

struct Thread {
  enum class State { unstarted, ready, at_barrier, in_exchange, ended } state = State::unstarted;
  Fiber* fiber = nullptr;
  Site site{};  // where it waits
  uint32_t mask = 0;
  int from_lane = 0;
  uint64_t sent = 0, received = 0;
};

// At any time one thread runs: the first in the given order of those that can.
class Block {
 public:
  // Runs body(context) for each thread. `order`: all thread numbers, first come first served.
  void run(const std::vector<int>& order, void (*body)(const void*), const void* context);

  int running() const { return running_; }
  void wait_for_block(Site site);
  uint64_t exchange(uint32_t mask, uint64_t bits, int from_lane, Site site);
  bool first(const void* address);

 private:
  static void fiber_entry();
  void run_threads_from_here();
  int next();
  void go_on_with(int thread, Fiber& from);
  void suspend(Thread::State state, Site site);
  void release(int thread);
  void check_mask(uint32_t mask, int from_lane, Site site);
  void release_lanes(uint32_t mask);
  [[noreturn]] void fail(std::string what);
  std::string deadlock() const;

  void (*body_)(const void*) = nullptr;
  const void* context_ = nullptr;
  std::vector<int> order_, position_;  // position_[order_[p]] == p
  std::vector<Thread> threads_;
  int running_ = 0;
  int cursor_ = 0;  // no thread before this position can run
  int n_waiting_ = 0, n_ended_ = 0;
  uint32_t arrived_[kMaxThreads / kWarp] = {};  // lanes in an exchange
  std::vector<const void*> addresses_;
  std::string failure_;

  Fiber home_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

}  // namespace vk_emulation
