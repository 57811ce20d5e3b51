// Instantiates part of the list of operations: the build compiles this file once for each of
// VK_CUDA_PARTS, with their number as VK_CUDA_PART.

#include "../kernel_list.h"
#include "kernel_table.h"
#include "tile_kernel.h"

VK_BEGIN

template <class Function, class T, class Form>
static cudaError_t enqueue(const TileArguments& arguments, cudaStream_t stream) {
  const Tiling& tiling = arguments.tiling;
  return launch_kernel(tile_kernel<Function, T, Form>, static_cast<unsigned>(tiling.tiles()),
                       static_cast<unsigned>(tiling.threads), stream, arguments);
}

template <class Function, class T, class Form = AnyForm>
static TileKernel tile_kernel_of() {
  return {kTermWidth<Function, T>, enqueue<Function, T, Form>,
          code_of(tile_kernel<Function, T, Form>)};
}

template <class Function, class Form>
static DenseKernel dense_kernel_of() {
  return {DenseLaunch::of<Form>(), tile_kernel_of<Function, float, Form>()};
}

template <class Function, class... Form>
static TileKernels kernels_of(Forms<Form...>) {
  static const DenseKernel dense[] = {
      dense_kernel_of<Function, typename Form::template of<float>>()...,
      dense_kernel_of<Function, typename Form::template of<BFloat16>>()...};
  return {tile_kernel_of<Function, float>(), tile_kernel_of<Function, double>(), dense,
          2 * sizeof...(Form)};
}
template <class Function>
static TileKernels kernels_of(Forms<>) {
  return {tile_kernel_of<Function, float>(), tile_kernel_of<Function, double>(), nullptr, 0};
}

template <int part>
void add_kernels(TileKernels* by_number) {
  for_each_kernel([&by_number](auto function, const char*) {
    using Function = decltype(function);
    if constexpr (in_part<Function, VK_CUDA_PARTS, part>()) {
      *by_number = kernels_of<Function>(typename FormsOf<Function>::type());
    }
    ++by_number;
  });
}

template void add_kernels<VK_CUDA_PART>(TileKernels*);

VK_END
