"""Fused kernels for training variational autoencoders in PyTorch."""

import torch.fx

from vaekern import (
    elbo,
    functional,
    last_layer,
    likelihoods,
    objectives,
    posteriors,
    priors,
    reference,
)
from vaekern._backends.choice import backend
from vaekern._backends.config import show_config
from vaekern._validation.switch import validate
from vaekern._version import __version__ as __version__
from vaekern.elbo import *
from vaekern.functional import *
from vaekern.last_layer import *
from vaekern.likelihoods import *
from vaekern.posteriors import tril
from vaekern.posteriors.tril import *
from vaekern.vae import VAE, VAEOutput

__all__ = [
    "VAE",
    "VAEOutput",
    "backend",
    "objectives",
    "posteriors",
    "priors",
    "reference",
    "show_config",
    "validate",
]
__all__ += elbo.__all__
__all__ += functional.__all__
__all__ += last_layer.__all__
__all__ += likelihoods.__all__
__all__ += tril.__all__

# For torch.fx.symbolic_trace each is a leaf, as torch's own functions are.
for _function in (*elbo.__all__, *functional.__all__, *last_layer.__all__, *tril.__all__):
    torch.fx.wrap(_function)
