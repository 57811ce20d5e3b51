"""Bernoulli likelihoods, of logits and of probabilities, and the continuous one."""

from __future__ import annotations

from torch import Tensor

from vaekern._checks import check_batch_dims, check_float, check_like, check_target
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op
from vaekern.functional.targets import WITHIN_UNIT, check_uint8_range

__all__ = [
    "bernoulli_log_likelihood",
    "bernoulli_probs_log_likelihood",
    "continuous_bernoulli_log_likelihood",
]


def bernoulli_log_likelihood(
    logits: Tensor,
    x: Tensor,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Bernoulli log-likelihood log p(x | logits), per datapoint in nats.

    .. math:: \sum x l - \log(1 + e^l)

    evaluated without cancellation for any logit. (Kingma & Welling 2013, appendix C.1, in logits;
    minus ``binary_cross_entropy_with_logits``.)

    Args:
        logits: any shape. Gets gradients.
        x: targets, the shape of ``logits``: floating point in [0, 1] (not checked), bool, or uint8
            (see ``uint8_range``). Floating-point x gets gradients.
        uint8_range: how the kernel reads a uint8 x: ``"unit"``, intensities 0..255, as x / 255, or
            ``"binary"``, 0 and 1 (not checked), as it is. The first such batch on a CPU, if it is
            nothing but 0 and 1 and read as intensities, gives a warning.
        mask: which elements count: bool, the shape of ``logits``, or with a 1 for each dimension it
            is shared over. The others add exactly 0 to the value and to every gradient, whatever
            lies there. None: all count.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``logits.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices differ.
        TypeError: a dtype is not supported (integer logits, say).
    """
    found = table.BERNOULLI.attempt(logits, x, mask, batch_dims, uint8_range)
    if found is not None:
        return found
    return run(bernoulli_call(logits, x, batch_dims, uint8_range).masked(mask))


def continuous_bernoulli_log_likelihood(
    logits: Tensor,
    x: Tensor,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Continuous Bernoulli log-likelihood log p(x | logits), per datapoint in nats.

    .. math:: \sum x l - \log\frac{e^l - 1}l

    the Bernoulli one normalised over [0, 1], evaluated without cancellation for any logit.
    (Loaiza-Ganem & Cunningham 2019.) A density: it may be positive.

    Args:
        logits, x, uint8_range, mask, batch_dims: those of :func:`bernoulli_log_likelihood`.

    Returns:
        Log-likelihoods, the shape ``logits.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices differ.
        TypeError: a dtype is not supported (integer logits, say).
    """
    op = table.CONTINUOUS_BERNOULLI
    found = op.attempt(logits, x, mask, batch_dims, uint8_range)
    if found is not None:
        return found
    call = bernoulli_call(logits, x, batch_dims, uint8_range, op)
    return run(call.masked(mask))


def bernoulli_probs_log_likelihood(
    probs: Tensor,
    x: Tensor,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
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
            (see ``uint8_range``). Floating-point x gets gradients, log p - log(1 - p), infinite at
            0 and 1.
        uint8_range: how a uint8 ``x`` is read, as in :func:`bernoulli_log_likelihood`.
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
    found = table.BERNOULLI_PROBS.attempt(probs, x, mask, batch_dims, uint8_range)
    if found is not None:
        return found
    return run(bernoulli_probs_call(probs, x, batch_dims, uint8_range).masked(mask))


def bernoulli_call(
    logits: Tensor,
    x: Tensor,
    batch_dims: int,
    uint8_range: str = "unit",
    op: Op = table.BERNOULLI,
) -> Call:
    check_float("logits", logits)
    check_target("x", x)
    check_uint8_range(uint8_range, x, WITHIN_UNIT)
    check_like("x", x, "logits", logits)
    check_batch_dims(batch_dims, "logits", logits)
    return Call(op, logits, x, batch_dims, uint8_range)


def bernoulli_probs_call(probs: Tensor, x: Tensor, batch_dims: int, uint8_range: str) -> Call:
    check_float("probs", probs)
    check_target("x", x)
    check_uint8_range(uint8_range, x, WITHIN_UNIT)
    check_like("x", x, "probs", probs)
    check_batch_dims(batch_dims, "probs", probs)
    return Call(table.BERNOULLI_PROBS, probs, x, batch_dims, uint8_range)
