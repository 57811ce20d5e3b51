"""show_config: complete, and true to what runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vaekern._backends import choice, config, native


def test_reports_versions_and_threads() -> None:
    entries = config.config()
    assert entries["torch"] == torch.__version__
    assert entries["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert entries["threads"] == str(torch.get_num_threads())
    assert all(entries.values()), "an entry is empty"


@pytest.mark.parametrize("name", choice.BACKENDS)
def test_reports_each_backend(name: str) -> None:
    why = choice.unavailable(name)
    expected = "available" if why is None else f"not available: {why}"
    assert config.config()[f"backend {name}"] == expected


def test_reports_the_instruction_set_in_use() -> None:
    entries = config.config()
    if native.core is None:
        assert "instruction set" not in entries
        return
    before = native.core.isa()
    try:
        for isa in native.core.usable_isas():
            native.core.use_isa(isa)
            assert config.config()["instruction set"].startswith(f"{isa} (usable: ")
    finally:
        native.core.use_isa(before)


def test_prints_one_aligned_line_per_entry(capsys: pytest.CaptureFixture[str]) -> None:
    config.show_config()
    lines = capsys.readouterr().out.splitlines()
    entries = config.config()
    assert len(lines) == len(entries)
    width = max(map(len, entries))
    for line, (name, value) in zip(lines, entries.items(), strict=True):
        assert line[:width].rstrip() == name
        assert line[width:] == f"  {value}"


def test_runs_as_a_module() -> None:
    # -P keeps the working directory, which may hold the sources, off the path.
    safe_path = ["-P"] if sys.version_info >= (3, 11) else []
    command = [sys.executable, *safe_path, "-m", "vaekern"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split("  ")[0].strip() for line in done.stdout.splitlines()] == list(
        config.config()
    )
