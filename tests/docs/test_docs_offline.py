"""What docs/check_offline.py finds in a built site, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())

FROM_ELSEWHERE = {
    "script": '<script async src="https://cdn.example/tex.js"></script>',
    "any scheme": '<script src="//cdn.example/tex.js"></script>',
    "style": '<link rel="stylesheet" href="https://cdn.example/theme.css">',
    "image": '<p><img alt="" src="http://example.org/badge.svg"/></p>',
}
AT_HOME = (
    '<script src="_static/doctools.js"></script><img src="_images/steps.png">'
    '<link rel="canonical" href="https://example.org/"><a href="https://example.org/">a link</a>'
    "<pre>&lt;script src=https://example.org/&gt;</pre>"
)


def check(site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "check_offline.py"), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pages_may_link_anywhere_and_load_what_is_beside_them(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(AT_HOME)
    (tmp_path / "theme.css").write_text("@font-face { src: url(fonts/a.woff2) }")
    run = check(tmp_path)
    assert (run.returncode, run.stdout) == (0, "1 pages load nothing from elsewhere\n")


@pytest.mark.parametrize("what", FROM_ELSEWHERE)
def test_what_a_page_loads_from_elsewhere_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "functions.html").write_text(AT_HOME + FROM_ELSEWHERE[what])
    run = check(tmp_path)
    assert run.returncode == 1
    assert "api/functions.html: <" in run.stderr
    assert "example" in run.stderr


def test_what_a_style_loads_from_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(AT_HOME)
    (tmp_path / "theme.css").write_text('@import url("https://fonts.example/css2");')
    run = check(tmp_path)
    assert run.returncode == 1
    assert "theme.css: https://fonts.example/css2" in run.stderr


def test_a_folder_without_pages_is_no_site(tmp_path: Path) -> None:
    assert check(tmp_path).returncode == 1
