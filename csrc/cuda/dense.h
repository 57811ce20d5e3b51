// Elements of a launch in a dense form: 16-byte accesses, 32-bit positions, and no question that
// the form answers.
#pragma once

#include "forms.h"
#include "store.h"

VK_BEGIN

// Where a thread's group lies. Lines are as long as elements follow each other in all inputs.
struct Place {
  uint32_t first, line, row;

  VK_FN Place(const TileArguments& arguments, const Group& group)
      : first(static_cast<uint32_t>(group.first)),
        line(arguments.dense.line.divide(first)),
        row(arguments.dense.row.divide(first)) {}
};

// One input's group, on its way from memory. A target, whose dtype is known when it runs, comes last:
// its accesses begin when those of the others have, and it is asked for its dtype once.
template <class Form, int W>
class DenseReader {
 public:
  using Storage = typename Form::Storage;

  VK_FN void start(char letter, const Source& source, const Place& place) {
    if (letter == 'r') return start_number(source, place.row);
    if (letter == 'e') load<Storage>(source, place);
  }

  template <class T>
  VK_FN void finish(char letter, const Source& source, const Place& place, T (&values)[W]) {
    if (letter == 'r') return fill(values, number(source));
    if (letter == 'e') return convert<Storage>(values);
    if (source.dtype == DType::u8) take<uint8_t>(source, place, values);
    else if (sizeof(Storage) == 4 || source.dtype == DType::f32) take<float>(source, place, values);
    else take<Storage>(source, place, values);
  }

 private:
  template <class Element, class T>
  VK_FN void take(const Source& source, const Place& place, T (&values)[W]) {
    load<Element>(source, place);
    convert<Element>(values);
  }

  template <class Element>
  VK_FN void load(const Source& source, const Place& place) {
    const uint32_t offset = place.first + place.line * source.skip;
    bits_.template load<W * sizeof(Element)>(static_cast<const Element*>(source.data) + offset);
  }

  template <class Element, class T>
  VK_FN void convert(T (&values)[W]) const {
#pragma unroll
    for (int j = 0; j < W; ++j) values[j] = bits_.template number<Element, T>(j);
  }

  VK_FN void start_number(const Source& source, uint32_t row) {
    const uint32_t offset = row * source.skip;
    if (source.kind == Input::Kind::constant) return;
    if (source.dtype == DType::f32) bits_.load_first(static_cast<const float*>(source.data) + offset);
    else bits_.load_first(static_cast<const uint16_t*>(source.data) + offset);
  }

  VK_FN float number(const Source& source) const {
    if (source.kind == Input::Kind::constant) return static_cast<float>(source.constant);
    if (source.dtype == DType::f32) return bits_.template element<float>(0);
    return load_as<float>(bits_.template element<BFloat16>(0));
  }

  Bits<W> bits_;
};

// What all of a block's noise has in common, in shared memory.
__device__ inline void put_keys(RoundKeys& keys, const Source& source) {
  const uint64_t* seed = static_cast<const uint64_t*>(source.data);
  const int round = static_cast<int>(threadIdx.x);
  if (round < kRounds) keys.of_round[round] = round_key(seed[0], round);
  if (round == 0) keys.stream = seed[1];
  __syncthreads();
}

// The normals of a group; a tensor's first 2^32 elements have small counters.
template <class T, int W>
VK_FN void make_dense_noise(T (&values)[W], const RoundKeys& keys, uint32_t first) {
#pragma unroll
  for (int k = 0; k < W / 4; ++k) put_normals(values + 4 * k, philox(first / 4 + k, keys));
}

// All inputs; the noise while the others' accesses are under way.
template <class Form, class T, int N, int W>
VK_FN void load_dense(const TileArguments& arguments, const RoundKeys& keys,
                      const Group& group, T (&inputs)[N][W]) {
  const Place place(arguments, group);
  DenseReader<Form, W> readers[N];
#pragma unroll
  for (int k = 0; k < N; ++k) readers[k].start(Form::input(k), arguments.sources[k], place);
#pragma unroll
  for (int k = N - 1; k >= 0; --k) {
    const Source& source = arguments.sources[k];
    if (Form::input(k) == 'n') make_dense_noise(inputs[k], keys, place.first);
    else readers[k].finish(Form::input(k), source, place, inputs[k]);
  }
}

template <class Form, class T, int W>
VK_FN void store_dense(const Target& target, const Group& group, const T (&values)[W]) {
  using Storage = typename Form::Storage;
  store_packed(static_cast<Storage*>(target.data) + static_cast<uint32_t>(group.first), values);
}

VK_END
