#include "scheduler.h"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "block.h"
#include "emulation.h"

namespace vk_emulation {

namespace {

enum class Order { forward, reverse, shuffled } current_order = Order::forward;
std::mt19937_64 random_engine;
std::mutex one_grid_at_a_time;

Block& the_block() {
  static Block* block = new Block;  // its stacks outlive every caller
  return *block;
}

template <class Index>
std::vector<Index> sequence(Index n) {
  std::vector<Index> order(n);
  std::iota(order.begin(), order.end(), Index(0));
  if (current_order == Order::reverse) std::reverse(order.begin(), order.end());
  return order;
}

template <class Index>
void reshuffle(std::vector<Index>& order) {
  if (current_order == Order::shuffled) std::shuffle(order.begin(), order.end(), random_engine);
}

}  // namespace

void set_order(const std::string& name, uint64_t seed) {
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
  if (name == "forward") {
    current_order = Order::forward;
  } else if (name == "reverse") {
    current_order = Order::reverse;
  } else if (name == "shuffled") {
    current_order = Order::shuffled;
  } else {
    throw std::invalid_argument("no such order: " + name);
  }
  random_engine.seed(seed);
}

void run_grid(unsigned grid, unsigned block, void (*body)(const void*), const void* context) {
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
  gridDim = {grid, 1, 1};
  blockDim = {block, 1, 1};
  std::vector<unsigned> blocks = sequence(grid);
  std::vector<int> threads = sequence(static_cast<int>(block));
  reshuffle(blocks);
  for (const unsigned index : blocks) {
    blockIdx.x = index;
    reshuffle(threads);
    the_block().run(threads, body, context);
  }
}

int lane() { return the_block().running() % kWarp; }

void wait_for_block(Site site) { the_block().wait_for_block(site); }

uint64_t exchange(uint32_t mask, uint64_t bits, int from_lane, Site site) {
  return the_block().exchange(mask, bits, from_lane, site);
}

bool first_in_block(const void* address) { return the_block().first(address); }

}  // namespace vk_emulation
