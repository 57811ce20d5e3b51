"""log p(x) of a negative binomial count, also with additional zeros; the twin of
``csrc/math/negative_binomial.h`` and ``csrc/math/zero_inflated_negative_binomial.h``, where the
reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.count import count_beside, digamma_of_count
from vaekern._backends.triton.math.exponential import (
    exp_and_phi,
    exp_of_minus,
    precise_exp,
    rounded_exp,
)
from vaekern._backends.triton.math.logarithm import log, log1p_unit, log_gap
from vaekern._backends.triton.math.scalar import (
    absolute,
    at_least,
    at_most,
    difference,
    divide,
    finite_or_zero,
    fma,
    product_error,
)
from vaekern._backends.triton.math.stirling import (
    digamma_rest,
    small_digamma,
    small_log_factorial,
    stirling_error,
)

TINY = tl.constexpr(1e-30)


@triton.jit
def shares(m, r):
    """d, e^-|d| and log(1 + e^-|d|), is mu >= theta, p and q, what rounding those lost."""
    d, d_lost = difference(m, r)
    d = tl.where(m == r, 0.0, d)
    dispersed = ~(d < 0.0)
    d_lost = finite_or_zero(d_lost)
    power, power_lost = rounded_exp(-absolute(d))
    missing = fma(power, tl.where(dispersed, -d_lost, d_lost), power_lost)
    a = power + missing
    a_lost = missing - (a - power)
    one = a + 1.0
    larger = divide(1.0, one)
    smaller = a * larger
    product = smaller * one
    residual = (a - product) - product_error(smaller, one, product) + a_lost
    smaller_lost = larger * (residual - smaller * (a - (one - 1.0) + a_lost))
    larger_lost = (1.0 - larger) - smaller - smaller_lost
    p, q = tl.where(dispersed, smaller, larger), tl.where(dispersed, larger, smaller)
    p_lost = tl.where(dispersed, smaller_lost, larger_lost)
    q_lost = tl.where(dispersed, larger_lost, smaller_lost)
    return d, a, log1p_unit(a), dispersed, p, q, p_lost, q_lost


@triton.jit
def log1p_above(z):
    s = z + 1.0
    return log(s) + finite_or_zero(divide(z - (s - 1.0), s))


@triton.jit
def excess(near, x, t, lost, exp, phi, dispersed, lower, p, q, p_lost, q_lost, more_q):
    change = t + phi
    change_lost = fma(exp, lost, (t - change) + phi)
    product = x * change
    product_lost = fma(x, change_lost, product_error(x, change, product))
    away = tl.where(near, product, lower - x)
    missing = fma(p, tl.where(near, product_lost, 0.0), q_lost)
    close = fma(p, away, q) + fma(p_lost, away, missing)
    return tl.where(near | ~dispersed, close, fma(-p, x, more_q) - p_lost * x)


@triton.jit
def theta_gap(near, e, r, theta, tau, share, d, log1p, p, q, p_lost, q_lost, x_tau,
              log1p_x_tau):  # fmt: skip
    ratio_a = fma(p, x_tau, p)
    less = tl.where(near, -e * tau, fma(p, x_tau, -q))
    near_lost = product_error(-e, tau, less)
    far_lost = tl.where(ratio_a < 0.5, 0.0, fma(p_lost, x_tau, -q_lost))
    lost = tl.where(near, near_lost, far_lost)
    close = fma(divide(less, ratio_a), lost, log_gap(ratio_a, less))
    far = less - log1p_x_tau + d + log1p
    gap = tl.where(ratio_a > TINY, close, far)
    pull = tl.where(r < 0.0, e * share, fma(-e, tau, e))
    flat: tl.constexpr = 1e-15 if e.dtype == tl.float64 else 1e-8
    ratio = tl.where(absolute(less) < flat, less * 0.5, divide(gap, less))
    plain = (absolute(less) > flat) & (r < 80.0)
    own = tl.where(theta == 0.0, 0.0, theta * gap)
    return tl.where(plain, own, -pull * ratio)


@triton.jit
def terms(m, r, x):
    """All that value and derivatives are made of."""
    small, inverse, logarithm, t, lost, exp, phi = count_beside(m, x)
    d, a, log1p, dispersed, p, q, p_lost, q_lost = shares(m, r)
    below = r < 0.0
    a_r = precise_exp(-absolute(r))
    one = a_r + 1.0
    theta = tl.where(below, a_r, divide(1.0, a_r))
    tau = divide(tl.where(below, 1.0, a_r), one)
    share = divide(tl.where(below, a_r, 1.0), one)
    held = at_least(-1e30, r)
    lowest = tl.where(dispersed, held, m)
    lower = precise_exp(lowest)
    theta_q = lower * tl.where(dispersed, q, p)
    more_q = theta_q + q
    x_tau = x * tau
    log1p_x_tau = log1p_above(x_tau)
    log_more_q = log1p_unit(a_r) - log1p + (lowest - at_most(0.0, held))
    near = ~small & (absolute(t) < 1.0)
    e = excess(near, x, t, lost, exp, phi, dispersed, lower, p, q, p_lost, q_lost, more_q)
    gap = theta_gap(near, e, r, theta, tau, share, d, log1p, p, q, p_lost, q_lost, x_tau,
                    log1p_x_tau)  # fmt: skip
    far = below & (x > a_r)
    over = fma(x, tl.where(below, 1.0, a_r), tl.where(below, a_r, 1.0))
    step = x * tl.where(below, divide(1.0, a_r), a_r)
    log1p_over = tl.where(far, log(over) - r, log1p_above(tl.where(far, 0.0, step)))
    of_count = small, inverse, logarithm
    of_shares = d, a, log1p, dispersed, p, q
    of_r = a_r, tau, share
    return (of_count, of_shares, of_r, lower, theta_q, more_q, x_tau, log1p_x_tau, log_more_q, e,
            gap, over, log1p_over)  # fmt: skip


@triton.jit
def log_zero(of_shares, lower):
    d, a, log1p, is_dispersed, _, _ = of_shares
    ratio = tl.where(a > 0.0, divide(log1p, a), 1.0)
    dispersed = tl.where(lower == 0.0, 0.0, lower * (d + log1p))
    return -tl.where(is_dispersed, dispersed, lower * ratio)


@triton.jit
def log_probability(of_all, x):
    (of_count, of_shares, of_r, lower, _, more_q, x_tau, log1p_x_tau, log_more_q, e, gap_a, _,
     log1p_over) = of_all  # fmt: skip
    small, inverse, logarithm = of_count
    _, _, _, _, _, q = of_shares
    _, tau, _ = of_r
    steps = stirling_error(divide(tau, x_tau + 1.0)) - stirling_error(tau)
    # x >= 1
    ratio_b = fma(more_q, inverse, q)
    more = e * inverse
    far = more - (log_more_q + log1p_x_tau - logarithm)
    gap_b = tl.where(ratio_b > TINY, log_gap(ratio_b, more), far)
    roots = 0.5 * (log1p_x_tau - logarithm) - 0.9189385332046727 - log1p_over
    large = fma(e, tau, steps - stirling_error(inverse)) + roots - fma(x, gap_b, gap_a)
    # x < 1
    ratio = tl.where(x_tau > 0.0, divide(log1p_unit(x_tau), x_tau), 1.0)
    slope = log_more_q + log1p_x_tau + (ratio - 1.0) - small_log_factorial(x)
    beyond = fma(x, slope, fma(log1p_x_tau, -0.5, steps)) - log1p_over
    below = log_zero(of_shares, lower) + tl.where(x == 0.0, 0.0, beyond)
    return tl.where(small, below, large)


@triton.jit
def gradient(of_all, x, r):
    """With respect to m, r and x."""
    (of_count, of_shares, of_r, _, theta_q, _, x_tau, log1p_x_tau, log_more_q, _, gap_a, over,
     _) = of_all  # fmt: skip
    small, inverse, logarithm = of_count
    _, _, _, _, p, _ = of_shares
    a_r, tau, share = of_r
    n_share = divide(1.0, x_tau + 1.0)
    n_inverse = tau * n_share
    n_rest = n_inverse * digamma_rest(n_inverse)
    rests = tau * digamma_rest(tau) - n_share * n_rest
    steps = share * fma(0.5 * x, n_inverse, rests)
    inverse_n = divide(tl.where(r < 0.0, 1.0, a_r), over)
    hit = tl.where(x == 0.0, 0.0, x * inverse_n)
    mean_digamma = log_more_q + log1p_x_tau - n_inverse * (n_rest + 0.5) - inverse_n
    digamma = tl.where(small, small_digamma(x), logarithm + digamma_of_count(inverse))
    dispersion = hit - p * x_tau + steps - gap_a
    return fma(p, x, -theta_q), dispersion, mean_digamma - digamma


@triton.jit
def negative_binomial_log_likelihood(log_mean, log_dispersion, x, scale: tl.constexpr):
    return (log_probability(terms(log_mean, log_dispersion, x), x),)


@triton.jit
def negative_binomial_log_likelihood_vjp(g, log_mean, log_dispersion, x, scale: tl.constexpr):
    dm, dr, dx = gradient(terms(log_mean, log_dispersion, x), x, log_dispersion)
    return g * dm, g * dr, g * dx


# --- additional zeros -------------------------------------------------------------------------


@triton.jit
def inflation(logit, zero):
    """The share s of additional zeros and -log(1 - s); y and log(1 + y), that of a zero; the
    probability that a zero is the count's own, and that it is an additional one."""
    a = exp_of_minus(absolute(logit))
    larger = divide(1.0, a + 1.0)
    smaller = a * larger
    share = tl.where(logit < 0.0, smaller, larger)
    softplus = at_least(0.0, logit) + log1p_unit(a)
    exp, phi = exp_and_phi(zero)
    expm1 = tl.where(zero > -1.0, zero + phi, exp - 1.0)
    y = tl.where(logit < 0.0, larger, smaller) * expm1
    near = -log1p_unit(divide(-y, at_least(-0.5, y) + 1.0))
    apart = tl.where(logit == zero, 0.0, logit - zero)
    b = exp_of_minus(absolute(apart))
    far = tl.where(logit > zero, logit, zero) + log1p_unit(b) - softplus
    most = divide(1.0, b + 1.0)
    least = b * most
    own = tl.where(apart < 0.0, most, least)
    additional = tl.where(apart < 0.0, least, most)
    return share, softplus, y, tl.where(y > -0.5, near, far), own, additional


