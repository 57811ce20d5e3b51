"""Likelihoods with a location and a scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vaekern._backends.plain.counts import log1p_ratio
from vaekern._backends.plain.elements import difference, image, per_datapoint, power_series, widen
from vaekern._backends.plain.scales import beside, deviations, log_variance

__all__ = [
    "asymmetric_laplace_log_likelihood",
    "discretized_logistic",
    "discretized_logistic_log_likelihood",
    "gaussian_log_likelihood",
    "laplace_log_likelihood",
    "student_t_log_likelihood",
]

_HALF_BIN = 1.0 / 255.0
#: What is lost by rounding it.
_HALF_BIN_LOW = {torch.float32: -2.319175823062074e-10, torch.float64: 5.442269728554689e-20}
_LOG_2PI = math.log(2.0 * math.pi)


def gaussian_log_likelihood(
    mean: Tensor, logvar: Tensor, x: Tensor, batch_dims: int, scale: str, uint8_range: str
) -> Tensor:
    mean, logvar = widen(mean, logvar, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, mean, uint8_range), mean, logvar, scale)
    v = log_variance(beside(u, logvar, scale), scale)
    return per_datapoint(-0.5 * (u * u + v + _LOG_2PI), batch_dims)


def laplace_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    sign = torch.where(u.isnan(), u, torch.sign(u)).detach()  # NaN of NaN
    log_scale = beside(u, log_scale, "log_std")
    return per_datapoint(-(sign * u + log_scale + math.log(2.0)), batch_dims)


def asymmetric_laplace_log_likelihood(
    loc: Tensor,
    log_scale: Tensor,
    x: Tensor,
    batch_dims: int,
    quantile: float,
    uint8_range: str,
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    slope = torch.where(u > 0.0, quantile, torch.where(u < 0.0, quantile - 1.0, u)).detach()
    log_weight = math.log(quantile) + math.log1p(-quantile)
    log_scale = beside(u, log_scale, "log_std")
    return per_datapoint(log_weight - log_scale - slope * u, batch_dims)


def student_t_log_likelihood(
    loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale, df = widen(loc, log_scale, df, *([x] if x.is_floating_point() else []))[:3]
    df = torch.where(df == math.inf, 1e30, df)  # a Gaussian, to every digit
    distance = image(x, loc, uint8_range) - loc
    # Where the inverse of a scale would overflow, that of a held one and the rest of the logarithm.
    least = 0.98 * math.log(torch.finfo(loc.dtype).smallest_normal)
    tiny = log_scale < least
    held = torch.where(tiny, least, log_scale)
    beyond = torch.where(tiny, least - log_scale, 0.0)
    infinite = distance.isinf()
    u = deviations(torch.where(infinite, 1.0, distance), torch.zeros_like(loc), held, "log_std")
    huge = infinite | ((u / df.sqrt()).detach().abs() > torch.finfo(loc.dtype).eps ** -2)
    ratio = torch.where(huge, 0.0, u) / torch.where(huge, 1.0, df).sqrt()  # it may have overflowed
    far = huge | (ratio.abs() > 1.0)
    near, large = torch.where(far, 0.0, ratio), torch.where(far & ~huge, ratio, 1.0)
    log_ratio = torch.where(huge, distance, 1.0).abs().log() - held - 0.5 * df.log()
    log_ratio = torch.where(huge, log_ratio, large.abs().log())
    above = 2.0 * log_ratio + torch.where(huge, 0.0, torch.log1p((1.0 / large).square()))
    # df log(1 + u^2 / df) as u^2 times a ratio: its derivative by df is of the order of u^4.
    square = near * near
    close = torch.where(far, 0.0, u).square() * log1p_ratio(square) + torch.log1p(square)
    total = torch.where(far, (df + 1.0) * above, close)
    at_loc = log_half_step(0.5 * df) - 0.5 * _LOG_2PI
    further = torch.where(distance == 0, 1.0, -df) * beyond
    return per_datapoint(at_loc - held - 0.5 * total + further, batch_dims)


def log_half_step(a: Tensor) -> Tensor:
    """log(Gamma(a + 1/2) / Gamma(a)) - log(a) / 2 for a > 0, which vanishes for large a: the
    asymptotic series, reached in steps of 1."""
    steps = torch.zeros_like(a)
    for n in range(10):
        z = a + n
        small = z < 1.0  # z (z + 1) / (z + 1/2)^2, which is 1 - 1 / (2 z + 1)^2
        low = torch.where(small, z, 1.0)
        high = torch.where(small, 1.0, z)
        below = torch.log(low / (low + 0.5) * ((low + 1.0) / (low + 0.5)))
        steps = steps + torch.where(small, below, torch.log1p(-((2.0 * high + 1.0) ** -2)))
    inverse = 1.0 / (a + 10.0)
    terms = [-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224, -5461 / 425984]
    return 0.5 * steps + inverse * power_series(inverse * inverse, terms)


def discretized_logistic_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    return per_datapoint(discretized_logistic(loc, log_scale, image(x, loc, "signed")), batch_dims)


def discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """log P of the bin of each x, one of 256 in [-1, 1], from the logistic function at its ends."""
    centre = difference(x, loc)
    most = math.log(torch.finfo(log_scale.dtype).max) - 1.0
    limited = torch.where(log_scale > most, most, log_scale)
    upper = _in_units(_end(centre, 1.0), limited, x > 0.999)
    lower = _in_units(_end(centre, -1.0), limited, x < -0.999)
    inverse = torch.exp(-torch.where(log_scale < -most, -most, limited))
    wide = log_scale > 40.0  # the bin's width loses its digits
    width = 2.0 * _HALF_BIN * torch.where(wide, 1.0, inverse)
    log_share = torch.where(
        wide, math.log(2.0 * _HALF_BIN) - log_scale, log_one_minus_exp_of_minus(width)
    )
    below, above = functional.logsigmoid(upper), functional.logsigmoid(lower)
    inside = below + above + log_share
    return torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside))


def _end(centre: tuple[Tensor, Tensor], side: float) -> Tensor:
    """How far the upper (1) or lower (-1) end of a bin around the centre is on its own side of 0,
    to the last digit where the half width nearly cancels the centre."""
    value, lost = difference(centre[0], torch.full_like(centre[1], -side * _HALF_BIN))
    return side * (value + (lost + centre[1] + side * _HALF_BIN_LOW[value.dtype]))


def _in_units(end: Tensor, log_scale: Tensor, unused: Tensor) -> Tensor:
    """The end of a bin in units of a scale that may be 0. On its own side, at 0 or unused, there is
    nothing to differentiate then."""
    settled = torch.exp(-log_scale).isinf() & ((end >= 0) | unused)
    product = end * torch.exp(-torch.where(settled, 0.0, log_scale))
    return torch.where(settled, torch.where(end > 0, 1e4, 0.0), product)


def log_one_minus_exp_of_minus(w: Tensor) -> Tensor:
    """log(1 - e^-w) for w >= 0."""
    near = w < math.log(2.0)
    small, large = torch.where(near, w, 1.0), torch.where(near, 1.0, w)
    return torch.where(near, (-torch.expm1(-small)).log(), torch.log1p(-torch.exp(-large)))
