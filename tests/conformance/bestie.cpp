// The stages of BESTIE, each through the functions a user would call.

#include "golden_case.hpp"

#include <cambium/activation/peak_attention.hpp>
#include <cambium/component/statistics.hpp>
#include <cambium/pipeline/bestie.hpp>

#include <algorithm>
#include <cstdio>
#include <limits>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

/// The 0-based classes of a multi-hot row.
std::vector<std::int32_t> present(float const* row, index_t C)
{
  std::vector<std::int32_t> out;
  for (index_t i = 0; i < C; ++i)
    if (row[i] != 0) out.push_back(static_cast<std::int32_t>(i));
  return out;
}
/// An input of any integer type.
template <int Rank>
grid<std::int32_t, Rank> integers(golden_case const& c, std::string const& array)
{
  auto const from = c.read(array);
  index_t extents[Rank];
  for (int r = 0; r < Rank; ++r) extents[r] = from.shape.at(static_cast<std::size_t>(r));
  auto out = make_grid<std::int32_t>(extents);
  std::transform(from.value.begin(), from.value.end(), out.cells().begin(),
                 [](double v) { return static_cast<std::int32_t>(v); });
  return out;
}

std::vector<std::int32_t> present(grid<float, 1> const& row) { return present(row.data(), row.size()); }

// --- classifier and peaks -----------------------------------------------------------------------

void pam_forward(golden_case& c)
{
  auto const x = c.input<float, 4>("x"), gradient = c.input<float, 4>("grad_y");
  auto const& e = x.shape();
  view<float const, 3> const maps(x.data(), {e[0] * e[1], e[2], e[3]}),
      down(gradient.data(), {e[0] * e[1], e[2], e[3]});
  auto const y = peak_attention(where, maps, {.alpha = c.param<double>("alpha")});
  auto const up = peak_attention_gradient(where, maps, down, {.alpha = c.param<double>("alpha")});
  c.result("y", view<float const, 4>(y.data(), {e[0], e[1], e[2], e[3]}));
  c.result("grad_x", view<float const, 4>(up.data(), {e[0], e[1], e[2], e[3]}));
}

extent2 size_of(golden_case const& c, char const* key) { return {c.params.at(key).at(0), c.params.at(key).at(1)}; }

void cam_normalize(golden_case& c)
{
  auto const cam = c.input<float, 4>("cam");
  auto const label = c.input<float, 2>("label");
  auto const size = size_of(c, "size");
  grid<float, 4> out(cam.shape()[0], cam.shape()[1], size.height, size.width);
  for (index_t b = 0; b < cam.shape()[0]; ++b) {
    auto const one = class_maps(where, cam.view()[b], size, present(&label(b, 0), cam.shape()[1]));
    std::copy(one.cells().begin(), one.cells().end(), &out(b, 0, 0, 0));
  }
  c.result("y", out);
}

void smoothing(golden_case& c) { c.result("y", smooth(where, c.input<float, 3>("heat"), c.param<index_t>("kernel"))); }

std::vector<golden_case::ranked> all_maxima(grid<float, 3> const& heat, grid<std::uint8_t, 3> const& keep)
{
  std::vector<golden_case::ranked> out;
  for (index_t n = 0; n < heat.shape()[0]; ++n)
    for (index_t y = 0; y < heat.shape()[1]; ++y)
      for (index_t x = 0; x < heat.shape()[2]; ++x)
        if (keep(n, y, x) != 0) out.push_back({n, static_cast<double>(heat(n, y, x)), y, x});
  return out;
}

std::vector<golden_case::ranked> ranking(grid<point, 1> const& found)
{
  std::vector<golden_case::ranked> out;
  for (point const& p : found.cells())
    out.push_back({p.category, p.score, static_cast<index_t>(p.y), static_cast<index_t>(p.x)});
  return out;
}

