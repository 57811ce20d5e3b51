"""Who computes the workloads, and how: the peers, and vaekern on each of its backends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from operations.description import Form
from torch import Tensor

import vaekern as vk
from bench.problems.forms import diffusers, distributions, eager, functional, pixelcnn, vaekern

#: vaekern's name among the providers, on the backend that is the best for the device.
OURS = "vaekern"

#: "best" is vaekern's own choice.
BACKENDS = ("best", "reference", "cpu", "cuda", "triton")


@dataclass(frozen=True)
class Provider:
    name: str
    what: str
    forms: Mapping[str, Form]  # by family
    wrap: Callable[[Form], Form] = lambda form: form
    is_peer: bool = True

    def form(self, family: str) -> Form | None:
        """None where the provider has nothing for the family."""
        return self.wrap(self.forms[family]) if family in self.forms else None


def on_backend(backend: str) -> Provider:
    """vaekern on one of ``BACKENDS``."""
    if backend == "best":
        return Provider(OURS, "vaekern's kernels", vaekern.FORMS, is_peer=False)

    def wrap(form: Form) -> Form:
        def run(*inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
            with vk.backend(backend):
                return form(*inputs)

        return run

    what = "plain torch" if backend == "reference" else f"the {backend} kernels"
    return Provider(f"{OURS}-{backend}", f"vaekern: {what}", vaekern.FORMS, wrap, is_peer=False)


def compiled(mode: str | None = None, **options: bool) -> Callable[[Form], Form]:
    def wrap(form: Form) -> Form:
        if mode is not None:
            return torch.compile(form, fullgraph=True, dynamic=False, mode=mode)
        # The number of threads is compiled in, but is part of Inductor's cache key only as an
        # option.
        threads = torch.get_num_threads()
        return torch.compile(
            form, fullgraph=True, dynamic=False, options={"cpp.threads": threads, **options}
        )

    return wrap


_compiled_torch_noise = compiled(fallback_random=True)
_compile = functools.partial(Provider, wrap=compiled())
_compile_torch_noise = functools.partial(Provider, wrap=_compiled_torch_noise)

PEERS = {
    p.name: p
    for p in (
        Provider("eager", "the usual formulas, BCE with logits", eager.FORMS),
        Provider(
            "functional", "sigmoid + F.binary_cross_entropy, F.gaussian_nll_loss", functional.FORMS
        ),
        Provider("distributions", "torch.distributions", distributions.FORMS),
        Provider(
            "diffusers", "the formulas of diffusers' DiagonalGaussianDistribution", diffusers.FORMS
        ),
        Provider("pixelcnn", "mixtures of logistics as PixelCNN++ has them", pixelcnn.FORMS),
        _compile("compile-eager", "torch.compile of eager", eager.FORMS),
        _compile("compile-distributions", "torch.compile of distributions", distributions.FORMS),
        _compile("compile-diffusers", "torch.compile of diffusers", diffusers.FORMS),
        _compile_torch_noise(
            "compile-eager-fallback",
            "the same with fallback_random, which keeps torch's own noise",
            eager.FORMS,
        ),
        _compile_torch_noise(
            "compile-distributions-fallback",
            "the same with fallback_random",
            distributions.FORMS,
        ),
    )
}


def selected(peers: list[str], backends: list[str]) -> list[Provider]:
    return [PEERS[name] for name in peers] + [on_backend(name) for name in backends]
