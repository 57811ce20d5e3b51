"""Whether a provider is right, against float64, before it is timed."""

from __future__ import annotations

import math

import torch
from operations.description import Form
from torch import Tensor

from bench.harness.samples import samples_of
from bench.problems.families import Family
from bench.problems.workloads import Problem

#: Largest error of a tensor, relative to its largest element. Peers compute bfloat16 inputs in
#: bfloat16 throughout, several roundings of 2^-9 each.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


class Oracle:
    """The right result and gradients of a problem: all but z's share of them, which depends on a
    provider's noise, is evaluated once."""

    def __init__(self, problem: Problem, family: Family) -> None:
        self.problem = problem
        self.samples = samples_of(problem, family)
        self.dtype = problem.inputs[0].dtype
        self.out: Tensor | None = None
        self.gradients: dict[str, Tensor | float] = dict.fromkeys(problem.leaves, 0.0)
        if family.oracle is None:
            return
        wide = [_widened(t) for t in problem.inputs]
        out = family.oracle(*wide)
        leaves = [t for t in wide if t.requires_grad]
        gradients = torch.autograd.grad(out, leaves, problem.upstream[-1][self.dtype].double())
        self.out = out.detach()
        self.gradients |= zip(problem.leaves, gradients, strict=True)

    def fault(self, form: Form) -> str | None:
        """What is wrong with a provider's step; None if nothing."""
        previous = self.problem.step(form)
        _poison_free_memory(self.problem)
        results = self.problem.step(form)
        if self.samples is not None and self.samples.repeat(previous[0], results[0]):
            return "the noise repeats"
        return self.fault_of(results)

    def fault_of(self, results: tuple[Tensor, ...]) -> str | None:
        """What is wrong with the results and the problem's present gradients."""
        detached = [result.detach() for result in results]
        fault = self.samples.fault(detached[0]) if self.samples is not None else None
        return fault or self._values_fault(detached)

    def _values_fault(self, results: list[Tensor]) -> str | None:
        pairs: dict[str, tuple[Tensor, Tensor]] = {}
        if self.out is not None:
            pairs["result"] = (results[-1], self.out)
        for name, right in self.gradients.items():
            got = self.problem.leaves[name].grad
            if got is None:
                return f"no gradient of {name}"
            if self.samples is not None:
                gz = self.problem.upstream[0][self.dtype].double()
                right = right + self.samples.share(name, results[0], gz)
            assert isinstance(right, Tensor), "either z or the result depends on every leaf"
            pairs[f"gradient of {name}"] = (got, right)
        for name, (got, right) in pairs.items():
            if got.shape != right.shape:
                return f"{name} has shape {tuple(got.shape)} instead of {tuple(right.shape)}"
            error = ((got - right).abs().max() / right.abs().max()).item()
            if not error <= TOLERANCE[self.dtype]:
                return f"{name} is off by {error:.2g}"
        return None


def _widened(tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    return tensor.detach().double().requires_grad_(tensor.requires_grad)


def _poison_free_memory(problem: Problem) -> None:
    """Fills blocks of the sizes that results and gradients have with NaN and frees them: allocators
    hand these out next, and what a kernel forgets to write shows."""
    problem.forget_gradients()
    numbers = [t for t in problem.inputs if t.is_floating_point()]
    blocks = [torch.full_like(t, math.nan, requires_grad=False) for t in numbers * 2]
    del blocks
