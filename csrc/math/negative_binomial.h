// log p(x) of a negative binomial count with mean e^m and inverse dispersion e^r.
#pragma once

#include <type_traits>

#include "count.h"

VK_BEGIN

// The shares p = theta / (theta + mu) and q = mu / (theta + mu) of theta = e^r and mu = e^m.
template <class T>
struct Shares {
  T d, a, log1p;  // d = log(mu / theta), a = e^-|d|, log(1 + a)
  bool dispersed; // mu >= theta
  T p, q, p_lost, q_lost;

  VK_FN Shares(T m, T r) {
    const Rounded<T> difference_of_logs = difference(m, r);
    d = m == r ? T(0) : difference_of_logs.value;  // also where both are infinite
    dispersed = !(d < T(0));
    const T d_lost = finite_or_zero(difference_of_logs.lost);
    const Rounded<T> power = rounded_exp(-absolute(d));
    const T missing = fma(power.value, dispersed ? -d_lost : d_lost, power.lost);
    a = power.value + missing;
    log1p = log1p_unit(a);
    const T a_lost = missing - (a - power.value);
    const T one = T(1) + a;
    const T larger = T(1) / one, smaller = a * larger;
    const T product = smaller * one;
    const T residual = (a - product) - product_error(smaller, one, product) + a_lost;
    const T smaller_lost = larger * (residual - smaller * (a - (one - T(1)) + a_lost));
    const T larger_lost = (T(1) - larger) - smaller - smaller_lost;
    p = dispersed ? smaller : larger;
    q = dispersed ? larger : smaller;
    p_lost = dispersed ? smaller_lost : larger_lost;
    q_lost = dispersed ? larger_lost : smaller_lost;
  }
};

// With Shares,
//   p(x) = Gamma(x + theta) / (Gamma(theta) x!) p^theta q^x,
// where Gamma(x + theta) / Gamma(theta) is taken one step up: n = x + theta + 1, tau = 1 / (theta +
// 1). Stirling's formula then serves from theta = 0 on, and its large terms join those of p and q
// in gaps s - 1 - log s of the ratios (Loader 2000)
//   A = n p tau = 1 - e tau,   B = n q / x = 1 + e / x,   e = p (mu - x) + q = (theta + 1) q - p x.
// From x = 1 on
//   log p(x) = -theta gap(A) - x gap(B) + e tau + S(n) - S(1 / tau) - S(x) + log(tau + 1 / x) / 2
//              - log(2 pi) / 2 - log(1 + x / theta),
// of which only e tau may be positive, and is at most 1. With Q from stirling.h
//   d/dm = p x - theta q,   d/dx = digamma(x + theta) + log q - digamma(1 + x),
//   d/dr = -theta gap(A) + x / (x + theta) - p x tau + theta (Q(1 / tau) - Q(n)).
// Nothing overflows where theta does, the limit being a Poisson's.
struct NegativeBinomial {
  static constexpr const char* name = "negative_binomial_log_likelihood";
  static constexpr int uniform_input = 1;  // r

  // What depends on r alone: in numbers, for compilers do not vectorise a choice that is the same
  // for all elements.
  template <class T>
  struct Prepared {
    T r, held, shift;  // held: finite; shift: the negative part of it
    T log1p;           // log(1 + a), a = e^-|r|
    T theta, inverse;  // theta and 1 / theta
    T tau, share;      // 1 / (theta + 1), theta / (theta + 1)
    T of_e, of_e_tau;  // share = of_e + of_e_tau, of which one is 0 or 1
    T of_x, alone;     // a multiple of x + theta: of_x x + alone
    T furthest;        // where x / theta might overflow
    T flat;            // where theta (A - 1) is as good as zero, or theta might overflow
    T most;            // a gap that theta = 0 makes nothing of

