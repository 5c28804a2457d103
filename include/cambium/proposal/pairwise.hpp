#pragma once
// What each pair of masks shares: cells, IoU, containment.

#include <cambium/core/error.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace cambium {

/// The number of cells that two masks share.
template <class S>
[[gnu::always_inline]] CAMBIUM_HD inline index_t cells_in_both(masks_view<S> const& a, packed_mask const& m,
                                                               masks_view<S> const& b, packed_mask const& n)
{
  index_t const top = m.bounds.top > n.bounds.top ? m.bounds.top : n.bounds.top;
  index_t const bottom = m.bounds.bottom < n.bounds.bottom ? m.bounds.bottom : n.bounds.bottom;
  index_t const left = m.first_word() > n.first_word() ? m.first_word() : n.first_word();
  index_t const right = m.end_word() < n.end_word() ? m.end_word() : n.end_word();
  index_t const words = right - left, step_m = m.row_words(), step_n = n.row_words();
  index_t both = 0;
  if (top >= bottom || words <= 0) return 0;
  std::uint64_t const* p = a.row(m, top) + (left - m.first_word());
  std::uint64_t const* q = b.row(n, top) + (left - n.first_word());
  for (index_t y = top; y < bottom; ++y, p += step_m, q += step_n)
    for (index_t w = 0; w < words; ++w) both += count_bits(p[w] & q[w]);
  return both;
}

/// The cells of a box that lie in another one.
CAMBIUM_HD inline index_t shared_area(box const& a, box const& b)
{
  index_t const height = (a.bottom < b.bottom ? a.bottom : b.bottom) - (a.top > b.top ? a.top : b.top);
  index_t const width = (a.right < b.right ? a.right : b.right) - (a.left > b.left ? a.left : b.left);
  return height > 0 && width > 0 ? height * width : 0;
}

/// The result for a pair of masks: measure(shared cells, area of i, area of j).
namespace rule {

struct count_of_pair {
  CAMBIUM_HD index_t operator()(index_t both, index_t, index_t) const { return both; }
};
struct iou_of_pair {
  CAMBIUM_HD double operator()(index_t both, index_t a, index_t b) const
  {
    return both > 0 ? static_cast<double>(both) / static_cast<double>(a + b - both) : 0.;
  }
};
struct containment_of_pair {
  CAMBIUM_HD double operator()(index_t both, index_t a, index_t) const
  {
    return both > 0 ? static_cast<double>(both) / static_cast<double>(a) : 0.;
  }
};

/// The rule: one pair of masks.
template <class Measure, class T, class S>
struct measure_pair {
  masks_view<S> a, b;
  image_view<T, S> out;
  Measure measure;

  CAMBIUM_HD void operator()(index_t, index_t i, index_t j) const
  {
    packed_mask const &m = a.masks[i], &n = b.masks[j];
    out(i, j) = static_cast<T>(measure(cells_in_both(a, m, b, n), m.area, n.area));
  }
};

/// Rows of pairs, with instructions that count bits. Of one set with itself half of the pairs are counted.
template <class Measure, class T>
struct measure_rows {
  measure_pair<Measure, T, host> pair;
  bool one_set;
  index_t begin, end;  ///< rows; of one set these and as many from the end, so that shares are even

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (index_t i = begin; i < end; ++i) {
      row(i);
      index_t const other = pair.a.count - 1 - i;
      if (one_set && other > i) row(other);
    }
  }

 private:
  [[gnu::always_inline]] void row(index_t i) const
  {
    auto const& [a, b, out, measure] = pair;
    packed_mask const m = a.masks[i];
    for (index_t j = one_set ? i : 0; j < b.count; ++j) {
      packed_mask const& n = b.masks[j];
      index_t const both = shared_area(m.bounds, n.bounds) > 0 ? cells_in_both(a, m, b, n) : 0;
      out(i, j) = static_cast<T>(measure(both, m.area, n.area));
      if (one_set) out(j, i) = static_cast<T>(measure(both, n.area, m.area));
    }
  }
};

}  // namespace rule

/// The CPU schedule.
template <class Measure, class T>
void pairwise_on(cpu const& where, masks_view<> a, masks_view<> b, image_view<T> out, Measure measure)
{
  isa const set = vectors_of(where);
  bool const one_set = a.masks == b.masks && a.count == b.count;
  index_t const rows = one_set ? (a.count + 1) / 2 : a.count;
  for_each_share(where, rows, std::max<index_t>(1, 256 / std::max<index_t>(1, b.count)),
                 [&](index_t begin, index_t end) {
                   run_widest(set, rule::measure_rows<Measure, T>{{a, b, out, measure}, one_set, begin, end});
                 });
}

/// Any other policy: the rule under that policy's loop.
template <execution_policy P, class Measure, class T, class S>
void pairwise_on(P const& where, masks_view<S> a, masks_view<S> b, image_view<T, S> out, Measure measure)
{
  for_each_cell(where, {1, a.count, b.count}, rule::measure_pair<Measure, T, S>{a, b, out, measure});
}

/// What all three functions call: checks, then the schedule.
template <execution_policy P, class O, class Measure>
void pairwise_into(P const& where, mask_set<typename P::memory> const& a, mask_set<typename P::memory> const& b,
                   O&& out, Measure measure, char const* who)
{
  using M = typename P::memory;
  using T = value_of<O, 2>;
  image_view<T, M> const to = as_view<2>(out, who);
  if constexpr (std::is_same_v<M, host>) expects_masks(a, who), expects_masks(b, who);
  expects(a.image == b.image, who, ": masks of an image of ", a.image.height, " x ", a.image.width, " and of one of ",
          b.image.height, " x ", b.image.width);
  expects(to.extent[0] == a.size() && to.extent[1] == b.size(), who, ": out is ", to, " but there are ", a.size(),
          " and ", b.size(), " masks");
  pairwise_on(where, masks_view<M>(a), masks_view<M>(b), to, measure);
}

