"""The weight of the KL divergence, as a model is given it."""

from __future__ import annotations

from torch import Tensor, nn

from vaekern._checks import number_or_scalar


def check_beta(beta: object) -> None:
    """Raises:
    TypeError: it is neither a number nor a tensor nor a module.
    ValueError: the tensor is not one floating-point number.
    """
    if isinstance(beta, type):
        raise TypeError(f"beta: expected a number or a module, got the class {beta.__name__}")
    if not isinstance(beta, nn.Module):
        number_or_scalar("beta", beta)  # type: ignore[arg-type]


def weight_now(beta: nn.Module | Tensor | float) -> Tensor | float:
    return number_or_scalar("beta", beta() if isinstance(beta, nn.Module) else beta)
