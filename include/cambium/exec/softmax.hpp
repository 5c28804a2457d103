#pragma once
// The softmax and the log-sum-exp of one cell's scores: for a rule, and for a register of cells on the cpu.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/simd.hpp>

#include <cmath>
#include <type_traits>

namespace cambium {

/// The largest score of a cell, and the sum of e^(score - most) over its scores, which is at least 1.
///
///   softmax(l) = e^(score(l) - most) / sum        log_sum_exp = most + log(sum)
template <class A>
struct softmax_sum {
  A most;
  A sum;

  /// The log of the sum of e^score. To subtract a score from it, `log(sum) + (most - score)` is more accurate.
  CAMBIUM_HD A log_sum_exp() const { return most + std::log(sum); }
};

/// e^v by the mathematics library, for softmax_of.
struct library_exponential {
  template <class A>
  CAMBIUM_HD A operator()(index_t, A v) const
  {
    return std::exp(v);
  }
};

/// Sum the exponentials of a cell's scores, relative to the largest one, in the order of the channels.
///
/// @param count  number of scores, >= 1
/// @param score  score(l) -> float or double, for l in 0..count-1
/// @param term   term(l, score(l) - most) -> the channel's exponential, which is added to the sum. The term may also
///         store it
template <class Score, class Term = library_exponential>
CAMBIUM_HD auto softmax_of(index_t count, Score const& score,
                           Term const& term = {}) -> softmax_sum<std::decay_t<decltype(score(index_t{}))>>
{
  using A = std::decay_t<decltype(score(index_t{}))>;
  softmax_sum<A> out{score(0), 0};
  for (index_t l = 1; l < count; ++l) {
    A const v = score(l);
    out.most = out.most < v ? v : out.most;
  }
  for (index_t l = 0; l < count; ++l) out.sum += term(l, score(l) - out.most);
  return out;
}

/// The largest score of each of Lanes neighbouring cells.
///
/// @param scores   channel l at [l * stride]
/// @param most     becomes the largest scores
/// @param invalid  if given, becomes NaN where a score is not finite, 0 elsewhere
template <int Lanes>
[[gnu::always_inline]] inline void largest_scores(float const* scores, index_t channels, index_t stride,
                                                  pack<float, Lanes>& most, pack<float, Lanes>* invalid = nullptr)
{
  most = lanes_at<Lanes>(scores).v;
  if (invalid != nullptr) *invalid = most - most;
  for (index_t l = 1; l < channels; ++l) {
    pack<float, Lanes> const v = lanes_at<Lanes>(scores + l * stride).v;
    most = v > most ? v : most;
    if (invalid != nullptr) *invalid += v - v;
  }
}

/// Scores become e^(score - most), and `sum` their sum.
template <int Lanes>
[[gnu::always_inline]] inline void exponentials_of_scores(float* scores, index_t channels, index_t stride,
                                                          pack<float, Lanes> const& most, pack<float, Lanes>& sum)
{
  sum = pack<float, Lanes>{};
  for (index_t l = 0; l < channels; ++l) {
    pack<float, Lanes> v = lanes_at<Lanes>(scores + l * stride).v - most;
    exponential<Lanes>(v);
    lanes_at<Lanes>(scores + l * stride).v = v;
    sum += v;
  }
}

}  // namespace cambium
