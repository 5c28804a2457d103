// BESTIE: instances from a network's classes, centres and offsets; or, before there is a network, pseudo labels from a
// semantic map and points.

#include "method_bestie.hpp"

#include "axes.hpp"
#include "image_files.hpp"
#include "options.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace labelling {

using namespace cambium;

instances<> accepted_components(cpu const& where, grid<std::int32_t, 2> const& present, points const& cues,
                                transfer_options const& rules)
{
  auto const regions = find_regions(where, present, rules.smallest);
  auto const count = static_cast<index_t>(regions.categories.size());
  std::vector<std::pair<index_t, point>> found;
  std::vector<index_t> cues_of(static_cast<std::size_t>(count + 1), 0);
  for (point const& p : cues) {
    auto const [y, x] = cell_of(p, {present.shape()[0], present.shape()[1]});
    index_t const r = regions.label(y, x);
    if (r == 0 || regions.categories[static_cast<std::size_t>(r - 1)] != p.category) continue;
    ++cues_of[static_cast<std::size_t>(r)];
    found.emplace_back(r, p);
  }
  if (rules.several == several_cues::reject)
    std::erase_if(found, [&](auto const& f) { return cues_of[static_cast<std::size_t>(f.first)] > 1; });
  auto const centres = by_region(found, count);
  index_t const H = present.shape()[0], W = present.shape()[1];
  auto const ids =
      group_pixels(where, grid<float, 3>(2, H, W), regions.label, centres);  // each cell to its nearest cue
  grid<float, 2> const nothing(H, W);  // what scores are made of elsewhere; here cues have their own
  auto const groups = measure_groups(where, ids, centres.at.size(), nothing, nothing);
  std::vector<std::int32_t> categories;
  std::vector<double> scores;
  for (index_t i = 0; i < groups.size(); ++i) {
    point const& centre = centres.at(i);
    categories.push_back(centre.category);
    if (groups(i).area > 0) scores.push_back(centre.score);
  }
  auto out = score_groups(where, ids, groups, categories, scored_by::class_only);
  for (std::size_t i = 0; i < out.found.size(); ++i) out.found[i].score = scores[i];
  return out;
}

namespace {

enum bestie_mode : unsigned { from_weak = 1, from_network = 2, from_points = 4 };  ///< the last: network and points

class bestie_method : public method {
 public:
  explicit bestie_method(settings& s)
  {
    std::string const network = "From a network", weak_labels = "From weak labels";
    auto& o = transfer_.labels;
    auto& groups = instances_.groups;
    table_ = {
        {"",
         {{"method",
           [this] {
             if (weak()) return "bestie knowledge transfer";
             return points_.empty() ? "bestie network" : "bestie network, points";
           }}}},
        {network,
         {{"--seg", &seg_, has_id(), "logits, npy float [C+1,h,w], channel 0 background"},
          {"--centres", &centres_, has_id(), "centre maps, npy float [C,h,w]"},
          {"--offsets", &offsets_, has_id(), "offsets (dy,dx) to the centre, npy float [2,h,w]"},
          {"--seen",
           &seen_text_,
           {},
           "whose pixels offsets count: 'maps' those of the files, 'image' the photograph's, or HxW: the image as the "
           "network saw it",
           option_is::usual,
           [this] { return seen_text_; }},
          {"--stretched",
           &stretched_,
           {},
           "maps are of the image squeezed to another shape, as networks with a square input see it",
           option_is::unrecorded}},
         from_network | from_points},
        {weak_labels,
         {{"--semantic", &semantic_, has_id(), "weak semantic maps, PNG: 0 background, 1..C, 255 unknown"}},
         from_weak},
        {"Points",
         {{"--points", &points_, has_id(), "cues, text: lines 'x y class confidence', classes from 0"},
          {both("pseudo-thresh"), &transfer_.pseudo_thresh, {}, "cues count when their confidence is larger"}},
         from_weak | from_points},
        {weak_labels,
         {{"--class-count", &class_count_, whole(1, 254), "C: how many classes there are"},
          {"--supervision,--sup",
           choice(o.sup, {"cls", "point"}),
           {},
           "heat maps stand at centroids ('cls': cues are peaks) or at the cues ('point': someone's clicks)"},
          {"--sigma", &o.sigma, whole(1, 200), "width of a heat map's spot, in pixels"}},
         from_weak},
        {network,
         {{both("val-thresh"), &instances_.threshold, {}, "centres have a larger response"},
          {both("val-kernel"), &groups.kernel, odd(), "window that a centre must dominate, in pixels"},
          {"--beta", &groups.beta, within(0, 1e6), "tolerance of centres from offsets alone, in pixels; 0: none"},
          {"--apart", &groups.apart, within(0, 1e9), "distance of such a centre from the others, in pixels"},
          {"--relative", &groups.relative, within(0, 1e9),
           "the same as a fraction of the region's diagonal, instead of --apart; 0: off"},
          {"--plateau",
           choice(groups.plateaus, {"every", "one"}),
           {},
           "'every' cell of a flat top is a centre (the original), or 'one'"},
          {both("val-ignore"), &ignore_lone_, {}, "regions without a centre are no instances"}},
         from_network},
        {"",
         {{"--smallest", &o.smallest, whole(0, 1000000000), "pixels below which a region is passed over"}},
         from_network | from_weak},
        {weak_labels,
         {{"--several",
           choice(o.several, {"reject", "split"}),
           {},
           "a component with several cues: 'reject' it (the original), or 'split' it among them"},
          {"--centroid",
           choice(o.centre, {"truncated", "exact"}),
           {},
           "centroids are 'truncated' to whole pixels (the original) or 'exact'"},
          {"--targets", &targets_, {}, "also what a network is to learn: centres, offsets and weight, npy"}},
         from_weak},
        {"", tag_options("--tags", s.tags, s.tags_how, "what an image shows: other classes are passed over")},
        {"",
         {{"void_counts", [&s] { return s.void_counts; }},
          {"zero_based", [&s] { return s.tags_how.zero_based; }},
          {"tagged", [&s] { return !s.tags.empty(); }},
          {"overlay", [&s] { return s.overlay; }},
          {"scored", [&s] { return s.scored(); }}}}};
  }

