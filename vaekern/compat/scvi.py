"""The log-likelihoods of counts in scvi-tools, and the patch that puts them in place."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from vaekern._torch import expanded_from
from vaekern.compat._deferred import deferred
from vaekern.compat._log_probs import poisson_of_rates, validate
from vaekern.compat._patch import Patch
from vaekern.compat._support import COUNTS
from vaekern.compat._tensors import broadcast, formula_dtype, fusable
from vaekern.functional import (
    negative_binomial_log_likelihood,
    zero_inflated_negative_binomial_log_likelihood,
)

__all__ = ["log_mixture_nb", "log_nb_positive", "log_zinb_positive", "patch_scvi"]

_MODULE = "scvi.distributions._negative_binomial"
_OF_COUNTS = (
    "NegativeBinomial",
    "NegativeBinomialMixture",
    "Poisson",
    "ZeroInflatedNegativeBinomial",
)


def log_nb_positive(x: Tensor, mu: Tensor, theta: Tensor, eps: float = 1e-8) -> Tensor:
    r"""Negative binomial log-likelihoods of means mu and inverse dispersions theta, in nats, one
    per element:

    .. math::

        \log\frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
        + \theta \log\frac{\theta}{\theta + \mu} + x \log\frac{\mu}{\theta + \mu}

    (Lopez et al. 2018.)

    Args:
        x: counts, of a shape that broadcasts with that of ``mu``. Gets gradients.
        mu: means. Gets gradients.
        theta: inverse dispersions, of a shape that broadcasts with that of ``mu``: [genes], say.
            Gets gradients.
        eps: is added to ``mu``, so that means may be 0. (There, ``theta`` inside of a logarithm
            has it too: values differ by less than ``eps``.)

    Returns:
        Log-likelihoods, of the shape that the arguments broadcast to.
    """
    return _nb(eps, formula_dtype(x, mu, theta), 0, x, mu, theta)


def log_zinb_positive(
    x: Tensor, mu: Tensor, theta: Tensor, pi: Tensor, eps: float = 1e-8
) -> Tensor:
    """The same of counts that are 0 in a further share 1 / (1 + exp(-pi)) of all cases.

    Args:
        x, mu, theta, eps: those of :func:`log_nb_positive`.
        pi: logits of that share, of a shape that broadcasts with that of ``mu``. Get gradients.

    Returns:
        Log-likelihoods, of the shape that the arguments broadcast to, at least in float32.
    """
    return _zinb(eps, _zinb_dtype(x, mu, theta, pi), 0, x, mu, theta, pi)


def log_mixture_nb(
    x: Tensor,
    mu_1: Tensor,
    mu_2: Tensor,
    theta_1: Tensor,
    theta_2: Tensor | None,
    pi_logits: Tensor,
    eps: float = 1e-8,
) -> Tensor:
    """The same of mixtures of two, as in totalVI (Gayoso et al. 2021).

    Args:
        x, eps: those of :func:`log_nb_positive`.
        mu_1, mu_2, theta_1, theta_2: means and inverse dispersions of the two. ``theta_2`` None
            stands for ``theta_1``. Get gradients.
        pi_logits: logits of the first one's share. Get gradients.

    Returns:
        Log-likelihoods, of the shape that the arguments broadcast to.
    """
    dispersions = (theta_1, theta_1 if theta_2 is None else theta_2)
    dtype = formula_dtype(x, mu_1, mu_2, *dispersions, pi_logits)
    wide = torch.promote_types(dtype, torch.float32)
    first, second = (
        _nb(eps, wide, 0, x, mu, theta) for mu, theta in zip((mu_1, mu_2), dispersions, strict=True)
    )
    logits = pi_logits.to(wide)
    return (torch.logaddexp(first, second - logits) - F.softplus(-logits)).to(dtype)


def patch_scvi() -> Patch:
    """Has ``NegativeBinomial.log_prob``, ``ZeroInflatedNegativeBinomial.log_prob`` and
    ``NegativeBinomialMixture.log_prob`` of scvi-tools compute as :func:`log_nb_positive`,
    :func:`log_zinb_positive` and :func:`log_mixture_nb` do, and ``Poisson.log_prob`` by a kernel
    too. Arrays that are no tensors, and other functions than ``torch.log`` and ``torch.lgamma``,
    are left to scvi-tools. That data are counts is still asked, in fewer passes over them.

    Where gradients are recorded, ``log_prob`` (of all but the mixture) is computed when its result
    is used: ``.sum(-1)``, which is what scvi-tools' modules ask of it, by a kernel that stores
    nothing per element; for anything else, the elements are computed. Inverse dispersions that
    the classes expanded, as those per gene, are read as they were given, and get their gradients
    so: whoever wants the gradient of ``theta`` itself, the expanded one, calls ``retain_grad()`` or
    ``register_hook()`` on it before.

    Returns:
        What undoes it: ``patch_scvi().undo()``, or ``with patch_scvi(): ...``.

    Raises:
        ImportError: scvi-tools is not installed.
    """
    module = importlib.import_module(_MODULE)
    patch = Patch()
    for ours in (_log_nb_positive, _log_zinb_positive, log_mixture_nb):
        original = getattr(module, ours.__name__.removeprefix("_"))
        patch.rebind(original, _fused_or_original(original, ours))
    patch.set_attribute(module.Poisson, "log_prob", _fused_poisson(module.Poisson.log_prob))
    for name in _OF_COUNTS:
        patch.set_attribute(getattr(module, name), "support", COUNTS)
    return patch


def _fused_or_original(
    original: Callable[..., Any], ours: Callable[..., Tensor]
) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def fused(*args: Any, **given: Any) -> Any:
        call = signature.bind(*args, **given)
        call.apply_defaults()
        arguments = dict(call.arguments)
        usual = arguments.pop("log_fn") is torch.log
        usual &= arguments.pop("lgamma_fn") is torch.lgamma
        if usual and _takes(**arguments):
            return ours(**arguments)
        return original(*args, **given)

    return fused


def _takes(x: Any, eps: Any, **parameters: Any) -> bool:
    """Whether kernels take these together."""
    tensors = [value for value in parameters.values() if value is not None]
    if not fusable(*tensors) or not isinstance(x, Tensor):
        return False
    return x.device == tensors[0].device and x.layout is torch.strided


def _fused_poisson(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def log_prob(self: Any, value: Any) -> Any:
        if not fusable(self.rate, value):
            return original(self, value)
        validate(self, value)
        dtype = formula_dtype(self.rate, value)
        return deferred(functools.partial(_poisson, dtype), dtype, self.rate, value)

    return log_prob


def _log_nb_positive(x: Tensor, mu: Tensor, theta: Tensor, eps: float) -> Tensor:
    dtype = formula_dtype(x, mu, theta)
    return deferred(functools.partial(_nb, eps, dtype), dtype, x, mu, theta)


def _log_zinb_positive(x: Tensor, mu: Tensor, theta: Tensor, pi: Tensor, eps: float) -> Tensor:
    dtype = _zinb_dtype(x, mu, theta, pi)
    return deferred(functools.partial(_zinb, eps, dtype), dtype, x, mu, theta, pi)


# --- sums over the last dimensions, as many as ``summed`` ----------------------------------------


def _nb(
    eps: float, dtype: torch.dtype, summed: int, x: Tensor, mu: Tensor, theta: Tensor
) -> Tensor:
    log_mu, counts, log_theta = _aligned(x, mu, theta, eps)
    kept = log_mu.dim() - summed
    return negative_binomial_log_likelihood(log_mu, counts, log_theta, batch_dims=kept).to(dtype)


def _zinb(
    eps: float, dtype: torch.dtype, summed: int, x: Tensor, mu: Tensor, theta: Tensor, pi: Tensor
) -> Tensor:
    log_mu, counts, log_theta, logits = _aligned(x, mu, theta, eps, pi)
    log_likelihood = zero_inflated_negative_binomial_log_likelihood(
        log_mu, counts, log_theta, logits, batch_dims=log_mu.dim() - summed
    )
    return log_likelihood.to(dtype)


def _zinb_dtype(*tensors: Tensor) -> torch.dtype:
    return torch.promote_types(formula_dtype(*tensors), torch.float32)


def _poisson(dtype: torch.dtype, summed: int, rate: Tensor, value: Tensor) -> Tensor:
    return poisson_of_rates(summed, rate, value).to(dtype)


def _aligned(
    x: Tensor, mu: Tensor, theta: Tensor, eps: float, *others: Tensor
) -> tuple[Tensor, ...]:
    """Logarithms of the means, counts, logarithms of the dispersions, and others, for kernels."""
    wide = torch.promote_types(formula_dtype(mu, theta), torch.float32)
    log_mu = torch.log(mu.to(wide) + eps)
    log_theta = torch.log(expanded_from(theta).to(wide))
    counts = x if x.is_floating_point() else x.to(wide)
    return broadcast(log_mu, counts, parameters=(log_theta, *others))
