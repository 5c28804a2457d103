#pragma once

#include <cambium/activation/select.hpp>
#include <cambium/component/connected.hpp>
#include <cambium/core/error.hpp>
#include <cambium/displacement/disc_centres.hpp>
#include <cambium/displacement/find_centres.hpp>
#include <cambium/displacement/group_pixels.hpp>
#include <cambium/displacement/join_centres.hpp>
#include <cambium/displacement/region_centres.hpp>
#include <cambium/grid/plateau.hpp>
#include <cambium/pipeline/bestie/regions.hpp>

#include <cstdint>
#include <string>
#include <type_traits>

namespace cambium {

/// What BESTIE's network says about one image. The views are not owned.
template <class T, class Space = host>
struct bestie_output {
  stack_view<T const, Space> seg;     ///< [C+1,H,W] logits, channel 0 background
  stack_view<T const, Space> centre;  ///< [C,H,W]
  stack_view<T const, Space> offset;  ///< [2,H,W] (dy,dx) in cells, centre minus cell
};

/// Throws unless the maps of an image fit together. `who` begins the message.
template <class T, class Space>
void expects_bestie_output(bestie_output<T, Space> const& in, std::string const& who)
{
  index_t const H = in.seg.extent[1], W = in.seg.extent[2];
  expects(in.seg.extent[0] == in.centre.extent[0] + 1 && in.centre.extent[1] == H && in.centre.extent[2] == W &&
              in.offset.extent[0] == 2 && in.offset.extent[1] == H && in.offset.extent[2] == W,
          who, ": logits are ", in.seg, ", centres ", in.centre, " and offsets ", in.offset,
          "; expected [C+1,H,W], [C,H,W] and [2,H,W]");
}

struct bestie_group_options {
  index_t kernel = 41;  ///< [cells] window a centre must dominate
  double beta = 3;      ///< [cells] tolerance of the disc rule, >= 0; 0: centres come from the centre map alone
  bool outside = true;  ///< what lies outside the weak cells of a region counts as one more disc: the original
  double apart = 100;   ///< [cells] of a centre by the disc rule from the others
  double relative = 0;  ///< > 0: as a fraction of the region's diagonal instead
  plateau plateaus = plateau::every_cell;
};

/// What a region without any centre becomes.
enum class lone_region {
  nothing,    ///< in refined labels, and with val_ignore = True
  one_group,  ///< in inference: it becomes an instance, whose score may be low
};

/// The cells of regions, grouped around centres.
template <class T, class Space = host>
struct bestie_groups {
  grid<T, 2, Space> response;  ///< [H,W] the centre map of each region's class; 1 where the disc rule added a centre
  region_centres<Space> centres;
  grid<std::int32_t, 2, Space> ids;  ///< [H,W] 0 or 1 + index into centres.at
};

/// Group the cells of regions by a network's centres and offsets.
///
/// @param where    where to run; must reach the maps
/// @param regions  of the foreground
/// @param centre   [C,H,W]
/// @param offset   [2,H,W]
/// @param threshold  of centres in the centre map; refine_thresh, val_thresh
/// @param alone    what a region without a centre is
/// @param options  kernel = 41, beta = 3, apart = 100, relative = 0
/// @param flipped  [C,H,W] centre maps of the mirror image, or null: then averaged
///
/// @throws       precondition_error
/// @complexity   Theta(H * W), and centres of a region for each of its cells
/// @determinism  exact; with relative > 0 the length of a diagonal may differ in its last bit between cpu and gpu
/// @asynchrony   gpu: waits for where.stream two times if beta = 0, otherwise four; NaN and infinities are not refused
/// @source       get_instance_segmentation, utils/utils.py of clovaai/BESTIE, for all regions at once
template <class T, execution_policy P>
[[nodiscard]] auto bestie_group(P const& where, class_regions<typename P::memory> const& regions,
                                stack_view<T const, typename P::memory> centre,
                                std::type_identity_t<stack_view<T const, typename P::memory>> offset, double threshold,
                                lone_region alone, bestie_group_options const& options = {},
                                std::type_identity_t<stack_view<T const, typename P::memory>> flipped = {})
    -> bestie_groups<T, typename P::memory>
{
  auto const count = static_cast<index_t>(regions.categories.size());
  expects(options.beta >= 0, "bestie_group: beta is ", options.beta);
  bestie_groups<T, typename P::memory> out{select(where, centre, regions.label, regions.categories, flipped), {}, {}};
  out.centres = find_centres(where, out.response, regions.label, count, {threshold, options.kernel, options.plateaus});
  auto discs = to_memory(where, by_region({}, count));
  if (options.beta > 0) {
    auto const weak = connected_equal(where, weak_cells(where, regions.label, offset), c4);
    discs = disc_centres(where, weak.label, weak.count, regions.label, count,
                         {.tolerance = options.beta, .outside = options.outside});
  }
  out.centres = join_centres(
      where, out.centres, discs, regions.label,
      {.apart = options.apart, .relative = options.relative, .whole_regions = alone == lone_region::one_group},
      out.response);
  out.ids = group_pixels(where, offset, regions.label, out.centres);
  return out;
}

}  // namespace cambium
