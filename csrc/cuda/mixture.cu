// Instantiates the kernels of mixtures.

#include "mixture_kernel.h"

VK_BEGIN

template <class Component>
static cudaError_t enqueue(const MixtureArguments& arguments, unsigned blocks,
                           cudaStream_t stream) {
  const auto kernel = arguments.upstream.data == nullptr ? mixture_value_kernel<Component>
                                                         : mixture_vjp_kernel<Component>;
  return launch_kernel(kernel, blocks, kMixtureThreads, stream, arguments);
}

cudaError_t enqueue_mixture(const MixtureArguments& arguments, bool in_double, unsigned blocks,
                            cudaStream_t stream) {
  return in_double ? enqueue<RgbLogistic<double>>(arguments, blocks, stream)
                   : enqueue<RgbLogistic<float>>(arguments, blocks, stream);
}

const void* const* mixture_code() {
  static const void* const code[] = {code_of(mixture_value_kernel<RgbLogistic<float>>),
                                     code_of(mixture_vjp_kernel<RgbLogistic<float>>),
                                     code_of(mixture_value_kernel<RgbLogistic<double>>),
                                     code_of(mixture_vjp_kernel<RgbLogistic<double>>), nullptr};
  return code;
}

VK_END
