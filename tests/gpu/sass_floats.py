"""What the floating-point instructions of the machine code do, in single precision; arithmetic in
double only has some result."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

import numpy as np
from sass_registers import WORD, Registers, signed

#: Of every element, and of every number that arithmetic in double makes.
IN_MEMORY = 0x3F000000  # 0.5f
_DOUBLE = 0x3FE0000000000000  # 0.5

Execute = Callable[[Registers, list[str], list[str]], None]


def compared(how: str, a: float, b: float) -> bool:
    order = {"LT": a < b, "LE": a <= b, "GT": a > b, "GE": a >= b}
    return bool({**order, "EQ": a == b, "NE": a != b}[how])


def combine(r: Registers, modifiers: list[str], operands: list[str], result: bool) -> None:
    """With a third predicate, into two: of the comparison, and of its opposite."""
    before = r.holds(operands[4])
    join = {"OR": operator.or_, "XOR": operator.xor}.get(modifiers[-1], operator.and_)
    for target, outcome in zip(operands[:2], (result, not result), strict=True):
        r.set_predicate(target, join(outcome, before))


def _compare_floats(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    a, b = (r.number(operand) for operand in operands[2:4])
    unordered = bool(np.isnan(a) or np.isnan(b))
    how = modifiers[0]
    result = how.endswith("U") and how != "NEU" if unordered else compared(how[:2], a, b)
    combine(r, modifiers, operands, result or (unordered and how == "NEU"))


def _select_float(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set_number(operands[0], r.number(operands[1 if r.holds(operands[3]) else 2]))


def _extreme_float(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    a, b = (r.number(operand) for operand in operands[1:3])
    r.set_number(operands[0], min(a, b) if r.holds(operands[3]) else max(a, b))


def _add_floats(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set_number(operands[0], r.number(operands[1]) + r.number(operands[2]))


def _multiply_floats(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set_number(operands[0], r.number(operands[1]) * r.number(operands[2]))


def _multiply_add_floats(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    a, b, c = (float(r.number(operand)) for operand in operands[1:4])
    r.set_number(operands[0], a * b + c)


_SPECIAL: dict[str, Callable[[np.float32], np.float32]] = {
    "RCP": lambda x: np.float32(1.0) / x,
    "RSQ": lambda x: np.float32(1.0) / np.sqrt(x),
    "SQRT": np.sqrt,
    "EX2": np.exp2,
    "LG2": np.log2,
}


def _special(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    function = _SPECIAL.get(modifiers[0])  # not those in double
    r.set_number(operands[0], function(r.number(operands[1])) if function else 1.0)


def _pair_of_halves(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    """HFMA2 with RZ: a constant, or some number that was in memory."""
    if any("R" in operand for operand in operands[3:5]):
        r.set(operands[0], IN_MEMORY)
        return
    halves = (np.float16(operand.replace("QNAN", "nan")) for operand in operands[3:5])
    high, low = (int(half.view(np.uint16)) for half in halves)
    r.set(operands[0], high << 16 | low)


def _to_float(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    word = r.integer(re.sub(r"\.\w+$", "", operands[1])) & WORD
    if "U16" in modifiers:
        word &= 0xFFFF
    r.set_number(operands[0], word if {"U32", "U16"} & {*modifiers} else signed(word))


def _to_integer(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set(operands[0], int(np.trunc(r.number(operands[1]))))


def _some_float(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    if modifiers[:1] == ["F64"]:
        r.set_wide(operands[0], _DOUBLE)
    else:
        r.set(operands[0], IN_MEMORY)


def _some_double(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set_wide(operands[0], _DOUBLE)


def _never(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    """A rare case of an operand, as of a division that is not a normal number."""
    r.set_predicate(operands[0], False)


NAMES: dict[Execute, str] = {
    _compare_floats: "FSETP",
    _select_float: "FSEL",
    _extreme_float: "FMNMX",
    _add_floats: "FADD",
    _multiply_floats: "FMUL",
    _multiply_add_floats: "FFMA",
    _special: "MUFU",
    _pair_of_halves: "HFMA2",
    _to_float: "I2F I2FP",
    _to_integer: "F2I",
    _some_float: "F2F F2FP HADD2 FRND",
    _some_double: "DADD DFMA DMUL",
    _never: "DSETP FCHK HSETP2",
}
