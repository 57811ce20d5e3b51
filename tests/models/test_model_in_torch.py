"""Models and their outputs in what torch does with modules: taken apart and put together, exported,
transformed, copied, compiled."""

from __future__ import annotations

import copy
import functools
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from sampling import one_in
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import vaekern as vk
from vaekern import objectives, posteriors, priors

PIXELS, LATENT, BATCH = 6, 3, 5
X = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
SEED = torch.tensor([3, 4])


class Split(nn.Linear):
    def __init__(self, inputs: int, *sizes: int) -> None:
        super().__init__(inputs, sum(sizes))
        self.sizes = sizes

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).split(self.sizes, dim=-1)


class Flows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([posteriors.Planar(LATENT, context_features=2)])

    def forward(self, mu: Tensor, logvar: Tensor, context: Tensor) -> posteriors.Posterior:
        base = posteriors.DiagonalGaussian(mu, logvar)
        return posteriors.Transformed(base, list(self.steps), context)


def make(kind: str) -> vk.VAE:
    torch.manual_seed(0)
    sizes = {"full": (LATENT, 6), "low rank": (LATENT, 2 * LATENT, LATENT), "flow": (3, 3, 2)}
    family: Any = {
        "full": posteriors.FullGaussian.from_raw,
        "low rank": low_rank,
        "flow": Flows() if kind == "flow" else None,
    }.get(kind)
    options: dict[str, Any] = {"posterior": family}
    if kind == "clamped":
        options = {"scale": "log_std", "logvar_clamp": (-3.0, 3.0)}
    if kind == "warm-up":
        options = {"beta": objectives.KLWarmup(10, start=0.25)}
    if kind == "two outputs":
        options = {"likelihood": "gaussian"}
    decoder = Split(LATENT, PIXELS, PIXELS) if kind == "two outputs" else nn.Linear(LATENT, PIXELS)
    return vk.VAE(Split(PIXELS, *sizes.get(kind, (LATENT, LATENT))), decoder, **options)


def low_rank(mu: Tensor, factor: Tensor, logvar: Tensor) -> posteriors.LowRankGaussian:
    return posteriors.LowRankGaussian(mu, factor.unflatten(-1, (LATENT, 2)), logvar)


KINDS = ("plain", "clamped", "full", "low rank", "flow", "warm-up", "two outputs")
kinds = pytest.mark.parametrize("kind", KINDS)


def assert_same(found: vk.VAEOutput, want: vk.VAEOutput) -> None:
    for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(want), strict=True):
        torch.testing.assert_close(a, b)
    assert type(found.posterior) is type(want.posterior)
    assert found.posterior.batch_dims == want.posterior.batch_dims


@kinds
def test_an_output_is_taken_apart_and_put_together(kind: str) -> None:
    out = make(kind)(X, seed=SEED)
    leaves, spec = pytree.tree_flatten(out)
    assert all(isinstance(leaf, Tensor) for leaf in leaves)
    assert {out.loss.data_ptr(), out.z.data_ptr(), out.posterior.tensors[0].data_ptr()} <= {
        leaf.data_ptr() for leaf in leaves
    }
    again = pytree.tree_unflatten(leaves, spec)
    assert_same(again, out)
    assert pytree.tree_structure(again) == spec
    torch.testing.assert_close(again.elbo, out.elbo)
    doubled = pytree.tree_map(lambda t: 2 * t, out)
    assert isinstance(doubled, vk.VAEOutput)
    torch.testing.assert_close(doubled.z, 2 * out.z)
    names = [pytree.keystr(path) for path, _ in pytree.tree_flatten_with_path(out)[0]]
    assert names[:4] == [".loss", ".log_likelihood", ".kl", ".z"]


@kinds
def test_a_model_is_exported(kind: str) -> None:
    model = make(kind)
    program = torch.export.export(
        model,
        (X,),
        {"seed": SEED},
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}, "seed": None},
    )
    for x in (X, X[:3]):
        assert_same(program.module()(x, seed=SEED), model(x, seed=SEED))


@pytest.mark.parametrize("kind", ["plain", "clamped", "full", "low rank", "two outputs"])
def test_an_exported_model_is_saved(kind: str) -> None:
    model, stored = make(kind), io.BytesIO()
    torch.export.save(torch.export.export(model, (X,), {"seed": SEED}), stored)
    stored.seek(0)
    found = torch.export.load(stored).module()(X, seed=SEED)
    assert_same(found, model(X, seed=SEED))
    torch.testing.assert_close(found.posterior.kl(), found.kl)


@kinds
def test_an_output_comes_out_of_vmap(kind: str) -> None:
    """An ensemble, and its posteriors' own batch dimensions."""
    first, second = make(kind), make(kind)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(0.5)
    stacked = torch.func.stack_module_state([first, second])

    def call(parameters: Any, buffers: Any) -> vk.VAEOutput:
        return torch.func.functional_call(first, (parameters, buffers), (X,), {"seed": SEED})

    found = torch.func.vmap(call, randomness="same")(*stacked)
    for k, model in enumerate((first, second)):
        want = model(X, seed=SEED)
        torch.testing.assert_close(found.loss[k], want.loss)
        torch.testing.assert_close(found.z[k], want.z)
    if kind != "flow":
        assert found.posterior.kl().shape == (2, BATCH)
        torch.testing.assert_close(found.posterior.kl(), found.kl)


