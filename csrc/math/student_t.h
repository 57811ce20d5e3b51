// log p(x) of Student's t distribution with scale e^s.
#pragma once

#include <type_traits>

#include "../core/gamma.h"
#include "scale.h"

VK_BEGIN

// With u = (x - loc) e^-s and w = u^2 / df,
//   log p = C(df) - s - (df + 1) / 2 log(1 + w),
//   C = log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi df) / 2 = L(df / 2) - log(2 pi) / 2
// with L from gamma.h. Both w and its inverse are needed where they are at most 1.
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
    T df, more, at_loc, dat_loc;
    VK_FN Prepared(T degrees)
        : df(at_most(T(0x1p100), degrees)),  // infinitely many: a Gaussian
          more(df + T(1)),
          at_loc(log_half_step(T(0.5) * df) - T(0.9189385332046727)),
          dat_loc(T(0.5) * log_half_step_derivative(T(0.5) * df)) {}
  };

  template <class T>
  VK_FN static Values<T, 1> value(T loc, T s, std::type_identity_t<Prepared<T>> p, T x) {
    const Distance<T> d(loc, s, p.df, x);
    const T further = (d.distance == T(0) ? T(1) : -p.df) * d.beyond;
    return {{p.at_loc - d.held - T(0.5) * p.more * d.log1p + further}};
  }

  // With share = w / (1 + w), log(1 + w) - share is the gap of 1 - share = 1 / (1 + w) below.
  template <class T>
  VK_FN static Values<T, 4> vjp(T g, T loc, T s, std::type_identity_t<Prepared<T>> p, T x) {
    const Distance<T> d(loc, s, p.df, x);
    const T one_plus = T(1) + d.smaller;
    const T share = (d.far ? T(1) : d.smaller) / one_plus;
    // (df + 1) u / (df + u^2) e^-h, whose first factor is next to 1 where df is large
    const T factor = p.more / ((d.far ? d.distance : p.df) * one_plus);
    const T dloc = g * (factor * (d.far ? T(1) : d.u * d.inverse_scale));
    // The gap is nearly share^2 / 2, for which what rounding w and the share lost counts twice.
    const T product = share * one_plus;
    const T share_lost = (d.smaller - product) - product_error(share, one_plus, product) -
                         share * (d.smaller - (one_plus - T(1)));
    const T lost = d.far ? T(0) : share * (share_lost + d.w_lost / one_plus);
    const T gap = log_gap((d.far ? d.smaller : T(1)) / one_plus, -share);
    const T excess = d.huge ? d.log1p + T(2) * d.beyond - T(1) : gap;
    const T ddf = fma(T(0.5), share / p.df - excess - lost, p.dat_loc);
    return {{dloc, g * fma(p.more, share, T(-1)), g * ddf, -dloc}};
  }

 private:
  template <class T>
  struct Distance {
    T held, beyond, inverse_scale;  // h, b, e^-h
    T distance, u;
    T smaller, log1p;  // `smaller`: of w and 1 / w
    T w_lost;          // by rounding; unless far
    bool far, huge;

    VK_FN Distance(T loc, T s, T df, T x) {
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
      const T w = square / df;
      const T product = w * df;
      const T residual = (square - product) - product_error(w, df, product);
      w_lost = (residual + (lost - (square - rounded))) / df;
      far = w > T(1);
      huge = w > T(0x1p60);  // soon w overflows, and u: here is its root, in two parts
      smaller = far ? T(1) / w : w;
      const T part = at_least(kTiny, inverse_scale * T(0x1p-32));  // of an infinite distance, too
      const T root = absolute(distance) * T(0x1p-32) * part;
      const T logarithm = log(huge ? root / square_root(df) : w);
      const T whole = fma(huge ? T(2) : T(1), logarithm, huge ? T(88.722839111673) : T(0));
      log1p = log1p_unit(smaller) + (far ? whole : T(0));
    }

   private:
    static constexpr T kTiny = sizeof(T) == sizeof(double) ? T(4.9e-324) : T(1.4e-45f);
    static constexpr T kLeast = sizeof(T) == sizeof(double) ? T(-700) : T(-87);
  };
};

VK_END
