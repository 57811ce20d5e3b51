"""Fixtures of the drop-ins' tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from vaekern.compat import torch_distributions


@pytest.fixture
def kernels_called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions of vaekern that stand in for torch.distributions in the test."""
    names: list[str] = []

    def recorded(name: str) -> Callable[..., Tensor]:
        original = getattr(torch_distributions, name)

        def recording(*args: Any, **options: Any) -> Tensor:
            names.append(name)
            return original(*args, **options)

        return recording

    for name in ("bernoulli_log_likelihood", "gaussian_kl", "gaussian_log_likelihood"):
        monkeypatch.setattr(torch_distributions, name, recorded(name))
    return names
