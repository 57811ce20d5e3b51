#include "fibers.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <new>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VK_EMULATION_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define VK_EMULATION_SANITIZED
#endif
#if defined(VK_EMULATION_SANITIZED)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace vk_emulation {

namespace {

#if defined(VK_EMULATION_SANITIZED)
constexpr size_t kStackBytes = 512 << 10;  // the sanitizer's frames are large
#else
constexpr size_t kStackBytes = 64 << 10;
#endif

Fiber* left = nullptr;     // by the switch that is under way
Fiber* entered = nullptr;  // by it

}  // namespace

Fiber::Fiber(void (*entry)(), int number) : entry_(entry) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory =
      mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, page, PROT_NONE);  // an overflow faults instead of reaching another stack
  stack_ = static_cast<char*>(memory) + page;
  // Stacks that all began at the same address within a page would share a few lines of the cache.
  size_ = kStackBytes - static_cast<size_t>(number % 32) * 128;
  sanitized_stack_ = stack_;
  sanitized_size_ = size_;
}

void Fiber::switch_from(Fiber& from) {
  if (_setjmp(from.registers_) == 0) {
    left = &from;
    entered = this;
#if defined(VK_EMULATION_SANITIZED)
    __sanitizer_start_switch_fiber(&from.fake_stack_, sanitized_stack_, sanitized_size_);
#endif
    if (started_) _longjmp(registers_, 1);
    start();
  }
  from.arrive();
}

void Fiber::start() {
  started_ = true;
  static ucontext_t context;  // not in this frame, which is never returned to
  getcontext(&context);
  context.uc_stack.ss_sp = stack_;
  context.uc_stack.ss_size = size_;
  context.uc_link = nullptr;
  makecontext(
      &context,
      [] {
        entered->arrive();
        entered->entry_();
      },
      0);
  setcontext(&context);
}

void Fiber::arrive() {
#if defined(VK_EMULATION_SANITIZED)
  const void* stack;
  size_t size;
  __sanitizer_finish_switch_fiber(fake_stack_, &stack, &size);
  if (left->entry_ == nullptr) {
    left->sanitized_stack_ = stack;
    left->sanitized_size_ = size;
  }
#endif
}

void Fiber::abandon() {
  started_ = false;
  fake_stack_ = nullptr;
#if defined(VK_EMULATION_SANITIZED)
  __asan_unpoison_memory_region(stack_, size_);
#endif
}

}  // namespace vk_emulation
