"""Benchmarks of vaekern beside what its users would write otherwise: ``python -m bench``."""

import os

# Read when torch loads; the profiler that measures memory reports every start and stop otherwise.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
