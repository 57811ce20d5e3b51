// Gradients of operations over rows of logits.
#pragma once

#include "softmax.h"

namespace vk::exchange {

struct SoftmaxGradients {
  const SoftmaxCall& call;
  Operand upstream;
  py::object found[3];

  explicit SoftmaxGradients(const SoftmaxCall& call) : call(call) {}

  // Fills found[k] for each input of which the gradient is wanted.
  bool run(PyObject* gradient, const bool* wanted) {
    const bool sums = call.plan.kind == SoftmaxPlan::Kind::divergence;
    const int ndim = sums ? call.batch_dims : call.logits().ndim();
    Place place = call.place;
    if (!read(call.torch, place, gradient, upstream) || upstream.is_seed ||
        !is_float(upstream.dtype) || !upstream.has_sizes(call.logits(), ndim) ||
        !upstream.is_contiguous()) {
      return false;
    }
    SoftmaxLaunch launch = call.over_rows(kernel(), sums ? upstream.numel() : 1);
    if (upstream.dtype == DType::f64) launch.compute = DType::f64;
    const SoftmaxLaunch::Numbers numbers = {upstream.data(), upstream.dtype, call.rows()};
    if (sums)
      launch.upstream = launch.other_upstream = numbers;
    else
      launch.other = numbers;
    if (wanted[0] && !make(0, launch.rows_out[0])) return false;
    if (wanted[1] && !make_second(launch)) return false;
    call.run(launch);
    return true;
  }

 private:
  SoftmaxKernel kernel() const {
    switch (call.plan.kind) {
      case SoftmaxPlan::Kind::divergence: return SoftmaxKernel::kl_vjp;
      case SoftmaxPlan::Kind::sample: return SoftmaxKernel::sample_vjp;
      case SoftmaxPlan::Kind::relaxed: break;
    }
    return SoftmaxKernel::relaxed_vjp;
  }

  // A prior's, which no rows share, or a temperature's.
  bool make_second(SoftmaxLaunch& launch) {
    if (call.plan.kind == SoftmaxPlan::Kind::relaxed) return make(1, launch.sums);
    return call.plan.kind == SoftmaxPlan::Kind::divergence &&
           call.inputs[1].has_shape_of(call.logits()) && make(1, launch.rows_out[1]);
  }

  bool make(int input, SoftmaxLaunch::Result& result) {
    const Operand& like = call.inputs[input];
    NewTensor made = new_tensor(call.torch, call.place, like.view.shape, like.ndim(), like.dtype,
                                like.ndim() > 0);
    if (!made.object) return false;
    result = {made.data, like.dtype};
    found[input] = std::move(made.object);
    return true;
  }
};

// What a node of the autograd graph returns, as in gradients.h.
inline py::object backward(const SoftmaxPlan& plan, PyObject* const* args, Py_ssize_t n) {
  SoftmaxCall call(plan);
  if (!are_tuples(args, n)) return py::none();
  const int n_inputs = plan.n_inputs(), n_read = plan.n_read();
  if (n != 4 || PyTuple_GET_SIZE(args[0]) != 1 || PyTuple_GET_SIZE(args[1]) != n_read + 1 ||
      PyTuple_GET_SIZE(args[2]) != n_inputs + 1 || PyTuple_GET_SIZE(args[3]) != 3) {
    return py::none();
  }
  if (!call.quiet() || grad_enabled(call.torch)) return py::none();
  PyObject* const* saved = &PyTuple_GET_ITEM(args[1], 0);
  bool wanted[3] = {};
  for (int k = 0; k < n_inputs; ++k) wanted[k] = PyTuple_GET_ITEM(args[2], 1 + k) == Py_True;
  const bool of_noise = plan.has_noise() && wanted[n_inputs - 1];
  if (saved[n_read] != Py_None || of_noise || !(wanted[0] || wanted[1]) ||
      !call.read_inputs(saved, n_read, false) || !call.place.is_of(PyTuple_GET_ITEM(args[3], 2)) ||
      !call.read_attributes(&PyTuple_GET_ITEM(args[3], 0), false)) {
    return py::none();
  }
  SoftmaxGradients gradients(call);
  if (!gradients.run(PyTuple_GET_ITEM(args[0], 0), wanted)) return py::none();
  py::tuple all(1 + n_inputs);
  all[0] = py::none();
  for (int k = 0; k < n_inputs; ++k) {
    all[1 + k] = gradients.found[k] ? std::move(gradients.found[k]) : py::none();
  }
  return all;
}

// The registered op's: gradient, what it reads, a mask or None where there may be one, which are
// wanted, attributes, the backend.
inline py::object vjp(const SoftmaxPlan& plan, PyObject* const* args, Py_ssize_t n) {
  SoftmaxCall call(plan);
  const int n_read = plan.n_read(), at = 1 + n_read + plan.maskable();
  if (n != at + 4 || !call.quiet() || (plan.maskable() && args[at - 1] != Py_None)) {
    return py::none();
  }
  if (!PyList_Check(args[at]) || PyList_GET_SIZE(args[at]) != n_read) return py::none();
  bool wanted[3] = {};
  for (int k = 0; k < n_read; ++k) wanted[k] = PyList_GET_ITEM(args[at], k) == Py_True;
  if (wanted[2] || !(wanted[0] || wanted[1]) || !call.read_inputs(args + 1, n_read, false) ||
      !call.place.is_of(args[at + 3]) || !call.read_attributes(args + at + 1, false)) {
    return py::none();
  }
  SoftmaxGradients gradients(call);
  if (!gradients.run(args[0], wanted)) return py::none();
  py::list all;
  for (py::object& gradient : gradients.found) {
    if (gradient) all.append(std::move(gradient));
  }
  return all;
}

}  // namespace vk::exchange
