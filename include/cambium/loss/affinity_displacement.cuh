#pragma once
// IRNet's training loss on a GPU.
//
// A path's gradient goes to its first maximum, and depends on nothing but the boundary there and the kind of the pair. So
// it is enough to count, for every cell, the pairs of each kind that elect it: integers, which atomic steps add up to the
// same whoever comes first. Logarithms and slopes are then taken once a cell instead of once a pair.

#include <cambium/exec/atomic.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/exec/read_cell.cuh>
#include <cambium/exec/reduce.cuh>
#include <cambium/grid/copy.cuh>
#include <cambium/grid/grid.cuh>
#include <cambium/loss/affinity_displacement.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>

namespace cambium {

template <class L, class S>
struct take_quarter {
  view<L const, 2, S> labels;
  view<std::int32_t, 2, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = static_cast<std::int32_t>(labels(4 * y + 2, 4 * x + 2));
  }
};

/// As quarter_labels in affinity_displacement.hpp.
/// @asynchrony gpu: enqueues and returns
template <execution_policy P, image_like L>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>>
[[nodiscard]] auto quarter_labels(P const& where, L const& labels)
{
  using I = value_of<L, 2>;
  using S = space_of<L, 2>;
  static_assert(std::is_integral_v<I>, "quarter_labels: labels are integers");
  view<I const, 2, S> const in = as_view<2>(labels, "quarter_labels: labels");
  expects(in.extent[0] % 4 == 0 && in.extent[1] % 4 == 0, "quarter_labels: labels are ", in,
          "; both extents must be multiples of 4");
  auto out = make_grid<std::int32_t>(where, {in.extent[0] / 4, in.extent[1] / 4});
  index_t const cells[3] = {1, in.extent[0] / 4, in.extent[1] / 4};
  for_each_cell(where, cells, take_quarter<I, S>{in, out.view()});
  return out;
}

/// Which pairs count, and how.
template <class S>
struct affinity_pairs {
  stencil edges;
  index_t reach;
  bool inner;  ///< only sources whose whole stencil lies on the map
  view<std::int32_t const, 3, S> labels;

  /// The pair of edge k from cell (y,x), which may lie outside; none unless it counts.
  CAMBIUM_HD pair_kind operator()(index_t b, index_t y, index_t x, int k) const
  {
    index_t const H = labels.extent[1], W = labels.extent[2];
    offset const to = edges.at[k];
    bool const counts = inner ? y >= 0 && y + reach < H && x >= reach && x + reach < W
                              : y >= 0 && y + to.dy < H && x >= 0 && x < W && x + to.dx >= 0 && x + to.dx < W;
    return counts ? kind_of_pair(labels(b, y, x), labels(b, y + to.dy, x + to.dx)) : pair_kind::none;
  }
};

/// What the cells of a batch add up to.
struct affinity_sums {
  index_t pairs[3]{};
  double minus_log[3]{};
  double off[2]{};
};
struct add_affinity_sums {
  CAMBIUM_HD affinity_sums operator()(affinity_sums a, affinity_sums const& b) const
  {
    for (int i = 0; i < 3; ++i) a.pairs[i] += b.pairs[i], a.minus_log[i] += b.minus_log[i];
    for (int i = 0; i < 2; ++i) a.off[i] += b.off[i];
    return a;
  }
};

/// What every cell's share of the total is multiplied by.
struct affinity_slopes {
  double boundary[3]{};
  double field[2]{};
};

/// First rule, an edge each: its path as steps in memory, in the order of path::to.
struct lay_path {
  stencil edges;
  index_t stride;
  std::int32_t* length;  ///< [capacity]
  index_t* step;         ///< [capacity,path::capacity]

  CAMBIUM_HD void operator()(index_t k) const
  {
    offset const to = edges.at[k];
    int const x0 = to.dx < 0 ? to.dx : 0, x1 = to.dx < 0 ? 0 : to.dx;  // dy >= 0
    int n = 0;
    for (int far = to.dy + x1 - x0; far >= 0; --far)
      for (int y = 0; y <= to.dy; ++y)
        for (int x = x0; x <= x1; ++x)
          if (y + (x < 0 ? -x : x) == far && n < path::capacity && on_path(to, {y, x}))
            step[k * path::capacity + n++] = y * stride + x;
    length[k] = n;
  }
};