OBJECTIVES: dict[str, Callable[[vk.VAE], Tensor]] = {
    "elbo": lambda model: model(X, seed=SEED).loss,
    "options": lambda model: model(
        X, seed=SEED, mask=X > 0.2, weights=X[:, 0], free_bits=0.01
    ).loss,
    "capacity": lambda model: model(X, seed=SEED, capacity=1.0).loss,
    "decomposed": lambda model: decomposed(model(X, seed=SEED)),
    "mmd": lambda model: objectives.mmd(model(X, seed=SEED).z, torch.ones(4, LATENT)),
} | {
    f"{estimator}, {chunk}": functools.partial(
        lambda model, **options: objectives.importance_weighted(model, X, 4, seed=SEED, **options)
        .mean(),
        estimator=estimator,
        chunk_size=chunk,
    )
    for estimator in ("iwae", "stl", "dreg")
    for chunk in (None, 1, 3)
}  # fmt: skip


def decomposed(out: vk.VAEOutput) -> Tensor:
    parts = objectives.decomposed_kl(out.z, out.mu, out.logvar, 100, chunk_size=2)
    return (6.0 * parts.total_correlation + parts.mutual_information).mean()


class Objective(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = make("plain")
        self.name = name

    def forward(self) -> Tensor:
        return OBJECTIVES[self.name](self.model)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_torch_func_is_autograd(name: str) -> None:
    module = Objective(name)
    parameters = dict(module.named_parameters())
    found = torch.func.grad(lambda p: torch.func.functional_call(module, p, ()))(parameters)
    want = torch.autograd.grad(module(), list(parameters.values()), materialize_grads=True)
    for a, b in zip(found.values(), want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_vmap_over_an_ensemble_s_gradients(name: str) -> None:
    module, other = Objective(name), Objective(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    stacked, _ = torch.func.stack_module_state([module, other])

    def gradients(parameters: Any) -> Any:
        return torch.func.grad(lambda p: torch.func.functional_call(module, p, ()))(parameters)

    found = torch.func.vmap(gradients, randomness="same")(stacked)
    for k, each in enumerate((module, other)):
        want = torch.autograd.grad(each(), list(each.parameters()), materialize_grads=True)
        for a, b in zip(found.values(), want, strict=True):
            torch.testing.assert_close(a[k], b)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_autograd_through_vmap(name: str) -> None:
    module, other = Objective(name), Objective(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    stacked, _ = torch.func.stack_module_state([module, other])

    def call(parameters: Any) -> Tensor:
        return torch.func.functional_call(module, parameters, ())

    losses = torch.func.vmap(call, randomness="same")(stacked)
    leaves = list(stacked.values())
    found = torch.autograd.grad(losses.sum(), leaves, materialize_grads=True)
    for k, each in enumerate((module, other)):
        want = torch.autograd.grad(each(), list(each.parameters()), materialize_grads=True)
        for a, b in zip(found, want, strict=True):
            torch.testing.assert_close(a[k], b)


def test_decomposed_kl_twice() -> None:
    small = [torch.randn(4, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)]

    def parts(*tensors: Tensor) -> Tensor:
        return torch.stack(list(objectives.decomposed_kl(*tensors, 50, chunk_size=3)))

    assert torch.autograd.gradgradcheck(parts, small)
    for first in range(3):
        own = functools.partial(_with, parts, [t.detach() for t in small], first)
        found = torch.func.jacrev(torch.func.grad(own))(small[first].detach())
        want = torch.autograd.functional.hessian(own, small[first].detach())
        torch.testing.assert_close(found, want)


def _with(parts: Any, tensors: list[Tensor], at: int, value: Tensor) -> Tensor:
    return parts(*tensors[:at], value, *tensors[at + 1 :]).square().sum()


@kinds
def test_copies_of_models(kind: str) -> None:
    model = make(kind)
    model(X)
    ways: list[Callable[[vk.VAE], vk.VAE]] = [
        copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))
    ]  # fmt: skip
    for way in ways:
        other = way(model)
        assert_same(other(X, seed=SEED), model(X, seed=SEED))
        assert other.sample(2).shape == (2, PIXELS)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert model.encoder.weight.abs().sum() > 0.0
    kept = torch.optim.swa_utils.AveragedModel(model)
    kept.update_parameters(model)
    assert_same(kept(X, seed=SEED), model(X, seed=SEED))


@pytest.mark.parametrize("kind", one_in(6, KINDS))
def test_a_compiled_model_is_eager(kind: str) -> None:
    torch._dynamo.reset()
    model = make(kind)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled(X, seed=SEED), model(X, seed=SEED))
    compiled(X, seed=SEED).loss.backward()


def test_a_compiled_conditional_model_with_options() -> None:
    class Told(nn.Linear):
        def forward(self, *arguments: Tensor) -> Tensor:
            return super().forward(torch.cat(arguments, -1))

    torch.manual_seed(0)
    prior = priors.ConditionalGaussian(Split(2, LATENT, LATENT))
    model = vk.VAE(Told(PIXELS + 2, 2 * LATENT), Told(LATENT + 2, PIXELS), prior=prior, split=True)
    options = {"condition": torch.rand(BATCH, 2), "mask": X > 0.3, "free_bits": 0.1, "seed": SEED}
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert_same(compiled(X, **options), model(X, **options))


def test_subclasses_of_posteriors_are_taken_apart_too() -> None:
    class Own(posteriors.DiagonalGaussian):
        pass

    own = Own(torch.zeros(2, 3), torch.ones(2, 3), scale="std")
    found = pytree.tree_map(lambda t: t + 1.0, own)
    assert type(found) is Own
    assert (found.scale, found.batch_dims) == ("std", 1)
    assert torch.equal(found.mu, torch.ones(2, 3))
