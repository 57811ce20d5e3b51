"""Of von Mises-Fisher distributions in many digits: the divergence from a uniform one, what it is
made of, and how quantiles of the angle move with the concentration."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
from mpmath import mpf


def bessel_ratio(kappa: mpf, dims: int) -> mpf:
    nu = mpf(dims) / 2 - 1
    return mpmath.besseli(nu + 1, kappa) / mpmath.besseli(nu, kappa) if kappa else mpf(0)


def log_mean_exp(kappa: mpf, dims: int) -> mpf:
    nu = mpf(dims) / 2 - 1
    return mpmath.log(mpmath.gamma(nu + 1) * (2 / kappa) ** nu * mpmath.besseli(nu, kappa))


def kl_to_uniform(kappa: mpf, dims: int) -> mpf:
    return kappa * bessel_ratio(kappa, dims) - log_mean_exp(kappa, dims)


def derivative(function: Callable[[mpf], mpf], at: mpf) -> mpf:
    """By central differences in many digits."""
    h = at * mpf(10) ** -20
    return (function(at + h) - function(at - h)) / (2 * h)


def slope_of_quantile(theta: mpf, kappa: mpf, d: int) -> mpf:
    """-(dF/dkappa) / (dF/dtheta), F(theta) being an integral over a normaliser, to differences."""
    h = mpf(10) ** -12

    def density(phi: mpf, k: mpf) -> mpf:
        return mpmath.sin(phi) ** (d - 2) * mpmath.exp(k * (mpmath.cos(phi) - 1))

    width = 1 / mpmath.sqrt(kappa + d)
    points = [mpf(0), *[j * width for j in range(1, 30) if j * width < mpmath.pi], mpmath.pi]
    below = sorted({*[p for p in points if p < theta], theta})
    above = sorted({*[p for p in points if p > theta], theta})

    def distribution(k: mpf) -> mpf:
        lower = mpmath.quad(lambda phi: density(phi, k), below)
        return lower / (lower + mpmath.quad(lambda phi: density(phi, k), above))

    whole = mpmath.quad(lambda phi: density(phi, kappa), points)
    by_kappa = (distribution(kappa + h) - distribution(kappa - h)) / (2 * h)
    return -by_kappa * whole / density(theta, kappa)
