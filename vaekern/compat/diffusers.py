"""``DiagonalGaussianDistribution`` of diffusers (and of latent-diffusion, whose it was), and the
patch that puts the drop-ins for diffusers in place."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from vaekern.compat._attributes import Computed, was_set
from vaekern.compat._noise import (
    Generators,
    NoiseSource,
    check_source,
    fused_sample,
    randn,
    sample_of_noise,
)
from vaekern.compat._patch import Patch
from vaekern.compat._tensors import as_dtype, broadcast, formula_dtype
from vaekern.compat._warnings import warn_once
from vaekern.compat.minimax_h3 import MiniMaxH3AudioDiagonalGaussianDistribution
from vaekern.compat.oobleck import OobleckDiagonalGaussianDistribution
from vaekern.functional import gaussian_kl, gaussian_log_likelihood

__all__ = ["DiagonalGaussianDistribution", "patch_diffusers"]

_LOGVAR_BOUNDS = (-30.0, 20.0)
_IMAGE_DIMS = (1, 2, 3)
_LOG_TWO_PI = math.log(2.0 * math.pi)
_KL_OF_ALL_DIMS = "vaekern.gaussian_kl(posterior.mean, posterior.logvar)"
_NLL_OF_ALL_DIMS = "-vaekern.gaussian_log_likelihood(posterior.mean, x, posterior.logvar)"
_TRAILING_DIMS = (
    "{what} of diffusers sums over dimensions 1, 2 and 3 only: latents of more dimensions "
    "(videos) get one value for each index of the last ones, and the mean of those is too "
    "small by that factor. It is done here as there; for one value per datapoint, call {instead}"
)


class DiagonalGaussianDistribution:
    """A posterior over latents from an encoder's output: means and log-variances, one after the
    other along dimension 1.

    Log-variances are clamped to [-30, 20]. ``deterministic`` sets the deviations to 0. Attributes
    may be set: ``std`` is what samples have, ``var`` and ``logvar`` are what :meth:`kl` and
    :meth:`nll` use.
    ``noise = "fused"`` in a subclass has samples use noise generated inside the kernel.
    """

    noise: ClassVar[NoiseSource] = "torch"

    def __init__(self, parameters: Tensor, deterministic: bool = False) -> None:
        self.parameters = parameters
        self.mean, logvar = torch.chunk(parameters, 2, dim=1)
        self.logvar = self._made_logvar = torch.clamp(logvar, *_LOGVAR_BOUNDS)
        self.deterministic = deterministic

    @Computed
    def std(self) -> Tensor:
        return self._zeros() if self.deterministic else torch.exp(0.5 * self._made_logvar)

    @Computed
    def var(self) -> Tensor:
        return self._zeros() if self.deterministic else torch.exp(self._made_logvar)

    def _zeros(self) -> Tensor:
        return torch.zeros_like(self.mean)

    def _is_as_made(self) -> bool:
        """Whether variances and log-variances still say the same."""
        return not was_set(self, "var") and self.logvar is self._made_logvar

    def sample(self, generator: Generators = None) -> Tensor:
        """A sample; of a list of generators, one draws each datapoint's noise."""
        mean = as_dtype(self.mean, formula_dtype(self.mean))
        as_made = not self.deterministic and not was_set(self, "std")
        if self.noise == "fused" and as_made:
            mean, logvar = broadcast(mean, self._made_logvar)
            return fused_sample(mean, logvar, generator)
        eps = randn(mean.shape, generator, mean.device, self.parameters.dtype)
        if not as_made:
            return mean + self.std * eps
        mean, logvar, eps = broadcast(mean, self._made_logvar, eps)
        return sample_of_noise(mean, logvar, eps)

    def kl(self, other: Any = None) -> Tensor:
        """KL divergence to N(0, 1), or to ``other``, summed over dimensions 1, 2 and 3."""
        if self.deterministic:
            return torch.zeros(1)
        if self.mean.dim() > 4:
            warn_once(_TRAILING_DIMS.format(what="kl()", instead=_KL_OF_ALL_DIMS))
        if not (self._is_as_made() and _is_as_made(other)):
            return self._kl_of_any_variance(other)
        if other is None:
            kept, (mean, logvar) = _kept_first(_IMAGE_DIMS, self.mean, self.logvar)
            kl = gaussian_kl(mean, logvar, batch_dims=kept)
            return as_dtype(kl, formula_dtype(self.mean))
        # A deterministic one has variance 0, but log-variances as if it had not.
        prior_logvar = torch.log(other.var) if other.deterministic else other.logvar
        prior = (other.mean, prior_logvar)
        kept, posterior_and_prior = _kept_first(
            _IMAGE_DIMS, self.mean, self.logvar, parameters=prior
        )
        kl = gaussian_kl(*posterior_and_prior, batch_dims=kept)
        return as_dtype(kl, formula_dtype(self.mean, other.mean))

    def _kl_of_any_variance(self, other: Any) -> Tensor:
        """The formula as it is, where somebody set a variance or a log-variance alone."""
        ratio = self.var if other is None else self.var / other.var
        deviation = self.mean if other is None else (self.mean - other.mean) / other.var.sqrt()
        logvar = self.logvar if other is None else self.logvar - other.logvar
        return 0.5 * torch.sum(deviation.square() + ratio - 1.0 - logvar, dim=_IMAGE_DIMS)

    def nll(self, sample: Tensor, dims: int | Sequence[int] | None = _IMAGE_DIMS) -> Tensor:
        """Negative log-density of ``sample``, summed over ``dims``."""
        if self.deterministic:
            return torch.zeros(1)
        if self.mean.dim() > 4 and dims is _IMAGE_DIMS:
            warn_once(_TRAILING_DIMS.format(what="nll()", instead=_NLL_OF_ALL_DIMS))
        if not self._is_as_made():
            deviation = (sample - self.mean).square() / self.var
            summed = dims if dims is None or isinstance(dims, int) else tuple(dims)
            return 0.5 * torch.sum(_LOG_TWO_PI + self.logvar + deviation, dim=summed)
        dtype = formula_dtype(self.mean, sample)
        kept, (mean, x, logvar) = _kept_first(
            dims, self.mean, as_dtype(sample, dtype), parameters=(self.logvar,)
        )
        return -as_dtype(gaussian_log_likelihood(mean, x, logvar, batch_dims=kept), dtype)

    def mode(self) -> Tensor:
        return self.mean


