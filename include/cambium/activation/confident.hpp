#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

/// The channel that says most at each cell, if it says more than a threshold.
///
/// @param where   cpu
/// @param maps    [C,H,W] finite
/// @param thres   what background scores everywhere
/// @return [H,W] 0 background, c + 1 where channel c is largest and above thres; of equal ones the first
///
/// @throws       precondition_error: NaN or infinite values
/// @complexity   Theta(C * H * W)
/// @determinism  exact
/// @source       np.argmax of np.pad(cams, constant_values=thres), step/cam_to_ir_label.py of jiwoon-ahn/irn
template <stack_like M>
[[nodiscard]] grid<std::int32_t, 2> threshold_labels(cpu const& where, M const& maps, double thres)
{
  using T = value_of<M, 3>;
  auto const in = as_view<3>(maps, "threshold_labels: maps");
  expects(std::isfinite(thres), "threshold_labels: thres is ", thres);
  expects_finite(where, in, "threshold_labels: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  auto out = make_grid<std::int32_t>({H, W});
  for_each_share(where, H, 16, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        T most = static_cast<T>(thres);
        std::int32_t best = 0;
        for (index_t c = 0; c < C; ++c)
          if (in(c, y, x) > most) most = in(c, y, x), best = static_cast<std::int32_t>(c + 1);
        out(y, x) = best;
      }
  });
  return out;
}

/// Join a map of sure foreground and a map of sure background: what neither is sure of becomes 255.
///
/// @param foreground  [H,W] labels found with a high threshold, 0 where there is none
/// @param background  [H,W] labels found with a low threshold, 0 where nothing is likely
/// @return [H,W] the foreground's label where it has one, 0 where both are 0, else label::ignore
///
/// @throws       precondition_error on differing shapes
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       step/cam_to_ir_label.py of jiwoon-ahn/irn
template <image_like F, image_like B>
[[nodiscard]] grid<std::int32_t, 2> join_confident(cpu const&, F const& foreground, B const& background)
{
  static_assert(std::is_integral_v<value_of<F, 2>> && std::is_integral_v<value_of<B, 2>>,
                "join_confident: labels are integers");
  auto const fg = as_view<2>(foreground, "join_confident: foreground");
  auto const bg = as_view<2>(background, "join_confident: background");
  expects(same_shape(fg, bg), "join_confident: foreground is ", fg, " but background is ", bg);
  auto out = make_grid<std::int32_t>({fg.extent[0], fg.extent[1]});
  for (index_t y = 0; y < fg.extent[0]; ++y)
    for (index_t x = 0; x < fg.extent[1]; ++x)
      out(y, x) = fg(y, x) != 0   ? static_cast<std::int32_t>(fg(y, x))
                  : bg(y, x) == 0 ? label::background
                                  : label::ignore;
  return out;
}

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


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
/// Everything else as threshold_labels in confident.hpp.
template <execution_policy P, stack_like M, image_like O>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
void label_above_into(P const& where, M const& maps, double thres, O&& out)
{
  using T = value_of<M, 3>;
  using S = typename P::memory;
  auto const in = as_view<3>(maps, "threshold_labels: maps");
  image_view<std::int32_t, S> const to = as_view<2>(out, "threshold_labels: out");
  expects(std::isfinite(thres), "threshold_labels: thres is ", thres);
  expects(to.extent[0] == in.extent[1] && to.extent[1] == in.extent[2], "threshold_labels: maps are ", in, " but out is ",
          to);
  expects(!overlap(in, to), "threshold_labels: maps and out overlap");
  for_each_cell(where, {1, to.extent[0], to.extent[1]}, largest_above<T, S>{in, static_cast<T>(thres), to});
}

/// As label_above_into, and allocates.
template <execution_policy P, stack_like M>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<M, 3>>
[[nodiscard]] grid<std::int32_t, 2, typename P::memory> threshold_labels(P const& where, M const& maps, double thres)
{
  auto const in = as_view<3>(maps, "threshold_labels: maps");
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
