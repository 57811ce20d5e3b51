"""Bytes that are 0 and 1: read as such where that is asked for, and a warning where it is not."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable

import backends
import pytest
import torch
from torch import Tensor

import vaekern as vk
from vaekern.functional import targets

BITS = torch.randint(0, 2, (4, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
BYTES = BITS * 255

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "bernoulli": vk.bernoulli_log_likelihood,
    "continuous bernoulli": vk.continuous_bernoulli_log_likelihood,
    "probs": lambda p, x, **options: vk.bernoulli_probs_log_likelihood(p.sigmoid(), x, **options),
    "gaussian": vk.gaussian_log_likelihood,
    "laplace": vk.laplace_log_likelihood,
    "student t": lambda loc, x, **options: vk.student_t_log_likelihood(loc, x, 0.3, 4.0, **options),
    "linear bernoulli": lambda h, x, **options: vk.linear_bernoulli_log_likelihood(
        h, torch.eye(6, device=h.device), None, x, **options
    ),
    "linear gaussian": lambda h, x, **options: vk.linear_gaussian_log_likelihood(
        h, torch.eye(6, device=h.device), None, x, **options
    ),
}


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets.first_bytes, "unclear", True)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_binary_bytes_are_what_floats_are(name: str, implementation: str) -> None:
    function = FUNCTIONS[name]
    output = backends.put(torch.randn(4, 6)).requires_grad_()
    bits = backends.put(BITS)
    got = function(output, bits, uint8_range="binary")
    for x in (bits.float(), bits.bool()):
        want = function(output, x)
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(
            torch.autograd.grad(got.sum(), output, retain_graph=True),
            torch.autograd.grad(want.sum(), output),
        )
    torch.testing.assert_close(function(output, bits.bool(), uint8_range="binary"), got)


@pytest.mark.parametrize(
    "module", [vk.BernoulliLikelihood, vk.GaussianLikelihood, vk.LaplaceLikelihood]
)
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_reads_them_too(
    module: type[vk.likelihoods.Likelihood], masked: bool, implementation: str
) -> None:
    output, mu = torch.randn(4, 6), torch.randn(4, 3)
    output, mu, bits = (backends.put(t) for t in (output, mu, BITS))
    output.requires_grad_()
    options = {"mask": bits.roll(1) == 0} if masked else {}
    likelihood = module(uint8_range="binary")  # type: ignore[call-arg]
    losses = [vk.elbo_loss(output, x, mu, mu, likelihood, **options) for x in (bits, bits.float())]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*[torch.autograd.grad(loss, output) for loss in losses])


def test_probabilities_have_no_signed_range() -> None:
    for name in ("bernoulli", "continuous bernoulli", "probs", "linear bernoulli"):
        with pytest.raises(ValueError, match=r"uint8_range: .*'unit', 'binary'.*'signed'"):
            FUNCTIONS[name](torch.zeros(4, 6), BITS, uint8_range="signed")


# --- the warning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_batch_of_0_and_1_read_as_intensities_warns_once(name: str) -> None:
    output = torch.randn(4, 6)
    with pytest.warns(UserWarning, match="uint8_range='binary'") as caught:
        FUNCTIONS[name](output, BITS)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    FUNCTIONS[name](output, BITS)  # warnings are errors here


def test_an_image_ends_the_question() -> None:
    vk.bernoulli_log_likelihood(torch.randn(4, 6), BYTES)
    vk.bernoulli_log_likelihood(torch.randn(4, 6), BITS)


def test_a_black_image_says_nothing() -> None:
    vk.bernoulli_log_likelihood(torch.randn(4, 6), torch.zeros_like(BITS))
    vk.bernoulli_log_likelihood(torch.randn(0, 6), BITS[:0])
    with pytest.warns(UserWarning, match="1/255"):
        vk.bernoulli_log_likelihood(torch.randn(4, 6), BITS)


def test_other_dtypes_and_ranges_do_not_ask() -> None:
    output = torch.randn(4, 6)
    for x in (BITS.float(), BITS.bool()):
        vk.bernoulli_log_likelihood(output, x)
    vk.gaussian_log_likelihood(output, BITS, uint8_range="signed")
    vk.bernoulli_log_likelihood(output, BITS, uint8_range="binary")
    vk.poisson_log_likelihood(output, BITS)
    with pytest.warns(UserWarning, match="binary"):
        vk.bernoulli_log_likelihood(output, BITS)


def test_nobody_looks_where_data_may_not_be_read() -> None:
    meta = torch.zeros(4, 6, device="meta")
    vk.bernoulli_log_likelihood(meta, BITS.to("meta"))
    output = torch.randn(4, 6)
    compiled = torch.compile(vk.bernoulli_log_likelihood, backend="aot_eager", fullgraph=True)
    compiled(output, BITS)
    torch.func.vmap(vk.bernoulli_log_likelihood)(output[None], BITS[None])
    assert targets.first_bytes.unclear


def test_the_loss_of_a_new_process_warns() -> None:
    program = (
        "import torch, vaekern as vk\n"
        "x, mu = torch.ones(4, 6, dtype=torch.uint8), torch.zeros(4, 2)\n"
        "vk.elbo_loss(torch.zeros(4, 6), x, mu, mu)\n"
    )
    with warnings.catch_warnings():
        run = subprocess.run(
            [sys.executable, "-W", "always", "-c", program],
            capture_output=True,
            text=True,
            check=True,
        )
    assert run.stderr.count("uint8_range='binary'") == 1
