#pragma once

#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/peaks.hpp>
#include <cambium/activation/smooth.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

struct bestie_peak_options {
  index_t smoothing = 3;  ///< [cells] side of the window that is averaged
  peak_options peaks{};   ///< kernel = 15, most = 25, threshold = 0.1
};

/// Find the cues of an image: peaks of its class maps, smoothed after averaging with those of its mirror image.
///
/// @param where    where to run; must reach the maps
/// @param maps     [C,h,w] of a classifier, before any normalisation; finite
/// @param flipped  [C,h,w] of the mirror image
/// @param image    [pixels]
/// @param classes  present in the image, 0-based
/// @param options  defaults of the original
/// @return [N] points in the memory of the policy, in pixels of the image: classes ascending, of a class by falling score
///
/// @throws       precondition_error
/// @complexity   Theta(C * H * W)
/// @determinism  as fuse
/// @asynchrony   gpu: waits for where.stream twice, for the numbers of peaks found and kept
/// @source       main program of PAM/point_extraction.py of clovaai/BESTIE
template <execution_policy P, stack_like M>
  requires reaches<P, space_of<M, 3>>
[[nodiscard]] auto bestie_peaks(P const& where, M const& maps, M const& flipped, extent2 image,
                                std::vector<std::int32_t> const& classes, bestie_peak_options const& options = {})
    -> grid<point, 1, typename P::memory>
{
  auto const mean =
      mean_with_mirrored(where, class_maps(where, maps, image, classes), class_maps(where, flipped, image, classes));
  return extract_peaks(where, smooth(where, mean, options.smoothing), options.peaks);
}

}  // namespace cambium
