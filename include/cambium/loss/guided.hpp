#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
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
  pixels,  ///< pixels with a weight above 0; channels are not counted, so C channels weigh C times as much: the original
  values   ///< pixels with a weight above 0, times the channels: a mean
};

struct guided_options {
  guided_mean over = guided_mean::pixels;
};

/// What a cell with output a, target b and weight m adds to a loss.
struct square_term {
  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    return {m * (a - b) * (a - b), 2 * m * (a - b)};
  }
};
struct absolute_term {
  CAMBIUM_HD error_term operator()(double a, double b, double m) const
  {
    return {m * std::abs(a - b), a > b ? m : a < b ? -m : 0};
  }
};
struct focal_term {
  double clip = 0;

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

/// Sum term(output, target, weight) over a batch, and its slopes, row by row, then rows in order.
/// `weight` [B,1,H,W] may be null: then every weight is 1.
template <class T, class Term>
output_loss<T> sum_of_terms(cpu const& where, view<T const, 4> output, view<T const, 4> target, view<T const, 4> weight,
                            double divisor, Term const& term)
{
  index_t const C = output.extent[1], H = output.extent[2], W = output.extent[3];
  output_loss<T> out{0, grid_like<T, host>(output)};
  if (output.size() == 0) return out;
  std::vector<double> rows(static_cast<std::size_t>(output.extent[0] * C * H));
  double const part = divisor > 0 ? 1 / divisor : 0;
  for_each_share(where, static_cast<index_t>(rows.size()), 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row) {
      index_t const b = row / H / C, c = row / H % C, y = row % H;
      double sum = 0;
      for (index_t x = 0; x < W; ++x) {
        double const w = weight.data == nullptr ? 1 : static_cast<double>(weight(b, 0, y, x));
        error_term const at =
            w == 0 ? error_term{}
                   : term(static_cast<double>(output(b, c, y, x)), static_cast<double>(target(b, c, y, x)), w);
        sum += at.loss;
        out.gradient(b, c, y, x) = static_cast<T>(at.slope * part);
      }
      rows[static_cast<std::size_t>(row)] = sum;
    }
  });
  for (double const row : rows) out.value += row;
  out.value *= part;
  return out;
}

/// Throws unless output and target fit.
template <class T, class S>
void check_output_shapes(view<T const, 4, S> output, view<T const, 4, S> target, std::string const& name)
{
  expects(same_shape(output, target), name, ": output is ", output, " but target is ", target);
}

/// Throws unless output and target fit, and the weight is [B,1,H,W].
template <class T, class S>
void check_guided_shapes(view<T const, 4, S> output, view<T const, 4, S> target, view<T const, 4, S> weight,
                         std::string const& name)
{
  check_output_shapes(output, target, name);
  expects(weight.extent[0] == output.extent[0] && weight.extent[1] == 1 && weight.extent[2] == output.extent[2] &&
              weight.extent[3] == output.extent[3],
          name, ": output is ", output, " but weight is ", weight, "; it is one a pixel, [B,1,H,W]");
}

/// Throws unless the shapes fit and the values are finite.
template <class T>
void check_output(cpu const& where, view<T const, 4> output, view<T const, 4> target, std::string const& name)
{
  check_output_shapes(output, target, name);
  expects_finite(where, output, (name + ": output").c_str());
  expects_finite(where, target, (name + ": target").c_str());
}

/// The same, and the weight not negative.
template <class T>
void check_guided(cpu const& where, view<T const, 4> output, view<T const, 4> target, view<T const, 4> weight,
                  std::string const& name)
{
  check_guided_shapes(output, target, weight, name);
  check_output(where, output, target, name);
  expects_inside(where, weight, T(0), std::numeric_limits<T>::max(), (name + ": weight").c_str(),
                 "a finite number >= 0");
}

/// The number of cells above 0.
template <class T>
index_t count_positive(view<T const, 4> weight)
{
  index_t n = 0;
  for (index_t b = 0; b < weight.extent[0]; ++b)
    for (index_t c = 0; c < weight.extent[1]; ++c)
      for (index_t y = 0; y < weight.extent[2]; ++y)
        for (index_t x = 0; x < weight.extent[3]; ++x) n += weight(b, c, y, x) > 0;
  return n;
}

