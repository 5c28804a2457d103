#pragma once
// What a network makes of boxes, to look at.

#include "method/boxes.hpp"

#include <cstddef>
#include <filesystem>
#include <vector>

namespace trainer::study {

/// Writes a PNG. A row is an image: photograph, boxes, sigma (white: as large as the cap), the boxes' labels after
/// bootstrapping, truth. Of labels white is foreground, black background, grey a box pixel that stays in doubt.
/// @param boxes  the first `count` images that are not exact are shown; one foreground, one_vs_rest
/// @param truth  the same images with masks
/// @throws cambium::precondition_error: no image with boxes; cambium::io_error
void write_box_pictures(uncertain_network& network, std::vector<box_sample> const& boxes,
                        std::vector<box_sample> const& truth, boxes_options const& options, std::size_t count,
                        std::filesystem::path const& file);

}  // namespace trainer::study
