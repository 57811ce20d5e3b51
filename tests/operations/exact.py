"""What an exact result is: written from definitions, in 400 bits, where nothing cancels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
from mpmath import mpf

mpmath.mp.prec = 400

#: An exact result: the terms it is a sum of.
Terms = tuple[mpf, ...]
Exact = list[tuple[str, Terms]]
#: An operation per element: of a scale and its arguments, its results, then the gradients of its
#: arguments for upstream gradients of 1, each by its name.
Oracle = Callable[..., Exact]

HALF = mpf(1) / 2
SMALLEST = mpf(2) ** -126  # with all digits in float32
LOG_2PI = mpmath.log(2 * mpmath.pi)


def log_variance(s: mpf, scale: str) -> mpf:
    if scale == "std":
        return 2 * mpmath.log(s)
    return s if scale == "logvar" else 2 * s


def chain_of(s: mpf, scale: str) -> mpf:
    """d(log-variance) / ds."""
    if scale == "std":
        return 2 / s
    return mpf(1) if scale == "logvar" else mpf(2)


def held(terms: Sequence[mpf]) -> Terms:
    """Terms that do not change a sum, but count as its largest ones: what the sum moves by per
    relative error of a number in between."""
    return tuple(signed for term in terms for signed in (term, -term))


def together(sample: Exact, kl: Exact) -> Exact:
    """Both results; gradients add up."""
    terms = dict(sample)
    for name, more in kl:
        terms[name] = terms.get(name, ()) + more
    return list(terms.items())
