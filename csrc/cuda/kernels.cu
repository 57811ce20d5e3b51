// Instantiates part of the list of operations: the build compiles this file once for each of
// VK_CUDA_PARTS, with their number as VK_CUDA_PART.

#include "../kernel_list.h"
#include "kernel_table.h"
#include "tile_kernel.h"

VK_BEGIN

template <class Function, class T>
static cudaError_t enqueue(const TileArguments& arguments, cudaStream_t stream) {
  const Tiling& tiling = arguments.tiling;
  return launch_kernel(tile_kernel<Function, T>, static_cast<unsigned>(tiling.tiles()),
                       static_cast<unsigned>(tiling.threads), stream, arguments);
}

template <class Function, class T>
static TileKernel tile_kernel_of() {
  return {kGroupWidth<Function, T>, enqueue<Function, T>, code_of(tile_kernel<Function, T>)};
}

template <int part>
void add_kernels(TileKernels* by_number) {
  for_each_kernel([&by_number](auto function, const char*) {
    using Function = decltype(function);
    if constexpr (in_part<Function, VK_CUDA_PARTS, part>()) {
      *by_number = {tile_kernel_of<Function, float>(), tile_kernel_of<Function, double>()};
    }
    ++by_number;
  });
}

template void add_kernels<VK_CUDA_PART>(TileKernels*);

VK_END
