"""Whole training steps of a model, and the loss's share of them: networks, sample, loss, backward
and optimizer."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import vaekern as vk
from bench.harness.measure import Effort
from bench.harness.memory import keep_freed_memory
from bench.harness.report import Results, dtype_name, print_table, timing_columns
from bench.harness.timing import Call, HostClock, interleaved
from bench.problems.forms import eager, functional, vaekern
from bench.problems.models import MODELS, Model, Networks
from bench.problems.providers import OURS

_IN_A_ROW = 20e-3  # seconds of steps: a training takes the same one again and again
_TOLERANCE = 1e-5  # of the losses, which take the same tensors
_NETWORKS = "networks alone"


@dataclass(frozen=True)
class _Loss:
    """What one writes around the networks. ``loss`` takes logits, x, mu, logvar; x is uint8 where
    the loss reads that, else in [0, 1]."""

    sample: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    reads_uint8: bool = False

    def target(self, x: Tensor) -> Tensor:
        return x if self.reads_uint8 else x.float() / 255


_LOSSES = {
    "eager": _Loss(eager.sample, eager.bernoulli_loss),
    "functional": _Loss(eager.sample, functional.bernoulli_loss),
    OURS: _Loss(vk.reparameterize, vaekern.bernoulli_loss, reads_uint8=True),
}

_COMPILED = {"fallback_random": True}

_Forward = Callable[[Networks, Tensor], Tensor]


def _forward(loss: _Loss) -> _Forward:
    def run(networks: Networks, x: Tensor) -> Tensor:
        mu, logvar = networks.encode(x)
        logits = networks.decoder(loss.sample(mu, logvar))
        return loss.loss(logits, loss.target(x), mu, logvar)

    return run


def _compiled(forward: _Forward) -> _Forward:
    return torch.compile(forward, dynamic=False, options=_COMPILED)


class _Encoder(nn.Module):
    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.networks.encode(x)


@functools.cache
def _model_of(networks: Networks) -> vk.VAE:
    return vk.VAE(_Encoder(networks), networks.decoder)


def _by_model(networks: Networks, x: Tensor) -> Tensor:
    loss: Tensor = _model_of(networks)(x).loss
    return loss


@functools.cache
def _compiled_model_of(networks: Networks) -> Callable[[Tensor], vk.VAEOutput]:
    return torch.compile(_model_of(networks), dynamic=False, options=_COMPILED)


def _by_compiled_model(networks: Networks, x: Tensor) -> Tensor:
    return _compiled_model_of(networks)(x).loss


class _Outputs(NamedTuple):
    """The tensors of a :class:`vk.VAEOutput`."""

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor
    z: Tensor
    mu: Tensor
    logvar: Tensor
    logits: Tensor


class _PlainModel(nn.Module):
    """What :class:`vk.VAE` computes and returns, in plain PyTorch. Compiled code gives a gradient
    to each tensor that it returns, whether anybody wants one or not."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, x: Tensor) -> _Outputs:
        mu, logvar = self.networks.encode(x)
        z = eager.sample(mu, logvar)
        logits = self.networks.decoder(z)
        target = x.float() / 255
        nll = binary_cross_entropy_with_logits(logits, target, reduction="none")
        log_likelihood = -nll.flatten(1).sum(1)
        kl = -0.5 * (1 + logvar - mu.pow(2) - logvar.exp()).sum(1)
        return _Outputs((kl - log_likelihood).mean(), log_likelihood, kl, z, mu, logvar, logits)


@functools.cache
def _compiled_plain_model_of(networks: Networks) -> Callable[[Tensor], _Outputs]:
    return torch.compile(_PlainModel(networks), dynamic=False, options=_COMPILED)


def _by_compiled_plain_model(networks: Networks, x: Tensor) -> Tensor:
    return _compiled_plain_model_of(networks)(x).loss


CANDIDATES = {name: _forward(loss) for name, loss in _LOSSES.items()} | {
    f"compile-{name}": _compiled(_forward(_LOSSES[name])) for name in ("eager", OURS)
}
CANDIDATES[f"{OURS}.VAE"] = _by_model
CANDIDATES["compile-eager.VAE"] = _by_compiled_plain_model
CANDIDATES[f"compile-{OURS}.VAE"] = _by_compiled_model


