// Mask proposals of a model that knows no classes, and weak labels that do: a semantic map, CAMs, points or boxes.

#include "axes.hpp"
#include "box_files.hpp"
#include "chosen_masks.hpp"
#include "image_files.hpp"
#include "options.hpp"
#include "proposal_files.hpp"
#include "summary.hpp"
#include "weak_maps.hpp"

#include <cambium/activation/fuse.hpp>
#include <cambium/core/label.hpp>
#include <cambium/io/label_map.hpp>
#include <cambium/io/mask_runs.hpp>
#include <cambium/io/photograph.hpp>
#include <cambium/io/points.hpp>
#include <cambium/proposal/merge.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/paint.hpp>
#include <cambium/proposal/small_regions.hpp>
#include <cambium/proposal/vote.hpp>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

namespace labelling {

using namespace cambium;

namespace {

enum proposals_mode : unsigned { by_semantic = 1, by_cams = 2, by_points = 4, by_xml = 8, by_coco = 16, by_boxes = 24 };

/// What semantic/ holds in the mode of a semantic map.
enum class semantic_from { max_iou, max_iou_imp, max_iou_imp2, instances };

/// What pixels of a box without a mask are.
enum class unmatched_box { undecided, background };

class proposals_method : public method {
 public:
  explicit proposals_method(settings& s) : s_(s)
  {
    table_ = {
        {"",
         {{"method",
           [this] {
             return std::string("proposals, ") + (mode() == by_semantic ? "semantic"
                                                  : mode() == by_cams   ? "cams"
                                                  : mode() == by_points ? "points"
                                                                        : "boxes");
           }},
          {"--proposals",
           &proposals_.path,
           {},
           "masks, JSON: a template of the mask generator's lists, or one file of COCO's results",
           option_is::required}}},
        {"Classes (one of these)",
         {{"--semantic", &semantic_, has_id(), "semantic maps, PNG: 0 background, 1..C, 255 unknown"},
          {"--cams", &cams_, has_id(), "class activation maps, npy float [C,h,w]"},
          {"--points", &points_, has_id(), "points, text: lines 'x y class confidence', classes from 0"},
          {"--boxes", &boxes_.path, {}, "boxes: a template of VOC's XML files, or a COCO file"}}},
        {"Classes (one of these)",
         {{"--class-count", &class_count_, whole(1, 254), "C: how many classes there are"}},
         by_semantic | by_points},
        {"Masks",
         {{both("min-score"), &min_score_, {}, "masks with a smaller score (predicted_iou, or score) are left out"},
          {both("min-stability"), &min_stability_, {}, "masks with a smaller stability_score are left out"},
          {both("min-region"), &min_region_, within(0, 1e12),
           "holes of fewer pixels are filled, then islands of fewer are cleared; 0: neither"},
          {both("nms-threshold"), &nms_.threshold, within(0, 1),
           "a mask that overlaps a better one of its class by more is left out; 1: none is"},
          {"--order",
           choice(paint_.order, {"by_score", "largest_first", "smallest_first"}),
           {},
           "which masks of instances are painted first; later ones cover earlier ones"},
          {"--visible", &paint_.visible, within(0, 1), "an instance of which a smaller share is seen is left out"}}},
        {"Masks",
         {{"--background",
           &vote_.background,
           {},
           "what the mean of a CAM over a mask, or a class's share of it, must exceed"}},
         by_semantic | by_cams},
        {"Masks",
         {{"--merge",
           choice(merge_, {"max_iou", "max_iou_imp", "max_iou_imp2", "instances"}),
           {},
           "what semantic/ holds: the semantic map whose classes took masks, or the classes of the instances"},
          {"--inside", &inside_, within(0, 1), "a class takes a mask of which a larger share lies in it"},
          {"--holds", &holds_, within(1e-9, 1), "max_iou_imp2: or one that holds at least this share of it"},
          {both("keep-unknown"),
           &keep_unknown_,
           {},
           "255 of the semantic map that no class takes stays 255 in semantic/, instead of becoming 0",
           option_is::usual,
           [this] { return keep_unknown_ ? json(true) : json(); }}},
         by_semantic},
        {"Masks",
         {{"--choice",
           choice(choice_.choice, {"best", "smallest", "largest"}),
           {},
           "which of the masks that hold a point it takes"},
          {"--alone", &choice_.alone, {}, "only masks that hold no other point"},
          {both("pseudo-thresh"), &pseudo_thresh_, {}, "points count when their confidence is larger"}},
         by_points},
        {"Masks",
         {{both("min-box-iou"), &box_choice_.min_iou, within(0, 1),
           "overlap with a mask's own box that a box needs to take it"},
          {"--unmatched",
           choice(unmatched_, {"undecided", "background"}),
           {},
           "what pixels of a box without a mask are where no mask is: 255 ('undecided'), or 0 ('background')"},
          {"boxes_sha256", [this] { return boxes_.xml() ? json() : json(boxes_.shared_hash()); }}},
         by_boxes},
        {"Masks",
         {boxes_.names_option(),
          {"names_sha256", [this] { return boxes_.shared_hash().empty() ? json() : json(boxes_.shared_hash()); }},
          boxes_.zero_based_option()},
         by_xml},
        {"Masks", {boxes_.crowds_option()}, by_coco},
        {"Classes (one of these)",
         tag_options("--tags", s.tags, s.tags_how, "the class of each CAM's channel, or what an image shows")},
        {"",
         {{"proposals_sha256", [this] { return proposals_.shared() ? json(proposals_.shared_hash()) : json(); }},
          {"names_of_proposals_sha256",
           [this] { return proposals_.names_hash().empty() ? json() : json(proposals_.names_hash()); }},
          {"void_counts", [&s] { return s.void_counts; }},
          {"zero_based", [&s] { return s.tags_how.zero_based; }},
          {"tagged", [&s] { return !s.tags.empty(); }},
          {"overlay", [&s] { return s.overlay; }},
          {"scored", [&s] { return s.scored(); }}}}};
  }

