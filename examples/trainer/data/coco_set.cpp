#include "data/coco_set.hpp"

#include "data/fingerprint.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
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

/// The whole pixels that a box of fractions touches, on the photograph.
cambium::box whole_pixels(std::array<double, 4> const& b, index_t H, index_t W)
{
  auto const clamped = [](double v, index_t most) {
    return static_cast<index_t>(std::clamp(v, 0.0, static_cast<double>(most)));
  };
  return cambium::clipped({clamped(std::floor(b[1]), H), clamped(std::floor(b[0]), W),
                           clamped(std::ceil(b[1] + b[3]), H), clamped(std::ceil(b[0] + b[2]), W)},
                          H, W);
}

}  // namespace

coco_set::coco_set(coco_set_options options) : options_(std::move(options))
{
  if (!fs::is_directory(options_.photographs))
    throw io_error(options_.photographs.string() + ": there is no such folder");
  auto set = cambium::read_coco(options_.annotations);
  std::string const name = options_.annotations.string();
  if (set.categories.empty()) throw io_error(name + ": has no category");
  std::sort(set.categories.begin(), set.categories.end(), [](auto const& a, auto const& b) { return a.id < b.id; });
  for (auto& c : set.categories) {
    category_ids_.push_back(c.id);
    names_.push_back(std::move(c.name));
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
                         [this](std::size_t k) { return annotations_[k].iscrowd; });
    };
    images_.erase(std::remove_if(images_.begin(), images_.end(), nothing), images_.end());
  }
  if (images_.empty()) throw io_error(name + ": has no image" + (options_.with_objects_only ? " with objects" : ""));
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

std::string coco_set::id(std::size_t i) const { return fs::path(at(i).image.file_name).stem().string(); }

std::uint64_t coco_set::weak_labels() const
{
  fingerprint out;
  for (auto const& a : annotations_) {
    out.add(a.image_id).add(a.category_id).add(a.iscrowd);
    for (double const v : a.bbox) out.add(v);
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
  out.photograph = file.extension() == ".png" ? cambium::to_photograph(cambium::read_png(file), file.string())
                                              : cambium::read_jpeg(file);
  index_t const H = out.photograph.shape()[0], W = out.photograph.shape()[1];
  if (H != e.image.height || W != e.image.width)
    throw io_error(file.string() + ": is " + std::to_string(H) + " x " + std::to_string(W) + " pixels, but " +
                   options_.annotations.string() + " says " + std::to_string(e.image.height) + " x " +
                   std::to_string(e.image.width));
  for (std::size_t const k : e.annotations) {
    coco_annotation const& a = annotations_[k];
    if (a.iscrowd) continue;
    out.tags.push_back(class_of(a.category_id));
    cambium::box const b = whole_pixels(a.bbox, H, W);
    if (b.top < b.bottom && b.left < b.right) out.boxes.push_back({b, class_of(a.category_id)});
  }
  std::sort(out.tags.begin(), out.tags.end());
  out.tags.erase(std::unique(out.tags.begin(), out.tags.end()), out.tags.end());
  return out;
}

cambium::instances coco_set::truth(std::size_t i) const
{
  entry const& e = at(i);
  extent2 const size{e.image.height, e.image.width};
  grid<std::int32_t, 2> drawn(size.height, size.width);
  std::vector<std::int32_t> category;
  for (std::size_t const k : e.annotations) {
    coco_annotation const& a = annotations_[k];
    if (a.iscrowd) continue;
    if (std::holds_alternative<std::monostate>(a.segmentation))
      throw io_error(options_.annotations.string() + ": annotation " + std::to_string(a.id) + " has no mask");
    auto const mask = cambium::decode_rle(cambium::mask_of(a, size));
    category.push_back(class_of(a.category_id));
    for (index_t n = 0; n < mask.size(); ++n)
      if (mask.data()[n] != 0) drawn.data()[n] = static_cast<std::int32_t>(category.size());
  }
  // What is wholly covered leaves no number behind.
  std::vector<std::int32_t> number(category.size() + 1);
  for (std::int32_t const v : drawn.cells()) number[static_cast<std::size_t>(v)] = 1;
  cambium::instances out;
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

grid<std::uint8_t, 2> coco_set::crowd(std::size_t i) const
{
  entry const& e = at(i);
  extent2 const size{e.image.height, e.image.width};
  grid<std::uint8_t, 2> out(size.height, size.width);
  for (std::size_t const k : e.annotations) {
    if (!annotations_[k].iscrowd || std::holds_alternative<std::monostate>(annotations_[k].segmentation)) continue;
    auto const mask = cambium::decode_rle(cambium::mask_of(annotations_[k], size));
    for (index_t n = 0; n < mask.size(); ++n) out.data()[n] |= mask.data()[n];
  }
  return out;
}

}  // namespace trainer
