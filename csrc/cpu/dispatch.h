// Chooses the CPU backend for this machine among the instruction sets compiled in.
#pragma once

#include <string>
#include <vector>

#include "backend.h"

namespace vk::cpu {

// The instruction sets compiled in that this machine can run, best first. Never empty.
std::vector<const Backend*> usable_backends();

}  // namespace vk::cpu