/// Second rule: the boundary, and no votes yet.
template <class T, class S>
struct open_election {
  view<T const, 3, S> logits;
  view<double, 3, S> boundary;
  view<std::int32_t, 4, S> votes;

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    boundary(b, y, x) = 1 / (1 + std::exp(-static_cast<double>(logits(b, y, x))));
    for (int kind = 0; kind < 3; ++kind) votes(kind, b, y, x) = 0;
  }
};

/// Third rule: the pairs that start at a cell elect the first maxima of their paths. Some of the edges each.
template <class S>
struct elect_maxima {
  static constexpr int groups = 8;  ///< of edges, so that one small map fills a device
  affinity_pairs<S> pairs;
  std::int32_t const* length;
  index_t const* step;
  view<double const, 3, S> boundary;
  view<std::int32_t, 4, S> votes;

  CAMBIUM_HD void operator()(index_t channel, index_t y, index_t x) const
  {
    index_t const b = channel / groups;
    for (int k = static_cast<int>(channel % groups); k < pairs.edges.size; k += groups) {
      pair_kind const kind = pairs(b, y, x, k);
      if (kind == pair_kind::none) continue;
      index_t const* const to = step + k * path::capacity;
      double const* const from = &boundary(b, y, x);
      index_t best = to[0];
      double most = from[best];
      for (int c = 1; c < length[k]; ++c)
        if (from[to[c]] > most) best = to[c], most = from[best];
      atomic_add(&votes(static_cast<int>(kind), b, y, x) + best, std::int32_t{1});
    }
  }
};

/// What a cell adds to the sums: the logarithm of its boundary for each vote, and the field along its own edges.
template <class T, class S>
struct affinity_share {
  affinity_pairs<S> pairs;
  view<T const, 4, S> field;  ///< or null
  view<double const, 3, S> boundary;
  view<std::int32_t const, 4, S> votes;

  /// How far the field of the pair (y,x) -> k is off, along an axis.
  CAMBIUM_HD double off(index_t b, index_t axis, index_t y, index_t x, int k, pair_kind kind) const
  {
    offset const to = pairs.edges.at[k];
    double const target = kind == pair_kind::foreground ? static_cast<double>(axis == 0 ? to.dy : to.dx) : 0;
    return static_cast<double>(field(b, axis, y, x)) - static_cast<double>(field(b, axis, y + to.dy, x + to.dx)) -
           target;
  }

  CAMBIUM_HD affinity_sums operator()(index_t i) const
  {
    index_t const H = boundary.extent[1], W = boundary.extent[2], b = i / W / H, y = i / W % H, x = i % W;
    affinity_sums sums;
    double const s = boundary(b, y, x);
    for (int kind = 0; kind < 3; ++kind) {
      std::int32_t const n = votes(kind, b, y, x);
      sums.pairs[kind] = n;
      if (n > 0)
        sums.minus_log[kind] = -n * std::log((kind == static_cast<int>(pair_kind::negative) ? s : 1 - s) + 1e-5);
    }
    for (int k = 0; k < pairs.edges.size && field.data != nullptr; ++k) {
      pair_kind const kind = pairs(b, y, x, k);
      if (kind != pair_kind::background && kind != pair_kind::foreground) continue;
      for (index_t axis = 0; axis < 2; ++axis) {
        double const far = off(b, axis, y, x, k, kind);
        sums.off[static_cast<int>(kind)] += far < 0 ? -far : far;
      }
    }
    return sums;
  }
};

/// Fourth rule: means, and what they make of a cell's share.
struct take_means {
  affinity_sums const* sums;
  affinity_loss_values* value;
  affinity_slopes* slopes;

  CAMBIUM_HD void operator()(index_t) const
  {
    double mean[3], field_mean[2];
    for (int kind = 0; kind < 3; ++kind) {
      value->pairs[kind] = sums->pairs[kind];
      mean[kind] = 1 / (static_cast<double>(sums->pairs[kind]) + 1e-5);
    }
    for (int kind = 0; kind < 2; ++kind) field_mean[kind] = 1 / (2 * static_cast<double>(sums->pairs[kind]) + 1e-5);
    value->background = sums->minus_log[0] * mean[0];
    value->foreground = sums->minus_log[1] * mean[1];
    value->negative = sums->minus_log[2] * mean[2];
    value->field_background = sums->off[0] * field_mean[0];
    value->field_foreground = sums->off[1] * field_mean[1];
    slopes->boundary[0] = mean[0] / 4, slopes->boundary[1] = mean[1] / 4, slopes->boundary[2] = mean[2] / 2;
    slopes->field[0] = field_mean[0] / 2, slopes->field[1] = field_mean[1] / 2;
  }
};

