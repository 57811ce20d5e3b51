// What a row of the table of operations (vaekern/_ops/table.py) says a call regularly looks like.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tensors.h"

namespace vk::exchange {

// What an input may be.
struct Rule {
  bool bytes = false;     // uint8
  bool booleans = false;  // bool
  bool no_gradient = false;
  bool spreads = false;  // a number, or a tensor without dimensions
  bool noise = false;    // int64[2], a seed
};

inline Rule rule_named(const std::string& name) {
  Rule rule;
  if (name == "target")
    rule.bytes = rule.booleans = true;
  else if (name == "levels")
    rule.bytes = rule.no_gradient = true;
  else if (name == "counts")
    rule.bytes = true;
  else if (name == "spread")
    rule.spreads = true;
  else if (name == "noise")
    rule.noise = true;
  else if (name != "float")
    throw py::value_error("no rule for inputs: " + name);
  return rule;
}

// Kernel numbers of one scale, -1 where there is none, and the factor that launches hand them.
struct Kernels {
  int value = -1, vjp = -1, value_and_vjp = -1;
  float factor = 1.0f;
};

struct Plan {
  py::object op;     // the operation, which `apply` wants
  py::object apply;  // makes a node of the autograd graph: (op, *arguments)
  py::object draw;   // (tensor, None) -> int64[2]: the seed of a call without one
  std::vector<Rule> inputs;
  std::vector<bool> by_datapoint;  // of each result
  std::vector<int> vjp_inputs;
  bool maskable = false;
  bool ranged = false;  // whether uint8_range is among the attributes; else it is `bytes_as`
  DType bytes_as = DType::u8;
  std::vector<std::pair<py::str, Kernels>>
      scales;  // a single one, "", where there is no such attribute
  py::str backend;

  int n_inputs() const { return static_cast<int>(inputs.size()); }
  int n_results() const { return static_cast<int>(by_datapoint.size()); }
  bool scaled() const { return scales.size() > 1; }
  int n_attributes() const { return 1 + scaled() + ranged + 1; }  // the last is the backend
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

  // batch_dims, the scale if there is one, uint8_range if there is one, the backend if
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
    bytes_as = plan.bytes_as;
    if (plan.ranged) {
      if (!bytes_range(*args++, bytes_as)) return false;
      // What else a caller may choose is the operation's business.
      if (!given_backend && bytes_as != DType::u8) return false;
    }
    return !given_backend || same(*args, plan.backend.ptr());
  }

 private:
  static bool same(PyObject* a, PyObject* b) {
    return a == b || (PyUnicode_Check(a) && PyUnicode_Compare(a, b) == 0);
  }

  static const Kernels* kernels_of(const Plan& plan, PyObject* scale) {
    for (const auto& [name, kernels] : plan.scales) {
      if (same(scale, name.ptr())) return &kernels;
    }
    return nullptr;
  }
};

}  // namespace vk::exchange
