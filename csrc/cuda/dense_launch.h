// Which launches a dense form fits, and what its kernel is told of them. Host code, no CUDA.
#pragma once

#include "arguments.h"
#include "forms.h"

VK_BEGIN

// A form, as data.
struct DenseLaunch {
  DType dtype;
  const char* inputs;
  const char* outputs;

  template <class Form>
  static DenseLaunch of() {
    return {sizeof(typename Form::Storage) == 4 ? DType::f32 : DType::bf16, Form::inputs,
            Form::outputs};
  }

  // Makes the arguments of any launch those of this form, if it fits: false, and nothing is changed,
  // if not.
  bool take(const Launch& launch, TileArguments& tiles) const {
    if (!fits(launch, tiles.tiling)) return false;
    const int64_t line = line_of(launch);
    tiles.dense = tiling_of(launch, tiles.tiling, line);
    for (int k = 0; k < launch.n_inputs; ++k) {
      const Layout& layout = launch.inputs[k].layout;
      const bool is_number = inputs[k] == 'r';
      const int64_t skip = is_number ? stride_of_rows(layout) : stride_of_lines(layout, line) - line;
      tiles.sources[k].skip = static_cast<uint32_t>(skip);
    }
    tiles.tiling.threads = threads(tiles.tiling);
    return true;
  }

 private:
  static constexpr int64_t kMostElements = INT32_MAX;

  static DenseTiling tiling_of(const Launch& launch, const Tiling& tiling, int64_t line) {
    const int64_t of_tile = static_cast<int64_t>(tiling.tile_rows) * tiling.tile_cols;
    const bool whole_rows = tiling.segments.n() == 1;
    DenseTiling dense;
    dense.elements = static_cast<uint32_t>(launch.rows * launch.cols);
    dense.of_tile = static_cast<uint32_t>(of_tile);
    dense.of_row = static_cast<uint32_t>(tiling.cols);
    dense.overhang = whole_rows ? 0 : static_cast<uint32_t>(tiling.segments.n() * of_tile - tiling.cols);
    dense.line = Divisor32(static_cast<uint32_t>(line));
    dense.row = Divisor32(static_cast<uint32_t>(launch.cols));
    return dense;
  }

  bool fits(const Launch& launch, const Tiling& tiling) const {
    const int64_t n = launch.rows * launch.cols;
    if (launch.masked || launch.compute != DType::f32 || n == 0 || n > kMostElements) return false;
    if (tiling.cols % kDenseWidth != 0) return false;
    for (int k = 0; k < launch.n_outputs; ++k) {
      if (!fits(outputs[k], launch.outputs[k])) return false;
    }
    const int64_t line = line_of(launch);
    if (line % kDenseWidth != 0) return false;
    for (int k = 0; k < launch.n_inputs; ++k) {
      if (!fits(inputs[k], launch.inputs[k], launch, line)) return false;
    }
    return true;
  }

  bool fits(char letter, const Output& output) const {
    if (letter == 'd') return output.kind == Output::Kind::discard;
    if (letter == 's') return output.kind == Output::Kind::row_sum;
    return output.kind == Output::Kind::elements && output.dtype == dtype &&
           aligned(output.data, kDenseWidth * bytes(dtype));
  }

  bool fits(char letter, const Input& input, const Launch& launch, int64_t line) const {
    if (letter == 'n') return input.kind == Input::Kind::noise;
    const bool of_form = input.dtype == DType::f32 || input.dtype == dtype;
    if (letter == 'r') {
      return input.kind == Input::Kind::constant ||
             (input.kind == Input::Kind::tensor && of_form && is_per_row(input.layout, launch));
    }
    if (input.kind != Input::Kind::tensor) return false;
    const bool is_target = letter == 't' && (of_form || input.dtype == DType::u8);
    if (input.dtype != dtype && !is_target) return false;
    const int64_t stride = stride_of_lines(input.layout, line);
    const int64_t lines = launch.rows * launch.cols / line;
    return is_in_lines(input.layout, line) && stride >= line && lines <= kMostElements / stride &&
           stride % kDenseWidth == 0 && aligned(input.data, kDenseWidth * bytes(input.dtype));
  }

  static bool aligned(const void* pointer, int bytes) {
    return (reinterpret_cast<uintptr_t>(pointer) & static_cast<uintptr_t>(bytes < 16 ? bytes - 1 : 15)) == 0;
  }
  static int bytes(DType type) { return type == DType::f32 ? 4 : type == DType::u8 ? 1 : 2; }

  // The shortest piece of elements one behind the other, of all inputs that have several.
  int64_t line_of(const Launch& launch) const {
    int64_t line = launch.rows * launch.cols;
    for (int k = 0; k < launch.n_inputs; ++k) {
      const Layout& layout = launch.inputs[k].layout;
      const bool is_elements = inputs[k] == 'e' || inputs[k] == 't';
      if (is_elements && layout.ndim == 2) line = least_of(line, layout.size[1]);
    }
    return line;
  }

  // One piece, or lines of this length.
  static bool is_in_lines(const Layout& layout, int64_t line) {
    if (layout.ndim == 2) return layout.size[1] == line && layout.stride[1] == 1;
    return layout.is_dense();
  }
  static int64_t stride_of_lines(const Layout& layout, int64_t line) {
    return layout.ndim == 2 ? layout.stride[0] : line;
  }

  // A number for each row, or the same for all.
  static bool is_per_row(const Layout& layout, const Launch& launch) {
    if (layout.ndim == 2) {
      return launch.cols % kDenseWidth == 0 && layout.size[1] == launch.cols &&
             layout.stride[1] == 0 && layout.stride[0] >= 0 &&
             layout.stride[0] <= kMostElements / launch.rows;
    }
    return layout.ndim == 0 || (layout.ndim == 1 && layout.stride[0] == 0);
  }
  static int64_t stride_of_rows(const Layout& layout) {
    return layout.ndim == 2 ? layout.stride[0] : 0;
  }

  static int threads(const Tiling& tiling) {
    const int64_t rows = least_of(tiling.tile_rows, tiling.rows);
    const int64_t groups = divide_up(rows * least_of(tiling.tile_cols, tiling.cols), kDenseWidth);
    const int64_t busy = tiling.tiles() * groups / kBusyThreads;
    const int64_t of_thread = busy >= kDenseGroups ? kDenseGroups : busy >= 2 ? 2 : 1;
    return static_cast<int>(round_up(divide_up(groups, of_thread), kWarp));
  }
};

VK_END
