"""Where the likelihoods of counts are measured: means and dispersions from e^-80 to e^80, counts of
0 to 1e5, likely ones, unlikely ones, and some that are no whole numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_N = 1500
_LARGEST = 1e5


def _logarithms(reach: float, random: np.random.Generator) -> np.ndarray:
    near = random.normal(size=_N) * 10.0 ** random.uniform(-3.0, reach, _N)
    return np.where(random.random(_N) < 0.7, near, random.uniform(-80.0, 80.0, _N)).clip(-80, 80)


def _counts(mean: np.ndarray, theta: np.ndarray, random: np.random.Generator) -> np.ndarray:
    mean = np.minimum(mean, _LARGEST)
    spread = np.sqrt(mean + mean * (mean / theta))
    kinds = [
        np.zeros(_N),
        np.round(mean + 2.0 * spread * random.normal(size=_N)).clip(0.0, _LARGEST),
        random.integers(0, 5, _N).astype(float),
        np.round(10.0 ** random.uniform(0.0, 5.0, _N)),
        10.0 ** random.uniform(-2.0, 5.0, _N),
    ]
    return np.choose(random.integers(0, len(kinds), _N), kinds)


def draw(names: Iterable[str], random: np.random.Generator) -> dict[str, np.ndarray]:
    """float32 arguments of these names."""
    first, *_ = names
    mean, dispersion = _logarithms(0.9, random), _logarithms(1.0, random)
    theta = np.exp(dispersion) if "log_dispersion" in names else np.full(_N, np.inf)
    drawn = {
        first: mean,
        "x": _counts(np.exp(mean), theta, random),
        "log_dispersion": dispersion,
        "zero_logits": _logarithms(1.0, random),
    }
    return {name: drawn[name].astype(np.float32) for name in names}
