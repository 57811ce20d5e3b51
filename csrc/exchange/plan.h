// What a row of the table of operations (vaekern/_ops/table.py) says a call regularly looks like.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "node.h"
#include "tensors.h"

namespace vk::exchange {

// What an argument may be.
struct Rule {
  bool bytes = false;     // uint8
  bool booleans = false;  // bool
  bool signed_bytes = false;
  bool no_gradient = false;
  bool spreads = false;      // a number, or a tensor that broadcasts
  bool per_channel = false;  // a vector then has one number for each index of the first event dim.
  bool noise = false;        // int64[2], a seed
  bool share = false;        // a number between 0 and 1, no tensor
};

inline Rule rule_named(const std::string& name) {
  Rule rule;
  if (name == "target")
    rule.bytes = rule.booleans = rule.signed_bytes = true;
  else if (name == "probability")
    rule.bytes = rule.booleans = true;
  else if (name == "levels")
    rule.bytes = rule.no_gradient = true;
  else if (name == "counts")
    rule.bytes = true;
  else if (name == "spread")
    rule.spreads = rule.per_channel = true;
  else if (name == "shared")
    rule.spreads = true;
  else if (name == "noise")
    rule.noise = true;
  else if (name == "share")
    rule.share = true;
  else if (name != "float")
    throw py::value_error("no rule for arguments: " + name);
  return rule;
}

// Kernel numbers of one scale, -1 where there is none, and the factor that launches hand them.
struct Kernels {
  int value = -1, vjp = -1, value_and_vjp = -1;
  float factor = 1.0f;
};

struct Plan : Node {
  py::tuple draw;   // how to draw a seed: see caller.h
  py::object told;  // what kernels get of `numbers`
  std::vector<Rule> inputs, numbers;
  std::vector<bool> by_datapoint;  // of each result
  std::vector<int> vjp_inputs;
  bool maskable = false;
  bool ranged = false;  // whether uint8_range is among the attributes; else it is `bytes_as`
  DType bytes_as = DType::u8;
  std::vector<std::pair<py::str, Kernels>>
      scales;  // a single one, "", where there is no such attribute

  int n_inputs() const { return static_cast<int>(inputs.size()); }
  int n_numbers() const { return static_cast<int>(numbers.size()); }
  int n_results() const { return static_cast<int>(by_datapoint.size()); }
  bool scaled() const { return scales.size() > 1; }
  int n_attributes() const {
    return 1 + scaled() + n_numbers() + ranged + 1;  // the last is the backend
  }
};

inline bool equal(PyObject* object, const char* text) {
  return PyUnicode_Check(object) && PyUnicode_CompareWithASCIIString(object, text) == 0;
}

inline bool bytes_range(PyObject* name, DType& bytes_as) {
  if (equal(name, "unit"))
    bytes_as = DType::u8;
  else if (equal(name, "signed"))
    bytes_as = DType::u8_signed;
  else if (equal(name, "count") || equal(name, "binary"))
    bytes_as = DType::u8_count;
  else
    return false;
  return true;
}

// The arguments that follow the tensors.
struct Attributes {
  int64_t batch_dims = 0;
  const Kernels* kernels = nullptr;
  DType bytes_as = DType::u8;
  PyObject* backend = nullptr;  // borrowed; of which the caller said nothing: null
  int n_told = 0;
  double told[kMaxOperands];

  // batch_dims, the scale if there is one, numbers, uint8_range if there is one, the backend if
  // `given_backend`
  bool read(const Plan& plan, PyObject* const* args, Py_ssize_t n, bool given_backend) {
    if (n != plan.n_attributes() - !given_backend || !PyLong_CheckExact(args[0])) return false;
    batch_dims = PyLong_AsLongLong(args[0]);
    if (batch_dims < 0) {
      PyErr_Clear();
      return false;
    }
    ++args;
    kernels = &plan.scales[0].second;
    if (plan.scaled()) {
      kernels = kernels_of(plan, *args++);
      if (kernels == nullptr) return false;
    }
    if (plan.n_numbers() > 0 && !read_numbers(plan, args)) return false;
    args += plan.n_numbers();
    bytes_as = plan.bytes_as;
    if (plan.ranged) {
      if (!given_backend && equal(*args, "count")) return false;  // no name of the public functions
      if (!bytes_range(*args++, bytes_as)) return false;
    }
    if (given_backend) backend = *args;
    return true;
  }

  // Whether that is what runs there.
  bool is_for(const Place& place) const { return backend == nullptr || place.is_of(backend); }

 private:
  static const Kernels* kernels_of(const Plan& plan, PyObject* scale) {
    for (const auto& [name, kernels] : plan.scales) {
      if (same(scale, name.ptr())) return &kernels;
    }
    return nullptr;
  }

  bool read_numbers(const Plan& plan, PyObject* const* args) {
    for (int k = 0; k < plan.n_numbers(); ++k) {
      if (!PyFloat_CheckExact(args[k])) return false;
      const double number = PyFloat_AS_DOUBLE(args[k]);
      if (plan.numbers[k].share && !(number > 0.0 && number < 1.0)) return false;
    }
    PyObject* answer = PyObject_Vectorcall(plan.told.ptr(), args, plan.numbers.size(), nullptr);
    if (answer == nullptr) throw py::error_already_set();
    const auto numbers = py::reinterpret_steal<py::tuple>(answer);
    for (const py::handle number : numbers) told[n_told++] = PyFloat_AsDouble(number.ptr());
    return true;
  }
};

}  // namespace vk::exchange
