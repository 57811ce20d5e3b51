"""The fast path and the one in Python give the same results bit for bit: of the CPU's kernels, and
of CUDA's, as on a GPU (``tests/support/backends.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import backends
import pytest
import torch
from operations.case import DTYPES, Case, label_of
from operations.every import CASES, ONE_PER_OP
from torch import Tensor

import vaekern as vk
from vaekern._backends import fast

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")

SHAPES = (((3, 4, 5, 7), 1), ((4, 1, 1, 1), 1), ((2, 0, 3, 2), 1))


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [backends.put(t).detach().clone().requires_grad_(t.is_floating_point()) for t in tensors]


def _run(case: Case, tensors: Sequence[Tensor], batch_dims: int) -> list[Any]:
    """Results and gradients, whose upstream ones are not uniform."""
    leaves = _without_gradients_of_levels(case, _leaves(tensors))
    results = case(*leaves, batch_dims=batch_dims)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    upstream = [
        torch.linspace(-1, 2, r.numel(), dtype=r.dtype, device=r.device).view(r.shape)
        for r in results
    ]
    gradients = torch.autograd.grad(results, wanted, upstream, allow_unused=True)
    return [*results, *gradients]


def _without_gradients_of_levels(case: Case, leaves: list[Tensor]) -> list[Tensor]:
    if case.op == "discretized_logistic_log_likelihood":
        leaves[1].requires_grad_(False)
    return leaves


def _assert_same(ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            assert a is b
            continue
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert (a.requires_grad, a.grad_fn is None) == (b.requires_grad, b.grad_fn is None)
        assert torch.equal(a.view(_BITS[a.dtype]), b.view(_BITS[b.dtype]))


_BITS = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}


@pytest.mark.table
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_bitwise_the_same_without_it(case: Case, dtype: torch.dtype, fast_backend: str) -> None:
    for shape, batch_dims in SHAPES:
        tensors = [backends.put(t) for t in case.make(shape, dtype, batch_dims)]
        with vk.backend(fast_backend):
            ours = _run(case, tensors, batch_dims)
            with fast.allowed(False):
                theirs = _run(case, tensors, batch_dims)
            _assert_same(ours, theirs)
            with torch.no_grad():
                ours = list(case(*tensors, batch_dims=batch_dims))
                with fast.allowed(False):
                    theirs = list(case(*tensors, batch_dims=batch_dims))
            _assert_same(ours, theirs)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "stepped": lambda t: torch.stack([t, t], -1)[..., 0],
    "expanded": lambda t: t[:1].expand(t.shape),
    "negated": lambda t: torch._neg_view(-t) if t.is_floating_point() else t,
    "misaligned": lambda t: t.new_zeros(t.numel() + 1)[1:].view(t.shape).copy_(t),
}


@pytest.mark.table
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_bitwise_the_same_in_any_layout(case: Case, layout: str, fast_backend: str) -> None:
    for dtypes in (
        (torch.float32,),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float64),
    ):
        made = case.make((3, 4, 5, 7), dtypes, layout=LAYOUTS[layout])
        tensors = [backends.put(t) for t in made]
        with vk.backend(fast_backend):
            ours = list(case(*tensors))
            with fast.allowed(False):
                theirs = list(case(*tensors))
        _assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("levels", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_bitwise_the_same_of_mixtures(
    levels: torch.dtype, dtype: torch.dtype, fast_backend: str
) -> None:
    x = torch.randint(256, (3, 3, 2, 5), dtype=torch.uint8)
    x = x if levels is torch.uint8 else (x.to(levels) / 127.5 - 1.0)
    x, params = backends.put(x), backends.put(torch.randn(3, 20, 2, 5).to(dtype)).requires_grad_()

    def run() -> list[Tensor]:
        value = vk.logistic_mixture_log_likelihood(params, x)
        upstream = torch.linspace(-1, 2, 3).to(value)
        (gradient,) = torch.autograd.grad(value, [params], upstream)
        with torch.no_grad():
            return [value, gradient, vk.logistic_mixture_log_likelihood(params, x)]

    with vk.backend(fast_backend):
        ours = run()
        with fast.allowed(False):
            theirs = run()
    _assert_same(ours, theirs)


@pytest.mark.parametrize("given", ["eps", "seed", "seed tensor", "stream", "generator", "nothing"])
@pytest.mark.parametrize("function", [vk.reparameterize, vk.sample_with_kl])
def test_bitwise_the_same_from_any_source_of_noise(
    function: Callable[..., Any], given: str, fast_backend: str
) -> None:
    mu, logvar, eps = (backends.put(torch.randn(3, 4)) for _ in range(3))
    mu.requires_grad_()
    logvar.requires_grad_()
    sources: dict[str, Callable[[], dict[str, Any]]] = {
        "eps": lambda: {"eps": eps},
        "seed": lambda: {"seed": 2**64 - 3},
        "seed tensor": lambda: {"seed": backends.put(torch.tensor(5))},
        "stream": lambda: {"seed": backends.put(torch.tensor([5, 6]))},
        "generator": lambda: {"generator": torch.Generator(mu.device).manual_seed(7)},
        "nothing": dict,
    }

    def run() -> list[Tensor]:
        torch.manual_seed(8)
        found = function(mu, logvar, **sources[given]())
        results = found if isinstance(found, tuple) else (found,)
        total = sum([result.sum() for result in results])
        return [*results, *torch.autograd.grad(total, [mu, logvar]), torch.get_rng_state()]

    with vk.backend(fast_backend):
        *ours, our_state = run()
        with fast.allowed(False):
            *theirs, their_state = run()
    _assert_same(ours, theirs)
    assert torch.equal(our_state, their_state)


def test_bitwise_the_same_where_results_are_large() -> None:
    mu, logvar, seed = torch.randn(64, 2**14), torch.randn(64, 2**14), torch.tensor([1, 2])
    case = next(c for c in CASES if c.label == "reparameterize-logvar-seed")
    ours = _run(case, (mu, logvar, seed), 1)
    with fast.allowed(False):
        theirs = _run(case, (mu, logvar, seed), 1)
    _assert_same(ours, theirs)


def test_create_graph_and_retain_graph() -> None:
    mu = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    logvar = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda m, v: vk.gaussian_kl(m, v), (mu, logvar))
    kl = vk.gaussian_kl(mu, logvar).sum()
    first = torch.autograd.grad(kl, [mu, logvar], retain_graph=True)
    second = torch.autograd.grad(kl, [mu, logvar])
    _assert_same(first, second)
