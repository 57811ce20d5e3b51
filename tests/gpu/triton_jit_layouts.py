"""Launches of layouts that differ in what Triton compiles in, or plans depend on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from vaekern._backends.launch import (
    COLUMN_SUM,
    ELEMENTS,
    ROW_LOG_SUM_EXP,
    ROW_SUM,
    Bytes,
    Kernel,
    Mixture,
    Noise,
    Output,
    PerDatapoint,
    Softmax,
    SoftmaxKernel,
    Source,
)
from vaekern._backends.triton import BACKEND

BERNOULLI, SAMPLE = "bernoulli_log_likelihood", "sample_with_standard_kl"
ROWS, COLS = 64, 784
CLASSES = 32


Run: TypeAlias = "Callable[[], None]"


def launch_of(kernel: Kernel, inputs: list[Source], outputs: list[Output | None]) -> Run:
    """Of these tensors, as often as it is called."""
    shape = next(source.shape for source in inputs if isinstance(source, Tensor))
    return partial(BACKEND.run, kernel, False, shape, 1, inputs, outputs)


def bernoulli(variant: str, inputs: list[Source], outputs: list[Output | None]) -> Run:
    return launch_of((BERNOULLI, "", variant), inputs, outputs)


def full(dtype: torch.dtype = torch.float32, cols: int = COLS) -> Tensor:
    return torch.zeros(ROWS, cols).to(dtype)


def rows() -> Output:
    return Output(ROW_SUM, torch.zeros(ROWS), None)


def elements(t: Tensor) -> Output:
    return Output(ELEMENTS, t, None)


def _value(x: Callable[[], Source]) -> Callable[[], Run]:
    return lambda: bernoulli("value", [full(), x()], [rows()])


def _misaligned() -> Tensor:
    return torch.zeros(ROWS * COLS + 1)[1:].view(ROWS, COLS)


def _sample(cols: int) -> Run:
    mu, logvar = full(cols=2 * cols).chunk(2, dim=-1)
    noise = Noise(torch.zeros(2, dtype=torch.int64))
    out = [elements(full(cols=cols)), rows()]
    return launch_of((SAMPLE, "logvar", "value"), [mu, logvar, noise], out)


def _one_pass(factor: float) -> Run:
    """As for a loss: the sum of everything, and gradients."""
    total = Output(ROW_SUM, torch.zeros(()), (0,))
    outputs = [total, elements(full()), None]
    return bernoulli("value_and_vjp", [factor, full(), full()], outputs)


def _column_sums() -> Run:
    upstream = PerDatapoint(torch.zeros(ROWS))
    gradients = [elements(full()), Output(COLUMN_SUM, torch.zeros(COLS), None)]
    return bernoulli("vjp", [upstream, full(), torch.zeros(COLS)], gradients)


def _log_sum_exp() -> Run:
    out = Output(ROW_LOG_SUM_EXP, torch.zeros(ROWS), None)
    return launch_of(("categorical_log_likelihood", "", "value"), [full(cols=3000)], [out])


def _mixture(gradients: bool) -> Run:
    params, x = torch.zeros(2, 50, 48), torch.zeros(2, 3, 48, dtype=torch.uint8)
    call = Mixture((2, 5, 48), params, x)
    if gradients:
        return partial(BACKEND.mixture, call, torch.zeros(2), torch.zeros_like(params))
    return partial(BACKEND.mixture, call, None, torch.zeros(2))


def logits() -> Tensor:
    return full(cols=CLASSES)


def _divergence(prior_rows: int, unimix: float = 0.0) -> Run:
    """Of four variables each."""
    sums, prior = torch.zeros(ROWS // 4), logits()[:prior_rows]
    sizes = ROWS, CLASSES, 4
    call = Softmax(SoftmaxKernel.KL, sizes, unimix, logits(), prior, sums=sums)
    return partial(BACKEND.softmax, call)


def _gradients_of_a_divergence(both: bool) -> Run:
    upstream, gradients = torch.zeros(ROWS // 4), (logits(), logits() if both else None)
    rows, sizes = (logits(), logits()), (ROWS, CLASSES, 4)
    call = Softmax(SoftmaxKernel.KL_VJP, sizes, 0.01, *rows, upstream, upstream, rows=gradients)
    return partial(BACKEND.softmax, call)


def _sample_of_classes(kernel: SoftmaxKernel, temperature: Tensor | None) -> Run:
    """Its gradients, too, of a temperature alike."""
    of_gradients = kernel is SoftmaxKernel.RELAXED_VJP
    call = Softmax(
        kernel,
        (ROWS, CLASSES, 1 if temperature is None else ROWS),
        0.0,
        logits(),
        logits() if of_gradients else None,
        noise=torch.zeros(2, dtype=torch.int64),
        temperature=temperature,
        rows=(logits(), None),
        sums=torch.zeros(()) if of_gradients else None,
    )
    return partial(BACKEND.softmax, call)


def _scaling(dtype: torch.dtype) -> Run:
    return partial(BACKEND.scale, [full(dtype)], torch.zeros(()))


#: What makes tensors, and gives the launch of them. Most differ in one thing from some other.
LAYOUTS: dict[str, Callable[[], Run]] = {
    "dense": _value(full),
    "bfloat16": _value(lambda: full(torch.bfloat16)),
    "uint8": _value(lambda: full(torch.uint8)),
    "signed": _value(lambda: Bytes(full(torch.uint8), "signed")),
    "misaligned": _value(_misaligned),
    "misaligned result": lambda: bernoulli(
        "value", [full(), full()], [Output(ROW_SUM, torch.zeros(ROWS + 1)[1:], None)]
    ),
    "transposed": _value(lambda: torch.zeros(COLS, ROWS).t()),
    "one row": _value(lambda: torch.zeros(COLS)),
    "one number": _value(lambda: torch.zeros(())),
    "per datapoint": _value(lambda: PerDatapoint(torch.zeros(ROWS))),
    "a number": _value(lambda: 0.25),
    "masked": lambda: bernoulli(
        "value", [full(), full(), torch.ones(ROWS, COLS, dtype=torch.bool)], [rows()]
    ),
    "other rows": lambda: bernoulli(
        "value", [full()[:48], full()[:48]], [Output(ROW_SUM, torch.zeros(48), None)]
    ),
    "other columns": lambda: bernoulli("value", [full(cols=45), full(cols=45)], [rows()]),
    "no second gradient": lambda: bernoulli(
        "vjp", [PerDatapoint(torch.zeros(ROWS)), full(), full()], [elements(full()), None]
    ),
    "both gradients": lambda: bernoulli(
        "vjp",
        [PerDatapoint(torch.zeros(ROWS)), full(), full()],
        [elements(full()), elements(full())],
    ),
    "column sums": _column_sums,
    "log sum exp": _log_sum_exp,
    "halves": lambda: _sample(20),
    "halves of a power of two": lambda: _sample(32),
    "one pass": lambda: _one_pass(-1 / ROWS),
    "scaling": lambda: _scaling(torch.float32),
    "scaling bfloat16": lambda: _scaling(torch.bfloat16),
    "mixture": lambda: _mixture(False),
    "gradients of a mixture": lambda: _mixture(True),
    "divergence": lambda: _divergence(ROWS),
    "divergence from shared rows": lambda: _divergence(4),
    "divergence of mixed rows": lambda: _divergence(ROWS, 0.01),
    "gradients of a divergence": lambda: _gradients_of_a_divergence(True),
    "gradients of one side": lambda: _gradients_of_a_divergence(False),
    "one-hot sample": lambda: _sample_of_classes(SoftmaxKernel.SAMPLE, None),
    "relaxed sample": lambda: _sample_of_classes(SoftmaxKernel.RELAXED, torch.ones(())),
    "relaxed one-hot sample": lambda: _sample_of_classes(
        SoftmaxKernel.RELAXED_HARD, torch.ones(())
    ),
    "gradients of a relaxed sample": lambda: _sample_of_classes(
        SoftmaxKernel.RELAXED_VJP, torch.ones(())
    ),
}
