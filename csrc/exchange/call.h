// Calls of one operation: read, launched, differentiated. Each function does nothing and returns
// None where anything at all is irregular; Python then does the same, with all its checks.
#pragma once

#include "caller.h"
#include "describe.h"

namespace vk::exchange {

struct Call {
  const Plan& plan;
  const Torch& torch;
  Place place;
  Operand inputs[kMaxOperands], mask;
  Attributes attributes;
  py::object made[kMaxOperands];  // what stands for inputs that are no tensors

  explicit Call(const Plan& plan) : plan(plan), torch(Torch::instance()) {}

  const Operand& first() const { return inputs[0]; }
  int64_t numel() const { return first().numel(); }
  int batch_dims() const { return static_cast<int>(attributes.batch_dims); }
  bool quiet() const { return torch.enabled() && nobody_watches(torch); }

  // Inputs, a mask or None, attributes. From a caller nothing has been checked yet (`unchecked`).
  bool read(PyObject* const* args, Py_ssize_t n, bool unchecked) {
    const int n_inputs = plan.n_inputs(), before = n_inputs + plan.maskable;
    if (n < before || !attributes.read(plan, args + before, n - before, !unchecked)) return false;
    if (!exchange::read(torch, place, args[0], inputs[0]) || !attributes.is_for(place))
      return false;
    if (attributes.batch_dims > first().ndim() || numel() == 0) return false;
    if (first().ndim() > kMaxTensorDims) return false;
    for (int k = 0; k < n_inputs; ++k) {
      if (unchecked && stands_for_a_tensor(args[k], plan.inputs[k])) continue;
      if (k > 0 && !exchange::read(torch, place, args[k], inputs[k])) return false;
      if (!fits(inputs[k], plan.inputs[k], unchecked)) return false;
    }
    if (plan.maskable && args[n_inputs] != Py_None && !read_mask(args[n_inputs])) return false;
    return !unchecked || complete(args);
  }

  DType wide() const {
    for (int k = 0; k < plan.n_inputs(); ++k) {
      if (!inputs[k].is_seed && inputs[k].dtype == DType::f64) return DType::f64;
    }
    return DType::f32;
  }

  bool wants_gradient() const {
    for (int k = 0; k < plan.n_inputs(); ++k) {
      if (exchange::wants_gradient(torch, inputs[k].object)) return true;
    }
    return false;
  }

  // As torch.promote_types does.
  DType promoted() const {
    const DType a = inputs[0].dtype, b = inputs[1].dtype;
    if (a == b) return a;
    return a == DType::f64 || b == DType::f64 ? DType::f64 : DType::f32;
  }

  // The inputs of a launch from number `at` on.
  bool describe(Launch& launch, int at) const {
    launch.n_inputs = at + plan.n_inputs() + attributes.n_told;
    for (int k = 0; k < plan.n_inputs(); ++k) {
      const DType bytes_as = attributes.bytes_as;
      if (!exchange::describe(inputs[k], first(), bytes_as, launch.inputs[at + k])) return false;
    }
    at += plan.n_inputs();
    for (int k = 0; k < attributes.n_told; ++k) {
      describe_number(attributes.told[k], launch.inputs[at + k]);
    }
    launch.masked = mask.object != nullptr;
    Input& last = launch.inputs[launch.n_inputs];
    return !launch.masked || exchange::describe(mask, first(), DType::u8, last);
  }

 private:
  // Numbers, or what stands for noise.
  bool stands_for_a_tensor(PyObject* object, const Rule& rule) const {
    if (!rule.noise) return rule.spreads && is_number(object);
    return stands_for_noise(torch, object);
  }

  bool fits(const Operand& operand, const Rule& rule, bool unchecked) const {
    if (operand.is_seed) return rule.noise && !unchecked;
    if (operand.dtype == DType::u8) {
      if (!rule.bytes) return false;
      const bool read_as_intensities = plan.ranged && attributes.bytes_as == DType::u8;
      if (unchecked && read_as_intensities && bytes_deserve_a_look(torch)) return false;
    } else if (operand.dtype == DType::boolean && !rule.booleans) {
      return false;
    }
    if (unchecked && plan.ranged && attributes.bytes_as == DType::u8_signed && rule.bytes) {
      if (!rule.signed_bytes || operand.dtype == DType::boolean) return false;
    }
    if (rule.no_gradient && exchange::wants_gradient(torch, operand.object)) return false;
    if (!rule.spreads) return operand.has_shape_of(first());
    if (unchecked && is_per_channel(operand, rule))
      return operand.size(0) == first().size(batch_dims());
    const int event_dims = first().ndim() - batch_dims();
    const bool regular =
        operand.ndim() == 0 || operand.ndim() == first().ndim() || operand.ndim() == event_dims;
    return regular && spreads_to(operand, first());
  }

  bool is_per_channel(const Operand& operand, const Rule& rule) const {
    return rule.per_channel && operand.ndim() == 1 && first().ndim() - batch_dims() > 1;
  }

