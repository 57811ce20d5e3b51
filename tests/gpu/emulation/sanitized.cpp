// Runs every kernel on memory of exactly the size that it may touch. The sanitizers that this is
// built with end the program at an access outside of it, or one that is not aligned.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "../../../csrc/cuda/backend.h"

namespace {

using vk::DType;
using vk::Input;
using vk::Launch;
using vk::Layout;
using vk::Output;

int64_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64: return 8;
    case DType::f32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
    default: return 1;
  }
}

struct Problem {
  int64_t rows, cols;
  bool in_double;
  int shift;    // of all tensors, in elements, off the allocator's alignment
  int variety;  // shifts the choice of dtypes, layouts and kinds of results
};

class Memory {
 public:
  void* allocate(int64_t bytes, int64_t skipped = 0) {
    blocks_.push_back(std::make_unique<char[]>(bytes + skipped));
    std::fill_n(blocks_.back().get(), bytes + skipped, '\x3C');
    return blocks_.back().get() + skipped;
  }
  void* tensor(int64_t numel, DType dtype, int shift) {
    return allocate(numel * size_of(dtype), shift * size_of(dtype));
  }

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
};

Input make_input(const Problem& problem, int k, bool last, Memory& memory) {
  const DType narrow[] = {DType::f32, DType::bf16, DType::f16, DType::u8, DType::boolean};
  const int choice = problem.variety + k;
  Input input;
  input.kind = Input::Kind::tensor;
  if (last && choice % 7 == 0) {
    input.kind = Input::Kind::noise;
    input.data = memory.allocate(16);
    return input;
  }
  input.dtype = problem.in_double && choice % 2 == 0 ? DType::f64 : narrow[choice % 5];
  const int64_t row = choice % 3 == 1 ? 0 : 1, col = choice % 4 == 2 ? 0 : 1;  // broadcast?
  const int64_t stored_cols = col == 0 ? 1 : problem.cols;
  input.layout.append(problem.rows, row * stored_cols);
  input.layout.append(problem.cols, col);
  const int64_t numel = (row == 0 ? 1 : problem.rows) * stored_cols;
  input.data = memory.tensor(numel, input.dtype, problem.shift);
  return input;
}

// The result, if any, of which the kernel can take log sum exp.
int log_sum_exp_of(const vk::KernelInfo& info) {
  if (std::string(info.variant) != "value") return -1;
  const std::string op = info.op;
  return op == "categorical_log_likelihood" ? 0 : op == "multinomial_log_likelihood" ? 2 : -1;
}

Output make_output(const Problem& problem, int k, bool log_sum_exp, Memory& memory) {
  const DType narrow[] = {DType::f32, DType::bf16, DType::f16};
  const int choice = problem.variety + k;
  Output output;
  output.kind = static_cast<Output::Kind>(choice % 4);
  if (log_sum_exp && choice % 4 != 2) output.kind = Output::Kind::row_log_sum_exp;
  output.dtype = problem.in_double && choice % 2 == 0 ? DType::f64 : narrow[choice % 3];
  output.numel = problem.rows * problem.cols;
  if (output.kind == Output::Kind::column_sum) output.numel = problem.cols;
  if (output.by_row()) {
    const bool total = choice % 8 == 1;
    output.numel = total ? 1 : problem.rows;
    output.rows.append(problem.rows, total ? 0 : 1);
  }
  output.data = memory.tensor(output.numel, output.dtype, problem.shift);
  return output;
}

void run(const vk::cuda::Backend& backend, int kernel, const Problem& problem) {
  const vk::KernelInfo& info = backend.kernels[kernel];
  Memory memory;
  Launch launch;
  launch.kernel = kernel;
  launch.compute = problem.in_double ? DType::f64 : DType::f32;
  launch.rows = problem.rows;
  launch.cols = problem.cols;
  launch.n_inputs = info.n_inputs;
  launch.n_outputs = info.n_outputs;
  for (int k = 0; k < info.n_inputs; ++k) {
    launch.inputs[k] = make_input(problem, k, k + 1 == info.n_inputs, memory);
  }
  for (int k = 0; k < info.n_outputs; ++k) {
    launch.outputs[k] = make_output(problem, k, k == log_sum_exp_of(info), memory);
  }
  backend.run(launch, 0, nullptr,
              [&memory](size_t bytes) { return memory.allocate(static_cast<int64_t>(bytes)); });
}

}  // namespace

int main() {
  const int64_t shapes[][2] = {{1, 1},   {1, 7},   {7, 1},    {3, 13},  {5, 64},
                               {33, 40}, {60, 20}, {2, 5001}, {1, 4096}};
  const vk::cuda::Backend& backend = vk::cuda::backend();
  int n = 0;
  for (int kernel = 0; kernel < backend.n_kernels; ++kernel) {
    for (const auto& [rows, cols] : shapes) {
      for (const bool in_double : {false, true}) {
        for (const int shift : {0, 1}) {
          run(backend, kernel, {rows, cols, in_double, shift, n++});
        }
      }
    }
  }
  std::printf("%d problems\n", n);
}
