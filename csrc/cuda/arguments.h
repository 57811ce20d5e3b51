// What the kernels are told about a launch: plain data, passed by value.
#pragma once

#include "tiling.h"

VK_BEGIN

struct Dimension {
  Divisor64 size;
  int64_t stride;
};

// A position that comes from an index, and how many further indices follow at the inner stride.
struct Run {
  int64_t offset, left;
};

// Without dimensions, all indices follow at the inner stride.
VK_FN Run locate(const Dimension* dims, int ndim, int64_t inner_stride, int64_t index) {
  if (ndim == 0) return {index * inner_stride, INT64_MAX};
  uint64_t rest = static_cast<uint64_t>(index);
  Run run{0, 0};
#pragma unroll 1
  for (int d = ndim - 1; d >= 0; --d) {
    const uint64_t size = dims[d].size.n(), quotient = dims[d].size.divide(rest);
    const int64_t coordinate = static_cast<int64_t>(rest - quotient * size);
    if (d == ndim - 1) run.left = static_cast<int64_t>(size) - coordinate;
    run.offset += coordinate * dims[d].stride;
    rest = quotient;
  }
  return run;
}

struct Source {
  const void* data;
  DType dtype;
  Input::Kind kind;  // only the last may be noise
  double constant;
  int ndim;  // of a layout that is not one run
  int64_t inner_stride;
  uint32_t skip;  // in a dense form: of each line, beside its length; of a number per row, to the next
  Dimension dims[kMaxDims];

  VK_FN Run find(int64_t element) const { return locate(dims, ndim, inner_stride, element); }
};

struct Target {
  void* data;
  double* partial;  // sums that another kernel combines; null if this one writes the final number
  DType dtype;
  Output::Kind kind;
};

// The tiles of a launch in a dense form, as elements. Tiles of whole rows follow each other; those
// side by side may reach `overhang` elements beyond the end of a row.
struct DenseTiling {
  uint32_t elements, of_tile, of_row, overhang;
  Divisor32 line, row;  // elements that lie together in all inputs; of a row of the launch
};

struct TileArguments {
  Tiling tiling;
  float factor;  // as in a launch
  bool any_sums;
  bool masked;  // by one source more than the function has inputs
  DenseTiling dense;
  Source sources[kMaxOperands];
  Target targets[kMaxOperands];
};

// One output's partial sums, and which of them make up which number.
struct Combination {
  const double* partial;
  void* data;
  DType dtype;
  bool log_sum_exp;        // instead of a sum
  int64_t numbers, terms;  // terms of each number
  int lanes;               // threads that share one number
  int64_t blocks;
  // From a number to its first term, and from a position among the terms to the distance from it.
  int number_ndim, term_ndim;
  int64_t number_stride, term_stride;
  Dimension dims[kMaxDims + 1];  // those of the numbers, then those of the terms

  VK_FN int64_t first_term(int64_t number) const {
    return locate(dims, number_ndim, number_stride, number).offset;
  }
  VK_FN int64_t distance(int64_t term) const {
    return locate(dims + number_ndim, term_ndim, term_stride, term).offset;
  }
};

struct CombineArguments {
  int n;
  Combination combinations[kMaxOperands];
};

// The limit that holds on every GPU.
static_assert(sizeof(TileArguments) <= 4096 && sizeof(CombineArguments) <= 4096);

// Writes a layout's dimensions, if it is not one run; how many.
inline int describe(const Layout& layout, Dimension* dims, int64_t* inner_stride) {
  *inner_stride = layout.ndim > 0 ? layout.stride[layout.ndim - 1] : 1;
  if (layout.ndim <= 1) return 0;
  for (int d = 0; d < layout.ndim; ++d) {
    dims[d] = {Divisor64(static_cast<uint64_t>(layout.size[d])), layout.stride[d]};
  }
  return layout.ndim;
}

VK_END
