#include "truth.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>

namespace labelling {

using namespace cambium;

grid<std::int32_t, 2> parse_truth(bytes const& content, std::string const& path, extent2 image, bool semantic)
{
  auto labels = semantic ? parse_label_map(content, path) : parse_instance_map(content, path);
  extent2 const size{labels.shape()[0], labels.shape()[1]};
  if (size != image)
    throw io_error(path + ": the image is " + std::to_string(image.height) + " x " + std::to_string(image.width) +
                   ", so the truth cannot be " + std::to_string(size.height) + " x " + std::to_string(size.width) +
                   turned_hint(size, image));
  if (semantic && std::any_of(labels.cells().begin(), labels.cells().end(), [](auto v) { return v > 255; })) {
    auto const hint = label_map_hint(labels, 254);
    throw io_error(path + ": a class is above 255" + (hint.empty() ? "; is this a map of instances?" : hint));
  }
  return labels;
}

void expects_objects_in_truth(std::vector<std::string> const& ids, std::string const& path_template, bool semantic)
{
  if (path_template.empty()) return;
  std::string first, hint;
  std::size_t maps = 0;
  for (auto const& id : ids) {
    std::string const path = fill(path_template, id);
    try {
      auto const content = read_file(path);
      auto const labels = semantic ? parse_label_map(content, path) : parse_instance_map(content, path);
      if (semantic ? has_class(labels)
                   : std::any_of(labels.cells().begin(), labels.cells().end(), [](auto v) { return v > 0; }))
        return;
      auto const now = label_map_hint(labels, 254);
      if (maps++ == 0 || (hint.empty() && !now.empty())) first = path, hint = now;
    } catch (io_error const&) {
      // its image will say so
    }
  }
  if (maps == 0) return;
  throw usage_error(first + ": the truth has no pixel of any " + (semantic ? "class" : "instance") +
                    (maps > 1 ? ", here and in all " + std::to_string(maps) + " maps" : "") + hint);
}

image_result compare_instances(instances<> const& found, truth const& is, bool void_counts, std::size_t* without_class)
{
  std::map<std::int32_t, std::map<std::int32_t, index_t>> votes;
  for_each_pair_run(is.instances.view(), is.semantic.view(), [&](index_t y, index_t x, index_t cells) {
    auto const id = is.instances(y, x), category = is.semantic(y, x);
    if (id > 0) votes[id][category == label::ignore ? 0 : category] += cells;
  });
  image_result out;
  std::map<std::int32_t, std::int32_t> number{{0, 0}, {-1, -1}};
  for (auto const& [id, of_class] : votes) {
    auto const best = std::max_element(of_class.begin(), of_class.end(),
                                       [](auto const& a, auto const& b) { return a.second < b.second; });
    if (best->first != 0) out.truth.push_back(best->first);
    number[id] = best->first == 0 ? -1 : static_cast<std::int32_t>(out.truth.size());
  }
  if (without_class != nullptr) *without_class = votes.size() - out.truth.size();
  auto map = is.instances;
  std::int32_t last = 0, becomes = 0;
  for (auto& v : map.cells()) {
    if (v != last) last = v, becomes = number[v] < 0 && void_counts ? 0 : number[v];
    v = becomes;
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

bool is_void_only(grid<std::int32_t, 2> const& semantic)
{
  auto const& cells = semantic.cells();
  return !has_class(semantic) && std::find(cells.begin(), cells.end(), label::ignore) != cells.end();
}

bool has_void_instances_only(truth const& is)
{
  auto const& cells = is.instances.cells();
  return has_class(is.semantic) && std::find(cells.begin(), cells.end(), -1) != cells.end() &&
         std::none_of(cells.begin(), cells.end(), [](auto v) { return v > 0; });
}

void odd_count::add(std::string const& id, std::size_t many)
{
  if (many == 0) return;
  if (images++ == 0 || id < first) first = id;
  things += many;
}

std::vector<std::string> odd_truth::notes(confusion_matrix const& confusion, std::size_t images) const
{
  std::vector<std::string> out;
  if (images > 0 && !has_class(confusion))
    out.push_back("the truth of the images that were scored has no pixel of any class: there is no mIoU");
  if (void_only.images > 0)
    out.push_back("the truth of " + std::to_string(void_only.images) + " of " + std::to_string(images) +
                  " images has no pixel of any class, only 0 and 255 (" + void_only.first +
                  "): as a binary mask it would need the class instead of 255, which is void");
  if (void_only_instances.images > 0)
    out.push_back("the true instances of " + std::to_string(void_only_instances.images) + " of " +
                  std::to_string(images) + " images are none, only 0 and 255 (" + void_only_instances.first +
                  "): as a binary mask it would need the object's number instead of 255, which is void");
  if (without_class.images > 0)
    out.push_back(std::to_string(without_class.things) + " true instances of " + std::to_string(without_class.images) +
                  " of " + std::to_string(images) + " images lie mostly on background or void of the true classes (" +
                  without_class.first + "): they do not count");
  std::set<std::int32_t> all, others;
  for (int t = 1; t < confusion.classes; ++t)
    for (int p = 0; p <= confusion.classes; ++p)
      if (confusion.at(t, p) > 0) all.insert(t);
  std::set_difference(all.begin(), all.end(), looked_for.begin(), looked_for.end(),
                      std::inserter(others, others.end()));
  if (others.empty()) return out;
  std::string text;
  std::size_t told = 0;
  for (auto const c : others) {
    if (++told > 10) break;
    text += (text.empty() ? "" : ", ") + std::to_string(c);
  }
  out.push_back("the truth has classes that were not looked for (" + text + (told > 10 ? ", ..." : "") + ")" +
                label_map_hint(all, looked_for.empty() ? 0 : *looked_for.rbegin()));
  return out;
}

std::string percent(double fraction)
{
  char text[16];
  std::snprintf(text, sizeof text, "%6.2f", 100 * fraction);
  return std::isnan(fraction) ? "     -" : text;
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
