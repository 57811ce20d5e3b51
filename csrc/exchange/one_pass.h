// The loss of a training step, -ELBO: both terms' values and gradients in one pass over each.
#pragma once

#include "call.h"

namespace vk::exchange {

struct Loss : Node {
  const Plan *likelihood, *divergence;
  py::object kept;     // what owns the plans
  py::object results;  // of the values of each datapoint: see vaekern/_ops/quick_loss.py
};

inline bool has_half(const Call& call) {
  for (int k = 0; k < call.plan.n_inputs(); ++k) {
    if (call.inputs[k].dtype == DType::f16) return true;
  }
  return false;
}

// What a launch of value and gradients is to find.
struct Wanted {
  double weight = 1.0;         // of the gradients
  bool wide = false;           // gradients in the arithmetic's precision, not in the inputs' own
  bool of[kMaxOperands] = {};  // which inputs' gradients

  // Those that may be asked for.
  static Wanted by_inputs(const Call& call, double weight) {
    Wanted wanted{weight};
    for (int k = 0; k < call.plan.n_inputs(); ++k) {
      wanted.of[k] = wants_gradient(call.torch, call.inputs[k].object);
    }
    return wanted;
  }
};

// Fills the value, and found[k] with the gradient of input k.
inline bool value_and_gradients(const Call& call, const Wanted& wanted, const Result& value,
                                py::object* found) {
  const Operand& first = call.first();
  const int n_inputs = call.plan.n_inputs();
  const Kernels& kernels = *call.attributes.kernels;
  Launch launch;
  launch.kernel = kernels.value_and_vjp, launch.factor = kernels.factor;
  launch.compute = call.wide();
  describe_number(wanted.weight, launch.inputs[0]);
  Result results[kMaxOperands];
  results[0] = value;
  for (int k = 0; k < n_inputs; ++k) {
    const Operand& input = call.inputs[k];
    if (!wanted.of[k]) continue;
    const DType dtype = wanted.wide ? call.wide() : input.dtype;
    NewTensor made =
        new_tensor(call.torch, call.place, input.view.shape, input.ndim(), dtype, true);
    if (!made.object) return false;
    results[1 + k] = like(input, made.data, dtype, first);
    found[k] = std::move(made.object);
  }
  if (!call.describe(launch, 1)) return false;
  if (!arrange(launch, first, call.batch_dims(), results, 1 + n_inputs)) return false;
  run(call.torch, call.place, launch);
  return true;
}

// The value of each datapoint, with gradients as above; nothing where anything is irregular.
inline py::object values_and_gradients(const Call& call, const Wanted& wanted, py::object* found) {
  const Operand& first = call.first();
  if (call.attributes.kernels->value_and_vjp < 0) return {};
  NewTensor value =
      new_tensor(call.torch, call.place, first.view.shape, call.batch_dims(), call.wide(), false);
  if (!value.object) return {};
  const Result per_datapoint = of_datapoints(value.data, call.wide(), first, call.batch_dims());
  if (!value_and_gradients(call, wanted, per_datapoint, found)) return {};
  return std::move(value.object);
}

inline py::object or_none(py::object object) { return object ? std::move(object) : py::none(); }

// (weight, arguments of `value`) -> the value of each datapoint, then each input's gradient, times
// the weight, or None.
inline py::object both(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  if (n < 1 || !PyFloat_CheckExact(args[0]) || !call.quiet()) return py::none();
  if (!call.read(args + 1, n - 1, false)) return py::none();
  const Wanted wanted = Wanted::by_inputs(call, PyFloat_AS_DOUBLE(args[0]));
  py::object gradients[kMaxOperands];
  py::object value = values_and_gradients(call, wanted, gradients);
  if (!value) return py::none();
  py::tuple found(1 + plan.n_inputs());
  found[0] = std::move(value);
  for (int k = 0; k < plan.n_inputs(); ++k) found[1 + k] = or_none(std::move(gradients[k]));
  return found;
}

// What the registered op of value and partial derivatives computes: which derivatives are wanted,
// then the arguments of `value`.
inline py::object partials(const Plan& plan, PyObject* const* args, Py_ssize_t n) {
  Call call(plan);
  const int n_inputs = plan.n_inputs();
  if (n < 1 || !PyList_Check(args[0]) || PyList_GET_SIZE(args[0]) != n_inputs) return py::none();
  if (!call.quiet() || !call.read(args + 1, n - 1, false)) return py::none();
  Wanted wanted;
  wanted.wide = true;
  for (int k = 0; k < n_inputs; ++k) wanted.of[k] = PyList_GET_ITEM(args[0], k) == Py_True;
  py::object derivatives[kMaxOperands];
  py::object value = values_and_gradients(call, wanted, derivatives);
  if (!value) return py::none();
  py::list found;
  found.append(std::move(value));
  for (int k = 0; k < n_inputs; ++k) {
    if (wanted.of[k]) found.append(std::move(derivatives[k]));
  }
  return found;
}

// What a loss is made of.
struct LossCall {
  const Loss& loss;
  Call calls[2];
  PyObject* arguments[2];  // of each: tuples, without the backend
  double weights[2];
  bool differentiable = false;

