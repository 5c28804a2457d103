#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/loss/box_cells.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

namespace cambium {

/// The loss of boxed instances and its gradient by their logits.
template <class T, class Space = host>
struct instance_loss {
  double value = 0;
  grid<T, 3, Space> gradient;  ///< [N,H,W]
};

struct projection_options {
  double smooth = 1e-5;  ///< added to the divisor of the dice score; > 0
};

/// The largest logit of a row or column, and where it is first.
template <class T>
struct first_largest {
  T value;
  index_t at;
};

namespace rule {

struct larger_or_first {
  template <class T>
  CAMBIUM_HD first_largest<T> operator()(first_largest<T> a, first_largest<T> b) const
  {
    return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a;
  }
};

template <class T, class S>
struct logit_of_row {
  stack_view<T const, S> logits;

  CAMBIUM_HD first_largest<T> operator()(index_t row, index_t x) const
  {
    index_t const H = logits.extent[1];
    return {logits(row / H, row % H, x), x};
  }
};

template <class T, class S>
struct logit_of_column {
  stack_view<T const, S> logits;

  CAMBIUM_HD first_largest<T> operator()(index_t column, index_t y) const
  {
    index_t const W = logits.extent[2];
    return {logits(column / W, y, column % W), y};
  }
};

CAMBIUM_HD inline double logistic(double x)
{
  double const e = std::exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1) / (1 + e);
}

/// The two numbers of an axis' dice score: its loss is 1 - both / all.
struct dice_axis {
  double both, all;  ///< 2 sum m t, and sum m^2 + sum t^2 + smooth
};

/// What an instance's projections have in common with those of its box.
template <class T, class S>
struct project_instance {
  view<boxed_instance const, 1, S> instances;
  index_t H, W;
  double smooth;
  first_largest<T> const *rows, *columns;
  dice_axis* axes;  ///< [N,2]: the rows' profile, the columns'
  double* loss;     ///< [N]

  CAMBIUM_HD static dice_axis axis(first_largest<T> const* most, index_t count, index_t begin, index_t end,
                                   double smooth)
  {
    double both = 0, all = 0;
    for (index_t i = 0; i < count; ++i) {
      double const m = logistic(static_cast<double>(most[i].value));
      all += m * m;
      if (i >= begin && i < end) both += 2 * m, all += 1;
    }
    return {both, all + smooth};
  }

  CAMBIUM_HD void operator()(index_t n) const
  {
    box const b = box_or_none(instances(n).cells);
    dice_axis const down = axis(rows + n * H, H, b.top, b.bottom, smooth),
                    across = axis(columns + n * W, W, b.left, b.right, smooth);
    axes[2 * n] = down, axes[2 * n + 1] = across;
    loss[n] = (1 - down.both / down.all) + (1 - across.both / across.all);
  }
};

struct loss_of_instance {
  double const* loss;
  CAMBIUM_HD double operator()(index_t n) const { return loss[n]; }
};

/// The slope of a cell: it is 0 unless the cell is the first largest of its row or column.
template <class T, class S>
struct projection_cell {
  view<boxed_instance const, 1, S> instances;
  first_largest<T> const *rows, *columns;
  dice_axis const* axes;
  stack_view<T, S> gradient;

  /// d/dm (1 - both / all) = (2 m both / all - 2 t) / all, times dm / d logit = m (1 - m).
  CAMBIUM_HD static double slope(T logit, bool target, dice_axis const& a)
  {
    double const m = logistic(static_cast<double>(logit)), rest = logistic(-static_cast<double>(logit));
    return ((2 * m * a.both / a.all - (target ? 2 : 0)) / a.all) * m * rest;
  }

  CAMBIUM_HD void operator()(index_t n, index_t y, index_t x) const
  {
    index_t const N = gradient.extent[0], H = gradient.extent[1], W = gradient.extent[2];
    first_largest<T> const row = rows[n * H + y], column = columns[n * W + x];
    double sum = 0;
    if (row.at == x) {
      box const b = box_or_none(instances(n).cells);
      sum += slope(row.value, y >= b.top && y < b.bottom, axes[2 * n]);
    }
    if (column.at == y) {
      box const b = box_or_none(instances(n).cells);
      sum += slope(column.value, x >= b.left && x < b.right, axes[2 * n + 1]);
    }
    gradient(n, y, x) = static_cast<T>(sum / static_cast<double>(N));
  }
};

/// The sum becomes the mean; 0 of no instance.
struct mean_of_sum {
  index_t count;
  double* value;
  CAMBIUM_HD void operator()(index_t) const { *value = count > 0 ? *value / static_cast<double>(count) : 0; }
};

}  // namespace rule

