// Which device launches go to, and what is known of it. Host code.
#pragma once

#include <stdexcept>
#include <string>

#include "../launch.h"
#include "runtime.cuh"

VK_BEGIN

[[noreturn]] inline void fail(const KernelInfo& info, const std::string& why) {
  std::string name = info.op;
  if (*info.scale != '\0') name += std::string(" (") + info.scale + ")";
  if (*info.variant != '\0') name += std::string(", ") + info.variant;
  throw std::runtime_error("CUDA kernel " + name + ": " + why);
}

// The runtime forgets an error that is reported here: the next launch asks for the last one, and
// would take it for its own.
inline void check(cudaError_t error, const KernelInfo& info) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  fail(info, cudaGetErrorString(error));
}

// Makes a device current to the calling thread, and afterwards whatever was: that very context, or
// none. (cudaSetDevice would make a context on a device that the process may never use.)
class DeviceGuard {
 public:
  DeviceGuard(int device, const KernelInfo& info) {
    int current = 0;
    check(get_context(&previous_), info);
    check(cudaGetDevice(&current), info);
    if (previous_ != nullptr && current == device) return;
    check(cudaSetDevice(device), info);
    changed_ = true;
  }
  ~DeviceGuard() {
    if (changed_) set_context(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  CUcontext previous_ = nullptr;
  bool changed_ = false;
};

// Asking the runtime for this makes no context.
inline int device_attribute(cudaDeviceAttr attribute, int device, const KernelInfo& info) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, attribute, device), info);
  return value;
}

VK_END
