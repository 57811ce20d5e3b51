// Gradients of operations that take log sum exp of rows.
#pragma once

#include "rows.h"

namespace vk::exchange {

// What the vjp reads of each row.
struct RowNumbers {
  Operand lse, total, upstream;
  // In float32: totals, and log sum exp as a sum of two.
  std::vector<float> totals, high, low;

  bool read(const RowCall& call, PyObject* gradient, PyObject* const* kept) {
    Place place = call.place;
    const auto numbers = [&](PyObject* object, Operand& operand) {
      return exchange::read(call.torch, place, object, operand) && !operand.is_seed &&
             operand.dtype == DType::f64 && operand.ndim() == call.logits.ndim() &&
             operand.numel() == call.rows && operand.size(call.row_dims()) == 1 &&
             operand.is_contiguous();
    };
    if (!numbers(kept[0], lse)) return false;
    if (call.plan.of_counts && !numbers(kept[1], total)) return false;
    return exchange::read(call.torch, place, gradient, upstream) && !upstream.is_seed &&
           is_float(upstream.dtype) &&
           upstream.has_sizes(call.logits, static_cast<int>(call.batch_dims));
  }

  void split(int64_t rows) {
    const auto* of = static_cast<const double*>(lse.data());
    high.resize(rows), low.resize(rows);
    for (int64_t row = 0; row < rows; ++row) {
      high[row] = static_cast<float>(of[row]);
      const double lost = of[row] - static_cast<double>(high[row]);
      low[row] = std::isnan(lost) ? 0.0f : static_cast<float>(lost);
    }
    if (total.object == nullptr) return;
    const auto* of_all = static_cast<const double*>(total.data());
    totals.assign(of_all, of_all + rows);
  }
};

// A number for each row, the same for all its classes.
inline bool describe_rows(const RowCall& call, const void* data, DType dtype, Input& input) {
  input.kind = Input::Kind::tensor;
  input.data = data, input.dtype = dtype;
  return input.layout.append(call.rows, 1) && input.layout.append(call.classes, 0);
}

inline double upstream_of(const RowCall& call, const Operand& upstream, int64_t row) {
  int64_t offset = 0, step = 1;
  for (int d = call.row_dims() - 1; d >= 0; --d) {
    const int64_t index = row % call.logits.size(d);
    row /= call.logits.size(d);
    if (d >= call.batch_dims) continue;
    offset += index * (upstream.view.strides == nullptr ? step : upstream.view.strides[d]);
    step *= call.logits.size(d);
  }
  return element(upstream, offset);
}

// The selected logits' own gradients, g (1 - p), take the places of what the kernel wrote there.
inline bool write_selected(const RowCall& call, const RowNumbers& numbers, void* gradient) {
  const int64_t rows = call.rows;
  NewTensor log_p = new_tensor(call.torch, call.place, &rows, 1, DType::f64, false);
  if (!log_p.object) return false;
  auto* of = static_cast<double*>(log_p.data);
  if (!log_p_of_rows(call, static_cast<const double*>(numbers.lse.data()), of)) return false;
  called_method(log_p.object, call.torch.expm1_);  // torch's, to the last bit
  for (int64_t row = 0; row < rows; ++row) of[row] *= -upstream_of(call, numbers.upstream, row);
  with_float_dtype(call.logits.dtype, [&](auto tag) {
    using Storage = typename decltype(tag)::type;
    std::vector<Storage> own(rows);  // converted in a loop of its own, which is vectorised
    for (int64_t row = 0; row < rows; ++row) store_as(own.data() + row, of[row]);
    for (int64_t row = 0; row < rows; ++row) {
      int64_t index = 0, offset = 0;
      call.selected(row, index, offset);
      static_cast<Storage*>(gradient)[row * call.classes + index] = own[row];
    }
  });
  return true;
}

// Fills found[0] and found[1] where wanted.
inline bool gradients_of(const RowCall& call, PyObject* gradient, PyObject* const* kept,
                         const bool* wanted, py::object* found) {
  const RowPlan& plan = call.plan;
  RowNumbers numbers;
  if (!numbers.read(call, gradient, kept)) return false;
  const int n_outputs = plan.of_counts ? 2 : 1;
  Launch launch = over_rows(call, plan.vjp, plan.of_counts ? 6 : 4, n_outputs);
  const DType wide = call.wide();
  const bool in_double = wide == DType::f64;
  if (!in_double) numbers.split(call.rows);
  launch.compute = numbers.upstream.dtype == DType::f64 ? DType::f64 : wide;
  int at = 0;
  const auto describe_numbers = [&](const Operand& exact, const std::vector<float>& rounded) {
    const void* data = in_double ? exact.data() : rounded.data();
    return describe_rows(call, data, wide, launch.inputs[at++]);
  };
  if (!describe_by_datapoint(numbers.upstream, call.logits, launch.inputs[at++])) return false;
  if (plan.of_counts && !describe_numbers(numbers.total, numbers.totals)) return false;
  if (!describe(call.logits, call.logits, DType::u8, launch.inputs[at++])) return false;
  if (plan.of_counts && !describe(call.x, call.logits, DType::u8, launch.inputs[at++])) {
    return false;
  }
  if (!describe_numbers(numbers.lse, numbers.high)) return false;
  if (in_double)
    describe_number(0.0, launch.inputs[at++]);
  else if (!describe_rows(call, numbers.low.data(), wide, launch.inputs[at++]))
    return false;
  void* first = nullptr;
  for (int k = 0; k < n_outputs; ++k) {
    Output& output = launch.outputs[k];
    output.kind = Output::Kind::discard;
    if (!wanted[k]) continue;
    const Operand& like = k == 0 ? call.logits : call.x;
    NewTensor made =
        new_tensor(call.torch, call.place, like.view.shape, like.ndim(), like.dtype, true);
    if (!made.object) return false;
    if (k == 0) first = made.data;
    output.kind = Output::Kind::elements;
    output.data = made.data, output.dtype = like.dtype, output.numel = like.numel();
    found[k] = std::move(made.object);
  }
  run(call.torch, call.place, launch);
  return plan.of_counts || write_selected(call, numbers, first);
}

// What a node of the autograd graph returns, as in gradients.h.
inline py::object backward(const RowPlan& plan, PyObject* const* args, Py_ssize_t n) {
  RowCall call(plan);
  if (!are_tuples(args, n)) return py::none();
  if (n != 4 || PyTuple_GET_SIZE(args[0]) != 1 || PyTuple_GET_SIZE(args[2]) != 3 ||
      PyTuple_GET_SIZE(args[1]) != 3 + plan.n_kept() || PyTuple_GET_SIZE(args[3]) != 2) {
    return py::none();
  }
  if (!call.quiet() || grad_enabled(call.torch)) return py::none();
  PyObject* gradient = PyTuple_GET_ITEM(args[0], 0);
  PyObject* const* saved = &PyTuple_GET_ITEM(args[1], 0);
  const bool wanted[] = {PyTuple_GET_ITEM(args[2], 1) == Py_True,
                         plan.of_counts && PyTuple_GET_ITEM(args[2], 2) == Py_True};
  if (gradient == Py_None || !(wanted[0] || wanted[1])) return py::none();
  PyObject* mask = saved[2 + plan.n_kept()];
  if (!call.read(saved[0], saved[1], mask, PyTuple_GET_ITEM(args[3], 0), false)) return py::none();
  py::object found[] = {py::none(), py::none()};
  if (!gradients_of(call, gradient, saved + 2, wanted, found)) return py::none();
  return py::make_tuple(py::none(), std::move(found[0]), std::move(found[1]));
}

// The registered op's: gradient, logits, what is selected, what was kept, a mask or None, which are
// wanted, batch_dims, the backend.
inline py::object vjp(const RowPlan& plan, PyObject* const* args, Py_ssize_t n) {
  RowCall call(plan);
  const int behind = 3 + plan.n_kept();
  if (n != behind + 4 || !call.quiet() || args[0] == Py_None) return py::none();
  PyObject* wanted_ = args[behind + 1];
  if (!PyList_Check(wanted_) || PyList_GET_SIZE(wanted_) != 2) return py::none();
  const bool wanted[] = {PyList_GET_ITEM(wanted_, 0) == Py_True,
                         PyList_GET_ITEM(wanted_, 1) == Py_True};
  if (!wanted[0] && !(plan.of_counts && wanted[1])) return py::none();
  if (!call.read(args[1], args[2], args[behind], args[behind + 2], false)) return py::none();
  if (!call.place.is_of(args[behind + 3])) return py::none();
  py::object found[2];
  if (!gradients_of(call, args[0], args + 3, wanted, found)) return py::none();
  py::list gradients;
  for (py::object& gradient : found) {
    if (gradient) gradients.append(std::move(gradient));
  }
  return gradients;
}

}  // namespace vk::exchange
