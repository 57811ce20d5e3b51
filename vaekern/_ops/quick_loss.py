"""The loss of ``one_pass.py`` by way of the extension alone, where everything is regular."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._backends import fast
from vaekern._ops import one_pass
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op
from vaekern._validation import switch

#: (log_likelihood, kl, beta, reduction) -> the loss.
Reduce = Callable[[Tensor, Tensor, Any, str], Tensor]


class QuickLoss:
    """-ELBO of two operations' values, which ``reduce`` computes of those."""

    def __init__(self, likelihood: Op, divergence: Op, reduce: Reduce) -> None:
        self.likelihood, self.divergence, self.reduce = likelihood, divergence, reduce
        apply: Callable[..., Any] = super(Function, _OnePass).apply  # as in autograd.py
        self._attempt = fast.loss_of(likelihood.fast, divergence.fast, self, apply)

    def attempt(
        self,
        likelihood: tuple[Any, ...],
        divergence: tuple[Any, ...],
        beta: Tensor | float,
        reduction: str,
        per_datapoint: bool = False,
    ) -> Any:
        """The loss, of the two operations' arguments, unchecked and without the backend, and if
        ``per_datapoint`` both values of each datapoint behind it; None where anything is
        irregular."""
        if torch.compiler.is_dynamo_compiling() or switch.enabled:
            return None
        return self._attempt(likelihood, divergence, beta, reduction == "mean", per_datapoint)

    def composed(
        self,
        masks: Sequence[Tensor | None],
        of_likelihood: Sequence[Any],
        of_divergence: Sequence[Any],
        beta: float,
        reduction: str,
        per_datapoint: bool,
        *tensors: Tensor,
    ) -> Any:
        n = len(self.likelihood.inputs)
        values = (
            run(Call(self.likelihood, *tensors[:n], *of_likelihood[:-1], mask=masks[0])),
            run(Call(self.divergence, *tensors[n:], *of_divergence[:-1], mask=masks[1])),
        )
        loss = self.reduce(*values, beta, reduction)
        return (loss, *values) if per_datapoint else loss


class _OnePass(one_pass.StoredGradients):
    @staticmethod
    def forward(ctx: Any, made: Any, *tensors: Tensor) -> Any:
        loss, found, masks, of_likelihood, of_divergence, beta, mean = made
        n, reduction = len(tensors), "mean" if mean else "sum"
        values, gradients = found[:-n], found[-n:]
        per_datapoint = len(values) > 1
        own = masks, of_likelihood, of_divergence, beta, reduction, per_datapoint
        ctx.composed = functools.partial(loss.composed, *own)
        ctx.backend, ctx.n = "cpu", n
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *gradients)
        return (loss.reduce(*values, beta, reduction), *values) if per_datapoint else values[0]


@functools.cache
def quick_loss(likelihood: Op, divergence: Op, reduce: Reduce) -> QuickLoss:
    return QuickLoss(likelihood, divergence, reduce)
