// The loss of a training step, -ELBO: both terms' values and gradients in one pass over each.
#pragma once

#include "call.h"

namespace vk::exchange {

struct Loss {
  const Plan *likelihood, *divergence;
  py::object kept;   // what owns the plans
  py::object owner;  // what `apply` wants
  py::object
      apply;  // makes a node of the autograd graph: (owner, attributes, beta, mean, *tensors)
};

inline bool has_half(const Call& call) {
  for (int k = 0; k < call.plan.n_inputs(); ++k) {
    if (call.inputs[k].dtype == DType::f16) return true;
  }
  return false;
}

// What a call of `elbo_loss` wants, of arguments that nobody has checked: those of the likelihood,
// those of the divergence (tuples, without the backend), beta, and whether to average over
// datapoints. None where anything is irregular, or nothing wants a gradient.
inline py::object attempt_loss(const Loss& loss, PyObject* const* args, Py_ssize_t n) {
  if (n != 4 || !PyTuple_CheckExact(args[0]) || !PyTuple_CheckExact(args[1])) return py::none();
  if (!PyFloat_CheckExact(args[2]) && !PyLong_CheckExact(args[2])) return py::none();
  Call likelihood(*loss.likelihood), divergence(*loss.divergence);
  if (!likelihood.quiet() || !grad_enabled(likelihood.torch)) return py::none();
  py::object made[2][kMaxOperands];
  Call* const calls[] = {&likelihood, &divergence};
  bool wanted = false;
  for (int c = 0; c < 2; ++c) {
    PyObject* const* items = &PyTuple_GET_ITEM(args[c], 0);
    if (!calls[c]->read(items, PyTuple_GET_SIZE(args[c]), true, made[c])) return py::none();
    // Gradients in half precision may underflow before the loss scale reaches them.
    if (has_half(*calls[c])) return py::none();
    wanted |= calls[c]->wants_gradient();
  }
  const int64_t batch_dims = likelihood.attributes.batch_dims;
  if (!wanted || batch_dims != divergence.attributes.batch_dims) return py::none();
  for (int d = 0; d < batch_dims; ++d) {
    if (likelihood.first().size(d) != divergence.first().size(d)) return py::none();
  }
  py::list attributes;
  std::vector<PyObject*> of_node{nullptr, loss.owner.ptr(), nullptr, args[2], args[3]};
  for (int c = 0; c < 2; ++c) {
    const Plan& plan = calls[c]->plan;
    for (int k = 0; k < plan.n_inputs(); ++k) of_node.push_back(calls[c]->inputs[k].object);
    for (Py_ssize_t k = plan.n_inputs() + plan.maskable; k < PyTuple_GET_SIZE(args[c]); ++k) {
      attributes.append(py::handle(PyTuple_GET_ITEM(args[c], k)));
    }
    attributes.append(plan.backend);
  }
  const py::tuple all_attributes(attributes);
  of_node[2] = all_attributes.ptr();
  PyObject* found =
      PyObject_Vectorcall(loss.apply.ptr(), of_node.data() + 1,
                          (of_node.size() - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  if (found == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}

// Fills `value`, and found[at] ... with the gradients of what wants one, times a weight.
inline bool value_and_gradients(const Call& call, double weight, const Output& value,
                                py::tuple& found, size_t at) {
  const Plan& plan = call.plan;
  const Operand& first = call.first();
  const int n_inputs = plan.n_inputs(), batch_dims = static_cast<int>(call.attributes.batch_dims);
  const Kernels& kernels = *call.attributes.kernels;
  Launch launch = over(first, batch_dims, kernels.value_and_vjp, kernels.factor);
  launch.compute = call.wide();
  launch.n_inputs = launch.n_outputs = 1 + n_inputs;
  launch.inputs[0].kind = Input::Kind::constant;
  launch.inputs[0].constant = weight;
  launch.outputs[0] = value;
  for (int k = 0; k < n_inputs; ++k) {
    const Operand& input = call.inputs[k];
    if (!describe(input, first, call.attributes.bytes_as, launch.inputs[1 + k])) return false;
    launch.outputs[1 + k] = discarded();
    found[at + k] = py::none();
    if (!wants_gradient(call.torch, input.object)) continue;
    NewTensor made = new_tensor(call.torch, input.view.shape, input.ndim(), input.dtype, true);
    if (!made.object) return false;
    launch.outputs[1 + k] = input.has_shape_of(first)
                                ? of_elements(made.data, input.dtype, first.numel())
                                : of_all(made.data, input.dtype, first, batch_dims);
    found[at + k] = std::move(made.object);
  }
  run(call.torch, launch);
  return true;
}

// (weight, arguments of `value`) -> the value of each datapoint, then each input's gradient, times
// the weight, or None.
inline py::object both(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  if (n < 1 || !PyFloat_CheckExact(args[0]) || !call.quiet()) return py::none();
  if (!call.read(args + 1, n - 1, false)) return py::none();
  if (call.attributes.kernels->value_and_vjp < 0) return py::none();
  const Operand& first = call.first();
  const int batch_dims = static_cast<int>(call.attributes.batch_dims);
  NewTensor value = new_tensor(call.torch, first.view.shape, batch_dims, call.wide(), false);
  if (!value.object) return py::none();
  py::tuple found(1 + plan.n_inputs());
  const Output per_datapoint = of_datapoints(value.data, call.wide(), first.numel(0, batch_dims));
  const double weight = PyFloat_AS_DOUBLE(args[0]);
  if (!value_and_gradients(call, weight, per_datapoint, found, 1)) return py::none();
  found[0] = std::move(value.object);
  return found;
}

// (attributes of both calls, beta, mean, their tensors) -> the loss, then each tensor's gradient.
inline py::object run_loss(const Loss& loss, PyObject* const* args, Py_ssize_t n) {
  if (n != 4 || !PyTuple_CheckExact(args[0]) || !PyTuple_CheckExact(args[3])) return py::none();
  const Plan* const plans[] = {loss.likelihood, loss.divergence};
  Call calls[] = {Call(*plans[0]), Call(*plans[1])};
  if (!calls[0].quiet()) return py::none();
  PyObject* const* attributes = &PyTuple_GET_ITEM(args[0], 0);
  PyObject* const* tensors = &PyTuple_GET_ITEM(args[3], 0);
  const int n_tensors[] = {plans[0]->n_inputs(), plans[1]->n_inputs()};
  for (int c = 0; c < 2; ++c) {
    std::vector<PyObject*> of_call(tensors, tensors + n_tensors[c]);
    if (plans[c]->maskable) of_call.push_back(Py_None);
    of_call.insert(of_call.end(), attributes, attributes + plans[c]->n_attributes());
    const auto n_args = static_cast<Py_ssize_t>(of_call.size());
    if (!calls[c].read(of_call.data(), n_args, false)) return py::none();
    tensors += n_tensors[c], attributes += plans[c]->n_attributes();
  }
  const double beta = PyFloat_AsDouble(args[1]);
  const int batch_dims = static_cast<int>(calls[0].attributes.batch_dims);
  const auto datapoints = static_cast<double>(calls[0].first().numel(0, batch_dims));
  const double share = args[2] == Py_True ? 1.0 / datapoints : 1.0;
  const double weights[] = {-share, share * beta};
  py::tuple found(1 + n_tensors[0] + n_tensors[1]);
  double total = 0.0;
  for (int c = 0; c < 2; ++c) {
    double value = 0.0;
    const size_t at = 1 + (c == 0 ? 0 : n_tensors[0]);
    const Operand& first = calls[c].first();
    const Output sum = first.ndim() == 0 ? of_elements(&value, DType::f64, 1)
                                         : of_all(&value, DType::f64, first, batch_dims);
    if (!value_and_gradients(calls[c], weights[c], sum, found, at)) return py::none();
    const volatile double weighted = weights[c] * value;  // rounded, as in Python
    total += weighted;
  }
  const bool in_double = calls[0].wide() == DType::f64 || calls[1].wide() == DType::f64;
  const DType dtype = in_double ? DType::f64 : DType::f32;
  NewTensor result = new_number(calls[0].torch, total, dtype);
  if (!result.object) return py::none();
  found[0] = std::move(result.object);
  return found;
}

}  // namespace vk::exchange
