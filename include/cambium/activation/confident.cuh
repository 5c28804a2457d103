#pragma once
// label_above and join_confident on a GPU. The cpu's are in confident.hpp.

#include <cambium/activation/confident.hpp>
#include <cambium/exec/for_each_cell.cuh>
#include <cambium/grid/grid.cuh>

namespace cambium {

/// Rule: the channel that says most at a cell, if it says more than a threshold.
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

/// The channel that says most at each cell, if it says more than a threshold, on a device. NaN says nothing.
///
/// @param out  [H,W] of std::int32_t
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as label_above in confident.hpp.
template <execution_policy P, stack_like M, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void label_above_into(P const& where, M const& maps, double thres, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "label_above: maps");
  image_view<std::int32_t, S> const to = as_view<2>(out, "label_above: out");
  expects(std::isfinite(thres), "label_above: thres is ", thres);
  expects(to.extent[0] == in.extent[1] && to.extent[1] == in.extent[2], "label_above: maps are ", in, " but out is ",
          to);
  expects(!overlap(in, to), "label_above: maps and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, largest_above<T, S>{in, static_cast<T>(thres), to});
}

/// As label_above_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> label_above(P const& where, M const& maps, double thres)
{
  auto const in = as_view<3>(maps, "label_above: maps");
  auto out = make_grid<std::int32_t>(where, {in.extent[1], in.extent[2]});
  label_above_into(where, maps, thres, out);
  return out;
}

/// Rule: foreground where it is sure, background where nothing is likely, else ignore.
template <class F, class B, class S>
struct choose_confident {
  image_view<F const, S> foreground;
  image_view<B const, S> background;
  image_view<std::int32_t, S> out;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    F const sure = foreground(y, x);
    out(y, x) = sure != 0               ? static_cast<std::int32_t>(sure)
                : background(y, x) == 0 ? std::int32_t{label::background}
                                        : std::int32_t{label::ignore};
  }
};

/// Join a map of sure foreground and a map of sure background on a device.
///
/// @param out  [H,W] of std::int32_t
/// @asynchrony gpu: enqueues and returns
///
/// Everything else as join_confident in confident.hpp.
template <execution_policy P, image_like F, image_like B, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<F, 2>>
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
                choose_confident<value_of<F, 2>, value_of<B, 2>, S>{fg, bg, to});
}

/// As join_confident_into, and allocates.
template <execution_policy P, image_like F, image_like B>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<F, 2>>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> join_confident(P const& where, F const& foreground,
                                                                       B const& background)
{
  auto out = make_grid<std::int32_t>(where, as_view<2>(foreground, "join_confident: foreground").extent);
  join_confident_into(where, foreground, background, out);
  return out;
}

}  // namespace cambium
