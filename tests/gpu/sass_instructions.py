"""What single instructions of the machine code do to a thread's registers, as far as the way
through the code may depend on it. ``BY_NAME`` has all that are known."""

from __future__ import annotations

import sass_floats
from sass_floats import IN_MEMORY, Execute, combine, compared
from sass_registers import WORD, Registers, signed


def _nothing(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    pass


# --- moves ------------------------------------------------------------------------------------


def _move(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set(operands[0], r.integer(operands[1]))


def _clear(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    if "32" in modifiers:
        r.set(operands[0], 0)
    else:
        r.set_wide(operands[0], 0)


def _load_constant(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    if "64" in modifiers:
        r.set_wide(operands[0], r.constant(operands[1], 8))
    else:
        r.set(operands[0], r.constant(operands[1], 1 if "U8" in modifiers else 4))


def _load(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    words = 4 if "128" in modifiers else 2 if "64" in modifiers else 1
    r.set_several(operands[0], words, IN_MEMORY)


def _shuffle(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set(operands[1], r.word(operands[2]))


def _select(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set(operands[0], r.integer(operands[1 if r.holds(operands[3]) else 2]))


def _permute_bytes(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    low, selector, high = (r.integer(operand) & WORD for operand in operands[1:4])
    both = low | high << 32
    result = 0
    for k in range(4):
        which = selector >> 4 * k & 15
        byte = both >> 8 * (which & 7) & 255
        if which & 8:
            byte = 255 if byte & 128 else 0
        result |= byte << 8 * k
    r.set(operands[0], result)


def _save_predicates(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    bits = sum(r.holds(f"P{k}") << k for k in range(7))
    kept = int(operands[3], 16)
    r.set(operands[0], (bits & kept) | (r.integer(operands[2]) & ~kept))


def _restore_predicates(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    for k in range(7):
        if int(operands[2], 16) >> k & 1:
            r.set_predicate(f"P{k}", r.integer(operands[1]) >> k & 1)


# --- integers ---------------------------------------------------------------------------------


def _multiply_add(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    target, *rest = operands
    carry_to = rest.pop(0) if r.is_predicate(rest[0]) else "PT"
    carry = r.holds(rest.pop()) if "X" in modifiers else False
    a, b = (r.integer(operand) for operand in rest[:2])
    if "WIDE" not in modifiers and "HI" not in modifiers:
        r.set(target, a * b + r.integer(rest[2]) + carry)
        return
    a, b = (x & WORD if "U32" in modifiers else signed(x) for x in (a, b))
    total = (a * b & (1 << 64) - 1) + r.wide(rest[2]) + carry
    r.set_predicate(carry_to, total >> 64 & 1)
    if "HI" in modifiers:
        r.set(target, total >> 32)
    else:
        r.set_wide(target, total)


def _add(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    target, *rest = operands
    carries_to = []
    while r.is_predicate(rest[0]):
        carries_to.append(rest.pop(0))
    carries = 0
    while "X" in modifiers and r.is_predicate(rest[-1]):
        carries += r.holds(rest.pop())
    total = sum(map(r.integer, rest)) + carries
    for name in carries_to[:1]:
        r.set_predicate(name, total >> 32)
    r.set(target, total)


def _extreme(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    """VIMNMX d, a, b, least; VIADDMNMX d, a, b, c, least: of a + b and c."""
    *terms, other = operands[1:-1]
    a, b = sum(map(r.integer, terms)) & WORD, r.integer(other) & WORD
    if "U32" not in modifiers:
        a, b = signed(a), signed(b)
    r.set(operands[0], min(a, b) if r.holds(operands[-1]) else max(a, b))


def _scaled_add(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    """LEA: b + (a << n), or the upper word of that sum's 64 bits."""
    target, *rest = operands
    carry_to = rest.pop(0) if r.is_predicate(rest[0]) else "PT"
    carry = r.holds(rest.pop()) if r.is_predicate(rest[-1]) else False
    a, shift = r.integer(rest[0]) & WORD, int(rest[-1], 16)
    if "HI" not in modifiers:
        total = (a << shift & WORD) + r.integer(rest[1]) + carry
    else:
        wide = signed(a) if "SX32" in modifiers else a | (r.integer(rest[2]) & WORD) << 32
        total = (wide >> 32 - shift & WORD) + r.integer(rest[1]) + carry
    r.set_predicate(carry_to, total >> 32)
    r.set(target, total)


def _logic(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    rest = list(operands)
    nonzero_to = rest.pop(0) if r.is_predicate(rest[0]) else "PT"
    a, b, c = (r.integer(operand) & WORD for operand in rest[1:4])
    table, result = int(rest[4], 16), 0
    for k in range(8):
        if table >> k & 1:
            result |= (a if k & 4 else ~a) & (b if k & 2 else ~b) & (c if k & 1 else ~c)
    r.set(rest[0], result)
    r.set_predicate(nonzero_to, result & WORD)


def _logic_of_predicates(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    a, b, c = (r.holds(operand) for operand in operands[2:5])
    for target, table in zip(operands[:2], operands[5:7], strict=True):
        r.set_predicate(target, int(table, 16) >> (a * 4 + b * 2 + c) & 1)


def _shift(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    low, by, high = (r.integer(operand) & WORD for operand in operands[1:4])
    both, upper = high << 32 | low, "HI" in modifiers
    if "L" in modifiers:
        result = both << (by & 63) >> 32 if upper else low << min(by, 32)
    elif upper:
        result = signed(high) >> min(by, 31) if "S32" in modifiers else high >> min(by, 32)
    else:
        result = both >> (by & 63) if {"U64", "S64"} & {*modifiers} else low >> min(by, 32)
    r.set(operands[0], result)


def _compare_integers(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    a, b = (r.integer(operand) & WORD for operand in operands[2:4])
    if "U32" not in modifiers:
        a, b = signed(a), signed(b)
    result = compared(modifiers[0], a, b)
    if "EX" in modifiers and a == b:  # the lower words have been compared
        result = r.holds(operands[5])
    combine(r, modifiers, operands, result)


def _extend(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    """SGXT: the lowest bits, as a number with a sign or without."""
    word, bits = r.integer(operands[1]), r.integer(operands[2]) & 63
    word &= (1 << bits) - 1
    negative = "U32" not in modifiers and word >> (bits - 1) & 1
    r.set(operands[0], word - (1 << bits) if negative else word)


def _absolute(r: Registers, modifiers: list[str], operands: list[str]) -> None:
    r.set(operands[0], abs(signed(r.integer(operands[1]))))


_NAMES: dict[Execute, str] = {
    _nothing: "BAR BREAK BSSY BSYNC CCTL DEPBAR ERRBAR MEMBAR NOP ST STG STS WARPSYNC YIELD",
    _move: "MOV UMOV R2UR",
    _clear: "CS2R",
    _load_constant: "LDC ULDC",
    _load: "LD LDG LDS",
    _shuffle: "SHFL",
    _save_predicates: "P2R",
    _restore_predicates: "R2P",
    _select: "SEL USEL",
    _permute_bytes: "PRMT UPRMT",
    _multiply_add: "IMAD UIMAD",
    _add: "IADD3 UIADD3 VIADD UVIADD",
    _extreme: "VIMNMX VIADDMNMX IMNMX UIMNMX",
    _scaled_add: "LEA ULEA",
    _logic: "LOP3 ULOP3",
    _logic_of_predicates: "PLOP3 UPLOP3",
    _shift: "SHF USHF",
    _compare_integers: "ISETP UISETP",
    _extend: "SGXT",
    _absolute: "IABS",
}
BY_NAME = {
    name: execute
    for execute, names in {**_NAMES, **sass_floats.NAMES}.items()
    for name in names.split()
}