  unsigned mode() const override
  {
    return !semantic_.empty() ? by_semantic
           : !cams_.empty()   ? by_cams
           : !points_.empty() ? by_points
           : boxes_.xml()     ? by_xml
                              : by_coco;
  }

  void get_ready(std::set<std::string> const& given) override
  {
    std::pair<char const*, std::string const*> const sources[] = {
        {"--semantic", &semantic_}, {"--cams", &cams_}, {"--points", &points_}, {"--boxes", &boxes_.path}};
    std::string first;
    for (auto const& [flag, value] : sources) {
      if (value->empty()) continue;
      if (!first.empty()) throw usage_error(first + " and " + flag + " both name classes; one of them is needed");
      first = flag;
    }
    if (first.empty())
      throw usage_error("masks have no classes: proposals need --semantic, --cams, --points or --boxes");
    for (auto const& group : table_)
      for (auto const& row : group.rows)
        if ((group.modes & mode()) == 0 && given.contains(row.name()))
          throw usage_error(row.name() + " means nothing with " + first);
    if ((mode() & by_boxes) != 0 && !s_.tags.empty()) throw usage_error("--tags means nothing with --boxes");
    if (proposals_.path.empty()) throw usage_error("--proposals is empty");
    expects_inputs_kept({proposals_.shared_path(), boxes_.shared_path(), boxes_.names_file}, s_.out, summary_files);
    if ((mode() & by_boxes) != 0) boxes_.open();
    proposals_.open(min_stability_ != 0);
  }

  void look_at(std::vector<std::string> const& ids) const override
  {
    if (mode() == by_coco)
      if (auto const note = boxes_.note_on(ids); !note.empty()) std::fprintf(stderr, "note: %s\n", note.c_str());
    proposals_.look_at(ids, numbers_of_boxes());
    expects_classes(ids, semantic_, is_void_only,
                    "has no pixel of any class" + label_map_hint({label::background, label::ignore}, class_count_));
  }

  std::vector<input_file> inputs() const override
  {
    return {{"proposals", proposals_.path_template()},
            {"semantic", semantic_},
            {"cams", cams_},
            {"points", points_},
            {"boxes", boxes_.path_template()}};
  }

  std::vector<named_category> categories() const override { return boxes_.categories(); }

  std::optional<std::vector<std::int64_t>> image_numbers(std::vector<std::string> const& ids) const override
  {
    return mode() == by_coco ? boxes_.image_numbers(ids) : std::nullopt;
  }

