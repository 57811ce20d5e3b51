// Instantiates the kernels over rows of logits.

#include "softmax_kernel.h"

VK_BEGIN

template <class T>
static cudaError_t enqueue(const SoftmaxArguments& arguments, unsigned blocks,
                           cudaStream_t stream) {
  const auto kernel = arguments.launch.kernel == SoftmaxKernel::kl ? categorical_kl_kernel<T>
                                                                   : categorical_kl_vjp_kernel<T>;
  return launch_kernel(kernel, blocks, kSoftmaxThreads, stream, arguments);
}

cudaError_t enqueue_softmax(const SoftmaxArguments& arguments, unsigned blocks,
                            cudaStream_t stream) {
  return arguments.launch.compute == DType::f64 ? enqueue<double>(arguments, blocks, stream)
                                                : enqueue<float>(arguments, blocks, stream);
}

const void* const* softmax_code() {
  static const void* const code[] = {
      code_of(categorical_kl_kernel<float>), code_of(categorical_kl_vjp_kernel<float>),
      code_of(categorical_kl_kernel<double>), code_of(categorical_kl_vjp_kernel<double>), nullptr};
  return code;
}

VK_END
