// Memory from the pool as a tensor of any library that reads DLPack
// (https://dmlc.github.io/dlpack).
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "../launch.h"
#include "buffers.h"

namespace vk::cpu {

struct DlDevice {
  int32_t type, id;
  bool operator==(const DlDevice&) const = default;
};

struct DlTensor {
  void* data;
  DlDevice device;
  int32_t ndim;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

// DLPack's version 0 ABI, as every consumer still takes it.
struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};

// Of floating-point dtypes.
inline uint8_t code_of(DType dtype) { return dtype == DType::bf16 ? 4 : 2; }
inline uint8_t bits_of(DType dtype) {
  return dtype == DType::f64 ? 64 : dtype == DType::f32 ? 32 : 16;
}

// A pool's block with the description that is handed out: a DlManagedTensor, or another version's.
template <class Managed>
struct PooledTensor {
  PooledTensor(std::vector<int64_t> sizes, DType dtype)
      : shape(std::move(sizes)), buffer(bytes(shape, bits_of(dtype))), managed{} {
    managed.tensor = {buffer.data(),
                      {kCpu, 0},
                      static_cast<int32_t>(shape.size()),
                      {code_of(dtype), bits_of(dtype), 1},
                      shape.data(),
                      nullptr,
                      0};
    managed.context = this;
    managed.deleter = [](Managed* self) { delete static_cast<PooledTensor*>(self->context); };
  }

  static size_t bytes(const std::vector<int64_t>& shape, uint8_t bits) {
    size_t total = bits / 8;
    for (const int64_t size : shape) total *= static_cast<size_t>(size);
    return total;
  }

  static constexpr int32_t kCpu = 1;
  std::vector<int64_t> shape;
  Buffer buffer;
  Managed managed;
};

// Whoever takes it calls its deleter.
template <class Managed>
Managed* pooled_tensor(std::vector<int64_t> shape, DType dtype) {
  return &(new PooledTensor<Managed>(std::move(shape), dtype))->managed;
}

// A capsule for a consumer, which renames it; one that nobody consumed frees the memory itself.
inline pybind11::object pooled_capsule(std::vector<int64_t> shape, DType dtype) {
  constexpr const char* kName = "dltensor";
  DlManagedTensor* managed = pooled_tensor<DlManagedTensor>(std::move(shape), dtype);
  PyObject* capsule = PyCapsule_New(managed, kName, [](PyObject* self) {
    if (!PyCapsule_IsValid(self, kName)) return;
    auto* unused = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(self, kName));
    unused->deleter(unused);
  });
  if (capsule == nullptr) {
    managed->deleter(managed);
    throw pybind11::error_already_set();
  }
  return pybind11::reinterpret_steal<pybind11::object>(capsule);
}

}  // namespace vk::cpu
