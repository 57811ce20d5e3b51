"""The log-likelihoods of counts in scvi-tools, and the patch that puts them in place."""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import Tensor

from vaekern.compat._log_probs import poisson_log_prob
from vaekern.compat._patch import Patch
from vaekern.compat._tensors import broadcast, formula_dtype, fusable
from vaekern.functional import (
    negative_binomial_log_likelihood,
    zero_inflated_negative_binomial_log_likelihood,
)

__all__ = ["log_nb_positive", "log_zinb_positive", "patch_scvi"]

_MODULE = "scvi.distributions._negative_binomial"
#: The last arguments there.
_FUNCTIONS = ("log_fn", "lgamma_fn")


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
    log_mu, counts, log_theta = _aligned(x, mu, theta, eps)
    log_likelihood = negative_binomial_log_likelihood(
        log_mu, counts, log_theta, batch_dims=log_mu.dim()
    )
    return log_likelihood.to(formula_dtype(x, mu, theta))


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
    log_mu, counts, log_theta, logits = _aligned(x, mu, theta, eps, pi)
    log_likelihood = zero_inflated_negative_binomial_log_likelihood(
        log_mu, counts, log_theta, logits, batch_dims=log_mu.dim()
    )
    return log_likelihood.to(torch.promote_types(formula_dtype(x, mu, theta, pi), torch.float32))


def patch_scvi() -> Patch:
    """Has ``NegativeBinomial.log_prob`` and ``ZeroInflatedNegativeBinomial.log_prob`` of scvi-tools
    compute as :func:`log_nb_positive` and :func:`log_zinb_positive` do, and ``Poisson.log_prob`` by
    a kernel too. Arrays that are no tensors, and other functions than ``torch.log`` and
    ``torch.lgamma``, are left to scvi-tools.

    Returns:
        What undoes it: ``patch_scvi().undo()``, or ``with patch_scvi(): ...``.

    Raises:
        ImportError: scvi-tools is not installed.
    """
    module = importlib.import_module(_MODULE)
    nb, zinb = module.log_nb_positive, module.log_zinb_positive

    @functools.wraps(nb)
    def fused_nb(
        x: Any, mu: Any, theta: Any, eps: float = 1e-8, *given: Any, **functions: Any
    ) -> Any:
        functions |= dict(zip(_FUNCTIONS, given, strict=False))
        if fusable(mu, theta) and _usual(**functions):
            return log_nb_positive(x, mu, theta, eps)
        return nb(x, mu, theta, eps, **functions)

    @functools.wraps(zinb)
    def fused_zinb(
        x: Any, mu: Any, theta: Any, pi: Any, eps: float = 1e-8, *given: Any, **functions: Any
    ) -> Any:
        functions |= dict(zip(_FUNCTIONS, given, strict=False))
        if fusable(mu, theta, pi) and _usual(**functions):
            return log_zinb_positive(x, mu, theta, pi, eps)
        return zinb(x, mu, theta, pi, eps, **functions)

    poisson = module.Poisson.log_prob

    @functools.wraps(poisson)
    def fused_poisson(self: Any, value: Any) -> Any:
        fused = poisson_log_prob(self, value)
        return poisson(self, value) if fused is None else fused

    patch = Patch()
    patch.rebind(nb, fused_nb)
    patch.rebind(zinb, fused_zinb)
    patch.set_attribute(module.Poisson, "log_prob", fused_poisson)
    return patch


def _usual(log_fn: Any = torch.log, lgamma_fn: Any = torch.lgamma) -> bool:
    """Whether those are the functions that the kernels have."""
    return log_fn is torch.log and lgamma_fn is torch.lgamma


def _aligned(
    x: Tensor, mu: Tensor, theta: Tensor, eps: float, *others: Tensor
) -> tuple[Tensor, ...]:
    """Logarithms of the means, counts, logarithms of the dispersions, and others, for kernels."""
    wide = torch.promote_types(formula_dtype(mu, theta), torch.float32)
    log_mu, log_theta = torch.log(mu.to(wide) + eps), torch.log(theta.to(wide))
    counts = x if x.is_floating_point() else x.to(wide)
    return broadcast(log_mu, counts, parameters=(log_theta, *others))
