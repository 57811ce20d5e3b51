"""Running a case on a backend, and how far its results may be from the oracle's.

The oracle is the reference backend in float64 on the same numbers, that is on the inputs after
they were rounded to the dtype under test. The tolerances have one source, the epsilons:

- Arithmetic in float32 or float64 makes a few roundings per element, plus those of a sum. The
  elementary functions are good to 1-2 ulp, an element is a handful of operations on such, and a
  lane of a sum adds at most 64 terms before float64 takes over (random roundings: 64 ** 0.5 / 2 = 4
  ulp). Together ARITHMETIC_ULPS epsilons, relative to the sum of the elements' magnitudes, where
  each element counts at least 1 (times the upstream gradient): inputs are of order one, and so are
  the terms whose difference an element may be; where those may be larger, the operation's
  description has their size. What happens near zero is test_accuracy's subject.
- A result stored in a narrower dtype is rounded once more: half an epsilon of that dtype, relative
  to the result itself, and half of its smallest subnormal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import backends
import torch
from operations.case import Case
from operations.every import DESCRIPTIONS
from torch import Tensor

import vaekern as vk

ARITHMETIC_ULPS = 16


@dataclass
class Run:
    """Results, and the gradients of the floating-point arguments (None for the others)."""

    results: list[Tensor]
    gradients: list[Tensor | None]


def leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same numbers on the device under test, ready to be differentiated. Keeps strides, those
    of 0 included."""
    return [backends.put(t).detach().requires_grad_(t.is_floating_point()) for t in tensors]


def run(
    case: Case,
    tensors: Sequence[Tensor],
    upstream: Sequence[Tensor],
    *,
    backend: str,
    batch_dims: int = 1,
) -> Run:
    inputs = leaves(tensors)
    with vk.backend(backend):
        results = case(*inputs, batch_dims=batch_dims)
    found = iter(
        torch.autograd.grad(
            results,
            [t for t in inputs if t.requires_grad],
            [backends.put(g) for g in upstream],
            allow_unused=True,
        )
    )
    gradients = [next(found) if t.requires_grad else None for t in inputs]
    return Run(
        [r.detach().cpu() for r in results], [None if g is None else g.cpu() for g in gradients]
    )


def upstream_for(
    case: Case, tensors: Sequence[Tensor], batch_dims: int = 1, seed: int = 1
) -> list[Tensor]:
    """Random gradients of the results."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        results = case(*tensors, batch_dims=batch_dims)
    return [torch.randn(r.shape, generator=generator).to(r.dtype) for r in results]


def in_double(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t.double() if t.is_floating_point() else t for t in tensors]


def wide(tensors: Sequence[Tensor]) -> torch.dtype:
    """The dtype of the arithmetic."""
    any_double = any(t.dtype is torch.float64 for t in tensors)
    return torch.float64 if any_double else torch.float32


def magnitudes(
    case: Case, tensors: Sequence[Tensor], upstream: Sequence[Tensor], batch_dims: int
) -> Run:
    """For each number of a :class:`Run`, the sum of the magnitudes of the elements behind it."""
    shape = tensors[0].shape[: -1 if case.arguments[0].has_classes else None]
    elements = [
        t if t.dtype is torch.int64 else _spread(t, case, k, shape, batch_dims)
        for k, t in enumerate(in_double(tensors))
    ]
    gradients = [_of_elements(g.double(), shape) for g in upstream]
    per_element = run(case, elements, gradients, backend="reference", batch_dims=len(shape))
    weight = torch.stack([_weight(g, shape) for g in gradients]).sum(0)
    sums = [
        (r.abs() + 1.0).sum_to_size(_padded(g, len(shape))).reshape(g.shape)
        for r, g in zip(per_element.results, upstream, strict=True)
    ]
    terms = _gradient_terms(case, elements)
    of_gradients = [
        None
        if e is None
        else _sum_like(e.abs() + _like(weight, e) * terms(k), t, case, k, shape, batch_dims)
        for k, (e, t) in enumerate(zip(per_element.gradients, tensors, strict=True))
    ]
    return Run(sums, of_gradients)


def _gradient_terms(case: Case, elements: Sequence[Tensor]) -> Callable[[int], Tensor | float]:
    """For each argument, what an element of its gradient counts at least."""
    sizes_of = DESCRIPTIONS[case.op].gradient_terms
    if sizes_of is None:
        return lambda _: 1.0
    sizes = sizes_of(*elements, **case.constants)
    return lambda k: sizes[k].clamp(min=1.0)


def _of_elements(g: Tensor, shape: torch.Size) -> Tensor:
    return g if g.dim() > len(shape) else g.reshape(_padded(g, len(shape))).expand(shape)


def _weight(g: Tensor, shape: torch.Size) -> Tensor:
    """Its magnitude; of a row's classes, whose results depend on all of it, that of the largest."""
    return g.abs() if g.dim() == len(shape) else g.abs().amax(-1, keepdim=True).expand(g.shape)


