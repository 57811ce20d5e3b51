"""The Triton backend: ``csrc/math`` and ``csrc/core`` once more, as Triton functions, and the loops
around them. Imported on first use, because importing Triton takes time and not everybody has it.

With ``TRITON_INTERPRET=1`` in the environment when this is imported, Triton's interpreter runs the
kernels on CPU tensors, slowly: for tests.
"""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

try:
    import triton
except ImportError as error:
    raise ImportError("backend 'triton' needs Triton: pip install 'triton>=3.4'") from error

if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 4):
    raise ImportError(
        f"backend 'triton' needs Triton 3.4 or later, for tuples of arguments; this is "
        f"{triton.__version__}. It comes with torch 2.8 and later"
    )

from vaekern._backends.launch import Backend, empty_contiguous
from vaekern._backends.triton.launch import run, scale
from vaekern._backends.triton.mixture import mixture
from vaekern._backends.triton.softmax import softmax

BACKEND = Backend(run, empty_contiguous, scale, mixture, softmax)
