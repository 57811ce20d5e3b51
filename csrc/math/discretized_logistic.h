// log P(bin of x) of a logistic distribution with scale e^s over the 256 levels of [-1, 1].
#pragma once

#include <type_traits>

#include "scale.h"

VK_BEGIN

// e^-w and 1 - e^-w for w >= 0
template <class T>
struct Decay {
  T left, gone;

  VK_FN explicit Decay(T w) {
    const ExpPhi<T> e = exp_and_phi(-w);
    left = e.exp;
    gone = w < T(1) ? w - e.phi : T(1) - e.exp;
  }
};

// Half the width of a bin, 1/255, in two parts.
template <class T>
constexpr T kHalfBin = T(1) / T(255);
template <class T>
constexpr T kHalfBinLow = sizeof(T) == sizeof(double) ? T(5.442269728554689e-20)
                                                      : T(-2.319175823062074e-10);

// With u- and u+ the bin's ends in units of e^s, w = u+ - u- and S(u) = 1 / (1 + e^-u),
//   P = S(u+) - S(u-) = S(u+) S(-u-) (1 - e^-w),
// so that with p = e^-|u+|, q = e^-|u-| and a = e^-w nothing cancels in
//   -log P = max(-u+, 0) + max(u-, 0) + log(1 + (p + q + p q + a) / (1 - a)).
// The lowest bin has no lower end and the highest no upper one: there, the terms of an end at
// infinity vanish, and with them a. A scale so wide that w would lose its digits has
//   -log P = ... + log(p + q + p q + a) - log w
// instead. (What such cases change are numbers, chosen by one comparison each: compilers keep a loop
// scalar where conditions are combined.)
struct DiscretizedLogistic {
  static constexpr const char* name = "discretized_logistic_log_likelihood";
  static constexpr int uniform_input = 1;  // s

  // What depends on s alone.
  template <class T>
  struct Prepared {
    Units<T> units;
    T left, pull;
    T one, inverse_gone, less_log_width;  // 0, 1 and -log w for a wide scale, else less_log_width 0

    VK_FN Prepared(T s) : units(unlimited_inverse_exp(s)) {
      const T w = T(2) * kHalfBin<T> * units.finite;
      const Decay<T> decay(w);
      const T inverse = T(1) / decay.gone;
      left = decay.left;
      pull = s > T(40) ? T(1) : w * left * inverse;  // w / (e^w - 1)
      one = s > T(40) ? T(0) : T(1);
      inverse_gone = s > T(40) ? T(1) : inverse;
      less_log_width = s > T(40) ? s + T(4.848116364598481) : T(0);  // log(255 / 2)
    }
  };

  template <class T>
  VK_FN static Values<T, 1> value(T loc, std::type_identity_t<Prepared<T>> at, T x) {
    const Bin<T> bin(loc, at, x);
    const T numerator = fma(bin.p, bin.q, bin.edge(T(0), at.left)) + (bin.p + bin.q);
    const T one = bin.edge(T(1), at.one);
    const T ratio = numerator * bin.edge(T(1), at.inverse_gone);
    const T sum = one + ratio;
    const T lost = finite_or_zero(ratio - (sum - one)) / sum;
    const T logarithm = log(sum) + (bin.edge(T(0), at.less_log_width) + lost);
    const T beyond = (bin.highest ? T(0) : at_least(T(0), -bin.upper)) +
                     (bin.lowest ? T(0) : at_least(T(0), bin.lower));
    return {{-(beyond + logarithm)}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(T g, T loc, std::type_identity_t<Prepared<T>> at, T x) {
    const Bin<T> bin(loc, at, x);
    // S(-u+) and S(u-)
    const T above = bin.highest ? T(0) : (bin.upper >= T(0) ? bin.p : T(1)) / (T(1) + bin.p);
    const T below = bin.lowest ? T(0) : (bin.lower >= T(0) ? T(1) : bin.q) / (T(1) + bin.q);
    const T dloc = g * at.units.of(below - above);
    const T of_upper = above == T(0) ? T(0) : above * bin.upper;  // at infinity too
    const T of_lower = below == T(0) ? T(0) : below * bin.lower;
    return {{dloc, g * (of_lower - of_upper - bin.edge(T(0), at.pull)), -dloc}};
  }

 private:
  template <class T>
  struct Bin {
    T lower, upper;  // u-, u+
    T p, q;          // 0 for an end at infinity
    T distance;      // of x from 0
    bool lowest, highest;

    VK_FN Bin(T loc, const Prepared<T>& at, T x)
        : distance(absolute(x)), lowest(x < T(-0.999)), highest(x > T(0.999)) {
      const Rounded<T> centre = difference(x, loc);
      upper = at.units.of(end(centre, -kHalfBin<T>, -kHalfBinLow<T>));
      lower = at.units.of(end(centre, kHalfBin<T>, kHalfBinLow<T>));
      p = highest ? T(0) : exp_of_minus(absolute(upper));
      q = lowest ? T(0) : exp_of_minus(absolute(lower));
    }

    // At the ends of the levels, and between them.
    VK_FN T edge(T there, T inside) const { return distance > T(0.999) ? there : inside; }

    // centre - half, to the last digit where they nearly cancel too
    VK_FN static T end(Rounded<T> centre, T half, T half_low) {
      const Rounded<T> d = difference(centre.value, half);
      return d.value + finite_or_zero(d.lost + (centre.lost - half_low));
    }
  };
};

VK_END