template <class T>
double guided_divisor(view<T const, 4> output, view<T const, 4> weight, guided_options const& options)
{
  double const pixels = static_cast<double>(count_positive(weight));
  return options.over == guided_mean::values ? pixels * static_cast<double>(output.extent[1]) : pixels;
}

/// The sum of a term over the guided pixels, divided as the options say. `name` begins every message.
template <class O, class Y, class M, class Term>
auto guided_error(cpu const& where, O const& output, Y const& target, M const& weight, guided_options const& options,
                  std::string const& name, Term const& term) -> output_loss<value_of<O, 4>>
{
  using T = value_of<O, 4>;
  view<T const, 4> const o = as_view<4>(output, (name + ": output").c_str());
  view<T const, 4> const t = as_view<4>(target, (name + ": target").c_str());
  view<T const, 4> const w = as_view<4>(weight, (name + ": weight").c_str());
  check_guided<T>(where, o, t, w, name);
  return sum_of_terms<T>(where, o, t, w, guided_divisor<T>(o, w, options), term);
}

/// Square errors of the guided pixels, and the gradient: BESTIE's loss of centre maps.
///
///   sum over b,c,y,x of weight * (output - target)^2, divided by the number of pixels with weight > 0
///
/// @param where    cpu
/// @param output   [B,C,H,W] finite
/// @param target   [B,C,H,W] finite
/// @param weight   [B,1,H,W] finite, >= 0
/// @param options  over = pixels
/// @return the value and d value / d output; both 0 where no weight is above 0
///
/// @throws       precondition_error: shapes that differ, NaN, infinite values, negative weights
/// @invariant    over = values is over = pixels divided by C
/// @complexity   Theta(B * C * H * W)
/// @determinism  the same bits on every run and for every number of threads; sums in double. Values beyond the largest
///               number of a type are infinite in it, as everywhere in floating point
/// @source       Weighted_MSELoss, utils/loss.py of clovaai/BESTIE
template <gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto guided_square_error(cpu const& where, O const& output, Y const& target, M const& weight,
                                       guided_options options = {}) -> output_loss<value_of<O, 4>>
{
  return guided_error(where, output, target, weight, options, "guided_square_error", square_term{});
}

/// Absolute errors of the guided pixels, and the gradient: BESTIE's loss of offset maps.
///
///   sum over b,c,y,x of weight * |output - target|, divided by the number of pixels with weight > 0
///
/// Where output and target are equal the slope is 0. Parameters, failures and the rest as guided_square_error.
///
/// @source Weighted_L1_Loss, utils/loss.py of clovaai/BESTIE
template <gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto guided_absolute_error(cpu const& where, O const& output, Y const& target, M const& weight,
                                         guided_options options = {}) -> output_loss<value_of<O, 4>>
{
  return guided_error(where, output, target, weight, options, "guided_absolute_error", absolute_term{});
}

/// The mean square error of a batch, and its gradient.
///
/// @param where   cpu
/// @param output  [B,C,H,W] finite
/// @param target  [B,C,H,W] finite
///
/// @throws precondition_error: shapes that differ, NaN, infinite values
/// @source MSELoss, utils/loss.py of clovaai/BESTIE, which takes a weight and does not look at it
template <gridded<4> O, gridded<4> Y>
[[nodiscard]] auto mean_square_error(cpu const& where, O const& output, Y const& target) -> output_loss<value_of<O, 4>>
{
  using T = value_of<O, 4>;
  view<T const, 4> const o = as_view<4>(output, "mean_square_error: output");
  view<T const, 4> const t = as_view<4>(target, "mean_square_error: target");
  check_output<T>(where, o, t, "mean_square_error");
  return sum_of_terms<T>(where, o, t, {}, static_cast<double>(o.size()), square_term{});
}

