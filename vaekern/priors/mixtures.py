"""Mixtures of Gaussians, and of posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import log_sum_exp
from vaekern._checks import check_count, check_float, check_module, check_number
from vaekern._modules.state import own_parameter, refuse_hidden_modules
from vaekern._ops.call import Clamp
from vaekern.posteriors.base import Posterior
from vaekern.posteriors.diagonal import DiagonalGaussian
from vaekern.posteriors.encoding import posterior_of_output
from vaekern.posteriors.prior import Prior, Support
from vaekern.priors.base import check_latent, check_samples, shape_of


class MixtureOfGaussians(Prior):
    r"""A mixture of K Gaussians with learned weights, means and variances.

    .. math:: p(z) = \sum_k \pi_k N(z; \mu_k, e^{v_k})

    KL divergences to it are estimated from a sample.

    Args:
        num_components: K.
        latent_shape: the shape of one z.
        spread: the standard deviation of the N(0, spread^2) that the means begin with.
    """

    def __init__(
        self, num_components: int, latent_shape: int | Sequence[int], spread: float = 1.0
    ) -> None:
        super().__init__()
        num_components = check_count("num_components", num_components)
        self.latent_shape = shape_of(latent_shape)
        shape = (num_components, *self.latent_shape)
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.mu = nn.Parameter(check_number("spread", spread) * torch.randn(shape))
        self.logvar = nn.Parameter(torch.zeros(shape))

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(z) per datapoint, in nats. Memory for B datapoints: B K numbers forward, and
        three times B K times the latent size while going back."""
        densities = _log_densities(DiagonalGaussian(self.mu, self.logvar), z, batch_dims)
        log_weights = torch.log_softmax(self.logits.to(densities.dtype), 0)
        return log_sum_exp(densities + log_weights, -1)

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        weights = torch.softmax(self.logits.to(accumulation_dtype((self.logits,))), 0)
        chosen = torch.multinomial(weights, num_samples, replacement=True, generator=generator)
        picked = DiagonalGaussian(self.mu[chosen], self.logvar[chosen])
        return picked.rsample(generator=generator)


class VampPrior(Prior):
    r"""The mixture of the posteriors of K learned pseudo-inputs.

    .. math:: p(z) = \frac1K \sum_k q(z \mid u_k)

    (Tomczak & Welling 2018, section 2, "variational mixture of posteriors".) KL divergences to it
    are estimated from a sample.

    Args:
        encoder: that of the model, with which its parameters are shared.
        pseudo_inputs: what the u begin with [K, *data], some data for example, floating point: it
            is copied, unless it is a ``Parameter``, which is then trained itself.
        posterior: from the encoder's outputs to the :class:`vaekern.posteriors.Posterior`, as in
            :class:`vaekern.VAE`, whose ``scale`` and ``logvar_clamp`` it has to have too.
        bounds: clamps the pseudo-inputs, as the paper does to (0, 1).

    Raises:
        ValueError: there is no pseudo-input, or they require a gradient and are no parameter.
        TypeError: they are no floating-point tensor, or ``encoder`` is no module.
    """

    def __init__(
        self,
        encoder: nn.Module,
        pseudo_inputs: Tensor,
        posterior: Callable[..., Posterior] = DiagonalGaussian,
        *,
        bounds: Clamp | None = None,
    ) -> None:
        super().__init__()
        check_module("encoder", encoder, "from data to a posterior's parameters")
        check_float("pseudo_inputs", pseudo_inputs)
        refuse_hidden_modules("posterior", posterior)
        if pseudo_inputs.dim() < 1 or pseudo_inputs.shape[0] < 1:
            raise ValueError(
                f"pseudo_inputs: expected [K, ...] with K at least 1, "
                f"got {tuple(pseudo_inputs.shape)}"
            )
        self.encoder = encoder
        self.posterior = posterior
        self.pseudo_inputs = own_parameter("pseudo_inputs", pseudo_inputs)
        self.bounds = bounds

    @property
    def support(self) -> Support:  # type: ignore[override]
        """That of its posteriors; of a function's nothing is known before it is called."""
        own = getattr(self.posterior, "support", None)
        return own if isinstance(own, str) else None

    def components(self) -> Posterior:
        """The posteriors of the pseudo-inputs, as of K datapoints."""
        u: Tensor = self.pseudo_inputs
        if self.bounds is not None:
            u = u.clamp(*self.bounds)
        return posterior_of_output(self.posterior, self.encoder(u))

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(z) per datapoint, in nats. Memory, with Gaussians of independent elements, as of
        :meth:`MixtureOfGaussians.log_prob`."""
        densities = _log_densities(self.components(), z, batch_dims)
        return log_sum_exp(densities, -1) - math.log(self.pseudo_inputs.shape[0])

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        u = self.pseudo_inputs
        chosen = torch.randint(len(u), (num_samples,), device=u.device, generator=generator)
        return self.components().map(lambda t: t[chosen]).rsample(generator=generator)


def _log_densities(components: Posterior, z: Tensor, batch_dims: int) -> Tensor:
    """Of each datapoint's z under each of K components [*batch, K]."""
    check_latent(z, components.latent_shape, batch_dims)
    k = components.tensors[0].shape[0]
    batch, event = z.shape[:batch_dims], z.shape[batch_dims:]
    pairs = z.reshape(batch.numel(), 1, *event).expand(-1, k, *event)
    return components.expand(batch.numel()).log_prob(pairs).reshape(*batch, k)
