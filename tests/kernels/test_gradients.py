"""Derivatives of every kind: first and second order, forward mode, torch.func, checkpoints."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from compare import assert_within, leaves, magnitudes, run, same_bits, upstream_for
from operations.case import Case, label_of
from operations.every import CASES, ONE_PER_OP, REPRESENTATIVES
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.functional import hessian, jacobian
from torch.utils.checkpoint import checkpoint

import vaekern as vk
from vaekern._backends import fast
from vaekern._backends import launch as launch_module


def floats(tensors: Sequence[Tensor]) -> list[int]:
    return [k for k, t in enumerate(tensors) if t.is_floating_point()]


def of_floats(case: Case, tensors: Sequence[Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """The case as a function of its floating-point arguments alone."""
    at = floats(tensors)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        own = list(tensors)
        for k, value in zip(at, values, strict=True):
            own[k] = value
        return case(*own)

    return function


def float_leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t for t in leaves(tensors) if t.requires_grad]


# --- torch.autograd -----------------------------------------------------------------------------


@pytest.mark.table
@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.straight_through], ids=label_of
)
def test_gradcheck(case: Case) -> None:
    """Against finite differences, in both modes; twice the same, to the bit."""
    tensors = case.make((2, 3), torch.float64)
    assert torch.autograd.gradcheck(
        of_floats(case, tensors), float_leaves(tensors), check_forward_ad=True, nondet_tol=0.0
    )


@pytest.mark.table("kernel")
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_gradgradcheck(case: Case) -> None:
    tensors = case.make((2, 2), torch.float64)
    assert torch.autograd.gradgradcheck(of_floats(case, tensors), float_leaves(tensors))


@pytest.mark.table
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_a_backward_may_run_twice(case: Case) -> None:
    inputs = float_leaves(case.make((3, 5)))
    results = of_floats(case, case.make((3, 5)))(*inputs)
    loss = sum(r.sum() for r in results)
    first = torch.autograd.grad(loss, inputs, retain_graph=True)
    kept = [g.clone() for g in first]
    second = torch.autograd.grad(loss, inputs)
    for a, b, c in zip(first, kept, second, strict=True):
        assert same_bits(a, b)
        assert same_bits(b, c)


@pytest.mark.table
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_any_subset_of_the_inputs(case: Case) -> None:
    """What is not asked for changes nothing."""
    tensors = case.make((3, 2, 5))
    upstream = upstream_for(case, tensors)
    everything = run(case, tensors, upstream, backend="cpu")
    size = magnitudes(case, tensors, upstream, 1)
    at = floats(tensors)
    for n in range(1, len(at)):
        for subset in itertools.combinations(at, n):
            own = [t.detach().requires_grad_(k in subset) for k, t in enumerate(tensors)]
            found = torch.autograd.grad(
                case(*own), [own[k] for k in subset], upstream, allow_unused=True
            )
            for k, gradient in zip(subset, found, strict=True):
                want, magnitude = everything.gradients[k], size.gradients[k]
                if want is None:
                    assert gradient is None
                    continue
                assert magnitude is not None
                assert_within(gradient, want.double(), magnitude, torch.float32, f"{subset}")


@pytest.mark.table
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_inputs_and_upstream_gradients_are_never_written_to(case: Case) -> None:
    tensors = case.make((3, 5))
    upstream = upstream_for(case, tensors)
    before = [t.clone() for t in (*tensors, *upstream)]
    run(case, tensors, upstream, backend="cpu")
    assert all(map(same_bits, before, (*tensors, *upstream)))


@pytest.mark.table
@pytest.mark.parametrize("case", [c for c in CASES if len(c.results) > 1], ids=label_of)
def test_a_result_that_is_not_used(case: Case) -> None:
    """A missing upstream gradient counts as zero."""
    tensors = case.make((3, 5))
    upstream = upstream_for(case, tensors)
    for used in range(len(upstream)):
        inputs = float_leaves(tensors)
        results = of_floats(case, tensors)(*inputs)
        got = torch.autograd.grad(results[used], inputs, upstream[used], allow_unused=True)
        only = [g if k == used else torch.zeros_like(g) for k, g in enumerate(upstream)]
        want = [g for g in run(case, tensors, only, backend="cpu").gradients if g is not None]
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(torch.zeros_like(b) if a is None else a, b)


@pytest.mark.table
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_no_gradient_unless_asked_for(case: Case) -> None:
    tensors = case.make((3, 5))
    assert not any(r.requires_grad for r in case(*tensors))
    with torch.no_grad():
        assert not any(r.requires_grad for r in case(*leaves(tensors)))
    with torch.inference_mode():
        assert not any(r.requires_grad for r in case(*tensors))


@pytest.mark.parametrize("target", ["bool", "uint8"])
def test_integer_targets_get_no_gradient(target: str) -> None:
    for case in CASES:
        if not case.label.endswith(target):
            continue
        tensors = leaves(case.make((3, 5)))
        sum(r.sum() for r in case(*tensors)).backward()
        for tensor in tensors:
            assert (tensor.grad is None) == (not tensor.is_floating_point())


@pytest.mark.parametrize("quick", [True, False])
def test_a_parameter_of_events_that_several_dimensions_of_datapoints_share(
    quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mixture's: for each of its components, whatever the sample. Its gradient is summed by the
    kernel, which takes the components for columns."""
    monkeypatch.delattr(launch_module, "_launch_and_sum")
    loc, x, upstream = torch.randn(5, 4, 3), torch.randn(5, 4, 3), torch.randn(5, 4)
    logvar = torch.randn(1, 4, 3, requires_grad=True)
    each = logvar.detach().expand(5, 4, 3).clone().requires_grad_()
    with fast.allowed(quick):
        for parameter in (logvar, each):
            log_p = vk.gaussian_log_likelihood(loc, x, parameter, batch_dims=2)
            log_p.backward(upstream)
    assert logvar.grad is not None
    assert each.grad is not None
    torch.testing.assert_close(logvar.grad, each.grad.sum(0, keepdim=True))


