"""What is measured: computations with their inputs, results, right answers and memory traffic.

A family is one operation of the library by itself, as its file in ``tests/operations/rows`` and the
table describe it, or a training step's loss. Everything that measures or checks follows from these;
a provider has a form for each family that it can do.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from operations.description import Description, Form
from operations.every import DESCRIPTIONS
from operations.operands import POSTERIOR, Operand, Random, data, normal
from torch import Tensor

import vaekern as vk
from bench.problems.forms import dreamer
from vaekern._ops import table
from vaekern._ops.base import ELEMENT
from vaekern._ops.elementwise import Op
from vaekern.compat.dreamer import kl_loss

#: How many tensors of each shape move through memory at least.
Streams = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """``operands`` in the order that forms take them. ``results`` in the order that they return
    them: "z", one number per element of the latent shape, then "per datapoint" or "mean".

    ``oracle`` is the result beside z, on inputs in float64. ``streams``, for "forward", "backward"
    and "both", are what must move if each tensor is read and written as rarely as can be: nothing
    is stored between forward and backward, and noise is made in the kernels.
    """

    name: str
    operands: tuple[Operand, ...]
    results: tuple[str, ...]
    oracle: Callable[..., Tensor] | None
    streams: Mapping[str, Streams]

    @property
    def is_op(self) -> bool:
        """An operation by itself rather than a loss around networks."""
        return "mean" not in self.results


# --- operations by themselves ---------------------------------------------------------------------


def call_of(description: Description, function: Callable[..., Form]) -> Form:
    """A public function of an operation's operands, by position where it takes them so: naming
    them at each call would cost a microsecond."""
    names = [operand.name for operand in description.operands]
    parameters = list(inspect.signature(function).parameters)[: len(names)]
    if sorted(parameters) != sorted(names):
        return lambda *tensors: function(
            **dict(zip(names, tensors, strict=True)), **description.constants
        )
    constants = dict(description.constants)
    if parameters == names:
        return functools.partial(function, **constants) if constants else function
    in_order = operator.itemgetter(*map(names.index, parameters))
    return lambda *tensors: function(*in_order(tensors), **constants)


def _of_op(op: Op) -> Family:
    description = DESCRIPTIONS[op.name]
    samples = ELEMENT in op.results
    is_sample_alone = samples and len(op.results) == 1
    reference = getattr(vk.reference, description.function)
    if samples:  # the value beside z is that of the divergence alone
        reference = vk.reference.gaussian_kl
    return Family(
        op.name,
        description.operands,
        ("z",) if is_sample_alone else ("z", "per datapoint") if samples else ("per datapoint",),
        None if is_sample_alone else call_of(description, reference),
        _streams(op, description.operands),
    )


def _streams(op: Op, operands: tuple[Operand, ...]) -> Mapping[str, Streams]:
    """Forward, the full inputs and a sample; backward, those that the vjp reads, the sample's
    gradient, and their gradients."""
    on = operands[0].on
    full = [o for o in operands if o.is_full]
    read = [o for o in full if op.inputs.index(o.name) in op.vjp_inputs]
    samples = op.results.count(ELEMENT)
    forward = len(full) + samples
    backward = len(read) + samples + sum(o.is_leaf for o in read)
    return {"forward": {on: forward}, "backward": {on: backward}, "both": {on: forward + backward}}


# --- losses around networks -----------------------------------------------------------------------

# Likelihood: output, x -> gradient, all in one pass. Latent: mu, logvar -> z in the forward,
# mu, logvar, gz -> 2 gradients in the backward. The split between the two is a provider's choice.
_ELBO = {"both": {"data": 3, "latent": 8}}

_BERNOULLI = DESCRIPTIONS["bernoulli_log_likelihood"].operands
#: The latent variable has a log-variance of its own.
_GAUSSIAN = tuple(
    replace(operand, name="x_logvar") if operand.name == "logvar" else operand
    for operand in DESCRIPTIONS["gaussian_log_likelihood"].operands
)


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return vk.reference.elbo_loss(logits, x, mu, logvar)


def _gaussian_elbo(mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return vk.reference.elbo_loss((mean, x_logvar), x, mu, logvar, likelihood="gaussian")


def _image_nll(params: Tensor, x: Tensor) -> Tensor:
    return -vk.reference.logistic_mixture_log_likelihood(params, x).mean()


def _dreamer_loss(post: Tensor, prior: Tensor) -> Tensor:
    with vk.backend("reference"):
        weights = dreamer.FREE, dreamer.DYNAMICS, dreamer.REPRESENTATION
        return kl_loss({"logit": post}, {"logit": prior}, *weights, unimix_ratio=dreamer.UNIMIX)[
            0
        ].mean()


FAMILIES = {
    family.name: family
    for family in (
        Family("bernoulli_elbo", _BERNOULLI + POSTERIOR, ("z", "mean"), _bernoulli_elbo, _ELBO),
        Family("gaussian_elbo", _GAUSSIAN + POSTERIOR, ("z", "mean"), _gaussian_elbo, _ELBO),
        Family(  # vaekern.elbo_loss, with the Bernoulli likelihood
            "elbo_loss",
            _BERNOULLI + POSTERIOR,
            ("mean",),
            _bernoulli_elbo,
            {"both": {"data": 3, "latent": 4}},
        ),
        Family(  # a mixture's parameters, 10 for each component, in place of a latent variable
            "image_nll",
            (Operand("params", "latent", normal), data("x", Random.levels)),
            ("mean",),
            _image_nll,
            {"both": {"data": 2, "latent": 3}},
        ),
        Family(  # DreamerV3's KL balancing with free nats: two logits, a gradient to each
            "dreamer_loss",
            DESCRIPTIONS["categorical_kl"].operands,
            ("mean",),
            _dreamer_loss,
            {"both": {"latent": 4}},
        ),
        *map(_of_op, (*table.OPS, *table.SOFTMAXES)),
    )
}

OPS = tuple(name for name, family in FAMILIES.items() if family.is_op)