/// Last rule: the slopes of a cell. By the field they are counts too, of pairs that pull one way or the other.
template <class T, class S>
struct slope_of_affinity {
  affinity_share<T, S> share;
  affinity_slopes const* slopes;
  view<T, 3, S> by_logits;
  view<T, 4, S> by_field;  ///< or null

  CAMBIUM_HD void operator()(index_t b, index_t y, index_t x) const
  {
    double const s = share.boundary(b, y, x);
    auto const votes = [&](int kind) { return static_cast<double>(share.votes(kind, b, y, x)); };
    double const pull = (votes(0) * slopes->boundary[0] + votes(1) * slopes->boundary[1]) / (1 - s + 1e-5) -
                        votes(2) * slopes->boundary[2] / (s + 1e-5);
    by_logits(b, y, x) = static_cast<T>(pull * s * (1 - s));
    if (by_field.data == nullptr) return;
    std::int32_t count[2][2]{};  // by axis and kind
    auto const& pairs = share.pairs;
    for (int k = 0; k < pairs.edges.size; ++k)
      for (int end = 0; end < 2; ++end) {  // the cell as source, and as end
        index_t const from_y = end == 0 ? y : y - pairs.edges.at[k].dy,
                      from_x = end == 0 ? x : x - pairs.edges.at[k].dx;
        pair_kind const kind = pairs(b, from_y, from_x, k);
        if (kind != pair_kind::background && kind != pair_kind::foreground) continue;
        for (index_t axis = 0; axis < 2; ++axis) {
          double const off = share.off(b, axis, from_y, from_x, k, kind);
          std::int32_t const sign = off > 0 ? 1 : off < 0 ? -1 : 0;
          count[axis][static_cast<int>(kind)] += end == 0 ? sign : -sign;
        }
      }
    for (index_t axis = 0; axis < 2; ++axis)
      by_field(b, axis, y, x) = static_cast<T>(count[axis][0] * slopes->field[0] + count[axis][1] * slopes->field[1]);
  }
};

/// Room for the loss of a batch of this shape: 20 bytes a cell, and the paths.
template <execution_policy P>
struct affinity_loss_scratch {
  using S = typename P::memory;
  affinity_loss_scratch(P const& where, index_t const (&extent)[3])  ///< [B,H,W]
      : boundary(make_grid<double>(where, extent)),
        votes(make_grid<std::int32_t>(where, {3, extent[0], extent[1], extent[2]})),
        length(make_grid<std::int32_t>(where, {stencil::capacity})),
        step(make_grid<index_t>(where, {stencil::capacity * path::capacity})),
        sum(make_grid<affinity_sums>(where, {1})),
        slopes(make_grid<affinity_slopes>(where, {1}))
  {
  }

  grid<double, 3, S> boundary;
  grid<std::int32_t, 4, S> votes;
  grid<std::int32_t, 1, S> length;
  grid<index_t, 1, S> step;
  grid<affinity_sums, 1, S> sum;
  grid<affinity_slopes, 1, S> slopes;
  workspace<P> sums;
};

/// affinity_displacement_loss into memory of the caller's.
///
/// As in affinity_displacement.hpp, but that values are not looked at: with NaN or infinities nothing is read or written
/// out of place, and value and slopes hold what arithmetic makes of them.
///
/// @param where      gpu
/// @param by_logits  [B,H,W] d total / d logits
/// @param by_field   [B,2,H,W] d total / d displacement; null without a displacement
/// @param value      [1]
/// @param scratch    made for [B,H,W]; one call at a time
///
/// @throws       precondition_error: shapes that differ, radius outside 1..17, gradients that overlap an input or each
///               other
/// @complexity   Theta(B * H * W * cells on all paths); 20 bytes a cell in scratch
/// @determinism  the same bits on every run: votes are integers, sums in double and in a fixed tree. Beside the cpu:
///               pairs are equal, values within 1e-12 and slopes within 1e-6 of their size, unless two boundaries of a
///               path lie within a rounding of each other, when the other one may be elected
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, class T, class S>
  requires(!std::same_as<P, cpu>) && reaches<P, S>
