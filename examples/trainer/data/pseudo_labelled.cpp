#include "data/pseudo_labelled.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/rle.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <variant>

namespace trainer {

namespace fs = std::filesystem;

pseudo_labelled::pseudo_labelled(dataset const& photographs, fs::path const& file) : photographs_(photographs)
{
  auto const set = cambium::read_coco(file);
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < photographs.size(); ++i) place[photographs.id(i)] = place[photographs.file_name(i)] = i;
  std::map<std::int64_t, std::size_t> image;
  of_.resize(photographs.size());
  for (auto const& one : set.images) {
    auto found = place.find(one.file_name);
    if (found == place.end()) found = place.find(fs::path(one.file_name).stem().string());
    if (found == place.end())
      throw cambium::io_error(file.string() + ": image " + one.file_name + " is not among those to learn from");
    image[one.id] = found->second;
    of_[found->second].label = cambium::grid<std::int32_t, 2>(one.height, one.width);
  }
  std::map<std::int64_t, std::int32_t> class_of;
  auto const& names = photographs.class_names();
  for (auto const& c : set.categories) {
    auto const found = std::find(names.begin(), names.end(), c.name);
    if (found == names.end())
      throw cambium::io_error(file.string() + ": category '" + c.name + "' is no class of the set");
    class_of[c.id] = static_cast<std::int32_t>(found - names.begin());
  }
  for (auto const& a : set.annotations) {
    auto& of = of_[image.at(a.image_id)];
    auto const* const mask = std::get_if<cambium::rle>(&a.segmentation);
    if (mask == nullptr || mask->height != of.label.shape()[0] || mask->width != of.label.shape()[1])
      throw cambium::io_error(file.string() + ": annotation " + std::to_string(a.id) +
                              " has no mask of the size of its image");
    auto const cells = cambium::decode_rle(*mask);
    auto const number = static_cast<std::int32_t>(of.found.size()) + 1;
    for (std::size_t p = 0; p < cells.cells().size(); ++p)
      if (cells.cells()[p] != 0) of.label.cells()[p] = number;
    of.found.push_back({class_of.at(a.category_id), 1, 0, {}});
  }
  for (std::size_t i = 0; i < of_.size(); ++i)
    if (of_[i].label.size() == 0)
      throw cambium::io_error(file.string() + ": image " + photographs.id(i) + " is missing");
}

}  // namespace trainer
