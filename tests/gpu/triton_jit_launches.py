"""What ``triton_jit.py`` compiles: the cases of ``cases.py``, forwards and backwards, in the dtypes
and shapes that Triton specialises differently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from operations.case import Case, Layout, Shape
from operations.every import CASES
from raw_launch import LOG_SUM_EXP
from torch import Tensor

import vaekern as vk
from vaekern import _core
from vaekern._backends import native
from vaekern._backends.launch import Kernel, LogSumExp, Noise, PerDatapoint, Result, Source, launch
from vaekern._backends.triton import BACKEND

if TYPE_CHECKING:
    from triton_jit import Real


def _misaligned(t: Tensor) -> Tensor:
    """One element beyond an aligned address."""
    return t.new_zeros(t.numel() + 1)[1:].view(t.shape).copy_(t)


def _transposed(t: Tensor) -> Tensor:
    return t.transpose(0, -1).contiguous().transpose(0, -1)


#: Shapes with their number of batch dimensions, and where the tensors lie.
SHAPES: dict[str, tuple[Shape, int, Layout | None]] = {
    "rows": ((3, 784), 1, None),
    "not_by_16": ((3, 45), 1, None),
    "column": ((5, 1), 1, None),
    "vector": ((7,), 1, None),
    "one_element": ((1,), 1, None),
    "misaligned": ((3, 784), 1, _misaligned),
    "transposed": ((6, 32), 1, _transposed),
    "image": ((2, 3, 4, 8), 1, None),
    "long_rows": ((2, 40_009), 1, None),
    "many_rows": ((4500, 4), 1, None),
}

DTYPES: dict[str, torch.dtype | tuple[torch.dtype, ...]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
    "mixed": (torch.bfloat16, torch.float32),
}

_BY_LABEL = {case.label: case for case in CASES}


def case(real: Real, label: str, shape: str, dtype: str) -> None:
    """The results of a case, and its gradients."""
    _run(_BY_LABEL[label], *SHAPES[shape], DTYPES[dtype])


def _run(case: Case, shape: Shape, batch_dims: int, layout: Layout | None, dtype: Any) -> None:
    made = case.make(shape, dtype, batch_dims, layout=layout)
    inputs = [t.requires_grad_(t.is_floating_point()) for t in made]
    results = case(*inputs, batch_dims=batch_dims)
    upstream = [torch.ones(r.shape, dtype=r.dtype) for r in results]
    wanted = [t for t in inputs if t.requires_grad]
    torch.autograd.grad(results, wanted, upstream, allow_unused=True)


# --- launches of kernels as they are listed -------------------------------------------------------

#: Beyond 2^31 elements, in rows of which many make a column's sum or few make long ones.
WIDE: dict[str, Shape] = {"long": (3, 2**30 + 8), "many": (2**24 + 1, 256)}


def wide(real: Real, op: str, scale: str, variant: str, shape: str, dtype: str) -> None:
    """A kernel of the list on tensors without memory."""
    launch(
        BACKEND,
        (op, scale, variant),
        torch.Size(WIDE[shape]),
        1,
        *_operands((op, scale, variant), WIDE[shape], DTYPES[dtype]),
    )


def instructions(real: Real, op: str, scale: str, variant: str, dtype: str) -> None:
    """A kernel of the list on dense tensors of ordinary size."""
    shape = (512, 3136)
    operands = _operands((op, scale, variant), shape, DTYPES[dtype])
    launch(BACKEND, (op, scale, variant), torch.Size(shape), 1, *operands)


def _operands(kernel: Kernel, shape: Shape, dtype: Any) -> tuple[list[Source], list[Result]]:
    """Inputs and results as a training step has them: of a vjp, the last gradient is summed over
    the rows."""
    op, _, variant = kernel
    *_, n_inputs, n_outputs = _core.kernels()[native.KERNELS[kernel][0]]
    numbers = torch.empty(shape, dtype=dtype, device="meta")
    per_row = PerDatapoint(torch.empty(shape[:1], dtype=torch.float32, device="meta"))
    inputs: list[Source] = [numbers] * n_inputs
    if op.startswith(("reparameterize", "sample")):
        inputs[-1] = Noise(torch.empty(2, dtype=torch.int64, device="meta"))
    outputs: list[Result] = [numbers] * (n_outputs - 1) + [numbers[0]]
    if variant == "value_and_vjp":
        inputs[0], outputs[0] = -0.5, per_row
    elif variant == "vjp":
        inputs[0] = numbers if op == "reparameterize" else per_row
    else:
        outputs = [per_row] * n_outputs
        if op.startswith(("reparameterize", "sample")):
            outputs[0] = numbers
        if kernel in LOG_SUM_EXP:
            outputs[LOG_SUM_EXP[kernel]] = LogSumExp(per_row.tensor)
    return inputs, outputs


def mixture(real: Real, dtype: str, x_dtype: str, batch: int, components: int, pixels: int) -> None:
    """Their value and gradients."""
    params = torch.zeros(batch, 10 * components, pixels, dtype=DTYPES[dtype], requires_grad=True)
    x = torch.zeros(batch, 3, pixels, dtype=getattr(torch, x_dtype))
    vk.logistic_mixture_log_likelihood(params, x).sum().backward()


def scale(real: Real, dtype: str, n: int) -> None:
    """The upstream gradient's factor."""
    tensor = torch.empty(n, dtype=DTYPES[dtype], device="meta" if n > 2**31 else "cpu")
    BACKEND.scale([tensor], torch.empty((), device=tensor.device))


def expect_shapes(real: Real, shapes: list[str], dtypes: list[str]) -> None:
    """That these are all that there are."""
    assert shapes == list(SHAPES)
    assert dtypes == list(DTYPES)


# --- training -------------------------------------------------------------------------------------


def training(real: Real, pixels: int, latents: int, sizes: list[int]) -> None:
    """Steps with batches of these sizes."""
    decoder = torch.nn.Linear(latents, pixels)
    encoder = torch.nn.Linear(pixels, 2 * latents)
    spread = torch.zeros(pixels, requires_grad=True)
    for size in sizes:
        x = torch.rand(size, pixels)
        mu, logvar = encoder(x).chunk(2, dim=-1)
        z, kl = vk.sample_with_kl(mu, logvar)
        logits = decoder(z)
        likelihood = vk.gaussian_log_likelihood(logits, x, spread)
        loss = vk.elbo_loss(logits, x, mu, logvar) + (kl - likelihood).mean()
        loss = loss + decoder(vk.reparameterize(mu, logvar)).sum()
        loss.backward()
