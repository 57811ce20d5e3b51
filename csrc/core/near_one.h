// e^x - 1, and the logarithm of numbers of which the distance from 1 is known exactly.
#pragma once

#include "scalar.h"

VK_BEGIN

// Within 2 ulp for x <= 1, garbage beyond. (So is phi far from 0, where it is not used.)
VK_FN float expm1_to_one(float x) {
  const ReducedExp reduced = reduce_exp(at_least(-105.0f, x), 64.0f);
  const ExpPhi<float> e = exp_and_phi_of_reduced(reduced, 0x1p-64f);
  return absolute(x) < 1.0f ? x + e.phi : e.exp - 1.0f;
}
VK_FN double expm1_to_one(double x) { return std::expm1(x); }

// log(s), given t = s - 1: to the last digits at s = 1 too. Zero gives -inf, negative s NaN.
VK_FN float log_near_one(float s, float t) {
  return log_or_limit(s, log_of_reduced(reduce_log_near_one(s, t)), -HUGE_VALF);
}
VK_FN double log_near_one(double s, double t) {
  return absolute(t) < 0.5 ? std::log1p(t) : std::log(s);
}

VK_END