  answer label(cpu const& where, image_files& files) const override
  {
    auto const size = files.image_size({});
    auto found = masks_of(where, files, size);
    answer out;
    chosen_masks chosen;
    json notes = json::object();
    grid<std::uint8_t, 2> ignored;  // neither objects nor background: crowds, boxes without a mask
    switch (mode()) {
      case by_semantic:
        chosen = choose_by_map(where, files, found, out, ignored, notes);
        break;
      case by_cams:
        chosen = choose_by_cams(where, files, found, out);
        break;
      case by_points:
        chosen = choose_at_points(files, found, out, notes);
        break;
      default:
        chosen = choose_in_boxes(files, found, out, ignored, notes);
    }
    chosen.keep_the_best(where, found.masks, nms_);
    out.objects = paint_instances(where, found.masks, chosen.categories, chosen.scores, paint_);
    if (out.semantic.size() == 0) {
      out.semantic = out.objects.label;
      for (auto& cell : out.semantic.cells())
        if (cell > 0) cell = out.objects.found[static_cast<std::size_t>(cell - 1)].category + 1;
      for (std::size_t i = 0; i < ignored.cells().size(); ++i)
        if (ignored.cells()[i] != 0 && out.semantic.cells()[i] == label::background)
          out.semantic.cells()[i] = label::ignore;
    }
    auto const kept = std::count_if(chosen.categories.begin(), chosen.categories.end(), [](auto c) { return c >= 0; });
    out.about["masks"] = {{"read", found.read}, {"used", found.masks.size()}, {"of_a_class", kept}};
    if (!notes.empty()) out.about["notes"] = std::move(notes);
    return out;
  }

  double memory(image_files& files) const override
  {
    auto const found = proposals_.find(files, numbers_of_boxes());
    auto const H = found.empty() ? 0 : found[0].segmentation.height,
               W = found.empty() ? 0 : found[0].segmentation.width;
    double runs = 0;
    for (auto const& p : found) runs += static_cast<double>(p.segmentation.counts.size());
    double const cells = static_cast<double>(H) * static_cast<double>(W);
    double channels = 0;
    if (mode() == by_cams) channels = static_cast<double>(files.any_maps<3>("cams").shape()[0]);
    return 16 * runs + cells * (static_cast<double>(found.size()) / 8 + 16 + 4 * channels);
  }

 private:
  /// The numbers of images in the COCO file of boxes, where there is one.
  proposal_files::numbers numbers_of_boxes() const
  {
    if (mode() != by_coco) return {};
    return [this](std::string const& id) {
      auto const number = boxes_.image_number(id);
      demand(number.has_value(), boxes_.path, "says nothing about '" + id + "'");
      return number;
    };
  }

  /// Masks above the limits of score and stability, without their small holes and islands.
  image_proposals masks_of(cpu const& where, image_files& files, extent2 image) const
  {
    auto all = proposals_.find(files, numbers_of_boxes());
    auto const path = proposals_.path_of(files);
    image_proposals out;
    out.read = all.size();
    if (image == extent2{} && !all.empty()) image = {all[0].segmentation.height, all[0].segmentation.width};
    std::vector<rle> runs;
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto& mask = all[i].segmentation;
      demand(extent2{mask.height, mask.width} == image, path,
             "mask " + std::to_string(i) + " of '" + files.id() + "' is " + std::to_string(mask.height) + " x " +
                 std::to_string(mask.width) + ", but the image " + std::to_string(image.height) + " x " +
                 std::to_string(image.width) + turned_hint({mask.height, mask.width}, image));
      if (all[i].score < min_score_ || all[i].stability < min_stability_) continue;
      runs.push_back(std::move(mask));
      out.scores.push_back(all[i].score);
    }
    if (image == extent2{}) image = size_of_classes(files);
    out.masks = pack_masks(where, runs, image);
    if (min_region_ > 0) {
      out.masks = remove_small_regions(where, out.masks, {min_region_, small_regions::holes}).masks;
      out.masks = remove_small_regions(where, out.masks, {min_region_, small_regions::islands}).masks;
    }
    return out;
  }

  /// The size of an image without photograph and without masks.
  extent2 size_of_classes(image_files& files) const
  {
    if (mode() == by_semantic) {
      auto const map = files.labels("semantic");
      return {map.shape()[0], map.shape()[1]};
    }
    if ((mode() & by_boxes) != 0) return known_boxes(files, {}).image;
    throw io_error(proposals_.path_of(files) + ": has no mask of '" + files.id() +
                   "', and without --images nothing tells how large the image is");
  }

