"""scvi-tools' module of SCVI, on counts as they come from its data loaders.

pip install scvi-tools
python examples/dropins/scvi_models.py
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Any

import torch
from comparison import Model, main
from torch import Tensor

from vaekern.compat import patch_scvi

CELLS = 128


def scvi(genes: int, likelihood: str, dispersion: str) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports
        modules = importlib.import_module("scvi.module")
    module = modules.VAE(genes, n_batch=2, gene_likelihood=likelihood, dispersion=dispersion)
    batch = {
        "X": torch.poisson(torch.rand(CELLS, genes) * 2.0),
        "batch": torch.arange(CELLS)[:, None] % 2,
        "labels": torch.zeros(CELLS, 1),
    }

    def loss(module: Any) -> Tensor:
        return module(batch)[2].loss

    return Model(module.train(), loss)


if __name__ == "__main__":
    main(
        "scvi-tools",
        patch_scvi,
        {
            f"SCVI {likelihood}, dispersion per {dispersion}, {genes} genes": functools.partial(
                scvi, genes, likelihood, dispersion
            )
            for genes in (2000, 10000)
            for likelihood, dispersion in (
                ("zinb", "gene"),
                ("zinb", "gene-cell"),
                ("nb", "gene"),
                ("nb", "gene-batch"),
                ("poisson", "gene"),
            )
        },
    )
