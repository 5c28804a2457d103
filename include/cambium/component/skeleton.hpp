#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <type_traits>

namespace cambium {

/// Memory for skeleton under a policy P. It grows to the largest map.
template <class P>
struct skeleton_scratch {
  using S = typename P::memory;
  grid<std::uint8_t, 1, S> one, other;
  grid<std::int32_t, 1, S> changed;
};

namespace rule {

/// A label map as a mask of one component's cells: cells join where labels are equal.
template <class L, class S>
struct begin_skeleton {
  image_view<L const, S> labels;
  std::uint8_t* mask;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    mask[y * labels.extent[1] + x] = labels(y, x) != L(0) ? 1 : 0;
  }
};

/// Half a round of Guo and Hall's thinning: a cell of a mask is deleted or stays, by its eight neighbours.
template <class L, class S>
struct thin_cell {
  image_view<L const, S> labels;
  bool second;  ///< half of the round
  std::uint8_t const* from;
  std::uint8_t* to;
  std::int32_t* changed;

  CAMBIUM_HD bool set(index_t y, index_t x, L own) const
  {
    index_t const H = labels.extent[0], W = labels.extent[1];
    return y >= 0 && x >= 0 && y < H && x < W && from[y * W + x] != 0 && labels(y, x) == own;
  }
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    index_t const here = y * labels.extent[1] + x;
    to[here] = from[here];
    if (from[here] == 0) return;
    L const own = labels(y, x);
    // clockwise from the north: p2 p3 p4 p5 p6 p7 p8 p9 of the paper
    bool const n = set(y - 1, x, own), ne = set(y - 1, x + 1, own), e = set(y, x + 1, own), se = set(y + 1, x + 1, own),
               s = set(y + 1, x, own), sw = set(y + 1, x - 1, own), w = set(y, x - 1, own), nw = set(y - 1, x - 1, own);
    int const branches = (!n && (ne || e)) + (!e && (se || s)) + (!s && (sw || w)) + (!w && (nw || n));
    int const first = (nw || n) + (ne || e) + (se || s) + (sw || w);
    int const other = (n || ne) + (e || se) + (s || sw) + (w || nw);
    int const neighbours = first < other ? first : other;
    bool const kept_side = second ? (s || sw || !nw) && w : (n || ne || !se) && e;
    if (branches == 1 && neighbours >= 2 && neighbours <= 3 && !kept_side) {
      to[here] = 0;
      max_into<writers::many>(changed, std::int32_t{1});
    }
  }
};

template <class L, class S>
struct conclude_skeleton {
  image_view<L const, S> labels;
  std::uint8_t const* mask;
  image_view<L, S> out;
  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = mask[y * labels.extent[1] + x] != 0 ? labels(y, x) : L(0);
  }
};

}  // namespace rule

/// Thin every component to lines of one cell's width.
///
/// Each half of a round deletes, all at once, the cells p with
///
///   C(p) = 1,   2 <= min(N1(p), N2(p)) <= 3,   and ((n | ne | !se) & e) = 0, in the second half ((s | sw | !nw) & w) = 0,
///
/// where C counts the branches at p, and N1 and N2 its neighbours in pairs. Rounds go on until nothing changes.
///
/// @param where    where to run
/// @param labels   [H,W] components, as connected() gives them; 0 is outside. Each is thinned by itself. A mask of 0 and 1
///                 is one label
/// @param out      [H,W] the labels of the cells that stay, 0 elsewhere; not `labels`
/// @param scratch  of any earlier call; it grows to the largest map and allocates nothing else
///
/// @throws       precondition_error before anything is written
/// @invariant    an 8-connected component stays one and is never empty; a skeleton is its own skeleton
/// @complexity   Theta(H * W) a round; half the largest width of a component in rounds
/// @determinism  exact
/// @asynchrony   gpu: waits for where.stream after every 8 rounds
/// @source       Guo, Hall, "Parallel thinning with two-subiteration algorithms", CACM 1989, algorithm A1
template <execution_policy P, image_like L, image_like O>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<O, 2>>
void skeleton_into(P const& where, L const& labels, O&& out, skeleton_scratch<P>& scratch)
{
  using S = typename P::memory;
  using Label = value_of<L, 2>;
  static_assert(std::is_integral_v<Label> && std::is_same_v<Label, value_of<O, 2>>,
                "skeleton: labels and out are integers of one type");
  view<Label const, 2, S> const in = as_view<2>(labels, "skeleton: labels");
  view<Label, 2, S> const to = as_view<2>(out, "skeleton: out");
  expects(same_shape(in, to), "skeleton: labels are ", in, " but out is ", to);
  expects(!overlap(in, to), "skeleton: labels and out overlap");
  index_t const cells = in.size(), extent[3] = {1, in.extent[0], in.extent[1]};
  if (cells == 0) return;
  std::uint8_t* const one = reserve(where, scratch.one, cells);
  std::uint8_t* const other = reserve(where, scratch.other, cells);
  std::int32_t* const changed = reserve(where, scratch.changed, 1);
  for_each_cell(where, extent, rule::begin_skeleton<Label, S>{in, one});
  do {
    fill(where, 1, changed, std::int32_t{0});
    for (int round = 0; round < 8; ++round) {
      for_each_cell(where, extent, rule::thin_cell<Label, S>{in, false, one, other, changed});
      for_each_cell(where, extent, rule::thin_cell<Label, S>{in, true, other, one, changed});
    }
  } while (read_cell(where, static_cast<std::int32_t const*>(changed)) != 0);
  for_each_cell(where, extent, rule::conclude_skeleton<Label, S>{in, one, to});
}

/// As skeleton_into, and allocates.
/// @return grid [H,W] of the labels' type in the memory of the policy
template <execution_policy P, image_like L>
  requires reaches<P, space_of<L, 2>>
[[nodiscard]] auto skeleton(P const& where, L const& labels)
{
  auto const in = as_view<2>(labels, "skeleton: labels");
  auto out = make_grid<value_of<L, 2>>(where, {in.extent[0], in.extent[1]});
  skeleton_scratch<P> scratch;
  skeleton_into(where, in, out, scratch);
  return out;
}

}  // namespace cambium