void affinity_displacement_loss_into(P const& where, stack_view<T const, S> logits,
                                     std::type_identity_t<view<T const, 4, S>> displacement,
                                     std::type_identity_t<view<std::int32_t const, 3, S>> labels,
                                     affinity_loss_options options, std::type_identity_t<view<T, 3, S>> by_logits,
                                     std::type_identity_t<view<T, 4, S>> by_field,
                                     std::type_identity_t<view<affinity_loss_values, 1, S>> value,
                                     affinity_loss_scratch<P>& scratch)
{
  index_t const B = logits.extent[0], H = logits.extent[1], W = logits.extent[2];
  bool const with_field = displacement.data != nullptr;
  expects(same_shape(logits, labels), "affinity_displacement_loss: logits are ", logits, " but labels are ", labels);
  expects(!with_field || (displacement.extent[0] == B && displacement.extent[1] == 2 && displacement.extent[2] == H &&
                          displacement.extent[3] == W),
          "affinity_displacement_loss: logits are ", logits, " but the displacement is ", displacement);
  expects(same_shape(logits, by_logits), "affinity_displacement_loss: logits are ", logits, " but by_logits is ",
          by_logits);
  expects(with_field ? same_shape(displacement, by_field) : by_field.data == nullptr,
          "affinity_displacement_loss: the displacement is ", displacement, " but by_field is ", by_field);
  expects(value.extent[0] == 1, "affinity_displacement_loss: value is ", value, "; it is one cell");
  expects(same_shape(logits, scratch.boundary.view()), "affinity_displacement_loss: logits are ", logits,
          " but the scratch is for ", scratch.boundary.view());
  auto const meets_input = [&](auto const& out) {
    return overlap(out, logits) || overlap(out, labels) || (with_field && overlap(out, displacement));
  };
  expects(!meets_input(by_logits) && (!with_field || !meets_input(by_field)),
          "affinity_displacement_loss: a gradient overlaps an input");
  expects(!with_field || !overlap(by_logits, by_field), "affinity_displacement_loss: the gradients overlap");
  auto const edges = stencil::disc(options.radius);

  view<double, 3, S> const boundary = scratch.boundary.view();
  view<std::int32_t, 4, S> const votes = scratch.votes.view();
  std::int32_t* const length = scratch.length.view().data;
  index_t* const step = scratch.step.view().data;
  affinity_pairs<S> const pairs{edges, edges.reach(), options.sources == pair_sources::inner, labels};
  affinity_share<T, S> const share{pairs, displacement, boundary, votes};
  for_each_index(where, edges.size, lay_path{edges, W, length, step});
  for_each_cell(where, logits.extent, open_election<T, S>{logits, boundary, votes});
  index_t const voters[3] = {B * elect_maxima<S>::groups, H, W};
  for_each_cell(where, voters, elect_maxima<S>{pairs, length, step, boundary, votes});
  affinity_sums* const sum = scratch.sum.view().data;
  affinity_slopes* const slopes = scratch.slopes.view().data;
  reduce(where, logits.size(), share, affinity_sums{}, add_affinity_sums{}, sum, scratch.sums);
  for_each_index(where, 1, take_means{sum, value.data, slopes});
  for_each_cell(where, logits.extent, slope_of_affinity<T, S>{share, slopes, by_logits, by_field});
}

/// As affinity_displacement_loss in affinity_displacement.hpp, with what affinity_displacement_loss_into says of values
/// and rounding.
///
/// @return values, and gradients in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the values
template <class T, execution_policy P>
  requires(!std::same_as<P, cpu>)
[[nodiscard]] affinity_loss<T, typename P::memory> affinity_displacement_loss(
    P const& where, stack_view<T const, typename P::memory> logits, view<T const, 4, typename P::memory> displacement,
    view<std::int32_t const, 3, typename P::memory> labels, affinity_loss_options options = {})
{
  using S = typename P::memory;
  affinity_loss<T, S> out;
  out.boundary = make_grid<T>(where, logits.extent);
  view<T, 4, S> by_field;
  if (displacement.data != nullptr) {
    out.field = make_grid<T>(where, displacement.extent);
    by_field = out.field.view();
  }
  auto value = make_grid<affinity_loss_values>(where, {1});
  affinity_loss_scratch<P> scratch(where, logits.extent);
  affinity_displacement_loss_into<P, T, S>(where, logits, displacement, labels, options, out.boundary.view(), by_field,
                                           value.view(), scratch);
  out.value = read_cell(where, static_cast<affinity_loss_values const*>(value.view().data));
  return out;
}

}  // namespace cambium
