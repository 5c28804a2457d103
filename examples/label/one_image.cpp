#include "one_image.hpp"

#include "overlay.hpp"

#include <cambium/activation/background.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace labelling {

using namespace cambium;
namespace fs = std::filesystem;

namespace {

/// Reads files and remembers their hashes.
class reader {
 public:
  explicit reader(image_input& into) : into_(into) {}

  bytes file(std::string const& name, std::string const& path)
  {
    auto content = read_file(path);
    into_.hashes[name] = hash(content);
    return content;
  }

  /// A float array; leading axes of extent 1 beyond the rank are dropped.
  template <int Rank>
  grid<float, Rank> maps(std::string const& name, std::string const& path)
  {
    auto array = parse_npy(file(name, path), path);
    while (array.shape.size() > Rank && array.shape[0] == 1) array.shape.erase(array.shape.begin());
    return to_grid<float, Rank>(array, path);
  }

 private:
  image_input& into_;
};

std::string shape_text(std::initializer_list<index_t> extents)
{
  std::string text = "[";
  for (index_t const e : extents) text += (text.size() > 1 ? "," : "") + std::to_string(e);
  return text + "]";
}

void demand(bool holds, std::string const& path, std::string const& reason)
{
  if (!holds) throw io_error(path + ": " + reason);
}

/// Names the first value that is NaN, infinite, or outside the range, and its place.
template <int Rank>
void demand_range(grid<float, Rank> const& g, float low, float high, std::string const& path, std::string const& what)
{
  try {
    expects_inside(cpu{.threads = 1}, g.view(), low, high, "value", what.c_str());
  } catch (precondition_error const& e) {
    throw io_error(path + ": " + e.what());
  }
}

grid<std::uint8_t, 3> decode_photograph(bytes const& content, std::string const& path)
{
  if (content.size() > 8 && content[0] == 0x89 && content[1] == 'P')
    return to_photograph(parse_png(content, path), path);
  demand(content.empty() || content[0] == 0xFF, path, "is neither a JPEG nor a PNG file");
  return parse_jpeg(content, path);
}

}  // namespace

irnet_input<float> image_input::maps() const
{
  irnet_input<float> in;
  in.cams = cams.view();
  for (int const label : classes) in.keys.push_back(label - 1);
  in.boundary = boundary.view();
  if (displacement.size() > 0) in.displacement = displacement.view();
  in.image = {photograph.shape()[0], photograph.shape()[1]};
  return in;
}

image_input read_input(settings const& s, image_set const& set, std::string const& id)
{
  constexpr float least = std::numeric_limits<float>::lowest(), most = std::numeric_limits<float>::max();
  image_input in;
  reader read(in);
  std::string const image_path = fill(s.images, id), cam_path = fill(s.cams, id),
                    boundary_path = fill(s.boundaries, id);

  in.photograph = decode_photograph(read.file("image", image_path), image_path);
  index_t const H = in.photograph.shape()[0], W = in.photograph.shape()[1], h = (H - 1) / 4 + 1, w = (W - 1) / 4 + 1;
  std::string const size = "the image is " + std::to_string(H) + " x " + std::to_string(W) + ", so ";

  in.cams = read.maps<3>("cam", cam_path);
  index_t const C = in.cams.shape()[0];
  demand(in.cams.shape()[1] == h && in.cams.shape()[2] == w, cam_path,
         size + "[C," + shape_text({h, w}).substr(1) + " is needed; it holds " +
             shape_text({C, in.cams.shape()[1], in.cams.shape()[2]}));
  demand_range(in.cams, least, most, cam_path, "a finite number");
  in.classes = set.classes(id, C, s.tags);
  demand(C <= 254, cam_path, std::to_string(C) + " channels; labels end at 254");

  in.boundary = read.maps<2>("boundary", boundary_path);
  demand(in.boundary.shape()[0] == h && in.boundary.shape()[1] == w, boundary_path,
         size + shape_text({h, w}) + " is needed; it holds " +
             shape_text({in.boundary.shape()[0], in.boundary.shape()[1]}));
  demand_range(in.boundary, 0, 1, boundary_path, "a boundary in [0,1]");
  for (float& v : in.boundary.cells()) v = std::min(1.f, v * static_cast<float>(s.boundary_scale));

  if (!s.displacements.empty()) {
    std::string const path = fill(s.displacements, id);
    in.displacement = read.maps<3>("displacement", path);
    auto const& got = in.displacement.shape();
    demand(got[0] == 2 && got[1] == h && got[2] == w, path,
           size + shape_text({2, h, w}) + " is needed; it holds " + shape_text({got[0], got[1], got[2]}));
    demand_range(in.displacement, least, most, path, "a finite number");
  }
  auto const truth = [&](std::string const& name, std::string const& path_template) {
    std::string const path = fill(path_template, id);
    auto labels = to_labels(parse_png(read.file(name, path), path), path);
    demand(
        labels.shape()[0] == H && labels.shape()[1] == W, path,
        size + "the truth cannot be " + std::to_string(labels.shape()[0]) + " x " + std::to_string(labels.shape()[1]));
    for (auto const v : labels.cells()) demand(name != "truth_semantic" || v <= 255, path, "a class is above 255");
    return labels;
  };
  if (!s.truth_semantic.empty()) in.true_semantic = truth("truth_semantic", s.truth_semantic);
  if (!s.truth_instances.empty()) in.true_instances = truth("truth_instances", s.truth_instances);
  return in;
}

