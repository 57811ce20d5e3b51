// Instantiates the list of operations in double, which is for checking: where an operation has a
// kernel for value and vjp at once, it serves for either (double_launch.h).

#include "../kernel_list.h"
#include "tile_kernel_of.h"

VK_BEGIN

void add_double_kernels(TileKernels* by_number) {
  for_each_kernel([&by_number](auto function, const char*) {
    using Function = decltype(function);
    if constexpr (!is_part_of_both<Function>()) {
      by_number->f64 = tile_kernel_of<Function, double>();
    }
    ++by_number;
  });
}

VK_END
