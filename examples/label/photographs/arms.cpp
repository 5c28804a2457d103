#include "photographs/arms.hpp"

#include "kept_scores.hpp"
#include "method_bestie.hpp"
#include "method_boxes.hpp"
#include "photographs/drawn.hpp"

#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/peaks.hpp>
#include <cambium/activation/smooth.hpp>
#include <cambium/component/geodesic.hpp>
#include <cambium/component/geodesic_costs.hpp>
#include <cambium/instance/enlarged.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <utility>

namespace labelling {

using namespace cambium;

namespace {

/// 0.05, 0.10, ... 0.95: sweep's.
std::vector<double> thresholds()
{
  std::vector<double> out;
  for (int i = 1; i < 20; ++i) out.push_back(i * 0.05);
  return out;
}

std::string text_of(double v)
{
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", v);
  return text;
}

/// Scores of classes, and the labels of any threshold on them.
class scored_classes {
 public:
  scored_classes(cpu const& where, kept_scores scores, photograph const& in, irnet_options const& options)
      : where_(where),
        in_(in),
        scores_(std::move(scores)),
        options_(without_parting(options)),
        labels_(where, scores_, in.maps.classes, in.maps.image, options_)
  {
    for (int const c : in.maps.classes) keys_.push_back(c - 1);
    all_ = irnet_assign(where, scores_.classes.view(), keys_, in.maps.image, 0, options_);
  }
  scored_classes(scored_classes const&) = delete;

  grid<std::int32_t, 2> semantic(double background) const { return labels_.semantic(background); }
  double stable(double background) const
  {
    return agreement(semantic(background / nearby), semantic(background * nearby));
  }

  /// The components of labels. The score of one is the largest score of a class on it.
  instances<> components(grid<std::int32_t, 2> const& semantic, double part = no_parting) const
  {
    std::vector<std::int32_t> channel_of(256, 0);
    for (std::size_t i = 0; i < keys_.size(); ++i)
      channel_of[static_cast<std::size_t>(keys_[i] + 1)] = static_cast<std::int32_t>(i + 1);
    assignment<float> chosen{relabel(where_, semantic, channel_of), all_.score};
    auto options = options_;
    options.component_thres = part;
    return irnet_components(where_, chosen, keys_, scores_.boundary, options);
  }

  static constexpr double no_parting = 2;  ///< boundaries end at 1

 private:
  static irnet_options without_parting(irnet_options options)
  {
    options.component_thres = no_parting;
    return options;
  }

  cpu where_;
  photograph const& in_;
  kept_scores scores_;
  irnet_options options_;
  std::vector<std::int32_t> keys_;
  kept_labels labels_;
  assignment<float> all_;
};

/// Peaks of the CAMs with a confidence above BESTIE's threshold.
points peaks_of(cpu const& where, photograph const& in)
{
  bestie_peak_options const options;
  bestie_transfer_options const transfer;
  std::vector<std::int32_t> channels;
  for (std::size_t c = 0; c < in.maps.classes.size(); ++c) channels.push_back(static_cast<std::int32_t>(c));
  auto const maps = smooth(where, class_maps(where, in.maps.cams, in.maps.image, channels), options.smoothing);
  points out;
  for (point p : to_vector(where, extract_peaks(where, maps, options.peaks))) {
    if (!(p.score > transfer.pseudo_thresh)) continue;
    p.category = in.maps.classes[static_cast<std::size_t>(p.category)] - 1;
    out.push_back(p);
  }
  return out;
}

/// Labels of pixels that belong to objects of the truth, all of score 1.
/// @param owner  [H,W] place of the object + 1, or 0
image_labels<> labels_of(std::vector<true_object> const& objects, grid<std::int32_t, 2> const& owner)
{
  image_labels<> out;
  std::vector<std::int32_t> label{0};
  for (auto const& o : objects) label.push_back(o.category + 1);
  out.semantic = relabel(cpu{.threads = 1}, owner, label);
  std::vector<index_t> area(label.size(), 0);
  for (auto const at : owner.cells()) ++area[static_cast<std::size_t>(at)];
  std::vector<std::int32_t> number{0};
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (area[i + 1] > 0) out.objects.found.push_back({objects[i].category, 1, area[i + 1], objects[i].bounds});
    number.push_back(area[i + 1] > 0 ? static_cast<std::int32_t>(out.objects.found.size()) : 0);
  }
  out.objects.label = relabel(cpu{.threads = 1}, owner, number);
  return out;
}

/// A map of stride 4 at the image's size, as IRNet enlarges it.
grid<float, 2> enlarge_map(grid<float, 2> const& map, extent2 image)
{
  grid<float, 2> out(image.height, image.width);
  enlarged_rows<float> const rows(as_batch(image_view<float const>(map.view())), {0, 0, image.height, image.width}, 4);
  auto mixed = rows.mixed(), row = rows.row();
  for (index_t y = 0; y < image.height; ++y) {
    rows(0, y, mixed, row.data());
    std::copy_n(row.data(), image.width, &out(y, 0));
  }
  return out;
}

/// The arms of one photograph. Later ones use what earlier ones made.
class arms_of {
 public:
  arms_of(cpu const& where, photograph const& in) : where_(where), in_(in), out_(in), objects_(objects_of(in.is)) {}

