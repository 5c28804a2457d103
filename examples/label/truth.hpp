#pragma once
// The ground truth of an image, and the comparison with its labels.

#include "image_set.hpp"
#include "record.hpp"

#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace labelling {

struct truth {
  cambium::grid<std::int32_t, 2> semantic;   ///< [H,W] 0, 1..C, 255 void; empty if there is none
  cambium::grid<std::int32_t, 2> instances;  ///< [H,W] 0, 1..N, -1 void; empty if there is none
};

/// One of the two maps, from a PNG.
/// @throws io_error "file: reason"
cambium::grid<std::int32_t, 2> parse_truth(cambium::bytes const& content, std::string const& path,
                                           cambium::extent2 image, bool semantic);

/// Check before the work whether the truth of a set has an object. A mask of 0 and 255 means background and void. Its
/// scores would be perfect. Reads maps until one has a pixel of a class, or of an instance. Ignores unreadable files
/// and an empty template.
/// @throws usage_error naming the first map, if no map has an object
void expects_objects_in_truth(std::vector<std::string> const& ids, std::string const& path_template, bool semantic);

/// Whether a map of true classes has void, but no pixel of a class.
bool is_void_only(cambium::grid<std::int32_t, 2> const& semantic);

/// Whether a map of true instances has void, but no instance, though the classes have objects.
bool has_void_instances_only(truth const& is);

/// How many things are odd, and the first image by name that has one.
struct odd_count {
  std::size_t images = 0, things = 0;
  std::string first;

  void add(std::string const& id, std::size_t many = 1);
};

/// Suspicious truth of scored images.
struct odd_truth {
  odd_count void_only;            ///< class maps of background and void alone
  odd_count void_only_instances;  ///< maps of instances of background and void alone, beside classes
  odd_count without_class;        ///< true instances on background or void
  std::set<int> looked_for;       ///< classes 1..C, of all images

  /// In sentences. @param confusion  of all images
  std::vector<std::string> notes(cambium::confusion_matrix const& confusion, std::size_t images) const;
};

/// The predicted instances, the true ones, and their overlaps. A true instance has the class of most of its pixels. An
/// instance without a class is void.
/// @param without_class  gets the number of true instances without a class
cambium::image_result compare_instances(cambium::instances<> const& found, truth const& is, bool void_counts,
                                        std::size_t* without_class = nullptr);

/// "50.00", or "-" for NaN, six characters wide.
std::string percent(double fraction);

/// Results that need no pixels, for records.
json confusion_cells(cambium::confusion_matrix const& m);
json to_json(cambium::image_result const& r);
/// @throws io_error, json::exception if the cells cannot come from an image
void add_confusion(cambium::confusion_matrix& to, json const& cells);
cambium::image_result image_result_from(json const& j);

}  // namespace labelling
