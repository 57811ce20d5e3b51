"""Fixtures of the drop-ins' tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from vaekern import functional
from vaekern.compat import _log_probs, torch_distributions


@pytest.fixture
def kernels_called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions of vaekern that stand in for torch.distributions in the test."""
    names: list[str] = []

    def recorded(module: Any, name: str) -> Callable[..., Tensor]:
        original = getattr(module, name)

        def recording(*args: Any, **options: Any) -> Tensor:
            names.append(name)
            return original(*args, **options)

        return recording

    for module, ending in ((torch_distributions, "_kl"), (_log_probs, "_log_likelihood")):
        for name in vars(module):
            if name in functional.__all__ and name.endswith(ending):
                monkeypatch.setattr(module, name, recorded(module, name))
    return names
