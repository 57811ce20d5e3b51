// log p(x) of Student's t distribution with scale e^s.
#pragma once

#include <type_traits>

#include "../core/gamma.h"
#include "../core/near_one.h"
#include "scale.h"

VK_BEGIN

// With u = (x - loc) e^-s and w = u^2 / df,
//   log p = C(df) - s - (df + 1) / 2 log(1 + w),
//   C = log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi df) / 2 = L(df / 2) - log(2 pi) / 2
// with L from gamma.h. Where w would soon overflow, log(1 + w) is twice the logarithm of its root.
//
// A scale whose inverse would overflow is held, at e^h. With b = h - s, log(1 + w) of any distance
// is larger by 2 b, and in all
//   log p = C(df) - h - (df + 1) / 2 log(1 + w) - df b,   or + b at the location.
struct StudentT {
  static constexpr const char* name = "student_t_log_likelihood";
  static constexpr int uniform_input = 2;  // df

  // What depends on the degrees of freedom alone.
  template <class T>
  struct Prepared {
    T df, more, inverse, inverse_root, at_loc, dat_loc;
    VK_FN Prepared(T degrees)
        : df(at_most(T(0x1p100), degrees)),  // infinitely many: a Gaussian
          more(df + T(1)),
          inverse(limited_inverse(T(1) / df)),
          inverse_root(T(1) / square_root(df)),
          at_loc(log_half_step(T(0.5) * df) - T(0.9189385332046727)),
          dat_loc(T(0.5) * log_half_step_derivative(T(0.5) * df)) {}
  };

  template <class T>
  VK_FN static Values<T, 1> value(T loc, T s, std::type_identity_t<Prepared<T>> p, T x) {
    const Distance<T> d(loc, s, p, x);
    const T further = (d.distance == T(0) ? T(1) : -p.df) * d.beyond;
    const T log1p = d.log(log1p_or_log(d.w, d.huge, d.root));
    return {{p.at_loc - d.held - T(0.5) * p.more * log1p + further}};
  }

  // With share = w / (1 + w), log(1 + w) - share is the gap of 1 - share = 1 / (1 + w) below.
  template <class T>
  VK_FN static Values<T, 4> vjp(T g, T loc, T s, std::type_identity_t<Prepared<T>> p, T x) {
    const Distance<T> d(loc, s, p, x);
    const bool far = d.w > T(1);
    const T smaller = far ? T(1) / d.w : d.w;
    const T one_plus = T(1) + smaller, inverse = T(1) / one_plus;
    const T share = far ? inverse : smaller / one_plus;
    // (df + 1) u / (df + u^2) e^-h, whose first factor is next to 1 where df is large
    const T factor = p.more / ((far ? d.distance : p.df) * one_plus);
    const T dloc = g * (factor * (far ? T(1) : d.u * d.inverse_scale));
    // The gap is nearly share^2 / 2, for which what rounding w and the share lost counts twice.
    const T product = share * one_plus;
    const T share_lost = (smaller - product) - product_error(share, one_plus, product) -
                         share * (smaller - (one_plus - T(1)));
    const T lost = far ? T(0) : share * fma(d.w_lost, inverse, share_lost);
    const T found = gap_or_log(far ? smaller / one_plus : inverse, -share, d.huge, d.root);
    const T excess = d.huge ? d.log(found) + T(2) * d.beyond - T(1) : found;
    const T ddf = fma(T(0.5), fma(share, p.inverse, -excess) - lost, p.dat_loc);
    return {{dloc, g * fma(p.more, share, T(-1)), g * ddf, -dloc}};
  }

 private:
  template <class T>
  struct Distance {
    T held, beyond, inverse_scale;  // h, b, e^-h
    T distance, u, w;
    T w_lost;   // by rounding, where w is at most 1
    T root;     // that of w, times 2^-64, where w
    bool huge;  // is so large that it may overflow, and u too

    VK_FN Distance(T loc, T s, const Prepared<T>& p, T x) {
      held = at_least(kLeast, s);
      beyond = at_least(T(0), kLeast - s);
      inverse_scale = inverse_exp(held);
      distance = x - loc;
      const Rounded<T> scaled = scaled_difference(x, loc, inverse_scale);
      u = scaled.value;
      const T u_lost = fma(distance, rounded_exp(-held).lost, scaled.lost);
      const T rounded = u * u;
      const T lost = finite_or_zero(fma(T(2) * u, u_lost, product_error(u, u, rounded)));
      const T square = rounded + lost;
      w = square / p.df;
      const T product = w * p.df;
      const T residual = (square - product) - product_error(w, p.df, product);
      w_lost = (residual + (lost - (square - rounded))) * p.inverse;
      huge = w > T(0x1p60);
      const T part = at_least(kTiny, inverse_scale * T(0x1p-32));  // of an infinite distance, too
      root = absolute(distance) * T(0x1p-32) * part * p.inverse_root;
    }

    // log(1 + w): what was found, or that of the root
    VK_FN T log(T found) const {
      return fma(huge ? T(2) : T(1), found, huge ? T(88.722839111673) : T(0));
    }

   private:
    static constexpr T kTiny = sizeof(T) == sizeof(double) ? T(4.9e-324) : T(1.4e-45f);
    static constexpr T kLeast = sizeof(T) == sizeof(double) ? T(-700) : T(-87);
  };
};

VK_END
