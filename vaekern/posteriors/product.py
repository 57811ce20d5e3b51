"""Posteriors of independent parts, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import check_float
from vaekern._torch import shape_to_compare
from vaekern.functional.noise import resolve_noise, streams
from vaekern.posteriors.base import AnyPrior, Posterior
from vaekern.posteriors.prior import Support, joint_support


class Product(Posterior):
    r"""z is the parts of a few posteriors, one after the other: a Gaussian beside a categorical one
    is the posterior of a joint VAE (Dupont 2018).

    .. math:: q(z \mid x) = \prod_i q_i(z_i \mid x)

    Densities, entropies and KL divergences are sums over parts. A KL divergence is taken to another
    product of as many parts, :class:`vaekern.priors.Product` for one, part by part: in closed form
    where there is one, and otherwise estimated from the sample.

    Args:
        parts: posteriors of the same datapoints, at least one. Products among them are taken apart.

    z is [*batch, n], the parts flattened, in the dtype of the first part's parameters.

    Raises:
        ValueError: parts differ in datapoints or devices, or there is none.
        TypeError: one is no posterior.
    """

    def __init__(self, *parts: Posterior) -> None:
        flat = _taken_apart(parts)
        _check(flat)
        super().__init__(flat[0].batch_dims)
        # Each has a name of its own, by which torch takes the product apart.
        vars(self).update({f"part{k}": part for k, part in enumerate(flat)})

    @property
    def parts(self) -> tuple[Posterior, ...]:
        return tuple([value for value in vars(self).values() if isinstance(value, Posterior)])

    @property
    def support(self) -> Support:  # type: ignore[override]
        return joint_support([part.support for part in self.parts])

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return all([part.reparameterized for part in self.parts])

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple([tensor for part in self.parts for tensor in part.tensors])

    @property
    def location(self) -> Tensor:
        return self._side_by_side([part.location for part in self.parts])

    @property
    def mean(self) -> Tensor:
        return self._side_by_side([part.mean for part in self.parts])

    @property
    def mode(self) -> Tensor:
        return self._side_by_side([part.mode for part in self.parts])

    @property
    def stddev(self) -> Tensor:
        wide = accumulation_dtype(self.tensors)
        return self._side_by_side([part.stddev for part in self.parts]).to(wide)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (sum([torch.Size(part.latent_shape).numel() for part in self.parts]),)

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """One z for each datapoint, differentiable as the parts' are.

        Args:
            eps: None: parts take noise of their own kinds.
            seed, generator: the noise's source, as in :func:`vaekern.reparameterize`. Each part
                gets a stream of its own.
        """
        seeds = self._seeds(eps, seed, generator)
        drawn = [part.rsample(None, s) for part, s in zip(self.parts, seeds, strict=True)]
        return self._side_by_side(drawn)

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        seeds = self._seeds(eps, seed, generator)
        return self._joined(
            [p.sample_with_log_prob(None, s) for p, s in zip(self.parts, seeds, strict=True)]
        )

    def log_prob(self, z: Tensor) -> Tensor:
        return _total(
            [p.log_prob(piece) for p, piece in zip(self.parts, self.split(z), strict=True)]
        )

    def entropy(self) -> Tensor:
        return _total([part.entropy() for part in self.parts])

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        factors = self._factors(prior)
        if factors is None:
            return None
        parts = zip(self.parts, factors, strict=True)
        known = [part.closed_form_kl(factor) for part, factor in parts]
        found = [kl for kl in known if kl is not None]
        return _total(found) if len(found) == len(known) else None

    def sample_with_kl(
        self,
        prior: AnyPrior = None,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`rsample`, and KL(q || prior) per datapoint, of each part in closed form or
        estimated from the sample."""
        factors = self._factors(prior)
        if factors is None:
            return super().sample_with_kl(prior, eps, seed, generator)
        of_parts = zip(self.parts, factors, self._seeds(eps, seed, generator), strict=True)
        return self._joined([p.sample_with_kl(factor, None, s) for p, factor, s in of_parts])

    def split(self, z: Tensor) -> list[Tensor]:
        """The parts of z [*batch, n], each [*batch, *its latents].

        Raises:
            ValueError: z has another shape.
        """
        check_float("z", z)
        batch = shape_to_compare(self.tensors[0])[: self.batch_dims]
        if shape_to_compare(z) != (*batch, *self.latent_shape):
            raise ValueError(
                f"z: expected the parts of {(*batch, *self.latent_shape)}, got {tuple(z.shape)}"
            )
        return pieces(z, [part.latent_shape for part in self.parts])

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> Product:
        return Product(*[part.map(function, added_dims) for part in self.parts])

    def detach(self) -> Product:
        return Product(*[part.detach() for part in self.parts])

    def widen(self) -> Product:
        return Product(*[part.widen() for part in self.parts])

    def _factors(self, prior: AnyPrior) -> Sequence[AnyPrior] | None:
        """What each part's divergence is taken to: None if the prior is no product."""
        parts = self.parts
        if prior is None:  # N(0, I), of each part too
            return [None] * len(parts)
        factors: Sequence[AnyPrior] | None = None
        if isinstance(prior, Product):
            factors = prior.parts
        elif not isinstance(prior, Posterior):
            factors = prior.factors()
        if factors is not None and len(factors) != len(parts):
            raise ValueError(
                f"prior: expected a product of {len(parts)} parts, as the posterior has, got "
                f"{len(factors)}"
            )
        return factors

    def _seeds(
        self, eps: Tensor | None, seed: int | Tensor | None, generator: torch.Generator | None
    ) -> list[Tensor]:
        if eps is not None:
            raise ValueError(
                "eps: expected None for a Product, whose parts take noise of their own kinds: "
                "give a seed or a generator"
            )
        words = resolve_noise("z", self.tensors[0], None, seed, generator)
        return streams(words, len(self.parts))

    def _joined(self, of_parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Samples side by side, and what is known of each, summed."""
        drawn, values = zip(*of_parts, strict=True)
        return self._side_by_side(drawn), _total(values)

    def _side_by_side(self, drawn: Sequence[Tensor]) -> Tensor:
        flat = [
            t.flatten(self.batch_dims) if t.dim() > self.batch_dims else t[..., None] for t in drawn
        ]
        return torch.cat(flat, dim=-1).to(self.tensors[0].dtype)


def pieces(z: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The parts, of these shapes, that lie side by side along the last dimension."""
    cut = z.split([torch.Size(shape).numel() for shape in shapes], dim=-1)
    return [
        piece.unflatten(-1, shape) if len(shape) != 1 else piece
        for piece, shape in zip(cut, shapes, strict=True)
    ]


def _total(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _taken_apart(parts: Sequence[Posterior]) -> list[Posterior]:
    flat: list[Posterior] = []
    for part in parts:
        flat += part.parts if isinstance(part, Product) else [part]
    return flat


def _check(parts: Sequence[Posterior]) -> None:
    if not parts:
        raise ValueError("parts: expected at least one posterior, got none")
    for part in parts:
        if not isinstance(part, Posterior):
            raise TypeError(f"parts: expected posteriors, got {type(part).__name__}")
        first, own = parts[0].tensors[0], part.tensors[0]
        dims = parts[0].batch_dims
        batch, other = shape_to_compare(first)[:dims], shape_to_compare(own)[: part.batch_dims]
        if batch != other or first.device != own.device:
            raise ValueError(
                f"parts: expected posteriors of the same datapoints, {tuple(batch)} on "
                f"{first.device}, got {tuple(other)} on {own.device}"
            )
