"""Log-likelihoods of a linear layer's outputs, without those outputs: for decoders whose last layer
has so many that they do not fit, or not cheaply.

The conventions are those of ``functional``. Outputs are computed in chunks, forward and again in
the backward, for which the arguments are saved; or, for a sum over datapoints, once, and the
gradients are saved. ``torch.func`` transforms, forward-mode derivatives and second derivatives
work, but go through all outputs at once, and so do the reference backend and layers with few
outputs (``small.py``).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from vaekern._backends.choice import backend_for
from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._checks import (
    broadcastable,
    check_class_indices,
    check_scale,
    check_target,
)
from vaekern._ops import table
from vaekern._ops.call import Clamp, clamp_logvar
from vaekern._torch import shape_to_compare
from vaekern._validation import switch
from vaekern.functional.targets import WITHIN_UNIT, check_uint8_range
from vaekern.last_layer import masked, small, sums
from vaekern.last_layer.heads import Categorical, Elementwise
from vaekern.last_layer.layer import Layer, check_shape, checked_layer, target_rows
from vaekern.last_layer.masked import check_values, expanded_mask
from vaekern.last_layer.op import LinearOp
from vaekern.last_layer.rows import for_rows

__all__ = [
    "linear_bernoulli_log_likelihood",
    "linear_categorical_log_likelihood",
    "linear_gaussian_log_likelihood",
]

_BERNOULLI = LinearOp(Elementwise(table.BERNOULLI))
_GAUSSIAN = LinearOp(Elementwise(table.GAUSSIAN))
_CATEGORICAL = LinearOp(Categorical(table.CATEGORICAL))


def linear_bernoulli_log_likelihood(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    x: Tensor,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    reduction: str = "none",
    batch_dims: int = 1,
    chunk: int | None = None,
) -> Tensor:
    r"""Bernoulli log-likelihood of the logits l = ``hidden @ weight.T + bias``, per datapoint in
    nats.

    .. math:: \sum x l - \log(1 + e^l)

    Equal to ``bernoulli_log_likelihood(F.linear(hidden, weight, bias), x)``; the logits are never
    in memory all at once. (After the fused linear cross-entropy of Liger Kernel, Hsu et al. 2024.)

    Args:
        hidden: [..., H], what the decoder's last layer takes. Gets gradients.
        weight: [N, H], of the dtype of ``hidden`` (under autocast both are cast). Gets gradients.
        bias: [N], or None. Gets gradients.
        x: targets [..., N]: see :func:`vaekern.bernoulli_log_likelihood`.
        uint8_range: how a uint8 ``x`` is read, as there.
        mask: which elements count: bool, the shape of ``x``, or with a 1 for each dimension it is
            shared over. The others add exactly 0 to the value and to every gradient, whatever lies
            there. None: all count.
        reduction: over datapoints: ``"none"`` for one value each, ``"sum"`` or ``"mean"``. These
            two compute their gradients along with the value and are faster.
        batch_dims: how many leading dimensions index datapoints.
        chunk: how many of the N outputs are computed at a time; by default as many as make a few
            MiB. It changes results by rounding only.

    Returns:
        Log-likelihoods, the shape ``hidden.shape[:batch_dims]``, or a scalar; float32 (float64 for
        float64).

    Raises:
        ValueError: shapes or devices do not fit, or a name is unknown.
        TypeError: a dtype is not supported, or those of ``hidden``, ``weight`` and ``bias`` differ.
    """
    if mask is None and chunk is None:
        given = small.Given((hidden, weight, bias), (x,), (uint8_range,))
        found = small.attempt(table.BERNOULLI, given, reduction, batch_dims)
        if found is not None:
            return found
    check_target("x", x)
    check_uint8_range(uint8_range, x, WITHIN_UNIT)
    layer = checked_layer(hidden, weight, bias, reduction, batch_dims, chunk)
    in_mask = expanded_mask(mask, x)
    return _run(_BERNOULLI, layer, (target_rows(x, hidden, weight),), (uint8_range,), mask=in_mask)


def linear_gaussian_log_likelihood(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    x: Tensor,
    logvar: Tensor | float = 0.0,
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    reduction: str = "none",
    batch_dims: int = 1,
    chunk: int | None = None,
) -> Tensor:
    r"""Gaussian log-likelihood with the means m = ``hidden @ weight.T + bias``, per datapoint in
    nats.

    .. math:: -\tfrac12 \sum \bigl((x - m) e^{-v/2}\bigr)^2 + v + \log 2\pi

    Equal to ``gaussian_log_likelihood(F.linear(hidden, weight, bias), x, logvar)``; the means are
    never in memory all at once.

    Args:
        hidden, weight, bias, reduction, batch_dims, chunk: those of
            :func:`linear_bernoulli_log_likelihood`.
        x: targets [..., N]: see :func:`vaekern.gaussian_log_likelihood`.
        logvar: log-variances (see ``scale``): a number, a scalar tensor, the shape of ``x``, its
            event shape, or either with a 1 for each dimension it is shared over. Tensors get
            gradients.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        uint8_range: how a uint8 ``x`` is read, see :func:`vaekern.gaussian_log_likelihood`.
        mask: which elements count, as there.

    Returns:
        Log-likelihoods, the shape ``hidden.shape[:batch_dims]``, or a scalar; float32 (float64 for
        float64).

    Raises:
        ValueError: shapes or devices do not fit, or a name is unknown.
        TypeError: a dtype is not supported, or those of ``hidden``, ``weight`` and ``bias`` differ.
    """
    if mask is None and chunk is None and logvar_clamp is None:
        given = small.Given((hidden, weight, bias), (logvar, x), (scale, uint8_range))
        found = small.attempt(table.GAUSSIAN, given, reduction, batch_dims)
        if found is not None:
            return found
    check_target("x", x)
    check_uint8_range(uint8_range, x)
    check_scale(scale)
    layer = checked_layer(hidden, weight, bias, reduction, batch_dims, chunk)
    rows = target_rows(x, hidden, weight)
    wide = accumulation_dtype((hidden, x))
    spread = broadcastable("logvar", logvar, "x", x, batch_dims, wide)
    spread = for_rows(clamp_logvar(spread, scale, logvar_clamp), x)
    return _run(_GAUSSIAN, layer, (spread, rows), (scale, uint8_range), expanded_mask(mask, x))


def linear_categorical_log_likelihood(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    x: Tensor,
    *,
    mask: Tensor | None = None,
    reduction: str = "none",
    batch_dims: int = 1,
    chunk: int | None = None,
) -> Tensor:
    r"""Categorical log-likelihood of the logits l = ``hidden @ weight.T + bias``, one for each of N
    classes, per datapoint in nats.

    .. math:: \sum l_x - \log \sum_k e^{l_k}

    the outer sum over the targets of a datapoint. Equal to minus ``F.cross_entropy`` of
    ``F.linear(hidden, weight, bias)``; the logits are never in memory all at once.

    Args:
        hidden, weight, bias, reduction: those of :func:`linear_bernoulli_log_likelihood`.
        x: classes [...], the shape of ``hidden`` without its last dimension, of an integer dtype. A
            number that is no class, 0 to N - 1, makes the value NaN.
        mask: which targets count: bool, the shape of ``x``, or with a 1 for each dimension it is
            shared over.
        batch_dims: how many leading dimensions index datapoints: 1 with hidden [B, T, H] and x
            [B, T] gives one value for each sequence.
        chunk: how many of the N outputs are computed at a time, as there. With a ``reduction`` all
            N are, of so many datapoints that these are as many numbers; by default 64 MiB.

    Returns:
        Log-likelihoods, the shape ``hidden.shape[:batch_dims]``, or a scalar; float32 (float64 for
        float64).

    Raises:
        ValueError: shapes or devices do not fit, or a name is unknown.
        TypeError: a dtype is not supported, or those of ``hidden``, ``weight`` and ``bias`` differ.
    """
    if mask is None and chunk is None:
        given = small.Given((hidden, weight, bias), (x,))
        found = small.attempt(table.CATEGORICAL, given, reduction, batch_dims)
        if found is not None:
            return found
    check_class_indices("x", x)
    layer = checked_layer(hidden, weight, bias, reduction, batch_dims, chunk)
    check_shape("x", x, shape_to_compare(hidden)[:-1], hidden)
    return _run(_CATEGORICAL, layer, (x.reshape(-1, 1),), mask=expanded_mask(mask, x))


def _run(
    op: LinearOp,
    layer: Layer,
    of_head: tuple[Tensor, ...],
    attributes: tuple[Any, ...] = (),
    mask: Tensor | None = None,
) -> Tensor:
    tensors, shape, reduction, batch_dims, chunk = layer
    if switch.enabled:
        check_values(op.head, tensors, of_head, attributes, mask)
    backend = backend_for(tensors[0].device)
    if mask is not None and isinstance(op.head, Elementwise):
        in_mask = mask.reshape(of_head[-1].shape)
        rows = masked.elements(op.head.op, tensors, of_head, attributes, in_mask, chunk)
        return _reduced(per_datapoint(rows.reshape(shape), batch_dims), reduction)
    if mask is not None:
        tensors, x = masked.rows(tensors, of_head[-1], mask)
        of_head = (x,)
    call = (*tensors, *of_head, *attributes, chunk or 0)
    args = (*call, backend)
    if reduction != "none" and mask is None and sums.applies(op, args):
        n = shape[:batch_dims].numel() if reduction == "mean" else 1
        return sums.weighted_sum(op, args, 1.0 / n)
    rows = op.on_plain_torch(*op.split(call)) if backend == "reference" else op(*args)
    rows = rows.reshape(shape)
    if mask is not None:
        rows = rows.masked_fill(~mask, 0.0)
    return _reduced(per_datapoint(rows, batch_dims), reduction)


def _reduced(value: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return value
    return value.mean() if reduction == "mean" else value.sum()