void peak_extract(golden_case& c)
{
  auto const heat = c.input<float, 3>("heat");
  index_t const K = c.param<index_t>("K"), kernel = c.param<index_t>("kernel"), C = heat.shape()[0];
  auto const keep = local_maxima(where, heat, kernel);
  auto const found = ranking(extract_peaks(where, heat, {.kernel = kernel, .most = K, .threshold = 0}));
  std::vector<golden_case::ranked> got, want;
  grid<float, 2> scores(C, K);
  auto const score = c.read("topk_scores").value, y = c.read("topk_y").value, x = c.read("topk_x").value;
  for (index_t n = 0; n < C; ++n) {
    index_t rank = 0;
    for (auto const& f : found)
      if (f.channel == n) scores(n, rank++) = static_cast<float>(f.score), got.push_back(f);
    for (; rank < K; ++rank) got.push_back({n, 0, 0, 0});  // the original fills up with zeros
    for (index_t k = 0; k < K; ++k) {
      auto const i = static_cast<std::size_t>(n * K + k);
      want.push_back({n, score.at(i), static_cast<index_t>(y.at(i)), static_cast<index_t>(x.at(i))});
    }
  }
  c.result("keep", keep);
  c.result("topk_scores", scores);
  c.result_tied({"topk_y", "topk_x"}, got, want, K, all_maxima(heat, keep));
}

void extract_peak(golden_case& c)
{
  auto const heat = c.input<float, 3>("heat");
  index_t const K = c.param<index_t>("K"), kernel = c.param<index_t>("kernel");
  auto const found = extract_peaks(where, heat, {.kernel = kernel, .most = K, .threshold = c.param<double>("thresh")});
  std::vector<golden_case::ranked> want;
  auto const rows = c.read("peaks");
  for (std::size_t i = 0; i < rows.value.size(); i += 3) {
    auto const n = static_cast<index_t>(rows.value[i]), x = static_cast<index_t>(rows.value[i + 1]),
               y = static_cast<index_t>(rows.value[i + 2]);
    want.push_back({n, static_cast<double>(heat(n, y, x)), y, x});
  }
  c.result_tied({"peaks"}, ranking(found), want, K, all_maxima(heat, local_maxima(where, heat, kernel)));
}

void point_file(golden_case& c)
{
  auto const size = size_of(c, "ori_size_hw");
  bestie_peak_options const options{c.param<index_t>("smoothing_kernel"),
                                    {.kernel = c.param<index_t>("nms_kernel"),
                                     .most = c.param<index_t>("K"),
                                     .threshold = c.param<double>("conf_thresh")}};
  for (int i = 0; c.has("raw_" + std::to_string(i)); ++i) {
    auto const n = std::to_string(i);
    auto const raw = c.input<float, 4>("raw_" + n);
    auto const classes = present(c.input<float, 1>("label_" + n));
    auto const mean = mean_with_mirrored(where, class_maps(where, raw.view()[0], size, classes),
                                         class_maps(where, raw.view()[1], size, classes));
    c.result("cam_avg_" + n, mean);
    c.result("cam_smooth_" + n, smooth(where, mean, options.smoothing));
    std::string text;
    for (point const& p : to_vector(where, bestie_peaks(where, raw.view()[0], raw.view()[1], size, classes, options))) {
      char line[80];
      std::snprintf(line, sizeof line, "%d %d %d %.3f\n", static_cast<int>(p.x), static_cast<int>(p.y), p.category,
                    p.score);
      text += line;
    }
    c.result_text("peaks_" + n + ".txt", text);
  }
}

// --- centre maps and labels ---------------------------------------------------------------------

void gaussian(golden_case& c) { c.result("g", heat_kernel(c.param<int>("sigma"))); }

void stamp(golden_case& c)
{
  auto const rows = integers<2>(c, "points");
  points all;
  for (index_t i = 0; i < rows.shape()[0]; ++i)
    all.push_back({static_cast<double>(rows(i, 1)), static_cast<double>(rows(i, 0)), rows(i, 2)});
  c.result("center_map", centre_map(where, all, c.param<index_t>("C"), {c.param<index_t>("H"), c.param<index_t>("W")},
                                    {.sigma = c.param<int>("sigma")}));
}

void stamp_frac(golden_case& c)
{
  auto const rows = c.input<double, 2>("points_xy");
  index_t const n = rows.shape()[0], H = c.param<index_t>("H"), W = c.param<index_t>("W");
  grid<std::uint8_t, 1> status(n);
  grid<float, 3> maps(n, H, W);
  for (index_t i = 0; i < n; ++i) try {
      auto const map = centre_map(where, {{rows(i, 1), rows(i, 0)}}, 1, {H, W}, {.sigma = c.param<int>("sigma")});
      std::copy(map.cells().begin(), map.cells().end(), &maps(i, 0, 0));
    } catch (precondition_error const&) {
      status(i) = 1;
    }
  c.result("status", status);
  c.result("maps", maps);
}

