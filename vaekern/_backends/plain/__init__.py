"""The operations in plain torch, one function per row of the table in ``_ops/table.py``.

This is the oracle of every test, the fallback where nothing is compiled, and what second
derivatives are taken of. It is written for clarity and for the same limits as the kernels:
cancellation-free near 0, infinities give the limit, NaN propagates, half precision is computed in
float32. Tensors broadcast to the first one's shape from the right; results are per element or,
summed over all but the leading ``batch_dims`` dimensions, per datapoint.
"""

from __future__ import annotations

from vaekern._backends.plain import (
    bernoulli,
    categoricals,
    classes,
    counts,
    elements,
    locations,
    mixtures,
    noise,
    posteriors,
    scales,
)
from vaekern._backends.plain.bernoulli import *
from vaekern._backends.plain.categoricals import *
from vaekern._backends.plain.classes import *
from vaekern._backends.plain.counts import *
from vaekern._backends.plain.elements import *
from vaekern._backends.plain.locations import *
from vaekern._backends.plain.mixtures import *
from vaekern._backends.plain.noise import *
from vaekern._backends.plain.posteriors import *
from vaekern._backends.plain.scales import *

__all__: list[str] = []
__all__ += bernoulli.__all__
__all__ += categoricals.__all__
__all__ += classes.__all__
__all__ += counts.__all__
__all__ += elements.__all__
__all__ += locations.__all__
__all__ += mixtures.__all__
__all__ += noise.__all__
__all__ += posteriors.__all__
__all__ += scales.__all__
