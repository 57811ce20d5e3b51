// The kernels that the list of operations makes, numbered in one order for all backends.
#pragma once

#include <type_traits>

#include "launch.h"
#include "ops.h"
#include "pointwise.h"

VK_BEGIN

// Calls visit(Function) for everything that one operation offers.
template <class Op, class Visit>
constexpr void for_each_function(Visit visit) {
  visit(ValueOf<Op>{});
  visit(VjpOf<Op>{});
  if constexpr (ValueAndVjpOf<Op>::exists) visit(ValueAndVjpOf<Op>{});
}

// Calls visit(Function, scale) for every kernel, in the order of their numbers.
template <class Visit>
constexpr void for_each_kernel(Visit visit) {
  for_each_op([&visit](auto op, const char* scale) {
    for_each_function<decltype(op)>([&visit, scale](auto function) { visit(function, scale); });
  });
}

constexpr int count_kernels() {
  int n = 0;
  for_each_kernel([&n](auto, const char*) { ++n; });
  return n;
}

// pointwise.h does not name the operation in its functions; this finds it again.
template <class Function>
struct OperationOf;
template <template <class> class Function, class Op>
struct OperationOf<Function<Op>> {
  using type = Op;
};

// Whether an operation's function is half of another one, its value and vjp at once.
template <class Function>
constexpr bool is_part_of_both() {
  return !Function::both && ValueAndVjpOf<typename OperationOf<Function>::type>::exists;
}

// Whether a kernel belongs to a part of the list, which is cut into `parts` that compile side by
// side: operations are dealt out in turn.
template <class Function, int parts, int part>
constexpr bool in_part() {
  int k = 0, index = 0;
  for_each_op([&k, &index](auto op, const char*) {
    if (std::is_same_v<decltype(op), typename OperationOf<Function>::type>) index = k;
    ++k;
  });
  return index % parts == part;
}

template <class Function>
constexpr KernelInfo kernel_info(const char* scale) {
  static_assert(Function::n_inputs < kMaxOperands, "a mask needs a place too");
  return {OperationOf<Function>::type::name, scale, Function::variant, Function::n_inputs,
          Function::n_outputs};
}

VK_END
