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

// log(1 + w) for 0 <= w < 2^100, NaN of NaN; or `elsewhere` log(s), for a positive normal s or
// infinity.
VK_FN float log1p_or_log(float w, bool elsewhere, float s) {
  const ReducedLog reduced = reduce_log(elsewhere ? s : 1.0f + w);
  const float power = power_of_minus(reduced.k);
  const float f = elsewhere ? reduced.f : fma(power, w, power - 1.0f);
  const float log = log_of_reduced({reduced.k, f});
  return elsewhere && !(s < HUGE_VALF) ? s : log;
}
VK_FN double log1p_or_log(double w, bool elsewhere, double s) {
  return elsewhere ? std::log(s) : std::log1p(w);
}

// The gap s - 1 - log(s) for s = 1 + t, 2^-100 < s <= 1, NaN of NaN; or `elsewhere` log(other), as
// above.
VK_FN float gap_or_log(float s, float t, bool elsewhere, float other) {
  const ReducedLog reduced = reduce_log(elsewhere ? other : s);
  const float power = power_of_minus(reduced.k);
  const bool near = !elsewhere && absolute(reduced.k) < 1.5f;
  const float f = near ? fma(power, t, power - 1.0f) : reduced.f;
  const float tail = minus_log1p_tail(f);
  const float gap =
      (fma(reduced.k, -kLn2High, t) - f) + fma(reduced.k, -kLn2Low, tail);
  const float log = fma(reduced.k, kLn2High, fma(reduced.k, kLn2Low, -tail) + f);
  return !elsewhere ? gap : other < HUGE_VALF ? log : other;
}
VK_FN double gap_or_log(double s, double t, bool elsewhere, double other) {
  return elsewhere ? std::log(other) : log_gap(s, t);
}

VK_END
