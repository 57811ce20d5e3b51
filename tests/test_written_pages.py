"""The pages that tables of the tests write are up to date, and the tests they name exist."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import family
import pytest
import torch_features

pages = pytest.mark.parametrize("table", [family, torch_features], ids=lambda table: table.__name__)


@pages
def test_the_page_is_the_table(table: ModuleType) -> None:
    assert table.PAGE.read_text(encoding="utf-8") == table.page(), (
        f"write it again: python tests/{table.__name__}.py"
    )


@pages
def test_the_tests_it_names_exist(table: ModuleType) -> None:
    for test in table.named_tests():
        file, name = test.split("::")
        source = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in source, test
