// One call of a kernel, described in plain data: what the bindings hand to a backend.
//
// The call visits rows x columns elements in row-major order. A row is a datapoint, or a part of
// one over which some broadcast input is constant; columns are what is summed over.
#pragma once

#include <cstdint>

namespace vk {

// Bytes are read in three ways: u8 as 0 .. 1, u8_signed as -1 .. 1, u8_count as they are.
enum class DType : int { f32, f64, bf16, f16, u8, boolean, u8_signed, u8_count };

constexpr int kMaxDims = 12;
constexpr int kMaxOperands = 8;

// A strided view; a stride of 0 broadcasts.
struct Layout {
  int ndim = 0;
  int64_t size[kMaxDims], stride[kMaxDims];

  // Appends an inner dimension, merged with the one before it where memory allows.
  // False when there are too many.
  bool append(int64_t n, int64_t step) {
    if (n == 1) return true;
    if (ndim > 0 && stride[ndim - 1] == step * n) {
      size[ndim - 1] *= n;
      stride[ndim - 1] = step;
      return true;
    }
    if (ndim == kMaxDims) return false;
    size[ndim] = n;
    stride[ndim++] = step;
    return true;
  }

  bool is_dense() const { return ndim == 0 || (ndim == 1 && stride[0] == 1); }

  int64_t offset_of(int64_t index) const {
    int64_t offset = 0;
    for (int d = ndim - 1; d >= 0; --d) {
      offset += index % size[d] * stride[d];
      index /= size[d];
    }
    return offset;
  }
};

struct Input {
  enum class Kind { tensor, constant, noise } kind;
  const void* data = nullptr;  // tensor: element 0; noise: int64[2], seed and stream
  DType dtype = DType::f32;
  Layout layout;  // tensor: of the elements
  double constant = 0.0;
};

struct Output {
  enum class Kind {
    elements,    // contiguous, one number per element
    row_sum,     // sums over columns; `rows` maps a row to its number, several rows may share one
    column_sum,  // contiguous, one number per column: sums over rows
    discard,
    row_log_sum_exp,  // as row_sum, log sum exp instead. Of an operation's result `log_sum_exp`
  } kind;
  void* data = nullptr;
  DType dtype = DType::f32;
  Layout rows;
  int64_t numel = 0;  // by row: how many numbers

  bool by_row() const { return kind == Kind::row_sum || kind == Kind::row_log_sum_exp; }
};

struct Launch {
  int kernel = 0;
  float factor = 1.0f;  // of logarithms of deviations, if the kernel reads such: see math/scale.h
  DType compute = DType::f32;  // f32 or f64
  int64_t rows = 0, cols = 0;
  int n_inputs = 0, n_outputs = 0;
  // Whether one more input follows, a boolean mask: results are 0 where it is false.
  bool masked = false;
  Input inputs[kMaxOperands];
  Output outputs[kMaxOperands];
  int threads = 1;

  // Sums of one element each are those elements: nothing has to be added up, or kept till then.
  void simplify() {
    for (int k = 0; cols == 1 && k < n_outputs; ++k) {
      Output& output = outputs[k];
      const bool one_each = output.numel == rows && output.rows.is_dense();
      if (output.kind == Output::Kind::row_sum && one_each) output.kind = Output::Kind::elements;
    }
  }
};

// What a backend offers under one kernel number.
struct KernelInfo {
  const char* op;
  const char* scale;
  const char* variant;  // "value", "vjp", or both at once: "value_and_vjp"
  int n_inputs, n_outputs;
};

}  // namespace vk
