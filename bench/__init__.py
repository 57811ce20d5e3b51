"""Benchmarks of vaekern beside what its users would write otherwise: ``python -m bench``."""

import os
import sys
from pathlib import Path

# Read when torch loads; the profiler that measures memory reports every start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

# Python puts the folder it was started in first, here the sources: they come after an installed
# vaekern, which alone has its compiled extension.
_sources = Path(__file__).resolve().parents[1]
_others = [p for p in sys.path if Path(p or ".").resolve() != _sources]
# What an operation is measured on, and beside what, stands where its tests have it.
sys.path = [*_others, str(_sources), str(_sources / "tests")]
