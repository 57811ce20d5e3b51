"""From what an encoder returns to a posterior."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from vaekern._modules.outputs import described
from vaekern._ops.call import Clamp
from vaekern._torch import shape_to_compare
from vaekern.posteriors import DiagonalGaussian, Posterior


def diagonal_of_output(
    output: Any, split: int, scale: str, logvar_clamp: Clamp | None
) -> DiagonalGaussian:
    """Of (mu, logvar), or of one tensor that is both, side by side along dimension ``split``;
    0 is not to split."""
    if isinstance(output, Tensor) and split:
        output = halves(output, split)
    if not (isinstance(output, (tuple, list)) and len(output) == 2):
        hint = ""
        if isinstance(output, Tensor):
            hint = "; vk.VAE(..., split=True) takes its halves along dimension 1"
        raise TypeError(f"encoder: expected a tuple (mu, logvar), got {described(output)}{hint}")
    mu, logvar = output
    both = isinstance(mu, Tensor) and isinstance(logvar, Tensor)
    if not both or shape_to_compare(mu) != shape_to_compare(logvar):
        raise TypeError(
            "encoder: expected a tuple (mu, logvar) of tensors of one shape, got "
            f"{described(mu)} and {described(logvar)}"
        )
    return DiagonalGaussian(mu, logvar, scale=scale, logvar_clamp=logvar_clamp)


def halves(output: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    if not -output.dim() < dim < output.dim() or shape_to_compare(output)[dim] % 2 == 1:
        raise ValueError(
            f"encoder: expected a tensor with an even size of dimension {int(dim)}, to split, got "
            f"shape {tuple(output.shape)}"
        )
    mu, logvar = output.chunk(2, dim=int(dim))  # of True, too
    return mu, logvar


def posterior_of_output(family: Callable[..., Posterior], output: Any) -> Posterior:
    """What ``posterior=`` makes of it."""
    if not isinstance(output, (Tensor, tuple, list)):
        raise TypeError(
            f"encoder: expected a tensor or a tuple, for posterior, got {described(output)}"
        )
    try:
        posterior = family(output) if isinstance(output, Tensor) else family(*output)
    except TypeError as error:
        _complain_of_the_number(family, output, error)
        raise
    if not isinstance(posterior, Posterior):
        raise TypeError(
            "posterior: expected a function that returns a vaekern.posteriors.Posterior, got "
            f"{type(posterior).__name__}"
        )
    return posterior


def _complain_of_the_number(family: Any, output: Any, error: TypeError) -> None:
    """Where it is the number of arguments that does not fit."""
    parts = (output,) if isinstance(output, Tensor) else tuple(output)
    try:
        signature = inspect.signature(getattr(family, "forward", family))
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*parts)
    except TypeError:
        raise TypeError(
            f"encoder: expected what posterior takes, {signature}, got {described(output)}"
        ) from error


def check_prior_reads_alike(prior: Any, options: dict[str, Any]) -> None:
    """A prior made of the model's posteriors makes them by itself.

    Raises:
        ValueError: it takes the encoder's outputs for something else than the model does.
    """
    given = {name: value for name, value in options.items() if value not in (None, "logvar")}
    if options["posterior"] is DiagonalGaussian:
        del given["posterior"]
    if given and getattr(prior, "posterior", None) is DiagonalGaussian:
        raise ValueError(
            f"prior: expected {type(prior).__name__}(..., posterior=...) to make of the encoder's "
            f"outputs what the model makes with {given}, got the default DiagonalGaussian"
        )
