#pragma once
// What is true of an image, and how much of it was found.

#include "record.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <cstdint>
#include <string>

namespace labelling {

struct truth {
  cambium::grid<std::int32_t, 2> semantic;   ///< [H,W] 0, 1..C, 255 void; empty if there is none
  cambium::grid<std::int32_t, 2> instances;  ///< [H,W] 0, 1..N, 255 void; empty if there is none
};

/// One of the two maps, from a PNG.
/// @throws io_error "file: reason"
cambium::grid<std::int32_t, 2> parse_truth(cambium::bytes const& content, std::string const& path,
                                           cambium::extent2 image, bool semantic);

/// The instances found, those that are true, and how they overlap. The class of a true instance is that of most of its
/// pixels; one without a class is void.
cambium::image_result compare_instances(cambium::instances const& found, truth const& is, bool void_counts);

/// What needs no more pixels, for records.
json confusion_cells(cambium::confusion_matrix const& m);
json to_json(cambium::image_result const& r);
/// @throws io_error, json::exception where they cannot be of an image
void add_confusion(cambium::confusion_matrix& to, json const& cells);
cambium::image_result image_result_from(json const& j);

}  // namespace labelling