/// Room for box_projection_loss: the maxima of N*(H+W) rows and columns.
template <execution_policy P, class T>
struct projection_scratch {
  using S = typename P::memory;
  grid<first_largest<T>, 1, S> rows, columns;
  grid<rule::dice_axis, 1, S> axes;
  grid<double, 1, S> loss;
  workspace<P> sums;
};

/// Throw unless every instance's box lies on the map and its image in the batch. `name` begins the message.
inline void expects_instances(cpu const&, view<boxed_instance const, 1> const& instances, index_t H, index_t W,
                              index_t images, std::string const& name)
{
  for (index_t n = 0; n < instances.extent[0]; ++n) {
    box const& b = instances(n).cells;
    expects(b.top >= 0 && b.left >= 0 && b.top <= b.bottom && b.left <= b.right && b.bottom <= H && b.right <= W, name,
            ": instances(", n, ") has rows ", b.top, "..", b.bottom, " and columns ", b.left, "..", b.right,
            " of a map [", H, ",", W, "]");
    expects(images < 0 || (instances(n).image >= 0 && instances(n).image < images), name, ": instances(", n,
            ") is in image ", instances(n).image, ", outside 0..", images - 1);
  }
}

/// The cpu's maxima: each map is read once, row by row.
template <class T>
void largest_logits_on(cpu const& where, stack_view<T const> logits, first_largest<T>* rows, first_largest<T>* columns,
                       workspace<cpu>&)
{
  index_t const H = logits.extent[1], W = logits.extent[2];
  for_each_share(where, logits.extent[0], 1 + cells_worth_a_thread / (H * W), [&](index_t begin, index_t end) {
    for (index_t n = begin; n < end; ++n) {
      first_largest<T>* const column = columns + n * W;
      for (index_t x = 0; x < W; ++x) column[x] = {logits(n, 0, x), 0};
      for (index_t y = 0; y < H; ++y) {
        T const* const row = &logits(n, y, 0);
        first_largest<T> most{row[0], 0};
        for (index_t x = 0; x < W; ++x) {
          if (row[x] > most.value) most = {row[x], x};
          if (row[x] > column[x].value) column[x] = {row[x], y};
        }
        rows[n * H + y] = most;
      }
    }
  });
}
template <class P, class T, class S>
void largest_logits_on(P const& where, stack_view<T const, S> logits, first_largest<T>* rows, first_largest<T>* columns,
                       workspace<P>& space)
{
  index_t const N = logits.extent[0], H = logits.extent[1], W = logits.extent[2];
  first_largest<T> const none{minus_infinity<T>, H + W};
  reduce_rows(where, N * H, W, rule::logit_of_row<T, S>{logits}, none, rule::larger_or_first{}, rows, space);
  reduce_rows(where, N * W, H, rule::logit_of_column<T, S>{logits}, none, rule::larger_or_first{}, columns, space);
}

