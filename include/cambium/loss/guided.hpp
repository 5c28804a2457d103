#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace cambium {

/// A loss of a batch and its gradient by the network's output.
template <class T, class Space = host>
struct output_loss {
  double value = 0;
  grid<T, 4, Space> gradient;  ///< [B,C,H,W]
};

/// A cell's share of a loss and its slope.
struct error_term {
  double loss = 0, slope = 0;
};

/// What the sum over guided cells is divided by.
enum class guided_mean {
  pixels,  ///< pixels with a weight above 0, not times the channels, so C channels weigh C times as much: the original
  values,  ///< pixels with a weight above 0, times the channels: a mean
  ones     ///< targets that are 1, at least 1
};

struct guided_options {
  guided_mean over = guided_mean::pixels;
};

struct focal_options {
  double clip = 0;  ///< probabilities are kept this far from 0 and 1; in [0,0.5). With 0 a wrong 0 or 1 costs infinity
};

/// Instead of a weight: every pixel has weight 1.
struct every_pixel {};

namespace rule {

// The terms of a loss: what a cell with output a, target b and weight m adds to it.

struct square_error {
  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    return {m * (a - b) * (a - b), 2 * m * (a - b)};
  }
};

struct absolute_error {
  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    return {m * std::abs(a - b), a > b ? m : a < b ? -m : 0};
  }
};

struct focal_error : focal_options {
  static constexpr bool of_probabilities = true;  ///< output and target are in [0,1]

  void expects_valid(std::string const& name) const
  {
    expects(clip >= 0 && clip < 0.5, name, ": clip is ", clip, ", outside [0,0.5)");
  }

  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    double const p = a < clip ? clip : a > 1 - clip ? 1 - clip : a, inside = p == a ? 1 : 0;
    if (b == 1) {
      if (p == 1) return {};  // 0 * log 1
      double const l = std::log(p), far = 1 - p;
      return {-m * l * far * far, m * inside * far * (2 * l - far / p)};
    }
    double const l = std::log1p(-p), away = m * std::pow(1 - b, 4.0);
    if (p == 0 || away == 0) return {};  // 0, or so little that it rounds to it
    return {-away * l * p * p, away * inside * p * (p / (1 - p) - 2 * l)};
  }
};

/// Does a cell count in the divisor: a weight above 0, or a target of 1?
template <class T, class S>
struct counts_in_divisor {
  view<T const, 4, S> cells;
  bool ones;

  CAMBIUM_HD index_t operator()(index_t i) const
  {
    index_t const C = cells.extent[1], H = cells.extent[2], W = cells.extent[3];
    T const v = cells(i / W / H / C, i / W / H % C, i / W % H, i % W);
    return ones ? v == 1 : v > 0;
  }
};

/// First rule: the factor of all sums, 1 / (times * the larger of two numbers), and 0 where that is 1/0.
struct divide_sums {
  index_t const* counted;  ///< or null
  index_t least;
  double times;
  double* part;

  CAMBIUM_HD void operator()(index_t) const
  {
    index_t const n = counted == nullptr || *counted < least ? least : *counted;
    double const divisor = times * static_cast<double>(n);
    *part = divisor > 0 ? 1 / divisor : 0;
  }
};

/// Second rule: the slope of a cell, its channel numbered through the batch. Called with an index it is the cell's
/// loss.
template <class T, class S, class Term>
struct guided_cell {
  view<T const, 4, S> output, target, weight;  ///< a null weight is 1 everywhere
  Term term;
  double const* part;
  view<T, 4, S> gradient;

  CAMBIUM_HD error_term at(index_t b, index_t c, index_t y, index_t x) const
  {
    double const w = weight.data == nullptr ? 1 : static_cast<double>(weight(b, 0, y, x));
    return w == 0 ? error_term{}
                  : term(static_cast<double>(output(b, c, y, x)), static_cast<double>(target(b, c, y, x)), w);
  }
  CAMBIUM_HD double operator()(index_t i) const
  {
    index_t const C = output.extent[1], H = output.extent[2], W = output.extent[3];
    return at(i / W / H / C, i / W / H % C, i / W % H, i % W).loss;
  }
  CAMBIUM_HD void operator()(index_t channel, index_t y, index_t x) const
  {
    index_t const C = gradient.extent[1], b = channel / C, c = channel % C;
    gradient(b, c, y, x) = static_cast<T>(at(b, c, y, x).slope * *part);
  }
};

