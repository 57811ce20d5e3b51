// What a kernel applies to each element, made from an operation: its value, its vjp, or both.
#pragma once

#include <utility>

#include "core/portable.h"

VK_BEGIN

template <class T, int N, class... Inputs>
constexpr int n_results(Values<T, N> (*)(Inputs...)) {
  return N;
}
template <class Result, class... Inputs>
constexpr int n_arguments(Result (*)(Inputs...)) {
  return sizeof...(Inputs);
}

// The input that is often one number for many elements, as a learned scalar is (-1: none). The
// operation then has a type Prepared<T>, made from that input, of all that depends on it alone.
template <class Op>
constexpr int uniform_input() {
  if constexpr (requires { Op::uniform_input; }) return Op::uniform_input;
  return -1;
}

// The result of which log sum exp may be taken over rows (-1: of none).
template <class Op>
constexpr int log_sum_exp() {
  if constexpr (requires { Op::log_sum_exp; }) return Op::log_sum_exp;
  return -1;
}

template <class Op, class T, bool exists = (uniform_input<Op>() >= 0)>
struct PreparedInput {
  using type = T;
};
template <class Op, class T>
struct PreparedInput<Op, T, true> {
  using type = typename Op::template Prepared<T>;
};

// How an operation reads deviations (math/scale.h): if it does, its functions take that first.
template <class Op>
struct ScaleOf {
  static constexpr bool exists = false;
  template <class T>
  struct type {
    VK_FN explicit type(float) {}
  };
};
template <template <template <class> class> class Op, template <class> class AnyScale>
struct ScaleOf<Op<AnyScale>> {
  static constexpr bool exists = true;
  template <class T>
  using type = AnyScale<T>;
};

// What the functions below have in common. `scale` is a Scale<T> of the launch.
template <class Op>
struct FunctionOf {
  static constexpr bool both = false;  // value and vjp
  template <class T>
  using Scale = typename ScaleOf<Op>::template type<T>;
  template <class T>
  using Prepared = typename PreparedInput<Op, T>::type;
  static constexpr bool is_scaled = ScaleOf<Op>::exists;
  static constexpr bool prepares_scaled = is_scaled && vk::uniform_input<Op>() >= 0;

  template <class T>
  VK_FN static Prepared<T> prepare(Scale<T> scale, T input) {
    if constexpr (prepares_scaled) return Prepared<T>(scale, input);
    else return Prepared<T>(input);
  }
};

template <class Op>
struct ValueOf : FunctionOf<Op> {
  static constexpr const char* variant = "value";
  static constexpr int n_inputs =
      n_arguments(&Op::template value<double>) - FunctionOf<Op>::is_scaled;
  static constexpr int n_outputs = n_results(&Op::template value<double>);
  static constexpr int uniform_input = vk::uniform_input<Op>();
  static constexpr int log_sum_exp = vk::log_sum_exp<Op>();
  template <class Scale, class... T>
  VK_FN static auto apply(Scale scale, T... inputs) {
    if constexpr (FunctionOf<Op>::is_scaled) return Op::value(scale, inputs...);
    else return Op::value(inputs...);
  }
};

template <class Op>
struct VjpOf : FunctionOf<Op> {
  static constexpr const char* variant = "vjp";
  static constexpr int n_inputs =
      n_arguments(&Op::template vjp<double>) - FunctionOf<Op>::is_scaled;
  static constexpr int n_outputs = n_results(&Op::template vjp<double>);
  static constexpr int uniform_input =
      vk::uniform_input<Op>() < 0 ? -1 : vk::uniform_input<Op>() + ValueOf<Op>::n_outputs;
  static constexpr int log_sum_exp = -1;
  template <class Scale, class... T>
  VK_FN static auto apply(Scale scale, T... gradients_and_inputs) {
    if constexpr (FunctionOf<Op>::is_scaled) return Op::vjp(scale, gradients_and_inputs...);
    else return Op::vjp(gradients_and_inputs...);
  }
};

// Both in one pass, for when the gradient of the result is known beforehand. The compiler shares
// their common subexpressions.
template <class Op>
struct ValueAndVjpOf : FunctionOf<Op> {
  static constexpr const char* variant = "value_and_vjp";
  static constexpr bool both = true;
  static constexpr int n_inputs = VjpOf<Op>::n_inputs;
  static constexpr int n_outputs = 1 + VjpOf<Op>::n_outputs;
  static constexpr int uniform_input = VjpOf<Op>::uniform_input;
  static constexpr int log_sum_exp = -1;
  static constexpr bool exists =
      ValueOf<Op>::n_outputs == 1 && VjpOf<Op>::n_inputs == 1 + ValueOf<Op>::n_inputs;

  template <class Scale, class T, class... Inputs>
  VK_FN static auto apply(Scale scale, T g, Inputs... inputs) {
    return join(ValueOf<Op>::apply(scale, inputs...), VjpOf<Op>::apply(scale, g, inputs...),
                std::make_index_sequence<n_outputs - 1>());
  }

 private:
  template <class T, int N, size_t... K>
  VK_FN static Values<T, n_outputs> join(Values<T, 1> value, Values<T, N> gradients,
                                         std::index_sequence<K...>) {
    return {{value.v[0], gradients.v[K]...}};
  }
};

VK_END