@triton.jit
def zero_inflated_negative_binomial_log_likelihood(
    log_mean, log_dispersion, zero_logits, x, scale: tl.constexpr
):
    of_all = terms(log_mean, log_dispersion, x)
    count = log_probability(of_all, x)
    zero = x == 0.0
    at_zero = tl.where(zero, log_zero(of_all[1], of_all[3]), 0.0)
    _, softplus, _, of_zero, _, _ = inflation(zero_logits, at_zero)
    return (tl.where(zero, of_zero, count - softplus),)


@triton.jit
def zero_inflated_negative_binomial_log_likelihood_vjp(
    g, log_mean, log_dispersion, zero_logits, x, scale: tl.constexpr
):
    of_all = terms(log_mean, log_dispersion, x)
    dm, dr, dx = gradient(of_all, x, log_dispersion)
    zero = x == 0.0
    of_zero = tl.where(zero, log_zero(of_all[1], of_all[3]), 0.0)
    share, _, y, _, own, additional = inflation(zero_logits, of_zero)
    own = tl.where(zero, own, 1.0)
    dl = tl.where(zero, -y * additional, -share)
    return g * share_of(own, dm), g * share_of(own, dr), g * dl, g * share_of(own, dx)


@triton.jit
def share_of(own, gradient):
    return tl.where(own == 0.0, 0.0, own * gradient)
