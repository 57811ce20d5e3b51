"""The interface of likelihood modules, and what they share."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_mask
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op

DecoderOutput: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


class Likelihood(nn.Module):
    """The interface. Subclasses that fit a fused operation implement :meth:`call`; others
    override :meth:`log_prob`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call | None:
        """The fused operation that computes :meth:`log_prob`, if there is one."""
        return None

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int
    ) -> tuple[Op, tuple[Any, ...]] | None:
        """The operation of :meth:`call` and its arguments, which nobody has checked: for the fast
        path. Of this package's own classes alone, since whoever overrides :meth:`call` may mean
        something else."""
        return None

    def log_prob(self, decoder_output: DecoderOutput, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(x | decoder output) per datapoint, in nats: the shape ``x.shape[:batch_dims]``."""
        call = self.call(decoder_output, x, batch_dims)
        if call is None:
            raise NotImplementedError(f"{type(self).__name__} has neither call nor log_prob")
        log_prob: Tensor = run(call)
        return log_prob

    def masked_log_prob(
        self, decoder_output: DecoderOutput, x: Tensor, mask: Tensor, *, batch_dims: int = 1
    ) -> Tensor:
        """:meth:`log_prob` of what a mask says counts, [*batch]: for :func:`vaekern.elbo_loss`,
        where no fused operation takes the mask. Here that is one of elements, of the shape of x or
        with a 1 for each dimension it is shared over, and :meth:`log_prob` a sum over them;
        likelihoods with coarser terms override this.

        Raises:
            ValueError: the mask's shape or device does not fit, or there is not one term for each
                element.
            TypeError: the mask is not bool.
        """
        check_mask("mask", mask, "x", x)
        inside = x.masked_fill(~mask, 0)  # no NaN is left to reach a gradient
        elements = self.log_prob(decoder_output, inside, batch_dims=x.dim())
        if elements.shape != x.shape:
            raise ValueError(
                f"mask: expected a likelihood with one term for each of the {tuple(x.shape)} "
                f"elements of x, got {tuple(elements.shape)}"
            )
        return per_datapoint(elements.masked_fill(~mask, 0.0), batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """The mean of p(x | decoder output)."""
        raise NotImplementedError

    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        """One sample of p(x | decoder output) for each datapoint. Carries no gradient."""
        raise NotImplementedError


def hold(module: nn.Module, name: str, value: Tensor | float, learned: bool) -> None:
    """As a parameter, a buffer or a number."""
    if learned:
        value = nn.Parameter(torch.as_tensor(value, dtype=torch.get_default_dtype()))
        module.register_parameter(name, value)
    elif isinstance(value, Tensor):
        module.register_buffer(name, value)
    else:
        setattr(module, name, value)


def spread(parameter: Tensor | float, like: Tensor) -> Tensor:
    """One number per element of ``like``."""
    parameter = torch.as_tensor(parameter, dtype=like.dtype, device=like.device)
    if parameter.dim() == 1 and like.dim() > 2:
        parameter = parameter.reshape(-1, *(1,) * (like.dim() - 2))  # one per channel
    return parameter.expand(like.shape)


def single(decoder_output: DecoderOutput) -> Tensor:
    if not isinstance(decoder_output, Tensor):
        raise TypeError(
            f"decoder_output: expected a tensor of logits, got {type(decoder_output).__name__}"
        )
    return decoder_output
