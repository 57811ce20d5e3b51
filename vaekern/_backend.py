"""Which implementation runs: the best for the tensors' device, unless one is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from vaekern import _native

BACKENDS = ("reference", "cpu", "cuda", "triton")

_forced: str | None = None


def unavailable(name: str) -> str | None:
    """Why a backend cannot be used, None if it can."""
    if name == "reference":
        return None
    if name == "cpu":
        return _native.why_missing or None
    return "not part of this version"


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Runs every operation inside on one backend: ``"reference"`` (plain torch, any device),
    ``"cpu"``, ``"cuda"`` or ``"triton"``. The default is the best for the tensors' device.

    Process-wide, like ``torch.backends`` flags. Backwards run where their forward did.

    Raises:
        ValueError: the name is unknown.
        RuntimeError: the backend is not available; the message says why.
    """
    global _forced
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {BACKENDS}, got {name!r}")
    why = unavailable(name)
    if why is not None:
        raise RuntimeError(f"backend {name!r} is not available: {why}")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def backend_for(device_type: str) -> str:
    """The backend that runs operations on tensors of a device."""
    if _forced is None:
        return "cpu" if device_type in ("cpu", "meta") and _native.core is not None else "reference"
    if _forced == "cpu" and device_type not in ("cpu", "meta"):
        raise RuntimeError(f"backend 'cpu' was asked for, but the tensors are on {device_type!r}")
    return _forced
