"""The version that pip knows is the one that the package says: both come from one line."""

from __future__ import annotations

from importlib import metadata

import pytest

import vaekern as vk


def test_installed_version_is_that_of_the_package() -> None:
    try:
        installed = metadata.version("vaekern")
    except metadata.PackageNotFoundError:
        pytest.skip("vaekern runs from a source folder, and is not installed")
    assert installed == vk.__version__


def test_configuration_says_it_installed_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    vk.show_config()
    name, version, *_ = capsys.readouterr().out.split()
    assert (name, version) == ("vaekern", vk.__version__)
