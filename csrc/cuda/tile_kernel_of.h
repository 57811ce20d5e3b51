// A tile kernel as the table of kernels has it; its instantiation.
#pragma once

#include "kernel_table.h"
#include "tile_kernel.h"

VK_BEGIN

template <class Function, class T, class Form>
cudaError_t enqueue_tiles(const TileArguments& arguments, cudaStream_t stream) {
  const Tiling& tiling = arguments.tiling;
  return launch_kernel(tile_kernel<Function, T, Form>, static_cast<unsigned>(tiling.tiles()),
                       static_cast<unsigned>(tiling.threads), stream, arguments);
}

template <class Function, class T, class Form = AnyForm>
TileKernel tile_kernel_of() {
  return {kTermWidth<Function, T>, enqueue_tiles<Function, T, Form>,
          code_of(tile_kernel<Function, T, Form>)};
}

VK_END
