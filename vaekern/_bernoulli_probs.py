"""The Bernoulli likelihood of a decoder that ends in a sigmoid."""

from __future__ import annotations

from torch import Tensor

from vaekern import _ops
from vaekern._call import Call, run
from vaekern._checks import check_batch_dims, check_float, check_like, check_target

__all__ = ["bernoulli_probs_log_likelihood"]


def bernoulli_probs_log_likelihood(
    probs: Tensor, x: Tensor, *, mask: Tensor | None = None, batch_dims: int = 1
) -> Tensor:
    r"""Bernoulli log-likelihood log p(x | probs), per datapoint in nats: minus
    ``torch.nn.functional.binary_cross_entropy``, with its clamps.

    .. math:: \sum x \max(\log p, -100) + (1 - x) \max(\log(1 - p), -100)

    For models that give probabilities. One that can give logits does better with
    :func:`bernoulli_log_likelihood`: a confident and wrong probability rounds to 0 or 1.

    Args:
        probs: probabilities in [0, 1], any shape. Get gradients, which are those of torch and for p
            next to 0 or 1 not those of the formula: (x - p) / max(p (1 - p), 1e-12).
        x: targets, the shape of ``probs``: floating point in [0, 1] (not checked), bool, or uint8
            intensities 0..255, which the kernel reads as x / 255. Floating-point x gets gradients,
            log p - log(1 - p), infinite at 0 and 1.
        mask: which elements count, as in :func:`bernoulli_log_likelihood`.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``probs.shape[:batch_dims]``, float32 (float64 for float64). NaN
        where a probability is outside [0, 1] or NaN: torch raises an error there, for which it has
        to read the data.

    Raises:
        ValueError: shapes or devices differ.
        TypeError: a dtype is not supported.
    """
    check_float("probs", probs)
    check_target("x", x)
    check_like("x", x, "probs", probs)
    check_batch_dims(batch_dims, "probs", probs)
    return run(Call(_ops.BERNOULLI_PROBS, probs, x, batch_dims).masked(mask))
