"""The fast path and the one in Python give the same results bit for bit; and what is irregular is
left alone."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from operations.case import DTYPES, Case, label_of
from operations.every import CASES, ONE_PER_OP
from torch import Tensor

import vaekern as vk
from vaekern._backends import fast
from vaekern._backends.choice import backend
from vaekern._ops import table

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")

SHAPES = (((3, 4, 5, 7), 1), ((4, 1, 1, 1), 1), ((2, 0, 3, 2), 1))


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [
        t.detach().clone().requires_grad_(t.is_floating_point() and t.dtype is not torch.bool)
        for t in tensors
    ]


def _run(case: Case, tensors: Sequence[Tensor], batch_dims: int) -> list[Any]:
    """Results and gradients, whose upstream ones are not uniform."""
    leaves = _without_gradients_of_levels(case, _leaves(tensors))
    results = case(*leaves, batch_dims=batch_dims)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    upstream = [torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view(r.shape) for r in results]
    gradients = torch.autograd.grad(results, wanted, upstream, allow_unused=True)
    return [*results, *gradients]


def _without_gradients_of_levels(case: Case, leaves: list[Tensor]) -> list[Tensor]:
    if case.op == "discretized_logistic_log_likelihood":
        leaves[1].requires_grad_(False)
    return leaves


def _assert_same(ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b is None:
            assert a is b
            continue
        assert (a.dtype, a.shape, a.stride()) == (b.dtype, b.shape, b.stride())
        assert (a.requires_grad, a.grad_fn is None) == (b.requires_grad, b.grad_fn is None)
        assert torch.equal(a.view(_BITS[a.dtype]), b.view(_BITS[b.dtype]))


_BITS = {
    torch.float32: torch.int32,
    torch.float64: torch.int64,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_bitwise_the_same_without_it(case: Case, dtype: torch.dtype) -> None:
    for shape, batch_dims in SHAPES:
        tensors = case.make(shape, dtype, batch_dims)
        ours = _run(case, tensors, batch_dims)
        with fast.allowed(False):
            theirs = _run(case, tensors, batch_dims)
        _assert_same(ours, theirs)
        with torch.no_grad():
            ours = list(case(*tensors, batch_dims=batch_dims))
            with fast.allowed(False):
                theirs = list(case(*tensors, batch_dims=batch_dims))
        _assert_same(ours, theirs)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "stepped": lambda t: torch.stack([t, t], -1)[..., 0],
    "expanded": lambda t: t[:1].expand(t.shape),
    "negated": lambda t: torch._neg_view(-t) if t.is_floating_point() else t,
    "misaligned": lambda t: t.new_zeros(t.numel() + 1)[1:].view(t.shape).copy_(t),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_bitwise_the_same_in_any_layout(case: Case, layout: str) -> None:
    for dtypes in (
        (torch.float32,),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float64),
    ):
        tensors = case.make((3, 4, 5, 7), dtypes, layout=LAYOUTS[layout])
        ours = list(case(*tensors))
        with fast.allowed(False):
            theirs = list(case(*tensors))
        _assert_same(ours, theirs)


def test_bitwise_the_same_where_results_are_large() -> None:
    mu, logvar, seed = torch.randn(64, 2**14), torch.randn(64, 2**14), torch.tensor([1, 2])
    case = next(c for c in CASES if c.label == "reparameterize-logvar-seed")
    ours = _run(case, (mu, logvar, seed), 1)
    with fast.allowed(False):
        theirs = _run(case, (mu, logvar, seed), 1)
    _assert_same(ours, theirs)


# --- when it is taken -----------------------------------------------------------------------------

X = torch.rand(3, 4)


def _attempt(*args: Any) -> Any:
    return table.BERNOULLI.attempt(*args)


def test_regular_calls_take_it() -> None:
    logits = torch.randn(3, 4)
    for tensor in (logits, torch.nn.Parameter(logits), logits.t().contiguous().t(), logits.half()):
        assert _attempt(tensor, X, None, 1, "unit") is not None
    with torch.no_grad(), torch.inference_mode():
        assert _attempt(logits, X, None, 1, "unit") is not None
    assert table.REPARAMETERIZE.attempt(logits, X, None, 1, "log_std") is not None
    assert table.GAUSSIAN.attempt(logits, 0.5, X, None, 1, "logvar", "unit") is not None


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
    "a mask": lambda t: (t, X, X > 0.5, 1),
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


def test_irregular_attributes_are_left_alone() -> None:
    mu = torch.randn(3, 4)
    assert table.STANDARD_KL.attempt(mu, mu, None, 1, "variance") is None
    assert table.STANDARD_KL.attempt(mu, mu, None, 1, None) is None
    assert table.GAUSSIAN.attempt(mu, 0.0, mu, None, 1, "logvar", "signed") is None
    assert table.GAUSSIAN.attempt(mu, True, mu, None, 1, "logvar", "unit") is None
    assert table.GAUSSIAN.attempt(mu, 0.0, mu.byte(), None, 1, "logvar", "unit") is None
    wide = torch.zeros((), dtype=torch.float64)
    assert table.STUDENT_T.attempt(mu, wide, 0.1, mu, None, 1, "unit") is None


def test_levels_with_a_gradient_are_left_alone() -> None:
    loc, x = torch.randn(3, 4), torch.rand(3, 4, requires_grad=True)
    assert table.DISCRETIZED_LOGISTIC.attempt(loc, 0.0, x, None, 1) is None


def test_no_seed_is_drawn_for_what_is_irregular() -> None:
    mu, state = torch.randn(3, 4), torch.get_rng_state()
    assert table.REPARAMETERIZE.attempt(mu, mu[:2], None, 1, "logvar") is None
    assert torch.equal(torch.get_rng_state(), state)


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


def test_create_graph_and_retain_graph() -> None:
    mu = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    logvar = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda m, v: vk.gaussian_kl(m, v), (mu, logvar))
    kl = vk.gaussian_kl(mu, logvar).sum()
    first = torch.autograd.grad(kl, [mu, logvar], retain_graph=True)
    second = torch.autograd.grad(kl, [mu, logvar])
    _assert_same(first, second)


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


# --- memory and threads ---------------------------------------------------------------------------


@pytest.fixture
def step() -> Iterator[Callable[[], None]]:
    mu = torch.randn(2, 4, requires_grad=True)
    logvar, logits = torch.zeros(2, 4, requires_grad=True), torch.randn(2, 8, requires_grad=True)
    x, leaves = torch.rand(2, 8), (mu, logvar, logits)
    counts = [sys.getrefcount(leaf) for leaf in leaves]

    def run() -> None:
        z = vk.reparameterize(mu, logvar)
        loss = vk.elbo_loss(logits, x, mu, logvar)
        kl = vk.gaussian_kl(mu, logvar, 0.1, 0.2).sum()
        ll = vk.gaussian_log_likelihood(logits, x, -0.3).sum()
        torch.autograd.grad([loss, z, kl, ll], leaves, [None, z, None, None])
        with torch.no_grad():
            vk.sample_with_kl(mu, logvar)
            _attempt(logits, x[:1], None, 1, "unit")

    yield run
    gc.collect()
    assert [sys.getrefcount(leaf) for leaf in leaves] == counts


def _resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_leaks(step: Callable[[], None]) -> None:
    for _ in range(500):
        step()
    gc.collect()
    # What leaks does so in every series; what other threads of the process allocate does not.
    objects, blocks, memory = map(min, zip(*(_growth(step) for _ in range(3)), strict=True))
    assert objects < 16
    assert blocks < 160
    assert memory < 640  # KiB; a tensor of each call would be MiB


def _growth(step: Callable[[], None]) -> tuple[int, int, int]:
    """How many objects, blocks of memory and KiB 1000 steps leave behind."""
    before = len(gc.get_objects()), sys.getallocatedblocks(), _resident_kib()
    for _ in range(1000):
        step()
    gc.collect()
    after = len(gc.get_objects()), sys.getallocatedblocks(), _resident_kib()
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def test_threads(step: Callable[[], None]) -> None:
    mu, logvar = torch.randn(64, 1024), torch.randn(64, 1024)
    seed = torch.tensor([5, 6])
    want = vk.reparameterize(mu, logvar, seed=seed)
    wrong: list[BaseException | int] = []

    def work() -> None:
        try:
            for _ in range(50):
                step()
                if not torch.equal(vk.reparameterize(mu, logvar, seed=seed), want):
                    wrong.append(1)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
