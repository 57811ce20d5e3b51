"""The host's side of the CUDA backend on a stand-in for CUDA's runtime: which device, stream and
memory a launch gets, what becomes of errors, and what a machine's driver and devices are found fit
for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import cuda_emulation as emulation
import pytest
import torch
from cuda_calls import KERNEL, mixture, run, scale
from cuda_machines import NEW, Device, machine

from vaekern._backends import cuda, native

_missing = emulation.why_not() or ("" if native.core else "needs the CPU kernels")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@pytest.fixture
def engine() -> Iterator[ModuleType]:
    """With two devices, of which none is in use."""
    with machine(Device(8, 0), Device(9, 0)) as engine:
        yield engine


@pytest.fixture
def allocated(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Where memory for partial sums was asked for. It comes from the host."""
    devices: list[torch.device] = []
    empty = torch.empty

    def recording(size: int, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        devices.append(device)
        return empty(size, dtype=dtype)

    monkeypatch.setattr(cuda.torch, "empty", recording)
    return devices


# --- devices, streams, memory ---------------------------------------------------------------------


def test_runs_on_the_tensors_device_and_stream(
    engine: ModuleType, allocated: list[torch.device]
) -> None:
    stream = engine.new_stream(1)
    assert run(engine, "cuda:1", stream).item() == 4500.0
    launches = engine.launches()
    assert [launch[:2] for launch in launches] == [(1, stream)] * 2  # tiles, then their sums
    assert allocated == [torch.device("cuda:1")]


@pytest.mark.parametrize("call", [run, mixture])
def test_workspace_is_on_the_tensors_device(
    call: Callable[[ModuleType], torch.Tensor], engine: ModuleType, allocated: list[torch.device]
) -> None:
    call(engine)
    assert allocated == [torch.device("cuda:1")]


@pytest.mark.parametrize("before", [-1, 0, 1], ids=["none", "another", "the same"])
@pytest.mark.parametrize("call", [run, mixture, lambda engine: scale(engine, 5)])
def test_the_context_that_was_current_is_again(
    call: Callable[[ModuleType], torch.Tensor],
    before: int,
    engine: ModuleType,
    allocated: list[torch.device],
) -> None:
    for _ in range(2):
        engine.use_device(before)
        call(engine)
        assert engine.current_context() == before
    assert {launch[0] for launch in engine.launches()} == {1}


def test_no_context_on_a_device_that_is_not_in_use(
    engine: ModuleType, allocated: list[torch.device]
) -> None:
    """Device 0 is what a thread starts with."""
    run(engine)
    scale(engine, 5)
    mixture(engine)
    assert [engine.has_context(device) for device in (0, 1)] == [False, True]


def test_in_a_thread_of_its_own(engine: ModuleType, allocated: list[torch.device]) -> None:
    engine.use_device(0)
    seen: list[int] = []

    def work() -> None:
        run(engine)
        seen.append(engine.current_context())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [-1]
    assert engine.current_context() == 0
    assert {launch[0] for launch in engine.launches()} == {1}


def test_the_allocator_may_make_another_device_current(
    engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = torch.empty

    def going_home(size: int, *, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        engine.use_device(0)
        return empty(size, dtype=dtype)

    monkeypatch.setattr(cuda.torch, "empty", going_home)
    run(engine)
    assert {launch[0] for launch in engine.launches()} == {1}


# --- errors ---------------------------------------------------------------------------------------

TOO_MANY_RESOURCES = 701


def test_a_launch_that_fails_is_named_and_forgotten(
    engine: ModuleType, allocated: list[torch.device]
) -> None:
    engine.use_device(0)
    engine.fail_next_launch(TOO_MANY_RESOURCES)
    with pytest.raises(
        RuntimeError, match=r"CUDA kernel standard_kl \(log\), value: too many resources"
    ):
        run(engine)
    assert engine.current_context() == 0
    engine.fail_next_launch(TOO_MANY_RESOURCES)
    with pytest.raises(RuntimeError, match="CUDA kernel mixture: too many resources"):
        mixture(engine)
    engine.fail_next_launch(TOO_MANY_RESOURCES)
    with pytest.raises(RuntimeError, match="CUDA kernel scale: too many resources"):
        scale(engine, 5)
    assert run(engine).item() == 4500.0


def test_an_error_of_another_call_is_not_the_next_launchs(
    engine: ModuleType, allocated: list[torch.device]
) -> None:
    with pytest.raises(RuntimeError, match=r"standard_kl .*: invalid device ordinal"):
        run(engine, "cuda:7")
    assert run(engine).item() == 4500.0


def test_a_stream_of_another_device_is_refused(
    engine: ModuleType, allocated: list[torch.device]
) -> None:
    with pytest.raises(RuntimeError, match="invalid resource handle"):
        run(engine, "cuda:1", engine.new_stream(0))


def test_more_than_a_grid_holds(engine: ModuleType) -> None:
    number = native.KERNELS[KERNEL]
    somewhere = torch.zeros(1).data_ptr()
    inputs = ((somewhere, 0, (0, 0)), (somewhere, 0, (0, 0)))
    output = (1, somewhere, 0, 2**40, None)
    with pytest.raises(RuntimeError, match="more elements than one launch can visit"):
        engine.run_cuda(*number, False, (2**40, 1024), 1, inputs, (output,), 1, 0, lambda _: 0)
    planes = (somewhere, 0)
    with pytest.raises(RuntimeError, match="more pixels than one launch can visit"):
        engine.run_mixture_cuda(
            False, (2**32, 1, 128), planes, planes, None, planes, 1, 0, lambda _: 0
        )
    assert engine.launches() == []
    assert not engine.has_context(1)


# --- captures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [12_020, NEW], ids=["old driver", "new driver"])
def test_a_capture_may_begin_with_a_kernel_that_never_ran(
    driver: int, allocated: list[torch.device]
) -> None:
    """Drivers before that of CUDA 12.3 do not load kernels in a capture."""
    with machine(Device(8, 0), Device(9, 0), driver=driver, runtime=12_020) as engine:
        assert engine.why_unusable_cuda(1, True) == ""
        engine.begin_capture()
        run(engine)
        mixture(engine)
        scale(engine, 5)
        assert engine.end_capture()
        assert all(launch[-1] for launch in engine.launches())


def test_new_drivers_load_what_runs(engine: ModuleType) -> None:
    assert engine.why_unusable_cuda(1, True) == ""
    assert engine.loaded_kernels(1) == 1


# --- what a machine is fit for --------------------------------------------------------------------


def test_no_driver() -> None:
    with machine(driver=0) as engine:
        assert engine.why_unusable_cuda(0, True) == "there is no NVIDIA driver"


def test_a_driver_that_is_too_old() -> None:
    with machine(Device(9, 0), driver=12_040) as engine:
        for in_earnest in (False, True):
            why = engine.why_unusable_cuda(0, in_earnest)
            assert (
                why == "the driver is for CUDA 12.4, and the kernels were compiled with CUDA 13.0"
            )
        assert not engine.has_context(0)


def test_a_later_runtime_of_the_drivers_major_version() -> None:
    with machine(Device(9, 0), driver=13_000, runtime=13_010) as engine:
        assert engine.why_unusable_cuda(0, True) == ""


def test_cards_of_different_ages() -> None:
    cards = Device(7, 5), Device(8, 0), Device(12, 0, has_code=False)
    with machine(*cards) as engine:
        in_theory = [engine.why_unusable_cuda(device, False) for device in range(3)]
        assert [engine.has_context(device) for device in range(3)] == [False] * 3
        in_earnest = [engine.why_unusable_cuda(device, True) for device in range(3)]
        assert not engine.has_context(0)
    assert in_theory == [
        "its compute capability is 7.5, and the kernels were compiled for none",
        "",
        "",
    ]
    assert in_earnest[:2] == in_theory[:2]
    assert in_earnest[2].startswith("its compute capability is 12.0, and the kernels were")
    assert "no kernel image is available" in in_earnest[2]


def test_the_probe_leaves_no_trace(allocated: list[torch.device]) -> None:
    """Neither another device current, nor an error for the next launch."""
    with machine(Device(8, 0), Device(12, 0, has_code=False)) as engine:
        engine.use_device(0)
        assert engine.why_unusable_cuda(1, True) != ""
        assert engine.current_context() == 0
        assert run(engine, "cuda:0").item() == 4500.0


def test_an_error_that_is_no_verdict_is_raised() -> None:
    with machine(Device(8, 0), driver=12_020, runtime=12_020) as engine:
        engine.begin_capture()
        with pytest.raises(RuntimeError, match=r"CUDA kernel scale: .* when stream is capturing"):
            engine.why_unusable_cuda(0, True)
        engine.end_capture()
        assert engine.why_unusable_cuda(0, True) == ""


def test_a_device_that_is_not_there(engine: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="invalid device ordinal"):
        engine.why_unusable_cuda(2, False)
