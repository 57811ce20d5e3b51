"""Fused kernels for training variational autoencoders in PyTorch."""

from vaekern import objectives, posteriors, priors, reference
from vaekern._backend import backend
from vaekern._config import show_config
from vaekern._logistic_likelihoods import logistic_mixture_log_likelihood
from vaekern.elbo import elbo_loss
from vaekern.functional import (
    bernoulli_log_likelihood,
    bernoulli_probs_log_likelihood,
    categorical_log_likelihood,
    continuous_bernoulli_log_likelihood,
    discretized_logistic_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    laplace_log_likelihood,
    multinomial_log_likelihood,
    negative_binomial_log_likelihood,
    poisson_log_likelihood,
    reparameterize,
    sample_with_kl,
    student_t_log_likelihood,
    zero_inflated_negative_binomial_log_likelihood,
)
from vaekern.likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
    Likelihood,
    LogisticMixtureLikelihood,
    MultinomialLikelihood,
    NegativeBinomialLikelihood,
    OptimalGaussianLikelihood,
    PoissonLikelihood,
    ZeroInflatedNegativeBinomialLikelihood,
)
from vaekern.linear_likelihoods import (
    linear_bernoulli_log_likelihood,
    linear_categorical_log_likelihood,
    linear_gaussian_log_likelihood,
)
from vaekern.posteriors.tril import gaussian_kl_tril, sample_tril
from vaekern.vae import VAE, VAEOutput

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "LogisticMixtureLikelihood",
    "MultinomialLikelihood",
    "NegativeBinomialLikelihood",
    "OptimalGaussianLikelihood",
    "PoissonLikelihood",
    "VAEOutput",
    "ZeroInflatedNegativeBinomialLikelihood",
    "backend",
    "bernoulli_log_likelihood",
    "bernoulli_probs_log_likelihood",
    "categorical_log_likelihood",
    "continuous_bernoulli_log_likelihood",
    "discretized_logistic_log_likelihood",
    "elbo_loss",
    "gaussian_kl",
    "gaussian_kl_tril",
    "gaussian_log_likelihood",
    "laplace_log_likelihood",
    "linear_bernoulli_log_likelihood",
    "linear_categorical_log_likelihood",
    "linear_gaussian_log_likelihood",
    "logistic_mixture_log_likelihood",
    "multinomial_log_likelihood",
    "negative_binomial_log_likelihood",
    "objectives",
    "poisson_log_likelihood",
    "posteriors",
    "priors",
    "reference",
    "reparameterize",
    "sample_tril",
    "sample_with_kl",
    "show_config",
    "student_t_log_likelihood",
    "zero_inflated_negative_binomial_log_likelihood",
]
