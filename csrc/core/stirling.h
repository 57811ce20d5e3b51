// log x! and its derivative for x >= 0, apart from what grows: Stirling's formula and its
// remainders from 1 on, polynomials below.
//   log x! = (x + 1/2) log x - x + log(2 pi) / 2 + S(x),   digamma(x) = log x - Q(x),
// with S and Q falling to 0. Both are functions of 1/x here: float by minimax fits, double by the
// asymptotic series, reached in steps of 1.
#pragma once

#include "scalar.h"

VK_BEGIN

constexpr int kStirlingSteps = 10;

// S(1 / inverse) for 0 <= inverse <= 1
VK_FN float stirling_error(float inverse) {
  return inverse * polynomial(inverse, 0.0833332539f, 1.45287709e-06f, -0.00278334506f,
                              -2.06079731e-05f, 0.000999429496f, -0.000595992198f, 0.000127279069f);
}
VK_FN double stirling_error(double inverse) {
  const double a = 1 / inverse;
  const bool far = a >= kStirlingSteps;
  double product = 1.0;
  for (int k = 1; k <= kStirlingSteps; ++k) product *= (a + kStirlingSteps) / (a + k);
  const double steps = fma(a + 0.5, std::log1p(kStirlingSteps / a), std::log(product)) -
                       kStirlingSteps;
  const double z = far ? inverse : 1 / (a + kStirlingSteps);
  const double series = z * polynomial(z * z, 1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680,
                                       1.0 / 1188, -691.0 / 360360, 1.0 / 156);
  return far ? series : series + steps;
}

// Q(1 / inverse) = inverse / 2 + inverse^2 R; this is R for 0 <= inverse <= 1.
VK_FN float digamma_rest(float inverse) {
  return polynomial(inverse, 0.0833333433f, -1.59712522e-06f, -0.00829305314f, -0.000389963767f,
                    0.00583549775f, -0.00478711724f, 0.00177497882f, -0.000256414234f);
}
VK_FN double digamma_rest(double inverse) {
  const double a = 1 / inverse;
  const bool far = a >= kStirlingSteps;
  double steps = -std::log1p(kStirlingSteps / a);
  for (int k = 0; k < kStirlingSteps; ++k) steps += 1 / (a + k);
  const double z = far ? inverse : 1 / (a + kStirlingSteps);
  const double series = polynomial(z * z, 1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132,
                                   -691.0 / 32760, 1.0 / 12);
  const double rest = steps + fma(0.5, z - inverse, z * z * series);
  return far ? series : rest / (inverse * inverse);
}

// log(x!) / x for 0 <= x < 1
VK_FN float small_log_factorial(float x) {
  return polynomial(x, -0.577215672f, 0.822466195f, -0.400654972f, 0.270153165f, -0.204303011f,
                    0.156396046f, -0.107971191f, 0.0581608899f, -0.0203850549f, 0.0033536125f);
}
VK_FN double small_log_factorial(double x) {
  return polynomial(
      x, -0.577215664901532859, 0.822467033424111948, -0.400685634386319783, 0.270580808413736608,
      -0.207385550533465594, 0.169557166269540884, -0.144049740851092751, 0.125508058385280926,
      -0.111321936936386738, 0.100027474090793925, -0.0906260350029754111, 0.0821669572971381007,
      -0.073472477318469659, 0.0632068906374166581, -0.0505313915107347956, 0.0360391121335099998,
      -0.0219524224678120665, 0.0109049904934424155, -0.00418753841413246868,
      0.00115578450475331399, -0.000202806342973357317, 1.69230161707043793e-5);
}

// digamma(1 + x), the derivative of log x!, for 0 <= x < 1
VK_FN float small_digamma(float x) {
  return polynomial(x, -0.577215672f, 1.64493263f, -1.20199454f, 1.08126545f, -1.02758861f,
                    0.968048275f, -0.839435518f, 0.606058419f, -0.323017448f, 0.108663827f,
                    -0.0169324707f);
}
VK_FN double small_digamma(double x) {
  return polynomial(
      x, -0.577215664901532857, 1.64493406684822249, -1.20205690315887446, 1.08232323365888392,
      -1.03692775312696681, 1.01734301411200324, -1.00834851373476718, 1.00406867955792892,
      -1.00193522417727227, 1.00052257541033051, -0.99811096227176342, 0.99065699237873991,
      -0.968929223431195157, 0.917006820870145961, -0.816970794629161042, 0.662062072241271717,
      -0.47010383859646634, 0.281349527361113625, -0.136131914772602467, 0.0506553678947357503,
      -0.013511723652343687, 0.00228888031816957416, -0.000184379100132787085);
}

VK_END
