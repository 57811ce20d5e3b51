"""The interface of likelihood modules, and what they share."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_mask, check_per_datapoint
from vaekern._modules.outputs import DecoderOutput
from vaekern._modules.state import described_state
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op
from vaekern._torch import shape_to_compare

#: An operation and its arguments.
Unchecked: TypeAlias = tuple[Op, tuple[Any, ...]]


class Likelihood(nn.Module):
    """The interface. Subclasses that fit a fused operation implement :meth:`call`; others
    override :meth:`log_prob`."""

    #: What the likelihood goes by in ``vk.VAE(likelihood=...)`` and ``vk.elbo_loss``; "" for none.
    name = ""

    #: Whether :meth:`call`, if it gives anything, is what :meth:`log_prob` computes.
    fuses = True

    def __init_subclass__(cls, **options: Any) -> None:
        """What is inherited from a class with another log_prob is not for this one."""
        super().__init_subclass__(**options)
        if "call" in vars(cls):
            cls.fuses = True
        elif "log_prob" in vars(cls):
            cls.fuses = False
            if "masked_log_prob" not in vars(cls):
                cls.masked_log_prob = Likelihood.masked_log_prob  # type: ignore[method-assign]

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
        call = self.call(decoder_output, x, batch_dims) if self.fuses else None
        everything = mask is None and present is None
        if call is None or not (everything or call.op.maskable):
            return None
        return call.masked(mask).of_datapoints(present)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
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

    def extra_repr(self) -> str:
        return described_state(self)


def log_prob_of(
    likelihood: Likelihood,
    decoder_output: DecoderOutput,
    x: Tensor,
    *,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    """``likelihood.log_prob``, of what a mask says counts, by any module with that method.

    Raises:
        ValueError: it is not one value per datapoint, and would broadcast.
    """
    if mask is not None:
        value = _masked_log_prob_of(likelihood, decoder_output, x, mask, batch_dims)
    elif batch_dims == 1:  # which a method of one's own need not know
        value = likelihood.log_prob(decoder_output, x)
    else:
        value = likelihood.log_prob(decoder_output, x, batch_dims=batch_dims)
    check_per_datapoint(f"log_prob of {type(likelihood).__name__}", value, x, batch_dims)
    return value


def _masked_log_prob_of(
    likelihood: Any, decoder_output: DecoderOutput, x: Tensor, mask: Tensor, batch_dims: int
) -> Tensor:
    kind = type(likelihood) if isinstance(likelihood, Likelihood) else Likelihood
    if kind is not Likelihood and kind.fuses:
        call = likelihood.call(decoder_output, x, batch_dims)
        if call is not None and call.op.maskable:
            result: Tensor = run(call.masked(mask))
            return result
    # That of Likelihood asks log_prob, of any module.
    return kind.masked_log_prob(likelihood, decoder_output, x, mask, batch_dims=batch_dims)


def spread(parameter: Tensor | float, like: Tensor) -> Tensor:
    """One number per element of ``like``, in the dtype of the arithmetic."""
    dtype = accumulation_dtype((parameter, like))
    parameter = torch.as_tensor(parameter, dtype=dtype, device=like.device)
    if parameter.dim() == 1 and like.dim() > 2:
        parameter = parameter.reshape(-1, *(1,) * (like.dim() - 2))  # one per channel
    return parameter.expand(like.shape)