  unsigned mode() const override { return weak() ? from_weak : points_.empty() ? from_network : from_points; }

  void get_ready(std::set<std::string> const& given) override
  {
    auto const refuse_but_in = [&](unsigned modes, std::string const& why) {
      for (auto const& group : table_)
        for (auto const& row : group.rows)
          if ((group.modes & modes) == 0 && given.contains(row.name())) throw usage_error(row.name() + why);
    };
    if (weak()) {
      refuse_but_in(from_weak, " belongs to a network's output, but --semantic says that labels come from weak ones");
      if (points_.empty()) throw usage_error("--semantic needs --points, which tell objects apart");
    } else {
      refuse_but_in(from_network | from_points, " belongs to weak labels, which --semantic names");
      for (auto const& [flag, value] :
           {std::pair{"--seg", &seg_}, std::pair{"--centres", &centres_}, std::pair{"--offsets", &offsets_}})
        if (value->empty())
          throw usage_error(std::string(flag) +
                            " is missing: bestie needs --seg, --centres and --offsets, or --semantic and --points");
      refuse_but_in(mode(), points_.empty() ? " needs --points" : " has no say where --points are the centres");
    }
    instances_.smallest = transfer_.labels.smallest;
    transfer_.score = cue_score::exact;  // files are read with the threshold: numbers count as they are written
    if (ignore_lone_) instances_.alone = lone_region::nothing;
    read_seen();
  }

  std::vector<input_file> inputs() const override
  {
    if (weak()) return {{"semantic", semantic_}, {"points", points_}};
    return {{"seg", seg_}, {"centres", centres_}, {"offsets", offsets_}, {"points", points_}};
  }

  answer label(cpu const& where, image_files& files) const override
  {
    return weak() ? transfer(where, files) : group(where, files);
  }

  double memory(image_files& files) const override
  {
    if (weak())
      return static_cast<double>(files.labels("semantic").size()) * 4 * static_cast<double>(class_count_ + 12);
    auto const seg = files.any_maps<3>("seg");
    auto const& [N, h, w] = seg.shape();
    auto const image = files.image_size({h, w});
    return static_cast<double>(image.height) * static_cast<double>(image.width) * 4 * 2 *
           static_cast<double>(2 * N + 8);
  }

 private:
  bool weak() const { return !semantic_.empty(); }