/// Count the cells that each mask of one set shares with each of another.
///
///   out(i, j) = |a_i and b_j|
///
/// @param where  where to run
/// @param a      N masks
/// @param b      M masks of the same image; the same set counts half of the pairs
/// @param out    [N,M] integers, or floating-point numbers that hold them
///
/// @throws       precondition_error before anything is written: masks of images of different sizes, another shape of out,
///               an image with more cells than the integers of out can count
/// @invariant    out(i, i) of one set is the area of mask i; out of (a, b) is the transpose of that of (b, a)
/// @complexity   O(N * M * words of a box); pairs whose boxes are disjoint cost a comparison. No allocation
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
template <execution_policy P, gridded<2> O>
  requires reaches<P, space_of<O, 2>>
void pairwise_intersection_into(P const& where, mask_set<typename P::memory> const& a,
                                mask_set<typename P::memory> const& b, O&& out)
{
  using T = value_of<O, 2>;
  auto const& [H, W] = a.image;
  index_t const cells = a.size() > 0 && b.size() > 0 ? H * W : 0;
  if constexpr (std::is_integral_v<T>)
    expects(std::cmp_less_equal(cells, std::numeric_limits<T>::max()), "pairwise_intersection: an image of ", H, " x ",
            W, " has more cells than out can count, ", std::numeric_limits<T>::max());
  pairwise_into(where, a, b, out, rule::count_of_pair{}, "pairwise_intersection");
}

/// Compute the overlap of each mask of one set with each of another.
///
///   out(i, j) = |a_i and b_j| / |a_i or b_j|; 0 if they share no cell, also if both are empty
///
/// @param out    [N,M] float or double in [0,1]
/// @determinism  exact counts and one division, in double
/// @source       the definition; mask_iou of the usual toolkits multiplies matrices of floats. They give NaN for two
///               empty masks
///
/// Everything else as pairwise_intersection_into.
template <execution_policy P, gridded<2> O>
  requires reaches<P, space_of<O, 2>>
void pairwise_iou_into(P const& where, mask_set<typename P::memory> const& a, mask_set<typename P::memory> const& b,
                       O&& out)
{
  static_assert(std::is_floating_point_v<value_of<O, 2>>, "pairwise_iou: overlaps are floating-point numbers");
  pairwise_into(where, a, b, out, rule::iou_of_pair{}, "pairwise_iou");
}

/// Compute the share of each mask of one set that lies in each of another.
///
///   out(i, j) = |a_i and b_j| / |a_i|; 0 if a_i is empty
///
/// Everything else as pairwise_iou_into.
template <execution_policy P, gridded<2> O>
  requires reaches<P, space_of<O, 2>>
void pairwise_containment_into(P const& where, mask_set<typename P::memory> const& a,
                               mask_set<typename P::memory> const& b, O&& out)
{
  static_assert(std::is_floating_point_v<value_of<O, 2>>, "pairwise_containment: shares are floating-point numbers");
  pairwise_into(where, a, b, out, rule::containment_of_pair{}, "pairwise_containment");
}

/// As pairwise_intersection_into, and allocates. @return grid<index_t, 2> [N,M]
template <execution_policy P>
[[nodiscard]] auto pairwise_intersection(P const& where, mask_set<typename P::memory> const& a,
                                         mask_set<typename P::memory> const& b)
{
  auto out = make_grid<index_t>(where, {a.size(), b.size()});
  pairwise_intersection_into(where, a, b, out);
  return out;
}
/// Of one set. @return grid<index_t, 2> [N,N]
template <execution_policy P>
[[nodiscard]] auto pairwise_intersection(P const& where, mask_set<typename P::memory> const& masks)
{
  return pairwise_intersection(where, masks, masks);
}

/// As pairwise_iou_into, and allocates. @return grid<double, 2> [N,M]
template <execution_policy P>
[[nodiscard]] auto pairwise_iou(P const& where, mask_set<typename P::memory> const& a,
                                mask_set<typename P::memory> const& b)
{
  auto out = make_grid<double>(where, {a.size(), b.size()});
  pairwise_iou_into(where, a, b, out);
  return out;
}
/// Of one set. @return grid<double, 2> [N,N]
template <execution_policy P>
[[nodiscard]] auto pairwise_iou(P const& where, mask_set<typename P::memory> const& masks)
{
  return pairwise_iou(where, masks, masks);
}

/// As pairwise_containment_into, and allocates. @return grid<double, 2> [N,M]
template <execution_policy P>
[[nodiscard]] auto pairwise_containment(P const& where, mask_set<typename P::memory> const& a,
                                        mask_set<typename P::memory> const& b)
{
  auto out = make_grid<double>(where, {a.size(), b.size()});
  pairwise_containment_into(where, a, b, out);
  return out;
}
/// Of one set. @return grid<double, 2> [N,N]
template <execution_policy P>
[[nodiscard]] auto pairwise_containment(P const& where, mask_set<typename P::memory> const& masks)
{
  return pairwise_containment(where, masks, masks);
}

}  // namespace cambium
