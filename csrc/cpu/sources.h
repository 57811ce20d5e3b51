// Where a tile's input values come from: memory of any dtype and layout, a constant, or the noise.
#pragma once

#include "../core/dtypes.h"
#include "noise.h"

VK_BEGIN

// Elements computed at a time: everything a tile touches stays in the L1 cache.
constexpr int64_t kTile = 1024;
// Noise starts up to 3 elements early and ends up to 3 late; whole cache lines keep the next aligned.
constexpr int64_t kScratch = kTile + 16;

template <class T>
void fill(T* to, T value, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) to[j] = value;
}

template <class T, class Storage>
void convert(T* to, const Storage* from, int64_t stride, int64_t n) {
  if (stride == 0) return fill(to, load_as<T>(*from), n);
  if (stride == 1) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) to[j] = load_as<T>(from[j]);
  } else {
    for (int64_t j = 0; j < n; ++j) to[j] = load_as<T>(from[j * stride]);
  }
}

// Asks for what the next tile will read: converting is so quick that it would wait for every line.
template <class Storage>
void prefetch(const Storage* from, int64_t n) {
  constexpr int64_t kLine = 64 / sizeof(Storage);
  for (int64_t j = 0; j < n; j += kLine) __builtin_prefetch(from + j);
}

// Where the runs of a view along its innermost dimension begin, one after the other: short ones are
// over before divisions would have found the next.
class Runs {
 public:
  Runs(const Layout& layout, int64_t run) : layout_(layout), outer_(layout.ndim - 1) {
    for (int d = outer_ - 1; d >= 0; --d) {
      index_[d] = run % layout.size[d];
      offset_ += index_[d] * layout.stride[d];
      run /= layout.size[d];
    }
  }

  int64_t offset() const { return offset_; }

  void advance() {
    for (int d = outer_ - 1; d >= 0; --d) {
      offset_ += layout_.stride[d];
      if (++index_[d] < layout_.size[d]) return;
      offset_ -= layout_.size[d] * layout_.stride[d];
      index_[d] = 0;
    }
  }

 private:
  const Layout& layout_;
  int outer_;
  int64_t offset_ = 0, index_[kMaxDims];
};

// Elements first .. first+n-1 of a view, run by run along its innermost dimension. (The only call of
// `convert` for each dtype: its loops are most of what is compiled here.)
template <class T, class Storage>
void gather(T* to, const Storage* base, const Layout& layout, int64_t first, int64_t n) {
  const int inner = layout.ndim - 1;
  const int64_t size = inner < 0 ? 1 : layout.size[inner];
  const int64_t stride = inner < 0 ? 1 : layout.stride[inner];
  int64_t column = first % size;
  for (Runs runs(layout, first / size); n > 0; runs.advance()) {
    const int64_t length = size - column < n ? size - column : n;
    convert(to, base + runs.offset() + column * stride, stride, length);
    to += length, n -= length, column = 0;
  }
}

template <class T>
constexpr DType compute_dtype() {
  return sizeof(T) == sizeof(double) ? DType::f64 : DType::f32;
}

// One input of a launch, as one thread reads it.
template <class T>
class Source {
 public:
  void open(const Input& input) {
    input_ = &input;
    const bool tensor = input.kind == Input::Kind::tensor;
    direct_ = tensor && input.layout.is_dense() && input.dtype == compute_dtype<T>();
    broadcast_ = tensor && input.layout.ndim > 0 && inner_stride() == 0;
    filled_ = nullptr;
    if (input.kind == Input::Kind::noise) {
      const int64_t* key = static_cast<const int64_t*>(input.data);
      key_ = {static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1])};
    }
  }

  // Elements first .. first+n-1, contiguous: in place where possible, else through scratch.
  const T* load(T* scratch, int64_t first, int64_t n) {
    if (direct_) return static_cast<const T*>(input_->data) + first;
    if (input_->kind == Input::Kind::noise) {
      const int64_t skip = first % 4;
      fill_normals(scratch, first / 4, (skip + n + 3) / 4, key_);
      return scratch + skip;
    }
    if (input_->kind == Input::Kind::constant) {
      refill(scratch, input_, [&] { return static_cast<T>(input_->constant); });
      return scratch;
    }
    with_dtype(input_->dtype, [&](auto tag) {
      using Storage = typename decltype(tag)::type;
      const Storage* base = static_cast<const Storage*>(input_->data);
      const Layout& layout = input_->layout;
      if (broadcast_ && first % inner_size() + n <= inner_size()) {
        const Storage* element = base + layout.offset_of(first);
        return refill(scratch, element, [&] { return load_as<T>(*element); });
      }
      filled_ = nullptr;
      gather(scratch, base, layout, first, n);
      if (layout.ndim == 0 || !layout.is_dense()) return;
      const int64_t next = first + n, left = layout.size[0] - next;
      prefetch(base + next, n < left ? n : left);
    });
    return scratch;
  }

  // Whether the scratch that `load` returned last holds one value throughout.
  bool is_uniform() const { return filled_ != nullptr; }

 private:
  int64_t inner_size() const { return input_->layout.size[input_->layout.ndim - 1]; }
  int64_t inner_stride() const { return input_->layout.stride[input_->layout.ndim - 1]; }

  // Fills the scratch with one value, unless it holds that very value already.
  template <class Value>
  void refill(T* scratch, const void* origin, Value value) {
    if (filled_ == origin) return;
    fill(scratch, value(), kTile);
    filled_ = origin;
  }

  const Input* input_;
  const void* filled_;
  NoiseKey key_;
  bool direct_, broadcast_;
};

VK_END