  void read_seen()
  {
    if (seen_text_ == "maps" || seen_text_ == "image") return;
    long long height = 0, width = 0;
    int used = 0;
    if (std::sscanf(seen_text_.c_str(), "%lldx%lld%n", &height, &width, &used) != 2 ||
        used != static_cast<int>(seen_text_.size()) || height < 1 || width < 1)
      throw usage_error("--seen " + seen_text_ + ": expected 'maps', 'image' or HxW");
    seen_ = {height, width};
  }

  /// Cues above the threshold, on cells of the map and each once; of a class below C.
  points read_points(image_files& files, extent2 image, index_t C) const
  {
    auto const path = files.path("points");
    auto const found = parse_points(files.file("points"), path, {.threshold = transfer_.pseudo_thresh});
    for (point const& p : found) {
      auto const at = "a point at x " + message_part(p.x) + ", y " + message_part(p.y);
      demand(p.category < C, path,
             at + " is of class " + std::to_string(p.category) + ", outside 0.." + std::to_string(C - 1));
      demand(lies_on(p, image), path,
             at + " is off the map of " + std::to_string(image.height) + " x " + std::to_string(image.width));
    }
    return points_on_cells(found, image);
  }

  /// Whether there are cues, but none of a class that the image has.
  static bool none_present(points const& cues, std::vector<std::int32_t> const& classes)
  {
    return !cues.empty() && std::none_of(cues.begin(), cues.end(), [&](point const& p) {
      return std::find(classes.begin(), classes.end(), p.category) != classes.end();
    });
  }

  /// The classes of the tags file, 0-based; without one nothing.
  static std::optional<std::vector<std::int32_t>> present(image_files const& files, index_t C)
  {
    auto const tags = files.tags(C);
    if (!tags) return std::nullopt;
    std::vector<std::int32_t> out;
    for (int const c : *tags) out.push_back(c - 1);
    return out;
  }

  static std::vector<int> labels_of(std::vector<std::int32_t> const& classes)
  {
    std::vector<int> out;
    for (auto const c : classes) out.push_back(c + 1);
    return out;
  }

  static std::vector<std::int32_t> all_classes(index_t C)
  {
    std::vector<std::int32_t> out(static_cast<std::size_t>(C));
    std::iota(out.begin(), out.end(), 0);
    return out;
  }

  answer group(cpu const& where, image_files& files) const
  {
    auto seg = files.maps<3>("seg"), centre = files.maps<3>("centres"), offset = files.maps<3>("offsets");
    index_t const N = seg.shape()[0], h = seg.shape()[1], w = seg.shape()[2];
    bool const channels_last = offset.shape()[2] == 2 && offset.shape()[0] == N && offset.shape()[1] == h;
    auto const expect = [&](std::string const& name, grid<float, 3> const& g, index_t channels) {
      demand(g.shape()[0] == channels && g.shape()[1] == h && g.shape()[2] == w, files.path(name),
             "the logits are " + shape_text(seg.shape()) + ", so " + shape_text(std::initializer_list{channels, h, w}) +
                 " is needed; it holds " + shape_text(g.shape()) +
                 (channels_last ? "; all three look like [h,w,C]: numpy.moveaxis(a, -1, 0) makes [C,h,w] of each"
                                : axes_hint({g.shape().begin(), g.shape().end()},
                                            [&](extent2 e) { return e == extent2{h, w}; })));
    };
    auto const image = files.image_size({h, w});
    auto const is_map = [&](extent2 e) { return e.height <= image.height && e.width <= image.width && fits(e, image); };
    demand(N >= 1 && N <= 255 && h >= 1 && w >= 1, files.path("seg"),
           "holds " + shape_text(seg.shape()) + "; [C+1,h,w] is needed, C at most 254" + axes_hint({N, h, w}, is_map));
    auto const size = std::to_string(image.height) + " x " + std::to_string(image.width);
    demand(h <= image.height && w <= image.width, files.path("seg"),
           "holds " + shape_text(seg.shape()) + ", more than the image's " + size + axes_hint({N, h, w}, is_map));
    demand(stretched_ || is_map({h, w}), files.path("seg"),
           "holds " + shape_text(seg.shape()) + ", no map of an image of " + size + scale_hint({N, h, w}, is_map));
    expect("centres", centre, N - 1);
    expect("offsets", offset, 2);
    if (extent2{h, w} != image)
      for (auto* const g : {&seg, &centre, &offset}) *g = fuse<float>(where, {{g->view()}}, image);

    auto options = instances_;
    options.seen = seen_text_ == "maps" ? extent2{h, w} : seen_text_ == "image" ? image : seen_;
    bestie_output<float> const in{seg.view(), centre.view(), offset.view()};
    auto const tagged = present(files, N - 1);
    auto classes = tagged.value_or(all_classes(N - 1));
    bestie_labels<> found;
    json about = json::object();
    if (files.has("points")) {
      auto const clicks = read_points(files, image, N - 1);
      if (!tagged)  // what the points name is what is there
        std::erase_if(classes, [&](auto c) {
          return std::none_of(clicks.begin(), clicks.end(), [c](point const& p) { return p.category == c; });
        });
      if (tagged && none_present(clicks, classes)) about[points_without_tag] = true;
      found = bestie_instances_at<float>(where, in, classes, clicks, options);
    } else {
      found = bestie_instances<float>(where, in, tagged, options);
    }
    return {std::move(found.semantic), std::move(found.objects), labels_of(classes), {}, {}, std::move(about)};
  }

