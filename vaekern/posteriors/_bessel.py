"""What the von Mises-Fisher distribution has of Bessel functions, to float32 accuracy for
concentrations from 0 to 1e8 and any dimension.

With t the first coordinate of a uniform point of S^(d-1) and nu = d / 2 - 1, the cumulant
generating function of t and its derivative are

    L(kappa) = log E[e^(kappa t)] = log(Gamma(nu + 1) (2 / kappa)^nu I_nu(kappa))
    A(kappa) = L'(kappa) = I_(nu + 1)(kappa) / I_nu(kappa)

Both come from Debye's expansion at a large order (DLMF 10.41.3), with Stirling's series of Gamma,
which is that expansion at kappa = 0, subtracted term by term; and from there down to nu by the
recurrence of the ratios (DLMF 10.29.1), in which every term is positive. No step cancels, not at
kappa = 0 either, and exponentials of kappa never occur. The arithmetic is float64.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

#: Orders at which this many terms of the expansion leave an error below 1e-10.
_LARGE_ORDER = 16
_TERMS = 10

Polynomial = list[float]


def cumulant(kappa: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """L(kappa), and A(kappa) / kappa, which is 1 / d at 0. Elementwise, in float64."""
    kappa = kappa.double()
    nu = 0.5 * dims - 1.0
    steps = max(0, int(_LARGE_ORDER - nu + 0.5))
    total, ratio = _at_large_order(kappa, nu + steps)
    square = kappa * kappa
    for order in [nu + step for step in reversed(range(steps))]:
        twice = 2.0 * (order + 1.0)
        total = total + torch.log1p(square * ratio / twice)
        ratio = 1.0 / (twice + square * ratio)
    return total, ratio


def _at_large_order(kappa: Tensor, order: float) -> tuple[Tensor, Tensor]:
    x = kappa / order
    length = torch.sqrt(1.0 + x * x)
    excess = x * x / (1.0 + length)  # length - 1
    p = 1.0 / length
    compiling = torch.compiler.is_compiling()
    correction, slope = (_corrections if compiling else _remembered_corrections)(order)
    total = order * (excess - torch.log1p(0.5 * excess)) - 0.5 * torch.log1p(excess)
    total = total - excess * p * _polynomial(correction, p)
    shift = 0.5 + p * _polynomial(slope, p)
    return total, 1.0 / (order * (2.0 + excess)) - shift * (p / order) ** 2


def _polynomial(coefficients: Polynomial, p: Tensor) -> Tensor:
    """By Horner's rule, in numbers that the device need not be sent."""
    *lower, highest = coefficients
    value = torch.full_like(p, highest)
    for coefficient in reversed(lower):
        value = value * p + coefficient
    return value


def _corrections(order: float) -> tuple[Polynomial, Polynomial]:
    """With Q(p) the sum of all terms of the logarithm of Debye's series at this order:
    (Q(p) - Q(1)) / (p - 1), and Q'(p), as coefficients of p^0, p^1, ..."""
    total = [0.0] * (3 * _TERMS + 1)
    for k, term in enumerate(_LOG_DEBYE):
        for power, coefficient in enumerate(term):
            total[power] += coefficient / order ** (k + 1)
    quotient, above = [0.0] * (3 * _TERMS), 0.0
    for power in range(3 * _TERMS, 0, -1):  # divided by p - 1, a coefficient is what was above it
        above += total[power]
        quotient[power - 1] = above
    slope = [power * total[power] for power in range(1, 3 * _TERMS + 1)]
    return quotient, slope


def _log_debye() -> list[Polynomial]:
    """Of log(1 + sum of u_k(p) / order^k), the polynomials in p of each power of the order."""
    u = _debye()
    logarithm: list[Polynomial] = []
    for n in range(1, _TERMS + 1):
        term = list(u[n])
        for k in range(1, n):
            for power, coefficient in enumerate(_product(logarithm[k - 1], u[n - k])):
                term[power] -= k / n * coefficient
        logarithm.append(term)
    return logarithm


def _debye() -> list[Polynomial]:
    """The polynomials u_0, u_1, ... of Debye's series (DLMF 10.41.9)."""
    u: list[Polynomial] = [[1.0]]
    for _ in range(_TERMS):
        following = [0.0] * (len(u[-1]) + 3)
        for power, coefficient in enumerate(u[-1]):
            following[power + 1] += coefficient * (0.5 * power + 0.125 / (power + 1))
            following[power + 3] -= coefficient * (0.5 * power + 0.625 / (power + 3))
        u.append(following)
    return u


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    result = [0.0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


_LOG_DEBYE = _log_debye()
_remembered_corrections = functools.lru_cache(maxsize=64)(_corrections)
