#include "one_image.hpp"

#include "image_files.hpp"
#include "overlay.hpp"
#include "truth.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/rle.hpp>
#include <cambium/metric/confusion.hpp>

#include <algorithm>
#include <filesystem>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

namespace {

truth read_truth(image_files& files, extent2 image)
{
  truth is;
  auto const read = [&](std::string const& name, bool semantic) {
    return parse_truth(files.file(name), files.path(name), image, semantic);
  };
  if (files.has("truth_semantic")) is.semantic = read("truth_semantic", true);
  if (!files.of().how->knows_classes())
    for (auto& c : is.semantic.cells())
      if (c != label::background && c != label::ignore) c = 1;
  if (files.has("truth_instances")) is.instances = read("truth_instances", false);
  return is;
}

/// Everything that scores need from this image, so that they can be summed over images later.
json compare_with_truth(settings const& s, answer const& labels, truth const& is)
{
  auto const compare = [&](grid<std::int32_t, 2> const& predicted) {
    confusion_matrix m(256);
    accumulate(m, predicted, is.semantic);
    return confusion_cells(m);
  };
  json out{{"confusion", compare(labels.semantic)}};
  if (is_void_only(is.semantic)) out["void_only"] = true;
  if (labels.baseline.size() > 0) out["cam_confusion"] = compare(labels.baseline);
  if (has_void_instances_only(is)) out["void_only_instances"] = true;
  if (is.instances.size() > 0) {
    std::size_t without_class = 0;
    out.update(to_json(compare_instances(labels.objects, is, s.void_counts, &without_class)));
    if (without_class > 0) out["instances_without_class"] = without_class;
  }
  return out;
}

/// What the method says. A complaint about values, such as CAMs too large for a walk, gets the name of a file.
answer label_with(settings const& s, cpu const& where, image_files& files)
{
  try {
    return s.how->label(where, files);
  } catch (precondition_error const& e) {
    auto const inputs = s.how->inputs();
    auto const first = std::find_if(inputs.begin(), inputs.end(), [&](auto const& i) { return files.has(i.name); });
    throw io_error((first == inputs.end() ? files.id() : files.path(first->name)) + ": " + e.what());
  }
}

}  // namespace

labelled_image label_image(settings const& s, image_set const& set, std::string const& id, image_source const& from,
                           cpu const& where)
{
  if (!is_utf8(id)) throw io_error(from.path(inputs_of(s).front()) + ": the name is not UTF-8");
  image_files files(s, set, id, from);
  auto labels = label_with(s, where, files);
  extent2 const image{labels.semantic.shape()[0], labels.semantic.shape()[1]};
  auto const is = read_truth(files, image);
  auto const& found = labels.objects.found;
  demand(found.size() <= 65535, id, std::to_string(found.size()) + " instances; a 16-bit PNG holds 65535");

  labelled_image out{id, {}, {}};
  json& record = out.record;
  record = {{"id", id},
            {"fingerprint", fingerprint(s)},
            {"height", image.height},
            {"width", image.width},
            {"classes", labels.classes},
            {"tags", tags_of(set, id)},
            {"inputs", files.hashes()}};
  auto const put = [&](std::string const& name, bytes content) {
    record["outputs"][name] = hash(content);
    out.files.emplace_back(name, std::move(content));
  };
  static auto const palette = voc_palette();
  put("semantic/" + id + ".png", format_labels(labels.semantic, palette));
  put("instances/" + id + ".png", format_ids(labels.objects.label));
  for (auto& [name, content] : labels.files) put(name, std::move(content));
  record.update(labels.about);
  if (s.overlay) put("overlay/" + id + ".jpg", format_jpeg(draw_instances(files.photograph(), labels.objects)));

  auto const categories = s.how->categories();
  auto const category_id = [&](std::int32_t category) {
    return categories.empty() ? category + 1 : categories.at(static_cast<std::size_t>(category)).id;
  };
  record["detections"] = json::array();
  for (std::size_t i = 0; i < found.size(); ++i) {
    box const& b = found[i].bounds;
    auto const mask = encode_rle(
        image, b, [&](index_t y, index_t x) { return labels.objects.label(y, x) == static_cast<std::int32_t>(i + 1); });
    record["detections"].push_back(
        {{"instance", i + 1},
         {"category_id", category_id(found[i].category)},
         {"score", found[i].score},
         {"area", found[i].area},
         {"bbox", {b.left, b.top, b.right - b.left, b.bottom - b.top}},
         {"segmentation", {{"size", {image.height, image.width}}, {"counts", compressed_counts(mask)}}}});
  }
  if (s.scored()) record["truth"] = compare_with_truth(s, labels, is);
  return out;
}

void write_image(settings const& s, labelled_image const& image)
{
  std::string const record = image.record.dump() + "\n";
  auto const earlier = any_record(s, image.id);
  for (auto const& [name, content] : image.files) replace_file(fs::path(s.out) / name, content);
  if (earlier) remove_recorded(s, *earlier, image.record.at("outputs"));  // outputs of other flags
  replace_file(record_path(s, image.id), record);
}

}  // namespace labelling
