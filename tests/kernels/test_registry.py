"""An operation is complete, or these fail: kernels, reference, cases, public name, table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from operations.case import DESCRIBED, Case, label_of
from operations.every import CASES
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk
from vaekern import _core
from vaekern._backends import native, plain
from vaekern._checks import SCALES
from vaekern._ops import table
from vaekern._ops.elementwise import DATAPOINT, ELEMENT, Op

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"


def op_name(op: Op) -> str:
    return op.name


def scales(op: Op) -> tuple[str, ...]:
    return SCALES if op.scaled else ("",)


#: What the kernels of operations with log sum exp of rows take and give: see ``_ops/rows.py``.
WITH_ROWS = {
    "categorical_log_likelihood": ([1, 1], [4, 1]),
    "multinomial_log_likelihood": ([2, 3], [6, 2]),
}

every_described = pytest.mark.parametrize("op", DESCRIBED, ids=op_name)
every_op = pytest.mark.parametrize("op", table.OPS, ids=op_name)


def test_every_op_of_the_module_is_in_the_table() -> None:
    assert {id(v) for v in vars(table).values() if isinstance(v, Op)} == {
        *map(id, table.OPS),
        *map(id, table.MIXTURES),
        *map(id, table.SOFTMAXES),
    }
    assert len({op.name for op in DESCRIBED}) == len(DESCRIBED)


def test_kernels_and_table_are_the_same_list() -> None:
    compiled = {(op, scale) for op, scale, _ in native.KERNELS}
    assert compiled == {(op.name, scale) for op in table.OPS for scale in scales(op)}


@every_op
def test_kernels_have_the_arguments_of_the_table(op: Op) -> None:
    compiled = _core.kernels()
    arities = {kernel: compiled[number][3:] for kernel, (number, _) in native.KERNELS.items()}
    n_out = len(op.results)
    n_told = len(op.told(*[0.5] * len(op.numbers)))
    n_in, n_read = len(op.inputs) + n_told, len(op.vjp_inputs)
    if op.kept:
        value, vjp = WITH_ROWS[op.name]
        assert arities[op.name, "", "value"] == (*value,)
        assert arities[op.name, "", "vjp"] == (*vjp,)
        return
    for scale in scales(op):
        assert arities[op.name, scale, "value"] == (n_in, n_out)
        assert arities[op.name, scale, "vjp"] == (n_out + n_read + n_told, n_read)
        both = arities.get((op.name, scale, "value_and_vjp"))
        assert both in (None, (n_out + n_in, n_out + n_read))


@every_op
def test_every_instruction_set_has_the_same_kernels(op: Op, isa: str) -> None:
    assert native.table_of(_core.kernels()) == native.KERNELS


def test_one_kernel_serves_both_logarithms() -> None:
    """They differ by the factor that a launch hands it."""
    scaled = [kernel for kernel in native.KERNELS if kernel[1] == "log_std"]
    assert scaled
    for op, _, variant in scaled:
        number, factor = native.KERNELS[op, "logvar", variant]
        assert native.KERNELS[op, "log_std", variant] == (number, 2.0 * factor)


def test_an_extension_of_older_sources_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"_core.* no kernel new_op, value: .* Build it again"):
        native.KERNELS["new_op", "", "value"]


@every_described
def test_it_has_a_plain_function(op: Op) -> None:
    assert op.plain is getattr(plain, op.name)
    assert set(op.results) <= {ELEMENT, DATAPOINT}


@every_described
def test_it_is_registered_with_torch(op: Op) -> None:
    for name in (op.name, f"{op.name}_vjp"):
        overload = getattr(torch.ops.vaekern, name).default
        assert torch.Tag.pt2_compliant_tag in overload.tags
        for key in ("CPU", "Autograd", "Meta"):
            dispatched = torch._C._dispatch_has_kernel_for_dispatch_key(f"vaekern::{name}", key)
            assert dispatched, f"{name} has no {key} kernel"


@every_described
def test_it_has_cases(op: Op) -> None:
    assert {case.scale for case in CASES if case.op == op.name} == set(scales(op))


class _Recorder(TorchDispatchMode):
    """The names of the package's ops that ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.namespace == "vaekern":
            self.names.append(func._schema.name.removeprefix("vaekern::"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_a_case_runs_the_op_it_says(case: Case) -> None:
    """One kernel forward and one back, whatever is asked for."""
    inputs = [t.requires_grad_(t.is_floating_point()) for t in case.make((3, 4, 5))]
    with _Recorder() as recorder:
        results = case(*inputs)
        torch.autograd.backward(results, [torch.ones_like(r) for r in results])
    assert recorder.names == [case.op, f"{case.op}_vjp"]


FUNCTIONS = sorted({case.function for case in CASES})


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_public(function: str) -> None:
    assert function in vk.__all__
    assert function in vk.functional.__all__
    assert callable(getattr(vk.reference, function))
    documentation = getattr(vk, function).__doc__
    assert "Returns:" in documentation


def test_every_public_name_exists() -> None:
    assert all(hasattr(vk, name) for name in vk.__all__)
    assert sorted(vk.functional.__all__) == sorted(
        [*FUNCTIONS, *(op.name for op in table.MIXTURES), "relaxed_categorical_log_prob"]
    )


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_in_the_table_of_operations(function: str) -> None:
    page = OPERATIONS.read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert any(re.search(rf"\b{function}\b", row) for row in rows)


@pytest.mark.parametrize("page", ["docs/mathematics.md", "docs/api/functions.md", "CHANGELOG.md"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_pages_name_it(function: str, page: str) -> None:
    assert re.search(rf"\b{function}\b", (ROOT / page).read_text(encoding="utf-8"))


@every_op
def test_the_table_of_triton_s_resources_has_it(op: Op) -> None:
    """CUDA's names classes of C++: the test that compares it with a build finds what it lacks."""
    table_ = (ROOT / "tests" / "gpu" / "triton_resources.csv").read_text()
    assert f"\n{op.name}.value," in table_, "python tests/gpu/triton_resources.py"


def test_reference_has_the_public_signatures() -> None:
    import inspect

    for function in FUNCTIONS:
        ours, plain = getattr(vk, function), getattr(vk.reference, function)
        assert inspect.signature(ours) == inspect.signature(plain)


def test_reference_runs_no_kernel() -> None:
    a: Tensor = torch.randn(2, 3)
    with _Recorder() as recorder:
        vk.reference.gaussian_kl(a, a)
    assert recorder.names == []
