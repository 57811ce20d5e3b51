// The one place where kernels meet the CUDA runtime, or the emulation that stands in for it when
// an ordinary C++ compiler reads these sources.
#pragma once

#if defined(__CUDACC__)
#include <cuda.h>
#include <cuda_runtime.h>
#else
#include "emulation/emulation.h"
#endif

#include "../core/portable.h"

VK_BEGIN

// With which the kernels were compiled: 13000 for 13.0.
inline int runtime_version() {
#if defined(__CUDACC__)
  return CUDART_VERSION;
#else
  return vk_emulation::runtime_version();
#endif
}

// The least compute capability that was compiled for, 80 for 8.0.
inline int least_capability() {
#if defined(__CUDACC__)
  constexpr int kCompiled[] = {__CUDA_ARCH_LIST__};  // in order
  return kCompiled[0] / 10;
#else
  return vk_emulation::least_capability();
#endif
}

// A function of the driver, null if there is none. This library is not linked with the driver: it
// imports where there is no GPU, too.
template <class Function>
Function* find_in_driver(const char* name) {
  void* found = nullptr;
#if CUDART_VERSION >= 12050
  const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault);
#else
  const cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault);
#endif
  return error == cudaSuccess ? reinterpret_cast<Function*>(found) : nullptr;
}

// The context that is current to the calling thread, null for none. The runtime's calls go to it,
// whichever copy of the runtime (torch has its own) has made it current.
inline cudaError_t get_context(CUcontext* context) {
  static const auto get = find_in_driver<CUresult(CUcontext*)>("cuCtxGetCurrent");
  return get != nullptr && get(context) == CUDA_SUCCESS ? cudaSuccess : cudaErrorUnknown;
}

inline cudaError_t set_context(CUcontext context) {
  static const auto set = find_in_driver<CUresult(CUcontext)>("cuCtxSetCurrent");
  return set != nullptr && set(context) == CUDA_SUCCESS ? cudaSuccess : cudaErrorUnknown;
}

// What the runtime knows a kernel by.
template <class... Arguments>
const void* code_of(void (*kernel)(Arguments...)) {
  return reinterpret_cast<const void*>(kernel);
}

template <class Kernel, class... Arguments>
cudaError_t launch_kernel(Kernel kernel, unsigned grid, unsigned block, cudaStream_t stream,
                          const Arguments&... arguments) {
#if defined(__CUDACC__)
  kernel<<<grid, block, 0, stream>>>(arguments...);
#else
  vk_emulation::launch(code_of(kernel), grid, block, stream, [&] { kernel(arguments...); });
#endif
  return cudaGetLastError();
}

VK_END
