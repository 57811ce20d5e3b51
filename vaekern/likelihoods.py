"""Likelihoods p(x | decoder output) as modules: log-probability, mean and samples.

Anything with these three methods and an ``nn.Module`` base can stand in for them in
:class:`vaekern.VAE` and :func:`vaekern.elbo_loss`.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from vaekern._call import Call, Clamp, run
from vaekern._categorical_likelihoods import (
    categorical_call,
    multinomial_call,
    multinomial_log_likelihood,
)
from vaekern._location_likelihoods import laplace_call
from vaekern.functional import bernoulli_call, gaussian_call, reparameterize

DecoderOutput: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


class Likelihood(nn.Module):
    """The interface. Subclasses that fit a fused operation implement :meth:`call`; others
    override :meth:`log_prob`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call | None:
        """The fused operation that computes :meth:`log_prob`, if there is one."""
        return None

    def log_prob(self, decoder_output: DecoderOutput, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(x | decoder output) per datapoint, in nats: the shape ``x.shape[:batch_dims]``."""
        call = self.call(decoder_output, x, batch_dims)
        if call is None:
            raise NotImplementedError(f"{type(self).__name__} has neither call nor log_prob")
        log_prob: Tensor = run(call)
        return log_prob

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """The mean of p(x | decoder output)."""
        raise NotImplementedError

    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        """One sample of p(x | decoder output) for each datapoint. Carries no gradient."""
        raise NotImplementedError


class BernoulliLikelihood(Likelihood):
    """Bernoulli pixels; the decoder emits logits. See :func:`vaekern.bernoulli_log_likelihood`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return bernoulli_call(_single(decoder_output), x, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return torch.sigmoid(_single(decoder_output))

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.bernoulli(self.mean(decoder_output), generator=generator)


class GaussianLikelihood(Likelihood):
    """Gaussian data. See :func:`vaekern.gaussian_log_likelihood`.

    The decoder emits the mean, or a tuple (mean, logvar); without the latter the module's own
    ``logvar`` is used.

    Args:
        logvar: the log-variance (see ``scale``) where the decoder gives none: a number, or a
            tensor that broadcasts as in :func:`vaekern.gaussian_log_likelihood`.
        learned: make ``logvar`` a parameter.
        scale: what log-variances are given as: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"signed"``.
    """

    def __init__(
        self,
        logvar: Tensor | float = 0.0,
        *,
        learned: bool = False,
        scale: str = "logvar",
        logvar_clamp: Clamp | None = None,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        self.logvar: Tensor | float
        _hold(self, "logvar", logvar, learned)
        self.scale = scale
        self.logvar_clamp = logvar_clamp
        self.uint8_range = uint8_range

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        mean, logvar = self._split(decoder_output)
        return gaussian_call(
            mean, x, logvar, self.scale, self.logvar_clamp, batch_dims, self.uint8_range
        )

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0]

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        mean, logvar = self._split(decoder_output)
        return reparameterize(
            mean,
            _spread(logvar, mean),
            generator=generator,
            scale=self.scale,
            logvar_clamp=self.logvar_clamp,
        )

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        if isinstance(decoder_output, Tensor):
            return decoder_output, self.logvar
        mean, logvar = decoder_output
        return mean, logvar


class LaplaceLikelihood(Likelihood):
    """Laplace data; the decoder emits the location. See :func:`vaekern.laplace_log_likelihood`.

    Args:
        log_scale: the logarithm of the scale: a number, or a tensor that broadcasts as ``logvar``
            does in :func:`vaekern.gaussian_log_likelihood`.
        learned: make ``log_scale`` a parameter.
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"signed"``.
    """

    def __init__(
        self,
        log_scale: Tensor | float = 0.0,
        *,
        learned: bool = False,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        self.log_scale: Tensor | float
        _hold(self, "log_scale", log_scale, learned)
        self.uint8_range = uint8_range

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc = _single(decoder_output)
        return laplace_call(loc, x, self.log_scale, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return _single(decoder_output)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc = _single(decoder_output)
        # The difference of two exponentials is Laplacian.
        ends = loc.new_empty((2, *loc.shape)).exponential_(generator=generator)
        return loc + torch.exp(_spread(self.log_scale, loc)) * (ends[0] - ends[1])


class CategoricalLikelihood(Likelihood):
    """Classes; the decoder emits their logits, in one dimension more than the data have. See
    :func:`vaekern.categorical_log_likelihood`. Probabilities take the place of the mean."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return categorical_call(_single(decoder_output), x, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return torch.softmax(_single(decoder_output), -1)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = _single(decoder_output)
        return _draw_classes(logits, 1, generator).reshape(logits.shape[:-1])


class MultinomialLikelihood(Likelihood):
    """Counts of classes; the decoder emits logits. See :func:`vaekern.multinomial_log_likelihood`.

    Args:
        total: how many draws :meth:`mean` and :meth:`sample` stand for.
        coefficient: whether the log-likelihood includes the multinomial coefficient.
    """

    def __init__(self, total: int = 1, *, coefficient: bool = True) -> None:
        super().__init__()
        self.total = total
        self.coefficient = coefficient

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call | None:
        if self.coefficient:
            return None
        return multinomial_call(_single(decoder_output), x, batch_dims)

    def log_prob(self, decoder_output: DecoderOutput, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        return multinomial_log_likelihood(
            _single(decoder_output), x, coefficient=self.coefficient, batch_dims=batch_dims
        )

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self.total * torch.softmax(_single(decoder_output), -1)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = _single(decoder_output)
        drawn = _draw_classes(logits, self.total, generator)
        counts = torch.zeros_like(logits).reshape(-1, logits.shape[-1])
        return counts.scatter_add_(1, drawn, counts.new_ones(drawn.shape)).reshape(logits.shape)


def _draw_classes(logits: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n of them for each row of logits: [rows, n]."""
    p = torch.softmax(logits.float(), -1).reshape(-1, logits.shape[-1])
    return torch.multinomial(p, n, replacement=True, generator=generator)


def _hold(module: nn.Module, name: str, value: Tensor | float, learned: bool) -> None:
    """As a parameter, a buffer or a number."""
    if learned:
        value = nn.Parameter(torch.as_tensor(value, dtype=torch.get_default_dtype()))
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


def _spread(parameter: Tensor | float, like: Tensor) -> Tensor:
    """One number per element of ``like``."""
    parameter = torch.as_tensor(parameter, dtype=like.dtype, device=like.device)
    if parameter.dim() == 1 and like.dim() > 2:
        parameter = parameter.reshape(-1, *(1,) * (like.dim() - 2))  # one per channel
    return parameter.expand(like.shape)


def _single(decoder_output: DecoderOutput) -> Tensor:
    if not isinstance(decoder_output, Tensor):
        raise TypeError(
            f"decoder_output: expected a tensor of logits, got {type(decoder_output).__name__}"
        )
    return decoder_output


#: Likelihoods by name. They have no state, so all losses and models share them.
_NAMED = {
    "bernoulli": BernoulliLikelihood(),
    "gaussian": GaussianLikelihood(),
    "laplace": LaplaceLikelihood(),
    "categorical": CategoricalLikelihood(),
    "multinomial": MultinomialLikelihood(),
}


def likelihood_named(likelihood: str | Likelihood) -> Likelihood:
    """The likelihood itself, or the one of a name: ``"bernoulli"``, ``"gaussian"``,
    ``"laplace"``, ``"categorical"`` or ``"multinomial"``."""
    if isinstance(likelihood, nn.Module):
        return likelihood
    if likelihood in _NAMED:
        return _NAMED[likelihood]
    raise ValueError(
        f"likelihood: expected {', '.join(map(repr, _NAMED))} or a module with log_prob, "
        f"got {likelihood!r}"
    )
