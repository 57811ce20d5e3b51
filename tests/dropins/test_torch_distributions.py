"""``torch.distributions``, function by function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from agreement import DTYPES, check_agreement, normal, results_and_gradients, uniform
from torch import Tensor, distributions
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from vaekern.compat.torch_distributions import kl_divergence, log_prob

KL = torch.distributions.kl_divergence
ZEROS = torch.zeros(3)
SUMMED = (0, 1, 2)


def independent(distribution: Distribution, summed: int) -> Distribution:
    return Independent(distribution, summed) if summed else distribution


def scales(*shape: int, seed: int) -> Tensor:
    return torch.exp(0.5 * normal(*shape, seed=seed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("summed", SUMMED)
@pytest.mark.parametrize("prior", [(3, 4, 5), (4, 5), (1, 5)], ids=str)
def test_kl(dtype: torch.dtype, summed: int, prior: tuple[int, ...]) -> None:
    def of(kl: Callable[[Distribution, Distribution], Tensor]) -> Callable[..., Tensor]:
        return lambda a, b, c, d: kl(
            independent(Normal(a, b), summed), independent(Normal(c, d), summed)
        )

    tensors = [normal(3, 4, 5), scales(3, 4, 5, seed=1), normal(*prior, seed=2),
               scales(*prior, seed=3)]  # fmt: skip
    check_agreement(of(kl_divergence), of(KL), tensors, dtype)


def check_normal_log_prob(dtype: torch.dtype, summed: int, shape: tuple[int, ...]) -> None:
    def ours(loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        return log_prob(independent(Normal(loc, scale), summed), x)

    def original(loc: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        return independent(Normal(loc, scale), summed).log_prob(x)

    tensors = [normal(3, 4, 5), scales(3, 4, 5, seed=1), normal(*shape, seed=2)]
    check_agreement(ours, original, tensors, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("summed", SUMMED)
def test_normal_log_prob(dtype: torch.dtype, summed: int) -> None:
    check_normal_log_prob(dtype, summed, (3, 4, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("summed", SUMMED)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (5,)], ids=str)
def test_normal_log_prob_broadcasts(
    dtype: torch.dtype, summed: int, shape: tuple[int, ...]
) -> None:
    """Not in bfloat16: the gradients that torch sums for an expanded tensor are rounded before."""
    check_normal_log_prob(dtype, summed, shape)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("summed", SUMMED)
@pytest.mark.parametrize("parameter", ["logits", "probs"])
def test_bernoulli_log_prob(dtype: torch.dtype, summed: int, parameter: str) -> None:
    def distribution(logits: Tensor, validate: bool) -> Distribution:
        value = torch.sigmoid(logits) if parameter == "probs" else logits
        bernoulli = Bernoulli(**{parameter: value}, validate_args=validate)
        return independent(bernoulli, summed)

    for validate, x in ((True, uniform(3, 4, 5) < 0.5), (False, uniform(3, 4, 5))):

        def ours(logits: Tensor, on: bool = validate, x: Tensor = x) -> Tensor:
            return log_prob(distribution(logits, on), x.to(dtype).to(logits.dtype))

        def original(logits: Tensor, on: bool = validate, x: Tensor = x) -> Tensor:
            return distribution(logits, on).log_prob(x.to(dtype).to(logits.dtype))

        if parameter == "logits" or dtype is not torch.bfloat16:
            check_agreement(ours, original, [normal(3, 4, 5)], dtype)


def test_gradient_of_bernoulli_values() -> None:
    tensors = [normal(3, 4), uniform(3, 4)]
    check_agreement(
        lambda logits, x: log_prob(Bernoulli(logits=logits, validate_args=False), x),
        lambda logits, x: Bernoulli(logits=logits, validate_args=False).log_prob(x),
        tensors,
        torch.float32,
    )


def test_mixed_dtypes() -> None:
    p = Normal(normal(3, 4).bfloat16(), scales(3, 4, seed=1).bfloat16())
    q = Normal(normal(3, 4, seed=2).float(), scales(3, 4, seed=3).float())
    assert kl_divergence(p, q).dtype is KL(p, q).dtype
    x = normal(3, 4, seed=5).float()
    assert log_prob(p, x).dtype is p.log_prob(x).dtype
    bernoulli = Bernoulli(logits=normal(3, 4).bfloat16(), validate_args=False)
    assert log_prob(bernoulli, x).dtype is bernoulli.log_prob(x).dtype


def test_nested_independent() -> None:
    def nested(loc: Tensor) -> Distribution:
        return Independent(Independent(Normal(loc, 1.0), 1), 1)

    p, q, x = nested(normal(3, 4, 5)), nested(normal(3, 4, 5, seed=1)), normal(3, 4, 5, seed=2)
    torch.testing.assert_close(kl_divergence(p, q), KL(p, q))
    torch.testing.assert_close(log_prob(p, x), p.log_prob(x))


# --- validation, and what is left to torch ------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "value", "says"),
    [
        (Bernoulli(logits=ZEROS, validate_args=True), torch.full((3,), 0.5), "within the support"),
        (Bernoulli(logits=ZEROS, validate_args=True), torch.zeros(2), "not broadcastable"),
        (Normal(ZEROS, 1.0, validate_args=True), torch.full((3,), torch.nan), "within the support"),
        (
            Independent(Normal(ZEROS, 1.0, validate_args=True), 1),
            torch.zeros(2),
            "not broadcastable",
        ),
        (Bernoulli(logits=ZEROS, validate_args=False), torch.zeros(2), "size|shape"),
    ],
)
def test_errors_are_torchs(distribution: Distribution, value: Tensor, says: str) -> None:
    """Validation is asked for: the compiler, for one, switches it off for everyone."""
    for function in (log_prob, lambda d, x: d.log_prob(x)):
        with pytest.raises((ValueError, RuntimeError), match=says):
            function(distribution, value)


class Doubled(Normal):
    """A density of its own."""

    def log_prob(self, value: Tensor) -> Tensor:
        return 2.0 * super().log_prob(value)


OTHERS = {
    "other families": (distributions.Gumbel(ZEROS, 1.0), distributions.Gumbel(ZEROS + 1, 2.0)),
    "Bernoullis": (Bernoulli(logits=ZEROS), Bernoulli(logits=ZEROS + 1)),
    "subclass": (Doubled(ZEROS, 1.0), Normal(ZEROS + 1, 2.0)),
    "Independent of others": (
        Independent(distributions.Gumbel(ZEROS, 1.0), 1),
        Independent(distributions.Gumbel(ZEROS + 1, 1.0), 1),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_torchs(name: str) -> None:
    p, q = OTHERS[name]
    assert torch.equal(kl_divergence(p, q), KL(p, q))
    value = torch.ones(3)
    assert torch.equal(log_prob(p, value), p.log_prob(value))


def test_unknown_pairs_are_refused_as_there() -> None:
    p = Normal(torch.zeros(3, 4), 1.0)
    for q in (Independent(p, 1), distributions.Poisson(torch.ones(3, 4))):
        for function in (KL, kl_divergence):
            with pytest.raises(NotImplementedError):
                function(p, q)
    with pytest.raises(NotImplementedError):
        kl_divergence(Independent(p, 1), Independent(p, 2))


def test_integers_are_numbers() -> None:
    """Not intensities, as uint8 is elsewhere; and refused where torch refuses."""
    counts = torch.tensor([0, 1, 255], dtype=torch.uint8)
    p = Normal(ZEROS, 100.0)
    assert torch.equal(log_prob(p, counts), p.log_prob(counts))
    bernoulli = Bernoulli(logits=ZEROS, validate_args=False)
    for function in (log_prob, lambda d, x: d.log_prob(x)):
        with pytest.raises(RuntimeError):
            function(bernoulli, counts)


def test_where_torch_loses_digits() -> None:
    """Nearly equal Normals, and confident logits."""
    p, q = Normal(torch.zeros(1), 1.0001), Normal(torch.zeros(1), 1.0)
    exact = KL(Normal(p.loc.double(), p.scale.double()), q)
    torch.testing.assert_close(kl_divergence(p, q).double(), exact, rtol=1e-6, atol=0.0)
    confident = torch.full((1,), -20.0)
    (_, gradient) = results_and_gradients(
        lambda at: log_prob(Bernoulli(logits=at), torch.zeros(1)), [confident], torch.float32
    )
    assert gradient.item() != 0.0
