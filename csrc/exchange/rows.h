// Calls of operations that take log sum exp of rows, as vaekern/_ops/rows.py has them: of classes,
// and of counts of classes. As in call.h, what is irregular gives None.
#pragma once

#include <cmath>

#include "../core/dtypes.h"
#include "describe.h"

namespace vk::exchange {

struct RowPlan : Node {
  bool of_counts = false;
  int value = -1, vjp = -1;  // kernels
  int sum = -1;              // the kernel that adds up rows

  int n_kept() const { return of_counts ? 2 : 1; }
};

inline double element(const Operand& operand, int64_t offset) {
  return with_float_dtype(operand.dtype, [&](auto tag) {
    using Storage = typename decltype(tag)::type;
    return load_as<double>(static_cast<const Storage*>(operand.data())[offset]);
  });
}

// Indices of classes: int64.
inline bool read_indices(const Torch& torch, Place& place, PyObject* object, Operand& operand) {
  return read_view(torch, place, object, operand) && operand.view.dtype.code == 0 &&
         operand.view.dtype.bits == 64;
}

struct RowCall {
  const RowPlan& plan;
  const Torch& torch;
  Place place;        // the host's: it reads what kernels have found
  Operand logits, x;  // x: indices, or counts
  int64_t batch_dims = 0;
  int64_t rows = 0, classes = 0;

  explicit RowCall(const RowPlan& plan) : plan(plan), torch(Torch::instance()) {}

  bool quiet() const { return torch.enabled() && nobody_watches(torch); }
  int row_dims() const { return logits.ndim() - 1; }

  // Indices have no dimension of classes where a caller gives them, and one of 1 elsewhere.
  bool read(PyObject* logits_, PyObject* x_, PyObject* mask, PyObject* batch_dims_,
            bool unchecked) {
    constexpr int64_t kMostRows = 1 << 16;  // for more, torch has threads
    if (mask != Py_None) return false;
    if (!exchange::read(torch, place, logits_, logits) || !place.on_host()) return false;
    if (!is_float(logits.dtype) || logits.is_seed) return false;
    if (logits.ndim() == 0 || logits.ndim() > kMaxTensorDims) return false;
    if (!read_dims(batch_dims_, row_dims(), batch_dims) || logits.numel() == 0) return false;
    rows = logits.numel(0, row_dims()), classes = logits.size(row_dims());
    if (rows > kMostRows) return false;
    if (plan.of_counts) {
      return exchange::read(torch, place, x_, x) && !x.is_seed && is_float(x.dtype) &&
             x.has_shape_of(logits);
    }
    if (!read_indices(torch, place, x_, x)) return false;
    const bool fits = unchecked ? x.has_sizes(logits, row_dims())
                                : x.ndim() == logits.ndim() && x.size(row_dims()) == 1;
    for (int d = 0; fits && d < row_dims(); ++d) {
      if (x.size(d) != logits.size(d)) return false;
    }
    return fits;
  }

  DType wide() const {
    const bool in_double = logits.dtype == DType::f64 || (plan.of_counts && x.dtype == DType::f64);
    return in_double ? DType::f64 : DType::f32;
  }

  // Where a row of a tensor begins, whose first dimensions are those of the logits.
  int64_t row_of(const Operand& operand, int64_t row, int dims) const {
    int64_t offset = 0, step = 1;
    for (int d = operand.ndim() - 1; d >= row_dims(); --d) step *= operand.size(d);
    for (int d = row_dims() - 1; d >= 0; --d) {
      const int64_t index = row % logits.size(d);
      row /= logits.size(d);
      if (d < dims) {
        const int64_t stride = operand.view.strides == nullptr ? step : operand.view.strides[d];
        offset += index * stride;
        step *= operand.size(d);
      }
    }
    return offset;
  }

  // The class of each row, and where its logit lies. False where there is none such.
  bool selected(int64_t row, int64_t& index, int64_t& offset) const {
    index = static_cast<const int64_t*>(x.data())[row_of(x, row, row_dims())];
    if (index < 0 || index >= classes) return false;
    const int last = row_dims();
    const int64_t stride = logits.view.strides == nullptr ? 1 : logits.view.strides[last];
    offset = row_of(logits, row, last) + index * stride;
    return true;
  }
};

// A float64 number for each row, in a tensor with a dimension of 1 for the classes if it is kept.
struct NumbersOfRows {
  NewTensor kept;
  std::vector<double> own;

  bool make(const RowCall& call, bool keep) {
    if (!keep) {
      own.resize(call.rows);
      return true;
    }
    std::vector<int64_t> shape(call.logits.view.shape, call.logits.view.shape + call.row_dims());
    shape.push_back(1);
    const int ndim = static_cast<int>(shape.size());
    kept = new_tensor(call.torch, call.place, shape.data(), ndim, DType::f64, false);
    return static_cast<bool>(kept.object);
  }

