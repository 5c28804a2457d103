// BESTIE: instances from a network's classes, centres and offsets; or, before there is a network, pseudo labels from a
// semantic map and points.

#include "axes.hpp"
#include "flags.hpp"
#include "image_files.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>
#include <cambium/pipeline/bestie.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

namespace labelling {

using namespace cambium;

namespace {

std::vector<std::string> const supervision_words{"cls", "point"};
std::vector<std::string> const several_words{"reject", "split"};
std::vector<std::string> const centroid_words{"truncated", "exact"};
std::vector<std::string> const plateau_words{"every", "one"};

/// The components of a semantic map that exactly one cue, or with `split` at least one, says to be objects.
instances<> accepted_components(cpu const& where, grid<std::int32_t, 2> const& present, points const& cues,
                                transfer_options const& rules)
{
  auto const regions = find_regions(where, present, rules.smallest);
  auto const count = static_cast<index_t>(regions.categories.size());
  std::vector<std::pair<index_t, point>> found;
  std::vector<index_t> cues_of(static_cast<std::size_t>(count + 1), 0);
  for (point const& p : cues) {
    index_t const r = regions.label(static_cast<index_t>(p.y), static_cast<index_t>(p.x));
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
  for (std::size_t i = 0; i < groups.size(); ++i) {
    point const& centre = centres.at(static_cast<index_t>(i));
    categories.push_back(centre.category);
    if (groups[i].area > 0) scores.push_back(centre.score);
  }
  auto out = score_groups(where, ids, groups, categories, scored_by::class_only);
  for (std::size_t i = 0; i < out.found.size(); ++i) out.found[i].score = scores[i];
  return out;
}

class bestie_method : public method {
 public:
  void add_flags(CLI::App& parser, settings& s) override
  {
    std::string const network = "From a network", weak = "From weak labels", both_modes = "Points";
    add_template(parser, "--seg", seg_, "logits, npy float [C+1,h,w], channel 0 background")->group(network);
    add_template(parser, "--centres", centres_, "centre maps, npy float [C,h,w]")->group(network);
    add_template(parser, "--offsets", offsets_, "offsets (dy,dx) to the centre, npy float [2,h,w]")->group(network);
    parser
        .add_option(
            "--seen", seen_text_,
            "whose pixels offsets count: 'maps' those of the files, 'image' the photograph's, or HxW: the image "
            "as the network saw it")
        ->default_str("maps")
        ->group(network);
    add_switch(parser, "--stretched", stretched_,
               "maps are of the image squeezed to another shape, as networks with a square input see it")
        ->group(network);
    parser.add_option(both("val-thresh"), instances_.threshold, "centres have a larger response")->group(network);
    parser.add_option(both("val-kernel"), instances_.groups.kernel, "window that a centre must dominate, in pixels")
        ->check(odd())
        ->group(network);
    parser.add_option("--beta", instances_.groups.beta, "tolerance of centres from offsets alone, in pixels; 0: none")
        ->check(within(0.0, 1e6))
        ->group(network);
    parser.add_option("--apart", instances_.groups.apart, "distance of such a centre from the others, in pixels")
        ->check(within(0.0, 1e9))
        ->group(network);
    parser
        .add_option("--relative", instances_.groups.relative,
                    "the same as a fraction of the region's diagonal, instead of --apart; 0: off")
        ->check(within(0.0, 1e9))
        ->group(network);
    add_choice(parser, "--plateau", instances_.groups.plateaus, plateau_words,
               "'every' cell of a flat top is a centre (the original), or 'one'")
        ->group(network);
    add_switch(parser, both("val-ignore"), ignore_lone_, "regions without a centre are no instances")->group(network);

    add_template(parser, "--semantic", semantic_, "weak semantic maps, PNG: 0 background, 1..C, 255 unknown")
        ->group(weak);
    parser.add_option("--class-count", class_count_, "C: how many classes there are")
        ->check(CLI::Range(1, 254))
        ->group(weak);
    add_choice(parser, "--supervision,--sup", transfer_.labels.sup, supervision_words,
               "heat maps stand at centroids ('cls': cues are peaks) or at the cues ('point': someone's clicks)")
        ->group(weak);
    parser.add_option("--sigma", transfer_.labels.sigma, "width of a heat map's spot, in pixels")
        ->check(CLI::Range(1, 200))
        ->group(weak);
    add_choice(parser, "--several", transfer_.labels.several, several_words,
               "a component with several cues: 'reject' it (the original), or 'split' it among them")
        ->group(weak);
    add_choice(parser, "--centroid", transfer_.labels.centre, centroid_words,
               "centroids are 'truncated' to whole pixels (the original) or 'exact'")
        ->group(weak);
    add_switch(parser, "--targets", targets_, "also what a network is to learn: centres, offsets and weight, npy")
        ->group(weak);

    add_template(parser, "--points", points_, "cues, text: lines 'x y class confidence', classes from 0")
        ->group(both_modes);
    parser.add_option(both("pseudo-thresh"), transfer_.pseudo_thresh, "cues count when their confidence is larger")
        ->group(both_modes);
    parser.add_option("--smallest", transfer_.labels.smallest, "pixels below which a region is passed over")
        ->check(CLI::Range(0, 1000000000));
    add_tags(parser, s.tags, s.tags_how, "what an image shows: other classes are passed over");
  }

  void get_ready(CLI::App const& parser, settings const&) override
  {
    std::vector<std::string> const of_network{"--seg",       "--centres",    "--offsets",    "--seen",
                                              "--stretched", "--val-thresh", "--val-kernel", "--beta",
                                              "--apart",     "--relative",   "--plateau",    "--val-ignore"};
    std::vector<std::string> const of_weak{"--class-count", "--supervision", "--sigma",
                                           "--several",     "--centroid",    "--targets"};
    auto const refuse = [&](std::vector<std::string> const& flags, std::string const& why) {
      for (auto const& flag : flags)
        if (parser.count(flag) > 0) throw usage_error(flag + why);
    };
    if (weak()) {
      refuse(of_network, " belongs to a network's output, but --semantic says that labels come from weak ones");
      if (points_.empty()) throw usage_error("--semantic needs --points, which tell objects apart");
    } else {
      refuse(of_weak, " belongs to weak labels, which --semantic names");
      for (auto const& [flag, value] :
           {std::pair{"--seg", &seg_}, std::pair{"--centres", &centres_}, std::pair{"--offsets", &offsets_}})
        if (value->empty())
          throw usage_error(std::string(flag) +
                            " is missing: bestie needs --seg, --centres and --offsets, or --semantic and --points");
    }
    if (points_.empty() && parser.count("--pseudo-thresh") > 0) throw usage_error("--pseudo-thresh needs --points");
    if (!points_.empty() && !weak())
      refuse({"--val-thresh", "--val-kernel", "--beta", "--apart", "--relative", "--plateau", "--val-ignore",
              "--smallest"},
             " has no say where --points are the centres");
    for (double const v : {instances_.threshold, transfer_.pseudo_thresh})
      if (!std::isfinite(v)) throw usage_error("a number on the command line is not finite");
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

  json parameters(settings const& s) const override
  {
    json out;
    if (weak()) {
      auto const& o = transfer_.labels;
      out = {{"method", "bestie knowledge transfer"},
             {"pseudo_thresh", transfer_.pseudo_thresh},
             {"class_count", class_count_},
             {"supervision", supervision_words[static_cast<std::size_t>(o.sup)]},
             {"sigma", o.sigma},
             {"smallest", o.smallest},
             {"several", several_words[static_cast<std::size_t>(o.several)]},
             {"centroid", centroid_words[static_cast<std::size_t>(o.centre)]},
             {"targets", targets_}};
    } else if (!points_.empty()) {
      out = {{"method", "bestie network, points"}, {"seen", seen_text_}, {"pseudo_thresh", transfer_.pseudo_thresh}};
    } else {
      auto const& o = instances_.groups;
      out = {{"method", "bestie network"},
             {"seen", seen_text_},
             {"val_thresh", instances_.threshold},
             {"val_kernel", o.kernel},
             {"beta", o.beta},
             {"apart", o.apart},
             {"relative", o.relative},
             {"plateau", plateau_words[static_cast<std::size_t>(o.plateaus)]},
             {"val_ignore", ignore_lone_},
             {"smallest", instances_.smallest}};
    }
    out.update({{"void_counts", s.void_counts},
                {"zero_based", s.tags_how.zero_based},
                {"tagged", !s.tags.empty()},
                {"overlay", s.overlay},
                {"scored", s.scored()}});
    return out;
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

  /// Cues above the threshold; each on the map, of a class below C.
  points read_points(image_files& files, extent2 image, index_t C) const
  {
    auto const path = files.path("points");
    auto const found = parse_points(files.file("points"), path, {.threshold = transfer_.pseudo_thresh});
    for (point const& p : found) {
      auto const at = "a point at x " + message_part(p.x) + ", y " + message_part(p.y);
      demand(p.category < C, path,
             at + " is of class " + std::to_string(p.category) + ", outside 0.." + std::to_string(C - 1));
      demand(0 <= p.y && p.y < static_cast<double>(image.height) && 0 <= p.x && p.x < static_cast<double>(image.width),
             path, at + " is off the map of " + std::to_string(image.height) + " x " + std::to_string(image.width));
    }
    return found;
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
                                : axes_hint({g.shape().begin(), g.shape().end()}, [&](extent2 e) {
                                    return e == extent2{h, w};
                                  })));
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
    bestie_labels found;
    if (files.has("points")) {
      auto const clicks = read_points(files, image, N - 1);
      if (!tagged)  // what the points name is what is there
        std::erase_if(classes, [&](auto c) {
          return std::none_of(clicks.begin(), clicks.end(), [c](point const& p) { return p.category == c; });
        });
      found = bestie_instances_at<float>(where, in, classes, clicks, options);
    } else {
      found = bestie_instances<float>(where, in, tagged, options);
    }
    return {std::move(found.semantic), std::move(found.objects), labels_of(classes), {}, {}, json::object()};
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
    auto const classes = present(files, C).value_or(all_classes(C));
    auto cues = read_points(files, image, C);
    auto const on_void = [&](point const& p) {
      return map(static_cast<index_t>(p.y), static_cast<index_t>(p.x)) == label::ignore;
    };
    demand(has_class(map) || std::none_of(cues.begin(), cues.end(), on_void), files.path("semantic"),
           "has no pixel of any class, but void where points name objects" + label_map_hint(map, C));
    centre_targets targets;
    try {
      if (targets_) targets = bestie_pseudo_labels(where, map, classes, cues, C, transfer_);
    } catch (precondition_error const& e) {
      throw io_error(files.path("points") + ": " + e.what());
    }

    std::erase_if(
        cues, [&](point const& p) { return std::find(classes.begin(), classes.end(), p.category) == classes.end(); });
    auto semantic = present_classes(where, map, C, classes);
    answer out{
        {}, accepted_components(where, semantic, cues, transfer_.labels), labels_of(classes), {}, {}, json::object()};
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

std::shared_ptr<method> make_bestie() { return std::make_shared<bestie_method>(); }

}  // namespace labelling
