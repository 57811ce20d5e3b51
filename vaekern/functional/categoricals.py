"""Categorical latent variables: KL divergences."""

from __future__ import annotations

from torch import Tensor

from vaekern._checks import check_device, check_float, check_number
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern._torch import shape_to_compare
from vaekern.functional.classes import CallOfRows, check_classes

__all__ = ["categorical_kl"]


def categorical_kl(
    logits: Tensor,
    prior_logits: Tensor | None = None,
    *,
    unimix: float = 0.0,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""KL divergence KL(q || p) of categorical distributions, per datapoint in nats.

    .. math::

        \sum_i \sum_k q_{ik} \log \frac{q_{ik}}{p_{ik}}, \quad
        q_{ik} = (1 - u)\, \mathrm{softmax}(l_i)_k + \frac uK

    over the variables i of a datapoint, with K classes each and p likewise of the prior's logits.
    The mixture with a uniform distribution is that of DreamerV3 (Hafner et al. 2023, "unimix":
    u = 0.01). The logits are normalised here; neither probabilities nor their logarithms are
    stored. No term is a difference of larger ones: the value and the gradients keep their digits
    where q is nearly p. A class with logit :math:`-\infty` has probability 0 before the mixture,
    and classes with logit :math:`+\infty` share all of it.

    For KL balancing (Hafner et al. 2021), add two of these, each with the other distribution's
    logits detached.

    Args:
        logits: those of q, any shape of which the last dimension is the classes. Gets gradients.
        prior_logits: those of p: the shape of ``logits`` or of its event, one vector of K, or
            either with 1 for the dimensions before the classes that they are shared over. Gets
            gradients. None: p is uniform.
        unimix: the share u of the uniform distribution in both q and p, from 0 to below 1.
        mask: which variables count: bool, the shape of ``logits`` without its last dimension, or
            with a 1 for each dimension it is shared over. The others add exactly 0 to the value and
            to every gradient, whatever lies there. None: all count.
        batch_dims: how many leading dimensions index datapoints; not the last one.

    Returns:
        Divergences, the shape ``logits.shape[:batch_dims]``, float32 (float64 for float64). Never
        negative but by rounding; :math:`\infty` where q has a class that p has not.

    Raises:
        ValueError: shapes or devices do not fit, or ``unimix`` is not in [0, 1).
        TypeError: a dtype is not supported, or ``unimix`` is no number.
    """
    call = categorical_kl_call(logits, prior_logits, unimix, batch_dims)
    return run(call.masked(mask))


# --- checked calls ------------------------------------------------------------------------------


def categorical_kl_call(
    logits: Tensor, prior_logits: Tensor | None, unimix: float, batch_dims: int
) -> Call:
    check_float("logits", logits)
    check_classes(logits, batch_dims)
    unimix = check_unimix(unimix)
    if prior_logits is None:
        prior_logits = logits.new_zeros(shape_to_compare(logits)[-1:])
    else:
        _check_prior(prior_logits, logits, batch_dims)
    return CallOfRows(table.CATEGORICAL_KL, logits, prior_logits, batch_dims, unimix)


def check_unimix(unimix: float) -> float:
    unimix = check_number("unimix", unimix)
    if not 0.0 <= unimix < 1.0:
        raise ValueError(f"unimix: expected a number in [0, 1), got {unimix}")
    return unimix


def _check_prior(prior_logits: Tensor, logits: Tensor, batch_dims: int) -> None:
    check_float("prior_logits", prior_logits)
    check_device("prior_logits", prior_logits, "logits", logits)
    own, full = shape_to_compare(prior_logits), shape_to_compare(logits)
    trailing = full[len(full) - len(own) :]
    if (
        len(own) not in (1, len(full) - batch_dims, len(full))
        or own[-1:] != full[-1:]
        or not all([n in (1, wanted) for n, wanted in zip(own, trailing, strict=True)])
    ):
        raise ValueError(
            f"prior_logits: expected the shape of logits {tuple(full)}, its event shape "
            f"{tuple(full[batch_dims:])}, one vector of {full[-1]} classes, or either with 1 for "
            f"dimensions before the classes that they are shared over; got {tuple(own)}"
        )
