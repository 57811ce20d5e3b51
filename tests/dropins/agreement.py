"""Whether a drop-in gives what the original gives: shapes, dtypes, values and gradients.

Shapes and dtypes are compared with the original on the same tensors. Values and gradients are
compared with the original in float64 on the same numbers, to the tolerance that
``torch.testing.assert_close`` has for the dtype: in bfloat16 the originals round after every
operation, so that their own results are no measure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import backends
import torch
from compare import leaves
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float64)

Function = Callable[..., Any]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def results_and_gradients(
    function: Function, tensors: Sequence[Tensor], upstream_dtype: torch.dtype
) -> list[Tensor]:
    """The function's results, then the gradients of all tensors."""
    inputs = leaves(tensors)
    found = function(*inputs)
    results = found if isinstance(found, tuple) else (found,)
    upstream = [
        backends.put(normal(*result.shape, seed=k).to(upstream_dtype).to(result.dtype))
        for k, result in enumerate(results)
    ]
    return [*results, *torch.autograd.grad(results, inputs, upstream)]


def check_agreement(
    drop_in: Function, original: Function, tensors: Sequence[Tensor], dtype: torch.dtype
) -> None:
    narrow = [tensor.to(dtype) for tensor in tensors]
    got = results_and_gradients(drop_in, narrow, dtype)
    like = results_and_gradients(original, narrow, dtype)
    want = results_and_gradients(original, [tensor.double() for tensor in narrow], dtype)
    assert [(a.shape, a.dtype) for a in got] == [(b.shape, b.dtype) for b in like]
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        torch.testing.assert_close(a, b.to(a.dtype), msg=lambda text, k=k: f"number {k}: {text}")
