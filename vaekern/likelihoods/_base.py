"""The interface of likelihood modules, and what they share."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_mask
from vaekern._ops.call import Call, run
from vaekern._torch import shape_to_compare

DecoderOutput: TypeAlias = "Tensor | tuple[Tensor, Tensor]"


class Likelihood(nn.Module):
    """The interface. Subclasses that fit a fused operation implement :meth:`call`; others
    override :meth:`log_prob`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call | None:
        """The fused operation that computes :meth:`log_prob`, if there is one."""
        return None

    def call_of(
        self,
        decoder_output: DecoderOutput,
        x: Tensor,
        batch_dims: int,
        mask: Tensor | None,
        present: Tensor | None,
    ) -> Call | None:
        """:meth:`call` of the elements that a mask says count, in the datapoints that are
        ``present`` (bool, one for each; None: all), if there is a fused operation for that."""
        call = self.call(decoder_output, x, batch_dims)
        everything = mask is None and present is None
        if call is None or not (everything or call.op.maskable):
            return None
        return call.masked(mask).of_datapoints(present)

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
        if shape_to_compare(elements) != shape_to_compare(x):
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
    """One number per element of ``like``, in the dtype of the arithmetic."""
    dtype = accumulation_dtype((parameter, like))
    parameter = torch.as_tensor(parameter, dtype=dtype, device=like.device)
    if parameter.dim() == 1 and like.dim() > 2:
        parameter = parameter.reshape(-1, *(1,) * (like.dim() - 2))  # one per channel
    return parameter.expand(like.shape)


def single(decoder_output: DecoderOutput) -> Tensor:
    if not isinstance(decoder_output, Tensor):
        raise TypeError(
            f"decoder_output: expected a tensor of logits, got {type(decoder_output).__name__}"
        )
    return decoder_output
