#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

namespace rule {

/// The channel with the largest value at a cell, if that is above a threshold.
template <class T, class S>
struct largest_above {
  stack_view<T const, S> maps;
  T thres;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    T most = thres;
    std::int32_t best = 0;
    for (index_t c = 0; c < maps.extent[0]; ++c) {
      T const v = maps(c, y, x);
      if (v > most) most = v, best = static_cast<std::int32_t>(c + 1);
    }
    out(y, x) = best;
  }
};

/// Foreground where there is a class, background where nothing is likely, else ignore.
template <class F, class B, class S>
struct choose_confident {
  image_view<F const, S> foreground;
  image_view<B const, S> background;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    out(y, x) = joined(foreground(y, x), background(y, x));
  }
  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const
  {
    F const* const sure = &foreground(y, 0);
    B const* const likely = &background(y, 0);
    std::int32_t* const to = &out(y, 0);
    for (index_t x = 0; x < out.extent[1]; ++x) to[x] = joined(sure[x], likely[x]);
  }

 private:
  CAMBIUM_HD static std::int32_t joined(F sure, B likely)
  {
    std::int32_t const other = likely == 0 ? label::background : label::ignore;
    return sure != 0 ? static_cast<std::int32_t>(sure) : other;
  }
};

}  // namespace rule

/// The channel with the largest value at each cell, if that is above a threshold.
///
/// @param where   where to run; must reach the memory of the maps
/// @param maps    [C,H,W]
/// @param thres   the background's score at every cell; finite
/// @param out     [H,W] of std::int32_t: 0 background, c + 1 where channel c is largest and above thres; of equal
///                channels the first
///
/// @pre          host memory: maps finite. Elsewhere NaN is above nothing
/// @throws       precondition_error before anything is written
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       np.argmax of np.pad(cams, constant_values=thres), step/cam_to_ir_label.py of jiwoon-ahn/irn
template <execution_policy P, stack_like M, image_like O>
  requires reaches<P, space_of<M, 3>> && reaches<P, space_of<O, 2>>
void threshold_labels_into(P const& where, M const& maps, double thres, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "threshold_labels: maps");
  image_view<std::int32_t, S> const to = as_view<2>(out, "threshold_labels: out");
  expects(std::isfinite(thres), "threshold_labels: thres is ", thres);
  expects(to.extent[0] == in.extent[1] && to.extent[1] == in.extent[2], "threshold_labels: maps are ", in,
          " but out is ", to);
  expects(!overlap(in, to), "threshold_labels: maps and out overlap");
  if constexpr (std::is_same_v<P, cpu>) expects_finite(where, in, "threshold_labels: maps");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, rule::largest_above<T, S>{in, static_cast<T>(thres), to});
}

/// As threshold_labels_into, and allocates.
/// @return [H,W] in the memory of the policy
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto threshold_labels(P const& where, M const& maps, double thres)
{
  auto const in = as_view<3>(maps, "threshold_labels: maps");
  auto out = make_grid<std::int32_t>(where, {in.extent[1], in.extent[2]});
  threshold_labels_into(where, maps, thres, out);
  return out;
}

/// Join a map of confident foreground and a map of confident background. All other cells become 255.
///
/// @param where       where to run; must reach the memory of the maps
/// @param foreground  [H,W] labels found with a high threshold, 0 where there is none
/// @param background  [H,W] labels found with a low threshold, 0 where nothing is likely
/// @param out         [H,W] of std::int32_t: the foreground's label where it has one, 0 where both are 0, else
///                    label::ignore
///
/// @throws       precondition_error on differing shapes
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @asynchrony   gpu: enqueues and returns
/// @source       step/cam_to_ir_label.py of jiwoon-ahn/irn
template <execution_policy P, image_like F, image_like B, image_like O>
  requires reaches<P, space_of<F, 2>> && reaches<P, space_of<B, 2>> && reaches<P, space_of<O, 2>>
void join_confident_into(P const& where, F const& foreground, B const& background, O&& out)
{
  using S = typename P::memory;
  static_assert(std::is_integral_v<value_of<F, 2>> && std::is_integral_v<value_of<B, 2>>,
                "join_confident: labels are integers");
  auto const fg = as_view<2>(foreground, "join_confident: foreground");
  auto const bg = as_view<2>(background, "join_confident: background");
  image_view<std::int32_t, S> const to = as_view<2>(out, "join_confident: out");
  expects(same_shape(fg, bg), "join_confident: foreground is ", fg, " but background is ", bg);
  expects(same_shape(fg, to), "join_confident: foreground is ", fg, " but out is ", to);
  expects(!overlap(fg, to) && !overlap(bg, to), "join_confident: a map and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]},
                rule::choose_confident<value_of<F, 2>, value_of<B, 2>, S>{fg, bg, to});
}

/// As join_confident_into, and allocates.
/// @return [H,W] in the memory of the policy
template <execution_policy P, image_like F, image_like B>
  requires reaches<P, space_of<F, 2>> && reaches<P, space_of<B, 2>>
[[nodiscard]] auto join_confident(P const& where, F const& foreground, B const& background)
{
  auto out = make_grid<std::int32_t>(where, as_view<2>(foreground, "join_confident: foreground").extent);
  join_confident_into(where, foreground, background, out);
  return out;
}

}  // namespace cambium
