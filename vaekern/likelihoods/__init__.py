"""Likelihoods p(x | decoder output) as modules: log-probability, mean and samples.

Anything with these three methods and an ``nn.Module`` base can stand in for them in
:class:`vaekern.VAE` and :func:`vaekern.elbo_loss`.
"""

from __future__ import annotations

from vaekern._modules.outputs import DecoderOutput as DecoderOutput
from vaekern.likelihoods import (
    _asymmetric_laplace,
    _bernoulli_probs,
    _classes,
    _continuous_bernoulli,
    _counts,
    _elementwise,
    _images,
    _optimal_gaussian,
    _student_t,
)
from vaekern.likelihoods._asymmetric_laplace import *
from vaekern.likelihoods._base import Likelihood as Likelihood
from vaekern.likelihoods._bernoulli_probs import *
from vaekern.likelihoods._classes import *
from vaekern.likelihoods._continuous_bernoulli import *
from vaekern.likelihoods._counts import *
from vaekern.likelihoods._elementwise import *
from vaekern.likelihoods._images import *
from vaekern.likelihoods._named import NAMED as NAMED
from vaekern.likelihoods._named import likelihood_named as likelihood_named
from vaekern.likelihoods._named import shared_likelihood as shared_likelihood
from vaekern.likelihoods._optimal_gaussian import *
from vaekern.likelihoods._student_t import *

__all__ = ["Likelihood"]
__all__ += _asymmetric_laplace.__all__
__all__ += _bernoulli_probs.__all__
__all__ += _classes.__all__
__all__ += _continuous_bernoulli.__all__
__all__ += _counts.__all__
__all__ += _elementwise.__all__
__all__ += _images.__all__
__all__ += _optimal_gaussian.__all__
__all__ += _student_t.__all__
