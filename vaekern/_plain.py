"""The operations in plain torch, one function per row of the table in ``_ops.py``.

This is the oracle of every test, the fallback where nothing is compiled, and what second
derivatives are taken of. It is written for clarity and for the same limits as the kernels:
cancellation-free near 0, infinities give the limit, NaN propagates, half precision is computed in
float32. Tensors broadcast to the first one's shape from the right; results are per element or,
summed over all but the leading ``batch_dims`` dimensions, per datapoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vaekern import _plain_counts

_LOG_2PI = math.log(2.0 * math.pi)
#: log(sinh(l / 2) / (l / 2)) as l^2 times a series in l^2
_LOG_SINHC = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -4.40349178223957765e-11,
              9.55895466477477059e-13, -2.11855018520161429e-14, 4.77003447570991365e-16,
              -1.08743434927903094e-17, 2.50409219470919523e-19)  # fmt: skip


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """In the dtype of the arithmetic: float64 if any is, else float32."""
    wide = torch.float64 if any(t.dtype is torch.float64 for t in tensors) else torch.float32
    return tuple(t.to(wide) for t in tensors)


def per_datapoint(elements: Tensor, batch_dims: int) -> Tensor:
    """Sums over the event dimensions."""
    if elements.dim() == batch_dims:
        return elements
    return elements.flatten(batch_dims).sum(-1)


def within(
    mask: Tensor,
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    batch_dims: int,
    *others: Any,
) -> Tensor:
    """A function of this module, of the elements in the mask alone. What lies elsewhere is replaced
    beforehand, by a number that every argument may be: it reaches no gradient either."""
    shape, outside = inputs[0].shape, ~mask
    inside = [t.expand(shape).masked_fill(outside, 1) for t in inputs]
    elements = function(*inside, len(shape), *others)
    return per_datapoint(elements.masked_fill(outside, 0.0), batch_dims)


def within_rows(
    mask: Tensor, function: Callable[..., Tensor], inputs: Sequence[Tensor], batch_dims: int
) -> Tensor:
    """The same of a function of whole rows, and a mask of them: with 1 for its last dimension."""
    outside = ~mask
    inside = [t.masked_fill(outside, 0) for t in inputs]
    rows = function(*inside, mask.dim() - 1)
    return per_datapoint(rows.masked_fill(outside.squeeze(-1), 0.0), batch_dims)


def log_std(s: Tensor, scale: str) -> Tensor:
    """h = log of the standard deviation that ``s`` encodes."""
    return s if scale == "log_std" else 0.5 * s if scale == "logvar" else s.log()


def log_variance(s: Tensor, scale: str) -> Tensor:
    """v = log of the variance that ``s`` encodes."""
    return s if scale == "logvar" else 2.0 * log_std(s, scale)


def std(s: Tensor, scale: str) -> Tensor:
    """The standard deviation that ``s`` encodes."""
    return s if scale == "std" else log_std(s, scale).exp()


def inverse_std(s: Tensor, scale: str) -> Tensor:
    """1 / the standard deviation that ``s`` encodes. Where that is an exponential, which is never
    0, so is this: an infinite distance stays one."""
    if scale == "std":
        return 1.0 / s
    smallest = torch.finfo(s.dtype).smallest_normal * torch.finfo(s.dtype).eps
    return torch.exp(-log_std(s, scale)).clamp(min=smallest)


def deviations(a: Tensor, b: Tensor, s: Tensor, scale: str) -> Tensor:
    """(a - b) / the standard deviation that ``s`` encodes; 0 where a = b, for any of them."""
    distance = a - b
    irrelevant = (distance == 0) & ~torch.isnan(s)
    unit = 1.0 if scale == "std" else 0.0
    return distance * inverse_std(torch.where(irrelevant, unit, s), scale)


def _series(x: Tensor, terms: Sequence[float]) -> Tensor:
    """terms[0] + terms[1] x + terms[2] x^2 + ..."""
    total = torch.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total = total * x + term
    return total


def _near_zero(x: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where abs(x) < bound; x there, 0 elsewhere; x elsewhere, 1 there. Each branch of a ``where``
    then sees arguments it can differentiate."""
    near = x.abs() < bound
    return near, torch.where(near, x, 0.0), torch.where(near, 1.0, x)


