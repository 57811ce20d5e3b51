"""Every documented error: its type, and that the message names the argument, what it got and what
it wanted. No check reads data: all of them run on meta tensors, which have none."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from operations.arguments import NUMBERS
from operations.case import Case, label_of
from operations.every import CASES, DESCRIPTIONS, FUNCTIONS

import vaekern as vk
from vaekern._ops.table import OPS, SOFTMAXES

F32, F64, I64 = torch.float32, torch.float64, torch.int64


def t(*shape: int, dtype: torch.dtype = F32, device: str = "meta") -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


MU = (4, 3)


def _parameters(function: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(vk, function)).parameters)


def _with(name: str, *, among: Iterable[str]) -> list[str]:
    return [function for function in among if name in _parameters(function)]


def _of_role(*roles: str) -> list[str]:
    """Functions that have targets drawn so."""
    return [
        description.function
        for op, description in DESCRIPTIONS.items()
        if op not in ROWS
        and {a.role for case in description.cases for a in case.arguments if a.name == "x"}
        & {*roles}
    ]


#: Those of classes have errors of their own, in test_class_modules.py and test_categoricals.py.
ROWS = [op.name for op in OPS if op.kept] + [op.name for op in SOFTMAXES]
ELEMENTWISE = [function for function in FUNCTIONS if function not in ROWS]
FIRST_TWO = {function: tuple(_parameters(function))[:2] for function in ELEMENTWISE}
POSTERIOR = [function for function, (first, _) in FIRST_TWO.items() if first == "mu"]
SAMPLERS = _with("seed", among=ELEMENTWISE)
PRIORED = _with("prior_mu", among=ELEMENTWISE)
SCALED = _with("scale", among=ELEMENTWISE)
MASKABLE = _with("mask", among=ELEMENTWISE)
LEVELS = _of_role("levels")
TARGETS = [*_of_role("float"), *LEVELS]
COUNTED = _of_role("count", "positive_count")
RANGED = _with("uint8_range", among=TARGETS)
#: Those of probabilities.
UNIT = [function for function in RANGED if FIRST_TWO[function][0] in ("logits", "probs")]
#: What else a function needs.
OTHERS = {
    function: {
        name: NUMBERS[name]
        for name, parameter in list(_parameters(function).items())[2:]
        if parameter.default is inspect.Parameter.empty
    }
    for function in ELEMENTWISE
}

Wrong = tuple[str, dict[str, Any], type[Exception], str, str, str]


def _wrong() -> list[Wrong]:
    """function, what to pass instead, the error, the argument named, what it got, what it wants."""
    rows: list[Wrong] = []
    for function, (first, second) in FIRST_TWO.items():
        rows += [
            (function, {first: t(*MU, dtype=I64)}, TypeError, first, "int64", "float32"),
            (function, {first: [1.0]}, TypeError, first, "list", "tensor"),
            (
                function,
                {first: t(*MU, device="cpu").to_sparse()},
                TypeError,
                first,
                "sparse",
                "strided",
            ),
            (function, {first: t(*MU, dtype=torch.complex64)}, TypeError, first, "complex64", "f"),
            (function, {second: t(3)}, ValueError, second, "(3,)", "(4, 3)"),
            (function, {second: t(4, 1)}, ValueError, second, "(4, 1)", "(4, 3)"),
            (function, {second: t(*MU, device="cpu")}, ValueError, second, "cpu", "meta"),
            (function, {"batch_dims": 3}, ValueError, "batch_dims", "3", "2"),
            (function, {"batch_dims": -1}, ValueError, "batch_dims", "-1", "0"),
        ]
    for function in POSTERIOR:
        rows.append((function, {"logvar": t(*MU, dtype=torch.uint8)}, TypeError, "logvar", "uint8",
                     "float32"))  # fmt: skip
    for function in TARGETS:
        rows.append((function, {"x": t(*MU, dtype=I64)}, TypeError, "x", "int64", "uint8"))
        rows.append((function, {"x": 0.5}, TypeError, "x", "float", "tensor"))
    for function in [function for function in RANGED if function not in UNIT]:
        signed = {"x": t(*MU, dtype=torch.bool), "uint8_range": "signed"}
        rows += [
            (function, {"uint8_range": "count"}, ValueError, "uint8_range", "'count'", "'signed'"),
            (function, signed, TypeError, "x", "bool", "uint8 or floating point"),
        ]
    for function in UNIT:
        rows.append((function, {"uint8_range": "signed"}, ValueError, "uint8_range", "'signed'",
                     "'binary'"))  # fmt: skip
    for function in COUNTED:
        rows.append((function, {"x": t(*MU, dtype=torch.bool)}, TypeError, "x", "bool", "int64"))
        rows.append((function, {"x": 3.0}, TypeError, "x", "float", "tensor"))
    for function in SCALED:
        rows += [
            (function, {"scale": "variance"}, ValueError, "scale", "'variance'", "log_std"),
            (function, {"logvar_clamp": (2.0, -2.0)}, ValueError, "logvar_clamp", "(2.0, -2.0)",
             "low <= high"),
        ]  # fmt: skip
    for function in SAMPLERS:
        one, seed, generator = t(*MU), 3, torch.Generator()
        rows += [
            (function, {"eps": one, "seed": seed}, ValueError, "eps and seed", "", "at most one"),
            (function, {"eps": one, "generator": generator}, ValueError, "eps and generator", "",
             "at most one"),
            (function, {"seed": seed, "generator": generator}, ValueError, "seed and generator",
             "", "at most one"),
            (function, {"eps": t(3)}, ValueError, "eps", "(3,)", "(4, 3)"),
            (function, {"eps": t(*MU, dtype=I64)}, TypeError, "eps", "int64", "float32"),
            (function, {"eps": t(*MU, device="cpu")}, ValueError, "eps", "cpu", "meta"),
            (function, {"seed": 1.5}, TypeError, "seed", "float", "int"),
            (function, {"seed": True}, TypeError, "seed", "bool", "int"),
            (function, {"seed": -1}, ValueError, "seed", "-1", "2**64"),
            (function, {"seed": 2**64}, ValueError, "seed", str(2**64), "2**64"),
            (function, {"seed": t(3, dtype=I64)}, ValueError, "seed", "(3,)", "int64"),
            (function, {"seed": t(2)}, ValueError, "seed", "float32", "int64"),
            (function, {"seed": t(2, dtype=I64, device="cpu")}, ValueError, "seed", "cpu", "meta"),
        ]  # fmt: skip
    for function in PRIORED:
        for name in ("prior_mu", "prior_logvar"):
            rows += _wrong_broadcast(function, name)
    for function in MASKABLE:
        first, one = FIRST_TWO[function][0], t(*MU, dtype=torch.bool)
        rows += [
            (function, {"mask": t(*MU, dtype=torch.uint8)}, TypeError, "mask", "uint8", "bool"),
            (function, {"mask": [True]}, TypeError, "mask", "list", "tensor"),
            (function, {"mask": one[0]}, ValueError, "mask", "(3,)", f"{first}, (4, 3)"),
            (function, {"mask": one[:2]}, ValueError, "mask", "(2, 3)", f"{first}, (4, 3)"),
            (function, {"mask": t(4, 1, dtype=torch.bool, device="cpu")}, ValueError, "mask",
             "cpu", "meta"),
        ]  # fmt: skip
    for function in LEVELS:
        rows += [
            (function, {"x": t(*MU, dtype=torch.bool)}, TypeError, "x", "bool", "uint8"),
            (function, {"x": t(*MU).requires_grad_()}, ValueError, "x", "requires_grad", "levels"),
        ]
    for function in ELEMENTWISE:
        for name, parameter in _parameters(function).items():
            if parameter.annotation == "Tensor | float":
                rows += _wrong_broadcast(function, name)
            if parameter.annotation == "float":  # a share, as a quantile is
                rows += [
                    (function, {name: "1"}, TypeError, name, "str", "number"),
                    (function, {name: t()}, TypeError, name, "Tensor", "number"),
                    (function, {name: 1.0}, ValueError, name, "1.0", "between 0 and 1"),
                    (function, {name: -0.5}, ValueError, name, "-0.5", "between 0 and 1"),
                ]
    return rows


def _wrong_broadcast(function: str, name: str) -> list[Wrong]:
    return [
        (function, {name: "1"}, TypeError, name, "str", "number"),
        (function, {name: True}, TypeError, name, "bool", "number"),
        (function, {name: t(3, dtype=I64)}, TypeError, name, "int64", "float32"),
        (function, {name: t(4)}, ValueError, name, "(4,)", "(3,)"),
        (function, {name: t(1, 4, 3)}, ValueError, name, "(1, 4, 3)", "(4, 3)"),
        (function, {name: t(3, device="cpu")}, ValueError, name, "cpu", "meta"),
    ]


WRONG = _wrong()


@pytest.mark.parametrize(
    ("function", "instead", "error", "names", "got", "wanted"),
    WRONG,
    ids=[f"{row[0]}-{'-'.join(row[1])}-{row[4] or 'both'}" for row in WRONG],
)
def test_errors(
    function: str,
    instead: dict[str, Any],
    error: type[Exception],
    names: str,
    got: str,
    wanted: str,
) -> None:
    first, second = FIRST_TWO[function]
    arguments = {first: t(*MU), second: t(*MU), **OTHERS[function], **instead}
    with pytest.raises(error) as caught:
        getattr(vk, function)(**arguments)
    message = str(caught.value)
    assert re.match(rf"{names}\b", message), message
    assert got in message
    assert wanted in message


def test_every_argument_of_every_function_has_an_error() -> None:
    """``generator`` is checked by torch."""
    for function in FIRST_TWO:
        accepted = set(inspect.signature(getattr(vk, function)).parameters) - {"generator"}
        tried = {name for row in WRONG if row[0] == function for name in row[1]}
        assert accepted <= tried


@pytest.mark.parametrize("name", ["nonsense", "CPU"])
def test_unknown_backend(name: str) -> None:
    with pytest.raises(ValueError, match=rf"backend: expected one of .*'cpu'.*got '{name}'"), \
            vk.backend(name):  # fmt: skip
        pass


@pytest.mark.parametrize("name", ["cuda", "triton"])
def test_unavailable_backend(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"'{name}' is not available"), vk.backend(name):
        pass


@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_what_is_documented_is_accepted_without_data(case: Case) -> None:
    """Also the checks that pass read no data."""
    real = case.make((4, 3, 2))
    results = case(*[tensor.to("meta") for tensor in real])
    for a, b in zip(results, case(*real), strict=True):
        assert a.is_meta
        assert (a.shape, a.dtype) == (b.shape, b.dtype)


def test_a_wrong_instruction_set_is_refused() -> None:
    from vaekern._backends import native

    assert native.core is not None
    with pytest.raises(ValueError, match="'x86_64_v9'"):
        native.core.use_isa("x86_64_v9")
