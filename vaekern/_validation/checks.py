"""What ``vk.validate`` looks at: the support of each distribution, and likely mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from vaekern._backends.launch import is_plain
from vaekern._torch import transforms_active
from vaekern._validation import switch

#: As many numbers that are all alike by chance are too few to suspect anything.
_FEW = 8
#: From here on the exponential is no float32.
_LARGEST_EXPONENT = 88.0

_PIXELS = "intensities 0..255? divide by 255, or hand over uint8"
_CENTRED = "data in [-1, 1], or standardised? a Gaussian or Laplace likelihood takes any number"
_SIGMOID = (
    "probabilities, of a decoder that ends in a sigmoid? drop it, or take "
    "bernoulli_probs_log_likelihood"
)
_SOFTMAX = "probabilities, of a decoder that ends in a softmax? drop it"
_STD = 'standard deviations? scale="std" takes those'
_LOGVAR = 'log-variances? scale="logvar" takes those'
_NOT_COUNTS = "counts that were normalised, or their logarithms? hand over the counts themselves"
_RATES = "rates or means, and no logarithms of them?"
_LEVELS = "expected are levels as 2 k / 255 - 1, or uint8 as it is"


class Values(NamedTuple):
    """The arguments of one call: tensors by name, which elements of the full shape count, how a
    deviation is given, and how many classes there are."""

    tensors: Mapping[str, Tensor]
    mask: Tensor | None = None
    scale: str = "logvar"
    classes: int = 0

    def counted(self, name: str) -> Tensor:
        """Which elements of it count."""
        tensor = self.tensors[name]
        shape = next(iter(self.tensors.values())).shape
        full = tensor.shape == shape or name in ("x", "counts")
        if self.mask is None or not full:
            return torch.ones_like(tensor, dtype=torch.bool)
        return self.mask.expand(tensor.shape)


def check_numbers(mask: Tensor | None = None, **tensors: Tensor) -> None:
    """That none is NaN, where ``vk.validate`` asks for it; a mask is that of the first."""
    if switch.enabled:
        check("", Values(tensors, mask))


def check(operation: str, values: Values) -> None:
    """Raises:
    ValueError: an argument's values are not what the operation takes.
    """
    if torch.compiler.is_compiling() or transforms_active():
        return
    if not is_plain(list(values.tensors.values()), profiled=True):
        return
    with torch.no_grad():
        for name, tensor in values.tensors.items():
            if tensor.is_floating_point() and name != "noise":
                _expect(values, name, lambda t: ~t.isnan(), "numbers", "NaN")
        for rule in _RULES.get(operation, ()):
            rule(values)


# --- rules ----------------------------------------------------------------------------------------


def _unit_interval(values: Values) -> None:
    x = values.tensors["x"]
    if x.is_floating_point():
        _expect(values, "x", _within(0.0, 1.0), "numbers in [0, 1]", _hint_of_unit)


def _hint_of_unit(x: Tensor) -> str:
    return _PIXELS if x.min() >= 0.0 and x.max() <= 255.0 else _CENTRED


def _levels(values: Values) -> None:
    x = values.tensors["x"]
    if not x.is_floating_point():
        return
    _expect(values, "x", _within(-1.0, 1.0), "levels in [-1, 1]", _hint_of_levels)
    if x.dtype in (torch.float32, torch.float64):
        _expect(values, "x", _is_level, "one of 256 levels in [-1, 1]", _hint_of_levels)


def _is_level(x: Tensor) -> Tensor:
    level = (x.double() + 1.0) * 127.5
    return (level - level.round()).abs() < 1e-3


def _hint_of_levels(x: Tensor) -> str:
    if x.min() >= 0.0 and x.max() <= 1.0:
        return "data in [0, 1]? take 2 x - 1, or uint8 as it is"
    return _LEVELS


def _no_pixels(values: Values) -> None:
    """Of data that may be any number: whole ones up to 255 are pixels."""
    x = values.tensors["x"]
    if not x.is_floating_point():
        return
    x = x[values.counted("x")]
    whole = x.numel() >= _FEW and bool((x == x.round()).all())
    if whole and x.min() >= 0.0 and 32.0 < x.max() <= 255.0:
        _fail("x", "no pixels of 256 levels", x.max(), values.tensors["x"], _PIXELS)


def _counts(values: Values, name: str = "x") -> None:
    if values.tensors[name].is_floating_point():
        _not_negative(values, name)
        _expect(values, name, lambda x: x == x.round(), "whole numbers", _NOT_COUNTS)


def _counts_or_shares(values: Values) -> None:
    if values.tensors["counts"].is_floating_point():
        _not_negative(values, "counts")


def _not_negative(values: Values, name: str) -> None:
    _expect(values, name, _within(0.0, torch.finfo().max), "no negative numbers", _NOT_COUNTS)


def _classes(values: Values) -> None:
    k = values.tensors["logits"].shape[-1] if "logits" in values.tensors else values.classes
    hint = "classes counted from 1, or -100 for none? classes begin at 0, and mask= leaves out"
    _expect(values, "x", _within(0, k - 1), f"classes, 0 to {k - 1}", hint)


def _no_probabilities(values: Values) -> None:
    logits = values.tensors.get("logits")
    if logits is None:
        return
    seen = logits[values.counted("logits")]
    if _are_alike(seen, _within(0.0, 1.0)):
        _fail("logits", "logits, of any sign", seen[0], logits, _SIGMOID)


def _no_softmax(values: Values) -> None:
    logits = values.tensors.get("logits")
    if logits is None or logits.shape[-1] < 2:
        return
    shares = bool(_within(0.0, 1.0)(logits).all())
    if shares and bool(((logits.double().sum(-1) - 1.0).abs() < 1e-2).all()) and logits.numel():
        _fail("logits", "logits, of any sign", logits.flatten()[0], logits, _SOFTMAX)


def _probabilities(values: Values) -> None:
    hint = "logits? bernoulli_log_likelihood takes those"
    _expect(values, "probs", _within(0.0, 1.0), "probabilities in [0, 1]", hint)


def _deviation(name: str, of: str) -> Callable[[Values], None]:
    """That it is one: of the data ``of``, for which log-variances above 0 are large, or of z."""

    def rule(values: Values) -> None:
        if values.scale == "std":
            _expect(values, name, lambda s: s >= 0.0, "standard deviations", _LOGVAR)
            return
        tensor, seen = values.tensors[name], values.tensors[name][values.counted(name)]
        of_unit_size = of == "z" or _is_of_unit_size(values.tensors[of])
        if of_unit_size and _are_alike(seen, lambda s: s > 0.0):
            wanted = {"logvar": "log-variances", "log_std": "log standard deviations"}[values.scale]
            _fail(name, f"{wanted}, of any sign", seen[0], tensor, _STD)

    return rule


def _is_of_unit_size(x: Tensor) -> bool:
    return not x.is_floating_point() or bool(_within(-1.0, 1.0)(x).all())


def _prior_deviation(values: Values) -> None:
    if values.scale == "std":
        _expect(values, "prior_logvar", lambda s: s >= 0.0, "standard deviations", _LOGVAR)


def _logarithm(name: str) -> Callable[[Values], None]:
    def rule(values: Values) -> None:
        below = _within(-math.inf, _LARGEST_EXPONENT)
        _expect(values, name, below, "logarithms below 88, of float32", _RATES)

    return rule


def _positive(name: str) -> Callable[[Values], None]:
    def rule(values: Values) -> None:
        _expect(values, name, lambda t: t > 0.0, "positive numbers", "")

    return rule


def _weights(values: Values) -> None:
    _expect(values, "weights", lambda t: t >= 0.0, "no negative numbers", "")


_OF_X, _OF_Z = _deviation("logvar", "x"), _deviation("logvar", "z")
_RULES: dict[str, tuple[Callable[[Values], None], ...]] = {
    "bernoulli_log_likelihood": (_unit_interval, _no_probabilities),
    "continuous_bernoulli_log_likelihood": (_unit_interval, _no_probabilities),
    "bernoulli_probs_log_likelihood": (_unit_interval, _probabilities),
    "gaussian_log_likelihood": (_no_pixels, _OF_X),
    "laplace_log_likelihood": (_no_pixels,),
    "asymmetric_laplace_log_likelihood": (_no_pixels,),
    "student_t_log_likelihood": (_no_pixels, _positive("df")),
    "discretized_logistic_log_likelihood": (_levels,),
    "logistic_mixture_log_likelihood": (_levels,),
    "categorical_log_likelihood": (_classes, _no_softmax),
    "multinomial_log_likelihood": (_counts_or_shares, _no_softmax),
    "poisson_log_likelihood": (_counts, _logarithm("log_rate")),
    "negative_binomial_log_likelihood": (_counts, _logarithm("log_mean")),
    "zero_inflated_negative_binomial_log_likelihood": (_counts, _logarithm("log_mean")),
    "reparameterize": (_OF_Z,),
    "standard_kl": (_OF_Z,),
    "gaussian_kl": (_OF_Z, _prior_deviation),
    "sample_with_standard_kl": (_OF_Z,),
    "sample_with_gaussian_kl": (_OF_Z, _prior_deviation),
    "tril": (_positive("diagonal of tril"),),
    "weights": (_weights,),
}


# --- what rules are made of -----------------------------------------------------------------------


def _within(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda t: (t >= low) & (t <= high)


def _are_alike(seen: Tensor, kind: Callable[[Tensor], Tensor]) -> bool:
    """Whether all are of a kind, and too many to be so by chance. What begins as one number, as
    zeros do, says nothing."""
    return seen.numel() >= _FEW and bool(kind(seen).all()) and bool((seen != seen[0]).any())


def _expect(
    values: Values,
    name: str,
    fits: Callable[[Tensor], Tensor],
    wanted: str,
    hint: str | Callable[[Tensor], str],
) -> None:
    tensor = values.tensors[name]
    counted = values.counted(name)
    wrong = counted & ~fits(tensor)
    if not bool(wrong.any()):
        return
    first = tensor[wrong].flatten()[0]
    at = tuple(wrong.nonzero()[0].tolist())
    more = int(wrong.sum()) - 1
    said = hint if isinstance(hint, str) else hint(tensor[counted])
    others = f" and {more} more" if more else ""
    raise ValueError(
        f"{name}: expected {wanted}, got {first.item()} at {at}{others}{_in_words(said)}"
    )


def _fail(name: str, wanted: str, example: Tensor, tensor: Tensor, hint: str) -> NoReturn:
    at = tuple((tensor == example).nonzero()[0].tolist())
    raise ValueError(
        f"{name}: expected {wanted}, got numbers as {example.item():g} at {at} alone"
        f"{_in_words(hint)}"
    )


def _in_words(hint: str) -> str:
    return f" ({hint})" if hint else ""
