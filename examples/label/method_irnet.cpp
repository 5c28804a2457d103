#include "method_irnet.hpp"

#include "axes.hpp"
#include "image_files.hpp"
#include "kept_scores.hpp"
#include "on_gpu.hpp"
#include "options.hpp"

#include <cambium/component/relabel.hpp>
#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/kept_lattices.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/pipeline/adaptive_labels.hpp>
#include <cambium/pipeline/irnet_choice.hpp>
#include <cambium/pipeline/irnet_tiled.hpp>
#include <cambium/walk/lanes.hpp>

#include <algorithm>
#include <cmath>
#include <memory>

namespace labelling {

using namespace cambium;

irnet_input<float> irnet_maps::input() const
{
  irnet_input<float> in;
  in.cams = cams.view();
  for (int const label : classes) in.keys.push_back(label - 1);
  in.boundary = boundary.view();
  if (displacement.size() > 0) in.displacement = displacement.view();
  in.image = image;
  return in;
}

irnet_method::irnet_method(settings& s)
{
  auto& o = options;
  auto const required = option_is::required;
  table_ = {
      {"",
       {{"method", [this] { return displacements.empty() ? "irnet walk, components" : "irnet walk, displacement"; }},
        {"--cams", &cams, has_id(), "CAMs, npy float [C,h,w], h = (H-1)/4 + 1", required},
        {"--boundaries", &boundaries, has_id(), "boundary maps, npy float [h,w] in [0,1]", required},
        {"--displacements", &displacements, has_id(),
         "displacement fields, npy float [2,h,w]; without them instances are components"}}},
      {"",
       tag_options("--tags", s.tags, s.tags_how, "the class of each CAM channel; without it channel c is class c+1")},
      {"Walk",
       {{both("radius"), &o.radius, whole(1, stencil::largest_radius), "radius of the neighbourhood, 1..17 cells"},
        {both("beta"), &o.beta, positive(), "power of the affinities"},
        {both("exp-times"), &o.exp_times, whole(0, 20), "the walk takes 2^N steps: 8 is the 256 of the paper"},
        {both("tolerance"), &o.tolerance, within(0, 0.5),
         "largest error of the walk, as a fraction of the CAM's range; 0 is exact, 3e-5 about 2.5 times as fast"},
        {"--walk-weights",
         choice(o.weights, {"full", "bfloat16"}),
         {},
         "weights of the walk: 'full' or rounded to 'bfloat16', which is quicker on images of several megapixels"},
        {both("boundary-scale"), &boundary_scale, positive(),
         "factor on the boundary map, for networks that are too sure or too shy"}}},
      {"Labels",
       {{both("sem-seg-bg-thres"), &o.sem_seg_bg_thres, within(0, 1), "background score of semantic labels"},
        {both("ins-seg-bg-thres"), &o.ins_seg_bg_thres, within(0, 1), "background score of instance labels"},
        {both("iterations"), &o.iterations, whole(0, 1000000), "steps along the displacement field"},
        {both("thres"), &o.thres, positive(), "displacement below which a cell is a centroid's, in cells"},
        {both("max-fragment-size"), &o.max_fragment_size, within(0, 1),
         "fraction of the image below which a component is a fragment"},
        {both("component-thres"),
         &o.component_thres,
         {},
         "without displacements: boundaries from here on part components; above 1 none do"},
        {"--fragments",
         choice(o.small, {"zero", "drop", "keep"}),
         {},
         "fragments: 'zero' keeps them with score 0 (the original), 'drop', 'keep'"},
        {"--scale",
         choice(o.scale, {"image", "class", "instance"}),
         {},
         "scores are divided by the maximum over the 'image' (the original), each 'class', or each 'instance'"},
        {"--pieces",
         choice(o.parts, {"separate", "merged"}),
         {},
         "pieces of one instance: 'separate' instances (the original) or 'merged'"},
        {both("cam-eval-thres"), &cam_eval_thres, {}, "background score of the CAM baseline printed beside the scores"},
        {"void_counts", [&s] { return s.void_counts; }},
        {"zero_based", [&s] { return s.tags_how.zero_based; }},
        {"--crf", &crf, {}, "refine semantic labels with a dense CRF on the photograph"},
        {"--refine",
         choice(refine, {"none", "par", "pamr"}),
         {},
         "refine semantic labels by the colours of the photograph: 'par' or 'pamr', instead of --crf"}}},
      {"Work",
       {{"--tile", &tile, whole(0, 1000000000),
         "walk in tiles of this side in pixels, for images that exceed memory; 0 walks whole images"},
        {"--overlap", &overlap, whole(4, 1000000000), "what a tile sees around itself, in pixels", option_is::usual,
         [this] { return tile > 0 ? overlap : 0; }},
        {"--background-without-cam",
         &background_without_cam,
         {},
         "an image without a CAM shows no class: all of it is background; else it fails",
         option_is::unrecorded},
        {"background_without_cam", [this] { return background_without_cam ? json(true) : json(nullptr); }},
        {"--keep-scores", &keep_scores, {}, "also keep the walked scores, for ./run sweep"},
        {"--gpu", &gpu, {}, "walk, label and refine on the CUDA device"},
        {"overlay", [&s] { return s.overlay; }},
        {"scored", [&s] { return s.scored(); }}}}};
}

void irnet_method::get_ready(std::set<std::string> const&)
{
  expects_irnet_options(options);
  if (crf && refine != adaptive::none) throw usage_error("--crf and --refine: give one of the two");
  if (gpu) {
    if (auto const why = why_no_gpu(); !why.empty()) throw usage_error("--gpu: " + why);
    if (tile != 0 || keep_scores)
      throw usage_error("--gpu walks whole images and keeps no scores: leave out --tile, --keep-scores");
  }
  if (tile != 0 && tile < 4) throw usage_error("--tile " + std::to_string(tile) + ": at least 4 pixels, or 0");
  if (tile != 0 && keep_scores && !displacements.empty())
    throw usage_error("--keep-scores with --tile keeps class scores only; leave out --displacements or one of the two");
}

std::vector<input_file> irnet_method::inputs() const
{
  return {{"cam", cams, background_without_cam}, {"boundary", boundaries}, {"displacement", displacements}};
}

irnet_maps irnet_method::read(image_files& files) const
{
  irnet_maps in;
  if (crf || refine != adaptive::none) files.photograph();
  in.image = files.image_size({});
  index_t const h = (in.image.height - 1) / 4 + 1, w = (in.image.width - 1) / 4 + 1;
  std::string const size =
      "the image is " + std::to_string(in.image.height) + " x " + std::to_string(in.image.width) + ", so ";

  auto const is_map = [&](extent2 e) { return e == extent2{h, w}; };
  auto const holds = [&](auto const& shape, std::string const& at_full_size = "maps of stride 4 are needed") {
    bool const whole = shape[shape.size() - 2] == in.image.height && shape.back() == in.image.width;
    return "; it holds " + shape_text(shape) +
           (whole ? "; that is the image's size: " + at_full_size : axes_hint({shape.begin(), shape.end()}, is_map));
  };
  in.cams = files.has("cam") ? files.any_maps<3>("cam") : make_grid<float>({0, h, w});
  index_t const C = in.cams.shape()[0];
  demand(in.cams.shape()[1] == h && in.cams.shape()[2] == w, files.path("cam"),
         size + "[C," + shape_text(std::initializer_list{h, w}).substr(1) + " is needed" +
             holds(in.cams.shape(), "of IRNet's own files 'cam' is needed, not 'high_res'"));
  files.demand_range("cam", in.cams);
  if (files.has("cam"))
    in.classes = files.channel_classes(C);
  else
    files.expects_no_class("cam");
  demand(C <= 254, files.path("cam"), std::to_string(C) + " channels; labels end at 254");

  in.boundary = files.any_maps<2>("boundary");
  demand(in.boundary.shape()[0] == h && in.boundary.shape()[1] == w, files.path("boundary"),
         size + shape_text(std::initializer_list{h, w}) + " is needed" + holds(in.boundary.shape()));
  auto const& cells = in.boundary.cells();
  bool const grey = std::any_of(cells.begin(), cells.end(), [](float v) { return v > 2 && v <= 255; });
  files.demand_range(
      "boundary", in.boundary, -unit_slack<float>, 1 + unit_slack<float>,
      grey ? "a boundary in [0,1]; if this is a picture of 0..255, divide it by 255" : "a boundary in [0,1]");
  for (float& v : in.boundary.cells()) v = std::min(1.f, std::clamp(v, 0.f, 1.f) * static_cast<float>(boundary_scale));

  if (files.has("displacement")) {
    in.displacement = files.any_maps<3>("displacement");
    auto const& got = in.displacement.shape();
    demand(got[0] == 2 && got[1] == h && got[2] == w, files.path("displacement"),
           size + shape_text(std::initializer_list{index_t{2}, h, w}) + " is needed" + holds(got));
    files.demand_range("displacement", in.displacement);
  }
  return in;
}

namespace {

/// What the CAMs alone say: the class of the largest one above the threshold.
grid<std::int32_t, 2> cam_labels(cpu const& where, irnet_input<float> const& maps, double thres)
{
  pixel_choice<cpu, float> const chosen(where, maps.cams, {}, maps.image, {});
  return chosen.labels(where, thres, labels_of_keys(maps.keys));
}

/// What refine(labels, L) makes of labels 0..L-1: the background and the classes, as numbers without gaps.
grid<std::int32_t, 2> among(cpu const& where, grid<std::int32_t, 2> const& semantic, std::vector<int> const& classes,
                            auto const& refine)
{
  std::vector<std::int32_t> label{label::background}, number(256, 0);
  for (int const c : classes) {
    number[static_cast<std::size_t>(c)] = static_cast<std::int32_t>(label.size());
    label.push_back(c);
  }
  return relabel(where, refine(relabel(where, semantic, number), static_cast<index_t>(label.size())), label);
}

colour_affinity_options contrasts(adaptive how)
{
  return how == adaptive::par ? colour_affinity_options::par() : colour_affinity_options::pamr();
}

/// Walks and labels; what is to be kept goes into `kept`.
irnet_labels<> walk_and_label(cpu const& where, irnet_method const& how, irnet_input<float> const& maps,
                              kept_scores* kept)
{
  if (how.gpu) return irnet_on_gpu(maps, how.options);
  irnet_tiling const tiles{how.tile, how.overlap};
  if (how.tile > 0 && kept == nullptr) return irnet_tiled(where, maps, how.options, tiles);
  expects_irnet_input(maps);
  auto walked =
      how.tile > 0
          ? irnet_scores<float>{propagate_to_edge_tiled(where, maps.cams, maps.boundary, how.options, tiles), {}}
          : irnet_walk(where, maps, how.options);
  auto labels = irnet_label(where, walked, maps, how.options);
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

answer irnet_method::label(cpu const& where, image_files& files) const
{
  auto const in = read(files);
  auto const maps = in.input();
  kept_scores kept;
  auto labels = walk_and_label(where, *this, maps, keep_scores ? &kept : nullptr);
  if (crf && gpu)
    labels.semantic = among(where, labels.semantic, in.classes, [&](auto const& given, index_t L) {
      return refine_on_gpu(files.photograph(), crf_preset::irn(), given, L);
    });
  else if (crf)
    labels.semantic = crf_refiner(where, files.photograph(), in.classes, &lattices_)(labels.semantic);
  else if (refine != adaptive::none && gpu)
    labels.semantic = among(where, labels.semantic, in.classes, [&](auto const& given, index_t L) {
      return adapt_on_gpu(files.photograph(), contrasts(refine), given, L);
    });
  else if (refine != adaptive::none)
    labels.semantic = adaptive_refiner(where, files.photograph(), in.classes, refine)(labels.semantic);
  answer out{std::move(labels.semantic), std::move(labels.objects), in.classes, {}, {}, json::object()};
  if (files.of().scored()) out.baseline = cam_labels(where, maps, cam_eval_thres);
  if (keep_scores) {
    json about;
    out.files.emplace_back("scores/" + files.id() + ".png", format_scores(kept, about));
    out.about["scores"] = about;
  }
  return out;
}

namespace {

/// [bytes] A walk at its peak: the transition in rows and in lanes, and of each channel that scores the seeds, two
/// steps in lanes, and the result.
double walk_memory(irnet_options const& options, extent2 cells, index_t scoring)
{
  auto const edges = stencil::disc(options.radius);
  lane_map const lanes(vectors_of(cpu{}), sizeof(float), cells.height, cells.width, edges, options.weights);
  index_t const n = cells.height * cells.width;
  index_t const weights = (edges.size + 2) * n + lanes.weight_size();
  index_t const scores = scoring * (2 * n + (options.tolerance > 0 ? 3 : 2) * lanes.score_plane);
  return 4.0 * static_cast<double>(weights + scores) + (options.tolerance > 0 ? 8.0 * static_cast<double>(n) : 0.0);
}

/// The channels of one class and one cluster in a part of the maps: all, and those that score.
struct instance_channels {
  index_t all = 0, scoring = 0;

  instance_channels(irnet_input<float> const& in, instance_map<> const& clusters, box const& part)
  {
    index_t const C = in.cams.extent[0], K = clusters.count;
    grid<std::uint8_t, 2> scores(C, K), seen(1, K);
    for (index_t y = part.top; y < part.bottom; ++y)
      for (index_t x = part.left; x < part.right; ++x) {
        index_t const k = clusters.id(y, x);
        seen(0, k) = 1;
        for (index_t c = 0; c < C; ++c)
          if (in.cams(c, y, x) != 0) scores(c, k) = 1;
      }
    all = C * std::count(seen.cells().begin(), seen.cells().end(), 1);
    scoring = std::count(scores.cells().begin(), scores.cells().end(), 1);
  }
};

}  // namespace

/// The largest of the walk, the labels, the comparison with the truth, and the CRF.
double irnet_method::memory(image_files& files) const
{
  auto const in = read(files);
  auto const maps = in.input();
  auto const& s = files.of();
  auto const bytes_of = [](index_t channels, extent2 cells) {
    return 4.0 * static_cast<double>(channels) * static_cast<double>(cells.height) * static_cast<double>(cells.width);
  };
  extent2 const cells{in.boundary.shape()[0], in.boundary.shape()[1]};
  index_t const C = in.cams.shape()[0];
  double const pixels = bytes_of(1, in.image) / 4;
  auto const tiles =
      tile > 0 ? irnet_tiling{tile, overlap}.of(cells)
               : std::vector<map_tile>{{{0, 0, cells.height, cells.width}, {0, 0, cells.height, cells.width}}};
  bool const apart = maps.displacement.data != nullptr;
  instance_map<> clusters;
  if (apart) clusters = irnet_clusters(cpu{.threads = 1}, maps.displacement, options);
  double walk = 0, walked = bytes_of(C, cells), window = 0;
  for (auto const& t : tiles) {
    extent2 const seen{t.worked.bottom - t.worked.top, t.worked.right - t.worked.left};
    extent2 const held{t.kept.bottom - t.kept.top, t.kept.right - t.kept.left};
    walk = std::max(walk, (tile > 0 ? walked : 0) + walk_memory(options, seen, C));
    window = std::max(
        window, 8 * std::min({pixels, 4 * bytes_of(1, held), apart && tile > 0 ? pixels : 1.0 * pixels_of_window}));
    if (!apart) continue;
    instance_channels const split(maps, clusters, t.worked);
    walk = std::max({walk, walked + bytes_of(split.all, seen) + walk_memory(options, seen, split.scoring),
                     walked + bytes_of(2 * split.all + split.scoring + stencil::disc(options.radius).size, seen)});
    walked += tile > 0 ? bytes_of(instance_channels(maps, clusters, t.kept).scoring, held) : bytes_of(split.all, seen);
  }
  double labels = walked + 8 * pixels + std::max(window, s.overlay ? 3 * pixels : 0) + (keep_scores ? 2 * walked : 0);
  if (files.has("truth_semantic")) labels = std::max(labels, (files.has("truth_instances") ? 24 : 17) * pixels);
  double const field = crf ? 16 * pixels + dense_crf<>::bytes_needed(in.image, 3, crf_preset::irn(), C + 1)
                       : refine != adaptive::none
                           ? 12 * pixels + adapt_labels_bytes(cpu{.threads = 1}, in.image.height, in.image.width, C + 1)
                           : 0;
  return bytes_of(C + 1 + (apart ? 2 : 0), cells) + (crf || refine != adaptive::none || s.overlay ? 3 * pixels : 0) +
         std::max({walk, labels, field});
}

refiner crf_refiner(cpu const& where, grid<std::uint8_t, 3> const& photograph, std::vector<int> const& classes,
                    kept_lattices<>* kept)
{
  bool const keeps = photograph.shape()[0] * photograph.shape()[1] <= 1 << 20;
  auto const field =
      std::make_shared<dense_crf<>>(where, photograph, crf_preset::irn(), crf_build{}, keeps ? kept : nullptr);
  return [where, field, classes](grid<std::int32_t, 2> const& semantic) {
    return among(where, semantic, classes,
                 [&](auto const& labels, index_t L) { return refine_labels(where, *field, labels, L); });
  };
}

refiner adaptive_refiner(cpu const& where, grid<std::uint8_t, 3> const& photograph, std::vector<int> const& classes,
                         adaptive how)
{
  index_t const H = photograph.shape()[0], W = photograph.shape()[1];
  double const bytes = adapt_labels_bytes(where, H, W, static_cast<index_t>(classes.size()) + 1);
  expects(bytes <= 8e9, "an image of ", H, " x ", W, " needs ", bytes / 1e9, " GB for --refine; 8 GB at most");
  auto const pixels = std::make_shared<grid<std::uint8_t, 3> const>(photograph);
  return [where, pixels, classes, how](grid<std::int32_t, 2> const& semantic) {
    return among(where, semantic, classes, [&](auto const& labels, index_t L) {
      return adapt_labels(where, *pixels, labels, L, contrasts(how));
    });
  };
}

kept_labels::kept_labels(cpu const& where, kept_scores const& scores, std::vector<int> const& classes, extent2 image,
                         irnet_options const& options)
    : where_(where), scores_(scores), options_(options)
{
  for (int const c : classes) keys_.push_back(c - 1);
  by_class_ = irnet_assign(where, scores.classes.view(), keys_, image, 0, options);
  if (scores.with_instances)
    by_instance_ = irnet_assign(where, scores.instances.view(), scores.instance_keys, image, 0, options);
}

grid<std::int32_t, 2> kept_labels::semantic(double background) const
{
  return irnet_semantic_labels(where_, raise_background(where_, by_class_, background), keys_);
}

instances<> kept_labels::objects(double background) const
{
  if (scores_.with_instances)
    return irnet_detect(where_, raise_background(where_, by_instance_, background), scores_.instance_keys, options_);
  return irnet_components(where_, raise_background(where_, by_class_, background), keys_, scores_.boundary, options_);
}

}  // namespace labelling
