"""How many ulps the kernels are off, per element, against mpmath over the arguments' whole range.

``python tests/operations/accuracy.py`` prints the table; ``test_accuracy.py`` asserts it. Every
element is a datapoint of its own, so that a value is one term of the sum, and upstream gradients
are 1.

An ulp is that of the exact result in float32, at least the smallest subnormal's (subnormal results
count in ulps of the smallest normal number). Some results are a difference of terms, and cross zero
where no format could hold the terms exactly; those are measured in ulps of their largest term:

- the Gaussian, Laplace and Student log-densities and their derivatives with respect to the spread
  and to the degrees of freedom,
- the continuous Bernoulli log-density and its derivative,
- the discretized logistic log-probability and its derivatives: their terms are those of both ends
  of the bin, and what an ulp of an end (in units of the scale) or of a subnormal number changes,
- the Bernoulli derivative for targets strictly between 0 and 1,
- the derivative of the Bernoulli of probabilities with respect to the target,
- what counts have (``count_oracles.py``),
- samples, mu + std * eps,
- derivatives with respect to a prior's spread, and those of samples and KL together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import count_points
import mpmath
import numpy as np
import torch
from cases import SCALES
from count_oracles import negative_binomial, poisson, zero_inflated
from mpmath import mpf
from oracles import (
    Oracle,
    bernoulli,
    bernoulli_probs,
    continuous_bernoulli,
    discretized_logistic,
    gaussian,
    gaussian_kl,
    laplace,
    reparameterize,
    sample_with_gaussian_kl,
    sample_with_standard_kl,
    standard_kl,
    student_t,
)

import vaekern as vk
from vaekern._backends import native

FLOAT_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Subject:
    """An operation: its oracle, the public call, and its arguments' kinds, in order."""

    oracle: Oracle
    function: str
    arguments: dict[str, str]
    scaled: bool = True

    @property
    def name(self) -> str:
        return self.oracle.__name__


_LOCATED = {"loc": "location", "x": "around", "log_scale": "log_std"}
_COUNTED = {"log_mean": "count", "x": "count", "log_dispersion": "count"}
_POSTERIOR = {"mu": "location", "logvar": "spread"}
_PRIOR = {"prior_mu": "location", "prior_logvar": "near"}
_NOISE = {"eps": "location"}
SUBJECTS = (
    Subject(bernoulli, "bernoulli_log_likelihood", {"logits": "logits", "x": "target"}, False),
    Subject(
        bernoulli_probs, "bernoulli_probs_log_likelihood", {"probs": "probs", "x": "target"}, False
    ),
    Subject(
        continuous_bernoulli, "continuous_bernoulli_log_likelihood",
        {"logits": "logits", "x": "target"}, False,
    ),
    Subject(
        gaussian, "gaussian_log_likelihood",
        {"mean": "location", "x": "around", "logvar": "spread"},
    ),
    Subject(laplace, "laplace_log_likelihood", _LOCATED, False),
    Subject(student_t, "student_t_log_likelihood", {**_LOCATED, "df": "df"}, False),
    Subject(
        discretized_logistic, "discretized_logistic_log_likelihood",
        {"x": "level", "loc": "about", "log_scale": "log_std"}, False,
    ),
    Subject(poisson, "poisson_log_likelihood", {"log_rate": "count", "x": "count"}, False),
    Subject(negative_binomial, "negative_binomial_log_likelihood", _COUNTED, False),
    Subject(
        zero_inflated, "zero_inflated_negative_binomial_log_likelihood",
        {**_COUNTED, "zero_logits": "count"}, False,
    ),
    Subject(standard_kl, "gaussian_kl", _POSTERIOR),
    Subject(gaussian_kl, "gaussian_kl", {**_POSTERIOR, **_PRIOR}),
    Subject(reparameterize, "reparameterize", {**_POSTERIOR, **_NOISE}),
    Subject(sample_with_standard_kl, "sample_with_kl", {**_POSTERIOR, **_NOISE}),
    Subject(sample_with_gaussian_kl, "sample_with_kl", {**_POSTERIOR, **_PRIOR, **_NOISE}),
)  # fmt: skip

#: The names of a function's results, where they are not a single value per datapoint.
RESULTS = {"reparameterize": ("z",), "sample_with_kl": ("z", "value")}

#: Log-variances where the kernels switch formulas, or where results cross zero.
#: How many ulps any kernel may be off.
LIMIT = 4.0

