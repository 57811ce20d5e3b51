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

template <class Op>
struct ValueOf {
  template <class T>
  using Prepared = typename PreparedInput<Op, T>::type;
  static constexpr const char* variant = "value";
  static constexpr int n_inputs = n_arguments(&Op::template value<double>);
  static constexpr int n_outputs = n_results(&Op::template value<double>);
  static constexpr int uniform_input = vk::uniform_input<Op>();
  static constexpr int log_sum_exp = vk::log_sum_exp<Op>();
  template <class... T>
  VK_FN static auto apply(T... inputs) {
    return Op::value(inputs...);
  }
};

template <class Op>
struct VjpOf {
  template <class T>
  using Prepared = typename PreparedInput<Op, T>::type;
  static constexpr const char* variant = "vjp";
  static constexpr int n_inputs = n_arguments(&Op::template vjp<double>);
  static constexpr int n_outputs = n_results(&Op::template vjp<double>);
  static constexpr int uniform_input =
      vk::uniform_input<Op>() < 0 ? -1 : vk::uniform_input<Op>() + ValueOf<Op>::n_outputs;
  static constexpr int log_sum_exp = -1;
  template <class... T>
  VK_FN static auto apply(T... gradients_and_inputs) {
    return Op::vjp(gradients_and_inputs...);
  }
};

// Both in one pass, for when the gradient of the result is known beforehand. The compiler shares
// their common subexpressions.
template <class Op>
struct ValueAndVjpOf {
  template <class T>
  using Prepared = typename PreparedInput<Op, T>::type;
  static constexpr const char* variant = "value_and_vjp";
  static constexpr int n_inputs = VjpOf<Op>::n_inputs;
  static constexpr int n_outputs = 1 + VjpOf<Op>::n_outputs;
  static constexpr int uniform_input = VjpOf<Op>::uniform_input;
  static constexpr int log_sum_exp = -1;
  static constexpr bool exists =
      ValueOf<Op>::n_outputs == 1 && VjpOf<Op>::n_inputs == 1 + ValueOf<Op>::n_inputs;

  template <class T, class... Inputs>
  VK_FN static auto apply(T g, Inputs... inputs) {
    return join(Op::value(inputs...), Op::vjp(g, inputs...),
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
