// KL divergences of a diagonal Gaussian q = N(mu, e^v), v the log-variance that s encodes.
#pragma once

#include "scale.h"

VK_BEGIN

// KL(q || N(0, 1)) = mu^2 / 2 + (e^v - 1 - v) / 2   (Kingma & Welling 2013, appendix B)
template <template <class> class Scale>
struct StandardKL {
  static constexpr const char* name = "standard_kl";

  template <class T>
  VK_FN static Values<T, 1> value(Scale<T> scale, T mu, T s) {
    return {{fma(T(0.5) * mu, mu, scale.spread(s).half_phi)}};
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(Scale<T> scale, T g, T mu, T s) {
    return {{g * mu, scale.from_dlogvar(g * scale.spread(s).half_expm1, s)}};
  }
};

// KL(q || N(m, e^w)), w the log-variance that p encodes:
// ((mu - m) e^(-w/2))^2 / 2 + (e^(v-w) - 1 - (v-w)) / 2
template <template <class> class Scale>
struct GaussianKL {
  static constexpr const char* name = "gaussian_kl";

  template <class T>
  VK_FN static Values<T, 1> value(Scale<T> scale, T mu, T s, T m, T p) {
    const Rounded<T> u = scaled_difference(mu, m, scale.inverse_std(p));
    return {{half_square(u) + scale.relative_spread(s, p).half_phi}};
  }

  template <class T>
  VK_FN static Values<T, 4> vjp(Scale<T> scale, T g, T mu, T s, T m, T p) {
    const T inverse_std = scale.inverse_std(p);
    const Rounded<T> u = scaled_difference(mu, m, inverse_std);
    const T half_expm1 = scale.relative_spread(s, p).half_expm1;
    const T dmu = g * (u.value * inverse_std);
    const T dw = -g * (half_square(u) + half_expm1);
    return {{dmu, scale.from_dlogvar(g * half_expm1, s), -dmu, scale.from_dlogvar(dw, p)}};
  }
};

VK_END
