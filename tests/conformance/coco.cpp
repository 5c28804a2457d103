// The evaluation that BESTIE's results are measured by: COCO's run lengths and AP, VOC's AP of masks.

#include "golden_case.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/coco_pairs.hpp>
#include <cambium/io/rle_masks.hpp>
#include <cambium/metric/coco_ap.hpp>
#include <cambium/metric/instance_ap.hpp>

using namespace cambium;

namespace conformance {
namespace {

std::string lines(std::vector<std::string> const& texts)
{
  std::string out;
  for (auto const& t : texts) out += t + "\n";
  return out;
}

std::vector<rle> encoded(grid<std::uint8_t, 3> const& masks)
{
  std::vector<rle> out;
  for (index_t i = 0; i < masks.shape()[0]; ++i) out.push_back(encode_rle(masks.view()[i]));
  return out;
}

void run_lengths(golden_case& c)
{
  std::vector<std::string> texts;
  std::vector<index_t> counts, offsets{0}, areas;
  std::vector<double> boxes;
  for (int i = 0; i < c.param<int>("count"); ++i) {
    std::string const name = (i < 10 ? "mask_0" : "mask_") + std::to_string(i);
    auto const mask = c.input<std::uint8_t, 2>(name);
    rle const runs = encode_rle(mask);
    texts.push_back(compressed_counts(runs));
    counts.insert(counts.end(), runs.counts.begin(), runs.counts.end());
    offsets.push_back(static_cast<index_t>(counts.size()));
    areas.push_back(runs.area());
    for (double const v : coco_box(bounds_of(runs))) boxes.push_back(v);
    if (!(parse_counts(texts.back(), {runs.height, runs.width}, name) == runs))
      c.fail(name + ": text does not come back");
    if (!(decode_rle(runs) == mask)) c.fail(name + ": mask does not come back");
  }
  c.result_text("counts.txt", lines(texts));
  c.result("raw_counts", counts);
  c.result("raw_offsets", offsets);
  c.result("area", areas);
  c.result("bbox", std::vector<index_t>{static_cast<index_t>(areas.size()), 4}, boxes);
}

void overlaps(golden_case& c)
{
  auto const crowd = c.input<std::uint8_t, 1>("iscrowd");
  c.result("iou", rle_iou(encoded(c.input<std::uint8_t, 3>("dt_masks")), encoded(c.input<std::uint8_t, 3>("gt_masks")),
                          {crowd.cells().begin(), crowd.cells().end()}));
}

void outlines(golden_case& c)
{
  auto const masks = encoded(c.input<std::uint8_t, 3>("masks"));
  c.result_text("merge.txt",
                lines({compressed_counts(merge_rle(masks)), compressed_counts(merge_rle(masks, merge::both))}));
  extent2 const image{c.param<index_t>("H"), c.param<index_t>("W")};
  auto const xy = c.input<double, 1>("poly_xy");
  auto const offsets = c.input<std::int32_t, 1>("poly_offsets");
  std::vector<std::string> polygons, boxes;
  for (index_t i = 0; i + 1 < offsets.size(); ++i)
    polygons.push_back(compressed_counts(rle_of_polygon(
        image, std::span(xy.data() + offsets(i), static_cast<std::size_t>(offsets(i + 1) - offsets(i))))));
  c.result_text("poly.txt", lines(polygons));
  auto const box = c.input<double, 2>("boxes");
  for (index_t i = 0; i < box.shape()[0]; ++i)
    boxes.push_back(compressed_counts(rle_of_box(image, box(i, 0), box(i, 1), box(i, 2), box(i, 3))));
  c.result_text("box.txt", lines(boxes));
}

void coco_evaluation(golden_case& c)
{
  auto const set = read_coco(c.folder / "gt.json");
  auto const results = read_coco_results(c.folder / "dt.json");
  auto const pairs = coco_pairs(cpu{}, set, results);
  auto const K = static_cast<index_t>(set.categories.size());
  auto const s = coco_ap(pairs, K);
  c.result("precision", std::vector<index_t>{s.thresholds, s.recalls, K, s.areas, s.limits}, s.precision);
  c.result("recall", std::vector<index_t>{s.thresholds, K, s.areas, s.limits}, s.recall);
  std::vector<double> all_100;  // the part of the larger cases
  for (index_t t = 0; t < s.thresholds; ++t)
    for (index_t r = 0; r < s.recalls; ++r)
      for (index_t k = 0; k < K; ++k) all_100.push_back(s.precision_at(t, r, k, 0, 2));
  c.result("precision_all_100", std::vector<index_t>{s.thresholds, s.recalls, K}, all_100);
  auto const t = summarise(s);
  c.result("stats", std::vector<double>{t.ap, t.ap50, t.ap75, t.ap_small, t.ap_medium, t.ap_large, t.ar1, t.ar10,
                                        t.ar100, t.ar_small, t.ar_medium, t.ar_large});
  std::vector<double> of_category;
  for (index_t k = 0; k < K; ++k)
    for (double const threshold : {-1., .5, .75}) of_category.push_back(average_precision_of(s, threshold, 0, 2, k));
  c.result("ap_per_category", std::vector<index_t>{K, 3}, of_category);
}

void voc_evaluation(golden_case& c)
{
  auto const predicted = c.input<std::uint8_t, 3>("pred_mask"), truth = c.input<std::uint8_t, 3>("gt_mask");
  auto const predicted_image = c.input<std::int32_t, 1>("pred_image"),
             truth_image = c.input<std::int32_t, 1>("gt_image");
  auto const predicted_label = c.input<std::int32_t, 1>("pred_label"),
             truth_label = c.input<std::int32_t, 1>("gt_label");
  auto const score = c.input<double, 1>("pred_score");
  auto const rows_of = [](grid<std::int32_t, 1> const& image, std::int32_t i) {
    std::vector<index_t> rows;
    for (index_t r = 0; r < image.size(); ++r)
      if (image(r) == i) rows.push_back(r);
    return rows;
  };
  auto const masks_of = [](grid<std::uint8_t, 3> const& all, std::vector<index_t> const& rows) {
    grid<std::uint8_t, 3> out(rows.size(), all.shape()[1], all.shape()[2]);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      auto const from = all.view()[rows[i]];
      std::copy(from.data, from.data + from.size(), &out(i, 0, 0));
    }
    return out;
  };
  std::vector<image_result> images;
  for (std::int32_t i = 0; i < c.param<std::int32_t>("images"); ++i) {
    image_result& r = images.emplace_back();
    auto const p = rows_of(predicted_image, i), g = rows_of(truth_image, i);
    for (index_t const row : p)
      r.predicted.push_back(predicted_label(row)), r.score.push_back(static_cast<float>(score(row)));
    for (index_t const row : g) r.truth.push_back(truth_label(row));
    r.iou = mask_iou(masks_of(predicted, p), masks_of(truth, g));
  }
  auto const ap = instance_ap(images, c.param<double>("iou_thresh"),
                              c.param<bool>("use_07_metric") ? ap_form::voc07 : ap_form::area);
  c.result("ap", ap.of_class);
  c.result("map", std::vector<double>{ap.mean});
}

}  // namespace

stage_table const& evaluation_stages()
{
  static stage_table const table{{"coco.rle", run_lengths},
                                 {"coco.iou", overlaps},
                                 {"coco.rle_poly", outlines},
                                 {"coco.eval", coco_evaluation},
                                 {"voc.eval", voc_evaluation}};
  return table;
}

}  // namespace conformance
