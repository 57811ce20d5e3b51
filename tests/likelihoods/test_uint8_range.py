"""How bytes are read: as 0 .. 1, as -1 .. 1, as counts."""

from __future__ import annotations

from collections.abc import Callable

import backends
import pytest
import torch
from torch import Tensor

import vaekern as vk
from vaekern._backends.choice import backend_named
from vaekern._backends.launch import Bytes, launch

LEVELS = torch.arange(256, dtype=torch.uint8).reshape(2, 128)

WANTED: dict[str, Callable[[Tensor], Tensor]] = {
    "unit": lambda x: x / 255,
    "signed": lambda x: 2 * x / 255 - 1,
    "count": lambda x: x,
}

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda t: t,
    "transposed": lambda t: t.t().contiguous().t(),
    "one per row": lambda t: t[:, 100:101].expand(t.shape),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("uint8_range", WANTED)
def test_every_level_is_the_number_that_torch_makes_of_it(
    uint8_range: str, layout: str, dtype: torch.dtype, backend: str
) -> None:
    """The gradient of the mean of N(x; 0, 1) is x."""
    x = backends.put(LAYOUTS[layout](LEVELS))
    mean = torch.zeros(LEVELS.shape, dtype=dtype, device=backends.device)
    got = torch.empty_like(mean)
    launch(
        backend_named(backend),
        ("gaussian_log_likelihood", "logvar", "vjp"),
        LEVELS.shape,
        1,
        [1.0, mean, 0.0, x if uint8_range == "unit" else Bytes(x, uint8_range)],
        [got, None, None],
    )
    assert torch.equal(got, WANTED[uint8_range](x.to(dtype)))


@pytest.mark.parametrize("uint8_range", ["unit", "signed"])
@pytest.mark.parametrize("likelihood", ["gaussian", "laplace"])
def test_the_loss_reads_bytes_in_one_pass_too(
    likelihood: str, uint8_range: str, backend: str
) -> None:
    module = {
        "gaussian": vk.likelihoods.GaussianLikelihood,
        "laplace": vk.likelihoods.LaplaceLikelihood,
    }[likelihood](uint8_range=uint8_range)
    x = backends.put(LEVELS)
    mean, mu = (torch.randn(2, n, device=backends.device, requires_grad=True) for n in (128, 3))
    found = []
    for target in (x, WANTED[uint8_range](x.float())):
        with vk.backend(backend):
            loss = vk.elbo_loss(mean, target, mu, torch.zeros_like(mu), module)
        assert type(loss.grad_fn).__name__ == "_OnePassBackward"
        found.append((loss.detach(), *torch.autograd.grad(loss, (mean, mu))))
    assert all(map(torch.equal, *found))


def test_other_dtypes_are_left_alone() -> None:
    loc, x = torch.zeros(2, 3), torch.randn(2, 3)
    for function, others in (
        (vk.gaussian_log_likelihood, {}),
        (vk.laplace_log_likelihood, {}),
        (vk.student_t_log_likelihood, {"log_scale": 0.0, "df": 3.0}),
    ):
        signed = function(loc, x, **others, uint8_range="signed")
        assert torch.equal(signed, function(loc, x, **others))


WITHIN_UNIT = (
    vk.BernoulliLikelihood,
    vk.BernoulliProbsLikelihood,
    vk.ContinuousBernoulliLikelihood,
)
ANYWHERE = (
    vk.GaussianLikelihood,
    vk.LaplaceLikelihood,
    vk.AsymmetricLaplaceLikelihood,
    vk.StudentTLikelihood,
)


@pytest.mark.parametrize("kind", [*WITHIN_UNIT, *ANYWHERE])
def test_a_module_knows_its_range_from_the_start(kind: type) -> None:
    for unfit in ("byte", *(["signed"] if kind in WITHIN_UNIT else [])):
        with pytest.raises(ValueError, match=f"uint8_range: expected one of .*, got '{unfit}'"):
            kind(uint8_range=unfit)
