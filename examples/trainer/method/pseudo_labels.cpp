#include "method/pseudo_labels.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/rle.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

namespace trainer {

using cambium::box;
using cambium::expects;
using cambium::index_t;

pseudo_labels::pseudo_labels(std::vector<std::string> const& class_names, pseudo_label_options options)
    : options_(std::move(options)), classes_(static_cast<std::int32_t>(class_names.size()))
{
  expects(!class_names.empty(), "pseudo_labels: there is no class");
  expects(std::isfinite(options_.least_score), "pseudo_labels: least_score is ", options_.least_score);
  auto& ids = options_.category_ids;
  expects(ids.empty() || ids.size() == class_names.size(), "pseudo_labels: ", ids.size(), " category ids for ",
          class_names.size(), " classes");
  if (ids.empty())
    for (std::size_t c = 0; c < class_names.size(); ++c) ids.push_back(static_cast<std::int64_t>(c) + 1);
  expects(std::set<std::int64_t>(ids.begin(), ids.end()).size() == ids.size(),
          "pseudo_labels: a category id occurs twice");
  std::set<std::string> seen;
  for (std::string const& name : class_names) {
    expects(!name.empty(), "pseudo_labels: a class has no name");
    expects(seen.insert(name).second, "pseudo_labels: the class ", name, " occurs twice");
    set_.categories.push_back({ids[set_.categories.size()], name, ""});
  }
}

void pseudo_labels::add(std::string const& file_name, cambium::instances<> const& found, std::int64_t image_id)
{
  expects(!file_name.empty(), "pseudo_labels: image ", set_.images.size(), " has no file name");
  auto const fail = [&](auto const&... parts) { expects(false, "pseudo_labels: ", file_name, ": ", parts...); };
  index_t const H = found.label.shape()[0], W = found.label.shape()[1];
  if (H < 1 || W < 1) fail("its label map is ", H, " x ", W);
  if (image_id < 0) fail("its id is ", image_id);
  if (image_id == 0) image_id = place_.empty() ? 1 : place_.rbegin()->first + 1;
  if (auto const taken = place_.find(image_id); taken != place_.end())
    fail("its id ", image_id, " is that of ", set_.images[taken->second].file_name);

  // Areas and boxes of the pixels, whatever `found` says: these are what the masks will be.
  std::vector<box> bounds(found.found.size(), {H, W, 0, 0});
  std::vector<index_t> area(found.found.size());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      std::int32_t const v = found.label(y, x);
      if (v < 0 || v > static_cast<std::int32_t>(found.found.size()))
        fail("its label at row ", y, ", column ", x, " is ", v, " of ", found.found.size(), " instances");
      if (v == 0) continue;
      auto const k = static_cast<std::size_t>(v - 1);
      ++area[k];
      bounds[k] = {std::min(bounds[k].top, y), std::min(bounds[k].left, x), y + 1, std::max(bounds[k].right, x + 1)};
    }
  std::vector<cambium::coco_annotation> annotations;
  std::vector<double> scores;
  for (std::size_t k = 0; k < found.found.size(); ++k) {
    auto const& o = found.found[k];
    if (o.category < 0 || o.category >= classes_)
      fail("instance ", k, " is of class ", o.category, ", outside 0..", classes_ - 1);
    if (!std::isfinite(o.score)) fail("the score of instance ", k, " is ", o.score);
    if (area[k] == 0 || area[k] < options_.least_area || o.score < options_.least_score) continue;
    auto mask = cambium::encode_rle(
        {H, W}, bounds[k], [&](index_t y, index_t x) { return found.label(y, x) == static_cast<std::int32_t>(k + 1); });
    annotations.push_back(
        cambium::annotate(image_id, options_.category_ids[static_cast<std::size_t>(o.category)], std::move(mask)));
    annotations.back().id = static_cast<std::int64_t>(set_.annotations.size() + annotations.size());
    scores.push_back(o.score);
  }
  place_.emplace(image_id, set_.images.size());
  set_.images.push_back({image_id, H, W, file_name});
  std::move(annotations.begin(), annotations.end(), std::back_inserter(set_.annotations));
  scores_.insert(scores_.end(), scores.begin(), scores.end());
}

void pseudo_labels::write_dataset(std::filesystem::path const& path) const { cambium::write_coco(path, set_); }

void pseudo_labels::write_results(std::filesystem::path const& path) const
{
  std::vector<cambium::coco_result> results;
  for (std::size_t k = 0; k < set_.annotations.size(); ++k) {
    auto const& a = set_.annotations[k];
    results.push_back({a.image_id, a.category_id, std::get<cambium::rle>(a.segmentation), scores_[k]});
  }
  cambium::write_coco_results(path, results);
}

void write_pseudo_labels_as_coco(std::filesystem::path const& path, std::vector<labelled_file> const& images,
                                 std::vector<cambium::instances<>> const& found,
                                 std::vector<std::string> const& class_names, pseudo_label_options options)
{
  expects(images.size() == found.size(), "write_pseudo_labels_as_coco: ", images.size(), " images but instances of ",
          found.size());
  pseudo_labels all(class_names, options);
  for (std::size_t i = 0; i < images.size(); ++i) all.add(images[i].file_name, found[i], images[i].id);
  all.write_dataset(path);
}

}  // namespace trainer
