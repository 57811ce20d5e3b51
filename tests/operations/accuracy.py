"""How many ulps the kernels are off, per element, against mpmath over the arguments' whole range.

``python -m operations.accuracy`` in ``tests`` prints the table; ``test_accuracy.py`` asserts it.
Every element is a datapoint of its own, so that a value is one term of the sum, and upstream
gradients are 1.

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
- what counts have (``counts.py``),
- samples, mu + std * eps,
- derivatives with respect to a prior's spread, and those of samples and KL together.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import mpmath
import numpy as np
import torch
from mpmath import mpf

import vaekern as vk
from operations.arguments import SCALES
from operations.description import Subject
from operations.every import SUBJECTS
from operations.points import points
from vaekern._backends import native

#: How many ulps any kernel may be off.
LIMIT = 4.0

FLOAT_MAX = float(np.finfo(np.float32).max)

#: The names of a function's results, where they are not a single value per datapoint.
RESULTS = {"reparameterize": ("z",), "sample_with_kl": ("z", "value")}


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
    constants = {**subject.constants, **({"scale": scale} if subject.scaled else {})}
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
