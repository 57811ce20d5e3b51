// Nodes of the autograd graph: the forward and the backward of a torch.autograd.Function, without a
// frame of Python.
//
// A node knows (owner, backward, details): a Python object with the rules for what is irregular,
// the function of (upstream gradients, saved tensors, what needs a gradient, details) for what is
// regular, and its last argument.
#pragma once

#include <algorithm>

#include "torch.h"

namespace vk::exchange {

// What the nodes of an operation, or of a loss, have in common.
struct Node {
  py::object owner;
  py::object apply;  // makes one: see `node_maker` in vaekern/_ops/autograd.py
  py::object backward;
};

// The results, with a node for what they depend on.
inline py::object with_node(const Node& node, py::object results, py::tuple saved,
                            py::tuple details, PyObject* const* tensors, int n_tensors) {
  py::tuple known = py::make_tuple(node.owner, node.backward, std::move(details));
  const py::tuple made = py::make_tuple(std::move(results), std::move(saved), std::move(known));
  PyObject* arguments[1 + 2 * kMaxOperands] = {made.ptr()};
  std::copy(tensors, tensors + n_tensors, arguments + 1);
  return called(node.apply, arguments, 1 + n_tensors);
}

inline void set(PyObject* object, PyObject* name, PyObject* value) {
  if (PyObject_SetAttr(object, name, value) != 0) throw py::error_already_set();
}

struct NodeNames {
  py::object known = interned("known"), to_save = interned("to_save");
  py::object materialize_grads = interned("materialize_grads");
  py::object saved_tensors = interned("saved_tensors");
  py::object needs_input_grad = interned("needs_input_grad");

  // Never destroyed: the interpreter may be gone by then.
  static const NodeNames& instance() {
    static const NodeNames* names = new NodeNames;
    return *names;
  }
};

// forward(ctx, made, *tensors)
inline py::object node_forward(PyObject* const* args, Py_ssize_t n) {
  if (n < 2 || !PyTuple_CheckExact(args[1]) || PyTuple_GET_SIZE(args[1]) != 3) {
    PyErr_SetString(PyExc_TypeError, "forward: expected ctx and what with_node makes");
    throw py::error_already_set();
  }
  const NodeNames& names = NodeNames::instance();
  PyObject* ctx = args[0];
  PyObject* const* made = &PyTuple_GET_ITEM(args[1], 0);
  set(ctx, names.to_save.ptr(), made[1]);
  set(ctx, names.materialize_grads.ptr(), Py_False);
  set(ctx, names.known.ptr(), made[2]);
  return py::reinterpret_borrow<py::object>(made[0]);
}

inline py::tuple tuple_of(PyObject* const* items, Py_ssize_t n) {
  py::tuple all(n);
  for (Py_ssize_t k = 0; k < n; ++k) all[k] = py::handle(items[k]);
  return all;
}

// What the engine calls: apply(ctx, *upstream gradients). What is irregular is for `otherwise`, of
// the same arguments.
inline py::object node_backward(PyObject* otherwise, PyObject* const* args, Py_ssize_t n) {
  const NodeNames& names = NodeNames::instance();
  const py::object known = attribute(args[0], names.known);
  const py::object saved = attribute(args[0], names.saved_tensors);
  const py::object needs = attribute(args[0], names.needs_input_grad);
  const py::tuple gradients = tuple_of(args + 1, n - 1);
  PyObject* const* parts = &PyTuple_GET_ITEM(known.ptr(), 0);
  PyObject* const arguments[] = {gradients.ptr(), saved.ptr(), needs.ptr(), parts[2]};
  py::object found = called(parts[1], arguments, 4);
  if (!found.is_none()) return found;
  return called(otherwise, args, n);
}

}  // namespace vk::exchange
