"""Every way that torch has of watching operations is shown the registered op, whoever wants
derivatives; none is shown memory without it, and none changes a number."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from distributed_worker import make_batch, make_model
from operations.every import ONE_PER_OP
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from watching import PROBLEMS, WAYS, AsModule, Problem, in_tuple, op_name

import vaekern as vk

every_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.label)


def results_and_gradients(results: Sequence[Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    wanted = [t for t in tensors if t.requires_grad]
    if not wanted:
        return list(results)
    total = sum((r * torch.cos(r.detach())).sum() for r in results)
    return [*results, *torch.autograd.grad(total, wanted)]


@pytest.mark.table("way", "problem", "differentiated")
@every_problem
@pytest.mark.parametrize("differentiated", [False, True], ids=["values", "gradients"])
@pytest.mark.parametrize("way", WAYS)
def test_watched(way: str, differentiated: bool, problem: Problem) -> None:
    tensors = [
        t.clone().requires_grad_(differentiated and t.is_floating_point()) for t in problem.tensors
    ]
    want = results_and_gradients(problem.function(*tensors), tensors)
    seen, results = WAYS[way](problem, tensors)
    assert problem.ops <= seen
    for a, b in zip(results_and_gradients(results, tensors), want, strict=True):
        torch.testing.assert_close(a, b)


@every_problem
def test_backward_watched(problem: Problem) -> None:
    """What a recording contains of ``torch.autograd.grad`` inside of it are ops, too."""
    at = [k for k, t in enumerate(problem.tensors) if t.is_floating_point()]

    def gradients(*values: Tensor) -> tuple[Tensor, ...]:
        tensors = list(problem.tensors)
        for k, value in zip(at, values, strict=True):
            tensors[k] = value
        results = problem.function(*tensors)
        return torch.autograd.grad(sum(r.sum() for r in results), values)

    tensors = [problem.tensors[k].clone().requires_grad_() for k in at]
    want = gradients(*tensors)
    made = make_fx(gradients)(*tensors)
    assert {f"{name}_vjp" for name in problem.ops} <= {op_name(n.target) for n in made.graph.nodes}
    for a, b in zip(made(*tensors), want, strict=True):
        torch.testing.assert_close(a, b)


# --- what has a form of its own ---------------------------------------------------------------


@every_problem
def test_scripted(problem: Problem) -> None:
    """The registered op."""
    name = next(iter(problem.ops))
    op = getattr(torch.ops.vaekern, name).default
    arguments = ", ".join(f"{a.name}: {_annotation(a.type)}" for a in op._schema.arguments)
    names = ", ".join(a.name for a in op._schema.arguments)
    unit = torch.jit.CompilationUnit(
        f"def call({arguments}):\n    return torch.ops.vaekern.{name}({names})\n"
    )
    assert f"vaekern::{name}" in str(unit.call.graph)


@pytest.mark.parametrize("name", vk.functional.__all__)
def test_functions_are_not_scripted(name: str) -> None:
    """Their checks are Python's; what can be scripted is the op."""
    with pytest.raises(torch.jit.frontend.NotSupportedError):
        torch.jit.script(getattr(vk, name))


def _annotation(kind: Any) -> str:
    return str(kind.annotation_str)


@pytest.mark.parametrize("case", ONE_PER_OP, ids=lambda case: case.label)
def test_symbolically_traced(case: Any) -> None:
    """Functions of ``vaekern`` are leaves for ``torch.fx``, as torch's own are."""
    function = getattr(vk, case.function)
    names = [argument.name for argument in case.arguments]
    namespace: dict[str, Any] = {"vk": vk, "constants": case.constants}
    exec(
        f"def call({', '.join(names)}):\n"
        f"    return vk.{case.function}({', '.join(f'{n}={n}' for n in names)}, **constants)",
        namespace,
    )
    traced = torch.fx.symbolic_trace(namespace["call"])
    assert function in [node.target for node in traced.graph.nodes]
    tensors = case.make((3, 4))
    torch.testing.assert_close(in_tuple(traced(*tensors)), case(*tensors))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of that exporter
@pytest.mark.parametrize("case", ONE_PER_OP, ids=lambda case: case.label)
def test_onnx_is_told_of_the_op(case: Any) -> None:
    """The exporter that traces has no translation of it, and says so by its name."""
    with pytest.raises(torch.onnx.errors.UnsupportedOperatorError, match=f"vaekern::{case.op}"):
        torch.onnx.export(
            AsModule(case.__call__), tuple(case.make((3, 4))), io.BytesIO(), dynamo=False
        )


class _Losses(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()

    def forward(self, x: Tensor, seed: Tensor) -> Tensor:
        return self.model(x, seed=seed).loss


def test_a_whole_model_is_traced_for_any_batch() -> None:
    """Warnings of torch's tracer are errors here."""
    losses, (x, _), seed = _Losses(), make_batch(), torch.tensor([3, 4])
    traced = torch.jit.trace(losses, (x, seed), check_trace=False)
    parameters = list(losses.parameters())
    for batch in (x, x[:5]):
        got, want = traced(batch, seed), losses(batch, seed)
        torch.testing.assert_close(got, want)
        for a, b in zip(
            torch.autograd.grad(got, parameters),
            torch.autograd.grad(want, parameters),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
