// Runs the threads of a grid one at a time on one CPU thread, switching where they wait for each
// other, and reports waiting that has no defined meaning on a GPU.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace vk_emulation {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;

// A place in a kernel's source.
struct Site {
  const char* file;
  int line;
};

// A barrier or shuffle that not all threads reach that it needs.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Which of the threads that could run does, and which block is next: "forward", "reverse", or
// "shuffled" anew for each block. Where a barrier is missing, results depend on it.
void set_order(const std::string& name, uint64_t seed);

// Calls body(context) once for every thread of every block.
void run_grid(unsigned grid, unsigned block, void (*body)(const void*), const void* context);

// The rest is for the thread that is running.

int lane();
void wait_for_block(Site site);

// Waits for the lanes of `mask`. Returns the bits that lane `from_lane` brought.
uint64_t exchange(uint32_t mask, uint64_t bits, int from_lane, Site site);

// Whether this is the block's first call with that address.
bool first_in_block(const void* address);

}  // namespace vk_emulation
