"""The family: every density, divergence, posterior, prior and objective, where it runs and what
shows it: the tables of docs/family.md, which ``pytest tests/docs --write-pages`` writes.

What runs over tests/operations/cases.py is read from there; the rest names its tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import backends
from operations.every import CASES, SUBJECTS

PAGE = Path(__file__).parents[2] / "docs" / "family.md"

#: Independent oracles beside the densities in many digits of accuracy.py.
ORACLES = {
    "bernoulli_probs_log_likelihood": (
        "test_likelihoods.py::test_the_bernoulli_of_probabilities_is_the_cross_entropy",
    ),
    "continuous_bernoulli_log_likelihood": (
        "test_likelihoods.py::test_they_are_those_of_torch",
        "test_likelihoods.py::test_a_continuous_bernoulli_integrates_to_one",
    ),
    "laplace_log_likelihood": ("test_likelihoods.py::test_they_are_those_of_torch",),
    "student_t_log_likelihood": ("test_likelihoods.py::test_they_are_those_of_torch",),
    "discretized_logistic_log_likelihood": (
        "test_logistic.py::test_it_is_the_difference_of_the_cdf",
        "test_logistic.py::test_all_levels_together_are_certain",
    ),
    "categorical_log_likelihood": (
        "test_classes.py::test_within_ulps_of_many_digits",
        "test_classes.py::test_they_are_those_of_torch",
    ),
    "multinomial_log_likelihood": ("test_classes.py::test_they_are_those_of_torch",),
    "poisson_log_likelihood": ("test_likelihoods.py::test_counts_are_those_of_torch",),
    "negative_binomial_log_likelihood": ("test_likelihoods.py::test_counts_are_those_of_torch",),
    "zero_inflated_negative_binomial_log_likelihood": (
        "test_likelihoods.py::test_counts_have_probabilities_that_sum_to_one",
    ),
    "reparameterize": ("test_noise.py::test_moments",),
    "sample_categorical": ("test_categorical_samples.py::test_samples_have_the_probabilities",),
    "gumbel_softmax": ("test_categorical_samples.py::test_gradcheck_of_relaxed_samples",),
    "categorical_kl": (
        "test_categoricals.py::test_within_ulps_of_many_digits",
        "test_categoricals.py::test_it_is_that_of_torch",
    ),
}


@dataclass(frozen=True)
class Item:
    """Something made of the operations: on which backends it is run, and what shows it."""

    name: str
    runs_on: str
    gradients: str
    oracle: tuple[str, ...]


_ALL = "reference, CPU, CUDA, Triton"
_MADE = "those of its operations"
_MIXTURE, _OF_MIXTURES = "test_logistic_mixture.py", "test_logistic_mixture_in_torch.py"
_LAYER = "test_linear_likelihoods.py"
_TRIL, _FAMILY, _FLOWS = "test_posteriors_tril.py", "test_posteriors.py", "test_posteriors_flows.py"
_CLASSES = "test_posteriors_categorical.py"
_RELAXED = "test_posteriors_categorical_relaxed.py"
_CLASS_MODELS = "test_posteriors_categorical_models.py"
_SPHERE, _PRODUCT = "test_posteriors_sphere.py", "test_posteriors_product.py"
_PRIORS, _ESTIMATORS, _OBJECTIVES = "test_priors.py", "test_estimators.py", "test_objectives.py"
_OPTIONS = "test_elbo_options.py"

ITEMS = (
    Item(
        "`logistic_mixture_log_likelihood`", _ALL, f"{_OF_MIXTURES}::test_gradcheck",
        (f"{_MIXTURE}::test_it_is_the_mixture_of_cdf_differences",),
    ),
    Item(
        "`linear_…_log_likelihood`", _ALL, f"{_LAYER}::test_derivatives",
        (f"{_LAYER}::test_equal_to_the_two_steps",),
    ),
    Item(
        "`OptimalGaussianLikelihood`", _ALL,
        "test_optimal_gaussian.py::test_the_batch_has_the_value_and_gradients_of_the_formula",
        ("test_optimal_gaussian.py::test_a_learned_variance_has_its_optimum_there",),
    ),
    Item(
        "element masks", _ALL, "test_mask.py::test_derivatives_of_derivatives_are_finite",
        ("test_mask.py::test_what_lies_outside_changes_nothing",),
    ),
    Item(
        "`gaussian_kl_tril`, `sample_tril`", "reference, CPU", f"{_TRIL}::test_gradients_twice",
        (f"{_TRIL}::test_kl_and_gradients_are_those_of_torch",
         f"{_TRIL}::test_digits_near_the_prior_in_single"),
    ),
    Item(
        "`vk.posteriors`: diagonal, full, low-rank", _MADE, f"{_FAMILY}::test_divergences",
        (f"{_FAMILY}::test_densities_and_entropy", f"{_FAMILY}::test_samples_have_the_covariance"),
    ),
    Item(
        "`vk.posteriors`: flows", _MADE,
        f"{_FLOWS}::test_chain_of_flows_with_context_and_its_gradients",
        (f"{_FLOWS}::test_determinants", f"{_FLOWS}::test_density_of_a_flow_integrates_to_one"),
    ),
    Item(
        "`vk.posteriors.VonMisesFisher`", "plain torch",
        f"{_SPHERE}::test_gradients_of_expectations",
        (f"{_SPHERE}::test_divergence_density_and_gradients_in_many_digits",
         f"{_SPHERE}::test_implicit_derivative_of_the_angle", f"{_SPHERE}::test_samples"),
    ),
    Item(
        "`vk.posteriors`, `vk.priors`: products", _MADE,
        f"{_PRODUCT}::test_gradients_and_rearrangements",
        (f"{_PRODUCT}::test_values_are_sums_over_parts",
         f"{_PRODUCT}::test_of_gaussians_it_is_the_gaussian"),
    ),
    Item(
        "`vk.posteriors`, `vk.priors`: classes", _MADE,
        f"{_CLASSES}::test_densities_moments_and_divergences",
        (f"{_CLASSES}::test_samples", f"{_RELAXED}::test_relaxed_densities_are_those_of_torch",
         f"{_CLASS_MODELS}::test_at_the_true_posterior_every_weight_is_the_evidence"),
    ),
    Item(
        "`vk.posteriors.OneHotCategorical`, `OneHotCategoricalStraightThrough`", _MADE,
        f"{_CLASSES}::test_the_classes_in_the_place_of_torch_s",
        (f"{_CLASSES}::test_to_and_from_torch",),
    ),
    Item(
        "`balanced_categorical_kl`, `free_bits_categorical_kl`", _MADE,
        f"{_CLASS_MODELS}::test_balanced_divergences",
        (f"{_CLASS_MODELS}::test_free_bits_are_those_of_the_parts",),
    ),
    Item(
        "`vk.posteriors.Normal`", _MADE, "test_posteriors_normal.py::test_divergences",
        ("test_posteriors_normal.py::test_densities_and_statistics_are_those_of_torch",),
    ),
    Item(
        "`vk.priors`", _MADE, "test_posteriors_vae.py::test_training",
        (f"{_PRIORS}::test_densities", f"{_PRIORS}::test_estimated_divergences_are_unbiased"),
    ),
    Item(
        "ELBO, one pass", _ALL, "test_elbo.py::test_one_pass_on_every_backend",
        (f"{_ESTIMATORS}::test_elbo_gradients_are_unbiased",),
    ),
    Item(
        "IWAE, STL, DReG", _MADE, f"{_ESTIMATORS}::test_gradient_is_the_formula",
        (f"{_ESTIMATORS}::test_gradients_of_two_samples_against_quadrature",
         f"{_ESTIMATORS}::test_bound_tightens_towards_the_evidence"),
    ),
    Item(
        "Rényi bounds", _MADE, "test_bounds.py::test_renyi_bound",
        ("test_bounds.py::test_renyi_bound_between_its_limits",),
    ),
    Item(
        "free bits, capacity, weights", _MADE,
        f"{_OPTIONS}::test_options_under_compile_and_gradcheck",
        (f"{_OPTIONS}::test_free_bits", f"{_OPTIONS}::test_capacity", f"{_OPTIONS}::test_weights"),
    ),
    Item(
        "KL balancing, warm-up", _MADE, f"{_OBJECTIVES}::test_balanced_kl",
        (f"{_OBJECTIVES}::test_dreamer_v3_loss_is_the_balanced_one",
         f"{_OBJECTIVES}::test_linear_warmup"),
    ),
    Item(
        "beta-TC decomposition", _MADE, f"{_OBJECTIVES}::test_decomposed_kl",
        (f"{_OBJECTIVES}::test_parts_make_the_whole",),
    ),
    Item(
        "MMD", _MADE, f"{_OBJECTIVES}::test_biased_mmd_and_its_gradient",
        (f"{_OBJECTIVES}::test_mmd_is_unbiased",),
    ),
)  # fmt: skip

_HEAD = """# The family

