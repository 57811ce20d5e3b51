#include "dispatch.h"

#if defined(VK_X86_LEVELS)
#include "levels.h"
#endif

namespace vk {

// One per instruction set, each from its own compilation of ops.cpp.
namespace x86_64_v2 { const cpu::Backend* backend(); }
namespace x86_64_v3 { const cpu::Backend* backend(); }
namespace x86_64_v4 { const cpu::Backend* backend(); }
namespace baseline { const cpu::Backend* backend(); }

namespace cpu {

std::vector<const Backend*> usable_backends() {
  std::vector<const Backend*> usable;
#if defined(VK_X86_LEVELS)
  __builtin_cpu_init();
#if defined(VK_HAS_x86_64_v4)
  if (runs_x86_64_v4()) usable.push_back(x86_64_v4::backend());
#endif
#if defined(VK_HAS_x86_64_v3)
  if (runs_x86_64_v3()) usable.push_back(x86_64_v3::backend());
#endif
#if defined(VK_HAS_x86_64_v2)
  if (runs_x86_64_v2()) usable.push_back(x86_64_v2::backend());
#endif
#else
  usable.push_back(baseline::backend());
#endif
  return usable;
}

}  // namespace cpu
}  // namespace vk
