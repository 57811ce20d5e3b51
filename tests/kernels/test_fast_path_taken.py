"""When the fast path is taken, and by whom: all that is irregular, and whoever watches, is left to
the one in Python."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import backends
import pytest
import torch
from operations.case import Case, label_of
from operations.every import ONE_PER_OP
from sampling import one_in
from torch import Tensor

import vaekern as vk
from vaekern._backends import fast
from vaekern._backends.choice import backend
from vaekern._ops import table
from vaekern._ops.base import OPERATIONS

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")

X = torch.rand(3, 4)


def _attempt(*args: Any) -> Any:
    return table.BERNOULLI.attempt(*args)


def test_regular_calls_take_it() -> None:
    logits = torch.randn(3, 4)
    for tensor in (logits, torch.nn.Parameter(logits), logits.t().contiguous().t(), logits.half()):
        assert _attempt(tensor, X, None, 1, "unit") is not None
    with torch.no_grad(), torch.inference_mode():
        assert _attempt(logits, X, None, 1, "unit") is not None


def _regular() -> dict[str, Any]:
    t, image, generator = torch.randn(3, 4), torch.randn(2, 3, 4, 4), torch.Generator()
    bernoulli, gaussian = table.BERNOULLI.attempt, table.GAUSSIAN.attempt
    channels, as_unit = torch.rand(3), (1, "logvar", "unit")
    relaxed = table.GUMBEL_SOFTMAX.attempt
    return {
        "a scale": lambda: table.STANDARD_KL.attempt(t, t, None, 1, "log_std"),
        "a number": lambda: gaussian(t, 0.5, X, None, *as_unit),
        "a scalar": lambda: gaussian(t, torch.zeros(()), X, None, *as_unit),
        "an event's shape": lambda: gaussian(t, t[0], X, None, *as_unit),
        "one for each datapoint": lambda: gaussian(t, t[:, :1], X, None, *as_unit),
        "one for each channel": lambda: gaussian(image, channels, image, None, *as_unit),
        "a prior for each dimension": lambda: table.GAUSSIAN_KL.attempt(
            t, t, t[0], 0.5, None, 1, "logvar"
        ),
        "a mask": lambda: bernoulli(t, X, X > 0.5, 1, "unit"),
        "a shared mask": lambda: bernoulli(t, X, X[:1] > 0.5, 1, "unit"),
        "booleans": lambda: bernoulli(t, X > 0.5, None, 1, "unit"),
        "bytes": lambda: bernoulli(t, X.byte(), None, 1, "binary"),
        "signed bytes": lambda: gaussian(t, 0.0, t.byte(), None, 1, "logvar", "signed"),
        "counts": lambda: table.POISSON.attempt(t, t.byte(), None, 1),
        "a share": lambda: table.ASYMMETRIC_LAPLACE.attempt(t, 0.0, X, None, 1, 0.3, "unit"),
        "classes": lambda: table.CATEGORICAL.attempt(t, torch.tensor([0, 3, 1]), None, 1),
        "counts of classes": lambda: table.MULTINOMIAL.attempt(t, X, None, 1),
        "a mixture": lambda: table.LOGISTIC_MIXTURE.attempt(
            torch.randn(2, 20, 4), image[..., 0].contiguous(), 1
        ),
        "categoricals": lambda: table.CATEGORICAL_KL.attempt(t, None, None, 1, 0.01),
        "a prior of one row": lambda: table.CATEGORICAL_KL.attempt(t, t[:1], None, 1, 0.0),
        "a prior of an event": lambda: table.CATEGORICAL_KL.attempt(
            image, image[0].double(), None, 1, 0.0
        ),
        "a prior of each row": lambda: table.CATEGORICAL_KL.attempt(t, t.half(), None, 0, 0.0),
        "a sampled class": lambda: table.SAMPLE_CATEGORICAL.attempt(t, None, 1, 0.01),
        "a relaxed sample": lambda: relaxed(t, 0.5, generator, 1, False),
        "a hard sample": lambda: relaxed(t, torch.tensor(2.0), (3,), 1, True),
        "noise": lambda: table.REPARAMETERIZE.attempt(t, t, t, 1, "logvar"),
        "a seed": lambda: table.REPARAMETERIZE.attempt(t, t, (2**64 - 1,), 1, "logvar"),
        "a seed and stream": lambda: table.REPARAMETERIZE.attempt(
            t, t, (torch.tensor([1, 2]),), 1, "logvar"
        ),
        "a generator": lambda: table.REPARAMETERIZE.attempt(t, t, generator, 1, "logvar"),
    }


#: Of which the host reads what a kernel has found, or sends a device something.
OF_THE_HOST = ("classes", "counts of classes", "a seed", "a hard sample")


@pytest.mark.parametrize("what", _regular())
def test_regular_arguments_take_it(what: str) -> None:
    assert _regular()[what]() is not None


@pytest.mark.parametrize("what", _regular())
def test_regular_arguments_take_it_on_a_gpu(what: str) -> None:
    attempt = _regular()[what]
    with backends.usable("cuda"), _on_a_gpu():
        found, state = attempt(), torch.get_rng_state()
        assert (found is None) == (what in OF_THE_HOST)
        if found is None:
            assert torch.equal(torch.get_rng_state(), state)


@contextlib.contextmanager
def _on_a_gpu() -> Iterator[None]:
    """CUDA's kernels on the CPU's tensors."""
    if backends.device.type != "cpu":
        pytest.skip("the GPU's own tensors take it in test_fast_path.py")
    with backend("cuda"):
        yield


class _Subclass(Tensor):
    pass


IRREGULAR: dict[str, Callable[[Tensor], tuple[Any, ...]]] = {
    "a subclass": lambda t: (t.as_subclass(_Subclass), X, None, 1),
    "no tensor": lambda t: (t.tolist(), X, None, 1),
    "another shape": lambda t: (t[:2], X, None, 1),
    "integers": lambda t: (t.long(), X, None, 1),
    "two integers": lambda t: (torch.tensor([1, 2]), torch.tensor([1, 2]), None, 1),
    "complex numbers": lambda t: (t.cfloat(), X, None, 1),
    "bytes as logits": lambda t: (t.byte(), X, None, 1),
    "a mask of numbers": lambda t: (t, X, X, 1),
    "a mask of another shape": lambda t: (t, X, X[:2] > 0.5, 1),
    "a mask without a dimension": lambda t: (t, X, X[0] > 0.5, 1),
    "too many dimensions": lambda t: (t, X, None, 3),
    "too few dimensions": lambda t: (t, X, None, -1),
    "batch_dims of another type": lambda t: (t, X, None, True),
    "nothing": lambda t: (t[:0], X[:0], None, 1),
    "a negative bit": lambda t: (torch._neg_view(t), X, None, 1),
    "no memory": lambda t: (t.to("meta"), X.to("meta"), None, 1),
    "a sparse tensor": lambda t: (t.to_sparse(), X, None, 1),
    "a nested tensor": lambda t: (torch.nested.nested_tensor([t[0], t[1, :2]]), X, None, 1),
    "a missing argument": lambda t: (t, X, None),
    "no argument": lambda t: (),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("what", IRREGULAR)
def test_irregular_arguments_are_left_alone(what: str) -> None:
    state = torch.get_rng_state()
    assert _attempt(*IRREGULAR[what](torch.randn(3, 4))) is None
    torch.set_rng_state(state)


def _irregular_attributes() -> dict[str, Any]:
    t, image, wide = (
        torch.randn(3, 4),
        torch.randn(2, 3, 4, 4),
        torch.zeros((), dtype=torch.float64),
    )
    gaussian, laplace = table.GAUSSIAN.attempt, table.ASYMMETRIC_LAPLACE.attempt
    repar, as_unit = table.REPARAMETERIZE.attempt, (1, "logvar", "unit")
    classes, kl = table.CATEGORICAL.attempt, table.CATEGORICAL_KL.attempt
    sample, relaxed = table.SAMPLE_CATEGORICAL.attempt, table.GUMBEL_SOFTMAX.attempt
    return {
        "another scale": lambda: table.STANDARD_KL.attempt(t, t, None, 1, "variance"),
        "no scale": lambda: table.STANDARD_KL.attempt(t, t, None, 1, None),
        "signed probabilities": lambda: table.BERNOULLI.attempt(t, X, None, 1, "signed"),
        "signed booleans": lambda: gaussian(t, 0.0, X > 0.5, None, 1, "logvar", "signed"),
        "a range of counts alone": lambda: gaussian(t, 0.0, t, None, 1, "logvar", "count"),
        "bytes nobody has looked at": lambda: gaussian(t, 0.0, t.byte(), None, *as_unit),
        "a boolean for a number": lambda: gaussian(t, True, t, None, *as_unit),
        "a number among float64": lambda: table.STUDENT_T.attempt(t, wide, 0.1, t, None, 1, "unit"),
        "too few dimensions": lambda: gaussian(image, image[0, 0], image, None, *as_unit),
        "too many channels": lambda: gaussian(image, torch.rand(4), image, None, *as_unit),
        "a prior of channels": lambda: table.GAUSSIAN_KL.attempt(
            image, image, torch.rand(3), 0.0, None, 1, "logvar"
        ),
        "classes that are none": lambda: classes(t, torch.tensor([0, 4, 1]), None, 1),
        "classes of another integer dtype": lambda: classes(
            t, torch.tensor([0, 3, 1]).int(), None, 1
        ),
        "classes of too few rows": lambda: classes(t, torch.tensor([0, 3]), None, 1),
        "a mask of rows": lambda: classes(t, torch.tensor([0, 3, 1]), X[:, 0] > 0.5, 1),
        "integer counts of classes": lambda: table.MULTINOMIAL.attempt(t, X.long(), None, 1),
        "too few planes": lambda: table.LOGISTIC_MIXTURE.attempt(image[:, :2], image, 1),
        "colours with a gradient": lambda: table.LOGISTIC_MIXTURE.attempt(
            torch.randn(2, 20, 4, 4), image.clone().requires_grad_(), 1
        ),
        "a mask of variables": lambda: kl(t, None, X[:, 0] > 0.5, 1, 0.0),
        "a prior of fewer rows": lambda: kl(t, t[:2], None, 1, 0.0),
        "a prior of other classes": lambda: kl(t, t[0, :3], None, 1, 0.0),
        "a prior in steps": lambda: kl(t, torch.randn(4, 3).t(), None, 1, 0.0),
        "a prior of neither shape": lambda: kl(image, image[0], None, 2, 0.0),
        "logits in steps": lambda: kl(torch.randn(4, 3).t(), None, None, 1, 0.0),
        "no dimension of classes": lambda: kl(t, None, None, 2, 0.0),
        "all of a uniform distribution": lambda: kl(t, None, None, 1, 1.0),
        "a uniform share that is no float": lambda: sample(t, None, 1, 0),
        "a uniform share below 0": lambda: sample(t, None, 1, -0.1),
        "noise for a class": lambda: sample(t, t, 1, 0.0),
        "a temperature of 0": lambda: relaxed(t, 0.0, None, 1, False),
        "no temperature": lambda: relaxed(t, float("nan"), None, 1, False),
        "temperatures": lambda: relaxed(t, t[:, :1], None, 1, False),
        "hard that is no bool": lambda: relaxed(t, 1.0, None, 1, 1),
        "no share": lambda: laplace(t, 0.0, X, None, 1, 1.0, "unit"),
        "a share that is no float": lambda: laplace(t, 0.0, X, None, 1, torch.tensor(0.5), "unit"),
        "a seed as noise": lambda: repar(t, t, torch.tensor([1, 2]), 1, "logvar"),
        "noise as a seed": lambda: repar(t, t, (t,), 1, "logvar"),
        "a seed below 0": lambda: repar(t, t, (-1,), 1, "logvar"),
        "a seed that is too large": lambda: repar(t, t, (2**64,), 1, "logvar"),
        "no seed": lambda: repar(t, t, (True,), 1, "logvar"),
        "several sources of noise": lambda: repar(t, t, (), 1, "logvar"),
    }


@pytest.mark.parametrize("what", _irregular_attributes())
def test_irregular_attributes_are_left_alone(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast.first_bytes, "unclear", True)
    assert _irregular_attributes()[what]() is None


def test_levels_with_a_gradient_are_left_alone() -> None:
    loc, x = torch.randn(3, 4), torch.rand(3, 4, requires_grad=True)
    assert table.DISCRETIZED_LOGISTIC.attempt(loc, 0.0, x, None, 1) is None


def test_no_seed_is_drawn_for_what_is_irregular() -> None:
    mu, state = torch.randn(3, 4), torch.get_rng_state()
    assert table.REPARAMETERIZE.attempt(mu, mu[:2], None, 1, "logvar") is None
    assert torch.equal(torch.get_rng_state(), state)


def _fail(*_: Any) -> None:
    raise AssertionError("by way of Python")


PLANNED = [case for case in ONE_PER_OP if OPERATIONS[case.op].fast is not fast.NO_PLAN]


@pytest.mark.parametrize("case", one_in(4, PLANNED), ids=label_of)
def test_compiled_calls_take_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    op, tensors = OPERATIONS[case.op], case.make((3, 4), torch.float32)
    tensors[0].requires_grad_()
    torch.compiler.reset()
    compiled = torch.compile(case, backend="aot_eager", fullgraph=True, dynamic=False)
    monkeypatch.setattr(op, "_kernel", _fail)
    monkeypatch.setattr(op, "_vjp_kernel", _fail)
    results = compiled(*tensors)
    torch.autograd.backward(results, [torch.ones_like(result) for result in results])


class _FunctionMode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def _watchers() -> dict[str, Callable[[], Any]]:
    from torch._subclasses import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    return {
        "a function mode": _FunctionMode,
        "a dispatch mode": lambda: FlopCounterMode(display=False),
        "fake tensors": FakeTensorMode,
        "a profiler": torch.profiler.profile,
        "forward mode": torch.autograd.forward_ad.dual_level,
        "another device": lambda: torch.device("cpu"),
        "another backend": lambda: backend("reference"),
    }


@pytest.mark.parametrize("who", _watchers())
def test_it_is_not_taken_where_somebody_watches(who: str) -> None:
    logits = torch.randn(3, 4)
    with _watchers()[who]():
        assert _attempt(logits, X, None, 1, "unit") is None
    assert _attempt(logits, X, None, 1, "unit") is not None


def test_it_is_not_taken_in_transforms() -> None:
    seen: list[Any] = []

    def probe(logits: Tensor) -> Tensor:
        seen.append(_attempt(logits, X, None, 1, "unit"))
        return logits.sum()

    torch.func.grad(probe)(torch.randn(3, 4))
    torch.func.vmap(probe)(torch.randn(2, 3, 4))
    torch.func.jvp(probe, (torch.randn(3, 4),), (torch.randn(3, 4),))
    torch.jit.trace(probe, torch.randn(3, 4), check_trace=False)
    assert seen == [None] * len(seen)
    assert len(seen) >= 4


def test_tensors_that_outlive_their_transform_are_left_to_python() -> None:
    kept: list[Tensor] = []

    def leak(t: Tensor) -> Tensor:
        kept.append(t)
        return t.sum()

    logits = torch.randn(3, 4)
    torch.func.grad(leak)(logits)
    got, want = vk.bernoulli_log_likelihood(kept[0], X), vk.bernoulli_log_likelihood(logits, X)
    assert torch.equal(got, want)


def test_results_are_ordinary_tensors() -> None:
    mu = torch.randn(3, 4, requires_grad=True)
    z = vk.reparameterize(mu, torch.zeros(3, 4))
    assert type(z) is Tensor
    assert not z._is_view()
    assert z._version == 0
    z.mul_(2.0)
    z.sum().backward()
    assert mu.grad is not None
    with torch.inference_mode():
        assert vk.reparameterize(mu, torch.zeros(3, 4)).is_inference()


def test_errors_of_code_that_it_calls_are_raised() -> None:
    def pack(_: Tensor) -> Tensor:
        raise KeyError("packing")

    mu = torch.randn(3, 4, requires_grad=True)
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        pytest.raises(KeyError, match="packing"),
    ):
        vk.gaussian_kl(mu, torch.zeros(3, 4))


def test_torch_without_the_interface() -> None:
    """As before torch 2.10: everything by way of Python."""
    code = (
        "import torch\n"
        "torch.Tensor.__dlpack_c_exchange_api__ = None\n"
        "import vaekern as vk\n"
        "from vaekern._backends import fast\n"
        "assert not fast.usable\n"
        "mu = torch.zeros(2, 3, requires_grad=True)\n"
        "z = vk.reparameterize(mu, torch.zeros(2, 3), seed=1)\n"
        "loss = vk.elbo_loss(z, torch.ones(2, 3), mu, torch.zeros(2, 3))\n"
        "loss.backward()\n"
        "print(mu.grad.abs().sum().item() > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr
