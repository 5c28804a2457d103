#pragma once

#include <cambium/affinity/colour_affinity.hpp>
#include <cambium/grid/align_corners.hpp>
#include <cambium/walk/neighbour_walk.hpp>

#include <string>

namespace cambium {

/// Which of the two is resized to the other, bilinearly with aligned corners.
enum class adaptive_size {
  image,  ///< masks become as large as the image: PAR of ToCo and AFA, PAMR
  masks   ///< the image becomes as large as the masks: PAR of WeCLIP
};

/// Parameters of par and pamr.
struct pixel_adaptive_options {
  dilated_neighbours dilations{};             ///< {1, 2, 4, 8, 12, 24}
  index_t steps = 10;                         ///< [count] the originals' num_iter; >= 0, and 0 only resizes
  adaptive_size size = adaptive_size::image;  ///< of the result
  bool normalise = false;                     ///< par: weights sum to 1 instead of 1.01. pamr's always do
};

/// Whether weights are made again in every step instead of being stored: on the cpu, in float.
template <class T, class P>
inline constexpr bool weighs_by_rows = std::is_same_v<P, cpu> && std::is_same_v<T, float>;

/// Memory of pixel_adaptive_into for one shape. Most of it holds weights: 32 bytes a pixel and dilation. In float the
/// cpu stores no weights.
template <class T, execution_policy P>
class pixel_adaptive_scratch {
 public:
  /// @param image  extents [K,H,W]
  /// @param masks  extents [C,h,w]
  pixel_adaptive_scratch(P const& where, index_t const (&image)[3], index_t const (&masks)[3],
                         pixel_adaptive_options const& options)
      : near(options.dilations),
        shape{masks[0], of(image, masks, options, 1), of(image, masks, options, 2)},
        resized(make_grid<T>(where, {options.size == adaptive_size::masks ? image[0] : 0, shape[1], shape[2]})),
        weight(make_grid<T>(where, {weighs_by_rows<T, P> ? 0 : index_t{near.size()}, shape[1], shape[2]})),
        colours(where, {image[0], shape[1], shape[2]}, near),
        walk(walk_of(where, shape, near))
  {
  }

  /// An extent of the result.
  static index_t of(index_t const (&image)[3], index_t const (&masks)[3], pixel_adaptive_options const& options, int r)
  {
    return options.size == adaptive_size::image ? image[r] : masks[r];
  }

  /// About the bytes of the cpu's scratch in float, for images of three channels, and of the result.
  static double bytes_needed(cpu const& where, index_t const (&result)[3], dilated_neighbours const& near)
  {
    neighbour_rows_shape const rows(result[0], result[1], result[2], near, neighbour_rows_shape::most_by_rows);
    double const bands = static_cast<double>(neighbour_walk_scratch<float>::bands_of(where, result[1]));
    double const image = 3 * static_cast<double>(result[1]) * static_cast<double>(rows.pitch);
    double const masks =
        static_cast<double>(result[0]) * static_cast<double>(result[1]) * static_cast<double>(result[2]);
    return 4 * (masks + image + bands * static_cast<double>(rows.cells()));
  }

 private:
  static auto walk_of(P const& where, index_t const (&shape)[3], dilated_neighbours const& near)
  {
    if constexpr (weighs_by_rows<T, P>)
      return neighbour_walk_scratch<T, P>(where, shape[0], shape[1], shape[2], near,
                                          neighbour_rows_shape::most_by_rows);
    else
      return neighbour_walk_scratch<T, P>(where, shape[0], shape[1], shape[2], near);
  }

