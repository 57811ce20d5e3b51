// The CUDA runtime's part in launches: devices, contexts, streams, captures, errors. As much of it
// as the library's host code calls, with the answers of whatever machine a test asks for.
#pragma once

#include <cstdint>
#include <vector>

#define CUDART_VERSION 13000

using CUcontext = struct CUctx_st*;
enum CUresult { CUDA_SUCCESS = 0 };
using cudaStream_t = void*;

// By CUDA's numbers.
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDeviceFunction = 98,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidPtx = 218,
  cudaErrorJitCompilerNotFound = 221,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorJitCompilationDisabled = 223,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorSystemDriverMismatch = 803,
  cudaErrorCompatNotSupportedOnDevice = 804,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorUnknown = 999
};

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76
};
constexpr unsigned long long cudaEnableDefault = 0;
struct cudaFuncAttributes {};

const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags);

namespace vk_emulation {

struct Device {
  int major = 8, minor = 0;
  int processors = 2;
  bool has_code = true;  // among the compiled
};

struct Machine {
  int driver = CUDART_VERSION;  // 0: none
  int runtime = CUDART_VERSION;
  std::vector<Device> devices{Device()};
};

// Forgets all contexts, streams, launches and errors.
void set_machine(const Machine& machine);

// What the kernels were compiled with, and for at least.
int runtime_version();
int least_capability();

// Whether a launch may run now. If not, it is captured, or an error is left behind.
bool admit_launch(const void* kernel, unsigned grid, unsigned block, cudaStream_t stream);

struct LaunchRecord {
  int device;
  uintptr_t stream;
  unsigned grid, block;
  bool captured;
};
std::vector<LaunchRecord> take_launches();

bool has_context(int device);
int loaded_kernels(int device);
int current_context();  // its device, -1 if none is current to this thread

// What another copy of the runtime would do: makes a context, if need be, and makes it current; -1
// for none.
void use_device(int device);
uintptr_t new_stream(int device);
void begin_capture();
bool end_capture();  // whether nothing has spoilt it
void fail_next_launch(int error);

}  // namespace vk_emulation
