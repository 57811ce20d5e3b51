// Threads of the CPU backend: OpenMP's, which torch shares. One thread never enters the OpenMP
// runtime, so that single-threaded use is safe in a forked process.
#pragma once

#include <cstdint>

#include "../core/portable.h"

VK_BEGIN

// Calls body(begin, end) on contiguous ranges that cover 0 .. n-1.
template <class Body>
void parallel_ranges(int64_t n, int64_t threads, const Body& body) {
  if (threads > n) threads = n;
#if defined(_OPENMP)
  if (threads > 1) {
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int64_t t = 0; t < threads; ++t) body(n * t / threads, n * (t + 1) / threads);
    return;
  }
#endif
  body(0, n);
}

VK_END
