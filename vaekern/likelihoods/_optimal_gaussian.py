"""The Gaussian likelihood whose variance is what fits the batch best."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.plain import widen
from vaekern._checks import check_device, check_float, check_like, check_number, check_target
from vaekern._modules.outputs import DecoderOutput
from vaekern._ops.call import Call, Clamp, known_clamp, run
from vaekern.functional.gaussian import gaussian_call, reparameterize
from vaekern.functional.squared_error import squared_error
from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._draws import stored

__all__ = ["OptimalGaussianLikelihood"]


class OptimalGaussianLikelihood(Likelihood):
    r"""Gaussian data of one variance, shared by all elements, that needs no learning: the optimal
    one. The decoder emits the mean. (The sigma-VAE of Rybkin, Daniilidis & Levine 2021.)

    In training mode it is the mean squared error of the batch of N numbers, datapoints and elements
    alike, for which the batch's log-likelihood is largest, and then is

    .. math:: -\tfrac N2 \left(\log(2\pi\,\mathrm{MSE}) + 1\right)

    Its derivative with respect to the variance is 0 there, so the variance counts as a constant:
    gradients of the mean are those of the formula all the same. With a variance made from x this
    is no density of x; in evaluation mode it is one, with the average of the variances seen in
    training (1 before any). An empty batch has that variance too, and leaves it alone.

    Buffers: ``variance``, that average, and ``num_batches_tracked``. As in batch normalisation,
    each call in training mode counts, with or without gradients, and ranks of a distributed run
    have their own. Nothing waits for the device. Elements that ``elbo_loss(mask=...)`` leaves out,
    and datapoints of weight 0, have no part in the variance: N is the number of the others.

    Args:
        momentum: the least weight of a new batch in the average, 0 to 1. The first 1 / momentum
            batches weigh the same; with 0, all do.
        logvar_clamp: bounds for the logarithm of the variance. Without it the log-likelihood of
            data that the mean meets exactly is infinite.

    Raises:
        ValueError: ``momentum`` is not between 0 and 1.
    """

    name = "optimal_gaussian"

    variance: Tensor
    num_batches_tracked: Tensor

    def __init__(self, *, momentum: float = 0.1, logvar_clamp: Clamp | None = None) -> None:
        super().__init__()
        if not 0.0 <= check_number("momentum", momentum) <= 1.0:
            raise ValueError(f"momentum: expected a number from 0 to 1, got {momentum}")
        self.momentum = momentum
        self.logvar_clamp = known_clamp(logvar_clamp)
        self.register_buffer("variance", torch.ones(()))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return self.call_of(decoder_output, x, batch_dims, None, None)

    def call_of(
        self,
        decoder_output: DecoderOutput,
        x: Tensor,
        batch_dims: int,
        mask: Tensor | None,
        present: Tensor | None,
    ) -> Call:
        mean = self.mean(decoder_output)
        check_target("x", x)
        check_like("x", x, "decoder_output", mean)
        check_device("decoder_output", mean, "variance", self.variance)

        def call(logvar: Tensor | float) -> Call:
            whole = gaussian_call(mean, x, logvar, "logvar", self.logvar_clamp, batch_dims)
            return whole.masked(mask).of_datapoints(present)

        adapts = self.training and mean.numel() > 0
        return call(self._adapt(mean, x, call(0.0).mask).log() if adapts else self._logvar())

    def masked_log_prob(
        self, decoder_output: DecoderOutput, x: Tensor, mask: Tensor, *, batch_dims: int = 1
    ) -> Tensor:
        log_prob: Tensor = run(self.call_of(decoder_output, x, batch_dims, mask, None))
        return log_prob

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        check_float("decoder_output", decoder_output)
        assert isinstance(decoder_output, Tensor)
        return decoder_output

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        """One sample for each datapoint, of the average variance in either mode."""
        mean = self.mean(decoder_output)
        logvar = self._logvar().expand(mean.shape)
        sample = reparameterize(mean, logvar, generator=generator, logvar_clamp=self.logvar_clamp)
        return stored(sample, mean.dtype)

    def _logvar(self) -> Tensor:
        return widen(self.variance)[0].log()

    @torch.no_grad()
    def _adapt(self, mean: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """The batch's variance, which joins the average."""
        errors = squared_error(mean, x, batch_dims=0, mask=mask)
        if mask is None:
            variance = errors / mean.numel()
            self.num_batches_tracked += 1
        else:  # which may leave nothing
            count = mask.sum() * (mean.numel() // mask.numel())
            variance = torch.where(count > 0, errors / count, self.variance.to(errors.dtype))
            self.num_batches_tracked += count > 0
        weight = self.num_batches_tracked.clamp(min=1).reciprocal().clamp(min=self.momentum)
        self.variance.lerp_(variance.to(self.variance.dtype), weight.to(self.variance.dtype))
        return variance
