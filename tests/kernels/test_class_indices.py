"""Indices of classes are what they are, in all 64 bits."""

from __future__ import annotations

import backends
import pytest
import torch

import vaekern as vk


@pytest.mark.parametrize(
    "index", [5, -1, -100, 2**32 + 3, 2**33, -(2**32) + 1, 2**31, 2**63 - 1, -(2**63)]
)
def test_an_index_that_is_no_class_is_an_error_however_large(
    index: int, implementation: str
) -> None:
    logits, x = backends.put(torch.randn(1, 5)), backends.put(torch.tensor([index]))
    if backends.device.type == "cpu":  # undefined on a GPU
        with pytest.raises((RuntimeError, IndexError)):
            vk.categorical_log_likelihood(logits, x)
    value = vk.linear_categorical_log_likelihood(
        logits, torch.eye(5, device=backends.device), None, x
    )
    assert value.isnan().all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_vmap_takes_no_class_for_a_seed(dtype: torch.dtype, implementation: str) -> None:
    logits, x = backends.put(torch.randn(2, 4, 5)), backends.put(torch.randint(5, (2, 4)).to(dtype))
    mapped = torch.func.vmap(vk.categorical_log_likelihood)(logits, x)
    want = vk.categorical_log_likelihood(logits, x, batch_dims=2)
    torch.testing.assert_close(mapped, want)
    gradients = torch.func.vmap(
        torch.func.grad(lambda logits, x: vk.categorical_log_likelihood(logits, x).sum())
    )(logits, x)
    own = logits.clone().requires_grad_()
    total = vk.categorical_log_likelihood(own, x).sum()
    torch.testing.assert_close(gradients, torch.autograd.grad(total, own)[0])