  chosen_masks choose_by_map(cpu const& where, image_files& files, image_proposals const& found, answer& out,
                             grid<std::uint8_t, 2>& ignored, json& notes) const
  {
    auto map = files.labels("semantic");
    auto const [H, W] = found.masks.image;
    index_t const C = class_count_;
    demand(map.shape()[0] == H && map.shape()[1] == W, files.path("semantic"),
           "is " + std::to_string(map.shape()[0]) + " x " + std::to_string(map.shape()[1]) + ", but the masks are " +
               std::to_string(H) + " x " + std::to_string(W) + turned_hint({map.shape()[0], map.shape()[1]}, {H, W}));
    auto const strange =
        std::find_if(map.cells().begin(), map.cells().end(), [C](auto v) { return v > C && v != label::ignore; });
    if (strange != map.cells().end())
      throw io_error(files.path("semantic") + ": holds " + std::to_string(*strange) + ", outside 0.." +
                     std::to_string(C) + " and not 255; --class-count says how many classes there are" +
                     label_map_hint(map, C));
    if (is_void_only(map)) notes[void_only_words] = 1;
    out.classes = files.tags(C).value_or(all_classes(C));
    out.baseline = map;
    if (keep_unknown_) {
      ignored = grid<std::uint8_t, 2>(H, W);
      for (std::size_t i = 0; i < map.cells().size(); ++i) ignored.cells()[i] = map.cells()[i] == label::ignore;
    }
    for (auto& cell : map.cells())
      if (cell != label::ignore && std::find(out.classes.begin(), out.classes.end(), cell) == out.classes.end())
        cell = label::background;
    if (merge_ != semantic_from::instances)
      out.semantic = merge_masks(where, found.masks, map,
                                 {.classes = C,
                                  .form = static_cast<merge_form>(merge_),
                                  .inside = inside_,
                                  .holds = holds_,
                                  .keep_ignore = keep_unknown_});
    return {vote_by_labels(where, found.masks, map, C, vote_), found.scores};
  }

  chosen_masks choose_by_cams(cpu const& where, image_files& files, image_proposals const& found, answer& out) const
  {
    auto cams = files.maps<3>("cams");
    auto const [H, W] = found.masks.image;
    index_t const C = cams.shape()[0], h = cams.shape()[1], w = cams.shape()[2];
    extent2 const image{H, W};
    auto const is_map = [&](extent2 e) { return e.height <= image.height && e.width <= image.width && fits(e, image); };
    demand(C >= 1 && C <= 254 && h >= 1 && w >= 1, files.path("cams"),
           "holds " + shape_text(cams.shape()) + "; [C,h,w] is needed, with 254 classes at most" +
               axes_hint({C, h, w}, is_map));
    demand(is_map({h, w}), files.path("cams"),
           "holds " + shape_text(cams.shape()) + ", no map of an image of " + std::to_string(H) + " x " +
               std::to_string(W) + axes_hint({C, h, w}, is_map));
    if (extent2{h, w} != image) cams = fuse<float>(where, {{cams.view()}}, image);
    out.classes = files.channel_classes(C);
    auto votes = vote_by_maps(where, found.masks, cams, vote_);
    for (auto& v : votes)
      if (v.category >= 0) v.category = out.classes[static_cast<std::size_t>(v.category)] - 1;
    return {votes, found.scores};
  }

  chosen_masks choose_at_points(image_files& files, image_proposals const& found, answer& out, json& notes) const
  {
    auto const path = files.path("points");
    auto at = parse_points(files.file("points"), path, {.threshold = pseudo_thresh_});
    index_t const C = class_count_;
    for (point const& p : at)
      demand(p.category < C, path,
             "a point at x " + message_part(p.x) + ", y " + message_part(p.y) + " is of class " +
                 std::to_string(p.category) + ", outside 0.." + std::to_string(C - 1));
    auto const tags = files.tags(C);
    auto const tagged = [&](point const& p) { return contains(*tags, p.category + 1); };
    if (tags && !at.empty() && std::none_of(at.begin(), at.end(), tagged)) out.about[points_without_tag] = true;
    if (tags) std::erase_if(at, [&](point const& p) { return !contains(*tags, p.category + 1); });
    std::vector<std::int32_t> classes;
    for (point const& p : at) classes.push_back(p.category + 1);
    out.classes = tags.value_or(distinct(classes));
    std::vector<index_t> which;
    try {
      which = choose_by_points(found.masks, found.scores, at, choice_);
    } catch (precondition_error const& e) {
      throw io_error(path + ": " + e.what());
    }
    chosen_masks chosen(found.scores.size());
    for (std::size_t k = 0; k < at.size(); ++k) chosen.take(found.scores, which[k], at[k].category, at[k].score);
    std::size_t lost = 0;
    for (std::size_t k = 0; k < at.size(); ++k) lost += !chosen.has(which[k], at[k].category);
    out.about["points"] = {{"read", at.size()}, {"with_mask", at.size() - lost}};
    if (lost > 0) notes["points that no mask fits"] = lost;
    return chosen;
  }

