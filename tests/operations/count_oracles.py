"""What the likelihoods of counts are, per element, as the oracles of ``oracles.py``.

Stirling's formula takes out of a density what its terms have in common (Loader 2000). Each result
is measured by what is left, so that errors of 4 ulp are those of the result wherever a count is
likely, not of terms that are a thousand times as large. Terms of one sign cannot cancel, and count
as one.
"""

from __future__ import annotations

import mpmath
from mpmath import mpf
from oracles import Exact, Terms

_HALF = mpf(1) / 2


def _by_sign(*terms: mpf) -> Terms:
    return sum(t for t in terms if t < 0), sum(t for t in terms if t > 0)


def _stirling_error(a: mpf) -> mpf:
    return (
        mpmath.loggamma(a + 1) - (a + _HALF) * mpmath.log(a) + a - _HALF * mpmath.log(2 * mpmath.pi)
    )


def _digamma_gap(a: mpf) -> mpf:
    return mpmath.log(a) - mpmath.digamma(a)


def poisson(_: str, log_rate: mpf, x: mpf) -> Exact:
    rate = mpmath.exp(log_rate)
    if x < 1:
        value: Terms = (x * log_rate, -rate, -mpmath.loggamma(x + 1))
    else:
        value = (x * log_rate - rate - mpmath.loggamma(x + 1),)  # never above -0.9
    return [("value", value), ("log_rate", (x, -rate)), ("x", (log_rate, *_minus_digamma(x)))]


def _minus_digamma(x: mpf) -> Terms:
    """-digamma(x + 1), one step up; for x < 1 the first terms of its series and the rest."""
    if x >= 1:
        return -mpmath.digamma(x + 2), 1 / (x + 1)
    linear = mpmath.zeta(2) * x
    return mpmath.euler, -linear, linear - mpmath.euler - mpmath.digamma(x + 1)


class _Parts:
    def __init__(self, m: mpf, x: mpf, r: mpf) -> None:
        self.x, self.mu, self.theta = x, mpmath.exp(m), mpmath.exp(r)
        self.p, self.q = self.theta / (self.theta + self.mu), self.mu / (self.theta + self.mu)
        self.n = x + self.theta + 1
        self.of_theta = self.n * self.p / (self.theta + 1)
        self.far = abs(mpmath.log(self.mu / x)) > 1 if x >= 1 else m >= r
        self.r = r

    def value(self) -> Terms:
        x, theta, n = self.x, self.theta, self.n
        at_zero = theta * mpmath.log(self.p)
        if x == 0:
            return (at_zero,)
        step = mpmath.log(1 + x / theta)
        if x < 1:
            errors = _stirling_error(n), -_stirling_error(theta + 1)
            gammas = mpmath.loggamma(n) - mpmath.loggamma(theta + 1) - x * mpmath.log(n)
            parts = (-step,) if self.r >= 0 else (-mpmath.log(x + theta), self.r)
            return (at_zero, x * mpmath.log(n * self.q), gammas - sum(errors), *errors, *parts,
                    -mpmath.loggamma(x + 1))  # fmt: skip
        ratios = ((theta, self.of_theta), (x, n * self.q / x))
        logs = [weight * mpmath.log(s) for weight, s in ratios]
        gaps = [-weight * (s - 1 - mpmath.log(s)) for weight, s in ratios]
        large = logs if self.far else [*gaps, 1 - self.of_theta]
        errors = _stirling_error(n) - _stirling_error(theta + 1) - _stirling_error(x)
        return _by_sign(*large, errors, -mpmath.log(2 * mpmath.pi * x * (theta + 1) / n) / 2, -step)

    def dispersion(self) -> Terms:
        """The derivative with respect to r."""
        x, theta, n = self.x, self.theta, self.n
        if self.far:
            large: Terms = (theta * mpmath.log(self.of_theta), -self.p * x, theta * self.q)
        else:
            gap = self.of_theta - 1 - mpmath.log(self.of_theta)
            large = (-theta * gap, -self.p * x / (theta + 1))
        if x == 0:
            return large
        half = _HALF / (theta + 1) - _HALF / n
        rests = [theta * (_digamma_gap(a) - _HALF / a) for a in (theta + 1, n)]
        return (*large, x / (x + theta), theta * half, rests[0], -rests[1])

    def dx(self) -> Terms:
        step = mpmath.digamma(self.x + self.theta) - mpmath.log(self.n)
        return (mpmath.log(self.n * self.q), step, *_minus_digamma(self.x))

    def dm(self) -> Terms:
        return self.p * self.x, -self.theta * self.q


def negative_binomial(_: str, m: mpf, x: mpf, r: mpf) -> Exact:
    parts = _Parts(m, x, r)
    return [
        ("value", parts.value()),
        ("log_mean", parts.dm()),
        ("x", parts.dx()),
        ("log_dispersion", parts.dispersion()),
    ]


def zero_inflated(_: str, m: mpf, x: mpf, r: mpf, logit: mpf) -> Exact:
    parts = _Parts(m, x, r)
    share, rest = 1 / (1 + mpmath.exp(-logit)), 1 / (1 + mpmath.exp(logit))
    if x > 0:
        count = negative_binomial("", m, x, r)
        value = (*count[0][1], mpmath.log(rest))
        return [("value", value), *count[1:], ("zero_logits", (-share,))]
    of_count = parts.value()[0]
    total = share + rest * mpmath.exp(of_count)
    own, y = rest * mpmath.exp(of_count) / total, rest * mpmath.expm1(of_count)
    both = (max(logit, of_count), mpmath.log1p(mpmath.exp(-abs(logit - of_count))))
    # The odds of the two kinds of zero are an exponential, with the error of its exponent's terms.
    exponent = max(1, abs(logit), abs(of_count))
    shared = [
        (name, tuple(own * t for t in terms))
        for name, terms in (
            ("log_mean", parts.dm()),
            ("x", parts.dx()),
            ("log_dispersion", parts.dispersion()),
        )
    ]
    shared += [("zero_logits", (-(1 - own) * y,))]
    return [
        ("value", (mpmath.log(total),) if y > -_HALF else (*both, mpmath.log(rest))),
        *[(name, (*terms, exponent * max(map(abs, terms)), -exponent * max(map(abs, terms))))
          for name, terms in shared],
    ]  # fmt: skip
