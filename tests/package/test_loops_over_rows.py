"""The compiler makes vector instructions of every loop over the classes of a row of logits. (Those
of double call the C library.) Of one function that is all inlined, test_binary.py cannot tell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vaekern._backends import native

ROWS = Path(__file__).parents[2] / "csrc/cpu/softmax.h"
PROGRAM = """
#include "softmax.h"
VK_BEGIN
double visit(const SoftmaxRow<float>& row, SoftmaxKernel kernel, Mixing<float> mixing) {
  return visit_softmax_row(row, kernel, mixing);
}
VK_END
"""
#: Those of csrc/CMakeLists.txt.
FLAGS = ["-O3", "-std=c++20", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]


def _says_it_is_gcc() -> bool:
    if shutil.which("g++") is None:
        return False
    said = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False)
    return "Free Software Foundation" in said.stdout


pytestmark = [
    pytest.mark.skipif(not ROWS.exists(), reason="needs the sources"),
    pytest.mark.skipif(not _says_it_is_gcc(), reason="reads what GCC reports"),
    pytest.mark.skipif(native.core is None, reason="needs the extension"),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v2", "x86-64-v4"])
def test_every_loop_over_classes_is_vectorised(level: str, tmp_path: Path) -> None:
    if not native.core.isa().startswith("x86"):
        pytest.skip("levels of x86")
    report, program = tmp_path / "report", tmp_path / "program.cpp"
    program.write_text(PROGRAM)
    command = ["g++", *FLAGS, "-fopenmp-simd", f"-march={level}", "-DVK_TARGET=tested"]
    command += [
        f"-I{ROWS.parent}",
        f"-fopt-info-vec-all={report}",
        "-c",
        program,
        "-o",
        "/dev/null",
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    lines = ROWS.read_text().splitlines()
    said = report.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if line != "#pragma omp simd":
            continue
        # What is said of a loop bears the line of its head, or the next.
        here = re.compile(rf".*softmax\.h:({number + 1}|{number + 2}):")
        of_loop = [each for each in said if here.match(each)]
        assert any("loop vectorized" in each for each in of_loop), lines[number]
        assert not [each for each in of_loop if "couldn't vectorize loop" in each], lines[number]
