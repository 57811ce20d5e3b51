"""Which backend runs on which GPU, and what is said about it: with the stand-in for CUDA's runtime
in the extension's place, and a torch that believes in its devices."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import cuda_emulation as emulation
import pytest
import torch
from cuda_machines import NEW, Device, machine

import vaekern as vk
from vaekern._backends import choice, config, native

pytestmark = pytest.mark.skipif(bool(emulation.why_not()), reason=emulation.why_not())

T4, A100, H100 = Device(7, 5), Device(8, 0), Device(9, 0)
NAMES = {(7, 5): "Tesla T4", (8, 0): "A100", (9, 0): "H100", (12, 0): "RTX 5090"}
TOO_OLD = "its compute capability is 7.5, and the kernels were compiled for none"
OLD_DRIVER = "the driver is for CUDA 12.4, and the kernels were compiled with CUDA 13.0"


class Pretend:
    """Machines for a test, and whether Triton is installed there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch, self._stack = patch, ExitStack()
        self.probes: list[tuple[int, bool]] = []
        self.with_fast_path: list[int] = []

    def __call__(self, *devices: Device, driver: int = NEW, triton: bool = True) -> None:
        engine = self._stack.enter_context(machine(*devices, driver=driver))

        def why_unusable(index: int, in_earnest: bool) -> str:
            self.probes.append((index, in_earnest))
            return engine.why_unusable_cuda(index, in_earnest)

        patch, cuda = self._patch.setattr, torch.cuda
        opened = self.with_fast_path.append
        patch(native, "core", SimpleNamespace(why_unusable_cuda=why_unusable, use_gpu=opened))
        patch(native, "cuda", {"version": NEW, "architectures": "none"})
        patch(torch.version, "cuda", "13.0")
        patch(choice, "_faults", {})
        patch(choice, "why_no_triton", lambda: None if triton else "triton is not installed")
        patch(cuda, "is_available", lambda: True)
        patch(cuda, "is_initialized", lambda: True)
        patch(cuda, "device_count", lambda: len(devices))
        patch(cuda, "get_device_name", lambda index: NAMES[devices[index][:2]])
        choice._warn_once.cache_clear()

    def close(self) -> None:
        self._stack.close()
        choice._warn_once.cache_clear()


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretend]:
    found = Pretend(monkeypatch)
    yield found
    found.close()


def on(index: int) -> str:
    return choice.backend_for(torch.device("cuda", index))


def test_cuda_where_it_runs(pretend: Pretend) -> None:
    pretend(A100, H100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [on(0), on(1), on(0)] == ["cuda"] * 3
    assert pretend.probes == [(0, True), (1, True)]  # once for each device, not for each call
    assert pretend.with_fast_path == [0, 1]


@pytest.mark.parametrize(("triton", "instead"), [(True, "triton"), (False, "reference")])
@pytest.mark.parametrize(
    ("card", "driver", "why"),
    [(T4, NEW, TOO_OLD), (H100, 12_040, OLD_DRIVER), (H100, 0, "there is no NVIDIA driver")],
    ids=["old card", "old driver", "no driver"],
)
def test_another_backend_where_it_does_not(
    card: Device, driver: int, why: str, triton: bool, instead: str, pretend: Pretend
) -> None:
    pretend(card, driver=driver, triton=triton)
    with pytest.warns(RuntimeWarning) as warned:
        assert [on(0) for _ in range(3)] == [instead] * 3
    (warning,) = warned
    name = NAMES[card[:2]]
    assert str(warning.message) == (
        f"vaekern's CUDA kernels cannot run on {name}: {why}. "
        f"The backend {instead!r} runs there instead."
    )
    assert len(pretend.probes) == 1
    assert pretend.with_fast_path == []
    said = f"{name}: {why}"
    assert choice.unavailable("cuda") == said
    with (
        pytest.raises(RuntimeError, match=f"backend 'cuda' is not available: {said}"),
        vk.backend("cuda"),
    ):
        pass
    assert config.config()["on cuda:0"] == f"{instead}, on {name} (not cuda: {why})"
    assert config.config()["backend cuda"] == f"not available: {said}"


def test_cards_of_different_ages(pretend: Pretend) -> None:
    pretend(A100, T4, T4, Device(12, 0, has_code=False))
    with pytest.warns(RuntimeWarning) as warned:
        assert [on(index) for index in range(4)] == ["cuda", "triton", "triton", "triton"]
    assert len(warned) == 2  # what is said of one T4 holds for the other
    assert "Tesla T4: its compute capability is 7.5" in str(warned[0].message)
    assert "RTX 5090: its compute capability is 12.0" in str(warned[1].message)
    assert "no kernel image is available" in str(warned[1].message)
    assert choice.unavailable("cuda") is None
    with vk.backend("cuda"):
        assert on(0) == "cuda"
        with pytest.raises(RuntimeError, match=f"cannot run on cuda:2: {TOO_OLD}"):
            on(2)


def test_reports_use_no_device(pretend: Pretend, capsys: pytest.CaptureFixture[str]) -> None:
    """They may be another process's."""
    pretend(A100, T4)
    assert choice.unavailable("cuda") is None
    vk_lines = config.config()
    assert vk_lines["on cuda:0"] == "cuda, on A100"
    assert vk_lines["on cuda:1"] == f"triton, on Tesla T4 (not cuda: {TOO_OLD})"
    assert not any(in_earnest for _, in_earnest in pretend.probes)


def test_imagined_tensors_ask_nobody(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(T4)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert on(0) == "cuda"
    assert pretend.probes == []


def test_a_build_without_kernels_has_nothing_to_warn_of(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(A100)
    monkeypatch.setattr(native, "cuda", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert on(0) == "triton"
    assert "no CUDA kernels" in config.config()["on cuda:0"]
    assert pretend.probes == []


def test_an_error_that_is_no_verdict_is_not_remembered(
    pretend: Pretend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(A100)

    def busy(index: int, in_earnest: bool) -> str:
        raise RuntimeError("CUDA kernel scale: out of memory")

    real = native.core.why_unusable_cuda
    monkeypatch.setattr(native.core, "why_unusable_cuda", busy)
    with pytest.raises(RuntimeError, match="out of memory"):
        on(0)
    monkeypatch.setattr(native.core, "why_unusable_cuda", real)
    assert on(0) == "cuda"


def test_compiled_code_may_ask(pretend: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is a constant of it."""
    pretend(T4, A100)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # the compiler would believe it

    gpus = [torch.device("cuda", index) for index in range(2)]

    def where(x: Any, index: int) -> Any:
        return x + 1 if choice.backend_for(gpus[index]) == "triton" else x

    compiled = torch.compile(where, fullgraph=True, backend="eager")
    with pytest.warns(RuntimeWarning, match="cannot run on Tesla T4"):
        assert compiled(torch.zeros(1), 0).item() == 1.0
    assert compiled(torch.zeros(1), 1).item() == 0.0