void pseudo(golden_case& c)
{
  auto const rows = integers<2>(c, "points");
  points cues;
  for (index_t i = 0; i < rows.shape()[0]; ++i)
    cues.push_back({static_cast<double>(rows(i, 1)), static_cast<double>(rows(i, 0)), rows(i, 2)});
  transfer_options const options{
      .sup = c.param<std::string>("sup") == "point" ? supervision::point : supervision::image,
      .sigma = c.param<int>("sigma"),
      .smallest = c.param<index_t>("min_size")};
  auto const out = bestie_pseudo_labels(where, integers<2>(c, "seg_map"), present(c.input<float, 1>("cls_label")), cues,
                                        c.param<index_t>("num_classes"), {.labels = options});
  c.result("center_map", out.centre);
  c.result("offset_map", out.offset);
  c.result("weight_map", out.weight);
}

void refine_stage(golden_case& c)
{
  auto const seg = c.input<float, 4>("seg_logits"), centre = c.input<float, 4>("center"),
             offset = c.input<float, 4>("offset");
  auto const label = c.input<float, 2>("label");
  std::vector<std::vector<std::int32_t>> classes;
  for (index_t b = 0; b < label.shape()[0]; ++b) classes.push_back(present(&label(b, 0), label.shape()[1]));
  bestie_refine_options options;
  options.labels = {.sigma = c.param<int>("sigma"),
                    .threshold = c.param<double>("refine_thresh"),
                    .most = c.param<index_t>("max_instances")};
  options.smallest = c.param<index_t>("min_size");
  options.groups.kernel = c.param<index_t>("kernel");
  options.groups.beta = c.param<double>("beta");
  auto const out = bestie_refined_labels<float>(where, {seg.view(), centre.view(), offset.view()},
                                                integers<3>(c, "gt_seg"), classes, options);
  c.result("refined_center", out.centre);
  c.result("refined_offset", out.offset);
  c.result("refined_weight", out.weight);
}

void refine_point(golden_case& c)
{
  auto const given = integers<4>(c, "gt_point");
  auto const offset = c.input<float, 4>("offset");
  auto const label = c.input<float, 2>("label");
  auto const seg = integers<3>(c, "gt_seg");
  index_t const B = seg.shape()[0], H = seg.shape()[1], W = seg.shape()[2], C = label.shape()[1];
  grid<float, 4> to(B, 2, H, W);
  grid<float, 3> weight(B, H, W);
  for (index_t b = 0; b < B; ++b) {
    points clicks;
    for (index_t k = 0; k < C; ++k)
      for (index_t i = 0; i < given.shape()[2]; ++i)
        clicks.push_back({static_cast<double>(given.view()[b](k, i, 0)), static_cast<double>(given.view()[b](k, i, 1)),
                          static_cast<std::int32_t>(k)});
    bestie_refined_offsets_into(where, offset.view()[b], seg.view()[b], present(&label(b, 0), C), clicks, C,
                                border_points::drop, to.view()[b], weight.view()[b]);
  }
  c.result("refined_offset", to);
  c.result("refined_weight", weight);
}

// --- grouping -----------------------------------------------------------------------------------

grid<std::int32_t, 2> rows_of(grid<point, 1> const& list)
{
  grid<std::int32_t, 2> out(list.size(), 2);
  for (index_t i = 0; i < list.size(); ++i)
    out(i, 0) = static_cast<std::int32_t>(list(i).y), out(i, 1) = static_cast<std::int32_t>(list(i).x);
  return out;
}

void find_center(golden_case& c)
{
  auto const heat = c.input<float, 2>("heat");
  grid<std::int32_t, 2> whole(heat.shape()[0], heat.shape()[1]);
  std::fill(whole.cells().begin(), whole.cells().end(), 1);
  c.result("centers",
           rows_of(find_centres(where, heat, whole, 1,
                                {.threshold = c.param<double>("threshold"), .kernel = c.param<index_t>("nms_kernel")})
                       .at));
}

void group(golden_case& c)
{
  auto const rows = integers<2>(c, "centers");
  points centres;
  for (index_t i = 0; i < rows.shape()[0]; ++i)
    centres.push_back({static_cast<double>(rows(i, 0)), static_cast<double>(rows(i, 1))});
  c.result("ids", group_pixels(where, c.input<float, 3>("offsets"), centres));
}

/// The foreground as the only region.
grid<std::int32_t, 2> foreground_of(golden_case const& c)
{
  auto fg = integers<2>(c, "fg");
  for (auto& v : fg.cells()) v = v != 0;
  return fg;
}