def _like(weight: Tensor, elements: Tensor) -> Tensor:
    """The same for each of an element's classes, where it has any."""
    return weight if weight.dim() == elements.dim() else weight.unsqueeze(-1)


def _padded(tensor: Tensor, ndim: int) -> tuple[int, ...]:
    return (*tensor.shape, *(1,) * (ndim - tensor.dim()))


def _aligned_shape(tensor: Tensor, case: Case, k: int, ndim: int, batch_dims: int) -> torch.Size:
    """An argument's shape with the ones that make it broadcast from the right."""
    if case.arguments[k].kind == "channel" and ndim > batch_dims:
        return torch.Size((*tensor.shape, *(1,) * (ndim - batch_dims - 1)))
    return tensor.shape


def _spread(tensor: Tensor, case: Case, k: int, shape: torch.Size, batch_dims: int) -> Tensor:
    if case.arguments[k].has_classes:
        return tensor.expand(*shape, tensor.shape[-1])
    own = _aligned_shape(tensor, case, k, len(shape), batch_dims)
    return tensor.reshape(own).expand(shape)


def _sum_like(
    elements: Tensor, like: Tensor, case: Case, k: int, shape: torch.Size, batch_dims: int
) -> Tensor:
    own = _aligned_shape(like, case, k, len(shape), batch_dims)
    return elements.sum_to_size(own).reshape(like.shape)


def assert_within(
    got: Tensor, want: Tensor, magnitude: Tensor, arithmetic: torch.dtype, what: str
) -> None:
    """``got`` is as close to ``want`` as its dtype and that of the arithmetic allow."""
    assert got.shape == want.shape, f"{what}: shape {tuple(got.shape)}, want {tuple(want.shape)}"
    allowed = ARITHMETIC_ULPS * torch.finfo(arithmetic).eps * magnitude
    stored = torch.finfo(got.dtype)
    if stored.eps > torch.finfo(arithmetic).eps:
        allowed = (
            allowed + 0.5 * stored.eps * want.abs() + 0.5 * stored.smallest_normal * stored.eps
        )
    error = (got.double() - want).abs()
    bad = ~(error <= allowed)  # NaN is bad
    if bool(bad.any()):
        worst = int((error / allowed).nan_to_num(nan=torch.inf).argmax())
        raise AssertionError(
            f"{what}: {int(bad.sum())} of {bad.numel()} too far off; worst at {worst}: got "
            f"{got.flatten()[worst].item()!r}, want {want.flatten()[worst].item()!r}, off by "
            f"{error.flatten()[worst].item():.3g}, allowed {allowed.flatten()[worst].item():.3g}"
        )


def check_against_oracle(
    case: Case, tensors: Sequence[Tensor], batch_dims: int = 1, *, backend: str
) -> None:
    """A backend's results, gradients and their dtypes against the oracle's."""
    upstream = upstream_for(case, tensors, batch_dims)
    got = run(case, tensors, upstream, backend=backend, batch_dims=batch_dims)
    doubled, doubled_upstream = in_double(tensors), in_double(upstream)
    want = run(case, doubled, doubled_upstream, backend="reference", batch_dims=batch_dims)
    scale = magnitudes(case, tensors, upstream, batch_dims)
    arithmetic = wide(tensors)
    for k, value in enumerate(got.results):
        assert_within(value, want.results[k], scale.results[k], arithmetic, f"result {k}")
    for k, gradient in enumerate(got.gradients):
        if gradient is None:
            continue
        assert gradient.dtype is tensors[k].dtype
        exact, of = want.gradients[k], scale.gradients[k]
        assert exact is not None
        assert of is not None
        assert_within(gradient, exact, of, arithmetic, f"gradient of {case.arguments[k].name}")


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal in every bit, NaN's included."""
    if a.shape != b.shape or a.dtype is not b.dtype:
        return False
    integer = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(integer), b.contiguous().view(integer))
