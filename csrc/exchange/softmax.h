// Calls of operations over rows of logits, as vaekern/_ops/softmax.py has them: the divergence of
// categoricals, samples of them, and relaxed samples. As in call.h, what is irregular gives None.
#pragma once

#include <cmath>
#include <cstring>

#include "../softmax.h"
#include "caller.h"
#include "plan.h"
#include "running.h"

namespace vk::exchange {

struct SoftmaxPlan : Node {
  enum class Kind { divergence, sample, relaxed };
  py::tuple draw;
  Kind kind = Kind::divergence;

  bool has_noise() const { return kind != Kind::divergence; }
  bool maskable() const { return kind == Kind::divergence; }
  int n_inputs() const { return kind == Kind::relaxed ? 3 : 2; }
  int n_read() const { return kind == Kind::sample ? 1 : n_inputs(); }  // by the vjp
};

inline SoftmaxPlan::Kind softmax_kind_named(const std::string& name) {
  if (name == "divergence") return SoftmaxPlan::Kind::divergence;
  if (name == "sample") return SoftmaxPlan::Kind::sample;
  if (name == "relaxed") return SoftmaxPlan::Kind::relaxed;
  throw py::value_error("no such operation over rows: " + name);
}

struct SoftmaxCall {
  using Kind = SoftmaxPlan::Kind;
  const SoftmaxPlan& plan;
  const Torch& torch;
  Place place;
  Operand inputs[3];   // logits, then a prior's or the seed, or temperature and seed
  py::object made[3];  // what stands for inputs that are no tensors
  int batch_dims = 0;
  double number = 0.0;  // the share of a uniform distribution, or whether samples are one-hot

  explicit SoftmaxCall(const SoftmaxPlan& plan) : plan(plan), torch(Torch::instance()) {}

  bool quiet() const { return torch.enabled() && nobody_watches(torch); }
  const Operand& logits() const { return inputs[0]; }
  int row_dims() const { return logits().ndim() - 1; }
  int64_t classes() const { return logits().size(row_dims()); }
  int64_t rows() const { return logits().numel(0, row_dims()); }

  // The first `n` inputs. From a caller nothing has been checked yet (`unchecked`).
  bool read_inputs(PyObject* const* args, int n, bool unchecked) {
    if (!read_numbers(args[0], inputs[0]) || logits().ndim() == 0) return false;
    if (logits().ndim() > kMaxTensorDims || logits().numel() == 0) return false;
    for (int k = 1; k < n; ++k) {
      const bool is_noise = plan.has_noise() && k == plan.n_inputs() - 1;
      const bool fits = is_noise                     ? read_noise(args[k], unchecked)
                        : plan.kind == Kind::relaxed ? read_temperature(args[k], unchecked)
                                                     : read_prior(args[k], unchecked);
      if (!fits) return false;
    }
    return true;
  }

  // batch_dims, the number.
  bool read_attributes(PyObject* const* args, bool unchecked) {
    int64_t dims = 0;
    if (!read_dims(args[0], row_dims(), dims)) return false;
    batch_dims = static_cast<int>(dims);
    if (unchecked && plan.kind == Kind::relaxed) {
      number = args[1] == Py_True;
      return PyBool_Check(args[1]);
    }
    if (!PyFloat_CheckExact(args[1])) return false;
    number = PyFloat_AS_DOUBLE(args[1]);
    return number >= 0.0 && (number < 1.0 || plan.kind == Kind::relaxed);
  }

  // In place of what stands for noise, once nothing else can be irregular: who draws a seed has
  // changed a generator.
  bool draw(PyObject* from) {
    const int last = plan.n_inputs() - 1;
    made[last] = seed_from(torch, place, plan.draw, from);
    return made[last] && exchange::read(torch, place, made[last].ptr(), inputs[last]) &&
           inputs[last].is_seed;
  }

  DType wide() const {
    for (const Operand& input : inputs) {
      const bool counts = input.object != nullptr && !input.is_seed;
      if (counts && input.dtype == DType::f64) return DType::f64;
    }
    return DType::f32;
  }

  bool wants_gradient() const {
    for (const Operand& input : inputs) {
      if (input.object != nullptr && exchange::wants_gradient(torch, input.object)) return true;
    }
    return false;
  }

  // Of a kernel that makes so many sums.
  SoftmaxLaunch over_rows(SoftmaxKernel kernel, int64_t sums) const {
    SoftmaxLaunch launch;
    launch.kernel = kernel;
    launch.compute = wide();
    launch.rows = rows(), launch.classes = classes(), launch.rows_per_sum = rows() / sums;
    launch.unimix = plan.kind == Kind::relaxed ? 0.0 : number;
    launch.logits = {logits().data(), logits().dtype, rows()};
    const Operand &second = inputs[1], &last = inputs[plan.n_inputs() - 1];
    if (plan.kind == Kind::divergence) {
      launch.other = {second.data(), second.dtype, second.numel() / classes()};
    } else if (last.object != nullptr) {
      launch.seed = last.data();
    }
    if (plan.kind == Kind::relaxed) launch.temperature = {second.data(), second.dtype, 1};
    return launch;
  }

  void run(SoftmaxLaunch& launch) const {
    run_at(torch, place, place.machine->runners.run_softmax, launch, logits().numel());
  }

 private:
  bool read_numbers(PyObject* object, Operand& operand) {
    return exchange::read(torch, place, object, operand) && !operand.is_seed &&
           is_float(operand.dtype) && operand.is_contiguous();
  }

