from vaekern._backend import backend
from vaekern.functional import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    reparameterize,
    sample_with_kl,
)
