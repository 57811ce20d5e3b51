// What the fast path needs of torch: handed over once by Python, asked at every call.
#pragma once

#include "../launch.h"
#include "api.h"
#include "machine.h"

namespace vk::exchange {

// A name of an attribute, the object that Python itself looks it up by.
inline py::object interned(const char* name) {
  return py::reinterpret_steal<py::object>(PyUnicode_InternFromString(name));
}

struct Torch {
  const Api* api = nullptr;
  PyTypeObject *tensor = nullptr, *parameter = nullptr, *generator = nullptr;
  py::tuple watchers;  // functions that answer false (0, None) where nobody watches operations
  py::object forward_ad, is_grad_enabled, is_neg, threads_for;
  py::object keeps_graph;  // whether a backward that is running may run again
  py::object bytes;        // whether bytes read as intensities still deserve a look: its `unclear`
  py::object level = interned("_current_level"), requires_grad = interned("requires_grad");
  py::object unclear = interned("unclear"), default_pg = interned("default_pg");
  py::object fast = interned("fast");
  py::object unsqueeze = interned("unsqueeze"), expm1_ = interned("expm1_");
  Machine cpu, gpu, emulation;       // the last takes the CPU's place, in tests
  py::object emulated = py::none();  // where that has its runners from

  // Never destroyed: the interpreter may be gone by then.
  static Torch& instance() {
    static Torch* torch = new Torch;
    return *torch;
  }

  bool enabled() const { return cpu.enabled || gpu.enabled || emulation.enabled; }

  // Null where there is none, or it may not be used.
  const Machine* machine_of(const cpu::DlDevice& device) const {
    const Machine& machine = device.type != kCpuDevice ? gpu : emulation.enabled ? emulation : cpu;
    return machine.takes(device) ? &machine : nullptr;
  }

  bool is_tensor(PyObject* object) const {
    return Py_TYPE(object) == tensor || Py_TYPE(object) == parameter;
  }

  bool is_generator(PyObject* object) const { return Py_TYPE(object) == generator; }
};

// The answer of a function or an attribute; what raises counts as `otherwise`.
inline bool truth(PyObject* stolen, bool otherwise) {
  const int answer = stolen == nullptr ? -1 : PyObject_IsTrue(stolen);
  Py_XDECREF(stolen);
  if (answer >= 0) return answer > 0;
  PyErr_Clear();
  return otherwise;
}

// What a function returns. Raises its errors.
inline py::object called(py::handle function, PyObject* const* arguments, size_t n,
                         PyObject* keywords = nullptr) {
  PyObject* found = PyObject_Vectorcall(function.ptr(), arguments, n, keywords);
  if (found == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}

// What a method returns, of no argument or one. Raises its errors.
inline py::object called_method(py::handle object, const py::object& name,
                                py::handle argument = {}) {
  PyObject* arguments[] = {object.ptr(), argument.ptr()};
  PyObject* found = PyObject_VectorcallMethod(name.ptr(), arguments, argument ? 2 : 1, nullptr);
  if (found == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(found);
}

// Whether a kernel may be launched without asking torch's dispatcher: no transform, mode, tracer,
// profiler or forward-mode derivative is active.
inline bool nobody_watches(const Torch& torch) {
  for (const py::handle watcher : torch.watchers) {
    if (truth(PyObject_CallNoArgs(watcher.ptr()), true)) return false;
  }
  PyObject* level = PyObject_GetAttr(torch.forward_ad.ptr(), torch.level.ptr());
  const long depth = level == nullptr ? 0 : PyLong_AsLong(level);
  Py_XDECREF(level);
  if (PyErr_Occurred()) PyErr_Clear();
  return depth < 0;
}

inline bool grad_enabled(const Torch& torch) {
  return truth(PyObject_CallNoArgs(torch.is_grad_enabled.ptr()), true);
}

// Of an object that has it. Raises its errors.
inline py::object attribute(py::handle object, const py::object& name) {
  PyObject* value = PyObject_GetAttr(object.ptr(), name.ptr());
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

inline bool wants_gradient(const Torch& torch, PyObject* tensor) {
  return truth(PyObject_GetAttr(tensor, torch.requires_grad.ptr()), true);
}

inline bool bytes_deserve_a_look(const Torch& torch) {
  return truth(PyObject_GetAttr(torch.bytes.ptr(), torch.unclear.ptr()), true);
}

inline int threads_for(const Torch& torch, int64_t numel) {
  constexpr int64_t kLeast = 2 * 16384;  // see _backends/cpu.py
  if (numel < kLeast) return 1;
  const py::object answer = torch.threads_for(numel);
  return answer.cast<int>();
}

}  // namespace vk::exchange