def variance_kl(v: Tensor) -> Tensor:
    """(e^v - 1 - v) / 2, the KL divergence to N(0, 1) of N(0, e^v)."""
    near, small, large = _near_zero(v, 0.5)
    series = _series(small, [0.5 / math.factorial(n) for n in range(2, 18)])
    # e^v / 2 may be finite where e^v is not
    half_exp = torch.where(
        large < 80.0, 0.5 * torch.exp(large.clamp(max=80.0)), torch.exp(large - math.log(2.0))
    )
    limited = torch.where(large == math.inf, 0.0, large)  # inf - inf is no limit
    return torch.where(near, small * small * series, half_exp - 0.5 - 0.5 * limited)


def std_variance_kl(ratio: Tensor, t: Tensor) -> Tensor:
    """The same of the standard deviation itself, ``ratio`` = 1 + ``t``:
    (ratio^2 - 1) / 2 - log ratio = t^2 / 2 + (t - log(1 + t))."""
    near, small, large = _near_zero(t, 0.125)
    gap = small * small * _series(-small, [1.0 / n for n in range(2, 20)])
    limited = torch.where(near | (ratio == math.inf), 1.0, ratio)  # inf - inf is no limit
    return 0.5 * t * t + torch.where(near, gap, large - limited.log())


def log_half_step(a: Tensor) -> Tensor:
    """log(Gamma(a + 1/2) / Gamma(a)) - log(a) / 2 for a > 0, which vanishes for large a: the
    asymptotic series, reached in steps of 1."""
    steps = torch.zeros_like(a)
    for n in range(10):
        z = a + n
        steps = steps + torch.log(z / (z + 0.5) * ((z + 1.0) / (z + 0.5)))
    inverse = 1.0 / (a + 10.0)
    terms = [-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224, -5461 / 425984]
    return 0.5 * steps + inverse * _series(inverse * inverse, terms)


def image(x: Tensor, like: Tensor, uint8_range: str = "unit") -> Tensor:
    """Targets as floats: booleans 0 and 1, bytes by their range (``_launch.Bytes``)."""
    if x.is_floating_point():
        return x
    number = x.to(like.dtype)
    if x.dtype is not torch.uint8 or uint8_range == "count":
        return number
    return number / 255.0 if uint8_range == "unit" else 2.0 * (number / 255.0) - 1.0


