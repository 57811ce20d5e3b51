"""The loss of ``one_pass.py`` by way of the extension alone, where everything is regular."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function

from vaekern._backends import fast
from vaekern._ops import one_pass
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op
from vaekern._torch import keep_for_backward

#: (log_likelihood, kl, beta, reduction) -> the loss.
Reduce = Callable[[Tensor, Tensor, Any, str], Tensor]


class QuickLoss:
    """-ELBO of two operations' values, which ``reduce`` computes of those."""

    def __init__(self, likelihood: Op, divergence: Op, reduce: Reduce) -> None:
        self.likelihood, self.divergence, self.reduce = likelihood, divergence, reduce
        apply: Callable[..., Any] = super(Function, _OnePass).apply  # as in autograd.py
        #: (arguments of the likelihood, of the divergence, beta, whether to average, whether the
        #: values of each datapoint are wanted too) -> the loss, or a tuple of it and those. The
        #: arguments are unchecked and without the backend; None where anything is irregular.
        self.attempt: Callable[..., Any] = fast.loss_of(
            likelihood.fast, divergence.fast, self, apply
        )

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
        loss, found, masks, of_likelihood, of_divergence, beta, mean, per_datapoint = made
        n, reduction = len(tensors), "mean" if mean else "sum"
        values, gradients = found[:-n], found[-n:]
        own = masks, of_likelihood, of_divergence, beta, reduction, per_datapoint
        ctx.composed = functools.partial(loss.composed, *own)
        ctx.backend, ctx.n = of_likelihood[-1], n
        keep_for_backward(ctx, (*tensors, *gradients))
        # The host has added up what it may read.
        total = values[0] if len(values) == 1 else loss.reduce(*values, beta, reduction)
        return (total, *values) if per_datapoint else total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        quick = fast.stored_gradients(upstream, ctx.saved_tensors, ctx.needs_input_grad)
        return one_pass.StoredGradients.backward(ctx, *upstream) if quick is None else quick


@functools.cache
def quick_loss(likelihood: Op, divergence: Op, reduce: Reduce) -> QuickLoss:
    return QuickLoss(likelihood, divergence, reduce)
