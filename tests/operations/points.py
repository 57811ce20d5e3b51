"""Where ``accuracy.py`` measures: float32 arguments over the whole range of each kind.

Likelihoods of counts are measured at means and dispersions from e^-80 to e^80, counts of 0 to 1e5,
likely ones, unlikely ones, and some that are no whole numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from operations.description import Subject

#: Log-variances where the kernels switch formulas, or where results cross zero.
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
        return list(_counted(kinds, random).values())
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


# --- counts ---------------------------------------------------------------------------------------

_N_COUNTED = 1500
_LARGEST = 1e5


def _logarithms(reach: float, random: np.random.Generator) -> np.ndarray:
    near = random.normal(size=_N_COUNTED) * 10.0 ** random.uniform(-3.0, reach, _N_COUNTED)
    return np.where(
        random.random(_N_COUNTED) < 0.7, near, random.uniform(-80.0, 80.0, _N_COUNTED)
    ).clip(-80, 80)


def _counts(mean: np.ndarray, theta: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mean = np.minimum(mean, _LARGEST)
    spread = np.sqrt(mean + mean * (mean / theta))
    kinds = [
        np.zeros(_N_COUNTED),
        np.round(mean + 2.0 * spread * random.normal(size=_N_COUNTED)).clip(0.0, _LARGEST),
        random.integers(0, 5, _N_COUNTED).astype(float),
        np.round(10.0 ** random.uniform(0.0, 5.0, _N_COUNTED)),
        10.0 ** random.uniform(-2.0, 5.0, _N_COUNTED),
    ]
    return np.choose(random.integers(0, len(kinds), _N_COUNTED), kinds)


def _counted(names: Iterable[str], random: np.random.Generator) -> dict[str, np.ndarray]:
    """float32 arguments of these names."""
    first, *_ = names
    mean, dispersion = _logarithms(0.9, random), _logarithms(1.0, random)
    theta = np.exp(dispersion) if "log_dispersion" in names else np.full(_N_COUNTED, np.inf)
    drawn = {
        first: mean,
        "x": _counts(np.exp(mean), theta, random),
        "log_dispersion": dispersion,
        "zero_logits": _logarithms(1.0, random),
    }
    return {name: drawn[name].astype(np.float32) for name in names}
