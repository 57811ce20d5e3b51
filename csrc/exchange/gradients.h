// Gradients of one operation: of the registered vjp, and of a node of the autograd graph. As in
// call.h, what is irregular gives None.
#pragma once

#include "call.h"

namespace vk::exchange {

// Upstream gradients (None: nothing reaches a result), the tensors that the vjp reads, a mask, and
// which gradients are wanted.
struct VjpCall {
  const Plan& plan;
  const Torch& torch;
  Place place;
  Operand upstream[kMaxOperands], read_[kMaxOperands], mask;
  bool wanted[kMaxOperands] = {};
  Attributes attributes;

  explicit VjpCall(const Plan& plan) : plan(plan), torch(Torch::instance()) {}

  int n_read() const { return static_cast<int>(plan.vjp_inputs.size()); }
  const Operand& first() const { return read_[0]; }
  int batch_dims() const { return static_cast<int>(attributes.batch_dims); }

  bool quiet() const { return torch.enabled() && nobody_watches(torch); }

  bool read(PyObject* const* gradients, PyObject* const* tensors, PyObject* mask_or_none) {
    for (int k = 0; k < n_read(); ++k) {
      if (!exchange::read(torch, place, tensors[k], read_[k])) return false;
      const Rule& rule = plan.inputs[plan.vjp_inputs[k]];
      const bool fits = read_[k].is_seed ? k > 0 && rule.noise
                        : rule.spreads   ? spreads_to(read_[k], first())
                                         : read_[k].has_shape_of(first());
      if (!fits) return false;
    }
    if (!attributes.is_for(place)) return false;
    if (batch_dims() > first().ndim() || first().numel() == 0) return false;
    if (first().ndim() > kMaxTensorDims) return false;
    if (mask_or_none != Py_None) {
      if (!exchange::read(torch, place, mask_or_none, mask) || mask.is_seed) return false;
      if (mask.dtype != DType::boolean || !spreads_to(mask, first())) return false;
    }
    bool any = false;
    for (int k = 0; k < plan.n_results(); ++k) {
      if (gradients[k] == Py_None) continue;
      any = true;
      if (!exchange::read(torch, place, gradients[k], upstream[k]) ||
          !is_float(upstream[k].dtype) || upstream[k].is_seed) {
        return false;
      }
      const int dims = plan.by_datapoint[k] ? batch_dims() : first().ndim();
      if (!upstream[k].has_sizes(first(), dims)) return false;
    }
    return any;
  }

  // Fills found[k] for each wanted gradient.
  bool run(py::object* found) const {
    const Kernels& kernels = *attributes.kernels;
    Launch launch;
    launch.kernel = kernels.vjp, launch.factor = kernels.factor;
    Result results[kMaxOperands];
    for (int k = 0; k < n_read(); ++k) {
      if (!wanted[k]) continue;
      const Operand& operand = read_[k];
      if (operand.is_seed || !is_float(operand.dtype)) return false;
      NewTensor made =
          new_tensor(torch, place, operand.view.shape, operand.ndim(), operand.dtype, true);
      if (!made.object) return false;
      results[k] = like(operand, made.data, operand.dtype, first());
      found[k] = std::move(made.object);
    }
    if (!describe(launch) || !arrange(launch, first(), batch_dims(), results, n_read()))
      return false;
    exchange::run(torch, place, launch);
    return true;
  }

 private:
  bool describe(Launch& launch) const {
    const int n_g = plan.n_results(), n_tensors = n_g + n_read();
    launch.n_inputs = n_tensors + attributes.n_told;
    for (int k = 0; k < n_tensors; ++k) {
      const Operand& operand = k < n_g ? upstream[k] : read_[k - n_g];
      Input& input = launch.inputs[k];
      if (operand.object == nullptr) {
        describe_number(0.0, input);
        continue;
      }
      const bool described = k < n_g
                                 ? describe_by_datapoint(operand, first(), input)
                                 : exchange::describe(operand, first(), attributes.bytes_as, input);
      if (!described) return false;
      if (!operand.is_seed && operand.dtype == DType::f64) launch.compute = DType::f64;
    }
    for (int k = 0; k < attributes.n_told; ++k) {
      describe_number(attributes.told[k], launch.inputs[n_tensors + k]);
    }
    launch.masked = mask.object != nullptr;
    Input& last = launch.inputs[launch.n_inputs];
    return !launch.masked || exchange::describe(mask, first(), DType::u8, last);
  }
};

// What the registered op of the vjp computes: gradients, tensors, a mask or None, which are wanted,
// attributes.
inline py::object vjp(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  VjpCall call(plan);
  const int n_g = plan.n_results(), n_tensors = n_g + call.n_read(),
            before = n_tensors + plan.maskable;
  if (n < before + 1 || !call.quiet()) return py::none();
  PyObject* wanted = args[before];
  if (!PyList_Check(wanted) || PyList_GET_SIZE(wanted) != call.n_read()) return py::none();
  for (int k = 0; k < call.n_read(); ++k) call.wanted[k] = PyList_GET_ITEM(wanted, k) == Py_True;
  if (!call.attributes.read(plan, args + before + 1, n - before - 1, true)) return py::none();
  py::object found[kMaxOperands];
  PyObject* mask = plan.maskable ? args[n_tensors] : Py_None;
  if (!call.read(args, args + n_g, mask) || !call.run(found)) return py::none();
  py::list gradients;
  for (int k = 0; k < call.n_read(); ++k) {
    if (call.wanted[k]) gradients.append(found[k]);
  }
  return gradients;
}

// What a node of the autograd graph returns, of (upstream gradients, saved tensors, what needs a
// gradient, attributes): None for what the node knows, then each input's gradient.
inline py::object backward(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  VjpCall call(plan);
  if (!are_tuples(args, n)) return py::none();
  PyObject *gradients = args[0], *saved = args[1], *needs = args[2], *attributes = args[3];
  const int n_inputs = plan.n_inputs(), n_read = call.n_read();
  if (n != 4 || PyTuple_GET_SIZE(gradients) != plan.n_results() ||
      PyTuple_GET_SIZE(saved) != n_read + 1) {
    return py::none();
  }
  if (!call.quiet() || grad_enabled(call.torch)) return py::none();
  const Py_ssize_t n_attributes = PyTuple_GET_SIZE(attributes);
  if (!call.attributes.read(plan, &PyTuple_GET_ITEM(attributes, 0), n_attributes, true))
    return py::none();
  const auto needed = [needs](int input) { return PyTuple_GET_ITEM(needs, 1 + input) == Py_True; };
  bool any = false;
  for (int k = 0; k < n_read; ++k) any |= call.wanted[k] = needed(plan.vjp_inputs[k]);
  py::object found[kMaxOperands];
  PyObject* const* tensors = &PyTuple_GET_ITEM(saved, 0);
  if (!call.read(&PyTuple_GET_ITEM(gradients, 0), tensors, tensors[n_read])) return py::none();
  if (any && !call.run(found)) return py::none();
  py::tuple all(1 + n_inputs);
  for (size_t k = 0; k < all.size(); ++k) all[k] = py::none();
  for (int k = 0; k < n_inputs; ++k) {  // of those that the vjp does not read: the first result's
    if (needed(k)) all[1 + k] = py::handle(PyTuple_GET_ITEM(gradients, 0));
  }
  for (int k = 0; k < n_read; ++k) {
    if (call.wanted[k]) all[1 + plan.vjp_inputs[k]] = std::move(found[k]);
  }
  return all;
}

}  // namespace vk::exchange
