// Memory from the pool as a tensor of any library that reads DLPack
// (https://dmlc.github.io/dlpack).
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <vector>

#include "../launch.h"
#include "buffers.h"

namespace vk::cpu {

// DLPack's version 0 ABI, as every consumer still takes it.
struct DlTensor {
  void* data;
  struct {
    int32_t type, id;
  } device;
  int32_t ndim;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};

// A pool's block with the description that is handed out.
struct PooledTensor {
  PooledTensor(std::vector<int64_t> sizes, uint8_t code, uint8_t bits)
      : shape(std::move(sizes)), buffer(bytes(shape, bits)) {
    managed.tensor = {
        buffer.data(), {kCpu, 0}, static_cast<int32_t>(shape.size()), {code, bits, 1}, shape.data(),
        nullptr,       0};
    managed.context = this;
    managed.deleter = [](DlManagedTensor* self) {
      delete static_cast<PooledTensor*>(self->context);
    };
  }

  static size_t bytes(const std::vector<int64_t>& shape, uint8_t bits) {
    size_t total = bits / 8;
    for (const int64_t size : shape) total *= static_cast<size_t>(size);
    return total;
  }

  static constexpr int32_t kCpu = 1;
  std::vector<int64_t> shape;
  Buffer buffer;
  DlManagedTensor managed;
};

// A capsule for a consumer, which renames it; one that nobody consumed frees the memory itself.
inline pybind11::object pooled_tensor(std::vector<int64_t> shape, DType dtype) {
  constexpr const char* kName = "dltensor";
  constexpr uint8_t kFloat = 2, kBfloat = 4;
  const uint8_t code = dtype == DType::bf16 ? kBfloat : kFloat;
  const uint8_t bits = dtype == DType::f64 ? 64 : dtype == DType::f32 ? 32 : 16;
  auto tensor = std::make_unique<PooledTensor>(std::move(shape), code, bits);
  PyObject* capsule = PyCapsule_New(&tensor->managed, kName, [](PyObject* self) {
    if (!PyCapsule_IsValid(self, kName)) return;
    auto* unused = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(self, kName));
    unused->deleter(unused);
  });
  if (capsule == nullptr) throw pybind11::error_already_set();
  tensor.release();
  return pybind11::reinterpret_steal<pybind11::object>(capsule);
}

}  // namespace vk::cpu
