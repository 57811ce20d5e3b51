"""The likelihoods that go by a name."""

from __future__ import annotations

from torch import nn

from vaekern._checks import SCALES
from vaekern.likelihoods import (
    _asymmetric_laplace,
    _bernoulli_probs,
    _classes,
    _continuous_bernoulli,
    _counts,
    _elementwise,
    _images,
    _optimal_gaussian,
    _student_t,
)
from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._elementwise import GaussianLikelihood

_MODULES = (
    _elementwise,
    _bernoulli_probs,
    _continuous_bernoulli,
    _asymmetric_laplace,
    _student_t,
    _optimal_gaussian,
    _images,
    _classes,
    _counts,
)

#: Likelihoods by name. Each can be made without arguments.
NAMED: dict[str, type[Likelihood]] = {
    kind.name: kind
    for module in _MODULES
    for kind in [getattr(module, name) for name in module.__all__]
}


def likelihood_named(likelihood: str | Likelihood, scale: str = "logvar") -> Likelihood:
    """The likelihood itself, or a new one of that name; ``scale`` is how that reads a deviation
    that the decoder emits."""
    if isinstance(likelihood, nn.Module):
        if not callable(getattr(likelihood, "log_prob", None)):
            raise TypeError(
                f"likelihood: expected a module with log_prob(decoder_output, x), got "
                f"{type(likelihood).__name__}, which has none"
            )
        return likelihood
    if not isinstance(likelihood, str) or likelihood not in NAMED:
        raise ValueError(
            f"likelihood: expected {', '.join(map(repr, NAMED))} or a module (no class) with "
            f"log_prob, got {likelihood!r}"
        )
    if likelihood == "gaussian" and scale != "logvar":
        return GaussianLikelihood(1.0 if scale == "std" else 0.0, scale=scale)
    return NAMED[likelihood]()


_SHARED = {(name, scale): likelihood_named(name, scale) for name in NAMED for scale in SCALES}


def shared_likelihood(likelihood: str | Likelihood, scale: str) -> Likelihood:
    """The same, with one module for all calls: for losses, which keep none."""
    if isinstance(likelihood, str) and (likelihood, scale) in _SHARED:
        return _SHARED[likelihood, scale]
    return likelihood_named(likelihood, scale)