/// The mean absolute error of a batch, and its gradient; the slope is 0 where output and target are equal.
///
/// @param where   cpu
/// @param output  [B,C,H,W] finite
/// @param target  [B,C,H,W] finite
///
/// @throws precondition_error: shapes that differ, NaN, infinite values
/// @source L1_Loss, utils/loss.py of clovaai/BESTIE, which takes a weight and does not look at it
template <gridded<4> O, gridded<4> Y>
[[nodiscard]] auto mean_absolute_error(cpu const& where, O const& output,
                                       Y const& target) -> output_loss<value_of<O, 4>>
{
  using T = value_of<O, 4>;
  view<T const, 4> const o = as_view<4>(output, "mean_absolute_error: output");
  view<T const, 4> const t = as_view<4>(target, "mean_absolute_error: target");
  check_output<T>(where, o, t, "mean_absolute_error");
  return sum_of_terms<T>(where, o, t, {}, static_cast<double>(o.size()), absolute_term{});
}

struct focal_options {
  double clip = 0;  ///< probabilities are kept this far from 0 and 1; in [0,0.5). With 0 a wrong 0 or 1 costs infinity
};

/// The focal loss of a heat map, and its gradient.
///
///   -log(p) (1-p)^2         where target == 1
///   -log(1-p) p^2 (1-t)^4   where target < 1
///
/// each times the weight, summed, and divided by the number of targets that are 1, if there are any.
///
/// @param where    cpu
/// @param output   [B,C,H,W] in [0,1]: probabilities
/// @param target   [B,C,H,W] in [0,1]
/// @param weight   [B,1,H,W] finite, >= 0; where it is 0 the cell counts nothing
/// @param options  clip = 0
/// @return the value and d value / d output; 0 beyond the clip
///
/// @throws       precondition_error: shapes that differ, values outside their ranges
/// @complexity   Theta(B * C * H * W) logarithms
/// @determinism  the same bits on every run and for every number of threads
/// @source       Law & Deng, "CornerNet", ECCV 2018, eq. (1); FocalLoss, utils/loss.py of clovaai/BESTIE, which uses it
///               nowhere and has no clip
template <gridded<4> O, gridded<4> Y, gridded<4> M>
[[nodiscard]] auto focal_loss(cpu const& where, O const& output, Y const& target, M const& weight,
                              focal_options options = {}) -> output_loss<value_of<O, 4>>
{
  using T = value_of<O, 4>;
  view<T const, 4> const o = as_view<4>(output, "focal_loss: output");
  view<T const, 4> const t = as_view<4>(target, "focal_loss: target");
  view<T const, 4> const w = as_view<4>(weight, "focal_loss: weight");
  check_guided<T>(where, o, t, w, "focal_loss");
  expects_inside(where, o, T(0), T(1), "focal_loss: output", "a value in [0,1]");
  expects_inside(where, t, T(0), T(1), "focal_loss: target", "a value in [0,1]");
  expects(options.clip >= 0 && options.clip < 0.5, "focal_loss: clip is ", options.clip, ", outside [0,0.5)");
  index_t positives = 0;
  for (index_t b = 0; b < t.extent[0]; ++b)
    for (index_t c = 0; c < t.extent[1]; ++c)
      for (index_t y = 0; y < t.extent[2]; ++y)
        for (index_t x = 0; x < t.extent[3]; ++x) positives += t(b, c, y, x) == 1;
  return sum_of_terms<T>(where, o, t, w, static_cast<double>(std::max<index_t>(1, positives)),
                         focal_term{options.clip});
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Is a cell of a weight above 0, or a target 1? For counting.
template <class T, class S>
struct counts_positive {
  view<T const, 4, S> cells;
  CAMBIUM_HD index_t operator()(index_t i) const
  {
    index_t const C = cells.extent[1], H = cells.extent[2], W = cells.extent[3];
    return cells(i / W / H / C, i / W / H % C, i / W % H, i % W) > 0;
  }
};
template <class T, class S>
struct counts_one {
  view<T const, 4, S> cells;
  CAMBIUM_HD index_t operator()(index_t i) const
  {
    index_t const C = cells.extent[1], H = cells.extent[2], W = cells.extent[3];
    return cells(i / W / H / C, i / W / H % C, i / W % H, i % W) == 1;
  }
};

/// A term and its slope at one cell; without a weight, all are 1.
template <class T, class S, class Term>
struct term_at {
  view<T const, 4, S> output, target, weight;
  Term term;

  CAMBIUM_HD error_term at(index_t b, index_t c, index_t y, index_t x) const
  {
    double const w = weight.data == nullptr ? 1 : static_cast<double>(weight(b, 0, y, x));
    return w == 0 ? error_term{}
                  : term(static_cast<double>(output(b, c, y, x)), static_cast<double>(target(b, c, y, x)), w);
  }
  CAMBIUM_HD double operator()(index_t i) const  // what the sum adds up
  {
    index_t const C = output.extent[1], H = output.extent[2], W = output.extent[3];
    return at(i / W / H / C, i / W / H % C, i / W % H, i % W).loss;
  }
};

/// First rule: what sums are multiplied by, 1 / (times * the larger of two numbers), and 0 where that is 1/0.
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

/// Second rule: the slope of a cell, its channel numbered through the batch.
template <class T, class S, class Term>
struct slope_of_term {
  term_at<T, S, Term> terms;
  double const* part;
  view<T, 4, S> gradient;

  CAMBIUM_HD void operator()(index_t channel, index_t y, index_t x) const
  {
    index_t const C = gradient.extent[1], b = channel / C, c = channel % C;
    gradient(b, c, y, x) = static_cast<T>(terms.at(b, c, y, x).slope * *part);
  }
};

/// Last rule: the value from the sum.
struct scale_sum {
  double const* part;
  double* value;
  CAMBIUM_HD void operator()(index_t) const { *value *= *part; }
};

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

template <class P, class T, class S, class Term>
void sum_terms_into(P const& where, term_at<T, S, Term> const& terms, index_t const* counted, index_t least,
                    double times, view<T, 4, S> gradient, view<double, 1, S> value, guided_scratch<P>& scratch)
{
  double* const part = scratch.part.view().data;
  for_each_index(where, 1, divide_sums{counted, least, times, part});
  index_t const cells[3] = {gradient.extent[0] * gradient.extent[1], gradient.extent[2], gradient.extent[3]};
  for_each_cell(where, cells, slope_of_term<T, S, Term>{terms, part, gradient});
  reduce(where, terms.output.size(), terms, 0.0, plus{}, value.data, scratch.sums);
  for_each_index(where, 1, scale_sum{part, value.data});
}

/// Throws unless a gradient has the output's shape and is no input, and the value is one cell.
template <class T, class S>
void check_guided_results(view<T const, 4, S> output, view<T const, 4, S> target, view<T const, 4, S> weight,
                          view<T, 4, S> gradient, view<double, 1, S> value, std::string const& name)
{
  expects(same_shape(output, gradient), name, ": output is ", output, " but gradient is ", gradient);
  expects(value.extent[0] == 1, name, ": value is ", value, "; it is one cell");
  expects(!overlap(gradient, output) && !overlap(gradient, target) &&
              (weight.data == nullptr || !overlap(gradient, weight)),
          name, ": the gradient overlaps an input");
}

template <class P, class T, class S, class Term>
void guided_error_into(P const& where, view<T const, 4, S> output, view<T const, 4, S> target,
                       view<T const, 4, S> weight, guided_options const& options, std::string const& name,
                       Term const& term, view<T, 4, S> gradient, view<double, 1, S> value, guided_scratch<P>& scratch)
{
  check_guided_shapes(output, target, weight, name);
  check_guided_results(output, target, weight, gradient, value, name);
  index_t* const counted = scratch.counted.view().data;
  reduce(where, weight.size(), counts_positive<T, S>{weight}, index_t{0}, plus{}, counted, scratch.sums);
  double const times = options.over == guided_mean::values ? static_cast<double>(output.extent[1]) : 1.0;
  sum_terms_into(where, term_at<T, S, Term>{output, target, weight, term}, counted, index_t{0}, times, gradient, value,
                 scratch);
}

template <class P, class T, class S, class Term>
void mean_error_into(P const& where, view<T const, 4, S> output, view<T const, 4, S> target, std::string const& name,
                     Term const& term, view<T, 4, S> gradient, view<double, 1, S> value, guided_scratch<P>& scratch)
{
  check_output_shapes(output, target, name);
  check_guided_results(output, target, view<T const, 4, S>{}, gradient, value, name);
  sum_terms_into(where, term_at<T, S, Term>{output, target, {}, term}, nullptr, index_t{1},
                 static_cast<double>(output.size()), gradient, value, scratch);
}

/// guided_square_error into memory of the caller's. As in guided.hpp, but that values are not looked at: a NaN or an
/// infinity in becomes one in the value, and in the slopes of its own cell or, from the weight, of its pixel; a weight
/// below 0 counts in the sum and not in the divisor.
///
/// @param where     gpu
/// @param gradient  [B,C,H,W] d value / d output; no input
/// @param value     [1]
/// @param scratch   one call at a time
///
/// @throws       precondition_error: shapes that differ, a gradient that overlaps an input
/// @complexity   Theta(B * C * H * W), read twice
/// @determinism  the same bits on every run; sums in double, in another order than the cpu's: the value is within 1e-12
///               of the sum of its terms' sizes, a slope within a rounding
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void guided_square_error_into(P const& where, view<T const, 4, S> output,
                              std::type_identity_t<view<T const, 4, S>> target,
                              std::type_identity_t<view<T const, 4, S>> weight, guided_options const& options,
                              std::type_identity_t<view<T, 4, S>> gradient,
                              std::type_identity_t<view<double, 1, S>> value, guided_scratch<P>& scratch)
{
  guided_error_into<P, T, S>(where, output, target, weight, options, "guided_square_error", square_term{}, gradient,
                             value, scratch);
}

/// guided_absolute_error into memory of the caller's. As guided_square_error_into; a NaN has slope 0 here.
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void guided_absolute_error_into(P const& where, view<T const, 4, S> output,
                                std::type_identity_t<view<T const, 4, S>> target,
                                std::type_identity_t<view<T const, 4, S>> weight, guided_options const& options,
                                std::type_identity_t<view<T, 4, S>> gradient,
                                std::type_identity_t<view<double, 1, S>> value, guided_scratch<P>& scratch)
{
  guided_error_into<P, T, S>(where, output, target, weight, options, "guided_absolute_error", absolute_term{}, gradient,
                             value, scratch);
}

/// mean_square_error into memory of the caller's. As guided_square_error_into.
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void mean_square_error_into(P const& where, view<T const, 4, S> output,
                            std::type_identity_t<view<T const, 4, S>> target,
                            std::type_identity_t<view<T, 4, S>> gradient,
                            std::type_identity_t<view<double, 1, S>> value, guided_scratch<P>& scratch)
{
  mean_error_into<P, T, S>(where, output, target, "mean_square_error", square_term{}, gradient, value, scratch);
}

/// mean_absolute_error into memory of the caller's. As guided_absolute_error_into.
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void mean_absolute_error_into(P const& where, view<T const, 4, S> output,
                              std::type_identity_t<view<T const, 4, S>> target,
                              std::type_identity_t<view<T, 4, S>> gradient,
                              std::type_identity_t<view<double, 1, S>> value, guided_scratch<P>& scratch)
{
  mean_error_into<P, T, S>(where, output, target, "mean_absolute_error", absolute_term{}, gradient, value, scratch);
}

/// focal_loss into memory of the caller's. As guided_square_error_into; an output outside [0,1] counts as the nearer
/// end once it is clipped, and gives NaN without a clip. Logarithms are those of the device's library: within 1 ulp.
///
/// @throws precondition_error: as there, and a clip outside [0,0.5)
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void focal_loss_into(P const& where, view<T const, 4, S> output, std::type_identity_t<view<T const, 4, S>> target,
                     std::type_identity_t<view<T const, 4, S>> weight, focal_options const& options,
                     std::type_identity_t<view<T, 4, S>> gradient, std::type_identity_t<view<double, 1, S>> value,
                     guided_scratch<P>& scratch)
{
  check_guided_shapes<T, S>(output, target, weight, "focal_loss");
  expects(options.clip >= 0 && options.clip < 0.5, "focal_loss: clip is ", options.clip, ", outside [0,0.5)");
  check_guided_results<T, S>(output, target, weight, gradient, value, "focal_loss");
  index_t* const counted = scratch.counted.view().data;
  reduce(where, target.size(), counts_one<T, S>{target}, index_t{0}, plus{}, counted, scratch.sums);
  sum_terms_into<P, T, S>(where, term_at<T, S, focal_term>{output, target, weight, focal_term{options.clip}}, counted,
                          index_t{1}, 1.0, gradient, value, scratch);
}

/// Makes room for a loss, lets into(gradient, value, scratch) compute it, and waits for the value.
template <class T, class P, class S, class Into>
output_loss<T, S> loss_of(P const& where, view<T const, 4, S> output, Into const& into)
{
  output_loss<T, S> out{0, make_grid<T>(where, output.extent)};
  auto value = make_grid<double>(where, {1});
  guided_scratch<P> scratch(where);
  into(out.gradient.view(), value.view(), scratch);
  out.value = read_cell(where, static_cast<double const*>(value.view().data));
  return out;
}

/// As guided_square_error in guided.hpp, with what guided_square_error_into says of values and rounding.
///
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 4>>
[[nodiscard]] auto guided_square_error(P const& where, O const& output, Y const& target, M const& weight,
                                       guided_options options = {})
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  view<T const, 4, S> const o = as_view<4>(output, "guided_square_error: output");
  return loss_of<T>(where, o, [&](auto const& gradient, auto const& value, auto& scratch) {
    guided_square_error_into<P, T, S>(where, o, as_view<4>(target), as_view<4>(weight), options, gradient, value,
                                      scratch);
  });
}

