#pragma once

#include "network/pidinet.hpp"

#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <memory>

namespace trainer {

/// What becomes of the pixels of a cell.
enum class pooling { mean, largest };

/// The boundary map of a photograph at its own size, pooled to cells of stride x stride pixels. Cells that the image
/// does not fill count what there is.
/// @param photograph  [H,W,3] RGB, extents of at least 8
/// @return [(H-1)/stride+1,(W-1)/stride+1] in [0,1]
/// @throws cambium::precondition_error: smaller photographs, a stride below 1
[[nodiscard]] cambium::grid<float, 2> boundary_map(pidinet& network, cambium::grid<std::uint8_t, 3> const& photograph,
                                                   std::int64_t stride = 4, pooling how = pooling::mean);

/// About how much memory that takes, in bytes.
/// @param channels  of the network's first stage
[[nodiscard]] double boundary_memory(cambium::extent2 image, std::int64_t channels);

}  // namespace trainer