def test_checkpointing_recomputes_the_same_noise() -> None:
    mu, logvar = (torch.randn(4, 300, requires_grad=True) for _ in range(2))

    def loss(mu: Tensor, logvar: Tensor) -> Tensor:
        z, kl = vk.sample_with_kl(mu, logvar)
        return (z**3).sum() + kl.sum()

    torch.manual_seed(4)
    want = torch.autograd.grad(loss(mu, logvar), [mu, logvar])
    torch.manual_seed(4)
    got = torch.autograd.grad(checkpoint(loss, mu, logvar, use_reentrant=False), [mu, logvar])
    assert all(map(torch.equal, got, want))


# --- forward mode -------------------------------------------------------------------------------


@pytest.mark.table
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_dual_numbers(case: Case) -> None:
    """<gradient, tangent> from both sides."""
    tensors = case.make((3, 2, 5), torch.float64)
    primals = [tensors[k] for k in floats(tensors)]
    tangents = [torch.randn_like(p) for p in primals]
    upstream = upstream_for(case, tensors)
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(p, t) for p, t in zip(primals, tangents, strict=True)]
        pushed = [forward_ad.unpack_dual(r).tangent for r in of_floats(case, tensors)(*duals)]
    pulled = run(case, tensors, upstream, backend="cpu").gradients
    forward = sum((g * t).sum() for g, t in zip(upstream, pushed, strict=True))
    present = [g for g in pulled if g is not None]
    backward = sum((g * t).sum() for g, t in zip(present, tangents, strict=True))
    torch.testing.assert_close(forward, backward, rtol=1e-12, atol=1e-12)


# --- torch.autograd.functional ------------------------------------------------------------------

Function = Callable[..., tuple[Tensor, ...]]
VECTORIZED = {
    "jacobian": (jacobian, {}),
    "jacobian, forward": (jacobian, {"strategy": "forward-mode"}),
    "hessian": (hessian, {}),
    "hessian, forward over reverse": (hessian, {"outer_jacobian_strategy": "forward-mode"}),
}


