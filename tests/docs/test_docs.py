"""The documentation: its Python runs and prints what it says, its links lead somewhere."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

import vaekern as vk

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/dropins").glob("*.md")]
EXECUTED = [ROOT / "README.md", *sorted(PAGES)]
LOOKED_UP = ("operations.md", "install.md")
LINKED = [*EXECUTED, ROOT / "CONTRIBUTING.md"]

BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)(?P<target>[^)#]+)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def python_blocks(page: Path) -> Iterator[tuple[str, str | None]]:
    """Code, behind as many empty lines as keep its line numbers, and what it should print: the
    ``text`` block that follows, None without one."""
    page_text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(page_text))
    for block, following in zip_longest(blocks, blocks[1:]):
        if block["language"] != "python":
            continue
        says = following is not None and following["language"] == "text"
        lines_before = page_text.count("\n", 0, block.start("text"))
        yield "\n" * lines_before + block["text"], following["text"] if says else None


@pytest.mark.parametrize("page", EXECUTED, ids=name_of)
def test_code_runs(page: Path) -> None:
    namespace: dict[str, Any] = {"__name__": page.stem}
    for code, expected in python_blocks(page):
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(page), "exec"), namespace)
        except ModuleNotFoundError as missing:  # a page's blocks for other packages come last
            pytest.skip(f"{page.name} needs {missing.name} from here on")
        if expected is not None:
            assert printed.getvalue() == expected


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    targets = [match["target"] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("name", vk.__all__)
def test_guide_names_every_public_name(name: str) -> None:
    """In code, alone or after ``vk.``, where operations, modules and backends are looked up."""
    guide = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in LOOKED_UP)
    assert re.search(rf"`(vk\.)?{name}\b", guide), f"{LOOKED_UP} do not describe {name}"


@pytest.mark.parametrize("name", vk.__all__)
def test_site_describes_every_public_name(name: str) -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/api").glob("*.md"))
    assert re.search(rf"^.. auto\w+:: (vaekern\.)?{name}$", pages, re.MULTILINE)
