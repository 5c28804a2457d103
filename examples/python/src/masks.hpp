#pragma once
// COCO's data as Python has it: dicts as json.load makes them, masks as {"size": [H, W], "counts": text}.

#include "bindings.hpp"

#include <cambium/io/coco_data.hpp>
#include <cambium/io/rle.hpp>

#include <string>
#include <vector>

namespace bindings {

/// The sides of masks and images are at most this, as in COCO's files.
inline constexpr cambium::index_t longest_side = cambium::index_t{1} << 20;

/// The size of an image from [height, width].
cambium::extent2 size_of(nb::handle given, std::string const& what);

/// Runs from {"size": [H, W], "counts": str, bytes or list}.
cambium::rle rle_of(nb::handle given, std::string const& what);
std::vector<cambium::rle> rles_of(nb::handle given, std::string const& what);

/// {"size": [H, W], "counts": str}, or with a list of counts.
nb::dict dict_of(cambium::rle const& mask, bool compressed = true);

/// A data set from {"images": [...], "categories": [...], "annotations": [...]}, and back. `what` names it in messages.
cambium::coco_dataset dataset_of(nb::handle given, std::string const& what);
nb::dict dict_of(cambium::coco_dataset const& set);

/// Results from [{"image_id": ..., "category_id": ..., "segmentation": ..., "score": ...}, ...], and back.
std::vector<cambium::coco_result> results_of(nb::handle given, std::string const& what);
nb::list list_of(std::vector<cambium::coco_result> const& results);

/// Call body(item, what) for each item of a sequence, where what is "what[3]".
template <class Body>
void for_each_item_of(nb::handle given, std::string const& what, char const* expected, Body const& body)
{
  nb::object const iterator = nb::steal(PyObject_GetIter(given.ptr()));
  bool const text = nb::isinstance<nb::str>(given) || nb::isinstance<nb::dict>(given);
  if (!iterator.is_valid() || text) {
    PyErr_Clear();
    throw nb::type_error((what + " is " + cambium::name_of_type(given) + "; expected " + expected).c_str());
  }
  for (std::size_t i = 0;; ++i) {
    nb::object const each = nb::steal(PyIter_Next(iterator.ptr()));
    if (!each.is_valid()) break;
    body(each, what + "[" + std::to_string(i) + "]");
  }
  if (PyErr_Occurred()) throw nb::python_error();
}

}  // namespace bindings
