#include "method/scores.hpp"

#include <cambium/core/error.hpp>

#include <cmath>
#include <limits>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

namespace {

void expects_known(cambium::instances const& objects, std::int32_t classes, char const* whose)
{
  for (auto const& one : objects.found)
    expects(0 <= one.category && one.category < classes, "scoring: ", whose, " class ", one.category, " is outside 0..",
            classes - 1);
}

}  // namespace

void scoring::add_instances(cambium::instances const& found, cambium::instances const& truth)
{
  expects_known(found, classes_, "found");
  expects_known(truth, classes_, "true");
  cambium::image_result one;
  for (auto const& object : found.found) {
    one.predicted.push_back(object.category);
    one.score.push_back(static_cast<float>(object.score));
  }
  for (auto const& object : truth.found) one.truth.push_back(object.category);
  one.iou = cambium::label_iou(found.label, static_cast<index_t>(found.found.size()), truth.label,
                               static_cast<index_t>(truth.found.size()));
  for (auto& v : one.iou.cells())
    if (std::isnan(v)) v = 0;  // two masks without a pixel do not overlap
  images_.push_back(std::move(one));
}

void scoring::add_semantic(grid<std::int32_t, 2> const& found, cambium::instances const& truth)
{
  expects_known(truth, classes_, "true");
  accumulate(confusion_, found, semantic_of(truth));
}

scores scoring::result() const
{
  auto const ap = [&](double at) { return cambium::instance_ap(images_, at).mean; };
  double const miou = has_class(confusion_) ? cambium::mean_iou(confusion_) : std::numeric_limits<double>::quiet_NaN();
  return {miou, ap(0.25), ap(0.5), ap(0.7), ap(0.75)};
}

grid<std::int32_t, 2> semantic_of(cambium::instances const& objects)
{
  auto out = objects.label;
  for (auto& v : out.cells())
    if (v != 0) v = objects.found[static_cast<std::size_t>(v - 1)].category + 1;
  return out;
}

}  // namespace trainer