_BRANCHES = (-80.0, -2.0 * np.log(2.0), -1.0, 0.0, 1.0, 2.0 * np.log(2.0), 4.0, 80.0)
_N_RANDOM = 600


def _powers(low: int, high: int) -> np.ndarray:
    return 2.0 ** np.arange(low, high, dtype=np.float64)


def _around(points: Sequence[float], reach: int = 8) -> np.ndarray:
    """float32 neighbours of the points."""
    centres = np.asarray(points, np.float32)
    steps = np.arange(-reach, reach + 1)[:, None] * np.spacing(np.maximum(np.abs(centres), 1e-30))
    return (centres + steps).ravel().astype(np.float64)


def _log_variances(random: np.random.Generator) -> np.ndarray:
    powers = _powers(-40, 7)
    return np.concatenate(
        [
            powers, -powers, _around(_BRANCHES),
            np.linspace(-80.0, 80.0, 321),
            random.uniform(-80.0, 80.0, _N_RANDOM),
            random.normal(size=_N_RANDOM) * 10.0 ** random.uniform(-6.0, 1.0, _N_RANDOM),
        ]
    ).clip(-80.0, 80.0)  # fmt: skip


def _logits(random: np.random.Generator) -> np.ndarray:
    powers = _powers(-40, 7)
    return np.concatenate(
        [
            powers, -powers, [0.0], np.linspace(-110.0, 110.0, 441), [1e4, -1e4],
            random.normal(size=_N_RANDOM) * 10.0 ** random.uniform(-6.0, 2.0, _N_RANDOM),
        ]
    )  # fmt: skip


def _probs(random: np.random.Generator) -> np.ndarray:
    """In (0, 1): next to 0, to the least number there is, and next to 1, to the last before it."""
    return np.concatenate(
        [
            _powers(-149, 0), 1.0 - _powers(-24, 0), _around([1e-12, 1.0 - 2.0**-0.5, 0.5]),
            random.random(_N_RANDOM), 10.0 ** random.uniform(-44.0, 0.0, _N_RANDOM),
        ]
    )  # fmt: skip


def _encode(v: np.ndarray, scale: str, random: np.random.Generator) -> np.ndarray:
    """Log-variances in a scale. Deviations get a dense neighbourhood of 1 of their own."""
    if scale == "std":
        powers = _powers(-23, -1)
        near_one = np.concatenate([1.0 + powers, 1.0 - powers, _around([1.0, 2.0**-0.5, 2.0**0.5])])
        wide = 10.0 ** random.uniform(-17.0, 17.0, _N_RANDOM)
        return np.concatenate([np.exp(0.5 * v), near_one, wide])
    return v if scale == "logvar" else 0.5 * v


def _draw(
    kind: str, n: int, scale: str, so_far: dict[str, np.ndarray], random: np.random.Generator
) -> np.ndarray:
    if kind == "target":
        return random.choice([0.0, 1.0, 0.5, 0.1, 2.0**-20, 1.0 - 2.0**-20], n)
    if kind == "df":
        return 10.0 ** random.uniform(-3.0, 8.0, n)
    if kind == "level":
        return random.choice([0, 1, 2, 100, 200, 254, 255], n) / 127.5 - 1.0
    location = random.normal(size=n) * 10.0 ** random.uniform(-4.0, 2.0, n)
    location[random.random(n) < 0.1] = 0.0
    if kind == "location":
        return location
    if kind == "about":  # a level's middle or end, or 0 to 100 scales away
        aside = random.choice([0.0, 1.0 / 255.0, -1.0 / 255.0], n)
        return so_far["x"] + aside + location * np.exp(so_far["log_scale"].astype(np.float64))
    spread = so_far["log_scale"] if scale == "" else so_far["logvar"]
    if kind == "around":  # x at 0 to 100 deviations from the mean
        std = spread if scale == "std" else np.exp(0.5 * spread if scale == "logvar" else spread)
        return so_far["loc" if scale == "" else "mean"] + location * std
    assert kind == "near"
    return _near(spread, scale, random)


def _near(spread: np.ndarray, scale: str, random: np.random.Generator) -> np.ndarray:
    """A prior's spread: log-variances up to 40 from the posterior's, most of them near."""
    distance = random.normal(size=len(spread)) * 10.0 ** random.uniform(-4.0, 1.0, len(spread))
    distance = distance.clip(-40.0, 40.0)
    if scale == "std":
        return spread * np.exp(0.5 * distance)
    return spread + distance