/// Last rule: the value from the sum.
struct scale_sum {
  double const* part;
  double* value;
  CAMBIUM_HD void operator()(index_t) const { *value *= *part; }
};

}  // namespace rule

/// Room for a loss of this file: sixteen bytes, and what sums work in.
template <execution_policy P>
struct guided_scratch {
  using S = typename P::memory;
  explicit guided_scratch(P const& where) : counted(make_grid<index_t>(where, {1})), part(make_grid<double>(where, {1}))
  {
  }

  grid<index_t, 1, S> counted;
  grid<double, 1, S> part;
  workspace<P> sums;
};

/// The cpu's counts: row by row.
template <class T>
void count_divisor_on(cpu const&, rule::counts_in_divisor<T, host> const& of, index_t* out, workspace<cpu>&)
{
  auto const& v = of.cells;
  index_t n = 0;
  for (index_t row = 0; v.size() > 0 && row < v.extent[0] * v.extent[1] * v.extent[2]; ++row) {
    T const* const cells = &v(row / v.extent[2] / v.extent[1], row / v.extent[2] % v.extent[1], row % v.extent[2], 0);
    for (index_t x = 0; x < v.extent[3]; ++x) n += of.ones ? cells[x] == 1 : cells[x] > 0;
  }
  *out = n;
}
template <class P, class T, class S>
void count_divisor_on(P const& where, rule::counts_in_divisor<T, S> const& of, index_t* out, workspace<P>& space)
{
  reduce(where, of.cells.size(), of, index_t{0}, plus{}, out, space);
}

/// The cpu's sum of all terms and their slopes, in one pass: row by row, then the rows in order.
template <class T, class Term>
void sum_terms_on(cpu const& where, rule::guided_cell<T, host, Term> const& cells, double* sum, workspace<cpu>&)
{
  index_t const C = cells.output.extent[1], H = cells.output.extent[2], W = cells.output.extent[3];
  std::vector<double> rows(static_cast<std::size_t>(W > 0 ? cells.output.extent[0] * C * H : 0));
  for_each_share(where, static_cast<index_t>(rows.size()), 16, [&](index_t begin, index_t end) {
    double const part = *cells.part;
    for (index_t row = begin; row < end; ++row) {
      index_t const b = row / H / C, c = row / H % C, y = row % H;
      double of_row = 0;
      for (index_t x = 0; x < W; ++x) {
        error_term const at = cells.at(b, c, y, x);
        of_row += at.loss;
        cells.gradient(b, c, y, x) = static_cast<T>(at.slope * part);
      }
      rows[static_cast<std::size_t>(row)] = of_row;
    }
  });
  *sum = 0;
  for (double const row : rows) *sum += row;
}
template <class P, class T, class S, class Term>
void sum_terms_on(P const& where, rule::guided_cell<T, S, Term> const& cells, double* sum, workspace<P>& space)
{
  index_t const(&extent)[4] = cells.output.extent;
  for_each_cell(where, {extent[0] * extent[1], extent[2], extent[3]}, cells);
  reduce(where, cells.output.size(), cells, 0.0, plus{}, sum, space);
}

