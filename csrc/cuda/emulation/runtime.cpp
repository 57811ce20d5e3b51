#include "runtime.h"

#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "scheduler.h"

// One for each device that is in use.
struct CUctx_st {
  int device;
  std::set<const void*> loaded;
};

namespace vk_emulation {

namespace {

constexpr int kLeastCapability = 80;
constexpr int kLoadsInCaptures = 12030;

Machine machine;
std::map<int, CUctx_st> contexts;
std::map<uintptr_t, int> streams;  // whose device
std::vector<LaunchRecord> launched;
bool capturing = false, spoilt = false;
cudaError_t next_failure = cudaSuccess;

thread_local cudaError_t last_error = cudaSuccess;
thread_local CUcontext current = nullptr;
thread_local int chosen = 0;  // the device to make a context on, if none is current

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

bool exists(int device) { return device >= 0 && device < static_cast<int>(machine.devices.size()); }

CUcontext context_on(int device) {
  return &contexts.try_emplace(device, CUctx_st{device, {}}).first->second;
}

CUcontext context() {
  if (current == nullptr) current = context_on(chosen);
  return current;
}

cudaError_t load(const void* kernel) {
  const Device& device = machine.devices[context()->device];
  if (10 * device.major + device.minor < kLeastCapability || !device.has_code) {
    return cudaErrorNoKernelImageForDevice;
  }
  if (kernel == nullptr || current->loaded.count(kernel) != 0) return cudaSuccess;
  if (capturing && machine.driver < kLoadsInCaptures) {
    spoilt = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  current->loaded.insert(kernel);
  return cudaSuccess;
}

cudaError_t fault_of_launch(const void* kernel, unsigned grid, unsigned block, uintptr_t stream) {
  if (next_failure != cudaSuccess) return std::exchange(next_failure, cudaSuccess);
  if (grid == 0 || grid > 0x7FFFFFFFu || block == 0 || block > kMaxThreads) {
    return cudaErrorInvalidConfiguration;
  }
  const cudaError_t error = load(kernel);
  if (error != cudaSuccess) return error;
  const auto found = streams.find(stream);
  const bool elsewhere = found != streams.end() && found->second != current->device;
  return elsewhere ? cudaErrorInvalidResourceHandle : cudaSuccess;
}

CUresult get_current(CUcontext* context) {
  *context = current;
  return CUDA_SUCCESS;
}

CUresult set_current(CUcontext context) {
  current = context;
  return CUDA_SUCCESS;
}

}  // namespace

void set_machine(const Machine& wanted) {
  machine = wanted;
  contexts.clear();
  streams.clear();
  launched.clear();
  capturing = spoilt = false;
  next_failure = last_error = cudaSuccess;
  current = nullptr;
  chosen = 0;
}

int runtime_version() { return machine.runtime; }

int least_capability() { return kLeastCapability; }

bool admit_launch(const void* kernel, unsigned grid, unsigned block, cudaStream_t stream) {
  const auto handle = reinterpret_cast<uintptr_t>(stream);
  if (report(fault_of_launch(kernel, grid, block, handle)) != cudaSuccess) return false;
  launched.push_back({current->device, handle, grid, block, capturing});
  return !capturing;
}

std::vector<LaunchRecord> take_launches() { return std::exchange(launched, {}); }

bool has_context(int device) { return contexts.count(device) != 0; }

int loaded_kernels(int device) {
  return has_context(device) ? static_cast<int>(contexts.at(device).loaded.size()) : 0;
}

int current_context() { return current == nullptr ? -1 : current->device; }

void use_device(int device) { current = device < 0 ? nullptr : context_on(device); }

uintptr_t new_stream(int device) {
  const uintptr_t handle = 0x1000 + streams.size();
  streams[handle] = device;
  return handle;
}

void begin_capture() {
  capturing = true;
  spoilt = false;
}

bool end_capture() {
  capturing = false;
  return !spoilt;
}

void fail_next_launch(int error) { next_failure = static_cast<cudaError_t>(error); }

}  // namespace vk_emulation

using namespace vk_emulation;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle";
    case cudaErrorLaunchOutOfResources: return "too many resources requested for launch";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default: return "unknown error";
  }
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine.driver;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (!exists(device)) return report(cudaErrorInvalidDevice);
  const Device& found = machine.devices[device];
  if (attribute == cudaDevAttrMultiProcessorCount) *value = found.processors;
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = found.major;
  if (attribute == cudaDevAttrComputeCapabilityMinor) *value = found.minor;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current == nullptr ? chosen : current->device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (!exists(device)) return report(cudaErrorInvalidDevice);
  chosen = device;
  current = context_on(device);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void* kernel) {
  return report(load(kernel));
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                             unsigned long long) {
  *function = nullptr;
  if (std::strcmp(name, "cuCtxGetCurrent") == 0) {
    *function = reinterpret_cast<void*>(get_current);
  } else if (std::strcmp(name, "cuCtxSetCurrent") == 0) {
    *function = reinterpret_cast<void*>(set_current);
  }
  return cudaSuccess;
}
