// Samples of a diagonal Gaussian, alone and together with its KL divergence.
#pragma once

#include "gaussian_kl.h"

VK_BEGIN

// z = mu + e^(v/2) eps   (Kingma & Welling 2013, section 2.4)
template <template <class> class Scale>
struct Reparameterize {
  static constexpr const char* name = "reparameterize";

  template <class T>
  VK_FN static Values<T, 1> value(Scale<T> scale, T mu, T s, T eps) {
    return {{fma(scale.std(s), eps, mu)}};
  }

  // mu's gradient is g itself, so mu is neither read nor its gradient written.
  template <class T>
  VK_FN static Values<T, 2> vjp(Scale<T> scale, T g, T s, T eps) {
    const T std = scale.std(s);
    return {{scale.from_dstd(g * eps, std), g * std}};
  }
};

// (z, KL(q || N(0, 1))) with one exponential for both
template <template <class> class Scale>
struct SampleStandardKL {
  static constexpr const char* name = "sample_with_standard_kl";

  template <class T>
  VK_FN static Values<T, 2> value(Scale<T> scale, T mu, T s, T eps) {
    const Spread<T> q = scale.spread(s);
    return {{fma(q.std, eps, mu), fma(T(0.5) * mu, mu, q.half_phi)}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(Scale<T> scale, T gz, T gkl, T mu, T s, T eps) {
    const Spread<T> q = scale.spread(s);
    const T ds = scale.from_dstd(gz * eps, q.std) + scale.from_dlogvar(gkl * q.half_expm1, s);
    return {{fma(gkl, mu, gz), ds, gz * q.std}};
  }
};

// (z, KL(q || N(m, e^w)))
template <template <class> class Scale>
struct SampleGaussianKL {
  static constexpr const char* name = "sample_with_gaussian_kl";

  template <class T>
  VK_FN static Values<T, 2> value(Scale<T> scale, T mu, T s, T m, T p, T eps) {
    return {{Reparameterize<Scale>::value(scale, mu, s, eps).v[0],
             GaussianKL<Scale>::value(scale, mu, s, m, p).v[0]}};
  }

  template <class T>
  VK_FN static Values<T, 5> vjp(Scale<T> scale, T gz, T gkl, T mu, T s, T m, T p, T eps) {
    const Values<T, 4> kl = GaussianKL<Scale>::vjp(scale, gkl, mu, s, m, p);
    const Values<T, 2> z = Reparameterize<Scale>::vjp(scale, gz, s, eps);
    return {{gz + kl.v[0], kl.v[1] + z.v[0], kl.v[2], kl.v[3], z.v[1]}};
  }
};

VK_END
