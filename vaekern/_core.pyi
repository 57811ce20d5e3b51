"""The compiled kernels, from ``csrc/bindings.cpp``. ``_backends/native.py`` alone loads them.

Instruction sets go by the names that the build gives them, ``"x86_64_v3"`` for one.
"""

from collections.abc import Callable, Sequence
from typing import Any

#: Whether the kernels use OpenMP; without it they run on one thread.
openmp: bool

def run(
    kernel: int,
    factor: float,
    in_double: bool,
    shape: Sequence[int],
    row_dims: int,
    inputs: tuple[object, ...],
    outputs: tuple[object, ...],
    threads: int,
    /,
) -> None:
    """Runs a kernel over all elements of ``shape``, whose first ``row_dims`` dimensions are rows.
    Where its scale is ``"log"``, log-variances are ``factor`` times what it reads.

    Each input is ``(address, dtype, strides or None if contiguous)``, ``(address of int64[2],)``
    for noise, or a float; each output ``(kind, address, dtype, how many numbers, strides over the
    row dimensions or None)``, or None to discard it.
    """

def run_mixture(
    in_double: bool,
    shape: Sequence[int],
    params: tuple[int, int],
    x: tuple[int, int],
    upstream: tuple[int, int] | None,
    out: tuple[int, int],
    threads: int,
    /,
) -> None:
    """Log-likelihoods of mixtures of ``shape`` (datapoints, components, pixels) or, given the
    gradients of those, gradients of ``params``: see ``csrc/mixture.h``. Contiguous tensors, each
    ``(address, dtype)``."""

#: What is known of the CUDA kernels, None if they were not compiled: "version" (of CUDA's runtime,
#: 13000 for 13.0) and "architectures" (as the compiler was given them).
cuda: dict[str, Any] | None

def why_unusable_cuda(device: int, in_earnest: bool, /) -> str:
    """Why the CUDA kernels cannot run on a device, empty if they can. In earnest, a kernel is
    loaded to be sure, which makes a context on the device; else the versions of the driver and of
    the device are compared with what was compiled."""

def run_cuda(
    kernel: int,
    factor: float,
    in_double: bool,
    shape: Sequence[int],
    row_dims: int,
    inputs: tuple[object, ...],
    outputs: tuple[object, ...],
    device: int,
    stream: int,
    allocate: Callable[[int], int],
    /,
) -> None:
    """:func:`run` on a GPU, with addresses in its memory: enqueued on a stream, not awaited.

    ``allocate(bytes)`` gives the address of memory for partial sums, which whatever comes later on
    the stream may reuse; it is called at most once. Of the inputs, only the last can be noise.
    """

def run_softmax(
    kernel: int,
    in_double: bool,
    shape: Sequence[int],
    unimix: float,
    inputs: tuple[object, ...],
    outputs: tuple[object, ...],
    threads: int,
    /,
) -> None:
    """A kernel over whole rows of logits: see ``csrc/softmax.h``. ``shape`` is (rows, classes, rows
    of a sum). Contiguous tensors, each ``(address, dtype, rows)``, or None: ``inputs`` are logits,
    other rows, upstream gradients, those for other rows, a mask, noise, its seed and temperatures,
    ``outputs`` two with rows and one with sums."""

def run_softmax_cuda(
    kernel: int,
    in_double: bool,
    shape: Sequence[int],
    unimix: float,
    inputs: tuple[object, ...],
    outputs: tuple[object, ...],
    device: int,
    stream: int,
    allocate: Callable[[int], int],
    /,
) -> None:
    """:func:`run_softmax` on a GPU, as :func:`run_cuda`."""

def run_mixture_cuda(
    in_double: bool,
    shape: Sequence[int],
    params: tuple[int, int],
    x: tuple[int, int],
    upstream: tuple[int, int] | None,
    out: tuple[int, int],
    device: int,
    stream: int,
    allocate: Callable[[int], int],
    /,
) -> None:
    """:func:`run_mixture` on a GPU, as :func:`run_cuda`."""

def scale_cuda(
    tensors: tuple[object, ...], factor: tuple[object, ...], device: int, stream: int, /
) -> None:
    """Multiplies tensors on a GPU, in place, by one number, each ``(address, dtype, how many
    numbers)``: enqueued on a stream. Where the number is 1, the tensors are not touched."""

def kernels() -> list[tuple[str, str, str, int, int]]:
    """By kernel number: operation, scale (``"log"``, ``"std"`` or, without deviations,
    ``""``), variant, how many inputs and outputs."""

def isa() -> str:
    """The instruction set whose kernels run."""

