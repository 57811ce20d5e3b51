"""A variational autoencoder around networks of your own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vaekern._checks import check_count, check_kind, check_module, check_per_datapoint, check_scale
from vaekern._modules.outputs import Condition, as_arguments
from vaekern._modules.state import refuse_hidden_modules
from vaekern._ops.call import Clamp, known_clamp
from vaekern.elbo import reduce_elbo
from vaekern.likelihoods import Likelihood, likelihood_named
from vaekern.likelihoods._base import log_prob_of
from vaekern.objectives.bounds import importance_weighted_bound
from vaekern.objectives.divergences import check_weights, regularised_kl
from vaekern.objectives.estimators import posterior_log_weights
from vaekern.objectives.of_models import log_joint_of
from vaekern.posteriors import Posterior
from vaekern.posteriors.base import AnyPrior
from vaekern.posteriors.encoding import (
    check_prior_reads_alike,
    diagonal_of_output,
    posterior_of_output,
)
from vaekern.priors import ConditionalPrior, Prior
from vaekern.vae import one_pass
from vaekern.vae.kl_weight import check_beta, weight_now
from vaekern.vae.latent_shape import KnowsLatentShape
from vaekern.vae.output import VAEOutput, as_diagonal

__all__ = ["VAE", "VAEOutput"]


class VAE(KnowsLatentShape):
    """p(z) = N(0, 1), q(z | x) = N(mu, e^logvar) with (mu, logvar) = encoder(x), and a likelihood
    p(x | decoder(z)). (Kingma & Welling 2013.) Or another prior, and another posterior.

    Methods keep the graph, but for :meth:`sample` and :meth:`log_marginal_likelihood`, which draw
    and evaluate. To train on the latter's bound: :func:`vaekern.objectives.importance_weighted`.

    With a ``condition`` (labels, contexts: a tensor, or a tuple of tensors) the networks get its
    tensors as further arguments, ``encoder(x, condition)`` and ``decoder(z, condition)``, and so
    does a conditional prior: a conditional VAE (Sohn et al. 2015).

    Args:
        encoder: a module from x [B, ...] to the tuple (mu, logvar), both [B, *latent], or to what
            ``posterior`` takes.
        decoder: a module from z [B, *latent] to the likelihood's parameters.
        likelihood: ``"bernoulli"``, ``"bernoulli_probs"``, ``"continuous_bernoulli"``,
            ``"gaussian"`` (of unit variance unless the decoder emits one), ``"optimal_gaussian"``,
            ``"laplace"``, ``"asymmetric_laplace"``, ``"student_t"``, ``"discretized_logistic"``,
            ``"logistic_mixture"``, ``"categorical"``, ``"multinomial"``, ``"poisson"``,
            ``"negative_binomial"``, ``"zero_inflated_negative_binomial"``, or a module with
            ``log_prob(decoder_output, x, batch_dims=...)``; see ``vaekern.likelihoods``.
        beta: weight of the KL divergence in ``loss``: a number, a 0-d tensor, a ``Parameter``, or a
            module without arguments that returns one, as
            :class:`vaekern.objectives.KLWarmup`.
        scale: what the encoder's second output holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
            That of a decoder is the likelihood's: ``GaussianLikelihood(scale=...)``.
        logvar_clamp: bounds for the posterior's log-variance.
        latent_shape: the shape of one z, for :meth:`sample`; by default that of the first batch
            encoded, which the ``state_dict`` remembers.
        posterior: from the encoder's outputs to a :class:`vaekern.posteriors.Posterior`: a class
            (``FullGaussian``), a ``functools.partial`` or a method of one, or a module. By default
            a ``DiagonalGaussian`` with ``scale``, ``logvar_clamp`` and ``split``, which are its
            options alone.
        prior: a :class:`vaekern.priors.Prior`, or a :class:`vaekern.priors.ConditionalPrior`, of
            what the posterior is of; by default N(0, 1). Where the KL divergence has no closed
            form, it is estimated from the sample.
        split: the encoder returns one tensor with mu and logvar side by side: along dimension 1 for
            True, as in [B, 2 D] and [B, 2 C, H, W], or along another one: -1 for [B, T, 2 D].

    Raises:
        ValueError: a name is unknown, an option of the default posterior is given together with
            ``posterior``, or that is a function around modules, which would not be trained.
        TypeError: a network is no module, or ``likelihood``, ``prior`` or ``beta`` is none of
            those.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: str | Likelihood = "bernoulli",
        *,
        beta: nn.Module | Tensor | float = 1.0,
        scale: str = "logvar",
        logvar_clamp: Clamp | None = None,
        latent_shape: int | Sequence[int] | None = None,
        posterior: Callable[..., Posterior] | None = None,
        prior: Prior | ConditionalPrior | None = None,
        split: bool | int = False,
    ) -> None:
        super().__init__(latent_shape)
        check_module("encoder", encoder, "from x to the posterior's parameters")
        check_module("decoder", decoder, "from z to the likelihood's parameters")
        check_scale(scale)
        check_beta(beta)
        if prior is not None:
            check_module("prior", prior, "with log_prob and sample")
            wanted = "a vaekern.priors.Prior or ConditionalPrior, or a subclass of one"
            check_kind("prior", prior, (Prior, ConditionalPrior), wanted)
        if posterior is not None and (scale != "logvar" or logvar_clamp is not None):
            raise ValueError("scale and logvar_clamp: expected none of them beside posterior")
        if posterior is not None and split:
            raise ValueError("split: expected False beside posterior, which gets the one tensor")
        refuse_hidden_modules("posterior", posterior)
        options = {"scale": scale, "logvar_clamp": logvar_clamp, "posterior": posterior}
        check_prior_reads_alike(prior, options)
        self.encoder = encoder
        self.decoder = decoder
        self.likelihood = likelihood_named(likelihood)
        self.beta = beta
        self.scale = scale
        self.logvar_clamp = known_clamp(logvar_clamp)
        self.split = split
        self.posterior = posterior
        self.prior = prior

    def infer(self, x: Tensor, condition: Condition = None) -> Posterior:
        """The posterior of each datapoint."""
        output = self.encoder(x, *as_arguments(condition))
        if self.posterior is not None:
            posterior = posterior_of_output(self.posterior, output)
        else:
            posterior = diagonal_of_output(output, self.split, self.scale, self.logvar_clamp)
        if self.latent_shape is None:
            self.learn_latent_shape(posterior.latent_shape)
        return posterior

    def encode(self, x: Tensor, condition: Condition = None) -> tuple[Tensor, Tensor]:
        """The parameters (mu, logvar) of each datapoint's posterior, if that is a
        DiagonalGaussian; :meth:`infer` gives any."""
        posterior = as_diagonal(self.infer(x, condition), "encode")
        return posterior.mu, posterior.logvar

    def decode(self, z: Tensor, condition: Condition = None, *, mean: bool = True) -> Tensor:
        """The mean of p(x | z) [B, ...], or a draw from it, which carries no gradient. What the
        decoder itself returns, ``model.decoder(z)``, are the likelihood's parameters."""
        decoder_output = self.decoder(z, *as_arguments(condition))
        return (self.likelihood.mean if mean else self.likelihood.sample)(decoder_output)

    def prior_given(self, condition: Condition = None) -> AnyPrior:
        """The prior of each z, given its condition if it takes one; None is N(0, 1)."""
        if not isinstance(self.prior, ConditionalPrior):
            return self.prior
        if condition is None:
            raise ValueError(f"condition: expected one, for {type(self.prior).__name__}, got None")
        posterior: Posterior = self.prior(*as_arguments(condition))
        return posterior

    def forward(
        self,
        x: Tensor,
        condition: Condition = None,
        *,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
        mask: Tensor | None = None,
        weights: Tensor | None = None,
        free_bits: Tensor | float | None = None,
        free_bits_over: str = "dimension",
        capacity: Tensor | float | None = None,
    ) -> VAEOutput:
        """One sample of the negative ELBO of each datapoint, with what it is made of.

        Args:
            x: data [B, ...].
            condition: what the networks are told beside it.
            eps, seed, generator: the noise, as in :func:`vaekern.reparameterize`.
            mask, weights, free_bits, free_bits_over, capacity: as in :func:`vaekern.elbo_loss`. A
                mask leaves elements out of ``log_likelihood``; the others change ``loss`` alone.
                Free bits for parts of z need a posterior and a prior of independent elements.
        """
        posterior, prior = self.infer(x, condition), self.prior_given(condition)
        plain = mask is None and weights is None and free_bits is None and capacity is None
        if plain and one_pass.is_open(posterior, prior):
            z = posterior.rsample(eps, seed, generator)
            decoder_output = self.decoder(z, *as_arguments(condition))
            beta = weight_now(self.beta)
            terms = one_pass.terms(self.likelihood, posterior, decoder_output, x, beta)
            return VAEOutput(*terms, z, posterior, decoder_output)
        z, kl = posterior.sample_with_kl(prior, eps, seed, generator)
        decoder_output = self.decoder(z, *as_arguments(condition))
        log_likelihood = log_prob_of(self.likelihood, decoder_output, x, mask=mask)
        check_per_datapoint("posterior: kl", kl, log_likelihood, 1)
        check_weights(weights, "x", x, 1)
        weighed = kl
        if free_bits is not None or capacity is not None:
            weighed = regularised_kl(
                posterior, prior, kl, free_bits, free_bits_over, capacity, weights
            )
        loss = reduce_elbo(log_likelihood, weighed, weight_now(self.beta), "mean", weights)
        return VAEOutput(loss, log_likelihood, kl, z, posterior, decoder_output)

    def elbo(self, x: Tensor, num_samples: int = 1, condition: Condition = None) -> Tensor:
        """The evidence lower bound (beta = 1) of each datapoint [B], in nats, with
        ``num_samples`` samples of z."""
        num_samples = check_count("num_samples", num_samples)
        posterior, prior = self.infer(x, condition), self.prior_given(condition)
        total = torch.zeros((), device=posterior.tensors[0].device)
        for _ in range(num_samples):
            z, kl = posterior.sample_with_kl(prior)
            decoder_output = self.decoder(z, *as_arguments(condition))
            log_likelihood = log_prob_of(self.likelihood, decoder_output, x)
            check_per_datapoint("posterior: kl", kl, log_likelihood, 1)
            total = total + log_likelihood - kl
        return total / num_samples

    def reconstruct(self, x: Tensor, condition: Condition = None) -> Tensor:
        """The mean of p(x | z) at the posterior's mean (its ``location``), the shape of
        x."""
        return self.decode(self.infer(x, condition).location, condition)

    @torch.no_grad()
    def sample(
        self,
        num_samples: int,
        *,
        condition: Condition = None,
        mean: bool = True,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws z from the prior and returns the means of p(x | z) [num_samples, ...].

        Args:
            num_samples: how many.
            condition: what the networks are told, ``num_samples`` of each.
            mean: False for draws of x in place of its means.
            generator: torch's, of the prior's and the likelihood's device.

        Raises:
            RuntimeError: the shape of z is not known yet.
            ValueError: there are not ``num_samples`` conditions.
        """
        num_samples = check_count("num_samples", num_samples)
        for tensor in as_arguments(condition):
            if tensor.dim() == 0 or tensor.shape[0] != num_samples:
                raise ValueError(
                    f"condition: expected one for each of {num_samples} samples, "
                    f"[{num_samples}, ...], got shape {tuple(tensor.shape)}"
                )
        z = self._sample_prior(num_samples, condition, generator)
        decoder_output = self.decoder(z, *as_arguments(condition))
        if mean:
            return self.likelihood.mean(decoder_output)
        return self.likelihood.sample(decoder_output, generator=generator)

    def _sample_prior(
        self, num_samples: int, condition: Condition, generator: torch.Generator | None
    ) -> Tensor:
        prior = self.prior_given(condition)
        if isinstance(prior, Posterior):
            return prior.rsample(generator=generator)
        if prior is not None:
            return prior.sample(num_samples, generator=generator)
        parameter = next(self.decoder.parameters(), torch.empty(()))
        return self.standard_normal(num_samples, parameter, generator)

    @torch.no_grad()
    def log_marginal_likelihood(
        self,
        x: Tensor,
        num_samples: int = 100,
        *,
        condition: Condition = None,
        chunk_size: int = 10,
    ) -> Tensor:
        r"""Estimates log p(x) of each datapoint [B], in nats, by importance sampling.

        .. math:: \log \frac1K \sum_k p(x \mid z_k)\, p(z_k) / q(z_k \mid x), \quad z_k \sim q

        A lower bound in expectation, tighter with every sample (Burda et al. 2016, eq. 8).

        Args:
            x: data [B, ...].
            num_samples: K.
            condition: what the networks are told beside it: then this is log p(x | condition).
            chunk_size: how many samples are decoded at a time.
        """
        num_samples = check_count("num_samples", num_samples)
        chunk_size = check_count("chunk_size", chunk_size)
        posterior = self.infer(x, condition)
        log_joint = log_joint_of(self, posterior, x, condition)
        log_weights = [
            posterior_log_weights(log_joint, posterior, min(chunk_size, num_samples - done))
            for done in range(0, num_samples, chunk_size)
        ]
        return importance_weighted_bound(torch.cat(log_weights))

    def extra_repr(self) -> str:
        own: dict[str, object] = {"scale": self.scale, "latent_shape": self.latent_shape}
        if not isinstance(self.beta, nn.Module):
            own["beta"] = self.beta
        return ", ".join(f"{name}={value!r}" for name, value in own.items())
