"""From an encoder's raw numbers to standard deviations and Cholesky factors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import check_float
from vaekern._torch import shape_to_compare

_DIAGONALS = ("exp", "softplus")


def positive(raw: Tensor, through: str = "softplus", floor: float = 0.0) -> Tensor:
    r"""Positive numbers of any: e^raw or log(1 + e^raw), plus a floor.

    Args:
        raw: any shape. Gets gradients.
        through: ``"exp"`` or ``"softplus"``.
        floor: what is added.

    Returns:
        The shape of ``raw``; float32 for half precision, which has few digits near 1.

    Raises:
        ValueError: ``through`` is unknown or ``floor`` is negative.
        TypeError: ``raw`` is no floating-point tensor.
    """
    check_float("raw", raw)
    if through not in _DIAGONALS:
        raise ValueError(f"through: expected one of {_DIAGONALS}, got {through!r}")
    if not floor >= 0.0:
        raise ValueError(f"floor: expected a number that is not negative, got {floor}")
    wide = raw.to(accumulation_dtype((raw,)))
    # torch's softplus is the identity from 20 on, which float64 can tell from the right answer.
    value = wide.exp() if through == "exp" else -logsigmoid(-wide)
    return value + floor


def tril_from_matrix(raw: Tensor, diagonal: str = "softplus", floor: float = 0.0) -> Tensor:
    """A Cholesky factor of an encoder's matrices: their lower triangles, with diagonals made
    positive.

    Args:
        raw: [..., D, D]; what is above the diagonal is not read. Gets gradients.
        diagonal: how the diagonal is made positive: ``"exp"`` or ``"softplus"``.
        floor: what is added to the diagonal.

    Returns:
        L [..., D, D]; float32 for half precision.

    Raises:
        ValueError: the matrices are not square, ``diagonal`` is unknown or ``floor`` is negative.
        TypeError: ``raw`` is no floating-point tensor.
    """
    check_float("raw", raw)
    if raw.dim() < 2 or shape_to_compare(raw)[-1] != shape_to_compare(raw)[-2]:
        raise ValueError(f"raw: expected square matrices [..., D, D], got {tuple(raw.shape)}")
    on_diagonal = positive(raw.diagonal(dim1=-2, dim2=-1), diagonal, floor)
    return torch.tril(raw.to(on_diagonal.dtype), -1) + torch.diag_embed(on_diagonal)


def tril_from_packed(raw: Tensor, diagonal: str = "softplus", floor: float = 0.0) -> Tensor:
    """A Cholesky factor of an encoder's D (D + 1) / 2 numbers, row after row of the lower triangle
    (as ``torch.tril_indices`` has them), with diagonals made positive.

    Args:
        raw: [..., D (D + 1) / 2]. Gets gradients.
        diagonal, floor: as in :func:`tril_from_matrix`.

    Returns:
        L [..., D, D]; float32 for half precision.

    Raises:
        ValueError: no D fits, ``diagonal`` is unknown or ``floor`` is negative.
        TypeError: ``raw`` is no floating-point tensor.
    """
    check_float("raw", raw)
    n = raw.shape[-1] if raw.dim() else 0
    d = (math.isqrt(8 * n + 1) - 1) // 2
    if n == 0 or d * (d + 1) // 2 != n:
        raise ValueError(f"raw: expected [..., D (D + 1) / 2], got {tuple(raw.shape)}")
    rows, columns = torch.tril_indices(d, d, device=raw.device)
    place = rows.new_zeros(d, d).index_put((rows, columns), torch.arange(n, device=raw.device))
    matrix = raw[..., place.flatten()].unflatten(-1, (d, d))
    return tril_from_matrix(matrix, diagonal, floor)
