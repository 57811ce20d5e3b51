"""Whether a provider is right, against float64, before it is timed."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bench.workloads import Form, Problem

#: Largest error of a tensor, relative to its largest element. Peers compute bfloat16 inputs in
#: bfloat16 throughout, several roundings of 2^-9 each.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}

_LOG_2PI = math.log(2.0 * math.pi)


def _standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar).sum()


def _bernoulli(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = functional.softplus(logits, threshold=1000.0) - x * logits
    return (nll.sum() + _standard_kl(mu, logvar)) / len(x)


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = 0.5 * ((x - mean).square() * torch.exp(-x_logvar) + x_logvar + _LOG_2PI)
    return (nll.sum() + _standard_kl(mu, logvar)) / len(x)


def _gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    delta = logvar - prior_logvar
    distance = (mu - prior_mu).square() * torch.exp(-prior_logvar)
    return 0.5 * (distance + torch.expm1(delta) - delta).sum(-1)


_ORACLES: dict[str, Callable[..., Tensor]] = {
    "bernoulli": _bernoulli,
    "gaussian": _gaussian,
    "gaussian_kl": _gaussian_kl,
}


class Oracle:
    """The right result and gradients of a problem: all but z's share of them, which depends on a
    provider's noise, is evaluated once."""

    def __init__(self, problem: Problem, family: str) -> None:
        self.problem = problem
        self.dtype = problem.z_gradient.dtype
        wide = [t.detach().double().requires_grad_(t.requires_grad) for t in problem.inputs]
        out = _ORACLES[family](*wide)
        leaves = [t for t in wide if t.requires_grad]
        gradients = torch.autograd.grad(out, leaves, problem.out_gradients[self.dtype].double())
        self.out = out.detach()
        self.gradients = dict(zip(problem.leaves, gradients, strict=True))

    def fault(self, form: Form) -> str | None:
        """What is wrong with a provider's step; None if nothing."""
        previous, _ = self.problem.step(form)
        z, out = self.problem.step(form)
        if torch.equal(previous, z):
            return "the noise repeats"
        return self._noise_fault(z.detach()) or self._values_fault(z.detach(), out.detach())

    def _noise_fault(self, z: Tensor) -> str | None:
        mu, logvar = (self.problem.leaves[name].detach().double() for name in ("mu", "logvar"))
        eps = (z - mu) * torch.exp(-0.5 * logvar)
        slack = 1e-2 + 6.0 * math.sqrt(2.0 / eps.numel())  # rounding of z, and 6 sigma
        mean, variance = eps.mean().item(), eps.var().item()
        if abs(mean) < slack and abs(variance - 1.0) < slack:
            return None
        return f"the noise has mean {mean:.3g} and variance {variance:.3g}"

    def _values_fault(self, z: Tensor, out: Tensor) -> str | None:
        pairs = {"result": (out, self.out)}
        for name, right in self.gradients.items():
            got = self.problem.leaves[name].grad
            if got is None:
                return f"no gradient of {name}"
            pairs[f"gradient of {name}"] = (got, right + self._share_of_z(name, z))
        for name, (got, right) in pairs.items():
            error = ((got - right).abs().max() / right.abs().max()).item()
            if not error <= TOLERANCE[self.dtype]:
                return f"{name} is off by {error:.2g}"
        return None

    def _share_of_z(self, name: str, z: Tensor) -> Tensor | float:
        """With z = mu + e^(v/2) eps: dz/dmu = 1, dz/dv = e^(v/2) eps / 2 = (z - mu) / 2."""
        gz = self.problem.z_gradient.double()
        if name == "mu":
            return gz
        if name == "logvar":
            return 0.5 * gz * (z - self.problem.leaves["mu"].detach().double())
        return 0.0
