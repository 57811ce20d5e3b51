"""``patch_scvi`` under whole modules of scvi-tools: one kernel for each sum over genes, dispersions
read as they are given, and the classes as they were."""

from __future__ import annotations

import copy
import importlib
import pickle
import warnings
from typing import Any

import pytest
import torch
from agreement import normal
from torch import Tensor

from vaekern.compat import scvi as compat
from vaekern.compat._deferred import Deferred

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what scvi-tools imports
    pytest.importorskip("scvi", reason="pip install scvi-tools")
    modules = importlib.import_module("scvi.module")
    classes = importlib.import_module("scvi.distributions")

CELLS, GENES, BATCHES, LABELS = 6, 9, 2, 3
DISPERSIONS = ("gene", "gene-batch", "gene-label", "gene-cell")
LIKELIHOODS = {
    "zinb": "zero_inflated_negative_binomial_log_likelihood",
    "nb": "negative_binomial_log_likelihood",
    "poisson": "poisson_log_likelihood",
}


def batch() -> dict[str, Tensor]:
    """One of scvi-tools' data loaders."""
    counts = torch.poisson(normal(CELLS, GENES).exp(), generator=torch.Generator().manual_seed(1))
    return {
        "X": counts.float(),
        "batch": torch.arange(CELLS)[:, None] % BATCHES,
        "labels": torch.arange(CELLS)[:, None] % LABELS,
    }


def step(module: Any, tensors: dict[str, Tensor]) -> list[Tensor]:
    """Losses and gradients."""
    torch.manual_seed(1)
    _, _, losses = module(tensors)
    parameters = list(module.parameters())
    found = torch.autograd.grad(losses.loss, parameters, materialize_grads=True, allow_unused=True)
    return [losses.loss, *losses.reconstruction_loss.values(), *found]


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, torch.Size]]]:
    """What kernels were called with, by name: the results' shape and the parameters'."""
    calls: list[tuple[str, dict[str, torch.Size]]] = []

    def recorded(module: Any, name: str) -> None:
        original = getattr(module, name)

        def recording(mean: Tensor, x: Tensor, *others: Tensor, batch_dims: int) -> Tensor:
            result = original(mean, x, *others, batch_dims=batch_dims)
            found = {"result": result.shape}
            found |= dict(zip(("theta", "logits"), (o.shape for o in others), strict=False))
            calls.append((name, found))
            return result

        monkeypatch.setattr(module, name, recording)

    recorded(compat, LIKELIHOODS["zinb"])
    recorded(compat, LIKELIHOODS["nb"])
    recorded(importlib.import_module("vaekern.compat._log_probs"), LIKELIHOODS["poisson"])
    return calls


