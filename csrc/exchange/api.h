// DLPack's C exchange API (version 1.3): a table of functions that a tensor library hands to
// others, here torch's. Through it this extension reads and makes torch tensors without torch's
// headers. https://dmlc.github.io/dlpack/latest/python_spec.html#dlpack-c-exchange-api
#pragma once

#include "../cpu/dlpack.h"

namespace vk::exchange {

struct Version {
  uint32_t major, minor;
};

struct ManagedTensor {
  Version version;
  void* context;
  void (*deleter)(ManagedTensor*);
  uint64_t flags;
  cpu::DlTensor tensor;
};

using SetError = void (*)(void* context, const char* kind, const char* message);

// Functions return 0, or -1 with a Python exception set.
struct Api {
  Version version;
  const Api* previous;
  int (*allocate)(cpu::DlTensor* prototype, ManagedTensor** out, void* error_context, SetError);
  int (*from_object)(void* object, ManagedTensor** out);
  int (*to_object)(ManagedTensor* stolen, void** out_object);
  int (*describe)(void* object, cpu::DlTensor* out);  // valid until control is returned
  int (*current_stream)(int32_t device_type, int32_t device_id, void** out_stream);
};

// The table in a capsule; null where it is of a version that is not known here.
inline const Api* api_in(PyObject* capsule) {
  constexpr uint32_t kMajor = 1;
  const auto* api = static_cast<const Api*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  if (api == nullptr) PyErr_Clear();
  while (api != nullptr && api->version.major > kMajor) api = api->previous;
  const bool usable = api != nullptr && api->version.major == kMajor && api->describe != nullptr;
  return usable ? api : nullptr;
}

}  // namespace vk::exchange
