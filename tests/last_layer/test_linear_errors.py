"""What the functions of a linear layer and a likelihood refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

import vaekern as vk


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


I64 = torch.int64
WRONG: tuple[tuple[dict[str, Any], type[Exception], str, str, str], ...] = (
    ({"hidden": t(4, 3, dtype=I64)}, TypeError, "hidden", "int64", "float32"),
    ({"hidden": t()}, ValueError, "hidden", "()", "one dimension"),
    ({"weight": t(7, 2)}, ValueError, "weight", "(7, 2)", "[N, 3]"),
    ({"weight": t(7, 3, dtype=torch.bfloat16)}, TypeError, "weight", "bfloat16", "float32"),
    ({"weight": t(7, 3, device="cpu")}, ValueError, "weight", "cpu", "meta"),
    ({"bias": t(1)}, ValueError, "bias", "(1,)", "(7,)"),
    ({"bias": t(7, dtype=torch.float64)}, TypeError, "bias", "float64", "float32"),
    ({"bias": t(7, device="cpu")}, ValueError, "bias", "cpu", "meta"),
    ({"batch_dims": 2}, ValueError, "batch_dims", "2", "1"),
    ({"reduction": "avg"}, ValueError, "reduction", "'avg'", "'mean'"),
    ({"chunk": 0}, ValueError, "chunk", "0", "1 or more"),
    ({"chunk": 2.5}, ValueError, "chunk", "2.5", "1 or more"),
)
WRONG_TARGETS = (
    ({"x": t(4, 3)}, ValueError, "x", "(4, 3)", "(4, 7)"),
    ({"x": t(4, 7, dtype=I64)}, TypeError, "x", "int64", "uint8"),
    ({"x": t(4, 7, device="cpu")}, ValueError, "x", "cpu", "meta"),
)
WRONG_BY_FUNCTION = {
    "linear_bernoulli_log_likelihood": (
        *WRONG,
        *WRONG_TARGETS,
        ({"uint8_range": "signed"}, ValueError, "uint8_range", "'signed'", "'binary'"),
    ),
    "linear_gaussian_log_likelihood": (
        *WRONG,
        *WRONG_TARGETS,
        ({"logvar": t(4)}, ValueError, "logvar", "(4,)", "(4, 7)"),
        ({"uint8_range": "bytes"}, ValueError, "uint8_range", "'bytes'", "'unit'"),
        ({"scale": "variance"}, ValueError, "scale", "'variance'", "log_std"),
        ({"logvar_clamp": (1.0, 0.0)}, ValueError, "logvar_clamp", "(1.0, 0.0)", "low <= high"),
    ),
    "linear_categorical_log_likelihood": (
        *WRONG,
        ({"x": t(4, 7, dtype=I64)}, ValueError, "x", "(4, 7)", "(4,)"),
        ({"x": t(4)}, TypeError, "x", "float32", "int64"),
        ({"x": t(4, dtype=I64, device="cpu")}, ValueError, "x", "cpu", "meta"),
    ),
}


@pytest.mark.parametrize("function", WRONG_BY_FUNCTION)
def test_errors(function: str) -> None:
    x = t(4, dtype=I64) if "categorical" in function else t(4, 7)
    right = {"hidden": t(4, 3), "weight": t(7, 3), "bias": t(7), "x": x}
    assert getattr(vk, function)(**right).shape == (4,)
    for instead, error, name, got, expected in WRONG_BY_FUNCTION[function]:
        with pytest.raises(error, match=rf"^{name}\b") as caught:
            getattr(vk, function)(**{**right, **instead})
        assert re.search(re.escape(got), str(caught.value)), caught.value
        assert re.search(re.escape(expected), str(caught.value)), caught.value
