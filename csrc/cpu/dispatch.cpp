#include "dispatch.h"

namespace vk {

// One per instruction set, each from its own compilation of ops.cpp.
#if defined(VK_X86_LEVELS)
namespace x86_64_v2 { const cpu::Backend* backend(); }
namespace x86_64_v3 { const cpu::Backend* backend(); }
namespace x86_64_v4 { const cpu::Backend* backend(); }
#else
namespace baseline { const cpu::Backend* backend(); }
#endif

namespace cpu {

#if defined(VK_X86_LEVELS)
static bool runs_v2() {
  return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

static bool runs_v3() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static bool runs_v4() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

std::vector<const Backend*> usable_backends() {
  std::vector<const Backend*> usable;
#if defined(VK_X86_LEVELS)
  __builtin_cpu_init();
  if (runs_v2() && runs_v3() && runs_v4()) usable.push_back(x86_64_v4::backend());
  if (runs_v2() && runs_v3()) usable.push_back(x86_64_v3::backend());
  if (runs_v2()) usable.push_back(x86_64_v2::backend());
#else
  usable.push_back(baseline::backend());
#endif
  return usable;
}

}  // namespace cpu
}  // namespace vk