def usable_isas() -> list[str]:
    """Those compiled in that this machine can run, best first."""

def use_isa(name: str, /) -> None:
    """Chooses one of :func:`usable_isas`."""

def philox_words(first: int, counters: int, seed: int, stream: int, /) -> list[int]:
    """The noise generator's four words of each of ``counters`` counters from ``first`` on."""

def pooled(shape: Sequence[int], dtype: int, /) -> object:
    """A floating-point tensor on memory from the pool of large blocks, as a DLPack capsule: the
    memory goes back when the tensor is gone."""

def keep_at_most(bytes: int, /) -> None:
    """How much returned memory the pool keeps for reuse; what is beyond is freed at once."""

def kept() -> int:
    """How many bytes the pool keeps at the moment."""

def use_torch(
    exchange_api: object,
    tensor: type,
    parameter: type,
    generator: type,
    watchers: tuple[Callable[[], object], ...],
    forward_ad: object,
    is_grad_enabled: Callable[[], bool],
    is_neg: Callable[..., bool],
    threads_for: Callable[[int], int],
    bytes: object,
    keeps_graph: Callable[[], bool],
    /,
) -> bool:
    """Hands over what the fast path asks torch for, once. Whether there is one: whether the capsule
    holds a table of functions that is known here. It is then allowed."""

def allow_fast_path(on_cpu: bool, on_gpu: bool, emulation: object, /) -> tuple[bool, bool, object]:
    """Whether calls on the CPU and on GPUs may take it, and what runs those on the CPU in its
    kernels' place, as if it were a GPU: None, or the ``cuda_runners`` of the tests' emulation. What
    it was before."""

def use_gpu(device: int, /) -> None:
    """Opens the fast path to a GPU, on which the kernels are known to run."""

def stored_gradients(
    upstream: tuple[object, ...],
    saved: tuple[object, ...],
    needs: tuple[bool, ...],
    details: tuple[object, ...],
    /,
) -> tuple[object, ...] | None:
    """See ``csrc/exchange/stored_gradients.h``."""

def node_forward(ctx: object, made: object, /, *tensors: object) -> object:
    """The forward of a node of the autograd graph: see ``csrc/exchange/node.h``."""

def kernel_of(op: object, at: int, otherwise: Callable[..., object], /) -> Callable[..., object]:
    """A function that asks ``op.fast[at]`` first, where gradients are off, and ``otherwise``."""

def node_backward(otherwise: Callable[..., object], /) -> Callable[..., object]:
    """The method that runs such a node's backward, or hands it to ``otherwise``."""

def functions_of_plan(
    op: object,
    apply: Callable[..., object],
    draw: tuple[Any, ...],
    told: Callable[..., tuple[float, ...]],
    takes: Sequence[str],
    n_inputs: int,
    by_datapoint: Sequence[bool],
    vjp_inputs: Sequence[int],
    maskable: bool,
    uint8_range: str | None,
    kernels: dict[str, tuple[int, int, int, float]],
    /,
) -> tuple[Callable[..., Any], ...]:
    """``attempt``, ``value``, ``vjp``, ``backward``, ``both`` and ``partials`` of an operation: see
    ``csrc/exchange/call.h``. ``kernels`` has, by scale, the numbers of ``value``, ``vjp`` and
    ``value_and_vjp``, -1 where there is none, and the factor that launches hand them."""

def functions_of_rows(
    op: object,
    apply: Callable[..., object],
    of_counts: bool,
    value: int,
    vjp: int,
    sum: int,
    /,
) -> tuple[Callable[..., Any], ...]:
    """``attempt``, ``value``, ``vjp`` and ``backward`` of an operation of rows, whose kernels have
    these numbers: see ``csrc/exchange/rows.h``."""

def functions_of_mixture(
    op: object, apply: Callable[..., object], planes: int, /
) -> tuple[Callable[..., Any], ...]:
    """The same of mixtures, with so many planes for a component: see
    ``csrc/exchange/mixture.h``."""

def functions_of_softmax(
    op: object,
    apply: Callable[..., object],
    draw: tuple[Any, ...],
    kind: str,
    /,
) -> tuple[Callable[..., Any], ...]:
    """The same of operations over rows of logits: see ``csrc/exchange/softmax.h``."""

def function_of_loss(
    likelihood: Callable[..., Any],
    divergence: Callable[..., Any],
    owner: object,
    apply: Callable[..., object],
    results: Callable[..., object],
    backward: Callable[..., object],
    /,
) -> Callable[..., Any]:
    """``attempt`` of a loss, of a function of each of its two operations: see
    ``csrc/exchange/one_pass.h``."""
