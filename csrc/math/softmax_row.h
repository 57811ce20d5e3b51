// What functions of whole rows of logits have in common: exponentials beside the largest logit, and
// mixtures with the uniform distribution.
//
// A row comes as an object that offers passes over its classes: `greatest(f)` is the largest of
// f(0), f(1), ..., `sums<n>(f)` the sums of n numbers each, `write<n>(f)` writes them. A NaN is
// never the largest; it reaches everything through the sums. `keep<place, n>(f)` is f, for what
// asks for the same numbers several times: where there is memory for them, from then on its numbers
// place, place + 1, ..., place + n - 1.
#pragma once

#include "../core/near_one.h"

VK_BEGIN

VK_FN float smallest_normal(float) { return 0x1p-126f; }
VK_FN double smallest_normal(double) { return 0x1p-1022; }

// logit - top. Logits of +inf leave nothing to the others; where all are -inf, it is NaN.
template <class T>
VK_FN T below_top(T logit, T top) {
  return logit == top && top > -T(HUGE_VAL) ? T(0) : logit - top;
}

// e^(logit - top), as exact where both are large as where they are small
template <class T>
VK_FN T exp_below_top(T logit, T top) {
  const Rounded<T> d = difference(logit, top);
  const T e = precise_exp_of_negative(d.value);
  const T exact = fma(e, finite_or_zero(d.lost), e);
  return logit == top && top > -T(HUGE_VAL) ? T(1) : exact;
}

// weight * slope, where a weight of 0 stands for none, of whatever slope. (Arguments, not to be
// loaded after there was a choice: such a load would keep loops scalar.)
template <class T>
VK_FN T weighted(T weight, T slope) {
  return weight == T(0) ? T(0) : weight * slope;
}

// (1 - u) p + u / K
template <class T>
struct Mixing {
  T kept, floor;

  VK_FN T of(T p) const { return fma(kept, p, floor); }
  VK_FN bool is_none() const { return floor == T(0); }
};

template <class T>
VK_FN Mixing<T> mixing_of(double unimix, int64_t classes) {
  return {static_cast<T>(1.0 - unimix), static_cast<T>(unimix / static_cast<double>(classes))};
}

VK_END