 public:
  dilated_neighbours near;
  index_t shape[3];  ///< of the result
  grid<T, 3, typename P::memory> resized;
  grid<T, 3, typename P::memory> weight;
  colour_affinity_scratch<T, P> colours;
  neighbour_walk_scratch<T, P> walk;
};

/// Average masks by the colours of an image of their size, in place.
template <execution_policy P, class T, class S>
void average_by_colours(P const& where, stack_view<T const, S> const& image, colour_affinity_options const& colours,
                        index_t steps, stack_view<T, S> const& masks, pixel_adaptive_scratch<T, P>& scratch)
{
  if constexpr (weighs_by_rows<T, P>) {
    auto const rows = colour_affinity_by_rows(where, image, scratch.near, colours, scratch.colours);
    neighbour_walk_by_rows(where, masks, rows, scratch.near, {steps}, masks, scratch.walk);
  } else {
    colour_affinity_into(where, image, scratch.near, colours, scratch.weight, scratch.colours);
    neighbour_walk_into(where, masks, scratch.weight, scratch.near, {steps}, masks, scratch.walk);
  }
}

/// Refine masks by the colours of an image: resize, weigh the neighbours of every pixel, average. par and pamr call it.
///
/// @param where    where to run; must reach all memory
/// @param image    [K,H,W] colours, K >= 1, at most 1e6 in size
/// @param masks    [C,h,w] finite scores
/// @param colours  colour_affinity_options::par() or pamr()
/// @param options  see pixel_adaptive_options; its `normalise` replaces that of `colours`
/// @param out      [C,H,W], or [C,h,w] with adaptive_size::masks
/// @param scratch  pixel_adaptive_scratch for these shapes, options and policy
/// @param name     begins every message
///
/// @throws       precondition_error before anything is written: shapes that do not fit together, an image without
///               channels, no pixels to resize, NaN, a colour beyond 1e6, an output that overlaps an input
/// @complexity   colour_affinity and neighbour_walk
/// @determinism  as neighbour_walk
/// @asynchrony   gpu: enqueues and returns, and cannot check values
template <execution_policy P, stack_like I, stack_like X, stack_like O>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<X, 3>> && reaches<P, space_of<O, 3>>
void pixel_adaptive_into(P const& where, I const& image, X const& masks, colour_affinity_options colours,
                         pixel_adaptive_options const& options, O&& out,
                         pixel_adaptive_scratch<value_of<X, 3>, P>& scratch, std::string const& name)
{
  using T = value_of<X, 3>;
  using S = space_of<X, 3>;
  stack_view<T const, S> const in = as_view<3>(image, (name + ": image").c_str());
  stack_view<T const, S> const from = as_view<3>(masks, (name + ": masks").c_str());
  stack_view<T, S> const to = as_view<3>(out, (name + ": out").c_str());
  bool const to_masks = options.size == adaptive_size::masks;
  expects_dilations(options.dilations, name.c_str());
  expects(options.steps >= 0, name, ": steps is ", options.steps);
  expects(in.extent[0] >= 1, name, ": image is ", in, "; it needs a channel");
  index_t const C = from.extent[0], H = (to_masks ? from : in).extent[1], W = (to_masks ? from : in).extent[2];
  expects(to.extent[0] == C && to.extent[1] == H && to.extent[2] == W, name, ": image is ", in, " and masks are ", from,
          " but out is ", to);
  auto const pixels = [](auto const& v) { return v.extent[1] > 0 && v.extent[2] > 0; };
  expects(H == 0 || W == 0 || (pixels(in) && pixels(from)), name, ": image is ", in, " and masks are ", from,
          "; one has no pixels to resize");
  expects(!overlap(to, in) && !overlap(to, from), name, ": the output overlaps an input");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_inside(where, in, static_cast<T>(-largest_colour), static_cast<T>(largest_colour),
                   (name + ": image").c_str(), "a colour of at most 1e6 in size");
    expects_finite(where, from, (name + ": masks").c_str());
  }
  expects_colour_options(colours, name.c_str());
  index_t const K = in.extent[0], coloured[3] = {K, H, W};
  expects(scratch.shape[0] == C && scratch.shape[1] == H && scratch.shape[2] == W &&
              scratch.near == options.dilations && scratch.colours.fits(coloured, options.dilations) &&
              (!to_masks || same_shape(scratch.resized.view(), stack_view<T, S>(nullptr, coloured))),
          name, ": the scratch was made for another shape or other dilations");
  if (to.size() == 0) return;

  resize_with_corners(where, from, to);
  if (options.steps == 0) return;
  colours.normalise = options.normalise;
  if (to_masks) resize_with_corners(where, in, scratch.resized.view());
  average_by_colours(where, to_masks ? stack_view<T const, S>(scratch.resized) : in, colours, options.steps, to,
                     scratch);
}

/// As pixel_adaptive_into, and allocates the result and the scratch.
template <execution_policy P, stack_like I, stack_like X>
  requires reaches<P, space_of<I, 3>> && reaches<P, space_of<X, 3>>
[[nodiscard]] auto pixel_adaptive(P const& where, I const& image, X const& masks,
                                  colour_affinity_options const& colours, pixel_adaptive_options const& options,
                                  std::string const& name)
{
  using T = value_of<X, 3>;
  auto const in = as_view<3>(image, (name + ": image").c_str());
  auto const from = as_view<3>(masks, (name + ": masks").c_str());
  expects_dilations(options.dilations, name.c_str());
  using scratch_type = pixel_adaptive_scratch<T, P>;
  auto out = make_grid<T>(where, {from.extent[0], scratch_type::of(in.extent, from.extent, options, 1),
                                  scratch_type::of(in.extent, from.extent, options, 2)});
  scratch_type scratch(where, in.extent, from.extent, options);
  pixel_adaptive_into(where, in, from, colours, options, out, scratch, name);
  return out;
}

