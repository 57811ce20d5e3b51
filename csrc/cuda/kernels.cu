// Instantiates part of the list of operations, in float: the build compiles this file once for each
// of VK_CUDA_PARTS, with their number as VK_CUDA_PART.

#include "../kernel_list.h"
#include "tile_kernel_of.h"

VK_BEGIN

template <class Function, class Form>
static DenseKernel dense_kernel_of() {
  return {DenseLaunch::of<Form>(), tile_kernel_of<Function, float, Form>()};
}

template <class Function, class... Form>
static void add(TileKernels& kernels, Forms<Form...>) {
  static const DenseKernel dense[] = {
      dense_kernel_of<Function, typename Form::template of<float>>()...,
      dense_kernel_of<Function, typename Form::template of<BFloat16>>()...};
  kernels.f32 = tile_kernel_of<Function, float>();
  kernels.dense = dense;
  kernels.n_dense = 2 * sizeof...(Form);
}
template <class Function>
static void add(TileKernels& kernels, Forms<>) {
  kernels.f32 = tile_kernel_of<Function, float>();
}

template <int part>
void add_kernels(TileKernels* by_number) {
  for_each_kernel([&by_number](auto function, const char*) {
    using Function = decltype(function);
    if constexpr (in_part<Function, VK_CUDA_PARTS, part>()) {
      add<Function>(*by_number, typename FormsOf<Function>::type());
    }
    ++by_number;
  });
}

template void add_kernels<VK_CUDA_PART>(TileKernels*);

VK_END
