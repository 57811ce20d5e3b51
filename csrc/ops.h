// The list of operations. Every backend instantiates exactly this list.
//
// An operation is a pointwise function and its derivative, side by side:
//   value(inputs...)            the results of one element
//   vjp(gradients, inputs...)   the gradients of its inputs
// Whether a result is summed over a datapoint or written as it is, is the caller's business
// (launch.h): to an operation, everything is a column of numbers.
#pragma once

#include "math/asymmetric_laplace.h"
#include "math/bernoulli.h"
#include "math/bernoulli_probs.h"
#include "math/categorical.h"
#include "math/continuous_bernoulli.h"
#include "math/discretized_logistic.h"
#include "math/gaussian.h"
#include "math/gaussian_kl.h"
#include "math/laplace.h"
#include "math/negative_binomial.h"
#include "math/poisson.h"
#include "math/reparameterize.h"
#include "math/student_t.h"
#include "math/zero_inflated_negative_binomial.h"

VK_BEGIN

template <template <template <class> class> class Op, class Visit>
constexpr void for_each_scale(Visit visit) {
  visit(Op<Log>{}, Log<float>::name);
  visit(Op<Std>{}, Std<float>::name);
}

template <class Visit>
constexpr void for_each_op(Visit visit) {
  visit(Bernoulli{}, "");
  visit(BernoulliProbs{}, "");
  visit(ContinuousBernoulli{}, "");
  for_each_scale<Gaussian>(visit);
  visit(Laplace{}, "");
  visit(AsymmetricLaplace{}, "");
  visit(StudentT{}, "");
  visit(DiscretizedLogistic{}, "");
  visit(Categorical{}, "");
  visit(Multinomial{}, "");
  visit(Poisson{}, "");
  visit(NegativeBinomial{}, "");
  visit(ZeroInflatedNegativeBinomial{}, "");
  for_each_scale<StandardKL>(visit);
  for_each_scale<GaussianKL>(visit);
  for_each_scale<Reparameterize>(visit);
  for_each_scale<SampleStandardKL>(visit);
  for_each_scale<SampleGaussianKL>(visit);
}

VK_END
