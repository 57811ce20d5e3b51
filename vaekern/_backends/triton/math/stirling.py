"""log x! and its derivative, apart from what grows; the twin of ``csrc/core/stirling.h``, where the
formulas stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import divide, fma, polynomial

STEPS = tl.constexpr(10)


@triton.jit
def stirling_error(inverse):
    if inverse.dtype == tl.float64:
        result = double_stirling_error(inverse)
    else:
        result = inverse * polynomial(
            inverse,
            (0.0833332539, 1.45287709e-06, -0.00278334506, -2.06079731e-05, 0.000999429496,
             -0.000595992198, 0.000127279069),
        )  # fmt: skip
    return result


@triton.jit
def double_stirling_error(inverse):
    a = divide(1.0, inverse)
    far = a >= STEPS
    product = divide(a + STEPS, a + 1.0)
    for k in tl.static_range(STEPS - 1):
        product *= divide(a + STEPS, a + (k + 2.0))
    steps = fma(a + 0.5, tl.log(inverse * STEPS + 1.0), tl.log(product)) - STEPS
    z = tl.where(far, inverse, divide(1.0, a + STEPS))
    series = z * polynomial(
        z * z,
        (1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680, 1.0 / 1188, -691.0 / 360360, 1.0 / 156),
    )
    return tl.where(far, series, series + steps)


@triton.jit
def digamma_rest(inverse):
    if inverse.dtype == tl.float64:
        result = double_digamma_rest(inverse)
    else:
        result = polynomial(
            inverse,
            (0.0833333433, -1.59712522e-06, -0.00829305314, -0.000389963767, 0.00583549775,
             -0.00478711724, 0.00177497882, -0.000256414234),
        )  # fmt: skip
    return result


@triton.jit
def double_digamma_rest(inverse):
    a = divide(1.0, inverse)
    far = a >= STEPS
    steps = inverse - tl.log(inverse * STEPS + 1.0)
    for k in tl.static_range(STEPS - 1):
        steps += divide(1.0, a + (k + 1.0))
    z = tl.where(far, inverse, divide(1.0, a + STEPS))
    series = polynomial(
        z * z,
        (1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12),
    )
    rest = steps + fma(z - inverse, 0.5, z * z * series)
    return tl.where(far, series, divide(rest, inverse * inverse))


@triton.jit
def small_log_factorial(x):
    if x.dtype == tl.float64:
        result = polynomial(
            x,
            (-0.577215664901532859, 0.822467033424111948, -0.400685634386319783,
             0.270580808413736608, -0.207385550533465594, 0.169557166269540884,
             -0.144049740851092751, 0.125508058385280926, -0.111321936936386738,
             0.100027474090793925, -0.0906260350029754111, 0.0821669572971381007,
             -0.073472477318469659, 0.0632068906374166581, -0.0505313915107347956,
             0.0360391121335099998, -0.0219524224678120665, 0.0109049904934424155,
             -0.00418753841413246868, 0.00115578450475331399, -0.000202806342973357317,
             1.69230161707043793e-5),
        )  # fmt: skip
    else:
        result = polynomial(
            x,
            (-0.577215672, 0.822466195, -0.400654972, 0.270153165, -0.204303011, 0.156396046,
             -0.107971191, 0.0581608899, -0.0203850549, 0.0033536125),
        )  # fmt: skip
    return result


@triton.jit
def small_digamma(x):
    if x.dtype == tl.float64:
        result = polynomial(
            x,
            (-0.577215664901532857, 1.64493406684822249, -1.20205690315887446,
             1.08232323365888392, -1.03692775312696681, 1.01734301411200324,
             -1.00834851373476718, 1.00406867955792892, -1.00193522417727227,
             1.00052257541033051, -0.99811096227176342, 0.99065699237873991,
             -0.968929223431195157, 0.917006820870145961, -0.816970794629161042,
             0.662062072241271717, -0.47010383859646634, 0.281349527361113625,
             -0.136131914772602467, 0.0506553678947357503, -0.013511723652343687,
             0.00228888031816957416, -0.000184379100132787085),
        )  # fmt: skip
    else:
        result = polynomial(
            x,
            (-0.577215672, 1.64493263, -1.20199454, 1.08126545, -1.02758861, 0.968048275,
             -0.839435518, 0.606058419, -0.323017448, 0.108663827, -0.0169324707),
        )  # fmt: skip
    return result
