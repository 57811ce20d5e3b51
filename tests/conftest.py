"""Fixtures that change something process-wide and put it back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vaekern import _native

# Helpers beside the tests (cases.py and others). The checkout itself stays off the path: the tests
# import the package that is installed.
sys.path.insert(0, str(Path(__file__).parent))

USABLE_ISAS = [] if _native.core is None else list(_native.core.usable_isas())


@pytest.fixture(params=USABLE_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine can run, in use during the test."""
    assert _native.core is not None
    before = _native.core.isa()
    _native.core.use_isa(request.param)
    yield request.param
    _native.core.use_isa(before)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """``torch.set_num_threads``, undone afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(20130)
