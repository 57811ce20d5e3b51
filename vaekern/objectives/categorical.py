"""KL divergences of categorical distributions changed for training, as those of Gaussians are."""

from __future__ import annotations

from torch import Tensor

from vaekern._checks import check_float
from vaekern._ops.one_sided import one_sided
from vaekern.functional.categoricals import categorical_kl_call
from vaekern.objectives.divergences import check_alpha, check_weights, floored_kl


def balanced_categorical_kl(
    logits: Tensor,
    prior_logits: Tensor,
    *,
    alpha: float = 0.8,
    unimix: float = 0.0,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""A KL divergence of categorical distributions whose gradient is shared out between prior and
    posterior, per datapoint in nats.

    .. math:: \alpha KL(\mathrm{sg}(q) \| p) + (1 - \alpha) KL(q \| \mathrm{sg}(p))

    with sg stopping gradients: the value is KL(q || p), the prior learns at rate alpha and the
    posterior at 1 - alpha. (Hafner et al. 2021, algorithm 2, DreamerV2.) DreamerV3's loss
    (Hafner et al. 2023, eq. 5), with weights d and r of its dynamics and representation terms and
    f free nats for each datapoint, is
    ``(d + r) * balanced_categorical_kl(..., alpha=d / (d + r), unimix=0.01).clamp(min=f)``.

    Args:
        logits, prior_logits: the posterior's and the prior's, as in :func:`vaekern.categorical_kl`.
            Get gradients.
        alpha: the prior's share of the gradient.
        unimix: the share of the uniform distribution in both.
        mask: which variables count, as there.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        KL, the shape ``logits.shape[:batch_dims]``; float32 for half precision.

    Raises:
        ValueError: shapes or devices do not fit, ``alpha`` is not in [0, 1], or ``unimix`` is not
            in [0, 1).
        TypeError: an argument is no floating-point tensor.
    """
    check_alpha(alpha)
    for name, tensor in (("logits", logits), ("prior_logits", prior_logits)):
        check_float(name, tensor)
    call = categorical_kl_call(logits, prior_logits, unimix, batch_dims).masked(mask)
    of_posterior, of_prior = one_sided(call, 1)
    return alpha * of_prior + (1.0 - alpha) * of_posterior


def free_bits_categorical_kl(
    logits: Tensor,
    prior_logits: Tensor | None = None,
    *,
    free_bits: Tensor | float,
    over: str = "dimension",
    weights: Tensor | None = None,
    unimix: float = 0.0,
    batch_dims: int = 1,
) -> Tensor:
    r"""A KL divergence of categorical distributions with a floor under its parts, per datapoint in
    nats: :func:`free_bits_kl` of them. A part below the floor counts as the floor and has no
    gradient.

    Args:
        logits, prior_logits: as in :func:`vaekern.categorical_kl`. Get gradients.
        free_bits: the floor of one part, in nats: a number or a 0-d tensor.
        over: what is compared with it: ``"dimension"``, the mean over the batch of each variable;
            ``"group"``, that of each index of the first latent dimension; ``"sample"``, each
            datapoint's whole divergence, as the free nats of Hafner et al. (2023) are; or
            ``"batch"``, its mean over the batch, as those of Hafner et al. (2020) are.
        weights: of the datapoints in the mean over the batch, the shape
            ``logits.shape[:batch_dims]``.
        unimix: the share of the uniform distribution in both.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        One value per datapoint, the shape ``logits.shape[:batch_dims]``.

    Raises:
        ValueError: ``over`` is unknown, shapes or devices do not fit, or ``unimix`` is not in
            [0, 1).
        TypeError: an argument is no floating-point tensor or number.
    """
    whole = categorical_kl_call(logits, prior_logits, unimix, batch_dims)
    check_weights(weights, "logits", logits, batch_dims)
    return floored_kl(whole, free_bits, over, weights)
