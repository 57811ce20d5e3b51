"""The loss of ``one_pass.py`` by way of the extension alone, where everything is regular."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vaekern._backends import fast
from vaekern._ops import one_pass
from vaekern._ops.autograd import node_maker
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op

#: (log_likelihood, kl, beta, reduction) -> the loss.
Reduce = Callable[[Tensor, Tensor, Any, str], Tensor]


class QuickLoss:
    """-ELBO of two operations' values, which ``reduce`` computes of those."""

    def __init__(self, likelihood: Op, divergence: Op, reduce: Reduce) -> None:
        self.likelihood, self.divergence, self.reduce = likelihood, divergence, reduce
        #: (arguments of the likelihood, of the divergence, beta, whether to average, whether the
        #: values of each datapoint are wanted too) -> the loss, or a tuple of it and those. The
        #: arguments are unchecked and without the backend; None where anything is irregular.
        self.attempt: Callable[..., Any] = fast.loss_of(
            likelihood.fast, divergence.fast, self, _make_node, self.results
        )

    def results(
        self, log_likelihood: Tensor, kl: Tensor, beta: float, mean: bool, per_datapoint: bool
    ) -> Any:
        """What a call gives, of the values of each datapoint."""
        loss = self.reduce(log_likelihood, kl, beta, "mean" if mean else "sum")
        return (loss, log_likelihood, kl) if per_datapoint else loss

    def composed(
        self,
        masks: Sequence[Tensor | None],
        of_likelihood: Sequence[Any],
        of_divergence: Sequence[Any],
        beta: float,
        mean: bool,
        per_datapoint: bool,
        *tensors: Tensor,
    ) -> Any:
        n = len(self.likelihood.inputs)
        log_likelihood = run(
            Call(self.likelihood, *tensors[:n], *of_likelihood[:-1], mask=masks[0])
        )
        kl = run(Call(self.divergence, *tensors[n:], *of_divergence[:-1], mask=masks[1]))
        return self.results(log_likelihood, kl, beta, mean, per_datapoint)


class _OnePass(one_pass.StoredGradients):
    forward = fast.node_forward

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor | None) -> Any:
        loss, _, details = ctx.known
        ctx.composed = functools.partial(loss.composed, *details)
        ctx.n = len(ctx.needs_input_grad) - 1
        ctx.backend = details[1][-1]
        return one_pass.StoredGradients.backward(ctx, *upstream)


_make_node = node_maker(_OnePass)


@functools.cache
def quick_loss(likelihood: Op, divergence: Op, reduce: Reduce) -> QuickLoss:
    return QuickLoss(likelihood, divergence, reduce)
