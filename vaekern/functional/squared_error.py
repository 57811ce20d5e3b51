"""Squares of differences from the Gaussian kernel."""

from __future__ import annotations

import math

from torch import Tensor

from vaekern.functional import gaussian_log_likelihood

#: With this log-variance a Gaussian log-density has no constant: it is -pi (x - mean)^2.
_UNNORMALISED = -math.log(2.0 * math.pi)


def squared_error(
    mean: Tensor, x: Tensor, batch_dims: int, mask: Tensor | None = None, *, factor: float = 1.0
) -> Tensor:
    """The sum of (x - mean)^2, per datapoint, of what a mask says counts, times a factor. Nothing
    of full size is stored, and bytes are read as intensities."""
    log_density = gaussian_log_likelihood(mean, x, _UNNORMALISED, mask=mask, batch_dims=batch_dims)
    return log_density * (-factor / math.pi)
