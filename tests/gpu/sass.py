"""Machine code of CUDA kernels, as the disassembler prints it, with the constants beside it."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cuda_resources

_FUNCTION = re.compile(r"\s*Function : (\S+)")
_LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
_BANK = re.compile(r"\.nv\.constant(\d+)(?:\.(\w+))?$")
_NO_BITS = 8  # a section without contents


class Kernel(NamedTuple):
    """Instructions by their addresses, 16 bytes apart; constants by the number of their bank, which
    is 0 for the parameters: those come with a launch."""

    code: Mapping[int, str]
    banks: Mapping[int, bytes]


def read(cubin: Path) -> dict[str, Kernel]:
    """The kernels of one architecture, by readable names."""
    return {cuda_resources.readable(name): kernel for name, kernel in read_named(cubin).items()}


def read_named(cubin: Path) -> dict[str, Kernel]:
    """By the names that they have there."""
    tool = cuda_resources.tool()
    if tool is None:
        raise RuntimeError("needs cuobjdump, of the CUDA toolkit or of triton")
    command = [tool, "--dump-sass", str(cubin)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    banks = _constants(cubin.read_bytes())
    shared = banks.get("", {})
    return {
        name: Kernel(code, {**shared, **banks.get(name, {})})
        for name, code in _functions(text).items()
    }


def _functions(text: str) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for line in text.splitlines():
        if function := _FUNCTION.match(line):
            code = found.setdefault(function[1], {})
        elif instruction := _LINE.match(line):
            code[int(instruction[1], 16)] = instruction[2].replace(".reuse", "")
    return found


def _constants(elf: bytes) -> dict[str, dict[int, bytes]]:
    """By function, "" for what all share, and by bank."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", elf, table + k * size) for k in range(count)]
    strings = sections[names][4]
    found: dict[str, dict[int, bytes]] = {}
    for name, kind, _, _, offset, length in sections:
        start = strings + name
        bank = _BANK.match(elf[start : elf.index(b"\0", start)].decode())
        if bank and kind != _NO_BITS:
            found.setdefault(bank[2] or "", {})[int(bank[1])] = elf[offset : offset + length]
    return found