    VK_FN Prepared(T r) : r(r), held(at_least(T(-1e30), r)), shift(at_most(T(0), held)) {
      const bool below = r < T(0);
      const T a = precise_exp_of_negative(-absolute(r)), one = T(1) + a;
      log1p = log1p_unit(a);
      theta = below ? a : T(1) / a;
      inverse = below ? T(1) / a : a;
      tau = (below ? T(1) : a) / one;
      share = (below ? a : T(1)) / one;
      of_e = below ? T(0) : T(1);
      of_e_tau = below ? share : -tau;
      of_x = below ? T(1) : a;
      alone = below ? a : T(1);
      furthest = below ? a : T(HUGE_VAL);
      flat = r < T(80) ? kFlat<T> : T(HUGE_VAL);
      most = theta == T(0) ? T(1e30) : T(HUGE_VAL);
    }
  };

  template <class T>
  VK_FN static Values<T, 1> value(T m, const std::type_identity_t<Prepared<T>>& of_r, T x) {
    return {{log_probability(Terms<T>(m, of_r, x))}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(T g, T m, const std::type_identity_t<Prepared<T>>& of_r, T x) {
    const Gradient<T> d = gradient(Terms<T>(m, of_r, x));
    return {{g * d.mean, g * d.dispersion, g * d.x}};
  }

  // What value and derivatives are made of.
  template <class T>
  struct Terms {
    T x;
    const Prepared<T>& of_r;
    Count<T> count;
    Shares<T> shares;
    T lower;              // the smaller of mu and theta
    T theta_q, more_q;    // theta q, (theta + 1) q
    T x_tau, log1p_x_tau, log_more_q;
    T e, theta_gap;       // theta_gap: theta gap(A)
    T over, log1p_over;   // x + theta or, if theta is above 1, 1 + x / theta; log(1 + x / theta)

    VK_FN Terms(T m, const Prepared<T>& of_r, T x)
        : x(x), of_r(of_r), count(m, x), shares(m, of_r.r) {
      const T lowest = shares.dispersed ? of_r.held : m;
      lower = precise_exp(lowest);
      theta_q = lower * (shares.dispersed ? shares.q : shares.p);
      more_q = theta_q + shares.q;
      x_tau = x * of_r.tau;
      log1p_x_tau = log1p_above(x_tau);
      log_more_q = of_r.log1p - shares.log1p + (lowest - of_r.shift);
      const bool near = !count.small & (absolute(count.t) < T(1));
      set_excess(near);
      set_gap(near);
      const bool far = x > of_r.furthest;
      over = fma(x, of_r.of_x, of_r.alone);
      log1p_over = far ? log(over) - of_r.r : log1p_above(far ? T(0) : x * of_r.inverse);
    }

    // e from the difference mu - x, unless that might overflow.
    VK_FN void set_excess(bool near) {
      const T change = count.t + count.of_t.phi;  // mu / x - 1
      const T change_lost = fma(count.of_t.exp, count.lost, (count.t - change) + count.of_t.phi);
      const T product = x * change;
      const T product_lost = fma(x, change_lost, product_error(x, change, product));
      const T away = near ? product : lower - x;
      const T lost = fma(shares.p, near ? product_lost : T(0), shares.q_lost);
      const T close = fma(shares.p, away, shares.q) + fma(shares.p_lost, away, lost);
      e = near | !shares.dispersed ? close : fma(-shares.p, x, more_q) - shares.p_lost * x;
    }

    // The gap is nearly (A - 1)^2 / 2, for which what rounding A - 1 lost counts twice.
    VK_FN void set_gap(bool near) {
      const T A = fma(shares.p, x_tau, shares.p);
      const T less = near ? -e * of_r.tau : fma(shares.p, x_tau, -shares.q);  // A - 1
      const T near_lost = product_error(-e, of_r.tau, less);
      const T far_lost = A < T(0.5) ? T(0) : fma(shares.p_lost, x_tau, -shares.q_lost);
      const T lost = near ? near_lost : far_lost;
      const T close = fma(less / A, lost, log_gap(A, less));
      const T far = less - log1p_x_tau + shares.d + shares.log1p;
      const T gap = A > kTiny<T> ? close : far;
      // Where theta may overflow or the gap underflow, theta (A - 1) = -e theta tau.
      const T pull = fma(e, of_r.of_e_tau, e * of_r.of_e);
      const T ratio = absolute(less) < kFlat<T> ? T(0.5) * less : gap / less;
      const T own = of_r.theta * at_most(of_r.most, gap);
      theta_gap = absolute(less) > of_r.flat ? own : -pull * ratio;
    }
  };

  // log p(0) = -theta log(1 + mu / theta)
  template <class T>
  VK_FN static T log_zero(const Terms<T>& t) {
    const Shares<T>& s = t.shares;
    const T ratio = s.a > T(0) ? s.log1p / s.a : T(1);
    const T dispersed = t.lower == T(0) ? T(0) : t.lower * (s.d + s.log1p);
    return -(s.dispersed ? dispersed : t.lower * ratio);
  }

  template <class T>
  VK_FN static T log_probability(const Terms<T>& t) {
    const T tau = t.of_r.tau;
    const T steps = stirling_error(tau / (T(1) + t.x_tau)) - stirling_error(tau);
    return t.count.small ? of_small(t, steps) : of_large(t, steps);
  }

  template <class T>
  struct Gradient {
    T mean, dispersion, x;
  };

  template <class T>
  VK_FN static Gradient<T> gradient(const Terms<T>& t) {
    const T tau = t.of_r.tau, share = t.of_r.share;
    const T n_share = T(1) / (T(1) + t.x_tau), n_inverse = tau * n_share;
    const T n_rest = n_inverse * digamma_rest(n_inverse);
    const T rests = tau * digamma_rest(tau) - n_share * n_rest;  // exactly 0 at x = 0
    const T steps = share * fma(T(0.5) * t.x, n_inverse, rests);  // theta (Q(1 / tau) - Q(n))
    const T inverse = t.of_r.of_x / t.over;  // 1 / (x + theta)
    const T hit = t.x == T(0) ? T(0) : t.x * inverse;
    const T mean_digamma = t.log_more_q + t.log1p_x_tau - n_inverse * (T(0.5) + n_rest) - inverse;
    const T digamma = t.count.small ? small_digamma(t.x) : t.count.log + t.count.digamma();
    return {fma(t.shares.p, t.x, -t.theta_q), hit - t.shares.p * t.x_tau + steps - t.theta_gap,
            mean_digamma - digamma};
  }

 private:
  template <class T>
  static constexpr T kTiny = T(1e-30);
  template <class T>
  static constexpr T kFlat = sizeof(T) == sizeof(double) ? T(1e-15) : T(1e-8);

  // log(1 + z) for z >= 0
  template <class T>
  VK_FN static T log1p_above(T z) {
    const T s = T(1) + z;
    return log(s) + finite_or_zero((z - (s - T(1))) / s);
  }

  template <class T>
  VK_FN static T of_large(const Terms<T>& t, T steps) {
    const Count<T>& c = t.count;
    const T B = fma(t.more_q, c.inverse, t.shares.q), excess = t.e * c.inverse;
    const T gap = B > kTiny<T> ? log_gap(B, excess)
                               : excess - (t.log_more_q + t.log1p_x_tau - c.log);
    const T roots = T(0.5) * (t.log1p_x_tau - c.log) - T(0.9189385332046727) - t.log1p_over;
    const T small_terms = fma(t.e, t.of_r.tau, steps - stirling_error(c.inverse)) + roots;
    return small_terms - fma(t.x, gap, t.theta_gap);
  }

  // log p(0) + log(Gamma(x + theta) / (Gamma(theta) x!)) + x log q
  template <class T>
  VK_FN static T of_small(const Terms<T>& t, T steps) {
    const T ratio = t.x_tau > T(0) ? log1p_unit(t.x_tau) / t.x_tau : T(1);
    const T slope = t.log_more_q + t.log1p_x_tau + (ratio - T(1)) - small_log_factorial(t.x);
    const T more = fma(t.x, slope, fma(T(-0.5), t.log1p_x_tau, steps)) - t.log1p_over;
    return log_zero(t) + (t.x == T(0) ? T(0) : more);
  }
};

VK_END
