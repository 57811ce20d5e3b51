// A launch of tensors: what their layouts and results are to a kernel, as `launch` in
// vaekern/_backends/launch.py has it.
#pragma once

#include <algorithm>

#include "plan.h"
#include "running.h"

namespace vk::exchange {

// --- inputs -------------------------------------------------------------------------------------

// Whether a tensor broadcasts from the right, or is of `dims` leading dimensions.
inline bool spreads_to(const Operand& operand, const Operand& full) {
  const int missing = full.ndim() - operand.ndim();
  for (int d = 0; d < operand.ndim(); ++d) {
    if (missing < 0 || (operand.size(d) != 1 && operand.size(d) != full.size(missing + d))) {
      return false;
    }
  }
  return true;
}

// Of a tensor whose dimension 0 is dimension `missing` of the elements; over others it is constant.
inline bool describe(const Operand& operand, const Operand& full, int missing, DType bytes_as,
                     Input& input) {
  input.data = operand.data();
  if (operand.is_seed) {
    input.kind = Input::Kind::noise;
    return true;
  }
  input.kind = Input::Kind::tensor;
  input.dtype = operand.dtype == DType::u8 ? bytes_as : operand.dtype;
  int64_t step = operand.numel();  // without strides: contiguous
  for (int d = 0; d < full.ndim(); ++d) {
    const int own = d - missing;
    int64_t stride = 0;
    if (own >= 0 && own < operand.ndim()) {
      step /= operand.size(own);
      if (operand.size(own) == full.size(d)) {
        stride = operand.view.strides == nullptr ? step : operand.view.strides[own];
      }
    }
    if (!input.layout.append(full.size(d), stride)) return false;
  }
  return true;
}

inline bool describe(const Operand& operand, const Operand& full, DType bytes_as, Input& input) {
  return describe(operand, full, full.ndim() - operand.ndim(), bytes_as, input);
}

inline bool describe_by_datapoint(const Operand& operand, const Operand& full, Input& input) {
  return describe(operand, full, 0, DType::u8, input);
}

inline void describe_number(double number, Input& input) {
  input.kind = Input::Kind::constant;
  input.constant = number;
}

// --- results ------------------------------------------------------------------------------------

// A result, contiguous, with a size of 1 for each dimension of the elements that it sums over.
struct Result {
  void* data = nullptr;  // none: nobody wants it
  DType dtype = DType::f32;
  int64_t sizes[kMaxTensorDims], numel = 1;

  Result() = default;

  // Of `ndim` dimensions, of which the first is dimension `missing` of the elements.
  Result(void* data, DType dtype, const Operand& full, const int64_t* shape, int ndim, int missing)
      : data(data), dtype(dtype) {
    for (int d = 0; d < full.ndim(); ++d) {
      sizes[d] = d >= missing && d < missing + ndim ? shape[d - missing] : 1;
      numel *= sizes[d];
    }
  }

  bool is_full(const Operand& full) const {
    return std::equal(sizes, sizes + full.ndim(), full.view.shape);
  }

  bool is_constant(const Operand& full, int first, int last) const {
    for (int d = first; d < last; ++d) {
      if (sizes[d] != 1 && full.size(d) != 1) return false;
    }
    return true;
  }

  // Whether it has one number for several whole rows, or one for each column, where the first
  // `split` dimensions make rows.
  bool sums(const Operand& full, int split) const {
    return is_constant(full, split, full.ndim()) ||
           (is_constant(full, 0, split) &&
            std::equal(sizes + split, sizes + full.ndim(), full.view.shape + split));
  }

  Output output(const Operand& full, int split) const {
    Output output;
    output.kind = Output::Kind::discard;
    output.data = data, output.dtype = dtype, output.numel = numel;
    if (data == nullptr) return output;
    if (is_full(full)) {
      output.kind = Output::Kind::elements;
    } else if (is_constant(full, split, full.ndim())) {
      output.kind = Output::Kind::row_sum;
      int64_t step = numel;
      for (int d = 0; d < split; ++d) {
        step /= sizes[d];
        if (!output.rows.append(full.size(d), sizes[d] == 1 ? 0 : step))
          throw std::length_error("");
      }
    } else {
      output.kind = Output::Kind::column_sum;
    }
    return output;
  }
};

inline Result of_datapoints(void* data, DType dtype, const Operand& full, int batch_dims) {
  return {data, dtype, full, full.view.shape, batch_dims, 0};
}

// Of the shape of an operand, which broadcasts from the right.
inline Result like(const Operand& operand, void* data, DType dtype, const Operand& full) {
  return {data, dtype, full, operand.view.shape, operand.ndim(), full.ndim() - operand.ndim()};
}

// One sum of everything.
inline Result of_all(void* data, DType dtype, const Operand& full) {
  return {data, dtype, full, nullptr, 0, 0};
}

// Says which dimensions make rows, and what is summed over them. False where no split will do.
inline bool arrange(Launch& launch, const Operand& full, int batch_dims, const Result* results,
                    int n_results) {
  const auto fits = [&](int split) {
    return std::all_of(results, results + n_results, [&](const Result& result) {
      return result.data == nullptr || result.is_full(full) || result.sums(full, split);
    });
  };
  const int last = std::max(full.ndim(), batch_dims + 1);
  int split = batch_dims;
  while (split < last && !fits(split)) ++split;
  if (split == last) {  // fewer, then, where no result is one number for each datapoint
    split = batch_dims - 1;
    while (split > 0 && !fits(split)) --split;
    if (split <= 0) return false;
  }
  launch.rows = full.numel(0, split), launch.cols = full.numel(split);
  launch.n_outputs = n_results;
  for (int k = 0; k < n_results; ++k) launch.outputs[k] = results[k].output(full, split);
  return true;
}

}  // namespace vk::exchange
