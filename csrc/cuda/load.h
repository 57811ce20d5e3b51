// How a thread reads its group of one input, in three steps: where it lies; the accesses to memory,
// so that those of all inputs are under way together; their conversion, which waits for them.
#pragma once

#include "group.h"

VK_BEGIN

// Any layout. A number that is broadcast along the inner dimension is read once.
template <class T, int W>
VK_FN void load_one_by_one(T (&values)[W], const Source& source, const Group& group) {
  const int64_t step = source.inner_stride;
  Run run{0, 0};
  T value = T(0);
#pragma unroll 1
  for (int j = 0; j < W; ++j) {
    if (j >= group.begin && j < group.end) {
      const bool first = run.left == 0;
      if (first) run = source.find(group.first + j);
      if (first || step != 0) value = load_element<T>(source.data, source.dtype, run.offset);
      run.offset += step;
      --run.left;
    }
    push_back(values, value);
  }
}

template <class T, int W>
class Reader {
 public:
  VK_FN void find(const Source& source, const Group& group) {
    ready_ = false;
    uniform_ = source.kind == Input::Kind::constant;
    if (source.kind != Input::Kind::tensor) return;
    const Run run = source.find(group.first + group.begin);
    offset_ = run.offset;
    uniform_ = source.inner_stride == 0 && run.left >= group.size();
    const bool in_one_piece = source.inner_stride == 1 && run.left >= W && group.size() == W;
    ready_ = uniform_ || in_one_piece;
  }

  VK_FN void start(const Source& source) {
    if (!ready_ || source.kind != Input::Kind::tensor) return;
    switch (source.dtype) {
      case DType::f32: return load<float>(source.data);
      case DType::bf16:
      case DType::f16: return load<uint16_t>(source.data);
      case DType::u8:
      case DType::u8_signed:
      case DType::u8_count:
      case DType::boolean: return load<uint8_t>(source.data);
      default: ready_ = false;
    }
  }

  VK_FN void finish(T (&values)[W], const Source& source, const Group& group) const {
    if (source.kind == Input::Kind::constant) return fill(values, static_cast<T>(source.constant));
    if (!ready_) return load_one_by_one(values, source, group);
    switch (source.dtype) {
      case DType::bf16: return convert<BFloat16>(values);
      case DType::f16: return convert<Half>(values);
      case DType::u8: return convert<uint8_t>(values);
      case DType::u8_signed: return convert<SignedByte>(values);
      case DType::u8_count: return convert<CountByte>(values);
      case DType::boolean: return convert<Bool>(values);
      default: return convert<float>(values);
    }
  }

  // Whether the group is one number throughout.
  VK_FN bool is_uniform() const { return uniform_; }

 private:
  template <class Storage>
  VK_FN void load(const void* data) {
    constexpr int kBytes = W * sizeof(Storage);
    const Storage* from = static_cast<const Storage*>(data) + offset_;
    if (uniform_) bits_.load_first(from);
    else if (is_aligned(from, kAccess<kBytes>)) bits_.template load<kBytes>(from);
    else ready_ = false;
  }

  template <class Storage>
  VK_FN void convert(T (&values)[W]) const {
    if (uniform_) return fill(values, load_as<T>(bits_.template element<Storage>(0)));
#pragma unroll
    for (int j = 0; j < W; ++j) values[j] = bits_.template number<Storage, T>(j);
  }

  Bits<W> bits_;
  int64_t offset_;
  bool ready_, uniform_;
};

// Single elements are converted at once: other threads' accesses are under way meanwhile.
template <class T>
class Reader<T, 1> {
 public:
  VK_FN void find(const Source& source, const Group& group) {
    if (source.kind == Input::Kind::tensor) offset_ = source.find(group.first).offset;
  }
  VK_FN void start(const Source& source) {
    value_ = static_cast<T>(source.constant);
    if (source.kind == Input::Kind::tensor) value_ = load_element<T>(source.data, source.dtype, offset_);
  }
  VK_FN void finish(T (&values)[1], const Source&, const Group&) const { values[0] = value_; }
  VK_FN bool is_uniform() const { return false; }

 private:
  int64_t offset_;
  T value_;
};

// The four normals of a counter.
template <class T>
VK_FN void put_normals(T* normals, const Values<uint32_t, 4>& words) {
#pragma unroll
  for (int j = 0; j < 4; j += 2) {
    const Values<T, 2> pair = box_muller(T(0), words.v[j], words.v[j + 1]);
    normals[j] = pair.v[0];
    normals[j + 1] = pair.v[1];
  }
}

// The normals of the group's elements. W and `first` have a counter's four in common.
template <class T, int W>
VK_FN void make_noise(T (&values)[W], const Source& source, const Group& group) {
  const int64_t* seed = static_cast<const int64_t*>(source.data);
  const NoiseKey key{static_cast<uint64_t>(seed[0]), static_cast<uint64_t>(seed[1])};
  const uint64_t counter = static_cast<uint64_t>(group.first) / 4;
  if constexpr (W == 1) {
    const Values<uint32_t, 4> words = philox(counter, key);
    const bool second = group.first % 4 >= 2;
    const Values<T, 2> pair =
        box_muller(T(0), second ? words.v[2] : words.v[0], second ? words.v[3] : words.v[1]);
    values[0] = group.first % 2 == 0 ? pair.v[0] : pair.v[1];
  } else {
#pragma unroll 1  // registers
    for (int k = 0; k < W / 4; ++k) {
      T normals[4];
      put_normals(normals, philox(counter + k, key));
#pragma unroll
      for (int j = 0; j < 4; ++j) push_back(values, normals[j]);
    }
  }
}

// All inputs, of any form; whether input `number` has one value throughout the group.
template <class T, int N, int W>
VK_FN bool load_any(const TileArguments& arguments, const Group& group, T (&inputs)[N][W],
                    int number) {
  Reader<T, W> readers[N];
#pragma unroll
  for (int k = 0; k < N; ++k) readers[k].find(arguments.sources[k], group);
#pragma unroll
  for (int k = 0; k < N; ++k) readers[k].start(arguments.sources[k]);
#pragma unroll
  for (int k = 0; k < N - 1; ++k) readers[k].finish(inputs[k], arguments.sources[k], group);
  const Source& last = arguments.sources[N - 1];
  if (last.kind == Input::Kind::noise) make_noise(inputs[N - 1], last, group);
  else readers[N - 1].finish(inputs[N - 1], last, group);
  return readers[number < 0 ? 0 : number].is_uniform();
}

VK_END