class _Training:
    """A model's own copy for one candidate, so that all take the same steps."""

    def __init__(self, networks: Networks, x: Tensor) -> None:
        self.networks = copy.deepcopy(networks)
        self.optimizer = torch.optim.Adam(self.networks.parameters(), lr=1e-4)
        self.x = x
        logits, mu, _ = self._through()
        # What a backward brings from a loss, for the candidate without one.
        generator = torch.Generator().manual_seed(0)
        self._upstream = [
            torch.randn(t.shape, generator=generator) / t.numel() for t in (logits, mu, mu)
        ]

    def step(self, forward: _Forward) -> Call:
        return lambda: self._update(lambda: forward(self.networks, self.x).backward())

    def networks_alone(self) -> Call:
        """The step without sample and loss: z is mu, and gradients come from nowhere."""
        return lambda: self._update(
            lambda: torch.autograd.backward(self._through(), self._upstream)
        )

    def _through(self) -> tuple[Tensor, Tensor, Tensor]:
        mu, logvar = self.networks.encode(self.x)
        return self.networks.decoder(mu), mu, logvar

    def _update(self, backward: Call) -> None:
        self.optimizer.zero_grad()
        backward()
        self.optimizer.step()


def run(
    models: Sequence[str],
    candidates: Sequence[str],
    batch_sizes: Sequence[int] | None,
    effort: Effort,
    results: Results,
) -> None:
    keep_freed_memory()
    _check_losses()
    for name in models:
        model = MODELS[name]
        for batch_size in batch_sizes or model.batch_sizes:
            _run(model, candidates, batch_size, effort, results)
            torch.compiler.reset()
            _model_of.cache_clear()
            _compiled_model_of.cache_clear()
            _compiled_plain_model_of.cache_clear()


def _run(
    model: Model, candidates: Sequence[str], batch_size: int, effort: Effort, results: Results
) -> None:
    torch.manual_seed(0)
    networks, x = model.make(), model.images(batch_size)
    calls = {name: _Training(networks, x).step(CANDIDATES[name]) for name in candidates}
    calls[_NETWORKS] = _Training(networks, x).networks_alone()
    clock = HostClock(lead_in=True, seconds=_IN_A_ROW)
    found = interleaved(calls, effort.rounds, effort.seconds, clock)
    timings = {name: each["both"] for name, each in found.items()}
    size = f"{batch_size}x{'x'.join(map(str, model.image))}"
    print(f"\n{model.name}: {model.what}, {size}, {timings[_NETWORKS].samples} samples each")
    alone = timings[_NETWORKS].median
    rows = []
    for name, t in timings.items():
        times = [f"{seconds * 1e3:.3f}" for seconds in (t.median, t.p20, t.p80, t.median - alone)]
        share = f"{100.0 * (1.0 - alone / t.median):.1f} %"
        of_eager = (
            f"{t.median / timings[peer].median:.3f}" if (peer := _peer(name)) in timings else ""
        )
        rows.append([name, *times, *([share, of_eager] if name != _NETWORKS else [])])
        what = {"workload": f"train {model.name} {size}", "dtype": dtype_name(torch.float32)}
        results.add(what | {"provider": name} | timing_columns(t))
    print_table(
        ["step with", "median ms", "p20", "p80", "sample and loss", "share", "/ eager"], rows
    )


def _peer(candidate: str) -> str:
    """What a candidate is compared with: eager with eager, compiled with compiled."""
    return "compile-eager" if candidate.startswith("compile-") else "eager"


def _check_losses() -> None:
    """All losses are the same function of the same tensors."""
    torch.manual_seed(0)
    x = torch.randint(256, (7, 50), dtype=torch.uint8)
    logits, mu, logvar = torch.randn(7, 50), torch.randn(7, 3), torch.randn(7, 3)
    values = {
        name: loss.loss(logits, loss.target(x), mu, logvar).item() for name, loss in _LOSSES.items()
    }
    first = values["eager"]
    for name, value in values.items():
        if not abs(value - first) <= _TOLERANCE * abs(first):
            raise RuntimeError(f"train: the loss of {name} is {value}, of eager {first}")
