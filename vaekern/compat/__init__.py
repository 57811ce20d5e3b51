"""Drop-ins: names and signatures of other packages, computed by the fused kernels.

Nothing here imports the package that it stands in for before a function needs it.
"""

from vaekern.compat import (
    dreamer,
    latent_diffusion,
    pythae,
    pytorch_examples,
    scvi,
    torch_distributions,
)
from vaekern.compat._patch import Patch
from vaekern.compat.diffusers import DiagonalGaussianDistribution, patch_diffusers
from vaekern.compat.minimax_h3 import MiniMaxH3AudioDiagonalGaussianDistribution
from vaekern.compat.oobleck import OobleckDiagonalGaussianDistribution
from vaekern.compat.pythae import patch_pythae
from vaekern.compat.scvi import patch_scvi
from vaekern.compat.torch_distributions import distributions

__all__ = [
    "DiagonalGaussianDistribution",
    "MiniMaxH3AudioDiagonalGaussianDistribution",
    "OobleckDiagonalGaussianDistribution",
    "Patch",
    "distributions",
    "dreamer",
    "latent_diffusion",
    "patch_diffusers",
    "patch_pythae",
    "patch_scvi",
    "pythae",
    "pytorch_examples",
    "scvi",
    "torch_distributions",
]
