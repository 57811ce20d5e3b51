"""What a thread holds while its machine code is followed: registers, predicates, constants."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

import numpy as np

WORD = 0xFFFFFFFF
_CONSTANT = re.compile(r"c\[0x(\w+)\]\[(.*)\]")
_ZERO = ("RZ", "URZ", "SRZ")
_ALWAYS = ("PT", "UPT")


def signed(word: int) -> int:
    word &= WORD
    return word - (1 << 32) if word >> 31 else word


def to_float(word: int) -> np.float32:
    return np.uint32(word & WORD).view(np.float32)


def to_word(number: float | np.floating) -> int:
    return int(np.float32(number).view(np.uint32))


class Registers:
    """General and uniform ones by their names (``R3``, ``UR4``), predicates too (``P0``, ``UP1``).
    Operands are what the disassembler prints: ``-R3``, ``|R4|``, ``c[0x0][R5+0x210]``, ``0x7``."""

    def __init__(self, banks: Mapping[int, bytes]) -> None:
        self._banks = banks
        self._words: dict[str, int] = {}
        self._predicates: dict[str, bool] = {}

    # --- predicates ---------------------------------------------------------------------------

    @staticmethod
    def is_predicate(operand: str) -> bool:
        return re.fullmatch(r"!?U?P(\d|T)", operand) is not None

    def holds(self, operand: str) -> bool:
        name = operand.lstrip("!")
        value = name in _ALWAYS or self._predicates.get(name, False)
        return value != operand.startswith("!")

    def set_predicate(self, name: str, value: object) -> None:
        if name not in _ALWAYS:
            self._predicates[name] = bool(value)

    # --- words --------------------------------------------------------------------------------

    def word(self, name: str) -> int:
        return 0 if name in _ZERO else self._words.get(name, 0)

    def set(self, name: str, value: int) -> None:
        if name not in _ZERO:
            self._words[name] = value & WORD

    def set_number(self, name: str, value: float | np.floating) -> None:
        self.set(name, to_word(value))

    def wide(self, operand: str) -> int:
        """Of two neighbouring registers, or eight bytes of constants."""
        if operand in _ZERO:
            return 0
        if operand.startswith("c["):
            return self.constant(operand, 8)
        return self.word(operand) | self.word(_next(operand)) << 32

    def set_wide(self, name: str, value: int) -> None:
        if name not in _ZERO:
            self.set(name, value)
            self.set(_next(name), value >> 32)

    def set_several(self, name: str, words: int, value: int) -> None:
        for _ in range(words):
            self.set(name, value)
            name = _next(name)

    # --- operands -----------------------------------------------------------------------------

    def constant(self, operand: str, size: int = 4) -> int:
        found = _CONSTANT.fullmatch(operand)
        assert found, operand
        offset = sum(
            int(part, 16) if part.startswith("0x") else signed(self.word(part))
            for part in found[2].split("+")
        )
        bank = self._banks.get(int(found[1], 16), b"")
        return int.from_bytes(bank[offset : offset + size].ljust(size, b"\0"), "little")

    def integer(self, operand: str) -> int:
        """Not reduced to a word: the carry of a difference is that of adding 2^32 - x."""
        if operand.startswith("~"):
            return self.integer(operand[1:]) ^ WORD
        if operand.startswith("|"):
            return abs(signed(self.integer(operand.strip("|"))))
        if re.match(r"-?0x", operand):
            return int(operand, 16) & WORD
        if operand.startswith("-"):
            return (1 << 32) - self.integer(operand[1:])
        if operand.startswith("c["):
            return self.constant(operand)
        return self.word(operand)

    def number(self, operand: str) -> np.float32:
        if re.match(r"-[RUc|]", operand):
            return -self.number(operand[1:])
        if operand.startswith("|"):
            return abs(self.number(operand.strip("|")))
        if operand.startswith(("R", "U", "c[")):
            return to_float(self.integer(operand))
        return np.float32(operand.replace("QNAN", "nan").replace("SNAN", "nan"))


def _next(name: str) -> str:
    letters = name.rstrip("0123456789")
    return f"{letters}{int(name[len(letters) :]) + 1}"


def parameters(arguments: bytes, threads: int) -> bytes:
    """Bank 0 of a launch on sm_90: the block's size, and the arguments from 0x210 on."""
    return struct.pack("<III", threads, 1, 1).ljust(0x210, b"\0") + arguments
