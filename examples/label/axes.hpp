#pragma once
// Decides from its axes whether an array can be a map of an image. If not, hints at the mistake.

#include <cambium/core/index.hpp>

#include <functional>
#include <string>
#include <vector>

namespace labelling {

/// Whether a map can belong to an image: both axes have one scale, within a cell. The network's input may have been
/// rounded, up or down, to a multiple of 2, 4, 8, 14 (the patches of some transformers), 16 or 32, or to one more. If
/// the map's sides are such numbers, that many cells are allowed, up to a tenth of a side: 364 x 490 is a map of 375 x
/// 500.
bool fits(cambium::extent2 map, cambium::extent2 image);

/// The end of a message about a refused array: "; it looks like [h,w,C]: ...". Empty if no order of axes fits.
/// @param shape   of the array, 2 or 3 axes
/// @param is_map  whether h x w is the expected size
std::string axes_hint(std::vector<cambium::index_t> const& shape, std::function<bool(cambium::extent2)> const& is_map);

/// The same for maps of any scale. A square is more likely the map of a network with a square input.
std::string scale_hint(std::vector<cambium::index_t> const& shape, std::function<bool(cambium::extent2)> const& is_map);

}  // namespace labelling
