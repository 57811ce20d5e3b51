"""What docstrings and pages say of names is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import vaekern as vk
from vaekern import likelihoods, posteriors, priors
from vaekern.likelihoods import NAMED

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = [name for name in vk.__all__ if name.endswith("_log_likelihood")]
#: Those without a module: two of a module's two ways, and pairs with a layer.
WITHOUT_MODULE = {"bernoulli_probs_log_likelihood"}


@pytest.mark.parametrize("of", [vk.VAE, vk.elbo_loss], ids=["VAE", "elbo_loss"])
@pytest.mark.parametrize("name", NAMED)
def test_docstrings_list_every_likelihood_by_name(of: Any, name: str) -> None:
    assert f'``"{name}"``' in inspect.getdoc(of)
    assert f'`"{name}"`' in (ROOT / "docs/operations.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "of", [vk.VAE.__init__, vk.VAE.forward, vk.elbo_loss], ids=["VAE", "forward", "elbo_loss"]
)
def test_docstrings_describe_every_argument(of: Any) -> None:
    text = inspect.getdoc(vk.VAE if of is vk.VAE.__init__ else of) or ""
    described = {
        name.strip()
        for line in re.findall(r"^ +([a-z_]+(?:, [a-z_]+)*): ", text, re.MULTILINE)
        for name in line.split(",")
    }
    assert set(inspect.signature(of).parameters) - {"self"} <= described


@pytest.mark.parametrize("name", FUNCTIONS)
def test_likelihoods_take_a_mask(name: str) -> None:
    """As the README says of all of them."""
    assert "mask" in inspect.signature(getattr(vk, name)).parameters


@pytest.mark.parametrize("name", FUNCTIONS)
def test_likelihoods_are_modules_too(name: str) -> None:
    if name in WITHOUT_MODULE or name.startswith("linear_"):
        return
    stem = name.removesuffix("_log_likelihood").title().replace("_", "")
    module = getattr(vk, f"{stem}Likelihood")
    assert issubclass(module, vk.Likelihood)
    assert module.__name__ in likelihoods.__all__


@pytest.mark.parametrize("package", [posteriors, priors], ids=lambda package: package.__name__)
def test_the_page_of_posteriors_and_priors_names_all(package: Any) -> None:
    page = (ROOT / "docs/posteriors.md").read_text(encoding="utf-8")
    for name in package.__all__:
        if inspect.isclass(getattr(package, name)) and name not in ("Diagonal", "Categories"):
            assert re.search(rf"\b{name}\b", page), name


def test_the_guide_s_example_is_the_code_of_the_library() -> None:
    """Every block of "How to add a likelihood" stands in the file named before it."""
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = guide.partition("## How to add a likelihood")[2].partition("\n## ")[0]
    blocks = list(re.finditer(r"```(?:cpp|python)\n(.*?)```", section, re.DOTALL))
    assert len(blocks) >= 8
    named: list[str] = []
    for before, block in zip([None, *blocks], blocks, strict=False):
        said = section[before.end() if before else 0 : block.start()]
        named = re.findall(r"`((?:csrc|vaekern|tests)/[\w/]+\.\w+)`", said) or named
        assert any(block[1] in (ROOT / file).read_text(encoding="utf-8") for file in named), named
