#include "method/scores.hpp"

#include "data/dataset.hpp"

#include <cambium/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

namespace {

void expects_known(cambium::instances<> const& objects, std::int32_t classes, char const* whose)
{
  for (auto const& one : objects.found)
    expects(0 <= one.category && one.category < classes, "scoring: ", whose, " class ", one.category, " is outside 0..",
            classes - 1);
}

}  // namespace

nlohmann::json json_of(scores const& s)
{
  auto const number = [](double v) { return std::isnan(v) ? nlohmann::json() : nlohmann::json(v); };
  return {{"miou", number(s.miou)},
          {"ap25", number(s.ap25)},
          {"ap50", number(s.ap50)},
          {"ap70", number(s.ap70)},
          {"ap75", number(s.ap75)}};
}

void scoring::add_instances(cambium::instances<> const& found, cambium::instances<> const& truth,
                            grid<std::uint8_t, 2> const& ignored)
{
  expects_known(found, classes_, "found");
  expects_known(truth, classes_, "true");
  auto is = truth.label;
  mark_unknown(is, ignored, "scoring");
  auto const P = found.found.size(), T = truth.found.size();
  auto iou = cambium::label_iou(found.label, static_cast<index_t>(P), is, static_cast<index_t>(T));
  for (auto& v : iou.cells())
    if (std::isnan(v)) v = 0;  // two masks without a pixel do not overlap
  std::vector<index_t> area(P + 1), unknown(P + 1);
  for (index_t n = 0; ignored.size() > 0 && n < is.size(); ++n) {
    auto const at = static_cast<std::size_t>(found.label.data()[n]);
    ++area[at], unknown[at] += is.data()[n] < 0;
  }
  cambium::image_result one;
  std::vector<index_t> kept;
  for (std::size_t p = 0; p < P; ++p) {
    float best = 0;
    for (std::size_t t = 0; t < T; ++t) best = std::max(best, iou(p, t));
    if (area[p + 1] > 0 && 2 * unknown[p + 1] >= area[p + 1] && best < 0.25f) continue;
    kept.push_back(static_cast<index_t>(p));
    one.predicted.push_back(found.found[p].category);
    one.score.push_back(static_cast<float>(found.found[p].score));
  }
  for (auto const& object : truth.found) one.truth.push_back(object.category);
  one.iou = grid<float, 2>(kept.size(), T);
  for (std::size_t k = 0; k < kept.size(); ++k)
    for (std::size_t t = 0; t < T; ++t) one.iou(k, t) = iou(kept[k], t);
  images_.push_back(std::move(one));
}

void scoring::add_semantic(grid<std::int32_t, 2> const& found, cambium::instances<> const& truth,
                           grid<std::uint8_t, 2> const& ignored)
{
  expects_known(truth, classes_, "true");
  auto is = semantic_of(truth);
  mark_unknown(is, ignored, "scoring");
  accumulate(confusion_, found, is);
}

scores scoring::result() const
{
  auto const ap = [&](double at) { return cambium::instance_ap(images_, at).mean; };
  double const miou = has_class(confusion_) ? cambium::mean_iou(confusion_) : std::numeric_limits<double>::quiet_NaN();
  return {miou, ap(0.25), ap(0.5), ap(0.7), ap(0.75)};
}

grid<std::int32_t, 2> semantic_of(cambium::instances<> const& objects)
{
  auto out = objects.label;
  for (auto& v : out.cells())
    if (v != 0) v = objects.found[static_cast<std::size_t>(v - 1)].category + 1;
  return out;
}

}  // namespace trainer