namespace {

json confusion_cells(confusion_matrix const& m)
{
  json cells = json::array();
  for (int t = 0; t < m.classes; ++t)
    for (int p = 0; p <= m.classes; ++p)
      if (m.at(t, p) > 0) cells.push_back({t, p, m.at(t, p)});
  return cells;
}

/// What the CAMs alone say: the class of the largest one above the threshold.
grid<std::int32_t, 2> cam_labels(cpu const& where, settings const& s, image_input const& in)
{
  extent2 const image{in.photograph.shape()[0], in.photograph.shape()[1]};
  auto const chosen = assign(where, in.cams, {}, image, {.background = s.cam_eval_thres});
  std::vector<std::int32_t> label{0};
  label.insert(label.end(), in.classes.begin(), in.classes.end());
  return relabel(where, chosen.channel, label);
}

/// Everything that scores need from this image, so that they can be summed over images later.
json compare_with_truth(cpu const& where, settings const& s, image_input const& in, irnet_labels const& labels)
{
  json out;
  confusion_matrix walk(256), cam(256);
  accumulate(walk, labels.semantic, in.true_semantic);
  accumulate(cam, cam_labels(where, s, in), in.true_semantic);
  out["confusion"] = confusion_cells(walk);
  out["cam_confusion"] = confusion_cells(cam);
  if (in.true_instances.size() == 0) return out;

  // The class of a true instance is that of most of its pixels. Instances without one are void.
  std::map<std::int32_t, std::map<std::int32_t, index_t>> votes;
  for (std::size_t i = 0; i < in.true_instances.cells().size(); ++i) {
    auto const id = in.true_instances.cells()[i], category = in.true_semantic.cells()[i];
    if (id != 0 && id != label::ignore) votes[id][category == label::ignore ? 0 : category] += 1;
  }
  std::map<std::int32_t, std::int32_t> number{{0, 0}, {label::ignore, -1}};
  std::vector<std::int32_t> classes;
  for (auto const& [id, of_class] : votes) {
    auto const best = std::max_element(of_class.begin(), of_class.end(),
                                       [](auto const& a, auto const& b) { return a.second < b.second; });
    if (best->first != 0) classes.push_back(best->first);
    number[id] = best->first == 0 ? -1 : static_cast<std::int32_t>(classes.size());
  }
  auto truth = in.true_instances;
  for (auto& v : truth.cells()) {
    v = number[v];
    if (v < 0 && s.void_counts) v = 0;
  }
  std::vector<std::int32_t> predicted;
  std::vector<double> scores;
  for (auto const& found : labels.objects.found) {
    predicted.push_back(found.category + 1);
    scores.push_back(found.score);
  }
  auto const iou = label_iou(labels.objects.label, static_cast<index_t>(predicted.size()), truth,
                             static_cast<index_t>(classes.size()), -1);
  out["predicted"] = predicted;
  out["scores"] = scores;
  out["classes"] = classes;
  out["iou"] = std::vector<double>(iou.cells().begin(), iou.cells().end());
  // a prediction that lies wholly in the void overlaps nothing
  for (auto& v : out["iou"])
    if (std::isnan(v.get<double>())) v = 0;
  return out;
}

}  // namespace

labelled_image label_image(settings const& s, image_set const& set, std::string const& id, cpu const& where)
{
  auto const in = read_input(s, set, id);
  auto const labels = irnet(where, in.maps(), s.irnet);
  extent2 const image{in.photograph.shape()[0], in.photograph.shape()[1]};
  auto const& found = labels.objects.found;
  demand(found.size() <= 65535, fill(s.cams, id),
         std::to_string(found.size()) + " instances; a 16-bit PNG holds 65535");

  labelled_image out{id, {}, {}};
  json& record = out.record;
  record = {{"id", id},
            {"fingerprint", fingerprint(s)},
            {"height", image.height},
            {"width", image.width},
            {"classes", in.classes},
            {"tags", tags_of(set, id)},
            {"inputs", in.hashes}};
  auto const put = [&](std::string const& name, bytes content) {
    record["outputs"][name] = hash(content);
    out.files.emplace_back(name, std::move(content));
  };
  static auto const palette = voc_palette();
  put("semantic/" + id + ".png", format_labels(labels.semantic, palette));
  put("instances/" + id + ".png", format_ids(labels.objects.label));
  if (s.overlay) put("overlay/" + id + ".jpg", format_jpeg(draw_instances(in.photograph, labels.objects)));

  record["detections"] = json::array();
  for (std::size_t i = 0; i < found.size(); ++i) {
    box const& b = found[i].bounds;
    auto const mask = encode_rle(
        image, b, [&](index_t y, index_t x) { return labels.objects.label(y, x) == static_cast<std::int32_t>(i + 1); });
    record["detections"].push_back(
        {{"instance", i + 1},
         {"category_id", found[i].category + 1},
         {"score", found[i].score},
         {"area", found[i].area},
         {"bbox", {b.left, b.top, b.right - b.left, b.bottom - b.top}},
         {"segmentation", {{"size", {image.height, image.width}}, {"counts", compressed_counts(mask)}}}});
  }
  if (s.scored()) record["truth"] = compare_with_truth(where, s, in, labels);
  return out;
}

void write_image(settings const& s, labelled_image const& image)
{
  for (auto const& [name, content] : image.files) replace_file(fs::path(s.out) / name, content);
  std::error_code ignored;
  if (!s.overlay) fs::remove(fs::path(s.out) / "overlay" / (image.id + ".jpg"), ignored);  // of other labels
  replace_file(record_path(s, image.id), image.record.dump() + "\n");
}

}  // namespace labelling
