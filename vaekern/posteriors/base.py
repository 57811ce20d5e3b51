"""What posteriors have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import check_kind, check_per_datapoint
from vaekern._ops.call import Call
from vaekern._torch import register_pytree
from vaekern.posteriors._linear import standard_log_prob
from vaekern.posteriors.prior import REALS, Categories, Diagonal, Prior, Support, may_agree

if TYPE_CHECKING:
    from typing_extensions import Self


class Posterior:
    """Distributions q(z | x) over latents [*batch, *latent], one for each datapoint of a batch.

    Made of an encoder's outputs: ``vk.VAE(..., posterior=Family)`` calls ``Family(*outputs)``,
    where ``Family`` may be a class, a ``functools.partial`` of one, or a module. Values are in
    nats, one per datapoint.

    A subclass gives :meth:`rsample`, :meth:`log_prob` and :meth:`map`, and what it knows of
    :meth:`sample_with_log_prob`, :meth:`entropy` and :meth:`closed_form_kl`.
    """

    #: What z is. KL divergences to what has another support are estimated from no sample.
    support: Support = REALS
    #: Whether samples move with their distribution: straight-through derivatives say otherwise.
    reparameterized: bool = True

    def __init__(self, batch_dims: int) -> None:
        self.batch_dims = batch_dims

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_pytree(
            cls,
            _flatten,
            lambda values, rest: _unflatten(cls, values, rest),
            name=f"{cls.__module__}.{cls.__qualname__}",
            keys=lambda rest: [key for key, _ in rest[0]],
        )

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Its tensors, the first of which has a number for each latent element."""
        raise NotImplementedError

    @property
    def location(self) -> Tensor:
        """A representative z [*batch, *latent]: the mean, unless the class says otherwise."""
        return self.tensors[0]

    @property
    def mean(self) -> Tensor:
        """[*batch, *latent].

        Raises:
            NotImplementedError: it is not known in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no mean in closed form: draw samples")

    @property
    def mode(self) -> Tensor:
        """The likeliest z [*batch, *latent].

        Raises:
            NotImplementedError: it is not known in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no mode in closed form")

    @property
    def stddev(self) -> Tensor:
        """Of each element on its own [*batch, *latent]; float32 for half precision.

        Raises:
            NotImplementedError: it is not known in closed form.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no stddev in closed form: draw samples"
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return tuple(self.tensors[0].shape[self.batch_dims :])

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """One z for each datapoint, differentiable in the parameters.

        Args:
            eps, seed, generator: the noise, as in :func:`vaekern.reparameterize`.
        """
        raise NotImplementedError

    @torch.no_grad()
    def sample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """:meth:`rsample` without a gradient."""
        return self.rsample(eps, seed, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) per datapoint, in nats. Gives gradients to z and the parameters.

        Raises:
            NotImplementedError: it is known for its own samples only.
        """
        raise NotImplementedError(f"{type(self).__name__} has no log_prob for any z")

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`rsample`, and :meth:`log_prob` of that sample."""
        z = self.rsample(eps, seed, generator)
        return z, self.log_prob(z)

    def entropy(self) -> Tensor:
        """-E[log q(z | x)] per datapoint, in nats.

        Raises:
            NotImplementedError: there is no closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no entropy in closed form")

    def kl_call(self, prior: AnyPrior) -> Call | None:
        """The operation that computes :meth:`closed_form_kl` as a sum over independent elements,
        if there is one."""
        return None

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        """KL(q || prior) per datapoint, None where there is no formula for it."""
        return None

    def kl(self, prior: AnyPrior = None) -> Tensor:
        """KL(q || prior) per datapoint, in nats, in closed form.

        Args:
            prior: a :class:`vaekern.priors.Prior`, another posterior (as the distribution of z
                given other latents), or None for N(0, I).

        Raises:
            NotImplementedError: there is no closed form; :meth:`sample_with_kl` estimates it.
            ValueError: the prior is not one of such z.
        """
        kl = self.closed_form_kl(prior)
        if kl is None:
            check_same_support(self, prior)
            to = "N(0, I)" if prior is None else type(prior).__name__
            raise NotImplementedError(
                f"kl: no closed form of KL({type(self).__name__} || {to}); sample_with_kl "
                "estimates it"
            )
        return kl

    def sample_with_kl(
        self,
        prior: AnyPrior = None,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`rsample`, and KL(q || prior) per datapoint: :meth:`kl` where that is known, else
        its estimate from this sample, log q(z | x) - log p(z)."""
        kl = self.closed_form_kl(prior)
        if kl is not None:
            return self.rsample(eps, seed, generator), kl
        check_same_support(self, prior)
        z, log_posterior = self.widen().sample_with_log_prob(eps, seed, generator)
        check_per_datapoint(
            f"log_prob of {type(self).__name__}", log_posterior, self.tensors[0], self.batch_dims
        )
        kl = log_posterior - log_prior(prior, z, self.batch_dims)
        return z.to(self.tensors[0].dtype), kl

    def diagonal(self) -> Diagonal | None:
        """Its parameters as a Gaussian of independent elements, if it is one."""
        return None

    def categorical(self) -> Categories | None:
        """Its parameters as categorical distributions, if it is made of them."""
        return None

    def __repr__(self) -> str:
        own = [
            f"{name}={tuple(value.shape) if isinstance(value, Tensor) else repr(value)}"
            for name, value in vars(self).items()
            if name[0] != "_"
        ]
        return f"{type(self).__name__}({', '.join(own)})"

    # --- the same posteriors, otherwise arranged -------------------------------------------------

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> Self:
        """The posterior with ``function`` of each parameter, which adds so many dimensions in
        front."""
        raise NotImplementedError

    def expand(self, num_samples: int) -> Self:
        """The posteriors of ``num_samples`` samples of each datapoint, [num_samples, *batch]."""
        return self.map(lambda t: t.expand(num_samples, *t.shape), added_dims=1)

    def detach(self) -> Self:
        """Without gradients to parameters."""
        return self.map(torch.Tensor.detach)

    def widen(self) -> Self:
        """With parameters in the dtype of the arithmetic: samples are not rounded to half."""
        wide = accumulation_dtype(self.tensors)
        return self.map(lambda t: t.to(wide))


#: What a KL divergence can be taken to. None is N(0, I).
AnyPrior: TypeAlias = Prior | Posterior | None


def _flatten(posterior: Posterior) -> tuple[list[Any], Any]:
    """Its tensors and posteriors; their names and numbers of dimensions, and all else it has."""
    own = dict(vars(posterior))
    # Once put together it knows them by name: torch does so with placeholders, too.
    names = own.pop("_parts", None) or [
        name for name, value in own.items() if isinstance(value, (Tensor, Posterior))
    ]
    values = [own.pop(name) for name in names]
    dims = [value.dim() if isinstance(value, Tensor) else None for value in values]
    return values, (tuple(zip(names, dims, strict=True)), tuple(own.items()))


def _unflatten(kind: type[Posterior], values: Iterable[Any], rest: Any) -> Posterior:
    """With dimensions that were added in front, as vmap does to its results, as batch ones."""
    posterior = kind.__new__(kind)
    named, others = rest
    own = vars(posterior)
    own.update(others)
    own["_parts"] = tuple(name for name, _ in named)
    own.update(zip(own["_parts"], values, strict=True))
    own["batch_dims"] += _added_dims(own, named)
    return posterior


def _added_dims(own: dict[str, Any], named: Any) -> int:
    for name, dims in named:
        value = own[name]
        if isinstance(value, Tensor):
            return max(0, value.dim() - dims) if dims is not None else 0
        if isinstance(value, Posterior):
            return value.batch_dims - own["batch_dims"]
    return 0


def log_prior(prior: AnyPrior, z: Tensor, batch_dims: int) -> Tensor:
    """log p(z) per datapoint."""
    if prior is None:
        return standard_log_prob(z, batch_dims=batch_dims)
    if isinstance(prior, Posterior):
        log_prob = prior.log_prob(z)
    else:
        log_prob = prior.log_prob(z, batch_dims=batch_dims)
    check_per_datapoint(f"log_prob of {type(prior).__name__}", log_prob, z, batch_dims)
    return log_prob


def check_same_support(posterior: Posterior, prior: AnyPrior) -> None:
    """Raises:
    ValueError: one has a density of other things than the other, which cannot be compared.
    """
    own, others = posterior.support, REALS if prior is None else prior.support
    if not may_agree(own, others):
        to = "None, which is N(0, I)," if prior is None else type(prior).__name__
        raise ValueError(
            f"prior: expected one over {own}, as {type(posterior).__name__} is, got {to} over "
            f"{others}"
        )


def diagonal_prior(prior: AnyPrior) -> Diagonal | None:
    """The prior as a Gaussian of independent elements, if it is one."""
    if prior is None:
        return Diagonal(None, None)
    check_kind("prior", prior, (Prior, Posterior), "a vaekern.priors.Prior, a posterior or None")
    return prior.diagonal()
