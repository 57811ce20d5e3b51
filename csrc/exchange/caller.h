// What a caller gives in place of tensors: numbers, and where noise comes from.
#pragma once

#include "tensors.h"

namespace vk::exchange {

inline bool is_number(PyObject* object) {
  return PyFloat_CheckExact(object) || PyLong_CheckExact(object);
}

// A tensor without dimensions; nothing where the number has no such dtype.
inline py::object number_from(const Torch& torch, const Place& place, PyObject* object,
                              DType dtype) {
  const double value = PyFloat_AsDouble(object);
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return {};
  }
  return new_number(torch, place, value, dtype).object;
}

// None or a generator, to draw a seed from, or a seed in a tuple.
inline bool stands_for_noise(const Torch& torch, PyObject* object) {
  return object == Py_None || PyTuple_CheckExact(object) || torch.is_generator(object);
}

// Drawn as QuickDraw in vaekern/_ops/seed.py says.
inline py::object drawn_seed(const Torch& torch, const Place& place, const py::tuple& draw,
                             PyObject* generator) {
  static PyObject* const names = py::make_tuple("generator").release().ptr();
  const auto part = [&draw](Py_ssize_t k) { return PyTuple_GET_ITEM(draw.ptr(), k); };
  NewTensor words = new_seed(torch, place);
  if (!words.object) return {};
  PyObject* arguments[] = {words.object.ptr(), part(1), part(2), generator};
  PyObject* filled = PyObject_Vectorcall(part(0), arguments, 3, names);
  if (filled == nullptr) throw py::error_already_set();
  Py_DECREF(filled);
  const bool alone = generator != Py_None || attribute(part(3), torch.default_pg).is_none();
  return alone ? std::move(words.object) : py::handle(part(4))(words.object);
}

// The seed; nothing where it is none, or would have to be sent to a device.
inline py::object seed_from(const Torch& torch, const Place& place, const py::tuple& draw,
                            PyObject* object) {
  if (!PyTuple_CheckExact(object)) return drawn_seed(torch, place, draw, object);
  PyObject* seed = PyTuple_GET_SIZE(object) == 1 ? PyTuple_GET_ITEM(object, 0) : Py_None;
  if (!PyLong_CheckExact(seed)) return py::reinterpret_borrow<py::object>(seed);
  const uint64_t words[] = {PyLong_AsUnsignedLongLong(seed), 0};
  if (PyErr_Occurred()) {
    PyErr_Clear();
    return {};
  }
  if (!place.on_host()) return {};
  const NewTensor made = new_seed(torch, place);
  if (made.object) std::copy(words, words + 2, static_cast<uint64_t*>(made.data));
  return made.object;
}

}  // namespace vk::exchange