def points(subject: Subject, scale: str) -> list[np.ndarray]:
    """float32 arguments, in the subject's order."""
    random = np.random.default_rng(20130)
    kinds = subject.arguments
    if "count" in kinds.values():
        return list(count_points.draw(kinds, random).values())
    drawn: dict[str, np.ndarray] = {}
    if "log_scale" in kinds:
        drawn["log_scale"] = _encode(_log_variances(random), "log_std", random).astype(np.float32)
        n = len(drawn["log_scale"])
    elif subject.scaled:
        drawn["logvar"] = _encode(_log_variances(random), scale, random).astype(np.float32)
        n = len(drawn["logvar"])
    else:
        first, numbers = ("probs", _probs) if "probs" in kinds else ("logits", _logits)
        drawn[first] = np.repeat(numbers(random), 4).astype(np.float32)
        n = len(drawn[first])
    for name, kind in kinds.items():
        if name not in drawn:
            drawn[name] = _draw(kind, n, scale, drawn, random).astype(np.float32)
    return [drawn[name] for name in kinds]


@cache
def exact(subject: Subject, scale: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each output, the exact results and the ulp each is measured in, both in float64."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for numbers in zip(*points(subject, scale), strict=True):
        for name, terms in subject.oracle(scale, *[mpf(float(x)) for x in numbers]):
            results, ulps = found.setdefault(name, ([], []))
            results.append(float(mpmath.fsum(terms)))
            ulps.append(_ulp(float(max(abs(term) for term in terms))))
    return {name: (np.array(r), np.array(u)) for name, (r, u) in found.items()}


def _ulp(x: float) -> float:
    return 2.0 ** max(np.frexp(x)[1] - 24, -149)


def measured(subject: Subject, scale: str) -> dict[str, np.ndarray]:
    """What the kernels make of the points."""
    tensors = {
        name: torch.from_numpy(x).requires_grad_(subject.arguments[name] != "level")
        for name, x in zip(subject.arguments, points(subject, scale), strict=True)
    }
    constants = {"scale": scale} if subject.scaled else {}
    results = getattr(vk, subject.function)(**tensors, **constants, batch_dims=1)
    results = results if isinstance(results, tuple) else (results,)
    names = RESULTS.get(subject.function, ("value",))
    torch.autograd.backward(results, [torch.ones_like(r) for r in results])
    found = dict(zip(names, [r.detach().numpy() for r in results], strict=True))
    for name, tensor in tensors.items():
        if not tensor.requires_grad:
            continue
        assert tensor.grad is not None
        found[name] = tensor.grad.numpy()
    return found


def errors(subject: Subject, scale: str) -> dict[str, np.ndarray]:
    """Errors in ulps, for each output. Where float32 overflows, infinity is the right answer."""
    found = {}
    got = measured(subject, scale)
    for name, (want, ulp) in exact(subject, scale).items():
        value = got[name].astype(np.float64)
        overflows = np.abs(want) > FLOAT_MAX
        with np.errstate(invalid="ignore"):
            off = np.abs(value - want) / ulp
        off[overflows & (value == np.copysign(np.inf, want))] = 0.0
        found[name] = np.where(np.isnan(off), np.inf, off)
    return found


def table() -> Iterator[tuple[Subject, str]]:
    for subject in SUBJECTS:
        for scale in SCALES if subject.scaled else ("",):
            yield subject, scale


def main() -> None:
    core = native.core
    assert core is not None, "nothing is compiled"
    isas = core.usable_isas()
    print(
        f"{'operation':24} {'scale':8} {'output':13}", *[f"{isa:>10}" for isa in isas], " worst at"
    )
    for subject, scale in table():
        by_isa = {}
        for isa in isas:
            core.use_isa(isa)
            by_isa[isa] = errors(subject, scale)
        for output in exact(subject, scale):
            worst = by_isa[isas[0]][output].argmax()
            where = ", ".join(f"{float(x[worst]):.9g}" for x in points(subject, scale))
            columns = [f"{by_isa[isa][output].max():10.2f}" for isa in isas]
            print(f"{subject.name:24} {scale:8} {output:13}", *columns, f" ({where})")


if __name__ == "__main__":
    main()
