"""The private torch names in ``vaekern._torch`` exist and mean what the package takes them for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import Function, forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from vaekern import _torch
from vaekern._backends import native


def test_below_autograd_hides_requires_grad() -> None:
    x = torch.ones(2, requires_grad=True)
    with _torch.below_autograd():
        assert not (2 * x).requires_grad
    assert (2 * x).requires_grad


def test_transforms_active() -> None:
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(_torch.transforms_active())
        return x.sum()

    x = torch.ones(3)
    function(x)
    torch.func.grad(function)(x)
    torch.func.vmap(function)(torch.ones(2, 3))
    function(x)
    assert seen == [False, True, True, False]


def test_forward_mode_active() -> None:
    assert not _torch.forward_mode_active()
    with forward_ad.dual_level():
        assert _torch.forward_mode_active()
    assert not _torch.forward_mode_active()


def test_dispatch_modes_active() -> None:
    assert not _torch.dispatch_modes_active()
    with FakeTensorMode():
        assert _torch.dispatch_modes_active()
    assert not _torch.dispatch_modes_active()


def test_stands_for_many() -> None:
    x, weights = (
        torch.ones(2, requires_grad=True),
        torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
    )
    seen = []

    def tripled(gradient: Tensor) -> Tensor:
        seen.append(_torch.stands_for_many(gradient))
        unmapped = torch.tensor([3.0, 1.0])
        own = _torch.by_new_vmap(lambda g, none, u: [g * u], [gradient, None, unmapped])
        return own[0]

    y = 1.0 * x
    y.register_hook(tripled)
    (many,) = torch.autograd.grad(y, [x], weights, is_grads_batched=True)
    assert torch.equal(many, weights * torch.tensor([3.0, 1.0]))
    assert seen == [True]
    assert not any(map(_torch.stands_for_many, (x, None, weights[0])))
    torch.func.vmap(lambda each: seen.append(_torch.stands_for_many(each)) or each)(weights)
    assert seen == [True, False]


def test_functions_watched() -> None:
    x = torch.ones(2)
    assert not _torch.functions_watched((x, None, "std", [True], 1))
    assert _torch.functions_watched((1, x.as_subclass(type("Own", (Tensor,), {}))))
    with torch.device("cpu"):
        assert _torch.functions_watched((x,))
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(_torch.functions_watched((x,)))
        return 2 * x

    torch.jit.trace(function, x, check_trace=False)
    make_fx(function, pre_dispatch=True)(x)
    assert seen == [True, True]
    assert not _torch.functions_watched((x,))


def test_shape_to_compare() -> None:
    seen = []

    def function(x: Tensor) -> Tensor:
        shape = _torch.shape_to_compare(x)
        seen.append((shape, [type(size) for size in shape], type(x.shape[0])))
        return x.expand(3, *x.shape)

    traced = torch.jit.trace(function, torch.ones(2), check_trace=False)
    assert seen == [((2,), [int], Tensor)]
    assert traced(torch.ones(5)).shape == (3, 5)
    assert _torch.shape_to_compare(torch.ones(4, 5)) == (4, 5)


def test_autocast_enabled() -> None:
    x, meta = torch.ones(2), torch.ones(2, device="meta")
    assert not _torch.autocast_enabled(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert _torch.autocast_enabled(x)
        assert not _torch.autocast_enabled(meta)
    assert not _torch.autocast_enabled(x)


def test_replace_backward() -> None:
    class _Twice(Function):
        @staticmethod
        def forward(ctx, x, unused):
            # What save_for_backward and set_materialize_grads set: the extension does, too.
            ctx.to_save, ctx.materialize_grads = (x, None), False
            return 2.0 * x, 3.0 * x

        @staticmethod
        def backward(ctx, first, second):
            assert second is None
            saved, nothing = ctx.saved_tensors
            assert nothing is None
            assert ctx.needs_input_grad == (True, False)
            return first * saved, None

    asked: list[int] = []

    def by(otherwise):
        def apply(ctx, *gradients):
            asked.append(len(gradients))
            return otherwise(ctx, *gradients)

        return apply

    _torch.replace_backward(_Twice, by)
    x = torch.tensor([3.0], requires_grad=True)
    first, _ = _Twice.apply(x, None)
    assert torch.autograd.grad(first.sum(), x)[0].item() == 3.0
    assert asked == [2]


def test_compiled_into_graph() -> None:
    """Where torch says so: while the compiler records what dynamo has traced, and only then."""
    seen: list[bool] = []

    class Probe(Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            seen.append(_torch.compiled_into_graph())
            return x.clone()

        @staticmethod
        def backward(ctx: object, g: Tensor) -> Tensor:
            return g.clone()

    library = torch.library.Library("vaekern_compat", "FRAGMENT")
    library.define("probe(Tensor x) -> Tensor")
    library.impl("probe", Probe.apply, "Autograd")
    library.impl("probe", torch.clone, "CPU")
    torch.library.register_fake("vaekern_compat::probe", torch.empty_like, lib=library)
    x = torch.ones(2, requires_grad=True)
    make_fx(torch.ops.vaekern_compat.probe)(x)
    torch.ops.vaekern_compat.probe(x)
    assert not any(seen)
    torch.compile(torch.ops.vaekern_compat.probe.default, backend="aot_eager")(x)
    assert seen[-1] == hasattr(torch.compiler, "_compile_session_context")
    torch.ops.vaekern_compat.probe(x)
    assert not seen[-1]


def test_call_by() -> None:
    library = torch.library.Library("vaekern_compat", "FRAGMENT")
    library.define("called(Tensor x, *, int times=1) -> Tensor")
    library.impl("called", lambda x, times=1: times * x, "CPU")
    op = torch.ops.vaekern_compat.called.default
    asked: list[int] = []

    def by(otherwise):
        def call(*args, **keywords):
            asked.append(len(args))
            return otherwise(*args, **keywords)

        return call

    _torch.call_by(op, by)
    assert op(torch.tensor(2.0), times=3).item() == 6.0
    assert torch.ops.vaekern_compat.called.default(torch.tensor(2.0)).item() == 2.0
    assert asked == [1, 1]


def test_process_groups() -> None:
    assert _torch.process_groups.default_pg is None
    if not torch.distributed.is_available():
        return
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert _torch.process_groups.default_pg is not None
    finally:
        torch.distributed.destroy_process_group()
    assert _torch.process_groups.default_pg is None


def test_backward_keeps_graph() -> None:
    seen = []

    class Probe(Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, g: Tensor) -> Tensor:
            seen.append(_torch.backward_keeps_graph())
            return g

    loss = Probe.apply(torch.ones(2, requires_grad=True)).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert seen == [True, False]


def test_from_dlpack() -> None:
    assert native.core is not None
    tensor = _torch.from_dlpack(native.core.pooled((3, 5), 2))
    assert (tensor.shape, tensor.dtype) == ((3, 5), torch.bfloat16)
    assert tensor.is_contiguous()
    assert tensor.untyped_storage().nbytes() == 30


def test_constant_when_compiled() -> None:
    calls = []

    @_torch.constant_when_compiled
    def untraceable(x: int) -> str:
        calls.append(x)
        return "".join(map(chr, range(x, x + 3)))

    def shifted(x: Tensor) -> Tensor:
        return x + 1 if untraceable(97) == "abc" else x

    compiled = torch.compile(shifted, fullgraph=True, backend="eager")
    assert [compiled(torch.zeros(1)).item() for _ in range(2)] == [1.0, 1.0]
    assert calls == [97]

    def untouched(x: int) -> str:
        return ""

    assert vars(torch.compiler.assume_constant_result(untouched)) == vars(untraceable)


def test_current_cuda_stream() -> None:
    """Only where there is a GPU: builds without CUDA lack the function."""
    assert _torch.current_cuda_stream is not None
    if torch.cuda.is_available():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            assert _torch.current_cuda_stream(stream.device_index) == stream.cuda_stream


def test_register_pytree() -> None:
    class Pair:
        def __init__(self, a: object, b: object) -> None:
            self.a, self.b = a, b

    _torch.register_pytree(
        Pair,
        lambda pair: ([pair.a], ("b", pair.b)),
        lambda values, rest: Pair(*values, rest[1]),
        name="tests.Pair",
        keys=lambda _: ["a"],
    )
    ((path, leaf),), spec = _torch.pytree.tree_flatten_with_path(Pair(1, (2, 3)))
    assert (leaf, _torch.pytree.keystr(path)) == (1, ".a")
    stored = _torch.pytree.treespec_dumps(spec)
    again = _torch.pytree.tree_unflatten([5], _torch.pytree.treespec_loads(stored))
    assert (type(again), again.a, again.b) == (Pair, 5, (2, 3))
