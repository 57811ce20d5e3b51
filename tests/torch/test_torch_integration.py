"""The rest of torch: opcheck, torch.compile, fake and meta tensors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from compare import leaves
from operations.case import DESCRIBED, Case, Shape, label_of
from operations.every import CASES, ONE_PER_OP, REPRESENTATIVES
from sampling import one_in
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import vaekern as vk
from vaekern._backends import fast
from vaekern._backends.launch import Backend
from vaekern._ops import elementwise, rows, softmax
from vaekern._ops.elementwise import Op


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch._dynamo.reset()


def scalar(case: Case, tensors: Sequence[Tensor]) -> Tensor:
    return sum((r * torch.cos(r)).sum() for r in case(*tensors))


def gradients(f: Callable[..., Tensor], tensors: Sequence[Tensor]) -> list[Tensor]:
    inputs = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    return list(torch.autograd.grad(f(*inputs), [t for t in inputs if t.requires_grad]))


# --- the registered ops -------------------------------------------------------------------------


def op_arguments(case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[Op, tuple[Any, ...]]:
    """What the public function hands to the op."""
    calls: list[tuple[Op, tuple[Any, ...]]] = []
    original = Op.__call__

    def recording(self: Op, *args: Any) -> Any:
        calls.append((self, args))
        return original(self, *args)

    monkeypatch.setattr(Op, "__call__", recording)
    with fast.allowed(False):
        case(*case.make((3, 2, 5)))
    (call,) = calls
    return call


def test_every_op_is_checked() -> None:
    assert {case.op for case in ONE_PER_OP} == {op.name for op in DESCRIBED}


@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_opcheck(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    op, args = op_arguments(case, monkeypatch)
    inputs = [
        a.detach().requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a
        for a in args
    ]
    torch.library.opcheck(op.op, tuple(inputs))


@pytest.mark.table("kernel", "wanted")
@pytest.mark.parametrize("wanted", ["all", "first", "last"])
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_opcheck_of_vjp(case: Case, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    op, args = op_arguments(case, monkeypatch)
    tensors, mask, attributes = op.split(args)
    returned = op.op(*args)
    returned = returned if isinstance(returned, tuple) else (returned,)
    results, kept = returned[: len(op.results)], returned[len(op.results) :]
    upstream = [torch.randn_like(r) for r in results]
    able = [k for k, j in enumerate(op.vjp_inputs) if tensors[j].is_floating_point()]
    chosen = {"all": able, "first": able[:1], "last": able[-1:]}[wanted]
    wants = [k in chosen for k in range(len(op.vjp_inputs))]
    read = [tensors[k].detach() for k in op.vjp_inputs]
    read += [*kept, *op.mask_slot(mask)]
    torch.library.opcheck(op.vjp_op, (*upstream, *read, wants, *attributes))
    if op.partials_op is not None:
        torch.library.opcheck(op.partials_op, (wants, *args))


# --- torch.compile ------------------------------------------------------------------------------


def check_compiled(case: Case, shapes: Sequence[Shape], *, dynamic: bool) -> None:
    def function(*tensors: Tensor) -> Tensor:
        return scalar(case, tensors)

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for shape in shapes:
        tensors = case.make(shape)
        torch.testing.assert_close(compiled(*tensors), function(*tensors))
        for a, b in zip(gradients(compiled, tensors), gradients(function, tensors), strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("case", one_in(8, REPRESENTATIVES), ids=label_of)
def test_compiled_is_eager(case: Case) -> None:
    """One graph; the same numbers and gradients."""
    check_compiled(case, [(4, 6)], dynamic=False)


@pytest.mark.parametrize("case", one_in(6, ONE_PER_OP), ids=label_of)
def test_compiled_for_any_size_is_eager(case: Case) -> None:
    check_compiled(case, [(4, 6), (5, 7), (9, 8)], dynamic=True)


@pytest.mark.table("backend")
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_compiled_code_keeps_to_its_backend(case: Case, backend: str) -> None:
    """Forward and backward, also after the switch is back where it was; and a compiled function
    follows the switch."""
    compiled = torch.compile(lambda *tensors: scalar(case, tensors), backend="aot_eager")
    tensors = leaves(case.make((4, 6)))
    wanted = [t for t in tensors if t.requires_grad]
    with vk.backend(backend):
        want = torch.autograd.grad(scalar(case, tensors), wanted)
    compiled(*tensors)
    seen: list[str] = []
    with vk.backend(backend), _recorded(seen):
        value = compiled(*tensors)
    with _recorded(seen):
        found = torch.autograd.grad(value, wanted)
    assert set(seen) == {backend}
    (op,) = [op for op in DESCRIBED if op.name == case.op]
    assert len(seen) == (1 if _comes_along(case, op) else 2) or op.kept  # those ask more often
    for a, b in zip(found, want, strict=True):
        torch.testing.assert_close(a, b)


def _comes_along(case: Case, op: Op) -> bool:
    """Whether compiled code has the gradients along with the value."""
    masked = any([argument.name == "mask" for argument in case.arguments])
    own = [argument.is_full or argument.kind == "batch" for argument in case.arguments]
    says_so = hasattr(torch.compiler, "_compile_session_context")
    return says_so and op.partials_op is not None and not masked and all(own)


@contextlib.contextmanager
def _recorded(names: list[str]) -> Iterator[None]:
    """The backends whose kernels run, by way of Python."""
    original = elementwise.backend_named

    def recording(name: str) -> Backend:
        names.append(name)
        return original(name)

    with pytest.MonkeyPatch.context() as patch, fast.allowed(False):
        for module in (elementwise, rows, softmax):
            patch.setattr(module, "backend_named", recording)
        yield


def step(mu: Tensor, logvar: Tensor, prior: Tensor, x: Tensor, scale: Tensor) -> Tensor:
    """Every public function, noise from torch's generator."""
    z, kl = vk.sample_with_kl(mu, logvar, prior, 0.5 * prior)
    z = torch.tanh(z) + vk.reparameterize(mu, logvar)
    target = torch.sigmoid(x)
    likelihood = vk.bernoulli_log_likelihood(z, target)
    likelihood = likelihood + vk.gaussian_log_likelihood(z, x, scale)
    return (kl + vk.gaussian_kl(mu, logvar) - likelihood).sum()


