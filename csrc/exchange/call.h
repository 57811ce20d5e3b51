// Calls of one operation: read, launched, differentiated. Each function does nothing and returns
// None where anything at all is irregular; Python then does the same, with all its checks.
#pragma once

#include "plan.h"

namespace vk::exchange {

using RunLaunch = void (*)(Launch&);

inline RunLaunch& run_launch() {
  static RunLaunch run = nullptr;
  return run;
}

// Small launches are over before another thread would have got the lock.
inline void run(const Torch& torch, Launch& launch) {
  constexpr int64_t kSmall = 16384;
  const int64_t numel = launch.rows * launch.cols;
  launch.threads = threads_for(torch, numel);
  launch.simplify();
  if (numel < kSmall) return run_launch()(launch);
  py::gil_scoped_release release;
  run_launch()(launch);
}

// --- describing a launch ------------------------------------------------------------------------

inline bool describe(const Operand& operand, const Operand& first, DType bytes_as, Input& input) {
  input.data = operand.data();
  if (operand.is_seed) {
    input.kind = Input::Kind::noise;
    return true;
  }
  input.kind = Input::Kind::tensor;
  input.dtype = operand.dtype == DType::u8 ? bytes_as : operand.dtype;
  int64_t step = 1;  // without strides: contiguous
  for (int d = 0; d < operand.ndim(); ++d) step *= operand.size(d);
  for (int d = 0; d < first.ndim(); ++d) {
    const bool has = d < operand.ndim();  // else per datapoint, or one number for all
    if (has && operand.size(d) > 0) step /= operand.size(d);
    const int64_t stride = !has                              ? 0
                           : operand.view.strides == nullptr ? step
                                                             : operand.view.strides[d];
    if (!input.layout.append(first.size(d), stride)) return false;
  }
  return true;
}

inline Output discarded() {
  Output output;
  output.kind = Output::Kind::discard;
  return output;
}

inline Output of_elements(void* data, DType dtype, int64_t numel) {
  Output output;
  output.kind = Output::Kind::elements;
  output.data = data, output.dtype = dtype, output.numel = numel;
  return output;
}

inline Output of_datapoints(void* data, DType dtype, int64_t datapoints) {
  Output output;
  output.kind = Output::Kind::row_sum;
  output.data = data, output.dtype = dtype, output.numel = datapoints;
  output.rows.append(datapoints, 1);
  return output;
}

// One sum of everything.
inline Output of_all(void* data, DType dtype, const Operand& first, int64_t batch_dims) {
  Output output;
  output.kind = Output::Kind::row_sum;
  output.data = data, output.dtype = dtype, output.numel = 1;
  for (int d = 0; d < batch_dims; ++d) output.rows.append(first.size(d), 0);
  return output;
}

inline Launch over(const Operand& first, int64_t batch_dims, int kernel, float factor) {
  Launch launch;
  launch.kernel = kernel;
  launch.factor = factor;
  launch.rows = first.numel(0, static_cast<int>(batch_dims));
  launch.cols = first.numel(static_cast<int>(batch_dims));
  return launch;
}

// --- a call -------------------------------------------------------------------------------------

struct Call {
  const Plan& plan;
  const Torch& torch;
  Operand inputs[kMaxOperands];
  Attributes attributes;

  explicit Call(const Plan& plan) : plan(plan), torch(Torch::instance()) {}

  const Operand& first() const { return inputs[0]; }
  int64_t numel() const { return first().numel(); }
  bool quiet() const { return torch.enabled && nobody_watches(torch); }

