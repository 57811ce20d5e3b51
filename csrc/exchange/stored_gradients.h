// The backward of a loss whose gradients its forward has made.
#pragma once

#include "running.h"

namespace vk::exchange {

// What such a node has saved, and what reaches it: an upstream gradient of the loss alone.
struct StoredGradients {
  const Torch& torch = Torch::instance();
  Place place;
  Operand upstream;
  PyObject* const* found = nullptr;  // gradients, or None
  Py_ssize_t n = 0;

  // (upstream gradients, saved tensors, what needs a gradient): gradients are the last that were
  // saved, one for each tensor.
  bool read(PyObject* const* args) {
    const Py_ssize_t n_upstream = PyTuple_GET_SIZE(args[0]);
    for (Py_ssize_t k = 1; k < n_upstream; ++k) {
      if (PyTuple_GET_ITEM(args[0], k) != Py_None) return false;
    }
    n = PyTuple_GET_SIZE(args[2]) - 1;
    found = &PyTuple_GET_ITEM(args[1], PyTuple_GET_SIZE(args[1]) - n);
    return exchange::read(torch, place, PyTuple_GET_ITEM(args[0], 0), upstream) &&
           !upstream.is_seed && upstream.ndim() == 0 && is_float(upstream.dtype);
  }

  // By the upstream gradient: on the host, where that is 1 alone.
  bool scale() {
    if (!place.on_host()) return scale_on_device();
    if (upstream.dtype == DType::f32) return *static_cast<const float*>(upstream.data()) == 1.0f;
    return upstream.dtype == DType::f64 && *static_cast<const double*>(upstream.data()) == 1.0;
  }

  py::tuple results() const {
    py::tuple all(1 + n);
    all[0] = py::none();
    for (Py_ssize_t k = 0; k < n; ++k) all[1 + k] = py::handle(found[k]);
    return all;
  }

 private:
  // In place, which costs next to nothing where it is 1: the host does not wait to see that.
  bool scale_on_device() {
    cuda::Scaling scaling{};
    scaling.factor = upstream.data(), scaling.factor_dtype = upstream.dtype;
    for (Py_ssize_t k = 0; k < n; ++k) {
      if (found[k] == Py_None) continue;
      Operand gradient;
      if (scaling.n == kMaxOperands || !exchange::read(torch, place, found[k], gradient) ||
          gradient.is_seed || !is_float(gradient.dtype) || !gradient.is_contiguous()) {
        return false;
      }
      scaling.tensors[scaling.n++] = {const_cast<void*>(gradient.data()), gradient.dtype,
                                      gradient.numel()};
    }
    run_on_device(torch, place, place.machine->runners.scale, scaling);
    return true;
  }
};

// What the node returns, where a backward runs once; what else it knows does not matter.
inline py::object stored_gradients(PyObject* const* args, Py_ssize_t n) {
  StoredGradients stored;
  if (n != 4 || !are_tuples(args, n) || !stored.torch.enabled()) return py::none();
  if (grad_enabled(stored.torch) || !nobody_watches(stored.torch) || !stored.read(args)) {
    return py::none();
  }
  if (truth(PyObject_CallNoArgs(stored.torch.keeps_graph.ptr()), true) || !stored.scale()) {
    return py::none();
  }
  return stored.results();
}

}  // namespace vk::exchange
