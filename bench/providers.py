"""Who computes the workloads, and how: each as its users write it.

A form takes a family's inputs (``workloads.py``) and returns ``(z, loss)`` or, for
``gaussian_kl``, ``(z, KL per datapoint)``; the loss is the mean over the batch of
KL - log p(x|z), constants included.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, kl_divergence
from torch.nn import functional

import vaekern as vk
from bench.workloads import Form

_LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Provider:
    name: str
    what: str
    forms: Mapping[str, Form]  # by family
    wrap: Callable[[Form], Form] = lambda form: form
    is_peer: bool = True
    default: bool = True

    def form(self, family: str) -> Form | None:
        """None where the provider has nothing for the family."""
        return self.wrap(self.forms[family]) if family in self.forms else None


# --- eager: the usual formulas ----------------------------------------------------------------


def _eager_sample(mu: Tensor, logvar: Tensor) -> Tensor:
    std = torch.exp(0.5 * logvar)
    return mu + torch.randn_like(std) * std


def _eager_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def _eager_bernoulli(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return _eager_sample(mu, logvar), (nll + _eager_kl(mu, logvar)) / len(x)


def _eager_gaussian(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = 0.5 * torch.sum((x - mean).pow(2) / torch.exp(x_logvar) + x_logvar + _LOG_2PI)
    return _eager_sample(mu, logvar), (nll + _eager_kl(mu, logvar)) / len(x)


def _eager_gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    ratio = (logvar.exp() + (mu - prior_mu).pow(2)) / prior_logvar.exp()
    kl = 0.5 * torch.sum(prior_logvar - logvar + ratio - 1, dim=-1)
    return _eager_sample(mu, logvar), kl


_EAGER = {
    "bernoulli": _eager_bernoulli,
    "gaussian": _eager_gaussian,
    "gaussian_kl": _eager_gaussian_kl,
}


# --- eager: the losses of torch.nn.functional -------------------------------------------------


def _functional_bernoulli(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    return _eager_sample(mu, logvar), (nll + _eager_kl(mu, logvar)) / len(x)


def _functional_gaussian(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    variance = torch.exp(x_logvar).expand_as(mean)
    nll = functional.gaussian_nll_loss(mean, x, variance, full=True, reduction="sum")
    return _eager_sample(mu, logvar), (nll + _eager_kl(mu, logvar)) / len(x)


_FUNCTIONAL = {"bernoulli": _functional_bernoulli, "gaussian": _functional_gaussian}


# --- torch.distributions, without its checks of the values ------------------------------------


def _per_datapoint(distribution: Distribution, like: Tensor) -> Independent:
    return Independent(distribution, like.dim() - 1, validate_args=False)


def _normal(mu: Tensor, logvar: Tensor) -> Independent:
    return _per_datapoint(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), mu)


def _standard_normal(like: Tensor) -> Independent:
    prior = Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False)
    return _per_datapoint(prior, like)


def _distributions_elbo(
    likelihood: Distribution, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    q = _normal(mu, logvar)
    kl = kl_divergence(q, _standard_normal(mu))
    return q.rsample(), (kl - likelihood.log_prob(x)).mean()


def _distributions_bernoulli(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    likelihood = _per_datapoint(Bernoulli(logits=logits, validate_args=False), logits)
    return _distributions_elbo(likelihood, x, mu, logvar)


def _distributions_gaussian(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    return _distributions_elbo(_normal(mean, x_logvar), x, mu, logvar)


def _distributions_gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    q = _normal(mu, logvar)
    return q.rsample(), kl_divergence(q, _normal(prior_mu, prior_logvar))


_DISTRIBUTIONS = {
    "bernoulli": _distributions_bernoulli,
    "gaussian": _distributions_gaussian,
    "gaussian_kl": _distributions_gaussian_kl,
}


# --- vaekern ----------------------------------------------------------------------------------


def _vaekern_bernoulli(
    logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    z = vk.reparameterize(mu, logvar)
    return z, vk.elbo_loss(logits, x, mu, logvar, likelihood="bernoulli")


def _vaekern_gaussian(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    z = vk.reparameterize(mu, logvar)
    return z, vk.elbo_loss((mean, x_logvar), x, mu, logvar, likelihood="gaussian")


_VAEKERN = {
    "bernoulli": _vaekern_bernoulli,
    "gaussian": _vaekern_gaussian,
    "gaussian_kl": vk.sample_with_kl,
}


# --- the table --------------------------------------------------------------------------------


def _compiled(form: Form, **options: object) -> Form:
    # The number of threads is compiled in, but is part of Inductor's cache key only as an option.
    options["cpp.threads"] = torch.get_num_threads()
    return torch.compile(form, fullgraph=True, dynamic=False, options=options)


def _on_reference(form: Form) -> Form:
    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        with vk.backend("reference"):
            return form(*inputs)

    return run


_compiled_torch_noise = functools.partial(_compiled, fallback_random=True)

PROVIDERS = {
    p.name: p
    for p in (
        Provider("eager", "the usual formulas, BCE with logits", _EAGER),
        Provider(
            "functional", "sigmoid + F.binary_cross_entropy, F.gaussian_nll_loss", _FUNCTIONAL
        ),
        Provider("distributions", "torch.distributions", _DISTRIBUTIONS),
        Provider("compile-eager", "torch.compile of eager", _EAGER, _compiled),
        Provider(
            "compile-distributions",
            "torch.compile of distributions",
            _DISTRIBUTIONS,
            _compiled,
        ),
        Provider(
            "compile-eager-fallback",
            "the same with fallback_random, which keeps torch's own noise",
            _EAGER,
            _compiled_torch_noise,
        ),
        Provider(
            "compile-distributions-fallback",
            "the same with fallback_random",
            _DISTRIBUTIONS,
            _compiled_torch_noise,
        ),
        Provider("vaekern", "vaekern's kernels", _VAEKERN, is_peer=False),
        Provider(
            "reference",
            "vaekern in plain torch",
            _VAEKERN,
            _on_reference,
            is_peer=False,
            default=False,  # its noise takes seconds at the size of W5
        ),
    )
}
