// Hands launches to the machine where the tensors are.
#pragma once

#include <new>

#include "tensors.h"

namespace vk::exchange {

// The stream that torch queues work on.
inline void* current_stream(const Torch& torch, const Place& place) {
  void* stream = nullptr;
  if (torch.api->current_stream(place.device.type, place.device.id, &stream) != 0) {
    throw py::error_already_set();
  }
  return stream;
}

template <class AnyLaunch>
using Run = void (*)(AnyLaunch&, const Queue&);

// Small launches are over before another thread would have got the lock.
template <class AnyLaunch>
void run_on_host(const Torch& torch, Run<AnyLaunch> run, AnyLaunch& launch, int64_t numel) {
  constexpr int64_t kSmall = 16384;
  const Queue none{0, nullptr, {}};
  launch.threads = threads_for(torch, numel);
  if (numel < kSmall) return run(launch, none);
  py::gil_scoped_release release;
  run(launch, none);
}

// The memory that a launch asks for is kept until it is queued: the stream orders reuse.
template <class AnyLaunch>
void run_on_device(const Torch& torch, const Place& place, Run<AnyLaunch> run, AnyLaunch& launch) {
  NewTensor workspace;
  const cuda::Allocate allocate = [&](size_t bytes) {
    py::gil_scoped_acquire acquire;
    const auto n = static_cast<int64_t>((bytes + sizeof(double) - 1) / sizeof(double));
    workspace = new_tensor(torch, place, &n, 1, DType::f64, false);
    if (!workspace.object) throw std::bad_alloc();
    return workspace.data;
  };
  const Queue queue{place.device.id, current_stream(torch, place), allocate};
  py::gil_scoped_release release;
  run(launch, queue);
}

template <class AnyLaunch>
void run_at(const Torch& torch, const Place& place, Run<AnyLaunch> run, AnyLaunch& launch,
            int64_t numel) {
  if (place.on_host()) return run_on_host(torch, run, launch, numel);
  run_on_device(torch, place, run, launch);
}

inline void run(const Torch& torch, const Place& place, Launch& launch) {
  const int64_t numel = launch.rows * launch.cols;
  launch.simplify();
  run_at(torch, place, place.machine->runners.run, launch, numel);
}

}  // namespace vk::exchange
