"""A variational autoencoder around networks of your own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaekern._call import Clamp
from vaekern.elbo import reduce_elbo
from vaekern.functional import gaussian_log_likelihood, reparameterize, sample_with_kl
from vaekern.likelihoods import DecoderOutput, Likelihood, likelihood_named


@dataclass
class VAEOutput:
    """What one pass computes. Values are per datapoint, in nats; ``loss`` is their mean."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor
    z: Tensor
    mu: Tensor
    logvar: Tensor
    decoder_output: DecoderOutput

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound of each datapoint (with beta = 1)."""
        return self.log_likelihood - self.kl


class VAE(nn.Module):
    """p(z) = N(0, 1), q(z | x) = N(mu, e^logvar) with (mu, logvar) = encoder(x), and a likelihood
    p(x | decoder(z)). (Kingma & Welling 2013.)

    Args:
        encoder: a module from x [B, ...] to the tuple (mu, logvar), both [B, *latent].
        decoder: a module from z [B, *latent] to the likelihood's parameters.
        likelihood: ``"bernoulli"``, ``"gaussian"``, or a module: see ``vaekern.likelihoods``.
        beta: weight of the KL divergence in ``loss``: a number or a 0-d tensor.
        scale: what the encoder's second output holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        latent_shape: the shape of one z, for :meth:`sample`; by default that of the first batch
            encoded.
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
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood_named(likelihood)
        self.beta = beta
        self.scale = scale
        self.logvar_clamp = logvar_clamp
        if isinstance(latent_shape, int):
            latent_shape = (latent_shape,)
        self.latent_shape = None if latent_shape is None else tuple(latent_shape)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The posterior's parameters (mu, logvar) of each datapoint."""
        mu, logvar = self.encoder(x)
        if self.latent_shape is None:
            self.latent_shape = tuple(mu.shape[1:])
        return mu, logvar

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
        mu, logvar = self.encode(x)
        z, kl = sample_with_kl(
            mu,
            logvar,
            eps=eps,
            seed=seed,
            generator=generator,
            scale=self.scale,
            logvar_clamp=self.logvar_clamp,
        )
        decoder_output = self.decoder(z)
        log_likelihood = self.likelihood.log_prob(decoder_output, x)
        loss = reduce_elbo(log_likelihood, kl, self.beta, "mean")
        return VAEOutput(loss, log_likelihood, kl, z, mu, logvar, decoder_output)

    def elbo(self, x: Tensor, num_samples: int = 1) -> Tensor:
        """The evidence lower bound (beta = 1) of each datapoint [B], in nats, with
        ``num_samples`` samples of z."""
        _check_samples(num_samples)
        mu, logvar = self.encode(x)
        total = torch.zeros((), device=mu.device)
        for _ in range(num_samples):
            z, kl = sample_with_kl(mu, logvar, scale=self.scale, logvar_clamp=self.logvar_clamp)
            total = total + self.likelihood.log_prob(self.decoder(z), x) - kl
        return total / num_samples

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean of p(x | z) at the posterior's mean, the shape of x."""
        return self.likelihood.mean(self.decoder(self.encode(x)[0]))

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draws z ~ N(0, 1) and returns the means of p(x | z) [num_samples, ...].

        Raises:
            RuntimeError: the shape of z is not known yet.
        """
        _check_samples(num_samples)
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
        mu, logvar = self.encode(x)
        log_weights = [
            self._log_weights(x, mu, logvar, min(chunk_size, num_samples - done))
            for done in range(0, num_samples, chunk_size)
        ]
        return torch.logsumexp(torch.cat(log_weights), dim=0) - math.log(num_samples)

    def _log_weights(self, x: Tensor, mu: Tensor, logvar: Tensor, k: int) -> Tensor:
        """log p(x, z) - log q(z | x) of k samples of each datapoint [k, B]."""
        mu, logvar = mu.expand(k, *mu.shape), logvar.expand(k, *logvar.shape)
        scale, clamp = self.scale, self.logvar_clamp
        z = reparameterize(mu, logvar, scale=scale, logvar_clamp=clamp, batch_dims=2)
        log_posterior = gaussian_log_likelihood(
            mu, z, logvar, scale=scale, logvar_clamp=clamp, batch_dims=2
        )
        log_prior = gaussian_log_likelihood(z.new_zeros(()).expand(z.shape), z, batch_dims=2)
        repeated = x.expand(k, *x.shape).flatten(0, 1)
        log_likelihood = self.likelihood.log_prob(self.decoder(z.flatten(0, 1)), repeated)
        return log_likelihood.unflatten(0, (k, -1)) + log_prior - log_posterior


def _check_samples(num_samples: int) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")
