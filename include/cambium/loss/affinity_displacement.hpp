#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/reduce.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/loss/affinity_bands.hpp>
#include <cambium/loss/affinity_pairs.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// A loss and its gradient.
template <class T, class Space = host>
struct affinity_loss {
  affinity_loss_values value;
  grid<T, 3, Space> boundary;  ///< [B,H,W] d total / d logits
  grid<T, 4, Space> field;     ///< [B,2,H,W] d total / d displacement; empty without one
};

namespace rule {

template <class L, class S>
struct take_quarter {
  view<L const, 2, S> labels;
  view<std::int32_t, 2, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = static_cast<std::int32_t>(labels(4 * y + 2, 4 * x + 2));
  }
};

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

}  // namespace rule

/// Reduce a label map to a quarter: cell (y,x) is pixel (4y+2, 4x+2).
///
/// @param where   where to run; must reach the labels
/// @param labels  [4h,4w] integers
/// @return [h,w]
///
/// @throws       precondition_error unless both extents are multiples of 4
/// @complexity   Theta(h * w)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       pil_rescale(label, 0.25, 0) in VOC12AffinityDataset, voc12/dataloader.py of jiwoon-ahn/irn
template <execution_policy P, image_like L>
  requires reaches<P, space_of<L, 2>>
[[nodiscard]] auto quarter_labels(P const& where, L const& labels)
{
  using I = value_of<L, 2>;
  using S = space_of<L, 2>;
  static_assert(std::is_integral_v<I>, "quarter_labels: labels are integers");
  view<I const, 2, S> const in = as_view<2>(labels, "quarter_labels: labels");
  expects(in.extent[0] % 4 == 0 && in.extent[1] % 4 == 0, "quarter_labels: labels are ", in,
          "; both extents must be multiples of 4");
  auto out = make_grid<std::int32_t>(where, {in.extent[0] / 4, in.extent[1] / 4});
  for_each_cell(where, {1, in.extent[0] / 4, in.extent[1] / 4}, rule::take_quarter<I, S>{in, out.view()});
  return out;
}

/// Room for the loss of a batch of this shape: 20 bytes a cell, and the paths; of the cpu 8 bytes a cell. Its bands
/// take the rest as they need it.
template <execution_policy P>
struct affinity_loss_scratch {
  using S = typename P::memory;
  affinity_loss_scratch(P const& where, index_t const (&extent)[3])  ///< [B,H,W]
      : boundary(make_grid<double>(where, extent))
  {
    if constexpr (!std::is_same_v<P, cpu>) {
      votes = make_grid<std::int32_t>(where, {3, extent[0], extent[1], extent[2]});
      length = make_grid<std::int32_t>(where, {stencil::capacity});
      step = make_grid<index_t>(where, {stencil::capacity * path::capacity});
      sum = make_grid<rule::affinity_sums>(where, {1});
      slopes = make_grid<rule::affinity_slopes>(where, {1});
    }
  }

  grid<double, 3, S> boundary;
  grid<std::int32_t, 4, S> votes;
  grid<std::int32_t, 1, S> length;
  grid<index_t, 1, S> step;
  grid<rule::affinity_sums, 1, S> sum;
  grid<rule::affinity_slopes, 1, S> slopes;
  workspace<P> sums;
};

/// The cpu's schedule: see affinity_bands.hpp.
template <class T>
void affinity_loss_on(cpu const& where, view<T const, 3> logits, view<T const, 4> displacement,
                      view<std::int32_t const, 3> labels, stencil const& edges, pair_sources sources,
                      view<T, 3> by_logits, view<T, 4> by_field, affinity_loss_values* value,
                      affinity_loss_scratch<cpu>& scratch)
{
  index_t const H = logits.extent[1], W = logits.extent[2];
  double* const boundary = scratch.boundary.data();
  for_each_share(where, W > 0 ? logits.extent[0] * H : 0, 16, [&](index_t begin, index_t end) {
    for (index_t row = begin; row < end; ++row)
      for (index_t x = 0; x < W; ++x)
        boundary[row * W + x] = 1 / (1 + std::exp(-static_cast<double>(logits(row / H, row % H, x))));
  });
  affinity_bands<T>(where, boundary, displacement, labels, edges, sources, by_logits, by_field, value);
}

