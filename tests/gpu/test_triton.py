"""The Triton kernels, in Triton's interpreter, against the compiled ones of the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import triton_interpreter
from compare import run, same_bits, upstream_for
from operations.accuracy import LIMIT, errors, table
from operations.case import Case, label_of
from operations.description import Subject
from operations.every import ONE_PER_OP
from raw_launch import DTYPES, Launch
from raw_launch import Kernel as CompiledKernel
from sampling import one_in, one_row_in

import vaekern as vk
from vaekern import _core
from vaekern._backends import choice, cpu, native
from vaekern._backends.launch import Kernel, Noise, Output, Source

if triton_interpreter.why_not():
    pytest.skip(triton_interpreter.why_not(), allow_module_level=True)

from triton.runtime.interpreter import InterpreterBuilder

from vaekern._backends.triton import plan, prepared
from vaekern._backends.triton.ops import NAMES, function_of

BACKEND = triton_interpreter.backend()

GUARD = 256  # bytes beside a tensor, of which raw_launch keeps more free

#: Shapes, and how many of their dimensions make rows.
SHAPES = (
    ((1,), 0),
    ((5, 1), 1),
    ((3, 2500), 1),
    ((1, 20_000), 1),
    ((1030, 3), 1),
    ((2, 3, 4, 5), 2),
    ((2, 3, 1, 20), 3),
    ((70, 40), 1),
)


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choice.emulated, "triton", BACKEND)


def test_the_functions_are_those_of_the_compiled_kernels() -> None:
    assert set(NAMES) == {name for name, _, _ in native.KERNELS}


@pytest.mark.parametrize("kernel", native.KERNELS, ids="-".join)
def test_functions_have_the_arguments_of_the_compiled_kernels(kernel: Kernel) -> None:
    *_, n_inputs, _ = _core.kernels()[native.KERNELS[kernel][0]]
    assert function_of(kernel).n_inputs == n_inputs


# --- any launch ---------------------------------------------------------------------------------


def _run(launch: Launch) -> None:
    """A launch of raw addresses, on the tensors that they are the addresses of."""
    memory = {m.tensor.data_ptr(): m.tensor for m in launch.memory}
    shape = torch.Size(launch.shape)

    def source(spec: object) -> Source:
        if isinstance(spec, float):
            return spec
        assert isinstance(spec, tuple)
        tensor = memory[spec[0]]
        if len(spec) == 1:
            return Noise(tensor)
        return tensor.view(shape) if spec[2] is None else tensor.as_strided(shape, spec[2])

    def output(spec: object) -> Output | None:
        if spec is None:
            return None
        assert isinstance(spec, tuple)
        return Output(spec[0], memory[spec[1]], spec[4])

    BACKEND.run(
        (launch.kernel[0], launch.scale, launch.kernel[2]),
        launch.in_double,
        shape,
        launch.row_dims,
        [source(spec) for spec in launch.inputs],
        [output(spec) for spec in launch.outputs()],
    )


def _check(kernel: CompiledKernel, number: int) -> None:
    shape, row_dims = SHAPES[number % len(SHAPES)]
    launch = Launch(kernel, number % 5 == 4, shape, row_dims, seed=number)
    loaded = _run_recording(launch)
    launch.check()
    for memory in launch.memory:
        first, end = memory.tensor.data_ptr(), memory.tensor.data_ptr() + memory.tensor.nbytes
        beside = (loaded >= first - GUARD) & (loaded < end + GUARD)
        assert not (beside & ((loaded < first) | (loaded >= end))).any(), (
            "read outside of its memory"
        )


def _run_recording(launch: Launch) -> np.ndarray:
    """The addresses that were loaded from."""
    loaded: list[np.ndarray] = []
    of_triton = InterpreterBuilder.create_masked_load

    def recording(builder: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        loaded.append(pointers.data[mask.data])
        return of_triton(builder, pointers, mask, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, "create_masked_load", recording)
        _run(launch)
    return np.unique(np.concatenate([pointers.ravel() for pointers in loaded] or [np.empty(0)]))


@pytest.mark.parametrize("number", one_in(6, range(len(_core.kernels()))))
def test_random_launches(number: int) -> None:
    """Mixed dtypes, constants, noise, any strides, all kinds of results and none, unaligned memory
    and nothing written beside it."""
    _check(_core.kernels()[number], number)


@pytest.mark.parametrize("number", one_in(6, range(100, 124)))
def test_random_launches_of_one_kernel(number: int) -> None:
    kernel = "bernoulli_log_likelihood", "", "value_and_vjp"
    _check(next(k for k in _core.kernels() if k[:3] == kernel), number)


@pytest.mark.parametrize("number", one_in(5, range(100, 116)))
def test_random_launches_with_log_sum_exp(number: int) -> None:
    kernel = "multinomial_log_likelihood", "", "value"
    _check(next(k for k in _core.kernels() if k[:3] == kernel), number)


def test_many_partial_sums_are_added_up_in_several_steps() -> None:
    """Rows that cannot be joined, because an input is constant over each, and share numbers."""
    shape = torch.Size((3, 20_000, 2))
    logits, x = torch.randn(shape), torch.rand(3, 20_000, 1)
    got = torch.empty(3)
    kernel = "bernoulli_log_likelihood", "", "value"
    layouts = (None, (20_000, 1, 0)), ((1, (1, 0)),)
    assert len(plan.plan_for(tuple(shape), 2, *layouts).add_up[0]) == 2
    BACKEND.run(kernel, False, shape, 2, [logits, x], [Output(1, got, (1, 0))])
    want = vk.reference.bernoulli_log_likelihood(logits.double(), x.double().expand(shape))
    torch.testing.assert_close(got.double(), want, rtol=1e-6, atol=0.0)


def test_many_partial_log_sum_exps_are_joined_in_several_steps() -> None:
    shape = torch.Size((3, 20_000, 2))
    logits, counts = torch.randn(shape), torch.rand(3, 20_000, 1)
    output = Output(plan.ROW_LOG_SUM_EXP, torch.empty(3), (1, 0))
    layouts = (None, (20_000, 1, 0)), (None, None, (output.kind, (1, 0)))
    assert len(plan.plan_for(tuple(shape), 2, *layouts).add_up[2]) == 2
    kernel = "multinomial_log_likelihood", "", "value"
    BACKEND.run(kernel, False, shape, 2, [logits, counts], [None, None, output])
    torch.testing.assert_close(output.tensor, logits.logsumexp((1, 2)), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("case", one_in(8, ONE_PER_OP), ids=label_of)
def test_indices_of_64_bits(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """As beyond 2^31 elements, which no test can hold."""
    tensors = case.make((3, 5, 44), layout=lambda t: t.transpose(0, 1).contiguous().transpose(0, 1))
    upstream = upstream_for(case, tensors)
    narrow = run(case, tensors, upstream, backend="triton")
    monkeypatch.setattr(plan, "NARROW", 0)
    prepared.forget()
    wide = run(case, tensors, upstream, backend="triton")
    prepared.forget()
    for a, b in zip(narrow.results, wide.results, strict=True):
        assert same_bits(a, b)
    for a, b in zip(narrow.gradients, wide.gradients, strict=True):
        assert a is b is None or same_bits(a, b)


@pytest.mark.parametrize("cols", [3, 1025, 9000])
def test_a_datapoint_alone_and_in_a_batch(cols: int) -> None:
    mu, logvar = torch.randn(9, cols), torch.randn(9, cols)
    with vk.backend("triton"):
        batch = vk.gaussian_kl(mu, logvar)
        for part in (slice(0, 1), slice(3, 9)):
            assert same_bits(vk.gaussian_kl(mu[part], logvar[part]), batch[part])


@pytest.mark.parametrize("kind", [plan.ROW_SUM, plan.ROW_LOG_SUM_EXP])
@pytest.mark.parametrize("cols", [20_000, 2**22, 2**28])
def test_the_sum_of_a_row_is_cut_alike_in_any_batch(cols: int, kind: int) -> None:
    cuts = set()
    for rows in (1, 2, 9, 64, 1000):
        found = plan.plan_for((rows, cols), 1, (None,), ((kind, None),))
        steps = [(s.n_summed, s.chunk, s.n_block, s.s_block, s.splits) for s in found.add_up[0]]
        cuts.add((found.tile_rows, found.tile_cols, found.steps, *steps))
    assert len(cuts) == 1


@pytest.mark.parametrize("dtype", DTYPES[:4], ids=str)
@pytest.mark.parametrize("factor", [1.0, -0.3])
def test_scaling_in_place(dtype: torch.dtype, factor: float) -> None:
    tensors = [torch.randn(n).to(dtype) for n in (1, 1024, 9001)]
    want = [t * torch.tensor(factor) for t in tensors]
    BACKEND.scale(tensors, torch.tensor(factor))
    assert all(same_bits(a, b) for a, b in zip(tensors, want, strict=True))


# --- the mathematics ------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", native.KERNELS, ids="-".join)
def test_elements_are_those_of_the_cpu_bit_for_bit(kernel: Kernel, isa: str) -> None:
    """In float32, where the processor has fused multiply-adds: the same steps in the same order."""
    *_, n_inputs, n_outputs = _core.kernels()[native.KERNELS[kernel][0]]
    if isa == "x86_64_v2":
        pytest.skip("rounds twice where a GPU rounds once")
    inputs: list[Source] = list(torch.rand(n_inputs, 1, 1200) + 0.2)
    found = []
    for backend in (BACKEND, cpu.BACKEND):
        elements = torch.empty(n_outputs, 1, 1200)
        outputs = [Output(0, each, None) for each in elements]
        backend.run(kernel, False, elements[0].shape, 1, inputs, outputs)
        found.append(elements)
    assert same_bits(*found)


def _id(value: object) -> str:
    return value.name if isinstance(value, Subject) else str(value)


@pytest.mark.parametrize(("subject", "scale"), one_row_in(6, table()), ids=_id)
def test_every_output_within_ulps(subject: Subject, scale: str) -> None:
    with vk.backend("triton"):
        worst = {output: float(off.max()) for output, off in errors(subject, scale).items()}
    assert max(worst.values()) <= LIMIT, worst
