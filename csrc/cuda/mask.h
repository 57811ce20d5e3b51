// How a thread reads its group of a mask, and what that does to results.
#pragma once

#include "group.h"

VK_BEGIN

// A byte for each element of the group, 0 where it is left out; W is 8 at most. Single bytes are
// read where the group's memory is not one aligned piece.
template <int W>
VK_FN uint64_t load_mask(const Source& mask, const Group& group) {
  const uint8_t* data = static_cast<const uint8_t*>(mask.data);
  Run run = mask.find(group.first + group.begin);
  const uint8_t* from = data + run.offset;
  if (mask.inner_stride == 0 && run.left >= group.size()) return *from * 0x0101010101010101u;
  if constexpr (W > 1) {
    if (mask.inner_stride == 1 && run.left >= W && group.size() == W && is_aligned(from, W)) {
      Bits<W> bits;
      bits.template load<W>(from);
      return bits.words[0] | (W > 4 ? static_cast<uint64_t>(bits.words[1]) << 32 : 0u);
    }
  }
  uint64_t bytes = 0;
#pragma unroll 1
  for (int j = 0; j < W; ++j) {
    uint64_t byte = 0;
    if (j >= group.begin && j < group.end) {
      if (run.left == 0) run = mask.find(group.first + j);
      byte = data[run.offset];
      run.offset += mask.inner_stride;
      --run.left;
    }
    bytes = bytes >> 8 | byte << 8 * (W - 1);
  }
  return bytes;
}

template <class T, int N, int W>
VK_FN void apply_mask(const Source& mask, const Group& group, T (&results)[N][W]) {
  const uint64_t bytes = load_mask<W>(mask, group);
#pragma unroll
  for (int j = 0; j < W; ++j) {
    const bool counts = (bytes >> 8 * j & 0xFFu) != 0;
#pragma unroll
    for (int k = 0; k < N; ++k) results[k][j] = counts ? results[k][j] : T(0);
  }
}

VK_END