@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_compiled_noise_is_that_of_eager(compiler: str) -> None:
    tensors = [torch.randn(6, 8), torch.randn(6, 8), torch.randn(8), torch.randn(6, 8),
               torch.tensor(0.3)]  # fmt: skip
    compiled = torch.compile(step, backend=compiler, fullgraph=True)
    for seed in (1, 2):
        torch.manual_seed(seed)
        want_value, want = step(*tensors), gradients(step, tensors)
        after = torch.rand(())
        torch.manual_seed(seed)
        value, got = compiled(*tensors), gradients(compiled, tensors)
        torch.testing.assert_close(value, want_value)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)
        assert torch.equal(torch.rand(()), after)


@pytest.mark.parametrize("case", one_in(8, ONE_PER_OP), ids=label_of)
def test_compiled_torch_func_is_right_or_raises(case: Case) -> None:
    """Never silently wrong."""
    tensors = case.make((4, 6), torch.float64)
    at = tuple(k for k, t in enumerate(tensors) if t.is_floating_point())

    def function(*values: Tensor) -> Tensor:
        return scalar(case, values)

    transformed = torch.func.grad(function, at)
    want = transformed(*tensors)
    try:
        got = torch.compile(transformed, backend="aot_eager")(*tensors)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException):
        return  # refused
    torch.testing.assert_close(got, want)


# --- tensors without data -----------------------------------------------------------------------


def shapes_of_everything(case: Case, tensors: Sequence[Tensor]) -> list[Any]:
    inputs = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    results = case(*inputs)
    wanted = [t for t in inputs if t.requires_grad]
    grads = torch.autograd.grad(results, wanted, [torch.ones_like(r) for r in results])
    return [(t.shape, t.dtype) for t in (*results, *grads)]


@pytest.mark.table
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_shapes_without_data(case: Case, dtype: torch.dtype) -> None:
    """Forward and backward on meta and on fake tensors: the shapes and dtypes of the real ones."""
    real = case.make((4, 3, 2), dtype)
    want = shapes_of_everything(case, real)
    assert shapes_of_everything(case, [t.to("meta") for t in real]) == want
    with FakeTensorMode() as mode:
        assert shapes_of_everything(case, [mode.from_tensor(t) for t in real]) == want


def test_noise_without_data() -> None:
    mu = torch.empty(3, 4, device="meta")
    assert vk.reparameterize(mu, mu).shape == (3, 4)
    with FakeTensorMode():
        mu = torch.empty(3, 4)
        z, kl = vk.sample_with_kl(mu, mu, seed=3)
        assert (z.shape, kl.shape) == ((3, 4), (3,))
