// Writes what the library tells a kernel about a launch to standard output, and to standard error
// which kernel that is, its blocks, threads and the elements of a block. Host code: it plans the
// launch as csrc/cuda/backend.cu does.
//
//   launch_arguments OPERATION VARIANT ROWS COLUMNS INPUT ... / OUTPUT ...
//
// Inputs: "constant", "noise", or a dtype and how a tensor lies, as in "f32:dense": also "row" (a
// number per row), "one" (a number), "half" (of a tensor with twice the columns), "odd" (4 bytes
// behind an aligned address). Outputs: "elements:f32", "rows:f32" (a sum per row), "all:f32" (one
// sum), "discard". Operations that read deviations read their logarithms.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <typeinfo>

#include "csrc/cuda/plan.h"
#include "csrc/cuda/tile_kernel.h"
#include "csrc/kernel_list.h"

VK_BEGIN

template <class... Arguments>
struct KernelOf {};  // mangled as the kernel of these arguments is

DType dtype_of(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  if (name == "f16") return DType::f16;
  if (name == "u8") return DType::u8;
  std::abort();
}

char* next_address() {
  static uintptr_t address = 0x700000000000;
  return reinterpret_cast<char*>(address += 0x1000000000);
}

Input input_of(const std::string& text, int64_t rows, int64_t cols) {
  Input input;
  input.kind = text == "constant" ? Input::Kind::constant : Input::Kind::noise;
  input.constant = -1.0 / static_cast<double>(rows);
  input.data = next_address();
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return input;
  const std::string lies = text.substr(colon + 1);
  input.kind = Input::Kind::tensor;
  input.dtype = dtype_of(text.substr(0, colon));
  if (lies == "odd") input.data = next_address() + 4;
  const int64_t row_stride = lies == "half" ? 2 * cols : lies == "row" ? 1 : lies == "one" ? 0 : cols;
  input.layout.append(rows, row_stride);
  input.layout.append(cols, lies == "row" || lies == "one" ? 0 : 1);
  return input;
}

Output output_of(const std::string& text, int64_t rows) {
  Output output;
  output.kind = Output::Kind::discard;
  const size_t colon = text.find(':');
  if (colon == std::string::npos) return output;
  const std::string kind = text.substr(0, colon);
  output.dtype = dtype_of(text.substr(colon + 1));
  output.data = next_address();
  output.kind = kind == "elements" ? Output::Kind::elements : Output::Kind::row_sum;
  output.numel = kind == "all" ? 1 : rows;
  output.rows.append(rows, kind == "all" ? 0 : 1);
  return output;
}

template <class Function>
void write_arguments(const Launch& launch) {
  Plan plan(launch, kGroupWidth<Function, float>);
  plan.use_workspace(reinterpret_cast<double*>(next_address()));
  const Tiling& tiling = plan.tiles.tiling;
  std::fprintf(stderr, "%s %lld %d %d", typeid(KernelOf<Function, float>).name(),
               static_cast<long long>(tiling.tiles()), tiling.threads,
               tiling.tile_rows * tiling.tile_cols);
  std::fwrite(&plan.tiles, 1, sizeof(plan.tiles), stdout);
}

VK_END

int main(int argc, char** argv) {
  using namespace vk;
  const std::string operation = argv[1], variant = argv[2];
  static Launch launch;
  launch.rows = std::atoll(argv[3]), launch.cols = std::atoll(argv[4]);
  bool inputs = true;
  for (int k = 5; k < argc; ++k) {
    const std::string text = argv[k];
    if (text == "/") inputs = false;
    else if (inputs) launch.inputs[launch.n_inputs++] = input_of(text, launch.rows, launch.cols);
    else launch.outputs[launch.n_outputs++] = output_of(text, launch.rows);
  }
  bool found = false;
  for_each_kernel([&](auto function, const char* scale) {
    using Function = decltype(function);
    const KernelInfo info = kernel_info<Function>(scale);
    if (info.op != operation || info.variant != variant || info.scale[0] == 's') return;
    if (info.n_inputs != launch.n_inputs || info.n_outputs != launch.n_outputs) return;
    write_arguments<Function>(launch);
    found = true;
  });
  return found ? 0 : 1;
}