/// Sum a term over a batch, divide the sum, and differentiate it by the output.
///
///   sum over b,c,y,x of term(output, target, weight), divided as options.over says
///
/// @param where     where to run; must reach all memory
/// @param term      rule::square_error, absolute_error, focal_error, or another function of output, target and weight
///                  that returns an error_term on cores and devices; it is linear in the weight
/// @param output    [B,C,H,W] finite; of focal_error in [0,1]
/// @param target    [B,C,H,W] the same
/// @param weight    [B,1,H,W] finite, >= 0, where it is 0 the cell counts nothing; or every_pixel
/// @param options   over = pixels
/// @param gradient  [B,C,H,W] d value / d output; no input
/// @param value     [1]; value and gradient are 0 where no weight is above 0
/// @param scratch   one call at a time
/// @param name      begins every message
///
/// @throws       precondition_error before anything is written: shapes that differ, NaN, infinite values, negative
///               weights, values outside [0,1] of focal_error, a gradient that overlaps an input
/// @invariant    over = values is over = pixels divided by C
/// @complexity   Theta(B * C * H * W); a device reads the batch twice
/// @determinism  the same bits on every run and for every number of threads; sums in double. Values beyond the largest
///               number of a type are infinite in it, as everywhere in floating point. A device sums in another order:
///               the value is within 1e-12 of the sum of its terms' sizes, a slope within a rounding
/// @asynchrony   gpu: enqueues and returns, and does not look at values: a NaN or an infinity in becomes one in the
///               value, and in the slopes of its own cell or, from the weight, of its pixel (absolute_error: slope 0);
///               a weight below 0 counts in the sum and not in the divisor; focal_error clips an output outside [0,1],
///               and gives NaN without a clip
template <execution_policy P, class Term, gridded<4> O, gridded<4> Y, class M, gridded<4> G, gridded<1> V>
  requires reaches<P, space_of<O, 4>>
void guided_loss_into(P const& where, Term const& term, O const& output, Y const& target, M const& weight,
                      guided_options const& options, G&& gradient, V&& value, guided_scratch<P>& scratch,
                      std::string const& name = "guided_loss")
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  constexpr bool weighted = !std::is_same_v<M, every_pixel>, probabilities = requires { Term::of_probabilities; };
  view<T const, 4, S> const o = as_view<4>(output, (name + ": output").c_str());
  view<T const, 4, S> const t = as_view<4>(target, (name + ": target").c_str());
  view<T, 4, S> const by = as_view<4>(gradient, (name + ": gradient").c_str());
  view<double, 1, S> const sum = as_view<1>(value, (name + ": value").c_str());
  view<T const, 4, S> w;
  if constexpr (weighted) {
    w = as_view<4>(weight, (name + ": weight").c_str());
    expects(w.extent[0] == o.extent[0] && w.extent[1] == 1 && w.extent[2] == o.extent[2] && w.extent[3] == o.extent[3],
            name, ": output is ", o, " but weight is ", w, "; it is one a pixel, [B,1,H,W]");
  }
  expects(same_shape(o, t), name, ": output is ", o, " but target is ", t);
  expects(same_shape(o, by), name, ": output is ", o, " but gradient is ", by);
  expects(sum.extent[0] == 1, name, ": value is ", sum, "; it is one cell");
  expects(!overlap(by, o) && !overlap(by, t) && !overlap(by, w), name, ": the gradient overlaps an input");
  if constexpr (requires { term.expects_valid(name); }) term.expects_valid(name);
  if constexpr (std::is_same_v<P, cpu>) {
    for (auto const& [v, of] : {std::pair{o, name + ": output"}, std::pair{t, name + ": target"}}) {
      expects_finite(where, v, of.c_str());
      if constexpr (probabilities) expects_inside(where, v, T(0), T(1), of.c_str(), "a value in [0,1]");
    }
    if constexpr (weighted)
      expects_inside(where, w, T(0), std::numeric_limits<T>::max(), (name + ": weight").c_str(),
                     "a finite number >= 0");
  }

  bool const ones = options.over == guided_mean::ones, counts = weighted || ones;
  index_t* const counted = scratch.counted.view().data;
  double* const part = scratch.part.view().data;
  if (counts) count_divisor_on(where, rule::counts_in_divisor<T, S>{ones ? t : w, ones}, counted, scratch.sums);
  index_t const least = ones ? 1 : weighted ? 0 : o.extent[0] * o.extent[2] * o.extent[3];
  double const times = options.over == guided_mean::values ? static_cast<double>(o.extent[1]) : 1.0;
  for_each_index(where, 1, rule::divide_sums{counts ? counted : nullptr, least, times, part});
  sum_terms_on(where, rule::guided_cell<T, S, Term>{o, t, w, term, part, by}, sum.data, scratch.sums);
  for_each_index(where, 1, rule::scale_sum{part, sum.data});
}

