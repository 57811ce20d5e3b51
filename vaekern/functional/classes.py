"""The log-likelihoods of classes: of one class per position, and of counts of all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekern._backends import plain
from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import (
    check_class_indices,
    check_counts,
    check_device,
    check_float,
    check_like,
    check_mask,
)
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern._torch import shape_to_compare

__all__ = ["categorical_log_likelihood", "multinomial_log_likelihood"]


def categorical_log_likelihood(
    logits: Tensor, x: Tensor, *, mask: Tensor | None = None, batch_dims: int = 1
) -> Tensor:
    r"""Categorical log-likelihood log p(x | logits), per datapoint in nats.

    .. math:: \sum_i l_{i x_i} - \log \sum_k e^{l_{ik}}

    over the positions i of a datapoint, with any real logits: they are normalised here. Neither
    the probabilities nor their logarithms are stored. A class with logit :math:`-\infty` has
    probability 0.

    Args:
        logits: the shape of ``x`` with one more dimension behind, the classes. Gets gradients.
        x: indices of classes, of any integer dtype. As in :func:`torch.gather`, an index that is
            no class is an error on the CPU and undefined on a GPU.
        mask: which positions count: bool, the shape of ``x``, or with a 1 for each dimension it is
            shared over. The others add exactly 0 to the value and to every gradient, whatever
            their logits and indices are. None: all count.
        batch_dims: how many leading dimensions of ``x`` index datapoints.

    Returns:
        Log-likelihoods, the shape ``x.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    found = table.CATEGORICAL.attempt(logits, x, mask, batch_dims)
    if found is not None:
        return found
    return run(categorical_call(logits, x, batch_dims).masked(mask))


def multinomial_log_likelihood(
    logits: Tensor,
    counts: Tensor,
    *,
    coefficient: bool = True,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Multinomial log-likelihood log p(counts | logits), per datapoint in nats.

    .. math::

        \log \frac{N!}{\prod_k x_k!} + \sum_k x_k \bigl(l_k - \log \sum_j e^{l_j}\bigr),
        \quad N = \sum_k x_k

    with any real logits, as ``torch.distributions.Multinomial(logits=logits).log_prob(counts)``.
    The variational autoencoders of collaborative filtering (Mult-VAE: Liang et al. 2018) and topic
    models drop the coefficient, which does not depend on the logits: ``coefficient=False``. It
    takes two more passes over the counts.

    Args:
        logits: any shape of which the last dimension is the classes. Gets gradients. A class with
            logit :math:`-\infty` has probability 0.
        counts: how often each class came up, the shape of ``logits``; of any floating-point or
            integer dtype but bool, not necessarily integers. Integers are converted to floating
            point first. Floating-point counts get gradients.
        coefficient: whether to add the logarithm of the multinomial coefficient.
        mask: which rows of logits count: bool, the shape of ``counts`` without its last dimension,
            or with a 1 for each dimension it is shared over. The others add exactly 0 to the value
            and to every gradient, whatever lies there. None: all count.
        batch_dims: how many leading dimensions index datapoints; not the last one.

    Returns:
        Log-likelihoods, the shape ``logits.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    if not isinstance(coefficient, bool):
        raise TypeError(f"coefficient: expected a bool, got {type(coefficient).__name__}")
    if not coefficient or _are_wide(logits, counts):
        found = table.MULTINOMIAL.attempt(logits, counts, mask, batch_dims)
        if found is not None:
            return _with_coefficient(found, counts, batch_dims) if coefficient else found
    call = multinomial_call(logits, counts, batch_dims).masked(mask)
    if not coefficient:
        return run(call)
    counts = call.inputs[1].to(accumulation_dtype((logits, counts)))  # gradients are rounded once
    log_likelihood: Tensor = run(call.of(logits, counts))
    if call.mask is not None:
        counts = counts.masked_fill(~call.mask, 0.0)
    return _with_coefficient(log_likelihood, counts, batch_dims)


def _are_wide(logits: object, counts: object) -> bool:
    """Whether the counts are of the arithmetic's dtype, so that none of their gradients, of the
    likelihood and of the coefficient, is rounded before they are added up."""
    if not isinstance(logits, Tensor) or not isinstance(counts, Tensor):
        return False
    return counts.dtype is accumulation_dtype((logits, counts))


def _with_coefficient(log_likelihood: Tensor, counts: Tensor, batch_dims: int) -> Tensor:
    return log_likelihood + _log_coefficient(counts, batch_dims).to(log_likelihood.dtype)


def _log_coefficient(counts: Tensor, batch_dims: int) -> Tensor:
    total = counts.sum(-1, dtype=torch.float64)
    factorials = torch.lgamma(counts + 1.0).sum(-1, dtype=torch.float64)
    return plain.per_datapoint(torch.lgamma(total + 1.0) - factorials, batch_dims)


# --- checked calls ------------------------------------------------------------------------------


class CallOfRows(Call):
    """One whose mask says which rows of logits count: it has no dimension of classes."""

    __slots__ = ()

    @property
    def dims(self) -> int:
        return super().dims - 1

    def masked(self, mask: Tensor | None) -> Call:
        if mask is None:
            return self
        check_mask("mask", mask, "the rows of logits", self.inputs[0][..., 0])
        return self.again(*self.inputs, *self.attributes, mask=mask.unsqueeze(-1))

    def again(self, *args: Any, mask: Tensor | None) -> Call:
        return CallOfRows(self.op, *args, mask=mask)


def categorical_call(logits: Tensor, x: Tensor, batch_dims: int) -> Call:
    check_float("logits", logits)
    check_class_indices("x", x)
    check_classes(logits, batch_dims)
    if shape_to_compare(x) != shape_to_compare(logits)[:-1]:
        raise ValueError(
            f"x: expected the shape of logits without its last dimension, the classes, "
            f"{tuple(logits.shape[:-1])}, got {tuple(x.shape)}"
        )
    check_device("x", x, "logits", logits)
    return CallOfRows(table.CATEGORICAL, logits, x.long().unsqueeze(-1), batch_dims)


def multinomial_call(logits: Tensor, counts: Tensor, batch_dims: int) -> Call:
    check_float("logits", logits)
    check_counts("counts", counts)
    check_like("counts", counts, "logits", logits)
    check_classes(logits, batch_dims)
    if not counts.is_floating_point():
        counts = counts.to(accumulation_dtype((logits,)))
    return CallOfRows(table.MULTINOMIAL, logits, counts, batch_dims)


def check_classes(logits: Tensor, batch_dims: int) -> None:
    if logits.dim() == 0 or shape_to_compare(logits)[-1] == 0:
        raise ValueError(
            f"logits: expected classes in the last dimension, got shape {tuple(logits.shape)}"
        )
    if not 0 <= batch_dims < logits.dim():
        raise ValueError(
            f"batch_dims: expected 0 to {logits.dim() - 1}, the number of dimensions of logits "
            f"{tuple(logits.shape)} before the classes, got {batch_dims}"
        )
