#pragma once
// Boxes as instances.

#include <cambium/grid/grid.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include <cstdint>
#include <vector>

namespace labelling {

/// The box of each pixel: its place + 1, or 0. Where boxes overlap it is the smallest, of equal ones the first.
/// @param semantic  [H,W] class + 1: a pixel belongs to boxes of its class only; null: to any
[[nodiscard]] cambium::grid<std::int32_t, 2> owners_of_boxes(std::vector<cambium::class_box> const& boxes,
                                                             cambium::extent2 image,
                                                             cambium::grid<std::int32_t, 2> const* semantic);

}  // namespace labelling
