// e^x - 1, and the logarithm of numbers of which the distance from 1 is known exactly.
#pragma once

#include "scalar.h"

VK_BEGIN

// Within 2 ulp. phi is garbage far from 0, where it is not used.
VK_FN float expm1(float x) {
  const ExpPhi<float> e = exp_and_phi(x);
  return absolute(x) < 1.0f ? x + e.phi : e.exp - 1.0f;
}
VK_FN double expm1(double x) { return std::expm1(x); }

// log(s), given t = s - 1: to the last digits at s = 1 too. Zero gives -inf, negative s NaN.
VK_FN float log_near_one(float s, float t) {
  return log_or_limit(s, log_of_reduced(reduce_log_near_one(s, t)), -HUGE_VALF);
}
VK_FN double log_near_one(double s, double t) {
  return absolute(t) < 0.5 ? std::log1p(t) : std::log(s);
}

VK_END
