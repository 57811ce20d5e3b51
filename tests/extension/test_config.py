"""show_config: complete, and true to what runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vaekern import _backend, _config, _native


def test_reports_versions_and_threads() -> None:
    config = _config.config()
    assert config["torch"] == torch.__version__
    assert config["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert config["threads"] == str(torch.get_num_threads())
    assert all(config.values()), "an entry is empty"


@pytest.mark.parametrize("name", _backend.BACKENDS)
def test_reports_each_backend(name: str) -> None:
    why = _backend.unavailable(name)
    expected = "available" if why is None else f"not available: {why}"
    assert _config.config()[f"backend {name}"] == expected


def test_reports_the_instruction_set_in_use() -> None:
    config = _config.config()
    if _native.core is None:
        assert "instruction set" not in config
        return
    before = _native.core.isa()
    try:
        for isa in _native.core.usable_isas():
            _native.core.use_isa(isa)
            assert _config.config()["instruction set"].startswith(f"{isa} (usable: ")
    finally:
        _native.core.use_isa(before)


def test_prints_one_aligned_line_per_entry(capsys: pytest.CaptureFixture[str]) -> None:
    _config.show_config()
    lines = capsys.readouterr().out.splitlines()
    config = _config.config()
    assert len(lines) == len(config)
    width = max(map(len, config))
    for line, (name, value) in zip(lines, config.items(), strict=True):
        assert line[:width].rstrip() == name
        assert line[width:] == f"  {value}"


def test_runs_as_a_module() -> None:
    # -P keeps the working directory, which may hold the sources, off the path.
    safe_path = ["-P"] if sys.version_info >= (3, 11) else []
    command = [sys.executable, *safe_path, "-m", "vaekern"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split("  ")[0].strip() for line in done.stdout.splitlines()] == list(
        _config.config()
    )