What the library computes, where, and which tests (in `tests/`) show it; `pytest tests/docs
--write-pages` writes this page, and a test fails where it is not up to date.

## Operations

Each of these is compared with the plain PyTorch reference in float64, in every way it can be called
(the cases of `test_parity.py`), on every backend: the compiled CPU kernels with each instruction
set, the CUDA sources on an emulation of CUDA's threads and the Triton kernels in Triton's
interpreter, or both on a GPU. First and second derivatives pass `gradcheck` and `gradgradcheck`
(`test_gradients.py`). The kernels are compared with the density in 400 bits, element by element,
where the last column says mpmath (`test_accuracy.py`).

| | Cases | reference | CPU | CUDA (emulated) | Triton (interpreted) | gradcheck | Oracle |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""

_MIDDLE = """
## Made of them

| | Runs on | Gradients shown by | Oracle |
| --- | --- | --- | --- |
"""


def named_tests() -> Iterator[str]:
    for tests in ORACLES.values():
        yield from tests
    for item in ITEMS:
        yield from (item.gradients, *item.oracle)


def _code(tests: tuple[str, ...]) -> str:
    return ", ".join(f"`{test}`" for test in tests)


def _operation(function: str) -> str:
    """All columns are facts of the tables that the tests run over."""
    ways = len({case.label for case in CASES if case.function == function})
    in_digits = any(subject.function == function for subject in SUBJECTS)
    oracles = ["mpmath"] if in_digits else []
    oracles += [_code(ORACLES[function])] if function in ORACLES else []
    assert oracles, f"{function} has no oracle but the reference"
    ran = ["✓" if name in backends.EMULATED else "no" for name in ("cpu", "cuda", "triton")]
    cells = [f"`{function}`", str(ways), "✓", *ran, "✓", ", ".join(oracles)]
    return "| " + " | ".join(cells) + " |"


def page() -> str:
    functions = list(dict.fromkeys(case.function for case in CASES))
    items = [
        f"| {item.name} | {item.runs_on} | `{item.gradients}` | {_code(item.oracle)} |"
        for item in ITEMS
    ]
    operations = [_operation(function) for function in functions]
    return _HEAD + "\n".join(operations) + "\n" + _MIDDLE + "\n".join(items) + "\n"
