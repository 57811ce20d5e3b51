"""What is measured: computations with their inputs, results, right answers and memory traffic.

A family is a training step's loss, or one operation of the library by itself. Everything that
measures or checks follows from this table; a provider has a form for each family that it can do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

import vaekern as vk

_LOG_2PI = math.log(2.0 * math.pi)

Shape = tuple[int, ...]
Draw = Callable[["Random", Shape], Tensor]

#: A provider's code for one family: operands -> its result, or results as a tuple.
Form = Callable[..., "Tensor | tuple[Tensor, ...]"]

# --- inputs ---------------------------------------------------------------------------------------


class Random:
    """Random numbers of a seed on a device: the same values, rounded, for each dtype."""

    def __init__(self, dtype: torch.dtype, device: torch.device, seed: int) -> None:
        self.dtype = dtype
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def normal(self, shape: Shape, mean: float = 0.0, std: float = 1.0) -> Tensor:
        numbers = torch.randn(shape, generator=self.generator, device=self.device)
        return numbers.mul_(std).add_(mean).to(self.dtype)

    def uniform(self, shape: Shape) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device).to(self.dtype)

    def levels(self, shape: Shape) -> Tensor:
        """256 of them, rescaled to [-1, 1]."""
        numbers = torch.randint(256, shape, generator=self.generator, device=self.device)
        return (2.0 * numbers / 255.0 - 1.0).to(self.dtype)

    def sigmoid(self, shape: Shape) -> Tensor:
        return torch.sigmoid(self.normal(shape).float()).to(self.dtype)

    def counts(self, shape: Shape) -> Tensor:
        """From 0 to 15, which every dtype holds."""
        generator = self.generator
        return torch.randint(16, shape, generator=generator, device=self.device).to(self.dtype)

    def constant(self, number: float) -> Tensor:
        return torch.full((), number, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class Operand:
    """An input; ``on`` names its shape, of those that a workload has. ``x`` gets no gradient."""

    name: str
    on: str
    draw: Draw

    @property
    def is_leaf(self) -> bool:
        return self.name != "x"


def _normal(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape)


def _logvar(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape, mean=-1.0, std=0.5)


# Logits of standard deviation 1 stay below 6, where a bfloat16 sigmoid becomes 1 and peers that
# take probabilities lose their gradient.
_BERNOULLI = (
    Operand("logits", "data", _normal),
    Operand("x", "data", Random.uniform),
)
_BERNOULLI_PROBS = (
    Operand("probs", "data", Random.sigmoid),
    Operand("x", "data", Random.uniform),
)
# x is no sample of the model, or the derivative of the shared logvar would be a difference of two
# nearly equal sums, which no provider in bfloat16 gets right.
_GAUSSIAN = (
    Operand("mean", "data", _normal),
    Operand("x_logvar", "scalar", lambda random, _: random.constant(-1.0)),
    Operand("x", "data", _normal),
)
_LAPLACE = (
    Operand("loc", "data", _normal),
    Operand("log_scale", "scalar", lambda random, _: random.constant(-0.5)),
    Operand("x", "data", _normal),
)
_DISCRETIZED_LOGISTIC = (
    Operand("loc", "data", lambda random, shape: random.normal(shape, std=0.5)),
    Operand("log_scale", "scalar", lambda random, _: random.constant(-1.5)),
    Operand("x", "data", Random.levels),
)
_STUDENT_T = (*_LAPLACE[:2], Operand("df", "scalar", lambda random, _: random.constant(4.0)),
              _LAPLACE[2])  # fmt: skip
# Classes are the last dimension of the data; of x there is one for each row.
_CATEGORICAL = (
    Operand("logits", "data", _normal),
    Operand("x", "data", lambda random, shape: random.uniform(shape).argmax(-1)),
)
_MULTINOMIAL = (
    Operand("logits", "data", _normal),
    Operand("x", "data", lambda random, shape: random.uniform(shape).mul_(4.0).floor_()),
)
_POISSON = (Operand("log_rate", "data", _normal), Operand("x", "data", Random.counts))
_NEGATIVE_BINOMIAL = (
    Operand("log_mean", "data", _normal),
    Operand("log_dispersion", "scalar", lambda random, _: random.constant(1.0)),
    Operand("x", "data", Random.counts),
)
_ZERO_INFLATED = (
    *_NEGATIVE_BINOMIAL[:2],
    Operand("zero_logits", "scalar", lambda random, _: random.constant(-1.0)),
    _NEGATIVE_BINOMIAL[2],
)
_POSTERIOR = (Operand("mu", "latent", _normal), Operand("logvar", "latent", _logvar))
_PRIOR = (Operand("prior_mu", "latent", _normal), Operand("prior_logvar", "latent", _logvar))

# --- right answers, in float64 --------------------------------------------------------------------


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * logits - functional.softplus(logits, threshold=1000.0))


def _bernoulli_probs(probs: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * torch.log(probs) + (1.0 - x) * torch.log1p(-probs))


def _continuous_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * logits - torch.log(torch.expm1(logits) / logits))


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(-0.5 * ((x - mean).square() * torch.exp(-x_logvar) + x_logvar + _LOG_2PI))


def _laplace(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(-((x - loc).abs() * torch.exp(-log_scale) + log_scale + math.log(2.0)))


def _student_t(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    u = (x - loc) * torch.exp(-log_scale)
    normaliser = torch.lgamma(0.5 * (df + 1.0)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(df)
    at_loc = normaliser - 0.5 * math.log(math.pi) - log_scale
    return _per_datapoint(at_loc - 0.5 * (df + 1.0) * torch.log1p(u.square() / df))


def _discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    upper, lower = (torch.exp(-log_scale) * (x - loc + end) for end in (1 / 255, -1 / 255))
    inside = torch.sigmoid(upper) - torch.sigmoid(lower)
    below, above = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    edges = torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside.log()))
    return _per_datapoint(edges)


def _categorical(logits: Tensor, x: Tensor) -> Tensor:
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return _per_datapoint(log_p.gather(-1, x.long().unsqueeze(-1)))


def _multinomial(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * (logits - logits.logsumexp(-1, keepdim=True)))


def _poisson(log_rate: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * log_rate - torch.exp(log_rate) - torch.lgamma(x + 1.0))


def _negative_binomial_elements(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    theta, both = torch.exp(log_dispersion), torch.logaddexp(log_mean, log_dispersion)
    gammas = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1.0)
    return gammas + theta * (log_dispersion - both) + x * (log_mean - both)


def _negative_binomial(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(_negative_binomial_elements(log_mean, log_dispersion, x))


def _zero_inflated(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor
) -> Tensor:
    count = _negative_binomial_elements(log_mean, log_dispersion, x)
    of_zero = torch.logaddexp(zero_logits, count)
    return _per_datapoint(
        torch.where(x == 0, of_zero, count) - functional.softplus(zero_logits, threshold=1000.0)
    )


def _standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return _per_datapoint(0.5 * (mu.square() + torch.expm1(logvar) - logvar))


def _gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    delta = logvar - prior_logvar
    distance = (mu - prior_mu).square() * torch.exp(-prior_logvar)
    return _per_datapoint(0.5 * (distance + torch.expm1(delta) - delta))


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return (_standard_kl(mu, logvar) - _bernoulli(logits, x)).mean()


def _gaussian_elbo(mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return (_standard_kl(mu, logvar) - _gaussian(mean, x_logvar, x)).mean()


def _per_datapoint(elements: Tensor) -> Tensor:
    return elements.flatten(1).sum(1)


def _image_nll(params: Tensor, x: Tensor) -> Tensor:
    return -vk.reference.logistic_mixture_log_likelihood(params, x).mean()


# --- the table ------------------------------------------------------------------------------------

#: How many tensors of each shape move through memory at least.
Streams = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """``operands`` in the order that forms take them. ``results`` in the order that they return
    them: "z", one number per element of the latent shape, then "per datapoint" or "mean".

    ``oracle`` is the result beside z. ``streams``, for "forward", "backward" and "both", are what
    must move if each tensor is read and written as rarely as can be: nothing is stored between
    forward and backward, and noise is made in the kernels.
    """

    name: str
    operands: tuple[Operand, ...]
    results: tuple[str, ...]
    oracle: Callable[..., Tensor] | None
    streams: Mapping[str, Streams]

    @property
    def is_op(self) -> bool:
        """An operation by itself rather than a loss around networks."""
        return "mean" not in self.results


def _apart(on: str, forward: int, backward: int) -> Mapping[str, Streams]:
    both = forward + backward
    return {"forward": {on: forward}, "backward": {on: backward}, "both": {on: both}}


# Likelihood: output, x -> gradient, all in one pass. Latent: mu, logvar -> z in the forward,
# mu, logvar, gz -> 2 gradients in the backward. The split between the two is a provider's choice.
_ELBO = {"both": {"data": 3, "latent": 8}}

_DATAPOINT, _SAMPLE, _SAMPLE_KL = ("per datapoint",), ("z",), ("z", "per datapoint")

FAMILIES = {
    family.name: family
    for family in (
        Family("bernoulli_elbo", _BERNOULLI + _POSTERIOR, ("z", "mean"), _bernoulli_elbo, _ELBO),
        Family("gaussian_elbo", _GAUSSIAN + _POSTERIOR, ("z", "mean"), _gaussian_elbo, _ELBO),
        Family(  # vaekern.elbo_loss, with the Bernoulli likelihood
            "elbo_loss",
            _BERNOULLI + _POSTERIOR,
            ("mean",),
            _bernoulli_elbo,
            {"both": {"data": 3, "latent": 4}},
        ),
        Family(  # a mixture's parameters, 10 for each component, in place of a latent variable
            "image_nll",
            (Operand("params", "latent", _normal), Operand("x", "data", Random.levels)),
            ("mean",),
            _image_nll,
            {"both": {"data": 2, "latent": 3}},
        ),
        # The operations, by their names in vaekern's table.
        Family(
            "bernoulli_log_likelihood", _BERNOULLI, _DATAPOINT, _bernoulli, _apart("data", 2, 3)
        ),
        Family(
            "bernoulli_probs_log_likelihood",
            _BERNOULLI_PROBS,
            _DATAPOINT,
            _bernoulli_probs,
            _apart("data", 2, 3),
        ),
        Family(
            "continuous_bernoulli_log_likelihood",
            _BERNOULLI,
            _DATAPOINT,
            _continuous_bernoulli,
            _apart("data", 2, 3),
        ),
        Family("gaussian_log_likelihood", _GAUSSIAN, _DATAPOINT, _gaussian, _apart("data", 2, 3)),
        Family("laplace_log_likelihood", _LAPLACE, _DATAPOINT, _laplace, _apart("data", 2, 3)),
        Family(
            "student_t_log_likelihood", _STUDENT_T, _DATAPOINT, _student_t, _apart("data", 2, 3)
        ),
        Family(
            "discretized_logistic_log_likelihood",
            _DISCRETIZED_LOGISTIC,
            _DATAPOINT,
            _discretized_logistic,
            _apart("data", 2, 3),
        ),
        Family(
            "categorical_log_likelihood",
            _CATEGORICAL,
            _DATAPOINT,
            _categorical,
            _apart("data", 1, 2),
        ),
        Family(  # without the coefficient
            "multinomial_log_likelihood",
            _MULTINOMIAL,
            _DATAPOINT,
            _multinomial,
            _apart("data", 2, 3),
        ),
        Family("poisson_log_likelihood", _POISSON, _DATAPOINT, _poisson, _apart("data", 2, 3)),
        Family(
            "negative_binomial_log_likelihood",
            _NEGATIVE_BINOMIAL,
            _DATAPOINT,
            _negative_binomial,
            _apart("data", 2, 3),
        ),
        Family(
            "zero_inflated_negative_binomial_log_likelihood",
            _ZERO_INFLATED,
            _DATAPOINT,
            _zero_inflated,
            _apart("data", 2, 3),
        ),
        Family("standard_kl", _POSTERIOR, _DATAPOINT, _standard_kl, _apart("latent", 2, 4)),
        Family(
            "gaussian_kl", _POSTERIOR + _PRIOR, _DATAPOINT, _gaussian_kl, _apart("latent", 4, 8)
        ),
        # The gradient of mu is that of z as it is.
        Family("reparameterize", _POSTERIOR, _SAMPLE, None, _apart("latent", 3, 3)),
        Family(
            "sample_with_standard_kl", _POSTERIOR, _SAMPLE_KL, _standard_kl, _apart("latent", 3, 5)
        ),
        Family(
            "sample_with_gaussian_kl",
            _POSTERIOR + _PRIOR,
            _SAMPLE_KL,
            _gaussian_kl,
            _apart("latent", 5, 9),
        ),
    )
}

OPS = tuple(name for name, family in FAMILIES.items() if family.is_op)
