"""Builds the CUDA sources with an ordinary C++ compiler, to run on an emulation of CUDA's threads.

A build is a tree of source texts, compiled to an extension module. It lands in a folder of the
system's temporary one, named by a hash of all that it is made of, and is used again from there.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
EMULATION = "csrc/cuda/emulation"


_FLAGS = (
    "-std=c++20",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",  # several modules with the same kernels live in one process
    "-fno-strict-aliasing",  # elements are read through vector types, as on a GPU
    "-ffp-contract=off",  # as for nvcc and for the CPU kernels
    "-U_FORTIFY_SOURCE",  # forbids longjmp between stacks
    "-DVK_TARGET=cuda_emulation",
    '-DVK_CUDA_ARCHITECTURES="none"',
)
_NATIVE = ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ()  # for its FMA
_MODULE = ["-shared", *(["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else [])]
_DECLARATION = re.compile(r"^(?!\s*(?://|#)).*?__shared__([^;]*);", re.MULTILINE)
_VARIABLE = re.compile(r"[^,=]*?\b(\w+)\s*(?:\[[^\]]*\]\s*)*")
_COMPILERS_AT_ONCE = 2

Sources = Mapping[str, str]


@dataclass(frozen=True)
class Unit:
    """A file to compile, and with what besides."""

    path: str
    flags: tuple[str, ...] = ()


#: The emulation itself, without a module.
MACHINE = tuple(
    Unit(f"{EMULATION}/{name}.cpp") for name in ("fibers", "block", "scheduler", "runtime")
)


def engine_units(parts: int) -> tuple[Unit, ...]:
    """The library's kernels on the emulation, their list in so many parts."""
    total = f"-DVK_CUDA_PARTS={parts}"
    kernels = "csrc/cuda/kernels.cu"
    return (
        *(Unit(kernels, (total, f"-DVK_CUDA_PART={part}")) for part in range(parts)),
        Unit("csrc/cuda/double_kernels.cu"),
        Unit("csrc/cuda/mixture.cu"),
        Unit("csrc/cuda/softmax.cu"),
        Unit("csrc/cuda/backend.cu", (total,)),
        *MACHINE,
        Unit(f"{EMULATION}/module.cpp"),
    )


class BuildError(RuntimeError):
    """The compiler's own words."""


@functools.cache
def compiler() -> tuple[str, ...]:
    """The command of a C++ compiler, ``$CXX`` before others; empty if there is none."""
    for command in (os.environ.get("CXX", ""), "c++", "g++", "clang++"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return tuple(words)
    return ()


def why_not() -> str:
    """What is missing for a build, empty if nothing is."""
    if not compiler():
        return "needs a C++ compiler"
    if find_spec("pybind11") is None:
        return "needs pybind11"
    return ""


def read_sources(*more: Path) -> dict[str, str]:
    """All of csrc, and further files, by their paths in the repository."""
    suffixes = (".h", ".cpp", ".cuh", ".cu")
    found = [path for path in (ROOT / "csrc").rglob("*") if path.suffix in suffixes]
    found += more
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(found)}


def edited(sources: Sources, path: str, old: str, new: str) -> dict[str, str]:
    """The sources with one change, to a place that must exist exactly once."""
    count = sources[path].count(old)
    if count != 1:
        raise ValueError(f"{path}: {count} times {old!r}, expected once")
    return {**sources, path: sources[path].replace(old, new)}


def poisoned(text: str) -> str:
    """The source with a call after each declaration of shared memory that fills it with NaN: a
    GPU's holds anything at first, a static variable here would hold zeros."""

    def with_call(declaration: re.Match[str]) -> str:
        variable = _VARIABLE.fullmatch(declaration[1])
        if variable is None:
            raise BuildError(f"not one variable: {declaration[0]}")
        return f"{declaration[0]} vk_emulation::poison({variable[1]});"

    return _DECLARATION.sub(with_call, text)


def build(
    name: str,
    sources: Sources,
    units: Iterable[Unit],
    flags: Iterable[str] = (),
    program: bool = False,
) -> Path:
    """Compiles and links ``units`` of the sources to an extension module, or to a program. Safe to
    call from several processes: the second one waits for the first."""
    command = [*compiler(), *_FLAGS, *_NATIVE, *flags]
    units = list(units)
    made_of = (_predefined(*command), command, name, units, sources, program, sys.version)
    folder = _cache() / _key(*made_of)
    result = folder / (name if program else f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}")
    with _locked(folder.with_suffix(".lock")):
        if not result.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                objects = _compile(Path(scratch), sources, units, command)
                linked = Path(scratch) / "linked"
                kind = [] if program else _MODULE
                _run([*command, *kind, *objects, "-o", str(linked)], Path(scratch))
                folder.mkdir(exist_ok=True)
                linked.replace(result)
    return result


def load(module: Path) -> ModuleType:
    """Only the first of a name in a process: pybind11 returns that one again."""
    name = module.name.partition(".")[0]
    spec = spec_from_file_location(name, module, loader=ExtensionFileLoader(name, str(module)))
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@functools.cache
def engine() -> ModuleType:
    """All kernels of the library: the module ``_emulated``."""
    return load(build("_emulated", read_sources(), engine_units(parts=4)))


def _compile(scratch: Path, sources: Sources, units: list[Unit], command: list[str]) -> list[str]:
    for path, text in sources.items():
        target = scratch / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(poisoned(text))
    pybind11 = find_spec("pybind11")
    assert pybind11 is not None
    assert pybind11.origin is not None
    headers = (str(Path(pybind11.origin).parent / "include"), sysconfig.get_path("include"))
    include = [f"-I{EMULATION}", *(word for path in headers for word in ("-isystem", path))]

    def compile_unit(unit: Unit) -> str:
        # nvcc includes its runtime's header unasked, too
        runtime = ["-include", "emulation.h"] if unit.path.endswith(".cu") else []
        compile_it = [*command, *unit.flags, *include, *runtime, "-x", "c++", unit.path]
        return _object(scratch, compile_it, _predefined(*command))

    with ThreadPoolExecutor(_COMPILERS_AT_ONCE) as pool:
        return list(pool.map(compile_unit, units))


def _object(scratch: Path, compile_it: list[str], predefined: str) -> str:
    """The object file of a unit, from an earlier build if the compiler and what it reads are the
    same."""
    key = _key(predefined, compile_it, _run([*compile_it, "-E"], scratch))
    found = _cache() / f"{key}.o"
    if not found.exists():
        fresh = scratch / found.name
        _run([*compile_it, "-c", "-o", str(fresh)], scratch)
        fresh.replace(found)
    return str(found)


def _key(*made_of: object) -> str:
    return hashlib.sha256(repr(made_of).encode()).hexdigest()[:24]


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise BuildError(f"{shlex.join(command)}\n{done.stderr}")
    return done.stdout


@functools.cache
def _predefined(*command: str) -> str:
    """The compiler's own macros: they tell its version, and the processor it compiles for."""
    return _run([*command, "-dM", "-E", "-x", "c++", os.devnull], ROOT)


def _cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"vaekern-emulation-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise BuildError(f"{folder} belongs to somebody else")
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
