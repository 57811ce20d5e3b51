// How a thread writes its group of one output.
#pragma once

#include "load.h"

VK_BEGIN

template <class Storage, class T, int W>
VK_FN void store_packed(Storage* to, const T (&values)[W]) {
  Bits<W> bits;
#pragma unroll
  for (int j = 0; j < W; j += Bits<W>::template kPerWord<Storage>) {
    bits.template set_elements<Storage>(j, values + j);
  }
  bits.template store<W * sizeof(Storage)>(to);
}

template <class Storage, class T, int W>
VK_FN bool store_in_one_piece(void* data, const Group& group, const T (&values)[W]) {
  constexpr int kBytes = W * sizeof(Storage);
  Storage* to = static_cast<Storage*>(data) + group.first;
  const bool aligned = is_aligned(to, kAccess<kBytes>);
  if (aligned) store_packed(to, values);
  return aligned;
}

// False where the group's memory is not one aligned piece.
template <class T, int W>
VK_FN bool store_in_one_piece(const Target& target, const Group& group, const T (&values)[W]) {
  if constexpr (W == 1) return false;
  else {
    if (group.size() < W) return false;
    switch (target.dtype) {
      case DType::f32: return store_in_one_piece<float>(target.data, group, values);
      case DType::bf16: return store_in_one_piece<BFloat16>(target.data, group, values);
      case DType::f16: return store_in_one_piece<Half>(target.data, group, values);
      default: return false;
    }
  }
}

template <class T, int W>
VK_FN void store(const Target& target, const Group& group, const T (&values)[W]) {
  if (store_in_one_piece(target, group, values)) return;
  T rest[W];
#pragma unroll
  for (int j = 0; j < W; ++j) rest[j] = values[j];
#pragma unroll 1
  for (int j = 0; j < group.end; ++j) {
    if (j >= group.begin) store_element(target.data, target.dtype, group.first + j, rest[0]);
    push_back(rest, T(0));
  }
}

VK_END
