"""What is said where Triton is missing, too old, or asked to run on tensors of the CPU."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import triton_interpreter

if triton_interpreter.why_not():
    pytest.skip(triton_interpreter.why_not(), allow_module_level=True)

import triton


def test_a_missing_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vaekern._backends.triton", raising=False)
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(ImportError, match="pip install 'triton"):
        importlib.import_module("vaekern._backends.triton")


def test_an_old_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vaekern._backends.triton", raising=False)
    monkeypatch.setattr(triton, "__version__", "3.3.1")
    with pytest.raises(ImportError, match=r"3\.4 or later.*3\.3\.1"):
        importlib.import_module("vaekern._backends.triton")


WITHOUT_INTERPRETER = """
import sys, torch, vaekern
assert "triton" not in sys.modules
from vaekern._backends.launch import Output
from vaekern._backends.triton import BACKEND
kernel = "standard_kl", "logvar", "value"
mu = torch.zeros(2, 3)
try:
    BACKEND.run(kernel, False, mu.shape, 1, [mu, mu], [Output(1, torch.empty(2), None)])
except RuntimeError as error:
    assert "TRITON_INTERPRET=1" in str(error)
else:
    raise SystemExit("ran")
"""


def test_on_cpu_tensors_it_needs_the_interpreter() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", WITHOUT_INTERPRETER], check=True, env=environment)
