#pragma once
// The losses of guided.hpp on a GPU: a sum in a fixed tree, and a slope a cell.

#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/loss/guided.hpp>

#include <concepts>
#include <string>
#include <type_traits>

namespace cambium {

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
