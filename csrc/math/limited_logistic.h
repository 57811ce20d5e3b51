// log P(bin of x) of a logistic distribution over the 256 levels of [-1, 1] whose scale e^s is at
// least e^-7, as in mixtures: with S(u) = 1 / (1 + e^-u), c = (x - loc) e^-s and h = e^-s / 255,
//   P = S(c + h) - S(c - h) = sinh(h) / (cosh(h) + cosh(c))
// where the bound keeps sinh and cosh small. The lowest bin has no lower end and the highest no
// upper one; there, P = S(h + c) and S(h - c). With e = e^-|c|, or e^-|h +- c|, all of them are
//   log P = shift + log(numerator / denominator)
// with a ratio whose products over colours are normal numbers: one logarithm does for them
// together.
//
// Errors are a few ulps of 1, or of what the parameters' own rounding makes of them. A sum over a
// mixture needs no more; digits of a P next to 1 are what DiscretizedLogistic takes more steps for.
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// sinh(z) / z for 0 <= z <= 2.16
VK_FN float short_sinhc(float z) {
  return polynomial(z * z, 1.0f, 0.166666671634f, 0.00833330582827f, 0.000198439360247f,
                    2.74420949609e-6f, 2.73115947635e-8f);
}
VK_FN double short_sinhc(double z) {
  double series = 1.0;  // 1 + z^2 / (2 * 3) (1 + z^2 / (4 * 5) (1 + ...
  for (int n = 26; n >= 2; n -= 2) series = fma(series, z * z / (n * (n + 1)), 1.0);
  return series;
}

template <class T>
struct LimitedLogistic {
  static constexpr T kLeastLogScale = T(-7);

  T shift, numerator, denominator;

  VK_FN LimitedLogistic(T loc, T log_scale, T x)
      : at_edge_(absolute(x) > T(0.999)),
        limited_(log_scale < kLeastLogScale),
        direction_(x < T(0) ? T(1) : T(-1)) {
    const T s = at_least(kLeastLogScale, log_scale);
    inverse_scale_ = exp(-s);
    const T half = inverse_scale_ * T(0.5 / 255.0);  // h / 2, from which the two follow
    const T half_sinhc = short_sinhc(half);
    const T sinh_squared = (half * half_sinhc) * (half * half_sinhc);
    h_ = half + half;
    cosh_ = fma(T(2), sinh_squared, T(1));
    sinhc_ = half_sinhc * square_root(T(1) + sinh_squared);
    const T centre = direction_ * ((x - loc) * inverse_scale_);
    u_ = at_edge_ ? h_ + centre : centre;
    e_ = exp_of_minus(absolute(u_));
    const T log_width = T(-4.848116364598481) - s;  // log(2 h)
    shift = at_edge_ ? at_most(T(0), u_) : log_width - absolute(u_);
    numerator = at_edge_ ? T(1) : sinhc_;
    denominator = fma(e_, at_edge_ ? T(1) : fma(T(2), cosh_, e_), T(1));
  }

  // The derivatives of log P with respect to loc and log_scale, given 1 / denominator.
  VK_FN Values<T, 2> gradients(T inverse_denominator) const {
    // d log P/du, on either side of 0: between the ends they differ by the sign, at an end it is S(-u).
    const T falling = at_edge_ ? T(1) : fma(-e_, e_, T(1));
    const T rising = at_edge_ ? e_ : -falling;
    const T slope = (u_ < T(0) ? falling : rising) * inverse_denominator;
    const T of_u = slope == T(0) ? T(0) : slope * u_;  // at infinity too
    const T of_sinh = T(2) * e_ * (h_ * h_) * sinhc_ * inverse_denominator;
    const T of_h = at_edge_ ? T(0) : cosh_ / sinhc_ - of_sinh;
    return {{-direction_ * (slope * inverse_scale_), limited_ ? T(0) : -(of_u + of_h)}};
  }

 private:
  bool at_edge_, limited_;
  T direction_;  // 1 and u = c or h + c below 0, -1 and u = -c or h - c above
  T inverse_scale_, h_, sinhc_, cosh_, u_, e_;
};

VK_END
