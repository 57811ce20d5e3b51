"""The CUDA kernels take no more instructions than the table says. None of this needs a GPU."""

from __future__ import annotations

from pathlib import Path

import cuda_emulation as emulation
import cuda_resources
import gpu_instructions
import gpu_rates
import pytest
import sass
from sass_registers import parameters
from sass_thread import follow

needs_nvcc = pytest.mark.skipif(
    gpu_instructions.NVCC is None
    or cuda_resources.tool() is None
    or emulation.why_not() != ""
    or emulation.compiler() == (),
    reason="needs nvcc, cuobjdump and a C++ compiler",
)


@needs_nvcc
@pytest.mark.exhaustive
@pytest.mark.parametrize("operation", gpu_instructions.OPERATIONS)
def test_kernels_take_no_more_instructions_than_the_table_says(operation: str) -> None:
    table = gpu_instructions.read_table()
    if not table:
        pytest.skip("the table is of another version of nvcc")
    grown, seen = {}, set()
    for found in gpu_instructions.counts([operation]):
        row = found.row()
        key = tuple(str(row[name]) for name in gpu_instructions.KEY)
        seen.add(key)
        want = table[key]["instructions"] if key in table else "nothing"
        if key not in table or float(str(row["instructions"])) > float(want):
            grown[key] = (row["instructions"], want)
    assert grown == {}, "as intended? python tests/gpu/gpu_instructions.py rewrites the table"
    assert seen == {key for key in table if key[0] == operation}


def test_the_table_predicts_by_the_rates() -> None:
    for row in gpu_instructions.read_table().values():
        pipes = gpu_rates.Pipes(*(float(row[name]) for name in gpu_rates.Pipes._fields))
        assert float(row["instructions"]) == pytest.approx(pipes.issued(), abs=0.5)
        for gpu in gpu_rates.GPUS:
            want = gpu_rates.predicted_share(gpu, pipes, float(row["bytes"]))
            assert float(row[f"predicted share {gpu.name}"]) == pytest.approx(want, abs=0.02)


# --- the counter itself ---------------------------------------------------------------------------

_LOOP = """
S2R R0, SR_TID.X
ISETP.GE.AND P0, PT, R0, 0x28, PT
@P0 EXIT
LDC R1, c[0x0][0x210]
IADD3 R1, R1, -0x1, RZ
ISETP.NE.AND P1, PT, R1, RZ, PT
@P1 BRA 0x40
STG.E desc[UR4][R2.64], R1
EXIT
"""


def _kernel(text: str) -> sass.Kernel:
    return sass.Kernel({16 * k: line for k, line in enumerate(text.strip().splitlines())}, {})


def test_a_thread_is_followed_through_a_loop() -> None:
    launch = parameters((3).to_bytes(4, "little"), threads=64)
    issued = follow(_kernel(_LOOP), launch, thread=5, block=0)
    assert len(issued) == 4 + 3 * 3 + 2
    assert len(follow(_kernel(_LOOP), launch, thread=40, block=0)) == 3


def test_what_it_does_not_know_it_names() -> None:
    with pytest.raises(NotImplementedError, match=r"TEX R0, R1"):
        follow(_kernel("TEX R0, R1"), b"", thread=0, block=0)


def test_instructions_belong_to_pipes() -> None:
    counted = gpu_rates.by_pipe(
        """FFMA R0, R1, R2, R3
@!P0 IMAD.WIDE.U32 R0, R1, R2, RZ
IMAD.MOV.U32 R0, RZ, RZ, R1
MUFU.EX2 R0, R1
LDG.E.128 R4, desc[UR4][R2.64]
DADD R0, R2, R4
BRA 0x10
FSETP.GT.AND P0, PT, R0, RZ, PT""".splitlines()
    )
    assert counted == {
        "fma": 2, "product": 1, "special": 1, "memory": 1, "double": 1, "other": 1, "alu": 1
    }  # fmt: skip


def test_a_kernel_without_arithmetic_copies() -> None:
    copy = gpu_rates.Pipes(*(0.1 for _ in gpu_rates.Pipes._fields))
    for gpu in gpu_rates.GPUS:
        assert gpu_rates.predicted_share(gpu, copy, 8.0) == 1.0
    # Twice the instructions, half of the share.
    slow, slower = (gpu_rates.Pipes(n, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0) for n in (500.0, 1000.0))
    for gpu in gpu_rates.GPUS:
        shares = [gpu_rates.predicted_share(gpu, pipes, 8.0) for pipes in (slow, slower)]
        assert shares[0] == pytest.approx(2.0 * shares[1])


def test_every_launch_has_its_rows() -> None:
    with Path(gpu_instructions.TABLE).open() as file:
        text = file.read()
    for launch in gpu_instructions.LAUNCHES:
        assert f"{launch.operation},{launch.variant},{launch.layout}," in text