  explicit LossCall(const Loss& loss)
      : loss(loss), calls{Call(*loss.likelihood), Call(*loss.divergence)} {}

  int n_tensors() const { return calls[0].plan.n_inputs() + calls[1].plan.n_inputs(); }

  // False where anything is irregular.
  bool read(PyObject* const* args) {
    if (!PyTuple_CheckExact(args[0]) || !PyTuple_CheckExact(args[1])) return false;
    if (!PyFloat_CheckExact(args[2]) && !PyLong_CheckExact(args[2])) return false;
    if (!calls[0].quiet()) return false;
    for (int c = 0; c < 2; ++c) {
      arguments[c] = args[c];
      PyObject* const* items = &PyTuple_GET_ITEM(args[c], 0);
      if (!calls[c].read(items, PyTuple_GET_SIZE(args[c]), true)) return false;
      differentiable |= calls[c].wants_gradient();
    }
    differentiable = differentiable && grad_enabled(calls[0].torch);
    if (differentiable && !gradients_keep()) return false;
    if (!are_together() || !have_the_same_datapoints()) return false;
    const double beta = PyFloat_AsDouble(args[2]);
    if (PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
    const auto datapoints = static_cast<double>(calls[0].first().numel(0, calls[0].batch_dims()));
    const double share = args[3] == Py_True ? 1.0 / datapoints : 1.0;
    weights[0] = -share, weights[1] = share * beta;
    return true;
  }

  // Whether the host may read what launches have found.
  bool on_host() const { return calls[0].place.on_host(); }

  // The tensors, with places for as many gradients behind them: what a node saves.
  py::tuple tensors() const {
    py::tuple saved(2 * n_tensors());
    for (int c = 0; c < 2; ++c) {
      for (int k = 0; k < calls[c].plan.n_inputs(); ++k) {
        saved[at(c) + k] = py::handle(calls[c].inputs[k].object);
      }
    }
    return saved;
  }

  // The loss and, if `saved`, the gradients there.
  py::object total(py::tuple* saved) const {
    double sums[2] = {};
    for (int c = 0; c < 2; ++c) {
      const Result sum = of_all(&sums[c], DType::f64, calls[c].first());
      const bool regular = saved ? fill(c, sum, *saved) : fill_values(calls[c], &sum);
      if (!regular) return {};
    }
    return weighted(sums);
  }

  // The values of each datapoint, and what is to be made of them; the gradients.
  py::object results(py::tuple& saved, PyObject* const* args) const {
    NewTensor values[2];
    for (int c = 0; c < 2; ++c) {
      const Call& call = calls[c];
      const int batch_dims = call.batch_dims();
      values[c] = new_tensor(call.torch, call.place, call.first().view.shape, batch_dims,
                             call.wide(), false);
      if (!values[c].object) return {};
      const Result value = of_datapoints(values[c].data, call.wide(), call.first(), batch_dims);
      if (!fill(c, value, saved)) return {};
    }
    PyObject *of_likelihood = values[0].object.ptr(), *of_divergence = values[1].object.ptr();
    if (!on_host()) {
      PyObject* const arguments[] = {of_likelihood, of_divergence, args[2], args[3], args[4]};
      return called(loss.results, arguments, 5);
    }
    const double sums[] = {sum(values[0].data, 0), sum(values[1].data, 1)};
    py::object total = weighted(sums);
    if (!total) return {};
    return py::make_tuple(std::move(total), std::move(values[0].object),
                          std::move(values[1].object));
  }

  // A node of the autograd graph, which knows all arguments.
  py::object node(py::object results, py::tuple saved, PyObject* const* args) const {
    py::object masks = py::make_tuple(object_or_none(calls[0].mask), object_or_none(calls[1].mask));
    py::tuple details =
        py::make_tuple(std::move(masks), attributes(0), attributes(1), py::handle(args[2]),
                       py::handle(args[3]), py::handle(args[4]));
    PyObject* const* tensors = &PyTuple_GET_ITEM(saved.ptr(), 0);
    return with_node(loss, std::move(results), saved, std::move(details), tensors, n_tensors());
  }

 private:
  // A value, and the gradients.
  bool fill(int c, const Result& value, py::tuple& saved) const {
    const Call& call = calls[c];
    py::object found[kMaxOperands];
    if (!value_and_gradients(call, Wanted::by_inputs(call, weights[c]), value, found)) return false;
    for (int k = 0; k < call.plan.n_inputs(); ++k) {
      saved[behind(c) + k] = or_none(std::move(found[k]));
    }
    return true;
  }

  // One after the other, as `_added_up` in vaekern/_ops/one_pass.py.
  double sum(const void* values, int c) const {
    const int64_t n = calls[c].first().numel(0, calls[c].batch_dims());
    double total = 0.0;
    for (int64_t k = 0; k < n; ++k) {
      total += calls[c].wide() == DType::f64 ? static_cast<const double*>(values)[k]
                                             : static_cast<const float*>(values)[k];
    }
    return total;
  }

  py::object weighted(const double* sums) const {
    double total = 0.0;
    for (int c = 0; c < 2; ++c) {
      const volatile double part = weights[c] * sums[c];  // rounded, as in Python
      total += part;
    }
    const bool in_double = calls[0].wide() == DType::f64 || calls[1].wide() == DType::f64;
    const DType dtype = in_double ? DType::f64 : DType::f32;
    return new_number(calls[0].torch, calls[0].place, total, dtype).object;
  }

  size_t at(int c) const { return c == 0 ? 0 : calls[0].plan.n_inputs(); }
  size_t behind(int c) const { return n_tensors() + at(c); }

  // Those in half precision may underflow before the loss scale reaches them.
  bool gradients_keep() const {
    for (const Call& call : calls) {
      if (has_half(call) || call.attributes.kernels->value_and_vjp < 0) return false;
    }
    return true;
  }

  bool are_together() const { return calls[0].place.device == calls[1].place.device; }

  bool have_the_same_datapoints() const {
    const int batch_dims = calls[0].batch_dims();
    if (batch_dims != calls[1].batch_dims()) return false;
    for (int d = 0; d < batch_dims; ++d) {
      if (calls[0].first().size(d) != calls[1].first().size(d)) return false;
    }
    return true;
  }

  py::tuple attributes(int c) const {
    return attributes_of(calls[c], &PyTuple_GET_ITEM(arguments[c], 0),
                         PyTuple_GET_SIZE(arguments[c]));
  }
};

// What a call of `elbo_loss` wants, of arguments that nobody has checked: those of the likelihood,
// those of the divergence, beta, whether to average over datapoints, and whether the values of each
// datapoint are wanted, too.
inline py::object attempt_loss(const Loss& loss, PyObject* const* args, Py_ssize_t n) {
  LossCall call(loss);
  if (n != 5 || !call.read(args)) return py::none();
  const bool in_total = call.on_host() && args[4] != Py_True;
  if (!call.differentiable) {
    py::object total = in_total ? call.total(nullptr) : py::object{};
    return total ? std::move(total) : py::none();
  }
  py::tuple saved = call.tensors();
  py::object results = in_total ? call.total(&saved) : call.results(saved, args);
  return results ? call.node(std::move(results), std::move(saved), args) : py::none();
}

}  // namespace vk::exchange
