// Instantiates the kernels over rows of logits.

#include "softmax_kernel.h"

VK_BEGIN

using Kernel = void (*)(SoftmaxArguments);

template <class T>
static Kernel kernel_of(SoftmaxKernel kernel) {
  switch (kernel) {
    case SoftmaxKernel::kl: return categorical_kl_kernel<T>;
    case SoftmaxKernel::kl_vjp: return categorical_kl_vjp_kernel<T>;
    case SoftmaxKernel::sample: return sample_categorical_kernel<T>;
    case SoftmaxKernel::sample_vjp: return sample_categorical_vjp_kernel<T>;
    case SoftmaxKernel::relaxed:
    case SoftmaxKernel::relaxed_hard: return gumbel_softmax_kernel<T>;
    case SoftmaxKernel::relaxed_vjp: return gumbel_softmax_vjp_kernel<T>;
  }
  return nullptr;
}

cudaError_t enqueue_softmax(const SoftmaxArguments& arguments, unsigned blocks,
                            cudaStream_t stream) {
  const SoftmaxLaunch& launch = arguments.launch;
  const Kernel kernel = launch.compute == DType::f64 ? kernel_of<double>(launch.kernel)
                                                     : kernel_of<float>(launch.kernel);
  return launch_kernel(kernel, blocks, kSoftmaxThreads, stream, arguments);
}

const void* const* softmax_code() {
  static const void* code[2 * kSoftmaxKernels + 1] = {};
  for (int k = 0; k < kSoftmaxKernels; ++k) {
    const auto kernel = static_cast<SoftmaxKernel>(k);
    code[2 * k] = code_of(kernel_of<float>(kernel));
    code[2 * k + 1] = code_of(kernel_of<double>(kernel));
  }
  return code;
}

VK_END