void cluster_peaks(golden_case& c)
{
  auto const fg = foreground_of(c);
  auto const weak =
      connected_equal(where, weak_cells(where, fg, c.input<float, 3>("offset_map"), c.param<double>("thresh")), c4);
  c.result("peaks", rows_of(disc_centres(where, weak.label, weak.count, fg, 1,
                                         {.radius = c.param<double>("thresh"), .tolerance = c.param<double>("beta")})
                                .at));
}

void instance_segmentation(golden_case& c)
{
  auto const fg = foreground_of(c);
  auto const heat = c.input<float, 2>("center_map");
  // With a foreground of bytes the original's clustering fails without a word.
  bool const fails = c.label.find("uint8_fg") != std::string::npos;
  auto const out = bestie_group<float>(
      where, {fg, {0}}, {heat.data(), {1, heat.shape()[0], heat.shape()[1]}}, c.input<float, 3>("offset_map").view(),
      c.param<double>("threshold"), c.param<bool>("ignore") ? lone_region::nothing : lone_region::one_group,
      {.kernel = c.param<index_t>("nms_kernel"), .beta = fails ? 0 : c.param<double>("beta")});
  auto after = heat;
  for (point const& p : out.centres.at.cells())
    after(static_cast<index_t>(p.y), static_cast<index_t>(p.x)) =
        out.response(static_cast<index_t>(p.y), static_cast<index_t>(p.x));
  c.result("center_map_after", after);
  c.result("ins_seg", out.ids);
  bool const none = c.read("centers").value.empty();  // then ours is the whole region's
  c.result("centers", rows_of(none && out.centres.at.size() <= 1 ? grid<point, 1>{} : out.centres.at));
}

// --- inference ----------------------------------------------------------------------------------

void get_ins_map(golden_case& c)
{
  auto const seg = c.input<float, 4>("seg_logits"), centre = c.input<float, 4>("center");
  auto offset = c.input<float, 4>("offset");
  auto const classes = present(c.input<float, 1>("cls_label"));
  auto const target = size_of(c, "target_size");
  index_t const H = seg.shape()[2], W = seg.shape()[3];
  auto const scaled =
      scale_offsets(where, offset.view()[0], static_cast<double>(target.height) / static_cast<double>(H),
                    static_cast<double>(target.width) / static_cast<double>(W));
  std::copy(scaled.cells().begin(), scaled.cells().end(), &offset(0, 0, 0, 0));
  c.result("offset_after", offset);
  bestie_output<float> const image{seg.view()[0], centre.view()[0], scaled.view()};
  bestie_output<float> mirror;
  if (c.param<bool>("val_flip")) mirror = {seg.view()[1], centre.view()[1], offset.view()[1]};
  bestie_instance_options options;
  options.smallest = c.param<index_t>("min_size");
  options.threshold = c.param<double>("val_thresh");
  options.alone = c.param<bool>("val_ignore") ? lone_region::nothing : lone_region::one_group;
  options.groups = {.kernel = c.param<index_t>("val_kernel"), .beta = c.param<double>("beta")};
  bestie_labels<> out;
  if (c.stage == "infer.get_ins_map_with_point") {
    points clicks;
    auto const rows = integers<2>(c, "points");
    for (index_t i = 0; i < rows.shape()[0]; ++i)
      clicks.push_back({static_cast<double>(rows(i, 1)), static_cast<double>(rows(i, 2)), rows(i, 0)});
    out = bestie_instances_at(where, image, classes, clicks, options, mirror);
  } else {
    out = bestie_instances(where, image, c.param<bool>("val_clean") ? std::optional{classes} : std::nullopt, options,
                           mirror);
  }
  std::vector<std::int32_t> label;
  std::vector<double> score;
  auto const& found = out.objects.found;
  bool const dummy = found.empty();  // the original's list is never empty
  grid<std::uint8_t, 3> mask(std::max<std::size_t>(1, found.size()), dummy ? target.height : H,
                             dummy ? target.width : W);
  for (std::size_t i = 0; i < found.size(); ++i) {
    label.push_back(found[i].category);
    score.push_back(found[i].score);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) mask(i, y, x) = out.objects.label(y, x) == static_cast<std::int32_t>(i + 1);
  }
  if (dummy) label.push_back(0), score.push_back(0);
  c.result("seg", out.semantic);
  c.result("pred_label", label);
  c.result("pred_score", score);
  c.result("pred_mask", mask);
}

// --- components ---------------------------------------------------------------------------------

