"""Warnings of what the originals do and their callers may not expect."""

from __future__ import annotations

import warnings

import torch

_said: set[str] = set()


def warn_once(message: str) -> None:
    """Warns at the call of the calling function, once per process. Compiled code cannot warn."""
    if torch.compiler.is_compiling() or message in _said:
        return
    _said.add(message)
    warnings.warn(message, stacklevel=3)