/// As guided_absolute_error in guided.hpp, with what guided_absolute_error_into says of values and rounding.
///
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 4>>
[[nodiscard]] auto guided_absolute_error(P const& where, O const& output, Y const& target, M const& weight,
                                         guided_options options = {})
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  view<T const, 4, S> const o = as_view<4>(output, "guided_absolute_error: output");
  return loss_of<T>(where, o, [&](auto const& gradient, auto const& value, auto& scratch) {
    guided_absolute_error_into<P, T, S>(where, o, as_view<4>(target), as_view<4>(weight), options, gradient, value,
                                        scratch);
  });
}

/// As mean_square_error in guided.hpp, with what mean_square_error_into says of values and rounding.
///
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> O, gridded<4> Y>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 4>>
[[nodiscard]] auto mean_square_error(P const& where, O const& output, Y const& target)
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  view<T const, 4, S> const o = as_view<4>(output, "mean_square_error: output");
  return loss_of<T>(where, o, [&](auto const& gradient, auto const& value, auto& scratch) {
    mean_square_error_into<P, T, S>(where, o, as_view<4>(target), gradient, value, scratch);
  });
}

/// As mean_absolute_error in guided.hpp, with what mean_absolute_error_into says of values and rounding.
///
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> O, gridded<4> Y>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 4>>
[[nodiscard]] auto mean_absolute_error(P const& where, O const& output, Y const& target)
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  view<T const, 4, S> const o = as_view<4>(output, "mean_absolute_error: output");
  return loss_of<T>(where, o, [&](auto const& gradient, auto const& value, auto& scratch) {
    mean_absolute_error_into<P, T, S>(where, o, as_view<4>(target), gradient, value, scratch);
  });
}

/// As focal_loss in guided.hpp, with what focal_loss_into says of values and rounding.
///
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, gridded<4> O, gridded<4> Y, gridded<4> M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<O, 4>>
[[nodiscard]] auto focal_loss(P const& where, O const& output, Y const& target, M const& weight,
                              focal_options options = {})
{
  using T = value_of<O, 4>;
  using S = space_of<O, 4>;
  view<T const, 4, S> const o = as_view<4>(output, "focal_loss: output");
  return loss_of<T>(where, o, [&](auto const& gradient, auto const& value, auto& scratch) {
    focal_loss_into<P, T, S>(where, o, as_view<4>(target), as_view<4>(weight), options, gradient, value, scratch);
  });
}

}  // namespace cambium
