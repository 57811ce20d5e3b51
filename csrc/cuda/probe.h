// Whether the kernels can run: the driver may be older than their runtime, and a device older than
// all that they were compiled for. Host code.
#pragma once

#include "device.h"

VK_BEGIN

inline std::string dotted(int major, int minor) {
  return std::to_string(major) + "." + std::to_string(minor);
}

inline std::string version_name(int version) {
  return dotted(version / 1000, version % 1000 / 10);
}

inline int driver_version(const KernelInfo& info) {
  int version = 0;
  check(cudaDriverGetVersion(&version), info);
  return version;
}

// A driver knows all runtimes of its own major version.
inline std::string why_not_with_driver(int driver) {
  if (driver == 0) return "there is no NVIDIA driver";
  if (driver / 1000 >= runtime_version() / 1000) return "";
  return "the driver is for CUDA " + version_name(driver) +
         ", and the kernels were compiled with CUDA " + version_name(runtime_version());
}

struct Capability {
  int major, minor;

  Capability(int device, const KernelInfo& info)
      : major(device_attribute(cudaDevAttrComputeCapabilityMajor, device, info)),
        minor(device_attribute(cudaDevAttrComputeCapabilityMinor, device, info)) {}

  std::string why_not() const {
    return "its compute capability is " + dotted(major, minor) +
           ", and the kernels were compiled for " VK_CUDA_ARCHITECTURES;
  }
};

// Asking for a kernel's attributes loads it.
inline cudaError_t load(const void* kernel) {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, kernel);
}

// Errors that say that a device will never run a kernel. Others, as of memory that is full or of a
// capture under way, say nothing about it.
inline bool is_final(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice: return true;
    default: return false;
  }
}

// A kernel is loaded by its first launch, which drivers before that of CUDA 12.3 do not allow while
// a graph is captured ("kernels can be loaded during graph capture on more recent drivers":
// https://nvidia.github.io/warp/api_reference/_generated/warp.capture_begin.html).
constexpr int kLoadsInCaptures = 12030;

// Why kernels cannot run on a device, empty if they can. Only where `in_earnest` is one of them,
// `sample`, loaded to be sure, which makes a context; and with an old driver all of them, by
// `load_all`.
template <class LoadAll>
std::string why_unusable(int device, bool in_earnest, const void* sample, const KernelInfo& info,
                         const LoadAll& load_all) {
  const int driver = driver_version(info);
  const std::string why = why_not_with_driver(driver);
  if (!why.empty()) return why;
  const Capability capability(device, info);
  if (10 * capability.major + capability.minor < least_capability()) return capability.why_not();
  if (!in_earnest) return "";
  const DeviceGuard guard(device, info);
  const cudaError_t error = load(sample);
  if (is_final(error)) {
    cudaGetLastError();
    return capability.why_not() + " (" + cudaGetErrorString(error) + ")";
  }
  check(error, info);
  if (driver < kLoadsInCaptures) load_all();
  return "";
}

VK_END
