"""What the likelihoods of counts are, per element, as exact results.

Stirling's formula takes out of a density what its terms have in common (Loader 2000). Each result
is measured by what is left, so that errors of 4 ulp are those of the result wherever a count is
likely, not of terms that are a thousand times as large. Terms of one sign cannot cancel, and count
as one.
"""

from __future__ import annotations

import mpmath
from mpmath import mpf

from operations.exact import HALF, Terms


def by_sign(*terms: mpf) -> Terms:
    return sum(t for t in terms if t < 0), sum(t for t in terms if t > 0)


def _stirling_error(a: mpf) -> mpf:
    return (
        mpmath.loggamma(a + 1) - (a + HALF) * mpmath.log(a) + a - HALF * mpmath.log(2 * mpmath.pi)
    )


def _digamma_gap(a: mpf) -> mpf:
    return mpmath.log(a) - mpmath.digamma(a)


def minus_digamma(x: mpf) -> Terms:
    """-digamma(x + 1), one step up; for x < 1 the first terms of its series and the rest."""
    if x >= 1:
        return -mpmath.digamma(x + 2), 1 / (x + 1)
    linear = mpmath.zeta(2) * x
    return mpmath.euler, -linear, linear - mpmath.euler - mpmath.digamma(x + 1)


class Parts:
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
        return by_sign(*large, errors, -mpmath.log(2 * mpmath.pi * x * (theta + 1) / n) / 2, -step)

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
        half = HALF / (theta + 1) - HALF / n
        rests = [theta * (_digamma_gap(a) - HALF / a) for a in (theta + 1, n)]
        return (*large, x / (x + theta), theta * half, rests[0], -rests[1])

    def dx(self) -> Terms:
        step = mpmath.digamma(self.x + self.theta) - mpmath.log(self.n)
        return (mpmath.log(self.n * self.q), step, *minus_digamma(self.x))

    def dm(self) -> Terms:
        return self.p * self.x, -self.theta * self.q