  answer transfer(cpu const& where, image_files& files) const
  {
    auto const map = files.labels("semantic");
    index_t const H = map.shape()[0], W = map.shape()[1], C = class_count_;
    auto const strange =
        std::find_if(map.cells().begin(), map.cells().end(), [C](auto v) { return v > C && v != label::ignore; });
    if (strange != map.cells().end()) {
      index_t const at = strange - map.cells().begin();
      throw io_error(files.path("semantic") + ": value(" + std::to_string(at / W) + "," + std::to_string(at % W) +
                     ") is " + std::to_string(*strange) + ", outside 0.." + std::to_string(C) +
                     " and not 255; --class-count says how many classes there are" + label_map_hint(map, C));
    }
    auto const image = files.image_size({H, W});
    demand(image == extent2{H, W}, files.path("semantic"),
           "is " + std::to_string(H) + " x " + std::to_string(W) + ", but the image is " +
               std::to_string(image.height) + " x " + std::to_string(image.width) + turned_hint({H, W}, image));
    auto const tagged = present(files, C);
    auto const classes = tagged.value_or(all_classes(C));
    auto cues = read_points(files, image, C);
    auto const on_void = [&](point const& p) {
      auto const [y, x] = cell_of(p, {H, W});
      return map(y, x) == label::ignore;
    };
    demand(has_class(map) || std::none_of(cues.begin(), cues.end(), on_void), files.path("semantic"),
           "has no pixel of any class, but void where points name objects" + label_map_hint(map, C));
    centre_targets<> targets;
    try {
      if (targets_) targets = bestie_pseudo_labels(where, map, classes, cues, C, transfer_);
    } catch (precondition_error const& e) {
      throw io_error(files.path("points") + ": " + e.what());
    }

    bool const none = tagged && none_present(cues, classes);
    std::erase_if(
        cues, [&](point const& p) { return std::find(classes.begin(), classes.end(), p.category) == classes.end(); });
    auto semantic = present_classes(where, map, C, classes);
    answer out{
        {}, accepted_components(where, semantic, cues, transfer_.labels), labels_of(classes), {}, {}, json::object()};
    if (none) out.about[points_without_tag] = true;
    for (std::size_t i = 0; i < map.cells().size(); ++i)
      if (map.cells()[i] == label::ignore) semantic.cells()[i] = label::ignore;
    out.semantic = std::move(semantic);
    if (targets_) {
      auto const name = [&](char const* kind) { return "targets/" + files.id() + "." + kind + ".npy"; };
      out.files.emplace_back(name("centre"), format_npy(targets.centre.view()));
      out.files.emplace_back(name("offset"), format_npy(targets.offset.view()));
      out.files.emplace_back(name("weight"), format_npy(targets.weight.view()));
    }
    return out;
  }

  std::string seg_, centres_, offsets_, semantic_, points_, seen_text_ = "maps";
  extent2 seen_{};
  bestie_instance_options instances_;
  bestie_transfer_options transfer_;
  index_t class_count_ = 20;
  bool ignore_lone_ = false, targets_ = false, stretched_ = false;
};

}  // namespace

std::shared_ptr<method> make_bestie(settings& s) { return std::make_shared<bestie_method>(s); }

}  // namespace labelling
