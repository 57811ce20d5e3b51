"""The angle between a von Mises-Fisher sample and its direction: a sampler, and its derivative.

The angle theta has a density proportional to sin(theta)^(d-2) e^(kappa cos(theta)). The rejection
sampler of Ulrich (1984) and Wood (1994) proposes the image of a uniform point of the sphere under a
conformal map, which multiplies tan(theta / 2); at least 0.65 of all proposals are accepted. Here a
fixed number of them is made at once and the first accepted one taken: nothing depends on how many
were refused, neither shapes nor the host. With probability below 5e-8 all are, and the first stays.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern.posteriors._bessel import cumulant

PROPOSALS = 16
#: Standard normals that an angle is made of.
NOISE = 4 * PROPOSALS

#: Where the density is e^-30 of that at theta, an integral up to theta may begin.
_DROP = 30.0
_SHARES = 64
#: Of the quadrature, on either side of the middle, and how far they reach.
_NODES = 24
_REACH = 3.0


def polar_angle(kappa: Tensor, noise: Tensor, dims: int) -> Tensor:
    """For concentrations [..., 1] and standard normals [..., NOISE], differentiable in kappa."""
    compiling = torch.compiler.is_compiling()
    kind = PolarAngle if compiling else PolarAngleWithForwardMode
    angle: Tensor = kind.apply(kappa, noise, dims)
    return angle


class PolarAngle(Function):
    r"""The angle, with its implicit derivative.

    .. math:: \frac{d\theta}{d\kappa} = -\frac{\partial F / \partial\kappa}{\partial F /
        \partial\theta}

    F being the distribution function (Figurnov et al. 2018, eq. 6). It is that of samples which do
    not jump where the rejection decides otherwise, and gradients are unbiased without a correction
    by the score function, which the loss itself would have to be known for.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(kappa: Tensor, noise: Tensor, dims: int) -> Tensor:
        return _first_accepted(kappa, noise, dims)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        kappa, _, ctx.dims = inputs
        ctx.save_for_backward(kappa, output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        kappa, theta = ctx.saved_tensors
        return g * angle_slope(theta, kappa, ctx.dims), None, None


class PolarAngleWithForwardMode(PolarAngle):
    """The same, for which torch's compiler would have no use."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        PolarAngle.setup_context(ctx, inputs, output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def jvp(ctx: Any, t_kappa: Tensor, *_: None) -> Tensor:
        kappa, theta = ctx.saved_tensors
        return t_kappa * angle_slope(theta, kappa, ctx.dims)


def _first_accepted(kappa: Tensor, noise: Tensor, dims: int) -> Tensor:
    a, b, c, d = noise.unflatten(-1, (4, PROPOSALS)).unbind(-2)
    cos_half, sin_half = _half_angle_of_uniform_point(a, b, dims)
    n = dims - 1.0
    # The conformal map: tan(theta / 2) times the square root of this, which is 1 for kappa = 0.
    factor = n / (2.0 * kappa + torch.sqrt(4.0 * kappa * kappa + n * n))
    adjacent, opposite = cos_half.square(), factor * sin_half.square()
    # 1 - cos(theta), less that at the density's mode, in units in which the density that is wanted
    # over the one proposed is (1 + x)^(d - 1) e^(-(d - 1) x), at most 1.
    x = kappa * (2.0 * opposite / (adjacent + opposite) - 2.0 * factor / (1.0 + factor)) / n
    accepted = n * (torch.log1p(x) - x) >= -0.5 * (c * c + d * d)  # log of a uniform number
    chosen = accepted.to(torch.int8).argmax(-1, keepdim=True)  # the first
    return 2.0 * torch.atan2(opposite.sqrt(), cos_half).gather(-1, chosen)


def _half_angle_of_uniform_point(a: Tensor, b: Tensor, dims: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of half the angle between a uniform point of S^(d-1) and the pole, from two
    standard normals. Its cosine is symmetrically beta distributed (Ulrich 1984: the polar method),
    and neither half loses digits near the poles."""
    square = a * a + b * b
    if dims == 2:
        missing, radius = b * b / square, square.rsqrt()
    else:
        shrunk = -square / (dims - 2.0)
        missing = (b * b + a * a * torch.exp(shrunk)) / square
        radius = torch.sqrt(-torch.expm1(shrunk) / square)
    near = 0.5 * missing / (1.0 + (a * radius).abs())  # (1 - |cosine|) / 2
    far = 1.0 - near
    forwards = a > 0.0
    return torch.where(forwards, far, near).sqrt(), torch.where(forwards, near, far).sqrt()


def angle_slope(theta: Tensor, kappa: Tensor, dims: int) -> Tensor:
    """d theta / d kappa, at a fixed value of the distribution function: the integral of
    (A - cos) times the density up to theta, over the density. It is taken from the side on which
    the integrand keeps its sign, over the part that counts."""
    wide, kappa = theta.double(), kappa.double()
    mean = kappa * cumulant(kappa, dims)[1]
    end = _where_it_is_negligible(wide.detach(), kappa.detach(), mean.detach(), dims)
    nodes, weights = _tanh_sinh(wide)
    phi = wide + (end - wide) * nodes
    integrand = (torch.cos(phi) - mean) * torch.exp(_log_density(phi, wide, kappa, dims))
    slope = (end - wide) * (weights * integrand).sum(-1, keepdim=True)
    return slope.to(theta.dtype)


def _log_density(phi: Tensor, theta: Tensor, kappa: Tensor, dims: int) -> Tensor:
    """At phi, relative to that at theta."""
    half_sum, half_difference = 0.5 * (phi + theta), 0.5 * (phi - theta)
    exponent = -2.0 * kappa * torch.sin(half_sum) * torch.sin(half_difference)
    if dims == 2:
        return exponent
    return exponent + (dims - 2.0) * torch.log(torch.sin(phi).abs() / torch.sin(theta))


def _where_it_is_negligible(theta: Tensor, kappa: Tensor, mean: Tensor, dims: int) -> Tensor:
    """On the side of theta that the mean is not on. The density has one maximum, and so passes
    e^-30 there at most once."""
    end = math.pi * (torch.cos(theta) <= mean).to(theta.dtype)
    shares = 0.8 ** torch.arange(_SHARES, device=theta.device, dtype=theta.dtype)
    log_density = _log_density(theta + (end - theta) * shares, theta, kappa, dims)
    share = torch.where(log_density < -_DROP, shares, 1.0).amin(-1, keepdim=True)
    return theta + (end - theta) * share


def _tanh_sinh(like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights for an integral from 0 to 1 (Takahasi & Mori 1974). Made where they are
    used: nothing is sent to the device."""
    step = torch.arange(-_NODES, _NODES + 1, device=like.device, dtype=like.dtype)
    t = step * (_REACH / _NODES)
    u = 0.5 * math.pi * torch.sinh(t)
    density = 0.25 * math.pi * torch.cosh(t) / torch.cosh(u).square()
    return torch.sigmoid(2.0 * u), density * (_REACH / _NODES)
