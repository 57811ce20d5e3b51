"""Follows one thread through the machine code of a kernel, with the arguments of a launch.

Numbers in memory are all ``IN_MEMORY``: only the way through the code matters, and the kernels'
does not depend on data. It is no GPU: nothing waits, nothing is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import sass_instructions
from sass import Kernel
from sass_registers import WORD, Registers

_GUARD = re.compile(r"@(!?U?P\w+)\s+(.*)")
_STEP = 16  # bytes of an instruction
_MOST = 100_000  # a thread that takes more never ends


def follow(kernel: Kernel, launch: bytes, thread: int, block: int) -> list[str]:
    """The instructions that a thread issues, one after the other; ``launch`` is bank 0. Those whose
    predicate is false are issued, too."""
    registers = Registers({**kernel.banks, 0: launch})
    special = {"SR_TID.X": thread, "SR_CTAID.X": block, "SR_LANEID": thread % 32}
    issued: list[str] = []
    address = 0
    while len(issued) < _MOST:
        text = kernel.code[address]
        issued.append(text)
        address += _STEP
        guard = _GUARD.match(text)
        if guard and not registers.holds(guard[1]):
            continue
        name, _, rest = (guard[2] if guard else text).partition(" ")
        operation = name.partition(".")[0]
        if operation == "EXIT":
            return issued
        if operation in ("BRA", "BRX"):
            address = _target(registers, rest, address)
        else:
            _execute(registers, special, name, rest)
    raise RuntimeError(f"more than {_MOST} instructions")


def _target(registers: Registers, rest: str, following: int) -> int:
    if " " in rest and "," not in rest:  # of a table: a register, and what to add
        register, offset = rest.split()
        return (registers.word(register) + following + int(offset, 16)) & WORD
    *conditions, target = (operand.strip() for operand in rest.split(","))
    if all(map(registers.holds, conditions)):
        return int(target, 16)
    return following


def _execute(registers: Registers, special: Mapping[str, int], name: str, rest: str) -> None:
    operands = [operand.strip() for operand in rest.split(",")] if rest else []
    operation, *modifiers = name.split(".")
    if operation in ("S2R", "S2UR"):
        registers.set(operands[0], special.get(operands[1], 0))
        return
    execute = sass_instructions.BY_NAME.get(operation)
    if execute is None:
        raise NotImplementedError(f"{name} {rest}")
    execute(registers, modifiers, operands)
