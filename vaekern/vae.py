"""A variational autoencoder around networks of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaekern._ops import one_pass
from vaekern._ops.call import Clamp
from vaekern.elbo import loss_and_terms, reduce_elbo
from vaekern.likelihoods import DecoderOutput, Likelihood, likelihood_named
from vaekern.objectives.bounds import importance_weighted_bound
from vaekern.objectives.estimators import log_joint_of, posterior_log_weights
from vaekern.posteriors import DiagonalGaussian, Posterior
from vaekern.posteriors.base import made_of
from vaekern.priors import Prior


@dataclass
class VAEOutput:
    """What one pass computes. Values are per datapoint, in nats; ``loss`` is their mean."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor
    z: Tensor
    posterior: Posterior
    decoder_output: DecoderOutput

    @property
    def mu(self) -> Tensor:
        """The means that the encoder gave, where ``posterior`` is a DiagonalGaussian."""
        return _diagonal(self.posterior, "mu").mu

    @property
    def logvar(self) -> Tensor:
        """What the encoder gave beside them, where ``posterior`` is a DiagonalGaussian."""
        return _diagonal(self.posterior, "logvar").logvar

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound of each datapoint (with beta = 1)."""
        return self.log_likelihood - self.kl


class VAE(nn.Module):
    """p(z) = N(0, 1), q(z | x) = N(mu, e^logvar) with (mu, logvar) = encoder(x), and a likelihood
    p(x | decoder(z)). (Kingma & Welling 2013.) Or another prior, and another posterior.

    Args:
        encoder: a module from x [B, ...] to the tuple (mu, logvar), both [B, *latent], or to what
            ``posterior`` takes.
        decoder: a module from z [B, *latent] to the likelihood's parameters.
        likelihood: ``"bernoulli"``, ``"gaussian"``, or a module: see ``vaekern.likelihoods``.
        beta: weight of the KL divergence in ``loss``: a number or a 0-d tensor.
        scale: what the encoder's second output holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        latent_shape: the shape of one z, for :meth:`sample`; by default that of the first batch
            encoded.
        posterior: from the encoder's outputs to a :class:`vaekern.posteriors.Posterior`: a class
            (``FullGaussian``), a ``functools.partial`` or a method of one, or a module. By default
            a ``DiagonalGaussian`` with ``scale`` and ``logvar_clamp``, which are its options alone.
        prior: a :class:`vaekern.priors.Prior`; by default N(0, 1). Where the KL divergence has no
            closed form, it is estimated from the sample.

    Raises:
        ValueError: ``scale`` or ``logvar_clamp`` is given together with ``posterior``.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: str | Likelihood = "bernoulli",
        *,
        beta: Tensor | float = 1.0,
        scale: str = "logvar",
        logvar_clamp: Clamp | None = None,
        latent_shape: int | Sequence[int] | None = None,
        posterior: Callable[..., Posterior] | None = None,
        prior: Prior | None = None,
    ) -> None:
        super().__init__()
        if posterior is not None and (scale != "logvar" or logvar_clamp is not None):
            raise ValueError("scale and logvar_clamp: expected none of them beside posterior")
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood_named(likelihood)
        self.beta = beta
        self.scale = scale
        self.logvar_clamp = logvar_clamp
        self.posterior = posterior
        self.prior = prior
        if isinstance(latent_shape, int):
            latent_shape = (latent_shape,)
        # In a list: an attribute that changes cannot be exported by torch 2.6.
        self._latent_shape = [None if latent_shape is None else tuple(latent_shape)]

    @property
    def latent_shape(self) -> tuple[int, ...] | None:
        """The shape of one z, None before it is known."""
        return self._latent_shape[0]

    def infer(self, x: Tensor) -> Posterior:
        """The posterior of each datapoint."""
        output = self.encoder(x)
        if self.posterior is not None:
            posterior = made_of(self.posterior, output)
        else:
            mu, logvar = output
            posterior = DiagonalGaussian(
                mu, logvar, scale=self.scale, logvar_clamp=self.logvar_clamp
            )
        if self.latent_shape is None:
            self._latent_shape[0] = posterior.latent_shape
        return posterior

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The parameters (mu, logvar) of each datapoint's posterior, if that is a
        DiagonalGaussian; :meth:`infer` gives any."""
        posterior = _diagonal(self.infer(x), "encode")
        return posterior.mu, posterior.logvar

    def forward(
        self,
        x: Tensor,
        *,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> VAEOutput:
        """One sample of the negative ELBO of each datapoint, with what it is made of.

        Args:
            x: data [B, ...].
            eps, seed, generator: the noise, as in :func:`vaekern.reparameterize`.
        """
        posterior = self.infer(x)
        if (
            self.prior is None
            and type(posterior) is DiagonalGaussian
            and one_pass.applies_to([posterior.tensors])
        ):
            z = posterior.rsample(eps, seed, generator)
            decoder_output = self.decoder(z)
            loss, log_likelihood, kl = loss_and_terms(
                self.likelihood,
                decoder_output,
                x,
                posterior.mu,
                posterior.logvar,
                self.beta,
                posterior.scale,
                posterior.logvar_clamp,
            )
            return VAEOutput(loss, log_likelihood, kl, z, posterior, decoder_output)
        z, kl = posterior.sample_with_kl(self.prior, eps, seed, generator)
        decoder_output = self.decoder(z)
        log_likelihood = self.likelihood.log_prob(decoder_output, x)
        loss = reduce_elbo(log_likelihood, kl, self.beta, "mean")
        return VAEOutput(loss, log_likelihood, kl, z, posterior, decoder_output)

    def elbo(self, x: Tensor, num_samples: int = 1) -> Tensor:
        """The evidence lower bound (beta = 1) of each datapoint [B], in nats, with
        ``num_samples`` samples of z."""
        _check_samples(num_samples)
        posterior = self.infer(x)
        total = torch.zeros((), device=posterior.tensors[0].device)
        for _ in range(num_samples):
            z, kl = posterior.sample_with_kl(self.prior)
            total = total + self.likelihood.log_prob(self.decoder(z), x) - kl
        return total / num_samples

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior's mean (its ``location``), the shape of
        x."""
        return self.likelihood.mean(self.decoder(self.infer(x).location))

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws z from the prior and returns the means of p(x | z) [num_samples, ...].

        Raises:
            RuntimeError: the shape of z is not known yet.
        """
        _check_samples(num_samples)
        if self.prior is not None:
            z = self.prior.sample(num_samples, generator=generator)
            return self.likelihood.mean(self.decoder(z))
        if self.latent_shape is None:
            raise RuntimeError("sample: encode a batch first, or give VAE its latent_shape")
        parameter = next(self.decoder.parameters(), torch.empty(()))
        z = torch.randn(
            num_samples,
            *self.latent_shape,
            generator=generator,
            device=parameter.device,
            dtype=parameter.dtype,
        )
        return self.likelihood.mean(self.decoder(z))

    @torch.no_grad()
    def log_marginal_likelihood(
        self, x: Tensor, num_samples: int = 100, *, chunk_size: int = 10
    ) -> Tensor:
        r"""Estimates log p(x) of each datapoint [B], in nats, by importance sampling.

        .. math:: \log \frac1K \sum_k p(x \mid z_k)\, p(z_k) / q(z_k \mid x), \quad z_k \sim q

        A lower bound in expectation, tighter with every sample (Burda et al. 2016, eq. 8).

        Args:
            x: data [B, ...].
            num_samples: K.
            chunk_size: how many samples are decoded at a time.
        """
        _check_samples(num_samples)
        posterior, log_joint = self.infer(x), log_joint_of(self, x)
        log_weights = [
            posterior_log_weights(log_joint, posterior, min(chunk_size, num_samples - done))
            for done in range(0, num_samples, chunk_size)
        ]
        return importance_weighted_bound(torch.cat(log_weights))


def _diagonal(posterior: Posterior, name: str) -> DiagonalGaussian:
    if not isinstance(posterior, DiagonalGaussian):
        raise AttributeError(
            f"{name}: expected a DiagonalGaussian posterior, got {type(posterior).__name__}"
        )
    return posterior


def _check_samples(num_samples: int) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
