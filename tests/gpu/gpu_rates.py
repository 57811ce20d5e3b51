"""How fast GPUs take instructions, and what that predicts. None of this was measured here.

A processor has four parts, each of which issues an instruction of a warp per cycle at most; the
units behind take longer for some. A prediction is the share of the bandwidth of a copy that the
instructions of a kernel leave it, ± a third.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

#: Of cycles, those in which an instruction is issued where memory does not hold it up.
ISSUED = 0.75
#: Of a memory's bandwidth, what a copy reaches.
COPIED = 0.88

_FMA = re.compile(r"F(FMA|MUL|ADD)|HADD2|HFMA2|HSETP2|IMAD")
_ALU = re.compile(
    r"IADD3|LOP3|SHF|LEA|[IF]SETP|F?SEL|FMNMX|PRMT|VIADD|VIADDMNMX|V?IMNMX|MOV|I2FP|PLOP3|P2R|R2P|"
    r"F2FP|IABS|SGXT"
)
_SPECIAL = re.compile(r"MUFU|I2F|F2I|F2F|FCHK|FRND|POPC|FLO")
_MEMORY = re.compile(r"(LD|ST)[GS]?|SHFL|LDC")
_DOUBLE = re.compile(r"D[A-Z]+")
_GUARD = re.compile(r"@!?U?P\w+\s+")


class GPU(NamedTuple):
    """``fma``: cycles that a warp's float multiply-add takes its unit."""

    name: str
    processors: int
    gigahertz: float
    terabytes_per_second: float
    fma: float


GPUS = (
    GPU("A100", 108, 1.41, 2.04, 2.0),
    GPU("H100", 132, 1.75, 3.35, 1.0),
    GPU("H200", 132, 1.75, 4.80, 1.0),
    GPU("B200", 148, 1.85, 8.00, 1.0),
    GPU("RTX 4090", 128, 2.52, 1.01, 1.0),
)


class Pipes(NamedTuple):
    """Instructions by the unit that they keep busy. ``product``: integer multiplications with a
    result of two words; ``other``: jumps, barriers, and what the uniform unit does."""

    fma: float
    product: float
    alu: float
    special: float
    memory: float
    double: float
    other: float

    def issued(self) -> float:
        return sum(self)

    def cycles(self, gpu: GPU) -> float:
        """Of a part of a processor, for a warp."""
        return max(
            self.issued() / ISSUED,
            gpu.fma * self.fma + 4.0 * self.product,
            2.0 * self.alu,
            8.0 * self.special,
            2.0 * self.memory,
            2.0 * self.double,
        )


def by_pipe(instructions: Iterable[str]) -> Counter[str]:
    return Counter(map(_pipe, instructions))


def _pipe(instruction: str) -> str:
    name, *modifiers = _GUARD.sub("", instruction).partition(" ")[0].split(".")
    if name == "IMAD" and {"WIDE", "HI"} & {*modifiers}:
        return "product"
    for pipe, names in (
        ("fma", _FMA),
        ("alu", _ALU),
        ("special", _SPECIAL),
        ("memory", _MEMORY),
        ("double", _DOUBLE),
    ):
        if names.fullmatch(name):
            return pipe
    return "other"


def predicted_share(gpu: GPU, per_element: Pipes, bytes_per_element: float) -> float:
    """Of the bandwidth of a copy, 1 at most."""
    elements = 4 * 32 * gpu.processors * gpu.gigahertz / per_element.cycles(gpu)  # 1e9 a second
    copy = COPIED * gpu.terabytes_per_second * 1e3
    return min(1.0, elements * bytes_per_element / copy)
