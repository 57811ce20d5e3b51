"""What the CUDA kernels take of a GPU, as the assembler laid them out: registers, stack, shared
memory. ``python tests/gpu/cuda_resources.py`` rewrites the table beside this file from the
installed extension; the test suite compares the two.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_suffix(".csv")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")

_HEADER = ("cuda", "kernel", "architecture", "registers", "stack", "shared")
_TYPES = {"f": "float", "d": "double"}
_TOOL = "cuobjdump"


class Usage(NamedTuple):
    """Of a thread; shared memory of a block. The stack is where registers spill to."""

    registers: int
    stack: int
    shared: int


#: (kernel, architecture)
Usages = dict[tuple[str, str], Usage]


def tool() -> str | None:
    """The disassembler, from a CUDA toolkit or from triton, which ships one."""
    folders = [Path("/usr/local/cuda/bin")]
    triton = importlib.util.find_spec("triton")
    if triton is not None and triton.origin is not None:
        folders.append(Path(triton.origin).parent / "backends/nvidia/bin")
    for folder in (None, *folders):
        found = shutil.which(_TOOL, path=None if folder is None else str(folder))
        if found:
            return found
    return None


def measure(tool: str, extension: Path) -> Usages:
    """All kernels in an extension module, for the architectures of the table."""
    command = [tool, "--dump-resource-usage", str(extension)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    usages: Usages = {}
    architecture = ""
    for line in text.splitlines():
        if found := re.match(r"arch = (\w+)", line):
            architecture = found[1]
        elif found := re.match(r"\s*Function (\w+):", line):
            kernel = readable(found[1])
        elif "REG:" in line and architecture in ARCHITECTURES:
            fields = dict(re.findall(r"([A-Z]+):(\d+)", line))
            usages[kernel, architecture] = Usage(
                int(fields["REG"]),
                int(fields["STACK"]) + int(fields["LOCAL"]),
                int(fields["SHARED"]),
            )
    return usages


def readable(mangled: str) -> str:
    """``tile_kernel VjpOf Bernoulli float`` for the compiler's name of it."""
    names, rest = [], mangled
    while found := re.search(r"(?<![S\d])\d+", rest):  # a length; S0_ refers back
        end = found.end() + int(found[0])
        names.append(rest[found.end() : end])
        rest = rest[end:]
        if names[-1].endswith("Arguments"):  # the parameters
            break
        if len(names) > 2 and (element := re.match(r"(?:E+|I)([fd])(?=[EN])", rest)):
            return " ".join([*names[2:], _TYPES[element[1]], *_form(rest)])
    return names[2]


def _form(mangled: str) -> list[str]:
    """Of a dense kernel: ``float re e``, what its form says of inputs and outputs."""
    if "DenseForm" not in mangled:
        return []
    letters = re.findall(r"((?:Lc\d+E)+)", mangled)
    words = ["".join(chr(int(code)) for code in re.findall(r"\d+", word)) for word in letters]
    return ["bfloat16" if "BFloat16" in mangled else "float32", *words]


def readable_arguments(mangled: str) -> str:
    """Those of a template that has the arguments of a kernel: ``VjpOf Bernoulli float``."""
    return readable(mangled).partition(" ")[2]


def read(cuda: int) -> Usages:
    """The table of a CUDA version, empty if it is of another: each lays kernels out differently."""
    with TABLE.open(newline="") as file:
        return {
            (row["kernel"], row["architecture"]): Usage(*(int(row[k]) for k in Usage._fields))
            for row in csv.DictReader(file)
            if int(row["cuda"]) == cuda
        }


def write(usages: Usages, cuda: int) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows((cuda, *key, *usage) for key, usage in sorted(usages.items()))


if __name__ == "__main__":
    from vaekern import _core

    dumper = tool()
    if dumper is None:
        raise SystemExit(f"needs {_TOOL}")
    write(measure(dumper, Path(_core.__file__)), _core.cuda["version"])
