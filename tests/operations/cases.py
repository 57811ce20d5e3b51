"""The one table of cases: every public function, in every way it can be called.

Every test runs over this table, so that a new operation is tested everywhere once it has its rows
here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from case import Argument, Case

SCALES = ("logvar", "log_std", "std")
NUMBERS = {"logvar": -0.7, "log_std": -0.35, "std": 0.7, "log_scale": -0.35, "df": 3.5,
           "log_dispersion": 0.6, "zero_logits": -0.4}  # fmt: skip
NOISE = ("seed", "eps")
TARGETS = ("float", "bool", "uint8")
LIKELIHOOD_SPREADS = ("number", "scalar", "channel", "full", "event", "batch", "middle")
#: For operations beyond the first two, since the engines know nothing of operations.
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


def _bernoulli() -> Iterator[Case]:
    for kind in ("bernoulli", "continuous_bernoulli"):
        name = f"{kind}_log_likelihood"
        for target in TARGETS:
            arguments = Argument("logits", "logits"), Argument("x", target)
            yield Case(f"{kind}-{target}", name, name, arguments)
    for target in TARGETS:
        name = "bernoulli_probs_log_likelihood"
        arguments = Argument("probs", "probs"), Argument("x", target)
        yield Case(f"bernoulli_probs-{target}", name, name, arguments)


def _gaussian() -> Iterator[Case]:
    name = "gaussian_log_likelihood"
    for scale in SCALES:
        for kind in LIKELIHOOD_SPREADS:
            for target in TARGETS:
                arguments = [Argument("mean", "location"), Argument("x", target)]
                constants: dict[str, Any] = {"scale": scale}
                if kind == "number":
                    constants["logvar"] = NUMBERS[scale]
                else:
                    arguments.append(Argument("logvar", scale, kind))
                label = f"gaussian-{scale}-{kind}-{target}"
                yield Case(label, name, name, tuple(arguments), constants)


def _with_parameters(
    label: str,
    op: str,
    located: Argument,
    targets: Sequence[str],
    parameters: Sequence[str],
    kinds: Sequence[str] = SOME_SPREADS,
) -> Iterator[Case]:
    """A likelihood whose other parameters broadcast: each of them in these ways, while those behind
    it are shaped differently."""
    for number, kind in enumerate(kinds):
        for target in targets:
            arguments = [located, Argument("x", target)]
            constants: dict[str, Any] = {}
            for k, name in enumerate(parameters):
                own = kinds[(number + k) % len(kinds)]
                if own == "number":
                    constants[name] = NUMBERS[name]
                else:
                    arguments.append(Argument(name, name, own))
            yield Case(f"{label}-{kind}-{target}", op, op, tuple(arguments), constants)


def _likelihoods() -> Iterator[Case]:
    loc = Argument("loc", "location")
    yield from _with_parameters(
        "laplace", "laplace_log_likelihood", loc, TARGETS, ["log_scale"], LIKELIHOOD_SPREADS
    )
    yield from _with_parameters(
        "student_t", "student_t_log_likelihood", loc, TARGETS, ["log_scale", "df"]
    )
    name = "discretized_logistic_log_likelihood"
    yield from _with_parameters("discretized_logistic", name, loc, ["levels"], ["log_scale"])


def _signed() -> Iterator[Case]:
    """Bytes as -1 .. 1."""
    for name, located, spread in (
        ("gaussian_log_likelihood", "mean", "logvar"),
        ("laplace_log_likelihood", "loc", "log_scale"),
        ("student_t_log_likelihood", "loc", "log_scale"),
    ):
        arguments = (
            Argument(located, "location"),
            Argument("x", "uint8"),
            Argument(spread, spread, "channel"),
        )
        constants: dict[str, Any] = {"uint8_range": "signed"}
        if name == "gaussian_log_likelihood":
            constants["scale"] = "logvar"
        if name == "student_t_log_likelihood":
            constants["df"] = NUMBERS["df"]
        yield Case(f"{name}-signed-uint8", name, name, arguments, constants)


def _classes() -> Iterator[Case]:
    logits = Argument("logits", "logits", "classes")
    categorical, multinomial = "categorical_log_likelihood", "multinomial_log_likelihood"
    for role, label in (("class", ""), ("class_uint8", "-uint8")):
        arguments = logits, Argument("x", role)
        yield Case(f"categorical{label}", categorical, categorical, arguments)
    for role, label, coefficient in (
        ("count", "", False),
        ("count_uint8", "-uint8", False),
        ("count", "-coefficient", True),
    ):
        arguments = logits, Argument("counts", role, "classes")
        constants = {"coefficient": coefficient}
        yield Case(f"multinomial{label}", multinomial, multinomial, arguments, constants)


def _counted() -> Iterator[Case]:
    name = "poisson_log_likelihood"
    arguments = Argument("log_rate", "log_rate"), Argument("x", "count")
    yield Case("poisson-count", name, name, arguments)
    bytes_ = Argument("log_rate", "log_rate"), Argument("x", "count_uint8")
    yield Case("poisson-uint8", name, name, bytes_)
    mean, name = Argument("log_mean", "log_rate"), "negative_binomial_log_likelihood"
    yield from _with_parameters("negative_binomial", name, mean, ["count"], ["log_dispersion"])
    # A zero has a density of its own: no gradient with respect to x is the limit of a difference.
    name = f"zero_inflated_{name}"
    parameters = ["log_dispersion", "zero_logits"]
    yield from _with_parameters("zero_inflated", name, mean, ["positive_count"], parameters)


def _posterior(function: str, prior: str, scale: str, noise: str = "") -> Case:
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


def _posteriors() -> Iterator[Case]:
    for scale in SCALES:
        for noise in NOISE:
            yield Case(
                f"reparameterize-{scale}-{noise}",
                "reparameterize",
                "reparameterize",
                (Argument("mu", "location"), Argument("logvar", scale), Argument(noise, noise)),
                {"scale": scale},
            )
        for prior in PRIORS:
            yield _posterior("gaussian_kl", prior, scale)
            for noise in NOISE:
                yield _posterior("sample_with_kl", prior, scale, noise)


#: One for each op that takes a mask, and every shape of a mask.
MASKED = {
    "bernoulli-float": "shared",
    "bernoulli-uint8": "full",
    "continuous_bernoulli-float": "full",
    "gaussian-logvar-channel-float": "full",
    "gaussian-log_std-middle-float": "batch",
    "laplace-batch-float": "shared",
    "student_t-scalar-float": "full",
    "bernoulli_probs-float": "full",
    "discretized_logistic-channel-levels": "full",
    "poisson-count": "shared",
    "negative_binomial-channel-count": "full",
    "zero_inflated-channel-positive_count": "full",
    "categorical": "full",
    "multinomial": "shared",
    "multinomial-coefficient": "full",
    "gaussian_kl-logvar-none": "full",
    "gaussian_kl-std-event": "shared",
}


def _masked(cases: Sequence[Case]) -> Iterator[Case]:
    for case in cases:
        if case.label in MASKED:
            mask = Argument("mask", "mask", MASKED[case.label])
            label = f"{case.label}-{mask.kind}_mask"
            arguments = (*case.arguments, mask)
            yield Case(label, case.op, case.function, arguments, case.constants)


UNMASKED: tuple[Case, ...] = (
    *_bernoulli(),
    *_gaussian(),
    *_likelihoods(),
    *_signed(),
    *_classes(),
    *_counted(),
    *_posteriors(),
)
CASES: tuple[Case, ...] = (*UNMASKED, *_masked(UNMASKED))

#: Every op and every shape of argument, in one scale and with one kind of target: for the tests
#: that are about memory, threads or torch rather than about the mathematics.
REPRESENTATIVES = tuple(
    case
    for case in UNMASKED
    if case.scale in ("", "logvar") and not case.label.endswith(("-bool", "-uint8"))
) + tuple(case for case in CASES if case.label == "gaussian-logvar-channel-float-full_mask")

#: One case per op, and one with a mask: learned priors and noise from a seed where there are any.
ONE_PER_OP = tuple(
    next(case for case in reversed(REPRESENTATIVES) if case.label == label)
    for label in (
        "bernoulli-float",
        "bernoulli_probs-float",
        "continuous_bernoulli-float",
        "gaussian-logvar-channel-float",
        "gaussian-logvar-channel-float-full_mask",
        "laplace-channel-float",
        "student_t-channel-float",
        "discretized_logistic-channel-levels",
        "categorical",
        "multinomial",
        "poisson-count",
        "negative_binomial-channel-count",
        "zero_inflated-channel-positive_count",
        "gaussian_kl-logvar-none",
        "gaussian_kl-logvar-event",
        "reparameterize-logvar-seed",
        "sample_with_kl-logvar-none-seed",
        "sample_with_kl-logvar-event-seed",
    )
)
