// A program of the build: names the best instruction set of the machine that compiles.

#include <cstdio>

#include "levels.h"

int main() {
  __builtin_cpu_init();
  using namespace vk::cpu;
  std::puts(runs_x86_64_v4() ? "x86_64_v4" : runs_x86_64_v3() ? "x86_64_v3" : "x86_64_v2");
}
