"""The pages that tables of the tests write are up to date, and the tests they name exist."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import family
import pytest
import torch_features

TESTS = Path(__file__).parents[1]

pages = pytest.mark.parametrize("table", [family, torch_features], ids=lambda table: table.__name__)


@pages
def test_the_page_is_the_table(table: ModuleType, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--write-pages"):
        table.PAGE.write_text(table.page(), encoding="utf-8")
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), (
        "write it again: pytest tests/docs --write-pages"
    )


@pages
def test_the_tests_it_names_exist(table: ModuleType) -> None:
    for test in table.named_tests():
        file, name = test.split("::")
        (path,) = TESTS.rglob(file)
        assert f"\ndef {name}(" in path.read_text(encoding="utf-8"), test
