"""The build's own decisions: which GPUs it compiles for, and that a second one in the same folder
finds the objects of the first. Nothing is compiled here."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURES = ROOT / "csrc/cuda/architectures.cmake"

if shutil.which("cmake") is None:
    pytest.skip("needs cmake", allow_module_level=True)
if not ARCHITECTURES.exists():
    pytest.skip("needs the sources", allow_module_level=True)
if sys.platform == "win32":
    pytest.skip("needs a POSIX shell", allow_module_level=True)

ALL = "80 90-real 100-real 120-real"
FROM_80 = "--generate-code=arch=compute_80,code=[compute_80,sm_80,sm_90,sm_100,sm_120]"


def _program(path: Path, does: str) -> Path:
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return path


def _chosen(folder: Path, gpus: str, asked_for: str = "", nvcc: str = "13.0") -> tuple[str, str]:
    """What the build says it compiles for, and the options that it gives nvcc, where nvidia-smi
    does ``gpus``."""
    known = "sm_75 sm_80 sm_86 sm_90 sm_100 sm_120"
    compiler = _program(folder / "nvcc", f"printf '%s\\n' {known}")
    smi = _program(folder / "nvidia-smi", gpus)
    script = folder / "script.cmake"
    script.write_text(
        "cmake_minimum_required(VERSION 3.21)\n"
        f'include("{ARCHITECTURES}")\n'
        f'vaekern_choose_architectures(names options "{asked_for}")\n'
        'message("${names}|${options}")\n'
    )
    command = ["cmake", f"-DCMAKE_CUDA_COMPILER={compiler}", f"-DVAEKERN_NVIDIA_SMI={smi}"]
    command += [f"-DCMAKE_CUDA_COMPILER_VERSION={nvcc}", "-P", str(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    names, _, options = done.stderr.strip().partition("|")
    return names, options


def test_the_gpu_of_this_machine_alone(tmp_path: Path) -> None:
    option = "--generate-code=arch=compute_90,code=[compute_90,sm_90]"
    assert _chosen(tmp_path, "echo 9.0; echo 9.0") == ("90", option)


def test_all_gpus_of_this_machine(tmp_path: Path) -> None:
    names, options = _chosen(tmp_path, "echo 8.6; echo 12.0")
    assert names == "86 120"
    assert options.count("--generate-code") == 2


@pytest.mark.parametrize(
    "gpus",
    ["exit 9", "echo '[N/A]'", "", "echo 13.1", "echo 9.0; echo 7.0", "kill -9 $$"],
    ids=["fails", "does not know", "none", "newer than nvcc", "an old one too", "crashes"],
)
def test_every_generation_where_that_is_not_known(gpus: str, tmp_path: Path) -> None:
    assert _chosen(tmp_path, gpus) == (ALL, f"{FROM_80};--compress-mode=size")


def test_no_generation_that_nvcc_does_not_know(tmp_path: Path) -> None:
    names, options = _chosen(tmp_path, "exit 9", nvcc="12.4")
    assert names == "80 90-real"
    assert "sm_100" not in options
    assert "--compress" not in options  # drivers for 12 cannot all read it


def test_what_is_asked_for_comes_first(tmp_path: Path) -> None:
    assert _chosen(tmp_path, "echo 9.0", asked_for="80;89-real") == ("80 89-real", "")


# --- a second build in the same folder --------------------------------------------------------


def _configure(build: Path, environment: Path) -> list[str]:
    """As scikit-build-core does in a new isolated environment, for which it empties the cache.
    The commands of the build."""
    (build / "CMakeCache.txt").unlink(missing_ok=True)
    shutil.rmtree(build / "CMakeFiles", ignore_errors=True)
    installed = find_spec("pybind11")
    assert installed is not None
    assert installed.origin is not None
    shutil.copytree(Path(installed.origin).parent, environment / "pybind11")
    command = ["cmake", "-G", "Ninja", "-S", ROOT, "-B", build, "-DVAEKERN_CUDA=OFF"]
    command += ["-DVAEKERN_CPU=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    command += [f"-Dpybind11_DIR={environment / 'pybind11/share/cmake/pybind11'}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    listed = subprocess.run(
        ["ninja", "-C", build, "-t", "commands"], check=True, capture_output=True, text=True
    )
    return listed.stdout.splitlines()


@pytest.mark.skipif(
    shutil.which("ninja") is None or find_spec("pybind11") is None or not shutil.which("c++"),
    reason="needs ninja, pybind11 and a C++ compiler",
)
@pytest.mark.skipif(
    not Path(sysconfig.get_path("include"), "Python.h").exists(), reason="needs Python's headers"
)
def test_another_environment_changes_no_command_and_no_header(tmp_path: Path) -> None:
    build = tmp_path / "build"
    first = _configure(build, tmp_path / "first")
    headers = {path: path.stat().st_mtime_ns for path in build.rglob("*.h")}
    stamps = {path: path.stat().st_mtime_ns for path in build.glob("compiler_*.txt")}
    assert headers
    assert stamps
    assert _configure(build, tmp_path / "second") == first
    assert {path: path.stat().st_mtime_ns for path in headers | stamps} == headers | stamps
    objects = [word for line in first for word in line.split() if word.endswith(".o")]
    assert objects
    assert not [path for path in objects if path.startswith("CMakeFiles/")]  # emptied, too