  // Rows that make those of the logits when they are repeated; None: all 0.
  bool read_prior(PyObject* object, bool unchecked) {
    Operand& prior = inputs[1];
    if (unchecked && object == Py_None) {
      const int64_t one_row = classes();
      NewTensor zeros = new_tensor(torch, place, &one_row, 1, logits().dtype, false);
      if (!zeros.object) return false;
      if (place.on_host())
        std::memset(zeros.data, 0, one_row * cpu::bits_of(logits().dtype) / 8);
      else
        zeros.object.attr("zero_")();
      made[1] = std::move(zeros.object);
      return exchange::read(torch, place, made[1].ptr(), prior);
    }
    if (!read_numbers(object, prior) || prior.ndim() == 0) return false;
    const int missing = logits().ndim() - prior.ndim();
    int d = 0;
    while (d < prior.ndim() && prior.size(d) == 1) ++d;
    if (missing < 0 || d == prior.ndim()) return false;
    for (; d < prior.ndim(); ++d) {
      if (prior.size(d) != logits().size(missing + d)) return false;
    }
    return true;
  }

  // One number, of the arithmetic's precision where a caller gives no tensor.
  bool read_temperature(PyObject* object, bool unchecked) {
    if (unchecked && is_number(object)) {
      const double tau = PyFloat_AsDouble(object);
      if (PyErr_Occurred()) PyErr_Clear();
      if (!(tau > 0.0 && std::isfinite(tau))) return false;
      made[1] = number_from(torch, place, object, wide());
      return made[1] && exchange::read(torch, place, made[1].ptr(), inputs[1]);
    }
    return read_numbers(object, inputs[1]) && inputs[1].ndim() == 0;
  }

  // A seed, or what `draw` makes one of.
  bool read_noise(PyObject* object, bool unchecked) {
    if (unchecked) return stands_for_noise(torch, object);
    Operand& seed = inputs[plan.n_inputs() - 1];
    return exchange::read(torch, place, object, seed) && seed.is_seed;
  }
};

// --- values -------------------------------------------------------------------------------------

inline SoftmaxKernel value_kernel(const SoftmaxCall& call) {
  switch (call.plan.kind) {
    case SoftmaxPlan::Kind::divergence: return SoftmaxKernel::kl;
    case SoftmaxPlan::Kind::sample: return SoftmaxKernel::sample;
    case SoftmaxPlan::Kind::relaxed: break;
  }
  return call.number != 0.0 ? SoftmaxKernel::relaxed_hard : SoftmaxKernel::relaxed;
}

inline py::object value_of(const SoftmaxCall& call) {
  const Operand& logits = call.logits();
  const bool sums = call.plan.kind == SoftmaxPlan::Kind::divergence;
  const int ndim = sums ? call.batch_dims : logits.ndim();
  const DType dtype = sums ? call.wide() : logits.dtype;
  NewTensor made = new_tensor(call.torch, call.place, logits.view.shape, ndim, dtype, !sums);
  if (!made.object) return py::none();
  SoftmaxLaunch launch =
      call.over_rows(value_kernel(call), sums ? logits.numel(0, call.batch_dims) : 1);
  (sums ? launch.sums : launch.rows_out[0]) = {made.data, dtype};
  call.run(launch);
  return std::move(made.object);
}

// Inputs, a mask or None where there may be one, attributes, the backend.
inline py::object value(const SoftmaxPlan& plan, PyObject* const* args, Py_ssize_t n) {
  SoftmaxCall call(plan);
  const int at = plan.n_inputs() + plan.maskable();
  if (n != at + 3 || !call.quiet() || (plan.maskable() && args[at - 1] != Py_None) ||
      !call.read_inputs(args, plan.n_inputs(), false) || !call.place.is_of(args[at + 2]) ||
      !call.read_attributes(args + at, false)) {
    return py::none();
  }
  return value_of(call);
}

// Whether a prior has as many dimensions as the public function wants.
inline bool has_known_dims(const SoftmaxCall& call) {
  const int own = call.inputs[1].ndim(), all = call.logits().ndim();
  return own == 1 || own == all - call.batch_dims || own == all;
}

// The same of arguments that nobody has checked, without the backend, and differentiable.
inline py::object attempt(const SoftmaxPlan& plan, PyObject* const* args, Py_ssize_t n) {
  SoftmaxCall call(plan);
  const int n_inputs = plan.n_inputs(), at = n_inputs + plan.maskable();
  if (n != at + 2 || !call.quiet() || (plan.maskable() && args[at - 1] != Py_None) ||
      !call.read_inputs(args, n_inputs, true) || !call.read_attributes(args + at, true)) {
    return py::none();
  }
  if (plan.has_noise() ? !call.draw(args[n_inputs - 1]) : !has_known_dims(call)) return py::none();
  const bool differentiable = grad_enabled(call.torch) && call.wants_gradient();
  py::object found = value_of(call);
  if (!differentiable || found.is_none()) return found;
  py::tuple saved(plan.n_read() + 1);
  for (int k = 0; k < plan.n_read(); ++k) saved[k] = py::handle(call.inputs[k].object);
  saved[plan.n_read()] = py::none();
  const py::tuple attributes =
      py::make_tuple(py::handle(args[at]), call.number, call.place.machine->backend);
  PyObject* tensors[3];
  for (int k = 0; k < n_inputs; ++k) tensors[k] = call.inputs[k].object;
  return with_node(plan, std::move(found), std::move(saved), attributes, tensors, n_inputs);
}

}  // namespace vk::exchange
