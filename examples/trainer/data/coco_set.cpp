#include "data/coco_set.hpp"

#include "data/fingerprint.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/photograph.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>

namespace trainer {

namespace fs = std::filesystem;
using cambium::coco_annotation;
using cambium::expects;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;
using cambium::io_error;

namespace {

/// The whole pixels that a box of fractions touches, on the photograph, at least one each way.
cambium::box whole_pixels(std::array<double, 4> const& b, index_t H, index_t W)
{
  auto const along = [](double from, double length, index_t most) {
    auto const first = std::clamp<index_t>(static_cast<index_t>(std::floor(from)), 0, most - 1);
    return std::pair{first, std::clamp<index_t>(static_cast<index_t>(std::ceil(from + length)), first + 1, most)};
  };
  auto const [top, bottom] = along(b[1], b[3], H);
  auto const [left, right] = along(b[0], b[2], W);
  return {top, left, bottom, right};
}

}  // namespace

coco_set::coco_set(coco_set_options options) : options_(std::move(options))
{
  if (!fs::is_directory(options_.photographs))
    throw io_error(options_.photographs.string() + ": there is no such folder");
  auto set = cambium::read_coco(options_.annotations);
  std::string const name = options_.annotations.string();
  if (set.categories.empty()) throw io_error(name + ": has no category");
  remarks_ = cambium::remarks_on(set, name, options_.crowds);
  std::sort(set.categories.begin(), set.categories.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
  std::map<std::string, int> called;
  for (auto const& c : set.categories) ++called[c.name];
  for (auto& c : set.categories) {  // classes go by their names, each of which is one class's
    category_ids_.push_back(c.id);
    auto const id = std::to_string(c.id);
    names_.push_back(c.name.empty() ? "category " + id : called[c.name] > 1 ? c.name + " (" + id + ")" : c.name);
  }
  annotations_ = std::move(set.annotations);
  std::unordered_map<std::int64_t, std::size_t> place;
  for (auto& image : set.images) {
    place.emplace(image.id, images_.size());
    images_.push_back({std::move(image), {}});
  }
  for (std::size_t k = 0; k < annotations_.size(); ++k)
    images_[place.at(annotations_[k].image_id)].annotations.push_back(k);
  if (options_.with_objects_only) {
    auto const nothing = [this](entry const& e) {
      return std::all_of(e.annotations.begin(), e.annotations.end(),
                         [this](std::size_t k) { return ignores(annotations_[k]); });
    };
    images_.erase(std::remove_if(images_.begin(), images_.end(), nothing), images_.end());
  }
  if (images_.empty()) throw io_error(name + ": has no image" + (options_.with_objects_only ? " with objects" : ""));
  std::unordered_map<std::string, std::size_t> names;
  for (entry const& e : images_) {
    auto const which = name + ": the file_name of image " + std::to_string(e.image.id);
    try {
      ids_.push_back(cambium::id_of_file(e.image.file_name));
    } catch (io_error const& reason) {
      throw io_error(which + " " + reason.what());
    }
    if (auto const [other, fresh] = names.try_emplace(ids_.back(), ids_.size() - 1); !fresh)
      throw io_error(which + " is '" + e.image.file_name + "', and that of image " +
                     std::to_string(images_[other->second].image.id) + " '" + images_[other->second].image.file_name +
                     "': both would be '" + ids_.back() + "' without their endings, and their labels one file");
  }
}

bool coco_set::ignores(coco_annotation const& a) const
{
  return a.iscrowd && options_.crowds == cambium::crowds::ignore;
}

coco_set::entry const& coco_set::at(std::size_t i) const
{
  expects(i < images_.size(), "coco_set: image ", i, " of ", images_.size());
  return images_[i];
}

std::int32_t coco_set::class_of(std::int64_t category_id) const
{
  auto const found = std::lower_bound(category_ids_.begin(), category_ids_.end(), category_id);
  return static_cast<std::int32_t>(found - category_ids_.begin());
}

std::string coco_set::id(std::size_t i) const
{
  static_cast<void>(at(i));
  return ids_[i];
}

std::uint64_t coco_set::weak_labels() const
{
  fingerprint out;
  for (auto const& a : annotations_) {
    out.add(a.image_id).add(a.category_id).add(ignores(a));
    for (double const v : a.bbox) out.add(v);
    if (!ignores(a)) continue;  // of the others masks are the truth
    if (auto const* const runs = std::get_if<cambium::rle>(&a.segmentation))
      out.add(runs->counts.data(), runs->counts.size() * sizeof runs->counts[0]);
    else if (auto const* const parts = std::get_if<cambium::coco_polygons>(&a.segmentation))
      for (auto const& xy : *parts) out.add(xy.data(), xy.size() * sizeof xy[0]);
  }
  return out.value();
}

std::int64_t coco_set::category_id(std::int32_t category) const
{
  expects(category >= 0 && category < static_cast<std::int32_t>(category_ids_.size()), "coco_set: class ", category,
          " is outside 0..", static_cast<index_t>(category_ids_.size()) - 1);
  return category_ids_[static_cast<std::size_t>(category)];
}

weak_image coco_set::load(std::size_t i) const
{
  entry const& e = at(i);
  fs::path const file = options_.photographs / e.image.file_name;
  weak_image out;
  out.id = id(i);
  out.photograph = cambium::read_photograph(file);
  index_t const H = out.photograph.shape()[0], W = out.photograph.shape()[1];
  if (H != e.image.height || W != e.image.width)
    throw io_error(file.string() + ": is " + std::to_string(H) + " x " + std::to_string(W) + " pixels, but " +
                   options_.annotations.string() + " says " + std::to_string(e.image.height) + " x " +
                   std::to_string(e.image.width) + cambium::turned_hint({H, W}, {e.image.height, e.image.width}));
  for (std::size_t const k : e.annotations) {
    coco_annotation const& a = annotations_[k];
    auto& tags = ignores(a) ? out.unsure_tags : out.tags;
    tags.push_back(class_of(a.category_id));
    if (!a.box_error.empty() && !(ignores(a) && a.has_mask())) {
      if (out.lost_box.empty()) out.lost_box = options_.annotations.string() + ": " + a.box_error;
    } else if (!ignores(a)) {
      out.boxes.push_back({whole_pixels(a.bbox, H, W), class_of(a.category_id)});
    }
  }
  for (auto* const tags : {&out.tags, &out.unsure_tags}) {
    std::sort(tags->begin(), tags->end());
    tags->erase(std::unique(tags->begin(), tags->end()), tags->end());
  }
  std::erase_if(out.unsure_tags, [&](auto t) { return std::binary_search(out.tags.begin(), out.tags.end(), t); });
  out.ignored = crowds_of(e);
  return out;
}

grid<std::uint8_t, 2> coco_set::crowds_of(entry const& e) const
{
  grid<std::uint8_t, 2> out;
  for (std::size_t const k : e.annotations) {
    coco_annotation const& a = annotations_[k];
    if (!ignores(a) || !(a.has_mask() || a.box_error.empty())) continue;
    if (out.size() == 0) out = grid<std::uint8_t, 2>(e.image.height, e.image.width);
    cambium::mark_region(out, a);
  }
  return out;
}

bool coco_set::has_truth(std::size_t i) const
{
  auto const& of = at(i).annotations;
  return std::all_of(of.begin(), of.end(),
                     [this](std::size_t k) { return ignores(annotations_[k]) || annotations_[k].has_mask(); });
}

cambium::instances<> coco_set::truth(std::size_t i) const
{
  entry const& e = at(i);
  extent2 const size{e.image.height, e.image.width};
  grid<std::int32_t, 2> drawn(size.height, size.width);
  std::vector<std::int32_t> category;
  for (std::size_t const k : e.annotations) {
    coco_annotation const& a = annotations_[k];
    if (ignores(a)) continue;
    if (!a.has_mask())
      throw io_error(options_.annotations.string() + ": annotation " + std::to_string(a.id) + " of image " +
                     e.image.file_name + " has no mask: its segmentation is missing or empty, and a box is no truth");
    auto const mask = cambium::decode_rle(cambium::mask_of(a, size));
    category.push_back(class_of(a.category_id));
    for (index_t n = 0; n < mask.size(); ++n)
      if (mask.data()[n] != 0) drawn.data()[n] = static_cast<std::int32_t>(category.size());
  }
  // What is wholly covered leaves no number behind.
  std::vector<std::int32_t> number(category.size() + 1);
  for (std::int32_t const v : drawn.cells()) number[static_cast<std::size_t>(v)] = 1;
  cambium::instances<> out;
  number[0] = 0;
  for (std::size_t n = 1; n < number.size(); ++n)
    if (number[n] != 0) {
      out.found.push_back({.category = category[n - 1], .score = 1, .bounds = {size.height, size.width, 0, 0}});
      number[n] = static_cast<std::int32_t>(out.found.size());
    }
  for (index_t y = 0; y < size.height; ++y)
    for (index_t x = 0; x < size.width; ++x) {
      std::int32_t& v = drawn(y, x);
      v = number[static_cast<std::size_t>(v)];
      if (v == 0) continue;
      cambium::instance& o = out.found[static_cast<std::size_t>(v - 1)];
      ++o.area;
      o.bounds = {std::min(o.bounds.top, y), std::min(o.bounds.left, x), y + 1, std::max(o.bounds.right, x + 1)};
    }
  out.label = std::move(drawn);
  return out;
}

grid<std::uint8_t, 2> coco_set::ignored(std::size_t i) const
{
  auto out = crowds_of(at(i));
  if (out.size() == 0) return out;
  auto const objects = truth(i);
  for (index_t n = 0; n < out.size(); ++n)
    if (objects.label.data()[n] != 0) out.data()[n] = 0;
  return out;
}

}  // namespace trainer