  double* data() { return kept.object ? static_cast<double*>(kept.data) : own.data(); }
};

inline Output of_rows(const RowCall& call, void* data, Output::Kind kind) {
  Output output;
  output.kind = kind;
  output.data = data, output.dtype = DType::f64, output.numel = call.rows;
  output.rows.append(call.rows, 1);
  return output;
}

inline Launch over_rows(const RowCall& call, int kernel, int n_inputs, int n_outputs) {
  Launch launch;
  launch.kernel = kernel;
  launch.rows = call.rows, launch.cols = call.classes;
  launch.n_inputs = n_inputs, launch.n_outputs = n_outputs;
  return launch;
}

// --- values -------------------------------------------------------------------------------------

// Overwrites the rows' log sum exp by what each row adds to the value.
inline bool log_p_of_rows(const RowCall& call, const double* lse, double* out) {
  for (int64_t row = 0; row < call.rows; ++row) {
    int64_t index = 0, offset = 0;
    if (!call.selected(row, index, offset)) return false;
    out[row] = element(call.logits, offset) - lse[row];
  }
  return true;
}

// Per datapoint, as kernels add: the one of classes adds up what it is told to.
inline bool sum_rows(const RowCall& call, double* rows, const NewTensor& value) {
  const DType dtype = call.wide();
  if (call.row_dims() == call.batch_dims) {
    for (int64_t row = 0; row < call.rows; ++row) {
      if (dtype == DType::f64)
        static_cast<double*>(value.data)[row] = rows[row];
      else
        static_cast<float*>(value.data)[row] = static_cast<float>(rows[row]);
    }
    return true;
  }
  Launch launch;
  launch.kernel = call.plan.sum;
  launch.compute = DType::f64;
  launch.rows = call.logits.numel(0, static_cast<int>(call.batch_dims));
  launch.cols = call.rows / launch.rows;
  launch.n_inputs = launch.n_outputs = 1;
  launch.inputs[0].kind = Input::Kind::tensor;
  launch.inputs[0].data = rows, launch.inputs[0].dtype = DType::f64;
  launch.inputs[0].layout.append(call.rows, 1);
  Output& output = launch.outputs[0];
  output.kind = Output::Kind::row_sum;
  output.data = value.data, output.dtype = dtype, output.numel = launch.rows;
  output.rows.append(launch.rows, 1);
  run(call.torch, call.place, launch);
  return true;
}

// The value of each datapoint and, if wanted, what is kept of each row; nothing where that is
// irregular.
inline bool value_of(const RowCall& call, bool keep, py::object* found) {
  const RowPlan& plan = call.plan;
  const int batch_dims = static_cast<int>(call.batch_dims);
  NewTensor value =
      new_tensor(call.torch, call.place, call.logits.view.shape, batch_dims, call.wide(), false);
  NumbersOfRows lse, total;
  if (!value.object || !lse.make(call, keep)) return false;
  if (plan.of_counts && !total.make(call, keep)) return false;
  std::vector<double> rows(call.rows);
  Launch launch = over_rows(call, plan.value, plan.of_counts ? 2 : 1, plan.of_counts ? 3 : 1);
  launch.compute = call.wide();
  if (!describe(call.logits, call.logits, DType::u8, launch.inputs[0])) return false;
  launch.outputs[launch.n_outputs - 1] = of_rows(call, lse.data(), Output::Kind::row_log_sum_exp);
  if (plan.of_counts) {
    if (!describe(call.x, call.logits, DType::u8, launch.inputs[1])) return false;
    launch.outputs[0] = of_rows(call, rows.data(), Output::Kind::row_sum);
    launch.outputs[1] = of_rows(call, total.data(), Output::Kind::row_sum);
  }
  run(call.torch, call.place, launch);
  const double *lse_of = lse.data(), *total_of = total.data();
  if (plan.of_counts) {
    for (int64_t row = 0; row < call.rows; ++row) {
      const volatile double normaliser = total_of[row] * lse_of[row];  // rounded, as in Python
      if (total_of[row] != 0.0) rows[row] -= normaliser;
    }
  } else if (!log_p_of_rows(call, lse_of, rows.data())) {
    return false;
  }
  if (!sum_rows(call, rows.data(), value)) return false;
  found[0] = std::move(value.object);
  found[1] = std::move(lse.kept.object);
  if (plan.of_counts) found[2] = std::move(total.kept.object);
  return true;
}

// Logits, what is selected, a mask or None, batch_dims, the backend.
inline py::object value(const RowPlan& plan, PyObject* const* args, Py_ssize_t n) {
  RowCall call(plan);
  py::object found[3];
  if (n != 5 || !call.quiet() || !call.read(args[0], args[1], args[2], args[3], false) ||
      !call.place.is_of(args[4]) || !value_of(call, true, found)) {
    return py::none();
  }
  py::tuple all(1 + plan.n_kept());
  for (size_t k = 0; k < all.size(); ++k) all[k] = std::move(found[k]);
  return all;
}

// The same of arguments that nobody has checked, without the backend, and differentiable.
inline py::object attempt(const RowPlan& plan, PyObject* const* args, Py_ssize_t n) {
  RowCall call(plan);
  py::object found[3];
  if (n != 4 || !call.quiet() || !call.read(args[0], args[1], args[2], args[3], true)) {
    return py::none();
  }
  const bool differentiable =
      grad_enabled(call.torch) && (wants_gradient(call.torch, args[0]) ||
                                   (plan.of_counts && wants_gradient(call.torch, args[1])));
  if (!value_of(call, differentiable, found)) return py::none();
  if (!differentiable) return std::move(found[0]);
  py::object x = py::reinterpret_borrow<py::object>(args[1]);
  if (!plan.of_counts) x = called_method(x, call.torch.unsqueeze, py::int_(-1));
  py::tuple saved(3 + plan.n_kept());
  saved[0] = py::handle(args[0]), saved[1] = x;
  for (int k = 0; k < plan.n_kept(); ++k) saved[2 + k] = std::move(found[1 + k]);
  saved[2 + plan.n_kept()] = py::none();
  const py::tuple attributes = py::make_tuple(py::handle(args[3]), call.place.machine->backend);
  PyObject* const tensors[] = {args[0], x.ptr()};
  return with_node(plan, std::move(found[0]), std::move(saved), attributes, tensors, 2);
}

}  // namespace vk::exchange
