"""What each operation is, per element: written from the definitions, in 400 bits, where nothing
cancels. Upstream gradients are 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
from mpmath import mpf

mpmath.mp.prec = 400

#: An exact result: the terms it is a sum of.
Terms = tuple[mpf, ...]
Exact = list[tuple[str, Terms]]
Oracle = Callable[..., Exact]

_HALF = mpf(1) / 2
_SMALLEST = mpf(2) ** -126  # with all digits in float32
_LOG_2PI = mpmath.log(2 * mpmath.pi)


def _log_variance(s: mpf, scale: str) -> mpf:
    if scale == "std":
        return 2 * mpmath.log(s)
    return s if scale == "logvar" else 2 * s


def _chain(s: mpf, scale: str) -> mpf:
    """d(log-variance) / ds."""
    if scale == "std":
        return 2 / s
    return mpf(1) if scale == "logvar" else mpf(2)


def bernoulli(_: str, logit: mpf, x: mpf) -> Exact:
    a = mpmath.exp(-abs(logit))
    weight = 1 - x if logit >= 0 else x
    share = 1 / (1 + a)
    d = (x * a * share, -(1 - x) * share) if logit >= 0 else (x * share, -(1 - x) * a * share)
    return [("value", (-weight * abs(logit) - mpmath.log1p(a),)), ("logits", d), ("x", (logit,))]


def bernoulli_probs(_: str, p: mpf, x: mpf) -> Exact:
    log_p, log_q = mpmath.log(p), mpmath.log1p(-p)
    value = x * max(log_p, mpf(-100)) + (1 - x) * max(log_q, mpf(-100))
    dp = (x - p) / max(p * (1 - p), mpf(10) ** -12)
    return [("value", (value,)), ("probs", (dp,)), ("x", (log_p, -log_q))]


def continuous_bernoulli(_: str, logit: mpf, x: mpf) -> Exact:
    if logit == 0:
        return [("value", (mpf(0),)), ("logits", (x - _HALF,)), ("x", (mpf(0),))]
    normaliser = mpmath.log(mpmath.sinh(logit / 2) / (logit / 2))
    return [
        ("value", ((x - _HALF) * logit, -normaliser)),
        ("logits", (x - _HALF, 1 / logit - mpmath.coth(logit / 2) / 2)),
        ("x", (logit,)),
    ]


def gaussian(scale: str, mean: mpf, x: mpf, s: mpf) -> Exact:
    v, chain = _log_variance(s, scale), _chain(s, scale)
    u2 = (x - mean) ** 2 * mpmath.exp(-v)
    dmean = (x - mean) * mpmath.exp(-v)
    return [
        ("value", (-u2 / 2, -v / 2, -_LOG_2PI / 2)),
        ("mean", (dmean,)),
        ("x", (-dmean,)),
        ("logvar", (u2 * _HALF * chain, -_HALF * chain)),
    ]


def laplace(_: str, loc: mpf, x: mpf, s: mpf) -> Exact:
    u, dloc = abs(x - loc) * mpmath.exp(-s), mpmath.sign(x - loc) * mpmath.exp(-s)
    return [
        ("value", (-u, -s, -mpmath.log(2))),
        ("loc", (dloc,)),
        ("x", (-dloc,)),
        ("log_scale", (u, mpf(-1))),
    ]


def student_t(_: str, loc: mpf, x: mpf, s: mpf, df: mpf) -> Exact:
    u = (x - loc) * mpmath.exp(-s)
    w = u**2 / df
    share, more = w / (1 + w), df + 1
    half_step = mpmath.loggamma(more / 2) - mpmath.loggamma(df / 2)
    dhalf_step = mpmath.digamma(more / 2) - mpmath.digamma(df / 2) - 1 / df
    dloc = more * u / (df + u**2) * mpmath.exp(-s)
    return [
        ("value", (half_step - mpmath.log(mpmath.pi * df) / 2, -s, -more / 2 * mpmath.log1p(w))),
        ("loc", (dloc,)),
        ("x", (-dloc,)),
        ("log_scale", (more * share, mpf(-1))),
        ("df", (dhalf_step / 2, -(mpmath.log1p(w) - share) / 2, share / df / 2)),
    ]


def discretized_logistic(_: str, x: mpf, loc: mpf, s: mpf) -> Exact:
    half, inverse = mpf(1) / 255, mpmath.exp(-s)
    lower, upper, w = (x - loc - half) * inverse, (x - loc + half) * inverse, 2 * half * inverse
    no_lower, no_upper = x < -0.999, x > 0.999  # bins without that end
    # S(u-), S(-u+), and the derivatives of both with respect to log |u|
    below = mpf(0) if no_lower else 1 / (1 + mpmath.exp(-lower))
    above = mpf(0) if no_upper else 1 / (1 + mpmath.exp(upper))
    moves = (lower * below * (1 - below), upper * above * (1 - above))
    share = mpf(0) if no_lower or no_upper else mpmath.log(-mpmath.expm1(-w))
    pull = mpf(0) if no_lower or no_upper else w / mpmath.expm1(w)
    dpull = pull - pull * w / -mpmath.expm1(-w)
    return [
        ("value", (mpf(0) if no_upper else -mpmath.log1p(mpmath.exp(-upper)),
                   mpf(0) if no_lower else -mpmath.log1p(mpmath.exp(lower)), share,
                   *_held((upper * above, lower * below, pull)))),
        ("loc", (below * inverse, -above * inverse,
                 *_held([t * inverse for t in (*moves, _SMALLEST)]))),
        ("log_scale", (lower * below, -upper * above, -pull,
                       *_held((lower * moves[0], upper * moves[1], dpull, upper * _SMALLEST)))),
    ]  # fmt: skip


def _held(terms: Sequence[mpf]) -> Terms:
    """Terms that do not change a sum, but count as its largest ones: what the sum moves by per
    relative error of a number in between."""
    return tuple(signed for term in terms for signed in (term, -term))


def standard_kl(scale: str, mu: mpf, s: mpf) -> Exact:
    v = _log_variance(s, scale)
    value = mu**2 / 2 + (mpmath.exp(v) - 1 - v) / 2
    return [
        ("value", (value,)),
        ("mu", (mu,)),
        ("logvar", ((mpmath.exp(v) - 1) / 2 * _chain(s, scale),)),
    ]


def gaussian_kl(scale: str, mu: mpf, s: mpf, m: mpf, p: mpf) -> Exact:
    v, w = _log_variance(s, scale), _log_variance(p, scale)
    u2, dmu = (mu - m) ** 2 * mpmath.exp(-w), (mu - m) * mpmath.exp(-w)
    ratio = mpmath.exp(v - w)
    half_expm1, chain = (ratio - 1) / 2, _chain(p, scale)
    return [
        ("value", (u2 / 2 + (ratio - 1 - (v - w)) / 2,)),
        ("mu", (dmu,)),
        ("logvar", (half_expm1 * _chain(s, scale),)),
        ("prior_mu", (-dmu,)),
        ("prior_logvar", (-u2 / 2 * chain, -half_expm1 * chain)),
    ]


def reparameterize(scale: str, mu: mpf, s: mpf, eps: mpf) -> Exact:
    std = mpmath.exp(_log_variance(s, scale) / 2)
    return [
        ("z", (mu, std * eps)),
        ("mu", (mpf(1),)),
        ("logvar", (std * eps / 2 * _chain(s, scale),)),
        ("eps", (std,)),
    ]


def sample_with_standard_kl(scale: str, mu: mpf, s: mpf, eps: mpf) -> Exact:
    return _together(reparameterize(scale, mu, s, eps), standard_kl(scale, mu, s))


def sample_with_gaussian_kl(scale: str, mu: mpf, s: mpf, m: mpf, p: mpf, eps: mpf) -> Exact:
    return _together(reparameterize(scale, mu, s, eps), gaussian_kl(scale, mu, s, m, p))


def _together(sample: Exact, kl: Exact) -> Exact:
    """Both results; gradients add up."""
    terms = dict(sample)
    for name, more in kl:
        terms[name] = terms.get(name, ()) + more
    return list(terms.items())
