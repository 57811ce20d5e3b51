"""Categorical latent variables: KL divergences, samples and their density."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import below_top, per_datapoint
from vaekern._checks import (
    check_device,
    check_float,
    check_like,
    check_number,
    number_or_scalar,
)
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern._torch import shape_to_compare
from vaekern.functional.classes import CallOfRows, check_classes
from vaekern.functional.noise import resolve_noise, unresolved

__all__ = [
    "categorical_kl",
    "gumbel_softmax",
    "relaxed_categorical_log_prob",
    "sample_categorical",
]


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
    found: Tensor | None = table.CATEGORICAL_KL.attempt(
        logits, prior_logits, mask, batch_dims, unimix
    )
    if found is not None:
        return found
    call = categorical_kl_call(logits, prior_logits, unimix, batch_dims)
    return run(call.masked(mask))


def sample_categorical(
    logits: Tensor,
    *,
    unimix: float = 0.0,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""One-hot samples of categorical distributions, with straight-through gradients.

    .. math::

        z = \text{one-hot}\Bigl(\operatorname{argmax}_k \log q_k + G_k\Bigr), \quad
        q_k = (1 - u)\, \mathrm{softmax}(l)_k + \frac uK

    with noise G of Gumbel's distribution, which makes z a sample of q. The gradient is that of q in
    place of z (Bengio et al. 2013), as of ``torch.distributions.OneHotCategoricalStraightThrough``.
    The noise is generated inside the kernel and never stored; it depends on the seed and on the
    element's index alone.

    Args:
        logits: any shape of which the last dimension is the classes. Gets gradients. A class with
            logit :math:`-\infty` has probability 0 before the mixture.
        unimix: the share u of the uniform distribution in q, from 0 to below 1.
        seed: an int, or an int64 tensor (seed) or (seed, stream) on the device of ``logits``. By
            default drawn from torch's generator of that device, so ``torch.manual_seed`` works.
        generator: where to draw the seed from. At most one of ``seed``, ``generator``.
        batch_dims: accepted for uniformity; samples do not depend on it.

    Returns:
        z, the shape and dtype of ``logits``, exactly 0 and 1.

    Raises:
        ValueError: ``logits`` has no classes, ``unimix`` is not in [0, 1), or there are two sources
            of noise.
        TypeError: a dtype is not supported, or ``unimix`` is no number.
    """
    source = unresolved(None, seed, generator)
    found: Tensor | None = table.SAMPLE_CATEGORICAL.attempt(logits, source, batch_dims, unimix)
    if found is not None:
        return found
    check_float("logits", logits)
    check_classes(logits, batch_dims)
    unimix = check_unimix(unimix)
    noise = resolve_noise("logits", logits, None, seed, generator)
    sample: Tensor = run(Call(table.SAMPLE_CATEGORICAL, logits, noise, batch_dims, unimix))
    return sample


def gumbel_softmax(
    logits: Tensor,
    temperature: Tensor | float = 1.0,
    *,
    hard: bool = False,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Samples of relaxed categorical distributions.

    .. math:: y = \mathrm{softmax}\Bigl(\frac{l + G}\tau\Bigr)

    with noise G of Gumbel's distribution (Jang et al. 2017; the Concrete distribution of Maddison
    et al. 2017). It is generated inside the kernel, again in the backward pass, and never stored;
    it depends on the seed and on the element's index alone.

    Args:
        logits: any shape of which the last dimension is the classes. Gets gradients.
        temperature: the number :math:`\tau`, above 0, or a tensor without dimensions (its value is
            not checked), which gets gradients and of which another value compiles nothing anew.
        hard: one-hot samples, the largest of y, with the gradients of y (straight through).
        seed, generator: as in :func:`sample_categorical`.
        batch_dims: accepted for uniformity; samples do not depend on it.

    Returns:
        y, the shape and dtype of ``logits``.

    Raises:
        ValueError: ``logits`` has no classes, the temperature is not above 0 or no single number,
            or there are two sources of noise.
        TypeError: a dtype is not supported, or ``hard`` is no bool.
    """
    source = unresolved(None, seed, generator)
    found: Tensor | None = table.GUMBEL_SOFTMAX.attempt(
        logits, temperature, source, batch_dims, hard
    )
    if found is not None:
        return found
    check_float("logits", logits)
    check_classes(logits, batch_dims)
    if not isinstance(hard, bool):
        raise TypeError(f"hard: expected a bool, got {type(hard).__name__}")
    tau = _temperature(temperature, logits)
    noise = resolve_noise("logits", logits, None, seed, generator)
    call = Call(table.GUMBEL_SOFTMAX, logits, tau, noise, batch_dims, float(hard))
    sample: Tensor = run(call)
    return sample


def relaxed_categorical_log_prob(
    z: Tensor, logits: Tensor, temperature: Tensor | float = 1.0, *, batch_dims: int = 1
) -> Tensor:
    r"""Log-density of samples of :func:`gumbel_softmax`, per datapoint in nats: for divergences
    that are estimated by samples.

    .. math::

        \sum_i \log (K-1)! + (K-1) \log \tau + \sum_k \bigl(l_k - (\tau + 1) \log z_k\bigr)
        - K \log \sum_k e^{l_k - \tau \log z_k}

    over the variables i of a datapoint (Maddison et al. 2017, eq. 22), as
    ``torch.distributions.RelaxedOneHotCategorical``. Plain torch on any device, not below float32;
    numbers below the smallest normal one of that dtype, 0 among them, count as that.

    Args:
        z: points of the simplex, the shape of ``logits``. Gets gradients.
        logits: any shape of which the last dimension is the classes. Gets gradients.
        temperature: as in :func:`gumbel_softmax`. Gets gradients.
        batch_dims: how many leading dimensions index datapoints; not the last one.

    Returns:
        Log-densities, the shape ``logits.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit, or the temperature is not above 0.
        TypeError: a dtype is not supported.
    """
    check_float("logits", logits)
    check_classes(logits, batch_dims)
    check_float("z", z)
    check_like("z", z, "logits", logits)
    tau = _temperature(temperature, logits)
    dtype = accumulation_dtype((z, logits, tau))
    with torch.autocast(logits.device.type, enabled=False):
        z, logits, tau = z.to(dtype), logits.to(dtype), tau.to(dtype)
        log_z = z.clamp(min=torch.finfo(dtype).tiny).log()
        scores, _ = below_top(logits - tau * log_z, -1)
        classes = logits.shape[-1]
        log_p = scores - scores.logsumexp(-1, keepdim=True)
        constant = math.lgamma(classes) + (classes - 1) * tau.log()
        return per_datapoint((log_p - log_z).sum(-1) + constant, batch_dims)


def _temperature(temperature: Tensor | float, logits: Tensor) -> Tensor:
    number_or_scalar("temperature", temperature)
    if isinstance(temperature, Tensor):
        check_device("temperature", temperature, "logits", logits)
        return temperature
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    return logits.new_full((), temperature, dtype=accumulation_dtype((logits,)))


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
