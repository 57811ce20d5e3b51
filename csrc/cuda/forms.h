// What of a launch is known when its kernel is compiled. Any launch has a kernel that asks at run
// time; what training steps consist of has kernels of its own, which take half the instructions.
#pragma once

#include "../ops.h"
#include "../pointwise.h"

VK_BEGIN

// Nothing: operands of any kind, dtype and layout.
struct AnyForm {
  static constexpr bool is_dense = false;
};

// A letter for each operand; a string on the host.
template <char... letters>
struct Letters {
  static constexpr char all[] = {letters..., '\0'};

  VK_FN static constexpr char at(int k) {
    char found = '\0';
    ((k-- == 0 ? static_cast<void>(found = letters) : static_cast<void>(0)), ...);
    return found;
  }
  static constexpr int count(char letter) { return ((letters == letter ? 1 : 0) + ... + 0); }
  static constexpr int find(char letter) {  // -1 if there is none
    int found = -1, k = 0;
    ((letters == letter ? static_cast<void>(found = k) : static_cast<void>(0), ++k), ...);
    return found;
  }
};

// Inputs: e  elements of type Float, in lines that the launch names
//         t  the same, or of float, or bytes: a target
//         r  a number per row, or one for all
//         n  noise
// Outputs: e  elements of type Float    s  sums over rows    d  discarded
template <class Float, class Inputs, class Outputs>
struct DenseForm {
  static constexpr bool is_dense = true;
  using Storage = Float;
  static constexpr const char* inputs = Inputs::all;
  static constexpr const char* outputs = Outputs::all;
  VK_FN static constexpr char input(int k) { return Inputs::at(k); }
  VK_FN static constexpr char output(int k) { return Outputs::at(k); }
  static constexpr int n_sums = Outputs::count('s'), noise = Inputs::find('n');
};

template <char... letters>
using In = Letters<letters...>;
template <char... letters>
using Out = Letters<letters...>;

template <class Inputs, class Outputs>
struct Form {
  template <class Float>
  using of = DenseForm<Float, Inputs, Outputs>;
};
template <class... each>
struct Forms {};

// Those of a function that have a kernel, in float and in bfloat16. None, if nothing else is said.
template <class Function>
struct FormsOf {
  using type = Forms<>;
};

template <>
struct FormsOf<ValueOf<Bernoulli>> {
  using type = Forms<Form<In<'e', 't'>, Out<'s'>>>;
};
template <>
struct FormsOf<VjpOf<Bernoulli>> {
  using type = Forms<Form<In<'r', 'e', 't'>, Out<'e', 'd'>>>;
};
template <>
struct FormsOf<ValueAndVjpOf<Bernoulli>> {
  using type = Forms<Form<In<'r', 'e', 't'>, Out<'s', 'e', 'd'>>>;
};

// The deviation is a network's, or one number.
template <>
struct FormsOf<ValueOf<Gaussian<Log>>> {
  using type = Forms<Form<In<'e', 'e', 't'>, Out<'s'>>, Form<In<'e', 'r', 't'>, Out<'s'>>>;
};
template <>
struct FormsOf<VjpOf<Gaussian<Log>>> {
  using type = Forms<Form<In<'r', 'e', 'e', 't'>, Out<'e', 'e', 'd'>>,
                     Form<In<'r', 'e', 'r', 't'>, Out<'e', 's', 'd'>>>;
};
template <>
struct FormsOf<ValueAndVjpOf<Gaussian<Log>>> {
  using type = Forms<Form<In<'r', 'e', 'e', 't'>, Out<'s', 'e', 'e', 'd'>>,
                     Form<In<'r', 'e', 'r', 't'>, Out<'s', 'e', 's', 'd'>>>;
};

template <>
struct FormsOf<ValueOf<StandardKL<Log>>> {
  using type = Forms<Form<In<'e', 'e'>, Out<'s'>>>;
};
template <>
struct FormsOf<VjpOf<StandardKL<Log>>> {
  using type = Forms<Form<In<'r', 'e', 'e'>, Out<'e', 'e'>>>;
};
template <>
struct FormsOf<ValueAndVjpOf<StandardKL<Log>>> {
  using type = Forms<Form<In<'r', 'e', 'e'>, Out<'s', 'e', 'e'>>>;
};

template <>
struct FormsOf<ValueOf<Reparameterize<Log>>> {
  using type = Forms<Form<In<'e', 'e', 'n'>, Out<'e'>>>;
};
template <>
struct FormsOf<VjpOf<Reparameterize<Log>>> {
  using type = Forms<Form<In<'e', 'e', 'n'>, Out<'e', 'd'>>>;
};
template <>
struct FormsOf<ValueOf<SampleStandardKL<Log>>> {
  using type = Forms<Form<In<'e', 'e', 'n'>, Out<'e', 's'>>>;
};
template <>
struct FormsOf<VjpOf<SampleStandardKL<Log>>> {
  using type = Forms<Form<In<'e', 'r', 'e', 'e', 'n'>, Out<'e', 'e', 'd'>>>;
};

VK_END