@pytest.mark.parametrize("dispersion", DISPERSIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_steps_are_the_same(likelihood: str, dispersion: str, shapes: Any) -> None:
    torch.manual_seed(0)
    module = modules.VAE(
        GENES, n_batch=BATCHES, n_labels=LABELS, dispersion=dispersion, gene_likelihood=likelihood
    ).train()
    states = [copy.deepcopy(module).state_dict(), module.state_dict()]
    found = []
    for patched in (False, True):
        module.load_state_dict(states[0])
        patch = compat.patch_scvi() if patched else None
        found.append(step(module, batch()))
        if patch is not None:
            patch.undo()
    ((kernel, sizes),) = shapes
    assert kernel == LIKELIHOODS[likelihood]
    assert sizes["result"] == (CELLS,)
    if likelihood != "poisson":
        assert sizes["theta"] == ((1, GENES) if dispersion == "gene" else (CELLS, GENES))
    torch.testing.assert_close(found[1], found[0])


def parameters() -> dict[str, Tensor]:
    tensors = {
        "mu": normal(CELLS, GENES).exp(),
        "theta": normal(GENES, seed=1).exp(),
        "zi_logits": normal(CELLS, GENES, seed=2),
    }
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


def make(kind: str, given: dict[str, Tensor]) -> Any:
    if kind == "Poisson":
        return classes.Poisson(rate=given["mu"])
    if kind == "NegativeBinomial":
        return classes.NegativeBinomial(mu=given["mu"], theta=given["theta"])
    if kind == "ZeroInflatedNegativeBinomial":
        return classes.ZeroInflatedNegativeBinomial(**given)
    return classes.NegativeBinomialMixture(
        mu1=given["mu"],
        mu2=given["mu"] * 2.0 + 1.0,
        theta1=given["theta"],
        mixture_logits=given["zi_logits"],
    )


KINDS = ("Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial", "NegativeBinomialMixture")
every_kind = pytest.mark.parametrize("kind", KINDS)


def sums_and_elements(kind: str, x: Tensor, given: dict[str, Tensor]) -> list[Tensor]:
    """Both, and the gradients of both."""
    found: list[Tensor] = []
    wanted = list(given.values())
    for use in (lambda t: t.sum(-1), lambda t: t * 1.0):
        result = use(make(kind, given).log_prob(x))
        upstream = normal(*result.shape, seed=7).to(result.dtype)
        found += [result, *torch.autograd.grad(result, wanted, upstream, materialize_grads=True)]
    return found


@every_kind
@pytest.mark.parametrize("samples", [(), (3,)], ids=["", "of samples"])
def test_classes(kind: str, samples: tuple[int, ...]) -> None:
    given = parameters()
    x = torch.poisson(normal(*samples, CELLS, GENES, seed=3).exp())
    want = sums_and_elements(kind, x, given)
    with compat.patch_scvi():
        got = sums_and_elements(kind, x, given)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_mixture_with_two_dispersions() -> None:
    """A function there, too; what the class makes of two is no tensor, and fails as ever."""
    given, x = parameters(), batch()["X"].double()
    module = importlib.import_module("scvi.distributions._negative_binomial")
    for dtype, rtol in ((torch.float64, 1e-6), (torch.float32, 1e-4)):
        mu, theta, logits = (t.detach().to(dtype).requires_grad_() for t in given.values())
        arguments = x.to(dtype), mu, mu + 1.0, theta, theta + 2.0, logits
        found = []
        for patched in (False, True):
            patch = compat.patch_scvi() if patched else None
            result = module.log_mixture_nb(*arguments)
            found.append([result, *torch.autograd.grad(result.sum(), [mu, theta, logits])])
            if patch is not None:
                patch.undo()
        torch.testing.assert_close(found[1], found[0], rtol=rtol, atol=rtol)


@every_kind
def test_pickled(kind: str) -> None:
    """Distributions and results, under the patch and after it."""
    given = {name: tensor.detach() for name, tensor in parameters().items()}
    x = batch()["X"].double()
    want = make(kind, given).log_prob(x)
    with compat.patch_scvi():
        stored = pickle.dumps(make(kind, given))
        inside = pickle.loads(stored).log_prob(x)
    torch.testing.assert_close(pickle.loads(stored).log_prob(x), want, rtol=0.0, atol=0.0)
    torch.testing.assert_close(inside, want)


@pytest.mark.parametrize("kind", ["NegativeBinomial", "ZeroInflatedNegativeBinomial", "Poisson"])
def test_subclasses(kind: str) -> None:
    """What inherits has it; what overrides keeps it; both may build on it."""
    base, given, x = getattr(classes, kind), parameters(), batch()["X"].double()
    arguments = {"rate": given["mu"]} if kind == "Poisson" else dict(given)
    if kind == "NegativeBinomial":
        del arguments["zi_logits"]

    class Heir(base):  # type: ignore[misc, valid-type]
        pass

    class Tempered(base):  # type: ignore[misc, valid-type]
        def log_prob(self, value: Tensor) -> Tensor:
            return 0.5 * super().log_prob(value)

    want = [of(**arguments).log_prob(x).sum(-1) for of in (Heir, Tempered)]
    with compat.patch_scvi():
        heir, tempered = (of(**arguments).log_prob(x) for of in (Heir, Tempered))
        assert type(heir) is Deferred
        assert type(tempered) is Tensor
    torch.testing.assert_close([heir.sum(-1), tempered.sum(-1)], want)


def test_warnings_and_errors_come_at_once() -> None:
    given, x = parameters(), batch()["X"].double() + 0.5
    with compat.patch_scvi():
        with pytest.warns(UserWarning, match="within the support"):
            make("ZeroInflatedNegativeBinomial", given).log_prob(x)
        with pytest.raises(RuntimeError):
            make("NegativeBinomial", given).log_prob(x[:, :4])
