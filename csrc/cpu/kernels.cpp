// Instantiates part of the list of operations for one instruction set: the build compiles this file
// once for each of VK_CPU_PARTS, with their number as VK_CPU_PART.

#include "../kernel_list.h"
#include "tile_kernel.h"

VK_BEGIN

template <class Function, class T, size_t wanted, bool is_uniform>
static void tile_kernel(float factor, const T* const* inputs, T* const* outputs, int64_t n) {
  apply_to_tile<Function, is_uniform>(factor, inputs, outputs, n,
                                      std::make_index_sequence<Function::n_inputs>(),
                                      std::make_index_sequence<wanted>());
}

// How many results a variant computes of which only the first so many are wanted. Both in one pass
// are hardly wanted without a gradient.
template <class Function>
constexpr size_t computed(size_t wanted) {
  constexpr size_t least = Function::both ? 2 : 1;
  return wanted < least ? least : wanted;
}

template <class Function, size_t... K>
static TileKernels<float> float_variants(std::index_sequence<K...>) {
  constexpr int uniform = Function::uniform_input;
  return {{{tile_kernel<Function, float, computed<Function>(K + 1), false>,
            tile_kernel<Function, float, computed<Function>(K + 1), (uniform >= 0)>}...},
          uniform};
}

// double is for checking: one variant, which computes everything, is enough.
template <class Function, size_t... K>
static TileKernels<double> double_variants(std::index_sequence<K...>) {
  return {{{tile_kernel<Function, double, sizeof...(K) + 0 * K, false>, nullptr}...}, -1};
}

template <int part>
void add_kernels(Kernel* by_number) {
  for_each_kernel([&by_number](auto function, const char*) {
    using Function = decltype(function);
    if constexpr (in_part<Function, VK_CPU_PARTS, part>()) {
      using Results = std::make_index_sequence<Function::n_outputs>;
      *by_number = {float_variants<Function>(Results()), double_variants<Function>(Results())};
    }
    ++by_number;
  });
}

template void add_kernels<VK_CPU_PART>(Kernel*);

VK_END