/// Any other policy: cells vote for the maxima of their paths.
template <class P, class T, class S>
void affinity_loss_on(P const& where, view<T const, 3, S> logits, view<T const, 4, S> displacement,
                      view<std::int32_t const, 3, S> labels, stencil const& edges, pair_sources sources,
                      view<T, 3, S> by_logits, view<T, 4, S> by_field, affinity_loss_values* value,
                      affinity_loss_scratch<P>& scratch)
{
  index_t const B = logits.extent[0], H = logits.extent[1], W = logits.extent[2];
  view<double, 3, S> const boundary = scratch.boundary.view();
  view<std::int32_t, 4, S> const votes = scratch.votes.view();
  std::int32_t* const length = scratch.length.view().data;
  index_t* const step = scratch.step.view().data;
  rule::affinity_pairs<S> const pairs{edges, edges.reach(), sources == pair_sources::inner, labels};
  rule::affinity_share<T, S> const share{pairs, displacement, boundary, votes};
  for_each_index(where, edges.size, rule::lay_path{edges, W, length, step});
  for_each_cell(where, logits.extent, rule::open_election<T, S>{logits, boundary, votes});
  index_t const voters[3] = {B * rule::elect_maxima<S>::groups, H, W};
  for_each_cell(where, voters, rule::elect_maxima<S>{pairs, length, step, boundary, votes});
  rule::affinity_sums* const sum = scratch.sum.view().data;
  rule::affinity_slopes* const slopes = scratch.slopes.view().data;
  reduce(where, logits.size(), share, rule::affinity_sums{}, rule::add_affinity_sums{}, sum, scratch.sums);
  for_each_index(where, 1, rule::take_means{sum, value, slopes});
  for_each_cell(where, logits.extent, rule::slope_of_affinity<T, S>{share, slopes, by_logits, by_field});
}

/// IRNet's training loss of a batch, and its gradient by boundary logits and displacements.
///
/// Over pairs (i,j) of cells closer than the radius, with a = 1 - max of sigmoid(logits) along the path between them:
///
///   total = (background + foreground) / 4 + negative / 2 + (field_foreground + field_background) / 2
///
/// the parts as affinity_loss_values names them, each a mean over its pairs.
///
/// @param where         where to run; must reach all memory
/// @param logits        [B,H,W] boundary, before the sigmoid; finite
/// @param displacement  [B,2,H,W] (dy,dx), or a null view: then there are no field terms
/// @param labels        [B,H,W] 0 background, any number of classes; label::ignore and below 0 drop their pairs
/// @param options       radius = 10, sources = inner
/// @param by_logits     [B,H,W] d total / d logits
/// @param by_field      [B,2,H,W] d total / d displacement; null without one
/// @param value         [1]; parts without a pair are 0
/// @param scratch       made for [B,H,W]; one call at a time
///
/// @throws       precondition_error before anything is written: shapes that differ, NaN or infinite values, radius
///               outside 1..17, gradients that overlap an input or each other
/// @complexity   Theta(B * H * W * cells on all paths), 2,134 cells at radius 10; 50 bytes a cell beside inputs and
///               outputs, on a device 20. The original holds every cell of every path: gigabytes
/// @determinism  the same bits on every run and for every number of threads; sums in double. On a device votes are
///               integers, sums are in a fixed tree: pairs equal the cpu's, values are within 1e-12 and slopes within
///               1e-6 of their size, unless two boundaries of a path lie within a rounding of each other, when the
///               other one may be elected
/// @asynchrony   gpu: enqueues and returns, and does not look at values: with NaN or infinities nothing is read or
///               written out of place, and value and slopes hold what arithmetic makes of them
/// @source       Ahn, Cho, Kwak, CVPR 2019, eqs. (3)-(9); AffinityDisplacementLoss, net/resnet50_irn.py, and
///               step/train_irn.py of jiwoon-ahn/irn. As there: 1e-5 inside logarithms and beside counts, the gradient
///               of a path's maximum goes to its first cell in path order, |x| has slope 0 at 0. There labels from 21
///               on are unknown; here any class counts
template <class T, execution_policy P, class S = typename P::memory>
void affinity_displacement_loss_into(P const& where, std::type_identity_t<view<T const, 3, S>> logits,
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
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, logits, "affinity_displacement_loss: logits");
    if (with_field) expects_finite(where, displacement, "affinity_displacement_loss: displacement");
  }
  affinity_loss_on(where, logits, displacement, labels, edges, options.sources, by_logits, by_field, value.data,
                   scratch);
}

/// As affinity_displacement_loss_into, and allocates the result.
/// @return values, and gradients in the memory of the policy
/// @asynchrony gpu: waits for the stream, to know the values
template <class T, execution_policy P, class S = typename P::memory>
[[nodiscard]] affinity_loss<T, S> affinity_displacement_loss(
    P const& where, std::type_identity_t<view<T const, 3, S>> logits,
    std::type_identity_t<view<T const, 4, S>> displacement, std::type_identity_t<view<std::int32_t const, 3, S>> labels,
    affinity_loss_options options = {})
{
  affinity_loss<T, S> out;
  out.boundary = make_grid<T>(where, logits.extent);
  view<T, 4, S> by_field;
  if (displacement.data != nullptr) {
    out.field = make_grid<T>(where, displacement.extent);
    by_field = out.field.view();
  }
  auto value = make_grid<affinity_loss_values>(where, {1});
  affinity_loss_scratch<P> scratch(where, logits.extent);
  affinity_displacement_loss_into<T>(where, logits, displacement, labels, options, out.boundary.view(), by_field,
                                     value.view(), scratch);
  out.value = read_cell(where, static_cast<affinity_loss_values const*>(value.view().data));
  return out;
}

}  // namespace cambium