  std::vector<measured_arm> all()
  {
    scored_classes const cams(where_, {in_.maps.boundary, in_.maps.cams, {}, {}, false}, in_, options_);
    add_scored({"cam", "CAM", "", "tags", "cam"}, cams);
    scored_classes const walk(where_, walk_maps(1), in_, options_);
    add_scored({"walk", "walk", "cam", "tags, boundaries", "walk"}, walk);
    for (double const t : tried_) walked_.push_back(walk.semantic(t)), stable_.push_back(walk.stable(t));
    add_scaled();
    add_refined({"walk_crf", "walk, CRF", "walk", "tags, boundaries, photograph", "walk_crf"}, walk,
                crf_refiner(where_, in_.pixels, in_.maps.classes, nullptr));
    std::string const seen = "tags, boundaries, photograph";
    auto const adapted = [&](adaptive how) { return adaptive_refiner(where_, in_.pixels, in_.maps.classes, how); };
    add_refined({"walk_par", "walk, PAR", "walk", seen, "walk_par"}, walk, adapted(adaptive::par));
    add_refined({"walk_pamr", "walk, PAMR", "walk", seen, "walk_pamr"}, walk, adapted(adaptive::pamr));
    out_.begin({"walk_parted", "walk, boundaries part components", "walk", "tags, boundaries", "walk", false, true});
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      auto const objects = walk.components(walked_[i], options_.component_thres);
      out_.add(text_of(tried_[i]), nullptr, &objects);
    }
    add_cues();
    add_scribbles();
    add_boxes();
    return out_.take();
  }

 private:
  kept_scores walk_maps(float scale) const
  {
    auto boundary = in_.maps.boundary;
    for (float& v : boundary.cells()) v *= scale;
    auto maps = in_.maps.input();
    maps.boundary = boundary.view();
    maps.displacement = {};
    auto walked = irnet_walk(where_, maps, options_);
    return kept_scores{std::move(boundary), std::move(walked.classes), {}, {}, false};
  }

