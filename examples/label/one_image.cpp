#include "one_image.hpp"

#include "kept_scores.hpp"
#include "overlay.hpp"

#include <cambium/component/relabel.hpp>
#include <cambium/crf/dense_crf.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/io/coco.hpp>
#include <cambium/io/jpeg.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/pipeline/irnet_tiled.hpp>

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

}  // namespace

grid<std::uint8_t, 3> decode_photograph(bytes const& content, std::string const& path)
{
  if (content.size() > 8 && content[0] == 0x89 && content[1] == 'P')
    return to_photograph(parse_png(content, path), path);
  demand(content.empty() || content[0] == 0xFF, path, "is neither a JPEG nor a PNG file");
  return parse_jpeg(content, path);
}

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
  extent2 const image{H, W};
  if (!s.truth_semantic.empty()) {
    std::string const path = fill(s.truth_semantic, id);
    in.is.semantic = parse_truth(read.file("truth_semantic", path), path, image, true);
  }
  if (!s.truth_instances.empty()) {
    std::string const path = fill(s.truth_instances, id);
    in.is.instances = parse_truth(read.file("truth_instances", path), path, image, false);
  }
  return in;
}

namespace {

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
  confusion_matrix walk(256), cam(256);
  accumulate(walk, labels.semantic, in.is.semantic);
  accumulate(cam, cam_labels(where, s, in), in.is.semantic);
  json out{{"confusion", confusion_cells(walk)}, {"cam_confusion", confusion_cells(cam)}};
  if (in.is.instances.size() > 0) out.update(to_json(compare_instances(labels.objects, in.is, s.void_counts)));
  return out;
}

/// Walks and labels; what is to be kept goes into `kept`.
irnet_labels walk_and_label(cpu const& where, settings const& s, irnet_input<float> const& maps, kept_scores* kept)
{
  irnet_tiling const tiles{s.tile, s.overlap};
  if (s.tile > 0 && kept == nullptr) return irnet_tiled(where, maps, s.irnet, tiles);
  check_input(maps);
  auto walked =
      s.tile > 0
          ? irnet_scores<float>{propagate_to_edge_tiled<float>(where, maps.cams, maps.boundary, s.irnet, tiles), {}}
          : irnet_walk(where, maps, s.irnet);
  auto labels = irnet_label(where, walked, maps, s.irnet);
  if (kept != nullptr) {
    auto const C = static_cast<index_t>(maps.keys.size());
    kept->instance_keys = irnet_channel_keys(maps.keys, C == 0 ? 0 : walked.instances.shape()[0] / C);
    kept->with_instances = maps.displacement.data != nullptr;
    kept->boundary = make_grid<float>({maps.boundary.extent[0], maps.boundary.extent[1]});
    copy(where, maps.boundary, kept->boundary.view());
    kept->classes = std::move(walked.classes);
    kept->instances = std::move(walked.instances);
  }
  return labels;
}

}  // namespace

grid<std::int32_t, 2> refine_classes(cpu const& where, dense_crf const& field, grid<std::int32_t, 2> const& semantic,
                                     std::vector<int> const& classes)
{
  std::vector<std::int32_t> label{label::background}, number(256, 0);
  for (int const c : classes) {
    number[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(label.size());
    label.push_back(c);
  }
  auto const L = static_cast<index_t>(label.size());
  return relabel(where, refine_labels(where, field, relabel(where, semantic, number), L), label);
}

labelled_image label_image(settings const& s, image_set const& set, std::string const& id, cpu const& where)
{
  auto const in = read_input(s, set, id);
  kept_scores kept;
  auto labels = walk_and_label(where, s, in.maps(), s.keep_scores ? &kept : nullptr);
  if (s.crf)
    labels.semantic =
        refine_classes(where, dense_crf(where, in.photograph, crf_preset::irn()), labels.semantic, in.classes);
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
  if (s.keep_scores) {
    json about;
    put("scores/" + id + ".png", format_scores(kept, about));
    record["scores"] = about;
  }
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
  if (!s.keep_scores) fs::remove(fs::path(s.out) / "scores" / (image.id + ".png"), ignored);
  replace_file(record_path(s, image.id), image.record.dump() + "\n");
}

}  // namespace labelling
