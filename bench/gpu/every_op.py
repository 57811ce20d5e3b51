"""Runs every operation once, forward and backward, in odd sizes: for the tools that watch a
device's memory. ``python -m bench.gpu.every_op cuda``"""

from __future__ import annotations

import argparse
import contextlib
import itertools

import torch

import vaekern as vk
from bench.gpu.machine import GPU_BACKENDS
from bench.problems.families import OPS
from bench.problems.providers import on_backend
from bench.problems.workloads import Workload

#: One element; rows of one; a column; primes; one row over several blocks.
_SHAPES = ((1, 1), (7, 1), (1, 13), (5, 131), (37, 61), (2, 40_009))
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


Choice = tuple[tuple[int, int], torch.dtype]


def choices(k: int, *, few: bool) -> list[Choice]:
    """Of shapes and dtypes, for operation number k: all pairs, or two, which change from one
    operation to the next so that each shape and each dtype has its turn."""
    if not few:
        return list(itertools.product(_SHAPES, _DTYPES))
    n_shapes, n_dtypes = len(_SHAPES), len(_DTYPES)
    return [(_SHAPES[j % n_shapes], _DTYPES[j % n_dtypes]) for j in (2 * k, 2 * k + 1)]


def run(backend: str, device: torch.device, *, few: bool) -> int:
    """How many steps ran."""
    steps = 0
    for k, op in enumerate(OPS):
        form = on_backend(backend).form(op)
        assert form is not None
        for shape, dtype in choices(k, few=few):
            Workload(op, "", op, latent=shape, data=shape).make(dtype, device=device).step(form)
            steps += 1
    with contextlib.ExitStack() as stack:
        if backend != "best":
            stack.enter_context(vk.backend(backend))
        for shape in _SHAPES[-2:] if few else _SHAPES:
            _broadcast_and_bytes(shape, device)
            steps += 1
    return steps


def _broadcast_and_bytes(shape: tuple[int, int], device: torch.device) -> None:
    """A prior shared by all datapoints, whose gradients are sums over rows, and uint8 targets."""
    mu, logvar, logits = torch.randn(3, *shape, device=device).requires_grad_().unbind()
    prior_mu, prior_logvar = torch.zeros(2, shape[1], device=device).requires_grad_().unbind()
    x = torch.randint(256, shape, dtype=torch.uint8, device=device)
    _, kl = vk.sample_with_kl(mu, logvar, prior_mu, prior_logvar)
    (kl.sum() + vk.elbo_loss(logits, x, mu, logvar)).backward()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.every_op", description=__doc__)
    parser.add_argument("backend", choices=GPU_BACKENDS)
    parser.add_argument("--few", action="store_true", help="two shapes and dtypes of each")
    options = parser.parse_args()
    steps = run(options.backend, torch.device("cuda"), few=options.few)
    torch.cuda.synchronize()
    print(f"{steps} steps on backend {options.backend}")


if __name__ == "__main__":
    main()
