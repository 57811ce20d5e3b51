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
    return {{p.at_loc - s - T(0.5) * p.more * d.log1p}};
  }

  // With share = w / (1 + w), log(1 + w) - share is the gap of 1 - share = 1 / (1 + w) below.
  template <class T>
  VK_FN static Values<T, 4> vjp(T g, T loc, T s, std::type_identity_t<Prepared<T>> p, T x) {
    const Distance<T> d(loc, s, p.df, x);
    const T one_plus = T(1) + d.smaller;
    const T share = (d.far ? T(1) : d.smaller) / one_plus;
    const T pull = (d.far ? T(1) : d.u) / ((d.far ? d.u : p.df) * one_plus);  // u / (df + u^2)
    // The gap is nearly share^2 / 2, for which what rounding w and the share lost counts twice.
    const T product = share * one_plus;
    const T share_lost = (d.smaller - product) - product_error(share, one_plus, product) -
                         share * (d.smaller - (one_plus - T(1)));
    const T lost = d.far ? T(0) : share * (share_lost + d.w_lost / one_plus);
    const T gap = log_gap((d.far ? d.smaller : T(1)) / one_plus, -share);
    const T dloc = g * (p.more * pull * d.inverse_scale);
    const T excess = d.huge ? d.log1p - T(1) : gap;
    const T ddf = fma(T(0.5), share / p.df - excess - lost, p.dat_loc);
    return {{dloc, g * fma(p.more, share, T(-1)), g * ddf, -dloc}};
  }

 private:
  template <class T>
  struct Distance {
    T inverse_scale, u, smaller, log1p;  // `smaller`: of w and 1 / w
    T w_lost;                            // by rounding; unless far
    bool far, huge;

    VK_FN Distance(T loc, T s, T df, T x) {
      inverse_scale = inverse_exp(s);
      const Rounded<T> scaled = scaled_difference(x, loc, inverse_scale);
      u = scaled.value;
      const T u_lost = fma(x - loc, rounded_exp(-s).lost, scaled.lost);
      const T rounded = u * u;
      const T lost = finite_or_zero(fma(T(2) * u, u_lost, product_error(u, u, rounded)));
      const T square = rounded + lost;
      const T w = square / df;
      const T product = w * df;
      const T residual = (square - product) - product_error(w, df, product);
      w_lost = (residual + (lost - (square - rounded))) / df;
      far = w > T(1);
      huge = w > T(0x1p60);  // soon w overflows: its root does not
      smaller = far ? T(1) / w : w;
      const T logarithm = log(huge ? absolute(u) / square_root(df) : w);
      log1p = log1p_unit(smaller) + (far ? (huge ? T(2) : T(1)) * logarithm : T(0));
    }
  };
};

VK_END