  void add_all(scored_classes const& scores, std::string const& more)
  {
    for (double const t : tried_) {
      auto const labels = scores.semantic(t);
      auto const objects = scores.components(labels);
      out_.add(text_of(t) + more, &labels, &objects, scores.stable(t));
    }
  }
  void add_scored(arm_words words, scored_classes const& scores)
  {
    out_.begin(std::move(words));
    add_all(scores, "");
  }
  void add_scaled()
  {
    out_.begin({"walk_scaled", "walk, weaker boundaries", "walk", "tags, boundaries", "walk_scaled"});
    for (float const scale : {0.4f, 0.55f, 0.7f, 0.85f})
      add_all(scored_classes(where_, walk_maps(scale), in_, options_),
              ", boundary × " + text_of(static_cast<double>(scale)));
  }
  void add_refined(arm_words words, scored_classes const& walk, refiner const& refine)
  {
    out_.begin(std::move(words));
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      auto const labels = refine(walked_[i]);
      auto const objects = walk.components(labels);
      out_.add(text_of(tried_[i]), &labels, &objects, stable_[i]);
    }
  }

  void add_transfer(arm_words words, points const& cues, several_cues several)
  {
    out_.begin(std::move(words));
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      auto const objects = accepted_components(where_, walked_[i], cues, {.several = several});
      out_.add(text_of(tried_[i]), nullptr, &objects).cues = static_cast<index_t>(cues.size());
    }
  }
  void add_cues()
  {
    std::string const uses = "tags, boundaries", more = uses + ", points";
    auto const peaks = peaks_of(where_, in_), centres = centre_points(in_.is, objects_);
    add_transfer({"peaks", "walk, one peak a component", "walk", uses, "walk", false, true}, peaks,
                 several_cues::reject);
    add_transfer({"peaks_split", "walk, split among peaks", "walk", uses, "walk", false, true}, peaks,
                 several_cues::split);
    add_transfer({"points", "walk, one point a component", "peaks", more, "walk", false, true}, centres,
                 several_cues::reject);
    add_transfer({"points_split", "walk, split among points", "peaks_split", more, "walk", false, true}, centres,
                 several_cues::split);
    add_geodesic(centres);
  }

  /// Which object each pixel is nearest to along the photograph, and how far it is.
  geodesic_map<float, std::int32_t> nearest_object(std::vector<geodesic_seed<>> const& seeds) const
  {
    return geodesic(where_, costs_, mark_seeds(std::span<geodesic_seed<> const>(seeds), in_.maps.image));
  }
  void add_geodesic(points const& centres)
  {
    costs_ = geodesic_costs(where_, in_.pixels, enlarge_map(in_.maps.boundary, in_.maps.image));
    std::vector<geodesic_seed<>> seeds;
    std::map<std::int32_t, std::vector<geodesic_seed<>>> of_class;
    for (std::size_t i = 0; i < centres.size(); ++i) {
      seeds.push_back(
          {static_cast<index_t>(centres[i].y), static_cast<index_t>(centres[i].x), static_cast<std::int32_t>(i + 1)});
      of_class[centres[i].category].push_back(seeds.back());
    }

    out_.begin({"points_walk", "walk, nearest point along the photograph", "points_split",
                "tags, boundaries, photograph, points", "walk", false, true});
    std::map<std::int32_t, grid<std::int32_t, 2>> nearest;
    for (auto const& [category, some] : of_class) nearest.emplace(category, nearest_object(some).label);
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      grid<std::int32_t, 2> owner(in_.maps.image.height, in_.maps.image.width);
      for (std::size_t k = 0; k < owner.cells().size(); ++k)
        if (auto const at = nearest.find(walked_[i].cells()[k] - 1); at != nearest.end())
          owner.cells()[k] = at->second.cells()[k];
      auto const labels = labels_of(objects_, owner);
      out_.add(text_of(tried_[i]), nullptr, &labels.objects);
    }

    out_.begin({"points_near", "points, as far as they reach", "", "photograph, boundaries, points", "points_near"});
    geodesic_map<float, std::int32_t> from;
    if (!seeds.empty()) from = nearest_object(seeds);
    float largest = 0;
    for (float const d : from.distance.cells()) largest = std::max(largest, d);
    auto const within = [&](double share) {
      grid<std::int32_t, 2> owner(in_.maps.image.height, in_.maps.image.width);
      for (std::size_t k = 0; k < from.distance.cells().size(); ++k)
        if (static_cast<double>(from.distance.cells()[k]) <= share * static_cast<double>(largest))
          owner.cells()[k] = from.label.cells()[k];
      return labels_of(objects_, owner);
    };
    for (double const t : tried_) {
      auto const labels = within(t);
      out_.add(text_of(t), &labels.semantic, &labels.objects,
               agreement(within(t / nearby).semantic, within(t * nearby).semantic));
    }
  }

  void add_scribbles()
  {
    auto const spread = [&](arm_words words, grid<float, 3> const& costs, grid<std::int32_t, 2> const& seeds) {
      auto owner = geodesic(where_, costs, seeds).label;
      for (auto& v : owner.cells())
        if (v > static_cast<std::int32_t>(objects_.size())) v = 0;
      auto const labels = labels_of(objects_, owner);
      out_.begin(std::move(words));
      out_.add("", &labels.semantic, &labels.objects);
    };
    auto const colours = geodesic_costs(where_, in_.pixels);
    auto const deep = scribbles(in_.is, objects_), thin = skeletons(where_, in_.is, objects_);
    std::string const alone = "photograph, scribbles", more = "photograph, boundaries, scribbles";
    spread({"scribbles", "scribbles along colours", "", alone, ""}, colours, deep);
    spread({"scribbles_boundary", "scribbles along colours and boundaries", "scribbles", more, ""}, costs_, deep);
    spread({"skeletons", "skeletons along colours", "scribbles", alone, ""}, colours, thin);
    spread({"skeletons_boundary", "skeletons along colours and boundaries", "skeletons", more, ""}, costs_, thin);
  }

  void add_boxes()
  {
    std::vector<class_box> boxes;
    for (auto const& object : objects_) boxes.push_back({object.bounds, object.category});
    out_.begin({"boxes", "boxes as masks", "", "boxes", ""});
    {
      auto const filled = labels_of(objects_, owners_of_boxes(boxes, in_.maps.image, nullptr));
      out_.add("", &filled.semantic, &filled.objects);
    }
    out_.begin({"boxes_walk", "walk inside boxes", "boxes", "boxes, tags, boundaries", "walk"});
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      auto const labels = labels_of(objects_, owners_of_boxes(boxes, in_.maps.image, &walked_[i]));
      out_.add(text_of(tried_[i]), &labels.semantic, &labels.objects);
    }
  }

  cpu where_;
  photograph const& in_;
  comparison out_;
  irnet_options const options_{};
  std::vector<double> const tried_ = thresholds();
  std::vector<true_object> objects_;
  std::vector<grid<std::int32_t, 2>> walked_;  ///< the walk's labels at each threshold
  std::vector<double> stable_;                 ///< and their agreement with those nearby
  grid<float, 3> costs_;                       ///< of paths along the photograph
};

}  // namespace

std::vector<measured_arm> measure(cpu const& where, photograph const& in) { return arms_of(where, in).all(); }

}  // namespace labelling