/// As guided_loss_into, and allocates the result.
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, class Term, gridded<4> O, gridded<4> Y, class M>
  requires reaches<P, space_of<O, 4>>
[[nodiscard]] auto guided_loss(P const& where, Term const& term, O const& output, Y const& target, M const& weight,
                               guided_options const& options = {}, std::string const& name = "guided_loss")
{
  using T = value_of<O, 4>;
  auto const o = as_view<4>(output, (name + ": output").c_str());
  output_loss<T, space_of<O, 4>> out{0, make_grid<T>(where, o.extent)};
  auto value = make_grid<double>(where, {1});
  guided_scratch<P> scratch(where);
  guided_loss_into(where, term, o, target, weight, options, out.gradient.view(), value.view(), scratch, name);
  out.value = read_cell(where, static_cast<double const*>(value.view().data));
  return out;
}

/// Square errors of the guided pixels: weight * (output - target)^2. BESTIE's loss of centre maps; see
/// guided_loss_into.
/// @source Weighted_MSELoss, utils/loss.py of clovaai/BESTIE
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto guided_square_error(P const& where, O const& output, Y const& target, M const& weight,
                                       guided_options options = {})
{
  return guided_loss(where, rule::square_error{}, output, target, weight, options, "guided_square_error");
}

/// Absolute errors of the guided pixels: weight * |output - target|; where the two are equal the slope is 0. BESTIE's
/// loss of offset maps; see guided_loss_into.
/// @source Weighted_L1_Loss, utils/loss.py of clovaai/BESTIE
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto guided_absolute_error(P const& where, O const& output, Y const& target, M const& weight,
                                         guided_options options = {})
{
  return guided_loss(where, rule::absolute_error{}, output, target, weight, options, "guided_absolute_error");
}

/// The mean square error of a batch, see guided_loss_into.
/// @source MSELoss, utils/loss.py of clovaai/BESTIE, which takes a weight and does not look at it
template <execution_policy P, gridded<4> O, gridded<4> Y>
[[nodiscard]] auto mean_square_error(P const& where, O const& output, Y const& target)
{
  return guided_loss(where, rule::square_error{}, output, target, every_pixel{}, {.over = guided_mean::values},
                     "mean_square_error");
}

/// The mean absolute error of a batch, see guided_loss_into.
/// @source L1_Loss, utils/loss.py of clovaai/BESTIE, which takes a weight and does not look at it
template <execution_policy P, gridded<4> O, gridded<4> Y>
[[nodiscard]] auto mean_absolute_error(P const& where, O const& output, Y const& target)
{
  return guided_loss(where, rule::absolute_error{}, output, target, every_pixel{}, {.over = guided_mean::values},
                     "mean_absolute_error");
}

/// The focal loss of a heat map, see guided_loss_into.
///
///   -log(p) (1-p)^2         where target == 1
///   -log(1-p) p^2 (1-t)^4   where target < 1
///
/// each times the weight, summed, and divided by the number of targets that are 1, if there are any. Beyond the clip
/// the gradient is 0. A device's logarithms are those of its library: within 1 ulp.
///
/// @source Law & Deng, "CornerNet", ECCV 2018, eq. (1); FocalLoss, utils/loss.py of clovaai/BESTIE, which uses it
///         nowhere and has no clip
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto focal_loss(P const& where, O const& output, Y const& target, M const& weight,
                              focal_options options = {})
{
  return guided_loss(where, rule::focal_error{options}, output, target, weight, {.over = guided_mean::ones},
                     "focal_loss");
}

}  // namespace cambium
