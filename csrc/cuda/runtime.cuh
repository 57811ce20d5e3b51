// The one place where kernels meet the CUDA runtime, or the emulation that stands in for it when
// an ordinary C++ compiler reads these sources.
#pragma once

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "emulation/emulation.h"
#endif

#include "../core/portable.h"

VK_BEGIN

#if defined(__CUDACC__)
constexpr int kRuntimeVersion = CUDART_VERSION;
#else
constexpr int kRuntimeVersion = 0;
#endif

template <class Kernel, class... Arguments>
cudaError_t launch_kernel(Kernel kernel, unsigned grid, unsigned block, cudaStream_t stream,
                          const Arguments&... arguments) {
#if defined(__CUDACC__)
  kernel<<<grid, block, 0, stream>>>(arguments...);
#else
  static_cast<void>(stream);
  vk_emulation::launch(grid, block, [&] { kernel(arguments...); });
#endif
  return cudaGetLastError();
}

VK_END