def bernoulli_log_likelihood(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (logits,) = widen(logits) if not x.is_floating_point() else widen(logits, x)[:1]
    x = image(x, logits).to(logits.dtype)
    positive = logits >= 0
    magnitude = torch.where(positive, logits, -logits)  # with derivative 1 at 0, unlike abs
    weight = torch.where(positive, 1.0 - x, x)
    nothing = (weight == 0) & torch.isinf(magnitude)  # 0 * inf counts as 0
    linear = weight * torch.where(nothing, torch.zeros_like(magnitude), magnitude)
    return per_datapoint(-(linear + torch.log1p(torch.exp(-magnitude))), batch_dims)


def bernoulli_probs_log_likelihood(probs: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (probs,) = widen(probs) if not x.is_floating_point() else widen(probs, x)[:1]
    x = image(x, probs).to(probs.dtype)
    uncertain = probs * (1.0 - probs) > 1e-12
    held = torch.where(uncertain, probs, 0.5)
    elements = x * held.log() + (1.0 - x) * torch.log1p(-held)
    return per_datapoint(torch.where(uncertain, elements, _of_certain(probs, x)), batch_dims)


def _of_certain(p: Tensor, x: Tensor) -> Tensor:
    """The same for p (1 - p) <= 1e-12, with the derivatives of torch's ``binary_cross_entropy``,
    which are not those of the value: they come from further terms, each of them 0."""
    fixed = p.detach()
    logs = torch.stack([fixed.log(), torch.log1p(-fixed)])  # NaN outside [0, 1]
    log_p, log_q = logs.clamp(min=-100.0)
    value = x * log_p + (1.0 - x) * log_q
    sharpness = torch.full_like(p, 1e12).masked_fill((log_p + log_q).isnan(), math.nan)
    along_p = sharpness * ((p - fixed) * x - 0.5 * (p * p - fixed * fixed))
    return value + along_p + _zero_with_slope(x, logs[0] - logs[1] - (log_p - log_q))


def _zero_with_slope(x: Tensor, slope: Tensor) -> Tensor:
    """0, with the derivative ``slope``, be it infinite as that of a square root is at 0."""
    zero, infinite = x - x.detach(), slope.isinf()
    steep = torch.where(infinite, zero, 1.0).sqrt() * slope.sign()
    return torch.where(infinite, steep, zero * torch.where(infinite, 0.0, slope))


def continuous_bernoulli_log_likelihood(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (logits,) = widen(logits) if not x.is_floating_point() else widen(logits, x)[:1]
    x = image(x, logits).to(logits.dtype)
    near, small, large = _near_zero(logits, 1.0)
    positive = large >= 0
    magnitude = torch.where(positive, large, -large)
    weight = torch.where(positive, 1.0 - x, x)
    nothing = (weight == 0) & torch.isinf(magnitude)  # 0 * inf counts as 0
    linear = weight * torch.where(nothing, torch.zeros_like(magnitude), magnitude)
    limited = magnitude.clamp(max=torch.finfo(logits.dtype).max)
    held = torch.where(weight == 0, magnitude, limited)  # inf - inf is no limit
    far = held.log() - torch.log1p(-torch.exp(-magnitude)) - linear
    square = small * small
    centred = (x - 0.5) * torch.where(near, logits, 0.0) - square * _series(square, _LOG_SINHC)
    return per_datapoint(torch.where(near, centred, far), batch_dims)


def gaussian_log_likelihood(
    mean: Tensor, logvar: Tensor, x: Tensor, batch_dims: int, scale: str, uint8_range: str
) -> Tensor:
    mean, logvar = widen(mean, logvar, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, mean, uint8_range), mean, logvar, scale)
    v = log_variance(logvar, scale)
    return per_datapoint(-0.5 * (u * u + v + _LOG_2PI), batch_dims)


def laplace_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    sign = torch.where(u.isnan(), u, torch.sign(u)).detach()  # NaN of NaN
    return per_datapoint(-(sign * u + log_scale + math.log(2.0)), batch_dims)


def student_t_log_likelihood(
    loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale, df = widen(loc, log_scale, df, *([x] if x.is_floating_point() else []))[:3]
    df = torch.where(df == math.inf, 1e30, df)  # a Gaussian, to every digit
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    ratio = u / df.sqrt()
    far = ratio.abs() > 1.0
    near, large = torch.where(far, 0.0, ratio), torch.where(far, ratio, 1.0)
    above = 2.0 * large.abs().log() + torch.log1p((1.0 / large).square())
    log1p = torch.where(far, above, torch.log1p(near * near))
    at_loc = log_half_step(0.5 * df) - 0.5 * _LOG_2PI
    return per_datapoint(at_loc - log_scale - 0.5 * (df + 1.0) * log1p, batch_dims)


def log_one_minus_exp_of_minus(w: Tensor) -> Tensor:
    """log(1 - e^-w) for w >= 0."""
    near = w < math.log(2.0)
    small, large = torch.where(near, w, 1.0), torch.where(near, 1.0, w)
    return torch.where(near, (-torch.expm1(-small)).log(), torch.log1p(-torch.exp(-large)))


def discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """log P of the bin of each x, one of 256 in [-1, 1], from the logistic function at its ends."""
    half = 1.0 / 255.0
    most = math.log(torch.finfo(log_scale.dtype).max) - 1.0
    limited = torch.where(log_scale < -most, -most, torch.where(log_scale > most, most, log_scale))
    inverse = torch.exp(-limited)
    upper, lower = (x - loc + half) * inverse, (x - loc - half) * inverse
    wide = log_scale > 40.0  # the bin's width loses its digits
    width = 2.0 * half * torch.where(wide, 1.0, inverse)
    log_share = torch.where(
        wide, math.log(2.0 * half) - log_scale, log_one_minus_exp_of_minus(width)
    )
    below, above = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    inside = below + above + log_share
    return torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside))


def discretized_logistic_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    return per_datapoint(discretized_logistic(loc, log_scale, image(x, loc, "signed")), batch_dims)


def categorical_log_likelihood(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (logits,) = widen(logits)
    selected = logits.gather(-1, x.long())
    return per_datapoint(selected - logits.logsumexp(-1, keepdim=True), batch_dims)


def multinomial_log_likelihood(logits: Tensor, counts: Tensor, batch_dims: int) -> Tensor:
    logits, counts = widen(logits, counts)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    nothing = (counts == 0) & ~torch.isfinite(log_p)  # 0 * inf counts as 0
    return per_datapoint(counts * torch.where(nothing, 0.0, log_p), batch_dims)


def poisson_log_likelihood(log_rate: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    return per_datapoint(_plain_counts.poisson(*_widen_with_counts(x, log_rate)), batch_dims)


def negative_binomial_log_likelihood(
    log_mean: Tensor, log_dispersion: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    wide = _widen_with_counts(x, log_mean, log_dispersion)
    return per_datapoint(_plain_counts.negative_binomial(*wide), batch_dims)


def zero_inflated_negative_binomial_log_likelihood(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    wide = _widen_with_counts(x, log_mean, log_dispersion, zero_logits)
    return per_datapoint(_plain_counts.zero_inflated_negative_binomial(*wide), batch_dims)


def _widen_with_counts(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """The parameters, then the counts, as floats of one dtype."""
    return widen(*parameters, image(x, parameters[0], "count"))


def standard_kl(mu: Tensor, logvar: Tensor, batch_dims: int, scale: str) -> Tensor:
    mu, logvar = widen(mu, logvar)
    if scale == "std":
        divergence = std_variance_kl(logvar, logvar - 1.0)
    else:
        divergence = variance_kl(log_variance(logvar, scale))
    return per_datapoint(0.5 * mu * mu + divergence, batch_dims)


def gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor, batch_dims: int, scale: str
) -> Tensor:
    mu, logvar, prior_mu, prior_logvar = widen(mu, logvar, prior_mu, prior_logvar)
    if scale == "std":
        t = (logvar - prior_logvar) / prior_logvar
        divergence = std_variance_kl(logvar / prior_logvar, t)
    else:
        divergence = variance_kl(log_variance(logvar - prior_logvar, scale))
    u = deviations(mu, prior_mu, prior_logvar, scale)
    return per_datapoint(0.5 * u * u + divergence, batch_dims)


def reparameterize(
    mu: Tensor, logvar: Tensor, noise: Tensor, batch_dims: int, scale: str
) -> Tensor:
    dtype = torch.promote_types(mu.dtype, logvar.dtype)
    mu, logvar = widen(mu, logvar)
    eps = normal(noise, mu.shape, mu.dtype) if noise.dtype is torch.int64 else noise.to(mu.dtype)
    return (mu + std(logvar, scale) * eps).to(dtype)


def sample_with_standard_kl(
    mu: Tensor, logvar: Tensor, noise: Tensor, batch_dims: int, scale: str
) -> tuple[Tensor, Tensor]:
    z = reparameterize(mu, logvar, noise, batch_dims, scale)
    return z, standard_kl(mu, logvar, batch_dims, scale)


def sample_with_gaussian_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor,
    prior_logvar: Tensor,
    noise: Tensor,
    batch_dims: int,
    scale: str,
) -> tuple[Tensor, Tensor]:
    z = reparameterize(mu, logvar, noise, batch_dims, scale)
    return z, gaussian_kl(mu, logvar, prior_mu, prior_logvar, batch_dims, scale)


# --- noise ------------------------------------------------------------------------------------

_WORD = 0xFFFFFFFF


def philox(counters: Tensor, seed: Tensor) -> list[Tensor]:
    """The four words of each counter (int64 tensors), key and stream from ``seed``: Philox4x32-10
    (Salmon et al. 2011) in the layout that ``csrc/core/philox.h`` fixes."""
    key, stream = seed[0], seed[1]
    words = [counters & _WORD, (counters >> 32) & _WORD]
    words += [(stream & _WORD).expand_as(counters), ((stream >> 32) & _WORD).expand_as(counters)]
    k0, k1 = key & _WORD, (key >> 32) & _WORD
    for _ in range(10):
        p0, p1 = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57  # modulo 2^64: the bits are right
        words = [
            ((p1 >> 32) & _WORD) ^ words[1] ^ k0,
            p1 & _WORD,
            ((p0 >> 32) & _WORD) ^ words[3] ^ k1,
            p0 & _WORD,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return words


def normal(seed: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The standard normals of a seed: computed in float64 and rounded."""
    n = math.prod(shape)
    words = philox(torch.arange((n + 3) // 4, device=seed.device), seed)
    pairs = []
    for radius_word, angle_word in (words[:2], words[2:]):
        uniform = (radius_word.to(torch.float64) + 0.5) * 2.0**-32
        radius = torch.sqrt(-2.0 * torch.log(uniform))
        angle = angle_word.to(torch.float64) * (2.0 * math.pi * 2.0**-32)
        pairs += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(pairs, dim=-1).flatten()[:n].reshape(shape).to(dtype)