  chosen_masks choose_in_boxes(image_files& files, image_proposals const& found, answer& out,
                               grid<std::uint8_t, 2>& ignored, json& notes) const
  {
    auto const path = boxes_.path_of(files);
    auto const image = found.masks.image;
    auto known = known_boxes(files, image);
    known.say_notes();
    demand(known.error.empty(), path, known.error);
    demand(known.image == image, path,
           "is of an image of " + std::to_string(known.image.height) + " x " + std::to_string(known.image.width) +
               ", but the masks are " + std::to_string(image.height) + " x " + std::to_string(image.width));
    std::vector<box> bounds;
    std::vector<std::int32_t> classes;
    for (auto const& b : known.boxes) bounds.push_back(b.bounds), classes.push_back(b.category + 1);
    out.classes = distinct(classes);
    ignored = std::move(known.ignored);
    auto const which = choose_by_boxes(found.masks, found.scores, bounds, box_choice_);
    chosen_masks chosen(found.scores.size());
    for (std::size_t k = 0; k < bounds.size(); ++k) chosen.take(found.scores, which[k], classes[k] - 1, 1);
    bool const undecided = unmatched_ == unmatched_box::undecided;
    std::size_t lost = 0;
    for (std::size_t k = 0; k < bounds.size(); ++k) {
      if (chosen.has(which[k], classes[k] - 1)) continue;
      ++lost;
      if (!undecided) continue;
      if (ignored.size() == 0) ignored = grid<std::uint8_t, 2>(image.height, image.width);
      auto const& b = bounds[k];
      for (index_t y = b.top; y < b.bottom; ++y) std::fill_n(&ignored(y, b.left), b.right - b.left, std::uint8_t{1});
    }
    out.about["boxes"] = {{"read", bounds.size()}, {"with_mask", bounds.size() - lost}};
    if (lost > 0)
      notes[undecided ? "boxes that no mask fits, 255 in semantic/" : "boxes that no mask fits, 0 in semantic/"] = lost;
    return chosen;
  }

  /// What the boxes' file says of an image. @throws io_error: nothing
  boxes_of_image known_boxes(image_files& files, extent2 image) const
  {
    auto found = boxes_.find(files, image);
    demand(found.has_value(), boxes_.path_of(files), "says nothing about '" + files.id() + "'");
    return std::move(*found);
  }

  static bool contains(std::vector<int> const& all, int one)
  {
    return std::find(all.begin(), all.end(), one) != all.end();
  }
  static std::vector<int> all_classes(index_t C)
  {
    std::vector<int> out(static_cast<std::size_t>(C));
    std::iota(out.begin(), out.end(), 1);
    return out;
  }
  static std::vector<int> distinct(std::vector<std::int32_t> classes)
  {
    std::sort(classes.begin(), classes.end());
    classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
    return {classes.begin(), classes.end()};
  }
  settings const& s_;
  proposal_files proposals_;
  std::string semantic_, cams_, points_;
  box_files boxes_;
  std::int64_t class_count_ = 20;
  double min_score_ = 0, min_stability_ = 0, min_region_ = 0, inside_ = 0.5, holds_ = 0.85;
  double pseudo_thresh_ = 0;
  nms_options nms_;
  paint_options paint_;
  vote_options vote_;
  semantic_from merge_ = semantic_from::max_iou_imp2;
  point_choice_options choice_;
  box_choice_options box_choice_;
  unmatched_box unmatched_ = unmatched_box::undecided;
  bool keep_unknown_ = false;
};

}  // namespace

std::shared_ptr<method> make_proposals(settings& s) { return std::make_shared<proposals_method>(s); }

}  // namespace labelling
