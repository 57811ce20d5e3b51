// What runs the launches of a kind of device.
#pragma once

#include <pybind11/pybind11.h>

#include "../cpu/dlpack.h"
#include "../cuda/backend.h"

namespace vk::exchange {

namespace py = pybind11;

constexpr int32_t kCpuDevice = 1, kCudaDevice = 2;  // DLPack's numbers

// Where a device's work is queued, and what gives memory there. The CPU needs neither.
struct Queue {
  int device = 0;
  void* stream = nullptr;
  const cuda::Allocate& allocate;
};

struct Runners {
  void (*run)(Launch&, const Queue&) = nullptr;
  void (*run_mixture)(MixtureLaunch&, const Queue&) = nullptr;
  void (*run_softmax)(SoftmaxLaunch&, const Queue&) = nullptr;
  void (*scale)(cuda::Scaling&, const Queue&) = nullptr;  // of devices
};

// The name of capsules with some.
constexpr const char* kRunners = "vaekern.runners";

struct Machine {
  Runners runners;
  py::str backend;  // its name among the attributes of calls
  int32_t device_type = kCpuDevice;
  bool on_host = true;  // launches are over when they return, and the memory may be read
  bool enabled = false;
  uint64_t devices = 0;  // a bit for each on which the kernels are known to run

  bool takes(const cpu::DlDevice& device) const {
    const bool known = device.id >= 0 && device.id < 64 && (devices >> device.id & 1) != 0;
    return enabled && known && device.type == device_type;
  }
};

}  // namespace vk::exchange
