"""Where and on what a figure was measured."""

from __future__ import annotations

import datetime
import functools
import os
import platform
import re
import subprocess
from pathlib import Path

import torch

import vaekern as vk
from vaekern._backends import native

ROOT = Path(__file__).resolve().parents[2]

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def versions() -> dict[str, str]:
    """The columns that say of what, and when, a result is."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "commit": commit(),
        "vaekern": vk.__version__,
        "torch": torch.__version__,
    }


def describe() -> dict[str, str]:
    """The columns that every result of a CPU has."""
    return versions() | {
        "cpu": cpu_model(),
        "isa": native.core.isa() if native.core is not None else "",
        "threads": str(torch.get_num_threads()),
        "huge_pages": os.environ.get("THP_MEM_ALLOC_ENABLE", "0"),
    }


#: Says which commit this is, where the sources are a copy without their repository; or a file of
#: that content beside them, ``git rev-parse --short=12 HEAD > COMMIT``.
COMMIT_VARIABLE, COMMIT_FILE = "VAEKERN_COMMIT", ROOT / "COMMIT"


def commit() -> str:
    said = os.environ.get(COMMIT_VARIABLE, "").strip()
    if not said and COMMIT_FILE.exists():
        said = COMMIT_FILE.read_text().strip()
    if said:
        return said
    hash_ = _git("rev-parse", "--short=12", "HEAD")
    return hash_ + ("-dirty" if _git("status", "--porcelain") else "") or "unknown"


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def last_level_cache_bytes() -> int:
    """The largest cache's size; 32 MiB where the system does not say."""
    units = {"K": 2**10, "M": 2**20}
    sizes = [path.read_text().strip() for path in _CACHES.glob("index*/size")]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes), default=32 * 2**20)


@functools.cache
def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except OSError:  # there is no git
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
