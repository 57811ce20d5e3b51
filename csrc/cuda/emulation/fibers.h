// Stacks to switch between: what the threads of an emulated block run on.
//
// ucontext makes a stack's first frame, but swapcontext calls the kernel for the signal mask each
// time; _setjmp and _longjmp switch afterwards, in some nanoseconds.
#pragma once

#include <csetjmp>
#include <cstddef>

namespace vk_emulation {

class Fiber {
 public:
  Fiber() : started_(true) {}  // stands for the stack that is running already
  Fiber(void (*entry)(), int number);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `from`, which is running, for this one. Returns when something switches back.
  void switch_from(Fiber& from);

  // Forgets what the fiber was doing: the next switch to it calls its entry again.
  void abandon();

 private:
  void start();
  void arrive();

  void (*entry_)() = nullptr;
  char* stack_ = nullptr;
  size_t size_ = 0;
  bool started_ = false;  // its registers are in registers_
  jmp_buf registers_;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  const void* sanitized_stack_ = nullptr;
  size_t sanitized_size_ = 0;
};

}  // namespace vk_emulation
