// Reads torch tensors, and makes new ones.
#pragma once

#include <algorithm>

#include "torch.h"

namespace vk::exchange {

constexpr int kMaxTensorDims = 16;

// Whether all arguments are tuples.
inline bool are_tuples(PyObject* const* args, Py_ssize_t n) {
  return std::all_of(args, args + n, [](PyObject* each) { return PyTuple_CheckExact(each); });
}

// How many of at most `most` dimensions. False, without an exception, where it is no such number.
inline bool read_dims(PyObject* object, int64_t most, int64_t& dims) {
  if (!PyLong_CheckExact(object)) return false;
  dims = PyLong_AsLongLong(object);
  if (PyErr_Occurred()) PyErr_Clear();
  return dims >= 0 && dims <= most;
}

struct Operand {
  PyObject* object = nullptr;  // borrowed
  cpu::DlTensor view;
  DType dtype = DType::f32;
  bool is_seed = false;  // int64[2]

  int ndim() const { return view.ndim; }
  int64_t size(int d) const { return view.shape[d]; }
  const void* data() const { return static_cast<const char*>(view.data) + view.byte_offset; }

  int64_t numel(int first = 0, int last = -1) const {
    int64_t n = 1;
    for (int d = first; d < (last < 0 ? ndim() : last); ++d) n *= size(d);
    return n;
  }

  bool has_shape_of(const Operand& other) const { return has_sizes(other, other.ndim()); }

  // Whether the shape is another's first dimensions.
  bool has_sizes(const Operand& other, int dims) const {
    if (ndim() != dims) return false;
    for (int d = 0; d < dims; ++d) {
      if (size(d) != other.size(d)) return false;
    }
    return true;
  }

  bool is_contiguous() const {
    int64_t step = 1;
    for (int d = ndim() - 1; d >= 0 && view.strides != nullptr; --d) {
      if (size(d) != 1 && view.strides[d] != step) return false;
      step *= size(d);
    }
    return true;
  }
};

// Of floating-point numbers, bytes and booleans.
inline bool dtype_of(const cpu::DlTensor& view, DType& dtype) {
  enum { kUint = 1, kFloat = 2, kBfloat = 4, kBool = 6 };
  switch (view.dtype.code * 256 + view.dtype.bits) {
    case kFloat * 256 + 32: dtype = DType::f32; return true;
    case kFloat * 256 + 64: dtype = DType::f64; return true;
    case kFloat * 256 + 16: dtype = DType::f16; return true;
    case kBfloat * 256 + 16: dtype = DType::bf16; return true;
    case kUint * 256 + 8: dtype = DType::u8; return true;
    case kBool * 256 + 8: dtype = DType::boolean; return true;
    default: return false;
  }
}

inline bool is_float(DType dtype) { return dtype <= DType::f16; }

inline bool is_int64_pair(const cpu::DlTensor& view) {
  return view.dtype.code == 0 && view.dtype.bits == 64 && view.ndim == 1 && view.shape[0] == 2 &&
         (view.strides == nullptr || view.strides[0] == 1);
}

inline bool same(PyObject* a, PyObject* b) {
  return a == b || (PyUnicode_Check(a) && PyUnicode_Compare(a, b) == 0);
}

// Where a call's tensors are: where the first that is read is.
struct Place {
  const Machine* machine = nullptr;
  cpu::DlDevice device{};

  bool on_host() const { return machine->on_host; }
  bool is_of(PyObject* backend) const { return same(backend, machine->backend.ptr()); }

  bool holds(const Torch& torch, const cpu::DlDevice& other) {
    if (machine == nullptr) {
      machine = torch.machine_of(other);
      device = other;
    }
    return machine != nullptr && device == other;
  }
};

// False, without an exception, for all but ordinary dense tensors there whose memory is what it
// says.
inline bool read_view(const Torch& torch, Place& place, PyObject* object, Operand& operand) {
  if (!torch.is_tensor(object)) return false;
  operand.object = object;
  if (torch.api->describe(object, &operand.view) != 0) {
    PyErr_Clear();
    return false;
  }
  const cpu::DlTensor& view = operand.view;
  if (view.data == nullptr || view.dtype.lanes != 1) return false;
  if (!place.holds(torch, view.device)) return false;
  return !truth(PyObject_CallOneArg(torch.is_neg.ptr(), object), true);
}

// Likewise, and of a dtype that kernels read.
inline bool read(const Torch& torch, Place& place, PyObject* object, Operand& operand) {
  if (!read_view(torch, place, object, operand)) return false;
  operand.is_seed = is_int64_pair(operand.view);
  return operand.is_seed || dtype_of(operand.view, operand.dtype);
}

inline void set_error(void*, const char*, const char* message) {
  PyErr_SetString(PyExc_RuntimeError, message);
}

struct NewTensor {
  py::object object;
  void* data = nullptr;
};

inline NewTensor as_tensor(const Torch& torch, ManagedTensor* managed) {
  NewTensor made;
  made.data = static_cast<char*>(managed->tensor.data) + managed->tensor.byte_offset;
  void* object = nullptr;
  if (torch.api->to_object(managed, &object) != 0) {
    PyErr_Clear();
    return {};
  }
  made.object = py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
  return made;
}

// By torch's allocator. Nothing where there is no memory.
inline NewTensor new_tensor(const Torch& torch, const Place& place, cpu::DlTensor& prototype) {
  prototype.device = place.device;
  ManagedTensor* managed = nullptr;
  if (torch.api->allocate(&prototype, &managed, nullptr, set_error) != 0) {
    PyErr_Clear();
    return {};
  }
  return as_tensor(torch, managed);
}

// Contiguous. Large ones of the CPU, if they may be `pooled`, come from the pool (cpu/buffers.h).
// Nothing where there is no memory.
inline NewTensor new_tensor(const Torch& torch, const Place& place, const int64_t* shape, int ndim,
                            DType dtype, bool pooled) {
  constexpr int64_t kPooled = 2 << 20;  // see _backends/cpu.py
  int64_t bytes = cpu::bits_of(dtype) / 8;
  for (int d = 0; d < ndim; ++d) bytes *= shape[d];
  if (pooled && place.on_host() && bytes >= kPooled) {
    auto* managed = cpu::pooled_tensor<ManagedTensor>({shape, shape + ndim}, dtype);
    managed->version = {1, 0};
    managed->flags = 0;
    return as_tensor(torch, managed);
  }
  cpu::DlTensor prototype{};
  prototype.ndim = ndim;
  prototype.dtype = {cpu::code_of(dtype), cpu::bits_of(dtype), 1};
  prototype.shape = const_cast<int64_t*>(shape);
  return new_tensor(torch, place, prototype);
}

// int64[2]: for a seed and a stream.
inline NewTensor new_seed(const Torch& torch, const Place& place) {
  int64_t two = 2;
  cpu::DlTensor prototype{};
  prototype.ndim = 1;
  prototype.dtype = {0, 64, 1};
  prototype.shape = &two;
  return new_tensor(torch, place, prototype);
}

// Without dimensions.
inline NewTensor new_number(const Torch& torch, const Place& place, double value, DType dtype) {
  NewTensor made = new_tensor(torch, place, nullptr, 0, dtype, false);
  if (!made.object) return made;
  if (!place.on_host())
    made.object.attr("fill_")(value);
  else if (dtype == DType::f64)
    *static_cast<double*>(made.data) = value;
  else
    *static_cast<float*>(made.data) = static_cast<float>(value);
  return made;
}

}  // namespace vk::exchange