/// The same for a batch, image after image in one scratch.
/// @return [B,C,H,W] in the memory of the policy
template <execution_policy P, gridded<4> I, gridded<4> X>
  requires reaches<P, space_of<I, 4>> && reaches<P, space_of<X, 4>>
[[nodiscard]] auto pixel_adaptive_batch(P const& where, I const& image, X const& masks,
                                        colour_affinity_options const& colours, pixel_adaptive_options const& options,
                                        std::string const& name)
{
  using T = value_of<X, 4>;
  auto const in = as_view<4>(image, (name + ": image").c_str());
  auto const from = as_view<4>(masks, (name + ": masks").c_str());
  expects(in.extent[0] == from.extent[0], name, ": image is ", in, " but masks are ", from);
  expects_dilations(options.dilations, name.c_str());
  auto const one = in[0];
  auto const of_one = from[0];
  using scratch_type = pixel_adaptive_scratch<T, P>;
  auto out = make_grid<T>(where, {in.extent[0], from.extent[1], scratch_type::of(one.extent, of_one.extent, options, 1),
                                  scratch_type::of(one.extent, of_one.extent, options, 2)});
  scratch_type scratch(where, one.extent, of_one.extent, options);
  for (index_t b = 0; b < in.extent[0]; ++b)
    pixel_adaptive_into(where, in[b], from[b], colours, options, out.view()[b], scratch, name);
  return out;
}

/// Refine masks by an image as PAR does: `steps` times, every pixel takes the weighted sum of its neighbours in eight
/// directions at several distances. Neighbours of similar colour and near ones weigh most.
///
/// The weights of a pixel sum to 1.01, so each step makes masks 1 % larger (1.105 after 10). `normalise` prevents it.
/// The largest channel of a pixel is the same either way.
///
/// @param where    where to run; must reach all memory
/// @param image    [K,H,W] colours in any unit, at most 1e6 in size
/// @param masks    [C,h,w] finite scores; C may be 0
/// @param options  dilations = {1, 2, 4, 8, 12, 24}, steps = 10; masks are resized to the image
/// @return [C,H,W] in the memory of the policy; with adaptive_size::masks at the size of the masks
///
/// @throws       precondition_error: see pixel_adaptive_into
/// @invariant    scaling and shifting the image changes nothing, up to the 1e-8 that is added to its deviations
/// @complexity   Theta(steps * 8 dilations * C * H * W) time; memory: on the cpu in float the image with borders, and
///               3 reach + 1 rows of up to 32 channels a thread; else the weights, [8 dilations,H,W]
/// @determinism  as neighbour_walk
/// @asynchrony   gpu: enqueues and returns, and cannot check values
/// @source       Ru, Zhan, Yu, Du, "Learning Affinity from Attention", CVPR 2022, section 3.3; PAR.forward, model/PAR.py of
///               rulixiang/ToCo, byte for byte that of rulixiang/afa; with adaptive_size::masks PAR.forward of
///               zbf1991/WeCLIP. They hold [B,C,48,H,W]
template <execution_policy P, stack_like I, stack_like X>
[[nodiscard]] auto par(P const& where, I const& image, X const& masks, pixel_adaptive_options const& options = {})
{
  return pixel_adaptive(where, image, masks, colour_affinity_options::par(), options, "par");
}
/// As par, for images [B,K,H,W] and masks [B,C,h,w].
template <execution_policy P, gridded<4> I, gridded<4> X>
[[nodiscard]] auto par_batch(P const& where, I const& image, X const& masks, pixel_adaptive_options const& options = {})
{
  return pixel_adaptive_batch(where, image, masks, colour_affinity_options::par(), options, "par_batch");
}

/// Refine masks by an image as PAMR does: as par, but contrasts are not squared, their unit is a tenth of a standard
/// deviation that includes the pixel itself, and positions count nothing. The weights sum to 1.
///
/// @param options  PAMR's class has dilations {1} and one step, its configurations those of par, which are default here
/// @invariant    a constant mask stays, and the range of a mask never grows, up to rounding
/// @source       Araslanov & Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020; PAMR.forward,
///               models/mods/pamr.py of visinf/1-stage-wseg
template <execution_policy P, stack_like I, stack_like X>
[[nodiscard]] auto pamr(P const& where, I const& image, X const& masks, pixel_adaptive_options const& options = {})
{
  return pixel_adaptive(where, image, masks, colour_affinity_options::pamr(), options, "pamr");
}
/// As pamr, for images [B,K,H,W] and masks [B,C,h,w].
template <execution_policy P, gridded<4> I, gridded<4> X>
[[nodiscard]] auto pamr_batch(P const& where, I const& image, X const& masks,
                              pixel_adaptive_options const& options = {})
{
  return pixel_adaptive_batch(where, image, masks, colour_affinity_options::pamr(), options, "pamr_batch");
}

}  // namespace cambium
