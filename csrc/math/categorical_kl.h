// KL divergence of two categorical distributions, whose logits are a row each, both mixed with a
// uniform one.
//
// With s and t the softmax of the logits l and m, q = (1 - u) s + u / K and p = (1 - u) t + u / K,
//   KL = sum of q log(q / p) = sum of q (p / q - 1 - log(p / q)),
// since both sum to 1: no term is negative, and none cancels where q is nearly p. What differs is
// taken from y = log(s / t) = (l - m) - log(E / F), with differences of logits that lose nothing,
// E and F the sums of exponentials, and E - F a sum of differences:
//   q - p = (1 - u) t (e^y - 1).
// With r = log(q / p) and w = q / p - 1,
//   dl = (1 - u) s (r - sum of s r),   dm = (1 - u) t (sum of t w - w).
#pragma once

#include "softmax_row.h"

VK_BEGIN

// What all classes of a row have in common.
template <class T>
struct KLRow {
  T top, prior_top;
  Rounded<T> shift;  // top - prior_top
  T sum, prior_sum;  // E and F
  T log_ratio;       // log(E / F)
  Mixing<T> mixing;
};

// l - m, less the same of the rows' largest: log(e / f)
template <class T>
VK_FN T log_ratio_beside_tops(const KLRow<T>& row, T l, T m) {
  const Rounded<T> d = difference(l, m);
  const Rounded<T> x = difference(d.value, row.shift.value);
  const T exact = x.value + ((x.lost + d.lost) - row.shift.lost);
  const T a = below_top(l, row.top), b = below_top(m, row.prior_top);
  return absolute(exact) < T(HUGE_VAL) ? exact : (a == b ? T(0) : a - b);
}

// b (e^x - 1), of which a = b e^x
template <class T>
VK_FN T excess(T a, T b, T x) {
  return x > T(1) ? a - b : b * expm1(x);
}

// e, f and e - f of one class
template <class T>
VK_FN Values<T, 3> kl_exponentials(const KLRow<T>& row, T l, T m) {
  const T e = exp_below_top(l, row.top), f = exp_below_top(m, row.prior_top);
  return {{e, f, excess(e, f, log_ratio_beside_tops(row, l, m))}};
}

template <class T>
struct KLClass {
  T s, t, q, p;
  T y, less;  // log(s / t) and q - p
};

template <class T>
VK_FN KLClass<T> kl_class(const KLRow<T>& row, T l, T m) {
  const T s = exp_below_top(l, row.top) / row.sum, t = exp_below_top(m, row.prior_top) / row.prior_sum;
  const T y = log_ratio_beside_tops(row, l, m) - row.log_ratio;
  return {s, t, row.mixing.of(s), row.mixing.of(t), y, row.mixing.kept * excess(s, t, y)};
}

// q (p / q - 1 - log(p / q)). Where q is all but 0, p - q is left of it. Without a mixture p / q is
// e^-y, and p may be too small a number where y is not.
template <class T>
VK_FN T kl_term(const KLRow<T>& row, T l, T m) {
  const KLClass<T> c = kl_class(row, l, m);
  const ExpPhi<T> e = exp_and_phi(-c.y);
  const T of_y = absolute(c.y) < T(2) ? e.phi : (e.exp - T(1)) + c.y;
  const T gap = row.mixing.is_none() ? of_y : log_gap(c.p / c.q, -c.less / c.q);
  return c.q < smallest_normal(T(0)) ? -c.less : c.q * gap;
}

// What gradients are made of: s, s r, t and t w.
template <class T>
VK_FN Values<T, 4> kl_slopes(const KLRow<T>& row, T l, T m) {
  const KLClass<T> c = kl_class(row, l, m);
  const T w = c.less / c.p;
  const T r = row.mixing.is_none() ? c.y : log_near_one(c.q / c.p, w);
  const T tw = row.mixing.is_none() ? c.less : c.t * w;
  return {{c.s, c.s == T(0) ? T(0) : c.s * r, c.t, tw}};
}

template <class T, class Row>
VK_PASS KLRow<T> kl_row(const Row& rows, Mixing<T> mixing) {
  KLRow<T> row;
  row.mixing = mixing;
  row.top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.logit(j); });
  row.prior_top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.other(j); });
  row.shift = difference(row.top, row.prior_top);
  const Values<T, 3> sums = rows.template sums<3>([&rows, row](int64_t j) VK_EACH {
    return kl_exponentials(row, rows.logit(j), rows.other(j));
  });
  row.sum = sums.v[0];
  row.prior_sum = sums.v[1];
  row.log_ratio = log_near_one(row.sum / row.prior_sum, sums.v[2] / row.prior_sum);
  return row;
}

struct CategoricalKL {
  static constexpr const char* name = "categorical_kl";

  template <class T, class Row>
  VK_PASS static T value(const Row& rows, Mixing<T> mixing) {
    const KLRow<T> row = kl_row(rows, mixing);
    const auto term = [&rows, row](int64_t j) VK_EACH {
      return Values<T, 1>{{kl_term(row, rows.logit(j), rows.other(j))}};
    };
    return rows.template sums<1>(term).v[0];
  }

  template <class T, class Row>
  VK_PASS static void vjp(const Row& rows, T g, Mixing<T> mixing) {
    const KLRow<T> row = kl_row(rows, mixing);
    const Values<T, 2> sums = rows.template sums<2>([&rows, row](int64_t j) VK_EACH {
      const Values<T, 4> slopes = kl_slopes(row, rows.logit(j), rows.other(j));
      return Values<T, 2>{{slopes.v[1], slopes.v[3]}};
    });
    // Without a mixture those of the prior are q - p, whose sum is 0.
    const T mean = sums.v[0], prior_mean = mixing.is_none() ? T(0) : sums.v[1];
    const T scale = g * mixing.kept;
    rows.template write<2>([&rows, row, scale, mean, prior_mean](int64_t j) VK_EACH {
      const Values<T, 4> c = kl_slopes(row, rows.logit(j), rows.other(j));
      return Values<T, 2>{
          {scale * fma(-mean, c.v[0], c.v[1]), scale * fma(prior_mean, c.v[2], -c.v[3])}};
    });
  }
};

VK_END
