"""Options, the sample of the default run, and fixtures that change something process-wide and put
it back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import backends
import pytest
import sampling
import torch

import vaekern as vk
from vaekern._backends import native

USABLE_ISAS = [] if native.core is None else list(native.core.usable_isas())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        default="cpu",
        choices=("cpu", "cuda"),
        help="where the tests of all backends run; on cpu, those of GPUs are emulated",
    )
    parser.addoption(
        "--exhaustive",
        action="store_true",
        help="all of every table, not a sample, and the tests that take long",
    )
    parser.addoption(
        "--write-pages",
        action="store_true",
        help="write anew the pages of docs/ that tables of the tests make",
    )


def pytest_configure(config: pytest.Config) -> None:
    backends.choose(config.getoption("device"))
    _share_processors()


def _share_processors() -> None:
    """Among the processes of ``pytest -n``, and what they start: more threads than processors wait
    for each other."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        threads = max(1, torch.get_num_threads() // processes)
        torch.set_num_threads(threads)
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items[:], others = sampling.select(items, config.getoption("exhaustive"))
    config.hook.pytest_deselected(items=others)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", backends.names(), indirect=True)
    if "fast_backend" in metafunc.fixturenames:
        metafunc.parametrize("fast_backend", backends.fast_names(), indirect=True)
    if "implementation" in metafunc.fixturenames:
        metafunc.parametrize("implementation", (*backends.names(), "reference"), indirect=True)


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend with kernels of its own, on the device under test."""
    with backends.usable(request.param):
        yield request.param


@pytest.fixture
def fast_backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Those of them that run thousands of cases in minutes: no interpreter."""
    with backends.usable(request.param):
        yield request.param


@pytest.fixture
def implementation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of them and the reference, in use during the test."""
    with backends.usable(request.param), vk.backend(request.param):
        yield request.param


@pytest.fixture(params=USABLE_ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine can run, in use during the test."""
    assert native.core is not None
    before = native.core.isa()
    native.core.use_isa(request.param)
    yield request.param
    native.core.use_isa(before)


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """``torch.set_num_threads``, undone afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    # torch.manual_seed takes milliseconds: it notes who seeds devices, also those not there.
    torch.default_generator.manual_seed(20130)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(20130)
