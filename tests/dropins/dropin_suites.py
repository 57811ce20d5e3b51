"""A pytest plugin that runs a project's own tests under drop-ins, in its checkout or as installed:

    PYTHONPATH=tests/dropins pytest -p dropin_suites --drop-in=patch_scvi .../scvi-tools/tests
    PYTHONPATH=tests/dropins pytest -p dropin_suites --drop-in=distributions --pyargs pyroapi.tests

Without ``--drop-in`` it changes nothing but torch's seed: some suites draw parameters where they
are collected, and those are to be the same with and without.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator

import pytest
import torch

#: What is imported first, so that names that modules took from each other are replaced, too.
DROP_INS = {
    "distributions": ("torch.distributions",),
    "patch_diffusers": ("diffusers.models.autoencoders",),
    "patch_pythae": ("pythae.models",),
    "patch_scvi": ("scvi.model", "scvi.external"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--drop-in", action="append", default=[], choices=list(DROP_INS))


def pytest_configure(config: pytest.Config) -> None:
    patches = contextlib.ExitStack()
    for name in config.getoption("--drop-in"):
        for module in DROP_INS[name]:
            importlib.import_module(module)
        patches.enter_context(getattr(importlib.import_module("vaekern.compat"), name)())
    config.add_cleanup(patches.close)
    torch.manual_seed(0)


def pytest_report_header(config: pytest.Config) -> str:
    return f"drop-ins: {', '.join(config.getoption('--drop-in')) or 'none'}"


@pytest.fixture
def backend() -> Iterator[None]:
    """Which implementation of Pyro's interface its tests, pyroapi's, are for."""
    pyroapi = importlib.import_module("pyroapi")
    with pyroapi.pyro_backend("pyro"):
        yield
