"""Operations on whole rows of logits, which lie along the last dimension of the first input: what a
class gets depends on all of its row. The kernels take a row at a time and keep nothing of its size
(``csrc/softmax.h``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekern._backends import fast, plain
from vaekern._backends.choice import backend_named
from vaekern._backends.launch import Softmax, SoftmaxKernel, accumulation_dtype
from vaekern._ops.autograd import apply_regular
from vaekern._ops.elementwise import Empty, Op
from vaekern._ops.rows import RowOp
from vaekern._ops.seed import QUICK_DRAW


class CategoricalKLOp(RowOp):
    """Of logits and those of a prior, which broadcast to their shape. A mask says which rows
    count."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fast = fast.plan_of_softmax(self, apply_regular, QUICK_DRAW, "divergence")

    def _kernel(self, *args: Any) -> Tensor:
        (logits, prior), mask, (batch_dims, unimix, name) = self.split(args)
        value = logits.new_empty(
            logits.shape[:batch_dims], dtype=accumulation_dtype((logits, prior))
        )
        if logits.numel() == 0:
            return value.zero_()
        backend_named(name).softmax(
            Softmax(
                SoftmaxKernel.KL,
                _sizes(logits, value),
                unimix,
                logits.contiguous(),
                _repeated_in_order(prior, logits.shape),
                mask=_of_rows(mask, logits.shape),
                sums=value,
            )
        )
        return value

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), inputs, mask, wanted, attributes = self.split_vjp(args)
        assert g is not None  # the only result's
        found = self.gradients_of_sides((g, g), inputs, mask, wanted, attributes)
        return [gradient for gradient in found if gradient is not None]

    def gradients_of_sides(
        self,
        upstream: Sequence[Tensor],
        inputs: Sequence[Tensor],
        mask: Tensor | None,
        wanted: Sequence[bool],
        attributes: Sequence[Any],
    ) -> list[Tensor | None]:
        """The wanted gradients, of plain tensors, where one upstream gradient reaches the logits
        and another those of the prior."""
        (logits, prior), (_, unimix, name) = inputs, attributes
        g, prior_g = (each.contiguous() for each in upstream)
        backend = backend_named(name)
        wide = accumulation_dtype((logits, prior))
        shared = prior.shape != logits.shape
        found = [
            backend.empty(logits, logits.dtype) if wanted[0] else None,
            backend.empty(logits, wide if shared else prior.dtype) if wanted[1] else None,
        ]
        if logits.numel() > 0:
            backend.softmax(
                Softmax(
                    SoftmaxKernel.KL_VJP,
                    _sizes(logits, g),
                    unimix,
                    logits.contiguous(),
                    _repeated_in_order(prior, logits.shape),
                    upstream=g,
                    other_upstream=prior_g,
                    mask=_of_rows(mask, logits.shape),
                    rows=(found[0], found[1]),
                )
            )
        if shared and found[1] is not None:
            found[1] = found[1].sum_to_size(prior.shape).to(prior.dtype)
        return found


class SamplerOp(Op):
    """Of logits, to which a sample has one number for each."""

    mixes_elements = True
    kind: str  # for the fast path

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fast = fast.plan_of_softmax(self, apply_regular, QUICK_DRAW, self.kind)

    def noise(self, seed: Tensor, shape: torch.Size, dtype: torch.dtype, backend: str) -> Tensor:
        return plain.gumbel(seed, shape, dtype)

    def _new_results(
        self, tensors: Sequence[Tensor], batch_dims: int, empty: Empty
    ) -> list[Tensor]:
        return [empty(tensors[0], tensors[0].dtype)]


class SampleCategoricalOp(SamplerOp):
    kind = "sample"

    def _kernel(self, *args: Any) -> Tensor:
        (logits, noise), _, (_, unimix, name) = self.split(args)
        backend = backend_named(name)
        sample = backend.empty(logits, logits.dtype)
        if logits.numel() > 0:
            sizes = _sizes(logits)
            noise = noise.contiguous()
            backend.softmax(
                Softmax(
                    SoftmaxKernel.SAMPLE,
                    sizes,
                    unimix,
                    logits.contiguous(),
                    noise=noise,
                    rows=(sample, None),
                )
            )
        return sample

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), (logits,), _, wanted, (_, unimix, name) = self.split_vjp(args)
        assert g is not None  # the only result's
        if not wanted[0]:
            return []
        backend = backend_named(name)
        found = backend.empty(logits, logits.dtype)
        if logits.numel() > 0:
            logits, g = logits.contiguous(), g.contiguous()
            backend.softmax(
                Softmax(
                    SoftmaxKernel.SAMPLE_VJP, _sizes(logits), unimix, logits, g, rows=(found, None)
                )
            )
        return [found]


class GumbelSoftmaxOp(SamplerOp):
    """The temperature is one number or, mapped over, one for each of the leading indices."""

    kind = "relaxed"

    def _kernel(self, *args: Any) -> Tensor:
        (logits, temperature, noise), _, (_, hard, name) = self.split(args)
        backend = backend_named(name)
        sample = backend.empty(logits, logits.dtype)
        if logits.numel() > 0:
            backend.softmax(
                Softmax(
                    SoftmaxKernel.RELAXED_HARD if hard else SoftmaxKernel.RELAXED,
                    _sizes(logits, temperature),
                    0.0,
                    logits.contiguous(),
                    noise=noise.contiguous(),
                    temperature=temperature.contiguous(),
                    rows=(sample, None),
                )
            )
        return sample

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), (logits, temperature, noise), _, wanted, (_, _, name) = self.split_vjp(args)
        assert g is not None  # the only result's
        backend = backend_named(name)
        found = backend.empty(logits, logits.dtype)
        of_temperature = torch.zeros_like(temperature, memory_format=torch.contiguous_format)
        if logits.numel() > 0:
            backend.softmax(
                Softmax(
                    SoftmaxKernel.RELAXED_VJP,
                    _sizes(logits, temperature),
                    0.0,
                    logits.contiguous(),
                    g.contiguous(),
                    noise=noise.contiguous(),
                    temperature=temperature.contiguous(),
                    rows=(found, None),
                    sums=of_temperature if wanted[1] else None,
                )
            )
        # The noise is added to the logits, and its gradient is theirs.
        all_ = found, of_temperature, found.to(noise.dtype) if wanted[2] else None
        return [t for t, want in zip(all_, wanted, strict=True) if want and t is not None]


def _sizes(logits: Tensor, sums: Tensor | None = None) -> tuple[int, int, int]:
    """How many rows there are, how many classes, and how many rows make a sum."""
    rows = math.prod(logits.shape[:-1])
    return rows, logits.shape[-1], rows // sums.numel() if sums is not None else 1


def _repeated_in_order(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """Contiguous rows that make those of ``shape`` when they are repeated."""
    own = list(rows.shape)
    while own and own[0] == 1:
        del own[0]
    if own and own == list(shape[len(shape) - len(own) :]):
        return rows.contiguous()
    return rows.expand(torch.Size(shape)).contiguous()


def _of_rows(mask: Tensor | None, shape: Sequence[int]) -> Tensor | None:
    return None if mask is None else mask.expand(*shape[:-1], 1).contiguous()
