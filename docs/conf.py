"""The documentation as a site: ``sphinx-build -W docs OUT``, with what ``.[docs]`` installs."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

import vaekern

project = "vaekern"
author = copyright = "The vaekern authors"
version = release = vaekern.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
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


# Formulas become MathML when the site is built: browsers show it by themselves, and no page needs a
# script from elsewhere (docs/check_offline.py).


NAME_OF_FUNCTION = re.compile("<mi>(exp|log|tanh)</mi>")
SPACED = r'<mo form="prefix" lspace="0.17em" rspace="0.17em">\1</mo>'


def _mathml(node, display):
    mathml = convert(node.astext(), display=display)
    if "\\" in mathml:  # commands that it does not know stay as they are
        logging.getLogger(__name__).warning("no MathML for %s", node.astext(), location=node)
    return NAME_OF_FUNCTION.sub(SPACED, mathml)


def _add_inline(translator, node):
    translator.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _add_displayed(translator, node):
    displayed = _mathml(node, "block")
    translator.body.append(translator.starttag(node, "div", CLASS="math") + displayed + "</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (_add_inline, None), (_add_displayed, None))
    # Before napoleon reads the sections, at priority 500.
    app.connect("autodoc-process-docstring", _mark_shapes, priority=400)
