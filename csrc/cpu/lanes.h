// Sums of lanes.
#pragma once

#include "sources.h"
#include "tile_kernel.h"

VK_BEGIN

// As many numbers in whole lanes: loops are compiled for whole vectors alone, and what they compute
// beyond the numbers is not used.
VK_FN int64_t whole_lanes(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Adds neighbours `width` apart until one is left.
template <int width, class T>
VK_FN double fold(T* lanes) {
  if constexpr (width == 0) {
    return lanes[0];
  } else {
#pragma omp simd
    for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
    return fold<width / 2>(lanes);
  }
}

// The largest of lanes, none of which is NaN.
template <int width, class T>
VK_FN T largest(T* lanes) {
  if constexpr (width == 0) {
    return lanes[0];
  } else {
#pragma omp simd
    for (int k = 0; k < width; ++k) {
      lanes[k] = lanes[k + width] > lanes[k] ? lanes[k + width] : lanes[k];
    }
    return largest<width / 2>(lanes);
  }
}

constexpr int kUnrolled = 4 * kLanes;  // four sums under way hide an add's latency

VK_END
