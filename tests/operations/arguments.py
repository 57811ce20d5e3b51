"""What the cases of several operations have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from operations.case import Argument, Case

SCALES = ("logvar", "log_std", "std")
NUMBERS = {"logvar": -0.7, "log_std": -0.35, "std": 0.7, "log_scale": -0.35, "df": 3.5,
           "log_dispersion": 0.6, "zero_logits": -0.4}  # fmt: skip
NOISE = ("seed", "eps")
TARGETS = ("float", "bool", "uint8")
LIKELIHOOD_SPREADS = ("number", "scalar", "channel", "full", "event", "batch", "middle")
#: For most operations, since the engines know nothing of operations.
SOME_SPREADS = ("scalar", "channel", "full")

# name: the shapes of prior_mu and prior_logvar; "number" is no tensor, "" not given
PRIORS = {
    "none": ("", ""),
    "number": ("number", "number"),
    "scalar": ("scalar", "scalar"),
    "event": ("event", "event"),
    "full": ("full", "full"),
    "batch": ("batch", "batch"),
    "mean_only": ("event", ""),
    "spread_only": ("", "scalar"),
}


def _prior(kinds: tuple[str, str], scale: str) -> tuple[list[Argument], dict[str, float]]:
    arguments: list[Argument] = []
    constants: dict[str, float] = {}
    ways = (("prior_mu", "location", 0.3), ("prior_logvar", scale, NUMBERS[scale]))
    for (name, role, number), kind in zip(ways, kinds, strict=True):
        if kind == "number":
            constants[name] = number
        elif kind:
            arguments.append(Argument(name, role, kind))
    return arguments, constants


def with_parameters(
    label: str,
    op: str,
    located: Argument,
    targets: Sequence[str],
    parameters: Sequence[str],
    kinds: Sequence[str] = SOME_SPREADS,
    **always: Any,
) -> Iterator[Case]:
    """A likelihood whose other parameters broadcast: each of them in these ways, while those behind
    it are shaped differently."""
    for number, kind in enumerate(kinds):
        for target in targets:
            arguments = [located, Argument("x", target)]
            constants = dict(always)
            for k, name in enumerate(parameters):
                own = kinds[(number + k) % len(kinds)]
                if own == "number":
                    constants[name] = NUMBERS[name]
                else:
                    arguments.append(Argument(name, name, own))
            yield Case(f"{label}-{kind}-{target}", op, op, tuple(arguments), constants)


def posterior(function: str, prior: str, scale: str, noise: str = "") -> Case:
    of_prior, constants = _prior(PRIORS[prior], scale)
    kl = "standard_kl" if prior == "none" else "gaussian_kl"
    of_noise = [Argument(noise, noise)] if noise else []
    return Case(
        "-".join(filter(None, (function, scale, prior, noise))),
        f"sample_with_{kl}" if noise else kl,
        function,
        (Argument("mu", "location"), Argument("logvar", scale), *of_prior, *of_noise),
        {"scale": scale, **constants},
    )


def signed_bytes(located: Argument, op: str, spread: str, **constants: Any) -> Case:
    """Bytes as -1 .. 1."""
    arguments = located, Argument("x", "uint8"), Argument(spread, spread, "channel")
    return Case(f"{op}-signed-uint8", op, op, arguments, {"uint8_range": "signed", **constants})