  bool read_mask(PyObject* object) {
    return exchange::read(torch, place, object, mask) && !mask.is_seed &&
           mask.dtype == DType::boolean && mask.ndim() == first().ndim() &&
           spreads_to(mask, first());
  }

  // Makes tensors of numbers and of seeds, and draws the seed.
  bool complete(PyObject* const* args) {
    const DType dtype = wide();
    for (int k = 0; k < plan.n_inputs(); ++k) {
      const Rule& rule = plan.inputs[k];
      if (inputs[k].object != nullptr) {
        if (!is_per_channel(inputs[k], rule)) continue;
        made[k] = as_channels(inputs[k].object);
      } else if (rule.noise) {
        made[k] = seed_from(torch, place, plan.draw, args[k]);
      } else {
        // Which of the others say what a number's dtype is, differs.
        if (dtype != first().dtype && dtype == DType::f64) return false;
        made[k] = number_from(torch, place, args[k], dtype);
      }
      if (!made[k] || !exchange::read(torch, place, made[k].ptr(), inputs[k])) return false;
      if (rule.noise && !inputs[k].is_seed) return false;
    }
    return true;
  }

  py::object as_channels(PyObject* vector) const {
    std::vector<int64_t> shape(first().ndim() - batch_dims(), 1);
    shape[0] = -1;
    return py::handle(vector).attr("reshape")(shape);
  }
};

// --- values -------------------------------------------------------------------------------------

inline py::object one_or_more(py::object* found, int n) {
  if (n == 1) return std::move(found[0]);
  py::tuple all(n);
  for (int k = 0; k < n; ++k) all[k] = std::move(found[k]);
  return all;
}

// Fills all results; false where anything is irregular.
inline bool fill_values(const Call& call, const Result* results) {
  const Kernels& kernels = *call.attributes.kernels;
  Launch launch;
  launch.kernel = kernels.value, launch.factor = kernels.factor;
  launch.compute = call.wide();
  if (!call.describe(launch, 0)) return false;
  if (!arrange(launch, call.first(), call.batch_dims(), results, call.plan.n_results()))
    return false;
  run(call.torch, call.place, launch);
  return true;
}

inline py::object value_of(const Call& call) {
  const Plan& plan = call.plan;
  const Operand& first = call.first();
  py::object found[kMaxOperands];
  Result results[kMaxOperands];
  for (int k = 0; k < plan.n_results(); ++k) {
    const bool by_datapoint = plan.by_datapoint[k];
    const DType dtype = by_datapoint ? call.wide() : call.promoted();
    const int ndim = by_datapoint ? call.batch_dims() : first.ndim();
    NewTensor made =
        new_tensor(call.torch, call.place, first.view.shape, ndim, dtype, !by_datapoint);
    if (!made.object) return py::none();
    results[k] = {made.data, dtype, first, first.view.shape, ndim, 0};
    found[k] = std::move(made.object);
  }
  if (!fill_values(call, results)) return py::none();
  return one_or_more(found, plan.n_results());
}

// What the registered op computes: without a derivative.
inline py::object value(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  if (!call.quiet() || !call.read(args, n, false)) return py::none();
  return value_of(call);
}

// --- nodes of the autograd graph ----------------------------------------------------------------

inline py::object object_or_none(const Operand& operand) {
  if (operand.object == nullptr) return py::none();
  return py::reinterpret_borrow<py::object>(operand.object);
}

// The attributes that follow the tensors of a call, with the backend.
inline py::tuple attributes_of(const Call& call, PyObject* const* args, Py_ssize_t n) {
  const Plan& plan = call.plan;
  const int before = plan.n_inputs() + plan.maskable;
  py::tuple all(n - before + 1);
  for (Py_ssize_t k = before; k < n; ++k) all[k - before] = py::handle(args[k]);
  all[n - before] = call.place.machine->backend;
  return all;
}

// Saves what the vjp reads, and the mask.
inline py::object node_of(const Call& call, py::object results, py::tuple attributes) {
  const Plan& plan = call.plan;
  const auto n_read = plan.vjp_inputs.size();
  py::tuple saved(n_read + 1);
  for (size_t k = 0; k < n_read; ++k) saved[k] = object_or_none(call.inputs[plan.vjp_inputs[k]]);
  saved[n_read] = object_or_none(call.mask);
  PyObject* tensors[kMaxOperands];
  const int n = plan.n_inputs();
  for (int k = 0; k < n; ++k) tensors[k] = call.inputs[k].object;
  return with_node(plan, std::move(results), std::move(saved), std::move(attributes), tensors, n);
}

// What a caller of the public function wants: differentiable, of arguments that nobody has checked,
// without the backend.
inline py::object attempt(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  if (!call.quiet() || !call.read(args, n, true)) return py::none();
  const bool differentiable = grad_enabled(call.torch) && call.wants_gradient();
  py::object results = value_of(call);
  if (!differentiable || results.is_none()) return results;
  return node_of(call, std::move(results), attributes_of(call, args, n));
}

}  // namespace vk::exchange
