"""The documentation as a site: ``sphinx-build -W docs OUT``, with what ``.[docs]`` installs."""

import re

import vaekern

project = "vaekern"
author = copyright = "The vaekern authors"
version = release = vaekern.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_title = f"vaekern {release}"

# Pages also read well where they lie, so they link to files of the repository: those are no pages.
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
napoleon_numpy_docstring = False

SHAPE = re.compile(r"(?<!`)\[[^\[\]`]*\*[^\[\]`]*\]")


def _mark_shapes(app, what, name, obj, options, lines):
    """Docstrings write shapes such as [B, *latent] as they are; to docutils the star is markup."""
    lines[:] = [SHAPE.sub(lambda shape: f"``{shape[0]}``", line) for line in lines]


def setup(app):
    # Before napoleon reads the sections, at priority 500.
    app.connect("autodoc-process-docstring", _mark_shapes, priority=400)