/// left, top, width, height, area, and the centroid as (x, y), of labels from `first` on.
void hand_in_statistics(golden_case& c, components<> const& found, std::size_t first)
{
  auto const of = statistics(where, found.label, found.count).cells();
  grid<std::int32_t, 2> rows(of.size() - first, 5);
  grid<double, 2> centroids(of.size() - first, 2);
  for (std::size_t i = first; i < of.size(); ++i) {
    auto const& b = of[i].bounds;
    index_t const values[] = {b.left, b.top, b.right - b.left, b.bottom - b.top, of[i].area};
    for (std::size_t k = 0; k < 5; ++k) rows(i - first, k) = static_cast<std::int32_t>(values[k]);
    centroids(i - first, 0) = of[i].centroid_x, centroids(i - first, 1) = of[i].centroid_y;
    if (of[i].area > 0) continue;  // OpenCV's row for a background that is not there
    rows(i - first, 0) = -1, rows(i - first, 1) = std::numeric_limits<std::int32_t>::max();
    centroids(i - first, 0) = centroids(i - first, 1) = std::numeric_limits<double>::quiet_NaN();
  }
  c.result("stats", rows);
  c.result("centroids", centroids);
}

void components_cv2(golden_case& c)
{
  auto mask = grid<std::uint8_t, 2>(0, 0);
  if (c.has("mask")) {
    mask = c.input<std::uint8_t, 2>("mask");
  } else {  // labels of a large map stand for their mask
    auto const labels = integers<2>(c, "labels");
    mask = make_grid<std::uint8_t>({labels.shape()[0], labels.shape()[1]});
    std::transform(labels.cells().begin(), labels.cells().end(), mask.cells().begin(), [](auto v) { return v != 0; });
  }
  bool const corners = c.param<int>("connectivity") == 8;
  auto const found =
      reorder(where, connected(where, mask, corners ? c8 : c4), corners ? label_order::blocks : label_order::raster);
  c.result("labels", found.label);
  hand_in_statistics(c, found, 0);
}

void components_skimage(golden_case& c)
{
  auto const image = c.input<std::uint8_t, 2>("image");
  auto const found = connected_equal(where, image, c4);
  index_t const H = image.shape()[0], W = image.shape()[1];
  c.result("labels", found.label);
  grid<std::int32_t, 2> fourth((H + 3) / 4, (W + 3) / 4);
  for (index_t y = 0; y < H; y += 4)
    for (index_t x = 0; x < W; x += 4) fourth(y / 4, x / 4) = found.label(y, x);
  c.result("labels_stride4", fourth);
  if (c.params.contains("labels_int32_le_fnv1a64")) {
    std::uint64_t hash = 14695981039346656037u;
    for (auto const v : found.label.cells())
      for (int shift = 0; shift < 32; shift += 8)
        hash = (hash ^ (static_cast<std::uint32_t>(v) >> shift & 255)) * 1099511628211u;
    char text[20];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
    if (text != c.param<std::string>("labels_int32_le_fnv1a64")) c.fail(std::string("labels: another hash, ") + text);
  }
  auto const with_corners = connected_equal(where, image, c8);
  c.result("labels_8conn", with_corners.label);
  if (with_corners.count != c.param<index_t>("count_8conn"))
    c.fail("count_8conn: " + std::to_string(with_corners.count));
  hand_in_statistics(c, found, 1);
}

}  // namespace

stage_table const& bestie_stages()
{
  static stage_table const all = {{"pam.forward", pam_forward},
                                  {"pam.cam_normalize", cam_normalize},
                                  {"peaks.smoothing", smoothing},
                                  {"peaks.peak_extract", peak_extract},
                                  {"peaks.point_file", point_file},
                                  {"center.gaussian", gaussian},
                                  {"center.stamp", stamp},
                                  {"center.stamp_frac", stamp_frac},
                                  {"labels.pseudo", pseudo},
                                  {"labels.refine", refine_stage},
                                  {"labels.refine_point", refine_point},
                                  {"group.extract_peak", extract_peak},
                                  {"group.find_center", find_center},
                                  {"group.group_pixels", group},
                                  {"group.cluster_peaks", cluster_peaks},
                                  {"group.instance_segmentation", instance_segmentation},
                                  {"infer.get_ins_map", get_ins_map},
                                  {"infer.get_ins_map_with_point", get_ins_map},
                                  {"cc.cv2", components_cv2},
                                  {"cc.skimage", components_skimage}};
  return all;
}

}  // namespace conformance
