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
//   dl = (1 - u) s (r - sum of s r),   dm = (1 - u) t (sum of t w - w),
// each times an upstream gradient of its own: there are losses that weigh the two otherwise.
#pragma once

#include "softmax_row.h"

VK_BEGIN

// What is largest of a row, and of the prior's.
template <class T>
struct KLTops {
  T top, prior_top;
  Rounded<T> shift;  // top - prior_top
};

// What all classes of a row have in common.
template <class T>
struct KLRow {
  T sum, prior_sum;  // E and F
  T log_ratio;       // log(E / F)
  Mixing<T> mixing;
};

// l - m, less the same of the rows' largest: log(e / f)
template <class T>
VK_FN T log_ratio_beside_tops(const KLTops<T>& tops, T l, T m) {
  const Rounded<T> d = difference(l, m);
  const Rounded<T> x = difference(d.value, tops.shift.value);
  const T exact = x.value + ((x.lost + d.lost) - tops.shift.lost);
  const T a = below_top(l, tops.top), b = below_top(m, tops.prior_top);
  return absolute(exact) < T(HUGE_VAL) ? exact : (a == b ? T(0) : a - b);
}

// b (e^x - 1), of which a = b e^x
template <class T>
VK_FN T excess(T a, T b, T x) {
  return x > T(1) ? a - b : b * expm1_to_one(x);
}

// Of one class e, f and log(e / f).
template <class T>
VK_FN Values<T, 3> kl_beside_tops(const KLTops<T>& tops, T l, T m) {
  return {{exp_below_top(l, tops.top), exp_below_top(m, tops.prior_top),
           log_ratio_beside_tops(tops, l, m)}};
}

template <class T>
struct KLClass {
  T s, t, q, p;
  T y, less;  // log(s / t) and q - p
};

template <class T>
VK_FN KLClass<T> kl_class(const KLRow<T>& row, Values<T, 3> beside) {
  const T s = beside.v[0] / row.sum, t = beside.v[1] / row.prior_sum;
  const T y = beside.v[2] - row.log_ratio;
  return {s, t, row.mixing.of(s), row.mixing.of(t), y, row.mixing.kept * excess(s, t, y)};
}

// q (p / q - 1 - log(p / q)). Where q is all but 0, p - q is left of it. Without a mixture p / q is
// e^-y, and p may be too small a number where y is not.
template <bool mixed, class T>
VK_FN T kl_term(const KLRow<T>& row, Values<T, 3> beside) {
  const KLClass<T> c = kl_class(row, beside);
  T gap;
  if constexpr (mixed) {
    gap = log_gap(c.p / c.q, -c.less / c.q);
  } else {
    const ExpPhi<T> e = exp_and_phi(-c.y);
    gap = absolute(c.y) < T(2) ? e.phi : (e.exp - T(1)) + c.y;
  }
  return c.q < smallest_normal(T(0)) ? -c.less : c.q * gap;
}

// What gradients are made of: s, s r, t and t w.
template <bool mixed, class T>
VK_FN Values<T, 4> kl_slopes(const KLRow<T>& row, Values<T, 3> beside) {
  const KLClass<T> c = kl_class(row, beside);
  T r = c.y, tw = c.less;
  if constexpr (mixed) {
    const T w = c.less / c.p;
    r = log_near_one(c.q / c.p, w);
    tw = c.t * w;
  }
  return {{c.s, weighted(c.s, r), c.t, tw}};
}

struct CategoricalKL {
  static constexpr const char* name = "categorical_kl";

  template <class T, class Row>
  VK_PASS static T value(const Row& rows, Mixing<T> mixing) {
    return mixing.is_none() ? value_of<false>(rows, mixing) : value_of<true>(rows, mixing);
  }

  template <class T, class Row>
  VK_PASS static void vjp(const Row& rows, T g, T prior_g, Mixing<T> mixing) {
    if (mixing.is_none()) vjp_of<false>(rows, g, prior_g, mixing);
    else vjp_of<true>(rows, g, prior_g, mixing);
  }

 private:
  template <class T, class Row>
  VK_PASS static KLTops<T> tops_of(const Row& rows) {
    const T top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.logit(j); });
    const T prior_top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.other(j); });
    return {top, prior_top, difference(top, prior_top)};
  }

  template <class T, class Row, class Beside>
  VK_PASS static KLRow<T> row_of(const Row& rows, const Beside& beside, Mixing<T> mixing) {
    const Values<T, 3> sums = rows.template sums<3>([beside](int64_t j) VK_EACH {
      const Values<T, 3> c = beside(j);
      return Values<T, 3>{{c.v[0], c.v[1], excess(c.v[0], c.v[1], c.v[2])}};
    });
    const T sum = sums.v[0], prior_sum = sums.v[1];
    return {sum, prior_sum, log_near_one(sum / prior_sum, sums.v[2] / prior_sum), mixing};
  }

  template <bool mixed, class T, class Row>
  VK_PASS static T value_of(const Row& rows, Mixing<T> mixing) {
    const KLTops<T> tops = tops_of<T>(rows);
    const auto beside = rows.template keep<0, 3>([&rows, tops](int64_t j) VK_EACH {
      return kl_beside_tops(tops, rows.logit(j), rows.other(j));
    });
    const KLRow<T> row = row_of(rows, beside, mixing);
    const auto term = [beside, row](int64_t j) VK_EACH {
      return Values<T, 1>{{kl_term<mixed>(row, beside(j))}};
    };
    return rows.template sums<1>(term).v[0];
  }

  template <bool mixed, class T, class Row>
  VK_PASS static void vjp_of(const Row& rows, T g, T prior_g, Mixing<T> mixing) {
    const KLTops<T> tops = tops_of<T>(rows);
    const auto beside = rows.template keep<0, 3>([&rows, tops](int64_t j) VK_EACH {
      return kl_beside_tops(tops, rows.logit(j), rows.other(j));
    });
    const KLRow<T> row = row_of(rows, beside, mixing);
    const auto slopes = rows.template keep<3, 4>(
        [beside, row](int64_t j) VK_EACH { return kl_slopes<mixed>(row, beside(j)); });
    const Values<T, 2> sums = rows.template sums<2>([slopes](int64_t j) VK_EACH {
      const Values<T, 4> c = slopes(j);
      return Values<T, 2>{{c.v[1], c.v[3]}};
    });
    // Without a mixture those of the prior are q - p, whose sum is 0.
    const T mean = sums.v[0], prior_mean = mixed ? sums.v[1] : T(0);
    const T scale = g * mixing.kept, prior_scale = prior_g * mixing.kept;
    rows.template write<2>([slopes, scale, prior_scale, mean, prior_mean](int64_t j) VK_EACH {
      const Values<T, 4> c = slopes(j);
      return Values<T, 2>{
          {scale * fma(-mean, c.v[0], c.v[1]), prior_scale * fma(prior_mean, c.v[2], -c.v[3])}};
    });
  }
};

VK_END
