"""The loss of DreamerV3's representation against its formula over torch.distributions."""

from __future__ import annotations

import pytest
import torch
from agreement import DTYPES, check_agreement, normal
from torch import Tensor
from torch.distributions import Independent, OneHotCategorical, kl_divergence

from vaekern.compat import distributions, dreamer

FREE, DYN, REP = 1.0, 0.5, 0.1


def mixed(logits: Tensor, unimix: float) -> Independent:
    probs = torch.softmax(logits, -1)
    logits = torch.log((1.0 - unimix) * probs + unimix / logits.shape[-1]) if unimix else logits
    return Independent(OneHotCategorical(logits=logits, validate_args=False), 1)


def formula(post: Tensor, prior: Tensor, free: float, unimix: float) -> tuple[Tensor, ...]:
    value = kl_divergence(mixed(post, unimix), mixed(prior.detach(), unimix))
    other = kl_divergence(mixed(post.detach(), unimix), mixed(prior, unimix))
    rep, dyn = torch.clip(value, min=free), torch.clip(other, min=free)
    return DYN * dyn + REP * rep, value, dyn, rep


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("unimix", [0.0, 0.01])
@pytest.mark.parametrize("free", [0.0, FREE])
def test_it_is_the_formula(free: float, unimix: float, dtype: torch.dtype) -> None:
    def ours(post: Tensor, prior: Tensor) -> tuple[Tensor, ...]:
        states = {"logit": post}, {"logit": prior}
        return dreamer.kl_loss(*states, free, DYN, REP, unimix_ratio=unimix)

    # Some datapoints are below the free nats, and some are not.
    post, away = normal(4, 3, 5, 7), normal(4, 3, 5, 7, seed=1)
    prior = post + torch.linspace(0.1, 1.5, 4).reshape(4, 1, 1, 1) * away
    check_agreement(ours, lambda q, p: formula(q, p, free, unimix), [post, prior], dtype)


def test_below_the_free_nats_there_is_no_gradient() -> None:
    post = normal(2, 5, 7).requires_grad_()
    prior = (post + 0.01).detach() + 0.01 * normal(2, 5, 7, seed=1)
    states = {"logit": post}, {"logit": prior.requires_grad_()}
    loss, value, *_ = dreamer.kl_loss(*states, FREE, DYN, REP)
    assert (value < FREE).all()
    torch.testing.assert_close(loss, torch.full_like(loss, (DYN + REP) * FREE))
    gradients = torch.autograd.grad(loss.sum(), (post, prior))
    assert [g.abs().max().item() for g in gradients] == [0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)  # torch rounds logits
def test_unchanged_code_is_computed_by_the_kernel(
    dtype: torch.dtype, kernels_called: list[str]
) -> None:
    def original(post: Tensor, prior: Tensor) -> Tensor:
        return torch.distributions.kl_divergence(mixed(post, 0.01), mixed(prior, 0.01))

    def patched(post: Tensor, prior: Tensor) -> Tensor:
        with distributions():
            return original(post, prior)

    check_agreement(patched, original, [normal(3, 5, 7), normal(3, 5, 7, seed=1)], dtype)
    assert "categorical_kl" in kernels_called
    kernels_called.clear()
    of_probs = OneHotCategorical(probs=torch.tensor([0.0, 1.0]))  # whose logits torch clamps
    with distributions():
        assert torch.distributions.kl_divergence(of_probs, of_probs) == 0.0
    assert kernels_called == []


def test_shapes_broadcast_as_torch_has_them(kernels_called: list[str]) -> None:
    q, p = OneHotCategorical(logits=normal(3, 1, 7)), OneHotCategorical(logits=normal(5, 7, seed=1))
    expected = kl_divergence(q, p)
    with distributions():
        torch.testing.assert_close(torch.distributions.kl_divergence(q, p), expected)
    assert kernels_called == ["categorical_kl"]
