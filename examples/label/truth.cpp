#include "truth.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace labelling {

using namespace cambium;

grid<std::int32_t, 2> parse_truth(bytes const& content, std::string const& path, extent2 image, bool semantic)
{
  auto labels = to_labels(parse_png(content, path), path);
  if (labels.shape()[0] != image.height || labels.shape()[1] != image.width)
    throw io_error(path + ": the image is " + std::to_string(image.height) + " x " + std::to_string(image.width) +
                   ", so the truth cannot be " + std::to_string(labels.shape()[0]) + " x " +
                   std::to_string(labels.shape()[1]));
  for (auto const v : labels.cells())
    if (semantic && v > 255) throw io_error(path + ": a class is above 255");
  return labels;
}

image_result compare_instances(instances const& found, truth const& is, bool void_counts)
{
  std::map<std::int32_t, std::map<std::int32_t, index_t>> votes;
  for (std::size_t i = 0; i < is.instances.cells().size(); ++i) {
    auto const id = is.instances.cells()[i], category = is.semantic.cells()[i];
    if (id != 0 && id != label::ignore) votes[id][category == label::ignore ? 0 : category] += 1;
  }
  image_result out;
  std::map<std::int32_t, std::int32_t> number{{0, 0}, {label::ignore, -1}};
  for (auto const& [id, of_class] : votes) {
    auto const best = std::max_element(of_class.begin(), of_class.end(),
                                       [](auto const& a, auto const& b) { return a.second < b.second; });
    if (best->first != 0) out.truth.push_back(best->first);
    number[id] = best->first == 0 ? -1 : static_cast<std::int32_t>(out.truth.size());
  }
  auto map = is.instances;
  for (auto& v : map.cells()) {
    v = number[v];
    if (v < 0 && void_counts) v = 0;
  }
  for (auto const& one : found.found) {
    out.predicted.push_back(one.category + 1);
    out.score.push_back(static_cast<float>(one.score));
  }
  out.iou = label_iou(found.label, static_cast<index_t>(out.predicted.size()), map,
                      static_cast<index_t>(out.truth.size()), -1);
  // a prediction that lies wholly in the void overlaps nothing
  for (auto& v : out.iou.cells())
    if (std::isnan(v)) v = 0;
  return out;
}

json confusion_cells(confusion_matrix const& m)
{
  json cells = json::array();
  for (int t = 0; t < m.classes; ++t)
    for (int p = 0; p <= m.classes; ++p)
      if (m.at(t, p) > 0) cells.push_back({t, p, m.at(t, p)});
  return cells;
}

void add_confusion(confusion_matrix& to, json const& cells)
{
  for (auto const& cell : cells) {
    auto const t = cell.at(0).get<index_t>(), p = cell.at(1).get<index_t>();
    if (t < 0 || t >= to.classes || p < 0 || p > to.classes)
      throw io_error("a record's confusion of class " + std::to_string(t) + " and " + std::to_string(p) + " is none");
    to.at(static_cast<int>(t), static_cast<int>(p)) += cell.at(2).get<index_t>();
  }
}

json to_json(image_result const& r)
{
  return {{"predicted", r.predicted},
          {"scores", r.score},
          {"classes", r.truth},
          {"iou", std::vector<float>(r.iou.cells().begin(), r.iou.cells().end())}};
}

image_result image_result_from(json const& j)
{
  image_result r;
  r.predicted = j.at("predicted").get<std::vector<std::int32_t>>();
  r.score = j.at("scores").get<std::vector<float>>();
  r.truth = j.at("classes").get<std::vector<std::int32_t>>();
  auto const iou = j.at("iou").get<std::vector<float>>();
  if (r.score.size() != r.predicted.size() || iou.size() != r.predicted.size() * r.truth.size())
    throw io_error("a record's overlaps are not those of " + std::to_string(r.predicted.size()) + " by " +
                   std::to_string(r.truth.size()) + " objects");
  r.iou = grid<float, 2>(r.predicted.size(), r.truth.size());
  std::copy(iou.begin(), iou.end(), r.iou.data());
  return r;
}

}  // namespace labelling
