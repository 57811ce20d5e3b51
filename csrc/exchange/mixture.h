// Calls of mixtures over planes, as vaekern/_ops/mixture.py has them. As in call.h, what is
// irregular gives None.
#pragma once

#include "../mixture.h"
#include "describe.h"

namespace vk::exchange {

struct MixturePlan : Node {
  int planes = 0;  // of a component
};

struct MixtureCall {
  const MixturePlan& plan;
  const Torch& torch;
  Place place;
  Operand params, x;
  int batch_dims = 0;

  explicit MixtureCall(const MixturePlan& plan) : plan(plan), torch(Torch::instance()) {}

  bool quiet() const { return torch.enabled() && nobody_watches(torch); }

  bool read(PyObject* params_, PyObject* x_, PyObject* batch_dims_) {
    if (!exchange::read(torch, place, params_, params)) return false;
    if (!exchange::read(torch, place, x_, x)) return false;
    if (params.is_seed || x.is_seed || !is_float(params.dtype)) return false;
    if (!is_float(x.dtype) && x.dtype != DType::u8) return false;
    if (wants_gradient(torch, x_)) return false;
    int64_t dims = 0;
    if (!read_dims(batch_dims_, params.ndim() - 1, dims) || params.numel() == 0) return false;
    batch_dims = static_cast<int>(dims);
    return has_colours() && params.is_contiguous() && x.is_contiguous();
  }

  DType wide() const {
    return params.dtype == DType::f64 || x.dtype == DType::f64 ? DType::f64 : DType::f32;
  }

  // Fills `out`: the values, or the parameters' gradients for upstream ones.
  void run(const Operand* upstream, void* out, DType dtype) const {
    MixtureLaunch launch;
    launch.compute = wide();
    launch.rows = params.numel(0, batch_dims);
    launch.components = params.size(batch_dims) / plan.planes;
    launch.pixels = params.numel(batch_dims + 1);
    launch.params = {params.data(), params.dtype};
    launch.x = {x.data(), x.dtype == DType::u8 ? DType::u8_signed : x.dtype};
    launch.upstream = {nullptr, DType::f32};
    if (upstream != nullptr) launch.upstream = {upstream->data(), upstream->dtype};
    launch.out = out, launch.out_dtype = dtype;
    run_at(torch, place, place.machine->runners.run_mixture, launch, params.numel());
  }

 private:
  // Three for each pixel of the parameters.
  bool has_colours() const {
    constexpr int64_t kColours = 3;
    if (params.size(batch_dims) % plan.planes != 0 || x.ndim() != params.ndim()) return false;
    for (int d = 0; d < params.ndim(); ++d) {
      if (x.size(d) != (d == batch_dims ? kColours : params.size(d))) return false;
    }
    return true;
  }
};

inline py::object value_of(const MixtureCall& call) {
  NewTensor made = new_tensor(call.torch, call.place, call.params.view.shape, call.batch_dims,
                              call.wide(), false);
  if (!made.object) return py::none();
  call.run(nullptr, made.data, call.wide());
  return std::move(made.object);
}

inline py::object gradient_of(const MixtureCall& call, PyObject* gradient) {
  Operand upstream;
  Place place = call.place;
  const Operand& params = call.params;
  if (!read(call.torch, place, gradient, upstream) || upstream.is_seed ||
      !is_float(upstream.dtype) || !upstream.has_sizes(params, call.batch_dims) ||
      !upstream.is_contiguous()) {
    return py::none();
  }
  NewTensor made =
      new_tensor(call.torch, place, params.view.shape, params.ndim(), params.dtype, true);
  if (!made.object) return py::none();
  call.run(&upstream, made.data, params.dtype);
  return std::move(made.object);
}

// params, x, batch_dims, the backend.
inline py::object value(const MixturePlan& plan, PyObject* const* args, Py_ssize_t n) {
  MixtureCall call(plan);
  if (n != 4 || !call.quiet() || !call.read(args[0], args[1], args[2]) ||
      !call.place.is_of(args[3])) {
    return py::none();
  }
  return value_of(call);
}

// The same of arguments that nobody has checked, without the backend, and differentiable.
inline py::object attempt(const MixturePlan& plan, PyObject* const* args, Py_ssize_t n) {
  MixtureCall call(plan);
  if (n != 3 || !call.quiet() || !call.read(args[0], args[1], args[2])) return py::none();
  const bool differentiable = grad_enabled(call.torch) && wants_gradient(call.torch, args[0]);
  py::object found = value_of(call);
  if (!differentiable || found.is_none()) return found;
  const py::tuple saved = py::make_tuple(py::handle(args[0]), py::handle(args[1]), py::none());
  const py::tuple attributes = py::make_tuple(py::handle(args[2]), call.place.machine->backend);
  return with_node(plan, std::move(found), saved, attributes, args, 2);
}

// What a node of the autograd graph returns, as in gradients.h.
inline py::object backward(const MixturePlan& plan, PyObject* const* args, Py_ssize_t n) {
  MixtureCall call(plan);
  if (!are_tuples(args, n)) return py::none();
  if (n != 4 || PyTuple_GET_SIZE(args[0]) != 1 || PyTuple_GET_SIZE(args[1]) != 3 ||
      PyTuple_GET_SIZE(args[2]) != 3 || PyTuple_GET_SIZE(args[3]) != 2) {
    return py::none();
  }
  if (!call.quiet() || grad_enabled(call.torch)) return py::none();
  PyObject* const* saved = &PyTuple_GET_ITEM(args[1], 0);
  if (PyTuple_GET_ITEM(args[2], 1) != Py_True ||
      !call.read(saved[0], saved[1], PyTuple_GET_ITEM(args[3], 0)) ||
      !call.place.is_of(PyTuple_GET_ITEM(args[3], 1))) {
    return py::none();
  }
  py::object found = gradient_of(call, PyTuple_GET_ITEM(args[0], 0));
  return found.is_none() ? found : py::make_tuple(py::none(), std::move(found), py::none());
}

// The registered op's: gradient, params, x, which are wanted, batch_dims, the backend.
inline py::object vjp(const MixturePlan& plan, PyObject* const* args, Py_ssize_t n) {
  MixtureCall call(plan);
  if (n != 6 || !call.quiet() || !PyList_Check(args[3]) || PyList_GET_SIZE(args[3]) != 2) {
    return py::none();
  }
  if (PyList_GET_ITEM(args[3], 0) != Py_True || PyList_GET_ITEM(args[3], 1) == Py_True) {
    return py::none();
  }
  if (!call.read(args[1], args[2], args[4]) || !call.place.is_of(args[5])) return py::none();
  py::object found = gradient_of(call, args[0]);
  if (found.is_none()) return found;
  py::list gradients;
  gradients.append(std::move(found));
  return gradients;
}

}  // namespace vk::exchange
