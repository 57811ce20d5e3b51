"""The public functions: densities, divergences and samples, one fused kernel each way.

Conventions, shared by all of them:

- Values are in nats, one per datapoint: sums over the event dimensions. ``batch_dims`` says how
  many leading dimensions index datapoints (default 1); all others are event dimensions.
- dtypes float32, float64, bfloat16, float16, and mixtures. The arithmetic is float32 (float64 as
  soon as a float64 tensor takes part); per-datapoint values have that dtype, samples and gradients
  the dtype of the inputs.
- ``scale`` says what the arguments called ``logvar`` hold, whatever their name says: the
  log-variance ``"logvar"``, the log standard deviation ``"log_std"`` or the deviation ``"std"``.
- ``mask`` says which elements count. Weights of datapoints need no argument: multiply the values.
- Nothing is clamped unless ``logvar_clamp=(low, high)`` asks for it: then log-variances are, with
  gradient 0 outside and 1 on the edges, like ``torch.clamp``.
- Shapes must agree: only parameters documented to do so broadcast.
"""

from __future__ import annotations

from vaekern.functional import (
    bernoulli,
    categoricals,
    classes,
    counts,
    gaussian,
    images,
    locations,
)
from vaekern.functional.bernoulli import *
from vaekern.functional.categoricals import *
from vaekern.functional.classes import *
from vaekern.functional.counts import *
from vaekern.functional.gaussian import *
from vaekern.functional.images import *
from vaekern.functional.locations import *

__all__: list[str] = []
__all__ += bernoulli.__all__
__all__ += categoricals.__all__
__all__ += classes.__all__
__all__ += counts.__all__
__all__ += gaussian.__all__
__all__ += images.__all__
__all__ += locations.__all__
