"""What compiled code is made of: few questions, few calls, and no dispatcher between it and the
kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from compare import leaves
from functorch.compile import make_boxed_func
from operations.case import DESCRIBED, Case, label_of
from operations.every import CASES
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk
from vaekern._ops import table
from vaekern.functional import gaussian
from vaekern.likelihoods import BernoulliLikelihood

OPS = {op.name: op for op in DESCRIBED}

#: One of each operation whose kernel finds derivatives along with values.
ALONG = list(
    {
        case.op: case
        for case in CASES
        if OPS[case.op].partials_op is not None
        and not any([argument.name == "mask" for argument in case.arguments])
    }.values()
)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()


def compiled(function: Callable[..., Any]) -> tuple[Callable[..., Any], list[list[str]]]:
    """The function, and this package's ops in each graph that is made of it: forward, backward."""
    graphs: list[list[str]] = []

    def compiler(graph: torch.fx.GraphModule, _: object) -> Any:
        targets = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
        graphs.append([name.split(".")[1] for name in targets if name.startswith("vaekern.")])
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=compiler)
    return torch.compile(function, backend=backend, fullgraph=True), graphs


def test_every_sum_over_elements_finds_its_derivatives() -> None:
    sums = {op.name for op in table.OPS if op.results == ("datapoint",) and not op.kept}
    assert {case.op for case in ALONG} == sums


@pytest.mark.skipif(
    not hasattr(torch.compiler, "_compile_session_context"),
    reason="torch.compile does not say that it runs",
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", ALONG, ids=label_of)
def test_derivatives_come_along_with_the_value(case: Case, dtype: torch.dtype) -> None:
    """Nothing of this package runs back, and gradients are those of eager code, but for the order
    of two products."""
    tensors = leaves(case.make((4, 6), dtype))
    for tensor, argument in zip(tensors, case.arguments, strict=True):
        tensor.requires_grad_(tensor.requires_grad and argument.is_full)
    wanted = [t for t in tensors if t.requires_grad]

    def loss(*tensors: Tensor) -> Tensor:
        (value,) = case(*tensors)
        return (value * torch.tensor([0.3, -1.7, 0.0, 1e3])).sum()

    function, graphs = compiled(loss)
    value = function(*tensors)
    assert torch.equal(value, loss(*tensors))
    found = torch.autograd.grad(value, wanted)
    assert graphs == [[f"{case.op}_and_partials"], []]
    for a, b in zip(found, torch.autograd.grad(loss(*tensors), wanted), strict=True):
        torch.testing.assert_close(a, b, rtol=torch.finfo(a.dtype).eps, atol=0.0)


def test_what_datapoints_share_is_summed_by_the_kernel() -> None:
    mean, x, logvar = torch.randn(4, 6), torch.randn(4, 6), torch.zeros((), requires_grad=True)
    function, graphs = compiled(lambda logvar: vk.gaussian_log_likelihood(mean, x, logvar).sum())
    (found,) = torch.autograd.grad(function(logvar), logvar)
    assert graphs == [["gaussian_log_likelihood"], ["gaussian_log_likelihood_vjp"]]
    (want,) = torch.autograd.grad(vk.gaussian_log_likelihood(mean, x, logvar).sum(), logvar)
    assert torch.equal(found, want)


def test_masked_elements_get_no_gradient_of_an_infinite_one() -> None:
    logits, x = torch.randn(2, 3, requires_grad=True), torch.rand(2, 3)
    mask = torch.tensor([[True, False, True], [True, True, True]])
    upstream = torch.tensor([torch.inf, 1.0])
    function, _ = compiled(lambda logits: vk.bernoulli_log_likelihood(logits, x, mask=mask))
    (found,) = torch.autograd.grad(function(logits), logits, upstream)
    assert found[0, 1] == 0.0


def test_usual_calls_are_recognised_by_few_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither arguments nor modules are checked one by one: compiled code would ask again."""

    def step(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        z = vk.reparameterize(mu, logvar)
        return z.sum() + vk.elbo_loss(logits, x, mu, logvar, likelihood="bernoulli")

    tensors = [torch.randn(4, 6), torch.rand(4, 6), torch.randn(4, 3), torch.randn(4, 3)]
    torch.manual_seed(0)
    want = step(*tensors)

    def asked(*_: object) -> None:
        raise AssertionError("a question")

    monkeypatch.setattr(gaussian, "_check_posterior", asked)
    monkeypatch.setattr(BernoulliLikelihood, "call", asked)
    function, _ = compiled(step)
    torch.manual_seed(0)
    torch.testing.assert_close(function(*tensors), want)


def test_one_seed_is_drawn_for_a_sample(backend: str) -> None:
    tensors = torch.randn(4, 3), torch.randn(4, 3)
    function, _ = compiled(lambda mu, logvar: vk.reparameterize(mu, logvar))
    with vk.backend(backend):
        torch.manual_seed(0)
        want, after = vk.reparameterize(*tensors), torch.rand(())
        torch.manual_seed(0)
        torch.testing.assert_close(function(*tensors), want)
    assert torch.rand(()) == after


# --- ops that are called ------------------------------------------------------------------------


def _arguments() -> dict[str, Any]:
    logits, x = torch.randn(4, 6), torch.rand(4, 6)
    return {"logits": logits, "x": x, "mask": None, "batch_dims": 1, "uint8_range": "unit",
            "backend": "cpu"}  # fmt: skip


def test_an_op_takes_keywords() -> None:
    op, arguments = table.BERNOULLI.op, _arguments()
    assert torch.equal(op(**arguments), op(*arguments.values()))


def test_an_op_checks_its_arguments() -> None:
    logits, *others = _arguments().values()
    with torch.no_grad():
        with pytest.raises(RuntimeError, match="missing value for argument 'x'"):
            table.BERNOULLI.op(logits)
        with pytest.raises(RuntimeError, match="Expected a value of type 'int'"):
            table.BERNOULLI.op(logits, *others[:2], "one", *others[3:])


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: list[Any] = []

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops.append(op)
        return op(*args, **(kwargs or {}))


@pytest.mark.parametrize("grad", [False, True])
def test_a_mode_sees_an_op(grad: bool) -> None:
    op, arguments = table.BERNOULLI.op, _arguments()
    arguments["logits"].requires_grad_(grad)
    with torch.set_grad_enabled(grad), _Recording() as mode:
        op(*arguments.values())
    assert op in mode.ops


@pytest.mark.parametrize("grad", [False, True])
def test_the_profiler_sees_an_op(grad: bool) -> None:
    arguments = _arguments()
    arguments["logits"].requires_grad_(grad)
    with torch.set_grad_enabled(grad), torch.profiler.profile() as profile:
        table.BERNOULLI.op(*arguments.values())
    names = [event.key for event in profile.key_averages()]
    assert "vaekern::bernoulli_log_likelihood" in names
