// The stages of sets of masks, each through the functions a user would call.

#include "golden_case.hpp"

#include <cambium/io/mask_runs.hpp>
#include <cambium/proposal/clean.hpp>
#include <cambium/proposal/matrix_nms.hpp>
#include <cambium/proposal/merge.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/pairwise.hpp>
#include <cambium/proposal/small_regions.hpp>
#include <cambium/proposal/stability.hpp>

#include <algorithm>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

/// The masks of an array of bytes or of truth values.
mask_set<> masks_of(golden_case const& c, std::string const& array)
{
  auto const from = c.read(array);
  grid<std::uint8_t, 3> cells(from.shape.at(0), from.shape.at(1), from.shape.at(2));
  std::transform(from.value.begin(), from.value.end(), cells.cells().begin(),
                 [](double v) { return static_cast<std::uint8_t>(v != 0); });
  return pack_masks(where, cells);
}

std::vector<std::int32_t> integers(golden_case const& c, std::string const& array)
{
  auto const from = c.read(array).value;
  std::vector<std::int32_t> out;
  for (double const v : from) out.push_back(static_cast<std::int32_t>(v));
  return out;
}

/// Boxes as the original has them: x1, y1, x2, y2, all inclusive, 0,0,0,0 without a cell.
grid<index_t, 2> corners(mask_set<> const& masks)
{
  grid<index_t, 2> out(masks.size(), 4);
  for (index_t i = 0; i < masks.size(); ++i) {
    auto const& m = masks.masks(i);
    if (m.area == 0) continue;
    out(i, 0) = m.bounds.left, out(i, 1) = m.bounds.top, out(i, 2) = m.bounds.right - 1,
           out(i, 3) = m.bounds.bottom - 1;
  }
  return out;
}

void stability_score(golden_case& c)
{
  auto const found =
      stability(where, c.input<float, 3>("logits"),
                {.threshold = c.param<double>("mask_threshold"), .offset = c.param<double>("threshold_offset")});
  std::vector<index_t> high, low;
  grid<double, 1> score(found.size());
  for (index_t i = 0; i < found.size(); ++i)
    high.push_back(found(i).high), low.push_back(found(i).low), score(i) = found(i).score;
  c.result("high_count", high);
  c.result("low_count", low);
  if (!c.degenerate) c.result("score", score);
}

void small(golden_case& c)
{
  auto const from = c.read("mask");
  grid<std::uint8_t, 3> cells(1, from.shape.at(0), from.shape.at(1));
  std::transform(from.value.begin(), from.value.end(), cells.cells().begin(),
                 [](double v) { return static_cast<std::uint8_t>(v); });
  auto const found = remove_small_regions(
      where, pack_masks(where, cells),
      {.area = c.param<double>("area_thresh"),
       .mode = c.param<std::string>("mode") == "holes" ? small_regions::holes : small_regions::islands});
  c.result("result", unpack_masks(where, found.masks).view()[0]);
  c.result("changed", std::vector<index_t>{}, {static_cast<double>(found.changed.at(0))});
}

void runs_and_boxes(golden_case& c)
{
  auto const masks = masks_of(c, "masks");
  auto const runs = encode_rle(where, masks);
  if (!(pack_masks(where, runs, masks.image) == masks)) c.fail("masks from runs are not the masks");
  std::vector<index_t> counts, offsets{0}, area;
  std::string text;
  for (auto const& r : runs) {
    counts.insert(counts.end(), r.counts.begin(), r.counts.end());
    offsets.push_back(static_cast<index_t>(counts.size()));
    area.push_back(r.area());
    text += compressed_counts(r) + "\n";
  }
  for (index_t i = 0; i < masks.size(); ++i)
    if (masks.masks(i).area != area[static_cast<std::size_t>(i)]) c.fail("an area is not that of the runs");
  c.result("counts", counts);
  c.result("offsets", offsets);
  c.result("area", area);
  c.result("boxes_xyxy", corners(masks));
  c.result_text("coco_counts.txt", text);
}

void suppression(golden_case& c)
{
  auto const masks = masks_of(c, "masks");
  auto const scores = c.read("scores").value;
  auto const categories = integers(c, "categories");
  c.result("keep_box_nms", box_nms(where, masks, scores, {c.param<double>("box_iou_threshold")}, categories));
  c.result("keep_mask_nms", mask_nms(where, masks, scores, {c.param<double>("mask_iou_threshold")}, categories));
}

void postprocess(golden_case& c)
{
  auto const found =
      clean_masks(where, masks_of(c, "masks"),
                  {.min_area = c.param<double>("min_area"), .nms_threshold = c.param<double>("nms_thresh")});
  c.result("keep", found.kept);
  c.result("masks_out", unpack_masks(where, found.masks));
  c.result("boxes_xyxy", corners(found.masks));
}

void pairwise(golden_case& c)
{
  auto const masks = masks_of(c, "masks");
  std::vector<index_t> area;
  for (auto const& m : masks.masks.cells()) area.push_back(m.area);
  c.result("area", area);
  c.result("intersection", pairwise_intersection(where, masks));
  c.result("iou", pairwise_iou(where, masks));
  c.result("containment", pairwise_containment(where, masks));
}

void matrix(golden_case& c)
{
  auto const masks = masks_of(c, "masks");
  auto const found =
      matrix_nms(where, masks, c.read("scores").value,
                 {.kernel = c.param<std::string>("kernel") == "linear" ? nms_kernel::linear : nms_kernel::gaussian,
                  .sigma = c.param<double>("sigma"),
                  .nms_pre = c.param<index_t>("nms_pre"),
                  .max_num = c.param<index_t>("max_num"),
                  .filter_thr = c.param<double>("filter_thr")},
                 integers(c, "labels"));
  std::vector<double> scores, decayed(static_cast<std::size_t>(masks.size()), -1);
  std::vector<index_t> kept;
  for (auto const& m : found) {
    scores.push_back(m.score), kept.push_back(m.index);
    decayed[static_cast<std::size_t>(m.index)] = m.score;
  }
  if (c.degenerate) return;
  c.result("scores_out", {static_cast<index_t>(scores.size())}, scores);
  c.result("decayed", {masks.size()}, decayed);
  c.result("keep_inds", kept);
}

void merge(golden_case& c)
{
  auto const variant = c.param<std::string>("variant");
  c.result("merged", merge_masks(where, masks_of(c, "masks"), c.input<std::uint8_t, 2>("pseudo_label"),
                                 {.classes = c.param<index_t>("num_cls") - 1,
                                  .form = variant == "max_iou"       ? merge_form::max_iou
                                          : variant == "max_iou_imp" ? merge_form::max_iou_imp
                                                                     : merge_form::max_iou_imp2}));
}

}  // namespace

stage_table const& proposal_stages()
{
  static stage_table const table{{"mask_set.stability", stability_score}, {"mask_set.small_regions", small},
                                 {"mask_set.rle_box", runs_and_boxes},    {"mask_set.nms", suppression},
                                 {"mask_set.postprocess", postprocess},   {"mask_set.pairwise", pairwise},
                                 {"mask_set.matrix_nms", matrix},         {"mask_set.merge", merge}};
  return table;
}

}  // namespace conformance