@pytest.mark.table
@pytest.mark.parametrize("kind", VECTORIZED)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_vectorized_derivatives(case: Case, kind: str) -> None:
    """By torch's older vmap, as ``is_grads_batched`` and batched checks of gradients."""
    derivative, strategy = VECTORIZED[kind]
    tensors = case.make((2, 3), torch.float64)
    function = of_floats(case, tensors)
    if derivative is hessian:
        function = _total(function)
    values = tuple(tensors[k] for k in floats(tensors))
    want = derivative(function, values)
    got = derivative(function, values, vectorize=True, **strategy)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_many_gradients_of_a_loss() -> None:
    """Those stored with it are not scaled in place then."""
    logits, x = torch.randn(3, 5, requires_grad=True), torch.rand(3, 5)
    mu = torch.randn(3, 2, requires_grad=True)
    loss = vk.elbo_loss(logits, x, mu, mu)
    ones = torch.autograd.grad(loss, [logits, mu], retain_graph=True)
    weights = torch.tensor([1.0, -2.0, 0.0, 3.0])
    many = torch.autograd.grad(loss, [logits, mu], weights, is_grads_batched=True)
    for one, each in zip(ones, many, strict=True):
        torch.testing.assert_close(each, weights[:, None, None] * one)


# --- torch.func ---------------------------------------------------------------------------------


def _total(function: Function) -> Callable[..., Tensor]:
    """A scalar that is not linear in the results."""
    return lambda *values: sum((r * torch.cos(r)).sum() for r in function(*values))


def _all(values: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(range(len(values)))


TRANSFORMS: dict[str, Callable[[Function, list[Tensor]], object]] = {
    "grad": lambda f, v: torch.func.grad(_total(f), _all(v))(*v),
    "jacrev": lambda f, v: torch.func.jacrev(f, _all(v))(*v),
    "jacfwd": lambda f, v: torch.func.jacfwd(f, _all(v))(*v),
    "jvp": lambda f, v: torch.func.jvp(f, tuple(v), tuple(torch.cos(x) for x in v)),
    "vjp": lambda f, v: torch.func.vjp(_total(f), *v)[1](torch.tensor(1.5, dtype=v[0].dtype)),
    "hessian": lambda f, v: torch.func.hessian(_total(f), _all(v))(*v),
    "jacrev of jacrev": lambda f, v: torch.func.jacrev(torch.func.jacrev(_total(f)))(*v),
}


@pytest.mark.table
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_transforms_agree_with_the_reference(case: Case, transform: str) -> None:
    tensors = case.make((2, 3), torch.float64)
    function, values = of_floats(case, tensors), [tensors[k] for k in floats(tensors)]
    got = TRANSFORMS[transform](function, values)
    with vk.backend("reference"):
        want = TRANSFORMS[transform](function, values)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.table
@pytest.mark.parametrize("out_dim", [0, 1])
@pytest.mark.parametrize("mapped", ["all", "first", "last", "inner dimension"])
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_vmap_agrees_with_a_loop(case: Case, mapped: str, out_dim: int) -> None:
    n = 4
    several = [case.make((2, 3), torch.float64, seed=s) for s in range(n)]
    dim = 1 if mapped == "inner dimension" else 0
    chosen = {"first": [0], "last": [len(several[0]) - 1]}.get(mapped, range(len(several[0])))
    dims = [min(dim, several[0][k].dim()) if k in chosen else None for k in range(len(several[0]))]
    stacked = [
        several[0][k] if d is None else torch.stack([t[k] for t in several], d)
        for k, d in enumerate(dims)
    ]
    got = torch.func.vmap(case, tuple(dims), out_dim)(*stacked)
    for i in range(n):
        want = case(*[several[0 if d is None else i][k] for k, d in enumerate(dims)])
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a.select(out_dim, i), b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_per_sample_gradients(case: Case) -> None:
    """vmap of grad over datapoints."""
    tensors = case.make((4, 2, 3), torch.float64, batch_dims=2)
    dims = tuple([0 if a.is_full and a.role != "seed" else None for a in case.arguments])
    transform = torch.func.vmap(torch.func.grad(_total(case), tuple(floats(tensors))), dims)
    got = transform(*tensors)
    with vk.backend("reference"):
        want = transform(*tensors)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("randomness", "same"), [("same", True), ("different", False)])
def test_vmap_draws_noise_as_it_is_told(randomness: str, same: bool) -> None:
    zeros = torch.zeros(3, 4, 5)
    z = torch.func.vmap(vk.reparameterize, randomness=randomness)(zeros, zeros)
    assert torch.equal(z[0], z[1]) == same
