"""The loss of ``one_pass.py`` by way of the extension alone, where everything is regular."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd import Function

from vaekern._backends import fast
from vaekern._backends.choice import backend_named
from vaekern._ops import one_pass
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op

#: (log_likelihood, kl, beta, reduction) -> the loss.
Reduce = Callable[[Tensor, Tensor, Any, str], Tensor]


class QuickLoss:
    """-ELBO of two operations' values, which ``reduce`` computes of those."""

    def __init__(self, likelihood: Op, divergence: Op, reduce: Reduce) -> None:
        self.likelihood, self.divergence, self.reduce = likelihood, divergence, reduce
        apply: Callable[..., Any] = super(Function, _OnePass).apply  # as in autograd.py
        self._attempt, self.run = fast.loss_of(likelihood.fast, divergence.fast, self, apply)

    def attempt(
        self,
        likelihood: tuple[Any, ...],
        divergence: tuple[Any, ...],
        beta: Tensor | float,
        reduction: str,
    ) -> Tensor | None:
        """The loss, of the two operations' arguments, unchecked and without the backend; None where
        anything is irregular."""
        found: Tensor | None = self._attempt(likelihood, divergence, beta, reduction == "mean")
        return found

    def calls(self, attributes: Sequence[Any], tensors: Sequence[Tensor]) -> tuple[Call, Call]:
        n, n_attributes = len(self.likelihood.inputs), len(attributes) - 3
        return (
            Call(self.likelihood, *tensors[:n], *attributes[: n_attributes - 1]),
            Call(self.divergence, *tensors[n:], *attributes[n_attributes:-1]),
        )

    def composed(
        self, attributes: Sequence[Any], beta: float, mean: bool, *tensors: Tensor
    ) -> Tensor:
        likelihood, divergence = self.calls(attributes, tensors)
        return self.reduce(run(likelihood), run(divergence), beta, "mean" if mean else "sum")


class _OnePass(one_pass.StoredGradients):
    @staticmethod
    def forward(
        ctx: Any,
        loss: QuickLoss,
        attributes: tuple[Any, ...],
        beta: float,
        mean: bool,
        *tensors: Tensor,
    ) -> Tensor:
        found = loss.run(attributes, beta, mean, tensors)
        if found is None:  # what was regular is not so any more: memory has run out, say
            found = _by_way_of_python(loss, attributes, beta, mean, tensors)
        ctx.composed = functools.partial(loss.composed, attributes, beta, mean)
        ctx.backend, ctx.n = "cpu", len(tensors)
        ctx.save_for_backward(*tensors, *found[1:])
        result: Tensor = found[0]
        return result


def _by_way_of_python(
    loss: QuickLoss,
    attributes: Sequence[Any],
    beta: float,
    mean: bool,
    tensors: Sequence[Tensor],
) -> tuple[Any, ...]:
    calls = loss.calls(attributes, tensors)
    first, batch_dims = calls[0].inputs[0], attributes[0]
    share = 1.0 / first.shape[:batch_dims].numel() if mean else 1.0
    total, gradients = one_pass.on_the_host(backend_named("cpu"), calls, (-share, share * beta))
    return total, *gradients


@functools.cache
def quick_loss(likelihood: Op, divergence: Op, reduce: Reduce) -> QuickLoss:
    return QuickLoss(likelihood, divergence, reduce)
