"""Gumbel's noise in gradients: of relaxed samples the forward's own, of one-hot samples none."""

from __future__ import annotations

import backends
import pytest
import torch
from compare import leaves
from operations.case import Case, label_of
from operations.every import CASES

import vaekern as vk

RELAXED = [case for case in CASES if case.op == "gumbel_softmax"]
ONE_HOT = [case for case in CASES if case.op == "sample_categorical"]


@pytest.mark.table("kernel", "backend")
@pytest.mark.parametrize("case", RELAXED, ids=label_of)
def test_the_backward_regenerates_the_gumbel_noise_of_the_forward(case: Case, backend: str) -> None:
    """Straight through or not, the gradient is a function of the relaxed sample y of that noise:
    y (g - sum of y g) / temperature."""
    logits, seed = leaves(case.make((3, 701)))
    temperature = case.constants["temperature"]
    g = backends.put(torch.randn(logits.shape))
    with vk.backend(backend):
        (gradient,) = torch.autograd.grad(case(logits, seed), logits, g)
        y = vk.gumbel_softmax(logits.detach(), temperature, seed=seed)
    want = y * (g - (y * g).sum(-1, keepdim=True)) / temperature
    rounding = 8 * 2.0**-24 * g.abs().max().item() / temperature
    torch.testing.assert_close(gradient, want, rtol=0.0, atol=rounding)


@pytest.mark.table("kernel", "backend")
@pytest.mark.parametrize("case", ONE_HOT, ids=label_of)
def test_gradients_of_probabilities_have_no_noise(case: Case, backend: str) -> None:
    """Two samples, which differ, have the same gradients."""
    logits, _ = leaves(case.make((3, 701)))
    g = backends.put(torch.randn(logits.shape))
    with vk.backend(backend):
        first, second = (case(logits, backends.put(torch.tensor(seed)))[0] for seed in (1, 2))
    assert not torch.equal(first, second)
    gradients = [torch.autograd.grad(z, logits, g)[0] for z in (first, second)]
    assert torch.equal(*gradients)
