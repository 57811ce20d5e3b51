"""The switch of checks of values, as ``torch.distributions`` has; ``_values.py`` has them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_OFF = ("", "0", "false", "off", "no")

#: Read by all that may check. Whoever does waits for the device.
enabled = os.environ.get("VAEKERN_VALIDATE", "").lower() not in _OFF


@contextlib.contextmanager
def validate(enable: bool = True) -> Iterator[None]:
    """Checks the values of all arguments inside: targets outside of the support, negative or
    fractional counts, NaN, and what looks like another thing, as probabilities handed over as
    logits or standard deviations as log-variances. Errors name the argument, the place and the
    likely mistake.

    Each check waits for the device and reads the tensors once more: meant for the first steps of a
    training, or to look for a fault. Off, which is the default, it costs nothing. The environment
    variable ``VAEKERN_VALIDATE=1`` switches it on for a whole process. Process-wide, like
    :func:`vaekern.backend`. Compiled code and ``torch.func`` transforms are not checked, for they
    have no values, and what a mask leaves out is not looked at.

    Args:
        enable: False for no checks inside.

    Raises:
        ValueError: from the functions inside, of an argument's values.
    """
    global enabled
    before, enabled = enabled, bool(enable)
    try:
        yield
    finally:
        enabled = before
