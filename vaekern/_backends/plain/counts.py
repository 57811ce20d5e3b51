"""Likelihoods of counts. The formulas are those of ``csrc/math``, without what those add for the
last digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaekern._backends.plain.elements import expm1, image, per_datapoint, sigmoid, widen

__all__ = [
    "negative_binomial_log_likelihood",
    "poisson_log_likelihood",
    "zero_inflated_negative_binomial_log_likelihood",
]

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
#: S(a) = log a! - (a + 1/2) log a + a - log(2 pi) / 2 as a series in 1/a, over 1/a
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def poisson_log_likelihood(log_rate: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    return per_datapoint(poisson(*_widen_with_counts(x, log_rate)), batch_dims)


def negative_binomial_log_likelihood(
    log_mean: Tensor, log_dispersion: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    wide = _widen_with_counts(x, log_mean, log_dispersion)
    return per_datapoint(negative_binomial(*wide), batch_dims)


def zero_inflated_negative_binomial_log_likelihood(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    wide = _widen_with_counts(x, log_mean, log_dispersion, zero_logits)
    return per_datapoint(zero_inflated_negative_binomial(*wide), batch_dims)


def _widen_with_counts(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """The parameters, then the counts, as floats of one dtype."""
    return widen(*parameters, image(x, parameters[0], "count"))


# --- densities, per element ----------------------------------------------------------------------


def stirling_error(inverse: Tensor) -> Tensor:
    """S(1 / inverse) for 0 <= inverse <= 1."""
    far = inverse < 0.1
    square = torch.where(far, inverse, 0.0).square()
    series = torch.full_like(square, _STIRLING[-1])
    for term in reversed(_STIRLING[:-1]):
        series = series * square + term
    a = 1.0 / torch.where(far, 1.0, inverse)
    near = torch.lgamma(a + 1.0) - (a + 0.5) * a.log() + a - _HALF_LOG_2PI
    return torch.where(far, inverse * series, near)


def small_gap(t: Tensor) -> tuple[Tensor, Tensor]:
    """Where abs(t) < 1/8; there (t - log(1 + t)) / t, about t / 2, and 0 elsewhere."""
    near = t.abs() < 0.125
    small = torch.where(near, t, 0.0)
    series = torch.zeros_like(small)
    for k in range(20, 1, -1):
        series = 1.0 / k - small * series
    return near, small * series


def log1p_ratio(t: Tensor) -> Tensor:
    """log(1 + t) / t for t >= 0"""
    near, ratio = small_gap(t)
    large = torch.where(near, 1.0, t)
    return torch.where(near, 1.0 - ratio, torch.log1p(large) / large)


def half_deviance(log_rate: Tensor, x: Tensor) -> Tensor:
    """e^l - x - x (l - log x) for x > 0"""
    t = log_rate - x.log()
    above = t > 1.0  # the derivative with respect to x is -t alone: no e^t may have to cancel
    rate, log_ratio = torch.where(above, log_rate, 0.0).exp(), torch.where(above, t, 0.0)
    far = rate - x - x * log_ratio.clamp(max=1e4)
    low = torch.where(above, 0.0, t)
    excess = torch.expm1(low)
    near, ratio = small_gap(excess)
    gap = torch.where(near, torch.where(near, excess, 0.0) * ratio, excess - low)
    return torch.where(above, far, x * gap)


def poisson(log_rate: Tensor, x: Tensor) -> Tensor:
    small = x < 1.0
    held = torch.where(small, 1.0, x)
    deviance = half_deviance(torch.where(small, 0.0, log_rate), held)
    large = -(deviance + 0.5 * held.log() + _HALF_LOG_2PI + stirling_error(1.0 / held))
    none = x == 0  # 0 * inf counts as 0
    rate = torch.where(small, log_rate, 0.0)
    linear = x * torch.where(none & rate.isinf(), 0.0, rate.clamp(max=1e4))
    few = linear - rate.exp() - torch.lgamma(torch.where(small, x, 0.0) + 1.0)
    return torch.where(small, few, large)


def _largest_exponent(like: Tensor) -> float:
    """Of which the exponential, and its inverse, are normal numbers with some room beside them."""
    return 80.0 if like.dtype is torch.float32 else 700.0


class _NegativeBinomial:
    """log p(x) for x from 1 on, below 1, and at 0, in the terms of
    ``csrc/math/negative_binomial.h``."""

    def __init__(self, m: Tensor, r: Tensor, x: Tensor) -> None:
        self.x = x
        self.r = r
        self.d = torch.where((m == r) & m.isinf(), 0.0, m - r)
        self.dispersed = ~(self.d < 0)  # mu >= theta
        self.p, self.q = sigmoid(-self.d), sigmoid(self.d)
        self.tau = sigmoid(-r)
        lowest = torch.where(self.dispersed, r, m)
        self.lower = lowest.exp()
        self.more_q = self.lower * torch.where(self.dispersed, self.q, self.p) + self.q
        self.log1p_x_tau = torch.log1p(x * self.tau)
        # magnitudes with derivative 1 at 0, unlike those of abs
        self.apart = torch.where(self.dispersed, self.d, -self.d)
        logs = logsigmoid(self.apart) - logsigmoid(torch.where(r < 0, -r, r))
        below = torch.where(self.dispersed, 0.0, self.d)
        self.log_more_q = logs + torch.where(r < 0, below, lowest)

    def at_zero(self) -> Tensor:
        """-theta log(1 + mu / theta)"""
        a = torch.exp(-self.apart)
        ratio = log1p_ratio(a)
        far = self.dispersed & (self.lower > 0)
        dispersed = torch.where(far, self.d, 0.0) + torch.log1p(a)
        return -self.lower * torch.where(self.dispersed, dispersed, ratio)

    def _common(self) -> Tensor:
        """S(n) - S(1 / tau) - log(1 + x / theta)"""
        steps = stirling_error(self.tau / (1.0 + self.x * self.tau)) - stirling_error(self.tau)
        least = -_largest_exponent(self.r)
        below, lost = self.r < 0, self.r < least
        theta = torch.where(below, torch.where(lost, least, self.r), 0.0).exp()
        beyond = torch.where(lost & (self.x > 0), self.r - least, 0.0)  # theta would be subnormal
        far = torch.where(below, self.x + theta, 1.0).log() - theta.log() - beyond
        inverse = torch.where(below, 0.0, -self.r).exp()
        return steps - torch.where(below, far, torch.log1p(self.x * inverse))

    def from_one(self) -> Tensor:
        x = torch.where(self.x < 1.0, 1.0, self.x)
        away = self.p * (torch.where(self.dispersed, 0.0, self.lower) - x)
        e = torch.where(self.dispersed, self.more_q - self.p * x, away + self.q)
        less, more = -e * self.tau, e / x  # A - 1 and B - 1
        log_a = self.log1p_x_tau + logsigmoid(-self.d).clamp(min=-1e30)
        log_b = self.log_more_q + self.log1p_x_tau - x.log()
        near_a, ratio_a = small_gap(less)
        near_b, ratio_b = small_gap(more)
        pull, theta = e * sigmoid(self.r), self.r.clamp(max=_largest_exponent(self.r)).exp()
        gap_a = torch.where(near_a, -pull * ratio_a, -pull - theta * log_a)
        gap_b = torch.where(near_b, e * ratio_b, e - x * torch.where(near_b, 0.0, log_b))
        roots = 0.5 * (self.log1p_x_tau - x.log()) - _HALF_LOG_2PI
        total = e * self.tau - gap_a - gap_b + roots
        return total - stirling_error(1.0 / x) + self._common()

    def below_one(self) -> Tensor:
        x = torch.where(self.x < 1.0, self.x, 0.0)
        log_q = torch.where((x == 0) & self.log_more_q.isinf(), 0.0, self.log_more_q)
        slope = log_q + self.log1p_x_tau + log1p_ratio(x * self.tau) - 1.0
        grown = x * slope - 0.5 * self.log1p_x_tau
        return self.at_zero() + grown + self._common() - torch.lgamma(x + 1.0)


def negative_binomial(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    terms = _NegativeBinomial(log_mean, log_dispersion, x)
    return torch.where(x < 1.0, terms.below_one(), terms.from_one())


def zero_inflated_negative_binomial(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor
) -> Tensor:
    zero = x == 0
    # Zeros that are none of the negative binomial's leave it no gradient, be it infinite.
    with torch.no_grad():
        log_share = _NegativeBinomial(log_mean, log_dispersion, x).at_zero()
        none = zero & (log_share - zero_logits.clamp(max=0.0) < -1e4)
    m, r = (torch.where(none, 0.0, t) for t in (log_mean, log_dispersion))
    count = torch.where(none, log_share, negative_binomial(m, r, x))
    at_zero = torch.where(zero, count, 0.0)
    y = sigmoid(-zero_logits) * expm1(at_zero)
    near = y > -0.5
    logits = torch.where(near, 0.0, zero_logits)
    far = torch.logaddexp(logits, torch.where(near, 0.0, at_zero)) + logsigmoid(-logits)
    of_zero = torch.where(near, torch.log1p(torch.where(near, y, 0.0)), far)
    return torch.where(zero, of_zero, count + logsigmoid(-zero_logits))
