// Division by numbers that the host knows: a multiplication and a shift (Granlund and Montgomery,
// "Division by invariant integers using multiplication", PLDI 1994), a fraction of the instructions
// and registers that a GPU's division takes.
#pragma once

#include "../core/portable.h"

VK_BEGIN

// For dividends below half of Word's range.
template <class Word, class Wide>
class Divisor {
 public:
  Divisor() = default;

  explicit Divisor(Word n) : n_(n) {
    while ((Wide(1) << shift_) < n) ++shift_;
    factor_ = static_cast<Word>((((Wide(1) << shift_) - n) << kBits) / n + 1);
  }

  VK_FN Word n() const { return n_; }

  VK_FN Word divide(Word x) const {
    const Word high = static_cast<Word>((static_cast<Wide>(x) * factor_) >> kBits);
    return (high + x) >> shift_;
  }

 private:
  static constexpr int kBits = 8 * sizeof(Word);
  Word n_ = 1, factor_ = 1;
  int shift_ = 0;
};

using Divisor32 = Divisor<uint32_t, uint64_t>;
using Divisor64 = Divisor<uint64_t, unsigned __int128>;

VK_END
