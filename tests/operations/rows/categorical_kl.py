"""KL divergence of categorical distributions."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.nn import functional

from operations import forms
from operations.case import Argument, Case
from operations.description import Description
from operations.operands import Operand, normal

_NAME = "categorical_kl"
UNIMIX = 0.01


def _log_probabilities(logits: Tensor) -> Tensor:
    """As the ports of DreamerV3 have it: mixed, then logits again."""
    probabilities = functional.softmax(logits, -1)
    return ((1.0 - UNIMIX) * probabilities + UNIMIX / logits.shape[-1]).log()


def eager(logits: Tensor, prior_logits: Tensor) -> Tensor:
    log_q, log_p = _log_probabilities(logits), _log_probabilities(prior_logits)
    return forms.per_datapoint(log_q.exp() * (log_q - log_p))


def of_distributions(logits: Tensor, prior_logits: Tensor) -> Tensor:
    divergences = distributions.kl_divergence(
        *[
            distributions.OneHotCategorical(logits=_log_probabilities(t), validate_args=False)
            for t in (logits, prior_logits)
        ]
    )
    return divergences.flatten(1).sum(1) if divergences.dim() > 1 else divergences


def gradient_terms(logits: Tensor, *rest: Tensor, unimix: float) -> tuple[Tensor, Tensor]:
    """Those of (1 - u) s (r - sum of s r) and of (1 - u) t (sum of t w - w), s and t the softmax of
    both logits, r = log(q / p), w = q / p - 1. A logarithm of a ratio is as large as the logits are
    apart."""
    prior_logits = rest[0] if rest and rest[0].dtype.is_floating_point else torch.zeros_like(logits)
    s, t = functional.softmax(logits, -1), functional.softmax(prior_logits, -1)
    ratio = ((1.0 - unimix) * s + unimix / s.shape[-1]) / (
        (1.0 - unimix) * t + unimix / s.shape[-1]
    )

    def terms(share: Tensor, slope: Tensor) -> Tensor:
        return (1.0 - unimix) * share * (slope + (share * slope).sum(-1, keepdim=True))

    return terms(s, ratio.log().abs()), terms(t, (ratio - 1.0).abs())


#: By label: the shape of the prior's logits, none where it is uniform, and the share mixed in.
_WAYS = {
    "uniform": ("", 0.0),
    "uniform-unimix": ("", 0.3),
    "full": ("classes", 0.0),
    "full-unimix": ("classes", UNIMIX),
    "event": ("event_classes", 0.0),
    "one_row-unimix": ("one_row", 0.1),
}


def _case(label: str, prior: str, unimix: float) -> Case:
    arguments = [Argument("logits", "logits", "classes")]
    if prior:
        arguments.append(Argument("prior_logits", "logits", prior))
    return Case(f"{_NAME}-{label}", _NAME, _NAME, tuple(arguments), {"unimix": unimix})


DESCRIPTION = Description(
    cases=tuple(_case(label, *way) for label, way in _WAYS.items()),
    representative=f"{_NAME}-full-unimix",
    masks={f"{_NAME}-full-unimix": "full", f"{_NAME}-event": "shared"},
    operands=(
        Operand("logits", "latent", normal),
        Operand("prior_logits", "latent", normal),
    ),
    constants={"unimix": UNIMIX},
    eager=eager,
    distributions=of_distributions,
    gradient_terms=gradient_terms,
)
