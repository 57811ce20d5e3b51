// The elements that one thread owns, and their way between memory and registers.
#pragma once

#include <type_traits>

#include "../core/dtypes.h"
#include "../core/philox.h"
#include "arguments.h"
#include "runtime.cuh"

VK_BEGIN

// Elements first .. first + W - 1 of which begin .. end - 1 belong to the thread's tile.
struct Group {
  int64_t first = 0;
  int begin = 0, end = 0;
  int item = 0;  // position of element `first` among the elements of the tile

  VK_FN int size() const { return end - begin; }
};

VK_FN bool is_aligned(const void* pointer, int bytes) {
  return (reinterpret_cast<uintptr_t>(pointer) & static_cast<uintptr_t>(bytes - 1)) == 0;
}

// Memory is accessed 4, 8 or 16 bytes at a time.
template <int bytes>
constexpr int kAccess = bytes < 16 ? bytes : 16;
template <int bytes>
struct Chunk;
template <>
struct Chunk<4> {
  using type = uint32_t;
};
template <>
struct Chunk<8> {
  using type = uint2;
};
template <>
struct Chunk<16> {
  using type = uint4;
};

// The raw bits of W elements of a dtype, packed as they are in memory.
template <int W>
struct Bits {
  uint32_t words[W];

  template <int bytes>
  VK_FN void load(const void* from) {
    using Access = typename Chunk<kAccess<bytes>>::type;
    constexpr int kWords = sizeof(Access) / 4;
#pragma unroll
    for (int k = 0; k < bytes / static_cast<int>(sizeof(Access)); ++k) {
      const Access access = static_cast<const Access*>(from)[k];
      unpack(words + k * kWords, access);
    }
  }

  template <class Storage>
  VK_FN void load_first(const Storage* from) {
    if constexpr (sizeof(Storage) == 4) words[0] = bit_cast<uint32_t>(*from);
    else words[0] = *from;
  }

  template <int bytes>
  VK_FN void store(void* to) const {
    using Access = typename Chunk<kAccess<bytes>>::type;
    constexpr int kWords = sizeof(Access) / 4;
#pragma unroll
    for (int k = 0; k < bytes / static_cast<int>(sizeof(Access)); ++k) {
      Access access;
      pack(access, words + k * kWords);
      static_cast<Access*>(to)[k] = access;
    }
  }

  template <class Storage>
  static constexpr int kPerWord = 4 / sizeof(Storage);

  template <class Storage>
  VK_FN Storage element(int j) const {
    constexpr int n = kPerWord<Storage>;
    const uint32_t bits = words[j / n] >> (8 * sizeof(Storage) * (j % n));
    if constexpr (sizeof(Storage) == 4) return bit_cast<Storage>(bits);
    if constexpr (sizeof(Storage) == 2) return bit_cast<Storage>(static_cast<uint16_t>(bits));
    if constexpr (sizeof(Storage) == 1) return bit_cast<Storage>(static_cast<uint8_t>(bits));
  }

  // Element j as a number.
  template <class Storage, class T>
  VK_FN T number(int j) const {
#if defined(__CUDA_ARCH__)
    if constexpr (std::is_same_v<Storage, uint8_t> && sizeof(T) == sizeof(float)) {
      return intensity(byte_in_place(words[j / 4], j % 4));
    }
#endif
    return load_as<T>(element<Storage>(j));
  }

  // Fills the word that begins with element j.
  template <class Storage, class T>
  VK_FN void set_elements(int j, const T* values) {
    if constexpr (kPerWord<Storage> == 1) words[j] = bit_cast<uint32_t>(static_cast<float>(values[0]));
    else words[j / 2] = packed<Storage>(static_cast<float>(values[0]), static_cast<float>(values[1]));
  }

 private:
  VK_FN static void unpack(uint32_t* to, uint32_t x) { to[0] = x; }
  VK_FN static void unpack(uint32_t* to, uint2 x) { to[0] = x.x, to[1] = x.y; }
  VK_FN static void unpack(uint32_t* to, uint4 x) {
    to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
  }
  VK_FN static void pack(uint32_t& x, const uint32_t* from) { x = from[0]; }
  VK_FN static void pack(uint2& x, const uint32_t* from) { x.x = from[0], x.y = from[1]; }
  VK_FN static void pack(uint4& x, const uint32_t* from) {
    x.x = from[0], x.y = from[1], x.z = from[2], x.w = from[3];
  }
};

template <class T, int W>
VK_FN void fill(T (&values)[W], T value) {
#pragma unroll
  for (int j = 0; j < W; ++j) values[j] = value;
}

// Moves all values one place forward. Where a loop that is not unrolled fills an array in
// registers, this takes the place of an index.
template <class T, int W>
VK_FN void push_back(T (&values)[W], T value) {
#pragma unroll
  for (int j = 0; j + 1 < W; ++j) values[j] = values[j + 1];
  values[W - 1] = value;
}

template <class T>
VK_FN T load_element(const void* data, DType dtype, int64_t offset) {
  return with_dtype(dtype, [=](auto tag) {
    using Storage = typename decltype(tag)::type;
    return load_as<T>(static_cast<const Storage*>(data)[offset]);
  });
}

template <class T>
VK_FN void store_element(void* data, DType dtype, int64_t offset, T value) {
  with_float_dtype(dtype, [=](auto tag) {
    using Storage = typename decltype(tag)::type;
    store_as(static_cast<Storage*>(data) + offset, value);
  });
}

VK_END
