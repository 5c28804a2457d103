#include "data/pseudo_labelled.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/rle.hpp>

#include <algorithm>
#include <cstdint>
#include <map>

namespace trainer {

namespace fs = std::filesystem;

pseudo_labelled::pseudo_labelled(dataset const& photographs, fs::path const& file, cambium::crowds crowds)
    : photographs_(photographs), file_(file)
{
  auto const set = cambium::read_coco(file);
  if (set.annotations.empty()) throw cambium::io_error(file.string() + ": has no annotation to learn from");
  remarks_ = cambium::remarks_on(set, file.string(), crowds);
  std::map<std::string, std::size_t> place;
  for (std::size_t i = 0; i < photographs.size(); ++i) place[photographs.id(i)] = place[photographs.file_name(i)] = i;
  std::map<std::int64_t, std::size_t> image;
  std::size_t elsewhere = 0;  // the first is said
  of_.resize(photographs.size()), ignored_.resize(photographs.size());
  for (auto const& one : set.images) {
    auto found = place.find(one.file_name);
    fs::path const name(one.file_name);
    if (found == place.end()) found = place.find((name.parent_path() / name.stem()).generic_string());
    if (found == place.end()) {
      found = place.find(name.stem().string());
      if (found != place.end() && name.has_parent_path() && elsewhere++ == 0)
        remarks_.push_back("note: " + file.string() + ": image " + one.file_name + " is taken for the photograph " +
                           photographs.file_name(found->second) + ", though it names another folder");
    }
    if (found == place.end())
      throw cambium::io_error(file.string() + ": image " + one.file_name + " is not among those to learn from");
    if (of_[found->second].label.size() > 0)
      throw cambium::io_error(file.string() + ": two images are " + photographs.id(found->second));
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
    std::size_t const at = image.at(a.image_id);
    auto& of = of_[at];
    cambium::extent2 const size{of.label.shape()[0], of.label.shape()[1]};
    if (!a.has_mask()) throw cambium::io_error(file.string() + ": annotation " + std::to_string(a.id) + " has no mask");
    if (a.iscrowd && crowds == cambium::crowds::ignore) {
      if (ignored_[at].size() == 0) ignored_[at] = cambium::grid<std::uint8_t, 2>(size.height, size.width);
      cambium::mark_region(ignored_[at], a);
      continue;
    }
    auto const cells = cambium::decode_rle(cambium::mask_of(a, size));
    auto const number = static_cast<std::int32_t>(of.found.size()) + 1;
    for (std::size_t p = 0; p < cells.cells().size(); ++p)
      if (cells.cells()[p] != 0) of.label.cells()[p] = number;
    of.found.push_back({class_of.at(a.category_id), 1, 0, {}});
  }
  for (std::size_t i = 0; i < of_.size(); ++i)
    if (of_[i].label.size() == 0)
      throw cambium::io_error(file.string() + ": image " + photographs.id(i) + " is missing");
}

weak_image pseudo_labelled::load(std::size_t i) const
{
  auto out = photographs_.load(i);
  auto const& own = ignored_.at(i);
  auto const& labels = of_.at(i).label.shape();
  auto const& photograph = out.photograph.shape();
  if (labels[0] != photograph[0] || labels[1] != photograph[1])
    throw cambium::io_error(file_.string() + ": image " + file_name(i) + " is " + std::to_string(labels[0]) + " x " +
                            std::to_string(labels[1]) + " pixels, but its photograph " + std::to_string(photograph[0]) +
                            " x " + std::to_string(photograph[1]));
  if (own.size() == 0) return out;
  if (out.ignored.size() == 0) out.ignored = cambium::grid<std::uint8_t, 2>(own.shape()[0], own.shape()[1]);
  cambium::expects(out.ignored.shape() == own.shape(), "pseudo_labelled: the crowds of ", id(i), " are ",
                   out.ignored.view(), " but its pseudo labels ", own.view());
  for (std::size_t p = 0; p < own.cells().size(); ++p) out.ignored.cells()[p] |= own.cells()[p];
  return out;
}

cambium::grid<std::uint8_t, 2> pseudo_labelled::ignored(std::size_t i) const
{
  auto out = ignored_.at(i);
  for (std::size_t p = 0; p < out.cells().size(); ++p)
    if (of_[i].label.cells()[p] != 0) out.cells()[p] = 0;
  return out;
}

}  // namespace trainer