  // Inputs, None for the mask, attributes. `numbers` keeps what stands for inputs that are numbers.
  // From a caller nothing has been checked yet (`unchecked`).
  bool read(PyObject* const* args, Py_ssize_t n, bool unchecked, py::object* numbers = nullptr) {
    const int n_inputs = plan.n_inputs(), before = n_inputs + plan.maskable;
    if (n < before || (plan.maskable && args[n_inputs] != Py_None)) return false;
    if (!attributes.read(plan, args + before, n - before, !unchecked)) return false;
    for (int k = 0; k < n_inputs; ++k) {
      PyObject* object = args[k];
      if (unchecked && plan.inputs[k].spreads && is_number(object)) continue;
      if (unchecked && plan.inputs[k].noise && object == Py_None) continue;
      if (!exchange::read(torch, object, inputs[k])) return false;
    }
    if (inputs[0].object == nullptr || attributes.batch_dims > first().ndim() || numel() == 0) {
      return false;
    }
    for (int k = 0; k < n_inputs; ++k) {
      if (inputs[k].object != nullptr && !fits(inputs[k], plan.inputs[k], unchecked)) return false;
    }
    return !unchecked || complete(args, numbers);
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

 private:
  static bool is_number(PyObject* object) {
    return PyFloat_CheckExact(object) || PyLong_CheckExact(object);
  }

  bool fits(const Operand& operand, const Rule& rule, bool unchecked) const {
    if (operand.is_seed) return rule.noise;
    if (operand.dtype == DType::u8) {
      // Reading bytes as intensities may deserve a warning.
      if (!rule.bytes || (unchecked && plan.ranged)) return false;
    } else if (operand.dtype == DType::boolean && !rule.booleans) {
      return false;
    }
    if (rule.no_gradient && exchange::wants_gradient(torch, operand.object)) return false;
    return operand.has_shape_of(first()) || (rule.spreads && operand.ndim() == 0);
  }

  // Makes tensors of numbers, and draws the seed.
  bool complete(PyObject* const* args, py::object* made) {
    const DType dtype = wide();
    for (int k = 0; k < plan.n_inputs(); ++k) {
      if (inputs[k].object != nullptr) continue;
      // Which of the others say what a number's dtype is, differs.
      if (!plan.inputs[k].noise && dtype != first().dtype && dtype == DType::f64) return false;
      if (plan.inputs[k].noise) {
        made[k] = plan.draw(py::handle(first().object), py::none());
      } else {
        const double value = PyFloat_AsDouble(args[k]);
        if (PyErr_Occurred()) {
          PyErr_Clear();
          return false;
        }
        NewTensor number = new_number(torch, value, dtype);
        if (!number.object) return false;
        made[k] = std::move(number.object);
      }
      if (!exchange::read(torch, made[k].ptr(), inputs[k])) return false;
    }
    return true;
  }
};

// --- values -------------------------------------------------------------------------------------

inline py::object one_or_more(std::vector<py::object>& found) {
  if (found.size() == 1) return std::move(found[0]);
  py::tuple all(found.size());
  for (size_t k = 0; k < found.size(); ++k) all[k] = std::move(found[k]);
  return all;
}

inline py::object value_of(const Call& call) {
  const Plan& plan = call.plan;
  const Operand& first = call.first();
  const int batch_dims = static_cast<int>(call.attributes.batch_dims);
  const Kernels& kernels = *call.attributes.kernels;
  Launch launch = over(first, batch_dims, kernels.value, kernels.factor);
  launch.compute = call.wide();
  launch.n_inputs = plan.n_inputs(), launch.n_outputs = plan.n_results();
  for (int k = 0; k < plan.n_inputs(); ++k) {
    if (!describe(call.inputs[k], first, call.attributes.bytes_as, launch.inputs[k]))
      return py::none();
  }
  std::vector<py::object> found;
  for (int k = 0; k < plan.n_results(); ++k) {
    const bool by_datapoint = plan.by_datapoint[k];
    const DType dtype = by_datapoint ? call.wide() : call.promoted();
    const int ndim = by_datapoint ? batch_dims : first.ndim();
    NewTensor made = new_tensor(call.torch, first.view.shape, ndim, dtype, !by_datapoint);
    if (!made.object) return py::none();
    launch.outputs[k] = by_datapoint ? of_datapoints(made.data, dtype, launch.rows)
                                     : of_elements(made.data, dtype, call.numel());
    found.push_back(std::move(made.object));
  }
  run(call.torch, launch);
  return one_or_more(found);
}

// What the registered op computes: without a derivative.
inline py::object value(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  if (!call.quiet() || !call.read(args, n, false)) return py::none();
  return value_of(call);
}

// What a caller of the public function wants: differentiable, of arguments that nobody has checked,
// without the backend.
inline py::object attempt(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  py::object made[kMaxOperands];
  if (!call.quiet() || !call.read(args, n, true, made)) return py::none();
  if (!grad_enabled(call.torch) || !call.wants_gradient()) return value_of(call);
  std::vector<PyObject*> of_node{nullptr, plan.op.ptr()};
  for (int k = 0; k < plan.n_inputs(); ++k) of_node.push_back(call.inputs[k].object);
  of_node.insert(of_node.end(), args + plan.n_inputs(), args + n);
  of_node.push_back(plan.backend.ptr());
  PyObject* found =
      PyObject_Vectorcall(plan.apply.ptr(), of_node.data() + 1,
                          (of_node.size() - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr);
  if (found == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}

}  // namespace vk::exchange