_REPLACED: tuple[tuple[str, type], ...] = (
    ("diffusers.models.autoencoders.vae", DiagonalGaussianDistribution),
    ("diffusers.models.autoencoders.autoencoder_oobleck", OobleckDiagonalGaussianDistribution),
    (
        "diffusers.models.autoencoders.autoencoder_kl_minimax_h3_audio",
        MiniMaxH3AudioDiagonalGaussianDistribution,
    ),
)
#: What versions before the one that a drop-in was compared with may lack.
_OPTIONAL = frozenset({MiniMaxH3AudioDiagonalGaussianDistribution})


def patch_diffusers(noise: NoiseSource = "torch") -> Patch:
    """Puts :class:`DiagonalGaussianDistribution`, :class:`OobleckDiagonalGaussianDistribution` and
    :class:`MiniMaxH3AudioDiagonalGaussianDistribution` in the place of diffusers' own, in diffusers
    and in every module that imported them.

    Args:
        noise: ``"torch"`` for the samples that diffusers draws with the same seed; ``"fused"`` for
            noise generated inside the kernel.

    Returns:
        What undoes it: ``patch_diffusers().undo()``, or ``with patch_diffusers(): ...``.

    Raises:
        ImportError: diffusers is not installed.
    """
    check_source(noise)
    patch = Patch()
    for module, drop_in in _REPLACED:
        try:
            original = getattr(importlib.import_module(module), drop_in.__name__)
        except ImportError:
            if drop_in in _OPTIONAL:
                continue
            raise
        namespace: dict[str, Any] = {"noise": noise, "__doc__": drop_in.__doc__}
        namespace |= {"replaces": module, "__reduce__": _reduce}
        patch.rebind(original, type(drop_in.__name__, (drop_in,), namespace))
    return patch


def _reduce(distribution: Any) -> tuple[Any, ...]:
    """A patch's own class cannot be found by its name: pickled is what it stands for."""
    state = vars(distribution) | {"noise": distribution.noise}
    return _restored, (distribution.replaces, type(distribution).__bases__[0], state)


def _restored(module: str, drop_in: type, state: dict[str, Any]) -> Any:
    """Of the patch that is in effect, or else of the drop-in."""
    current = getattr(sys.modules.get(module), drop_in.__name__, drop_in)
    kind = current if issubclass(current, drop_in) else drop_in
    distribution: Any = object.__new__(kind)
    vars(distribution).update(state)
    return distribution


def _kept_first(
    summed: int | Sequence[int] | None, *tensors: Tensor, parameters: tuple[Tensor, ...] = ()
) -> tuple[int, tuple[Tensor, ...]]:
    """The tensors, broadcast, with the dimensions that are not ``summed`` in front, and how many
    those are."""
    aligned = broadcast(*tensors, parameters=parameters)
    ndim = aligned[0].dim()
    if summed is None or summed in ((), []):  # as in torch.sum
        return 0, aligned
    dims = {_index(dim, ndim) for dim in ((summed,) if isinstance(summed, int) else summed)}
    kept = [dim for dim in range(ndim) if dim not in dims]
    front = list(range(len(kept)))
    if kept != front:
        aligned = tuple([tensor.movedim(kept, front) for tensor in aligned])
    return len(kept), aligned


def _is_as_made(other: Any) -> bool:
    return not isinstance(other, DiagonalGaussianDistribution) or other._is_as_made()


def _index(dim: int, ndim: int) -> int:
    if not -ndim <= dim < ndim:
        raise IndexError(
            f"dims: expected {-ndim} to {ndim - 1} for {ndim} dimensions, got {dim}; "
            "vaekern.gaussian_kl and gaussian_log_likelihood take latents of any shape"
        )
    return dim % ndim