/// Compare the projections of masks on both axes with those of their boxes.
///
///   m(y) = the largest P in row y, P = 1 / (1 + e^-logit);  t(y) = 1 in the rows of the box, else 0
///   value = mean over instances of  sum over both axes of  1 - 2 sum(m t) / (sum m^2 + sum t^2 + smooth)
///
/// The gradient of a projection goes to the one cell that holds the maximum, of equal logits to the first.
///
/// @param where      where to run; must reach all memory
/// @param logits     [N,H,W] finite, one map per instance
/// @param instances  [N] boxes on the map, see sampled_box; an empty one costs 2. Their images have no effect
/// @param options    smooth = 1e-5
/// @param gradient   [N,H,W] d value / d logits; no input
/// @param value      [1]; 0 without instances
/// @param scratch    one call at a time
///
/// @throws       precondition_error before anything is written: shapes that differ, instances but no cell, a logit that
///               is not finite, a box that leaves the map, smooth <= 0, a gradient that overlaps an input
/// @invariant    the value is between 0 and 2; adding an empty row or column of low logits changes nothing but rounding
/// @complexity   Theta(N * H * W)
/// @determinism  the same bits on every run and for every number of threads; sums in double. A device's exponentials
///               differ by a rounding
/// @asynchrony   gpu: enqueues and returns, and does not look at values: a NaN is never a maximum
/// @source       Tian, Shen, Wang, Chen, "BoxInst", CVPR 2021, eq. (2); compute_project_term, condinst_head.py of
///               LiWentomng/BoxInstSeg. It compares rounded probabilities, so that logits above about 17 are equal; here
///               logits are compared. The cell that gets the gradient is PyTorch's choice there
template <execution_policy P, stack_like L, gridded<1> I, stack_like G, gridded<1> V>
  requires reaches<P, space_of<L, 3>>
void box_projection_loss_into(P const& where, L const& logits, I const& instances, projection_options const& options,
                              G&& gradient, V&& value, projection_scratch<P, value_of<L, 3>>& scratch)
{
  using T = value_of<L, 3>;
  using S = space_of<L, 3>;
  std::string const name = "box_projection_loss";
  stack_view<T const, S> const z = as_view<3>(logits, "box_projection_loss: logits");
  view<boxed_instance const, 1, S> const of = as_view<1>(instances, "box_projection_loss: instances");
  stack_view<T, S> const by = as_view<3>(gradient, "box_projection_loss: gradient");
  view<double, 1, S> const sum = as_view<1>(value, "box_projection_loss: value");
  index_t const N = z.extent[0], H = z.extent[1], W = z.extent[2];
  expects(of.extent[0] == N, name, ": logits are ", z, " but there are ", of.extent[0], " instances");
  expects(same_shape(z, by), name, ": logits are ", z, " but gradient is ", by);
  expects(sum.extent[0] == 1, name, ": value is ", sum, "; it is one cell");
  expects(N == 0 || H * W > 0, name, ": logits are ", z, ", without a cell");
  expects(options.smooth > 0 && std::isfinite(options.smooth), name, ": smooth is ", options.smooth,
          "; expected a number above 0");
  expects(!overlap(by, z) && !overlap(by, of), name, ": the gradient overlaps an input");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, z, "box_projection_loss: logits");
    expects_instances(where, of, H, W, -1, name);
  }
  first_largest<T>* const rows = reserve(where, scratch.rows, N * H);
  first_largest<T>* const columns = reserve(where, scratch.columns, N * W);
  rule::dice_axis* const axes = reserve(where, scratch.axes, 2 * N);
  double* const loss = reserve(where, scratch.loss, N);
  if (N > 0) largest_logits_on(where, z, rows, columns, scratch.sums);
  for_each_index(where, N, rule::project_instance<T, S>{of, H, W, options.smooth, rows, columns, axes, loss});
  reduce(where, N, rule::loss_of_instance{loss}, 0.0, plus{}, sum.data, scratch.sums);
  for_each_index(where, 1, rule::mean_of_sum{N, sum.data});
  for_each_cell(where, z.extent, rule::projection_cell<T, S>{of, rows, columns, axes, by});
}

/// As box_projection_loss_into, and allocates the result.
/// @return the value, and the gradient in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the value
template <execution_policy P, stack_like L, gridded<1> I>
  requires reaches<P, space_of<L, 3>>
[[nodiscard]] auto box_projection_loss(P const& where, L const& logits, I const& instances,
                                       projection_options const& options = {})
{
  using T = value_of<L, 3>;
  auto const z = as_view<3>(logits, "box_projection_loss: logits");
  instance_loss<T, space_of<L, 3>> out{0, make_grid<T>(where, z.extent)};
  auto value = make_grid<double>(where, {1});
  projection_scratch<P, T> scratch;
  box_projection_loss_into(where, z, instances, options, out.gradient.view(), value.view(), scratch);
  out.value = read_cell(where, static_cast<double const*>(value.view().data));
  return out;
}

}  // namespace cambium
