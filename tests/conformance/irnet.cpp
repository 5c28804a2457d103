// The stages of IRNet, s1 to s6 and s9, each through the functions a user would call.

#include "golden_case.hpp"

#include <cambium/activation/background.hpp>
#include <cambium/activation/boundary.hpp>
#include <cambium/activation/fuse.hpp>
#include <cambium/metric/confusion.hpp>
#include <cambium/metric/instance_ap.hpp>
#include <cambium/pipeline/irnet.hpp>

#include <algorithm>
#include <map>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

grid<std::int32_t, 2> offsets_of(stencil const& edges)
{
  grid<std::int32_t, 2> out(edges.size, 2);
  for (int k = 0; k < edges.size; ++k) out(k, 0) = edges.at[k].dy, out(k, 1) = edges.at[k].dx;
  return out;
}

std::vector<std::int32_t> list(grid<std::int32_t, 1> const& g) { return {g.cells().begin(), g.cells().end()}; }

void path_index(golden_case& c)
{
  auto const edges = stencil::disc(c.param<int>("radius"));
  c.result("search_dst", offsets_of(edges));
  std::vector<int> begins{0};
  std::vector<offset> cells;
  for (int k = 0; k < edges.size; ++k) {
    path const p = path::to(edges.at[k]);
    cells.insert(cells.end(), p.at, p.at + p.size);
    begins.push_back(static_cast<int>(cells.size()));
  }
  grid<std::int32_t, 2> coordinates(cells.size(), 2);
  for (std::size_t i = 0; i < cells.size(); ++i) coordinates(i, 0) = cells[i].dy, coordinates(i, 1) = cells[i].dx;
  c.result("path_offsets", begins);
  c.result("path_coords", coordinates);

  // The original's flat indices of pairs: sources are the cells whose whole stencil stays inside.
  index_t const H = c.params.at("default_size").at(0), W = c.params.at("default_size").at(1), reach = edges.reach();
  std::vector<index_t> sources;
  for (index_t y = 0; y < H - reach; ++y)
    for (index_t x = reach; x < W - reach; ++x) sources.push_back(y * W + x);
  grid<std::int32_t, 2> ends(edges.size, sources.size());
  for (int k = 0; k < edges.size; ++k)
    for (std::size_t i = 0; i < sources.size(); ++i)
      ends(k, i) = static_cast<std::int32_t>(sources[i] + edges.at[k].dy * W + edges.at[k].dx);
  c.result("src_indices", sources);
  c.result("dst_indices", ends);
}

void edge_to_affinity(golden_case& c)
{
  auto const edges = stencil::disc(c.param<int>("radius"));
  c.result("search_dst", offsets_of(edges));
  index_t const K = edges.size;
  if (c.params.contains("batch")) {  // training: no padding, sources whose whole stencil stays inside
    auto const all = c.input<float, 3>("edge");
    index_t const B = all.shape()[0], H = all.shape()[1], W = all.shape()[2], reach = edges.reach();
    auto out = make_grid<float>({B, K, H - reach, W - 2 * reach});
    for (index_t b = 0; b < B; ++b) {
      auto const a = path_affinity(where, all.view()[b], edges);
      for (index_t k = 0; k < K; ++k)
        for (index_t y = 0; y < H - reach; ++y)
          for (index_t x = 0; x < W - 2 * reach; ++x) out(b, k, y, x) = a(k, y, x + reach);
    }
    // stored as (B, K, sources) or with the sources' two axes
    auto const want = c.read("aff").shape;
    if (want.size() == 3)
      c.result("aff", view<float, 3>(out.data(), {B, K, (H - reach) * (W - 2 * reach)}));
    else
      c.result("aff", out);
    return;
  }
  auto const edge = c.input<float, 2>("edge");
  index_t const H = edge.shape()[0], W = edge.shape()[1];
  auto const a = path_affinity(where, edge, edges);
  grid<float, 3> out(K, H + 1, W + 2);  // sources from one column left to one row below and one column right of the map
  for (index_t k = 0; k < K; ++k)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) out(k, y, x + 1) = a(k, y, x);
  c.result("aff", out);
}

irnet_options options_of(golden_case const& c)
{
  irnet_options o;
  o.radius = c.params.value("radius", o.radius);
  o.beta = c.params.value("beta", o.beta);
  o.exp_times = c.params.value("exp_times", o.exp_times);
  o.sem_seg_bg_thres = c.params.value("sem_seg_bg_thres", o.sem_seg_bg_thres);
  o.ins_seg_bg_thres = c.params.value("ins_seg_bg_thres", o.ins_seg_bg_thres);
  return o;
}

void random_walk_stage(golden_case& c)
{
  auto const options = options_of(c);
  auto const edge = c.input<float, 2>("edge");
  index_t const H = edge.shape()[0], W = edge.shape()[1];
  if (c.has("x")) {
    auto const x = c.input<float, 3>("x");
    auto const step = irnet_transition(where, edge.view(), options);
    c.result("rw", propagate_to_edge(where, step, x.view(), edge.view(), options));
    return;
  }
  // The matrices themselves: affinities as they are scattered, and the walk of every unit vector.
  auto const edges = stencil::disc(options.radius);
  auto const a = path_affinity(where, edge, edges);
  grid<float, 2> dense(H * W, H * W);
  for (index_t v = 0; v < H * W; ++v) dense(v, v) = 1;
  for (int k = 0; k < edges.size; ++k)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        index_t const ty = y + edges.at[k].dy, tx = x + edges.at[k].dx;
        if (ty >= H || tx < 0 || tx >= W) continue;
        dense(y * W + x, ty * W + tx) = dense(ty * W + tx, y * W + x) = a(k, y, x);
      }
  c.result("affinity_dense", dense);
  grid<float, 3> units(H * W, H, W);
  for (index_t v = 0; v < H * W; ++v) units(v, v / W, v % W) = 1;
  auto const walked = random_walk(where, units, make_transition(where, edges, a, {.beta = options.beta}),
                                  walk_options::squarings(options.exp_times));
  c.result("trans_mat", view<float const, 2>(walked.data(), {H * W, H * W}));
}

void centroids(golden_case& c)
{
  auto const field = c.input<float, 3>("dp");
  auto const cells = nearest_cells(where, trace(where, field, {.iterations = c.param<int>("iterations")}));
  auto const weak = connected(where, weak_field(where, field, c.param<double>("thres")));
  auto const map = cluster(where, weak.label, cells);
  c.result("centroids", cells);
  c.result("dp_label", weak.label);
  c.result("cluster_map", map.id);
  if (map.count != c.param<index_t>("n_clusters")) c.fail("n_clusters: " + std::to_string(map.count));
  auto const H = map.id.shape()[0], W = map.id.shape()[1];
  grid<std::uint8_t, 3> onehot(map.count, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) onehot(map.id(y, x), y, x) = 1;
  c.result("cluster_onehot", onehot);
}

void edge_displacement_head(golden_case& c)
{
  auto const raw = c.input<float, 4>("edge_raw"), field = c.input<float, 4>("dp_raw");
  extent2 const size{(c.param<index_t>("image_height") - 1) / 4 + 1, (c.param<index_t>("image_width") - 1) / 4 + 1};
  c.result("edge", boundary_from_logits(where, raw.view()[0][0], raw.view()[1][0], size));
  grid<float, 3> dp(2, size.height, size.width);
  for (index_t i = 0; i < 2; ++i)
    for (index_t y = 0; y < size.height; ++y)
      for (index_t x = 0; x < size.width; ++x) dp(i, y, x) = field(0, i, y, x);
  c.result("dp", dp);
}

grid<float, 3> enlarge(stack_view<float const> maps, extent2 image)
{
  return fuse<float>(where, {{maps, false}}, {4 * maps.extent[1], 4 * maps.extent[2]}, image);
}

void upsample(golden_case& c)
{
  auto x = read_npy(c.folder / "x.npy");  // (C,1,h,w), where h or w may be 1 too
  x.shape.erase(x.shape.begin() + 1);
  auto const maps = to_grid<float, 3>(x, c.name());
  c.result("up", enlarge(maps.view(), {c.params.at("out").at(0), c.params.at("out").at(1)}));
}

/// Masks, classes and scores of instances that may overlap, one list after another.
struct detections {
  std::vector<std::int32_t> category;
  std::vector<double> score;
  std::vector<grid<std::uint8_t, 2>> mask;

  void hand_in(golden_case& c, extent2 size) const
  {
    c.result("det_score", score);
    c.result("det_class", category);
    grid<std::uint8_t, 3> all(mask.size(), size.height, size.width);
    for (std::size_t i = 0; i < mask.size(); ++i)
      std::copy(mask[i].cells().begin(), mask[i].cells().end(), &all(i, 0, 0));
    c.result("det_mask", all);
  }
};

void detect_instance(golden_case& c)
{
  auto const score = c.input<float, 3>("score_map");
  auto const mask = c.input<std::uint8_t, 3>("mask");
  auto const category = list(c.input<std::int32_t, 1>("class_id"));
  detections all;
  for (index_t n = 0; n < mask.shape()[0]; ++n) {
    auto const parts = connected(where, mask.view()[n], c4);
    auto const found =
        detect(where, parts.label,
               std::vector<std::int32_t>(static_cast<std::size_t>(parts.count), category[static_cast<std::size_t>(n)]),
               score.view()[n], {.smallest = c.param<double>("max_fragment_size")});
    for (std::size_t i = 0; i < found.found.size(); ++i) {
      all.category.push_back(found.found[i].category);
      all.score.push_back(found.found[i].score);
      auto& one = all.mask.emplace_back(mask.shape()[1], mask.shape()[2]);
      for (std::size_t v = 0; v < one.cells().size(); ++v)
        one.cells()[v] = found.label.cells()[v] == static_cast<std::int32_t>(i + 1);
    }
  }
  all.hand_in(c, {mask.shape()[1], mask.shape()[2]});
}

extent2 image_of(golden_case const& c) { return {c.param<index_t>("image_height"), c.param<index_t>("image_width")}; }

void make_ins_seg(golden_case& c)
{
  auto const options = options_of(c);
  auto const cams = c.input<float, 3>("cams"), field = c.input<float, 3>("dp");
  auto const edge = c.input<float, 2>("edge");
  auto const keys = list(c.input<std::int32_t, 1>("keys"));
  extent2 const image = image_of(c);

  auto const cells = nearest_cells(where, trace(where, field));
  auto const clusters = irnet_clusters(where, field.view(), options);
  auto const split = separate(where, cams, clusters.id, clusters.count);
  auto const step = irnet_transition(where, edge.view(), options);
  auto const walked = propagate_to_edge(where, step, split.view(), edge.view(), options);
  c.result("centroids", cells);
  c.result("cluster_map", clusters.id);
  index_t const C = cams.shape()[0], h = cams.shape()[1], w = cams.shape()[2];
  c.result("instance_cam", view<float const, 4>(split.data(), {C, clusters.count, h, w}));
  c.result("rw", walked);
  c.result("rw_up", normalise(where, enlarge(walked.view(), image), {.by = normalisation::largest_of_all}));
  c.result("instance_argmax", assign(where, walked, {}, image, {.background = options.ins_seg_bg_thres}).channel);

  auto const whole = irnet<float>(where, {cams.view(), keys, edge.view(), field.view(), image}, options).objects;
  detections all;
  for (std::size_t i = 0; i < whole.found.size(); ++i) {
    all.category.push_back(whole.found[i].category);
    all.score.push_back(whole.found[i].score);
    auto& one = all.mask.emplace_back(image.height, image.width);
    for (std::size_t v = 0; v < one.cells().size(); ++v)
      one.cells()[v] = whole.label.cells()[v] == static_cast<std::int32_t>(i + 1);
  }
  all.hand_in(c, image);
  c.result("det_label_map", whole.label);
  if (c.manifest.contains("reference_raises") && !whole.found.empty())
    c.fail("the original finds nothing and raises; " + std::to_string(whole.found.size()) + " instances were found");
}

void make_sem_seg(golden_case& c)
{
  auto options = options_of(c);
  options.empty = no_score::first_channel;  // the original's label where nothing scores
  auto const cams = c.input<float, 3>("cams");
  auto const edge = c.input<float, 2>("edge");
  auto const keys = list(c.input<std::int32_t, 1>("keys"));
  auto const step = irnet_transition(where, edge.view(), options);
  auto const walked = propagate_to_edge(where, step, cams.view(), edge.view(), options);
  c.result("rw", walked);
  c.result("rw_up", normalise(where, enlarge(walked.view(), image_of(c)), {.by = normalisation::largest_of_all}));
  c.result("label", irnet<float>(where, {cams.view(), keys, edge.view(), {}, image_of(c)}, options).semantic);
}

void make_cam(golden_case& c)
{
  std::vector<grid<float, 3>> outputs;
  std::vector<scaled_maps<float>> maps;
  for (std::size_t i = 0; c.has("out" + std::to_string(i)); ++i)
    outputs.push_back(c.input<float, 3>("out" + std::to_string(i)));
  for (auto const& out : outputs) maps.push_back({out.view(), false});
  auto const labels = c.input<float, 1>("label");
  auto const found =
      make_cams<float>(where, maps, image_of(c), std::vector<float>(labels.cells().begin(), labels.cells().end()));
  c.result("keys", found.keys);
  c.result("cam", found.strided);
  c.result("high_res", found.full);
}

void semantic(golden_case& c)
{
  auto const truth = c.input<std::int32_t, 3>("gt");
  index_t const N = truth.shape()[0], H = truth.shape()[1], W = truth.shape()[2];
  grid<std::int32_t, 3> predicted(N, H, W);
  if (c.has("pred")) {
    predicted = c.input<std::int32_t, 3>("pred");
  } else {  // step/eval_cam.py: the largest CAM above the threshold
    auto const cams = c.input<float, 4>("cams");
    auto const keys = c.input<std::int32_t, 2>("keys");
    for (index_t n = 0; n < N; ++n) {
      auto const maps = with_background(where, cams.view()[n], c.param<double>("cam_eval_thres"));
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          index_t best = 0;
          for (index_t k = 1; k < maps.shape()[0]; ++k)
            if (maps(k, y, x) > maps(best, y, x)) best = k;
          predicted(n, y, x) = best == 0 ? 0 : keys(n, best - 1) + 1;
        }
    }
  }
  std::int32_t most = 0;
  for (grid<std::int32_t, 3> const* labels : {&std::as_const(predicted), &truth})
    for (auto const v : labels->cells()) most = std::max(most, v);
  confusion_matrix m(most + 1);
  for (index_t n = 0; n < N; ++n) accumulate(m, predicted.view()[n], truth.view()[n], {.predicted = unsure::missed});
  grid<std::int64_t, 2> counts(m.classes, m.classes);
  for (int t = 0; t < m.classes; ++t)
    for (int p = 0; p < m.classes; ++p) counts(t, p) = m.at(t, p);
  c.result("confusion", counts);
  c.result("iou", class_iou(m));
  auto const want = c.read("miou").value.at(0);
  if (!(std::abs(mean_iou(m) - want) <= 1e-12 * std::abs(want)) && !(std::isnan(want) && std::isnan(mean_iou(m))))
    c.fail("miou: " + std::to_string(mean_iou(m)) + " instead of " + std::to_string(want));
  if (!c.has("pred_u8_with_255")) return;
  // step/eval_sem_seg.py: 255 in a label map is background
  auto const unsure_too = c.input<std::uint8_t, 3>("pred_u8_with_255");
  confusion_matrix with(most + 1);
  for (index_t n = 0; n < N; ++n) accumulate(with, unsure_too.view()[n], truth.view()[n]);
  auto const iou = class_iou(with);
  auto const known = c.read("evalsem_iou").value;
  for (std::size_t i = 0; i < known.size() && i < iou.size(); ++i)
    if (!(std::abs(iou[i] - known[i]) <= 1e-12) && !(std::isnan(iou[i]) && std::isnan(known[i])))
      c.fail("evalsem_iou of class " + std::to_string(i) + ": " + std::to_string(iou[i]) + " instead of " +
             std::to_string(known[i]));
}

void instance_stage(golden_case& c)
{
  auto const p_masks = c.input<std::uint8_t, 3>("pred_masks"), t_masks = c.input<std::uint8_t, 3>("gt_masks");
  auto const p_count = list(c.input<std::int32_t, 1>("pred_counts")),
             t_count = list(c.input<std::int32_t, 1>("gt_counts"));
  auto const p_class = list(c.input<std::int32_t, 1>("pred_labels")),
             t_class = list(c.input<std::int32_t, 1>("gt_labels"));
  auto const score = c.input<float, 1>("pred_scores");
  std::vector<image_result> images;
  std::ptrdiff_t p = 0, t = 0;
  auto const slice = [](grid<std::uint8_t, 3> const& g, std::ptrdiff_t first, index_t n) {
    auto v = g.view();
    v.data += first * v.stride[0];
    v.extent[0] = n;
    return v;
  };
  for (std::size_t i = 0; i < p_count.size(); ++i) {
    image_result r;
    r.predicted.assign(p_class.begin() + p, p_class.begin() + p + p_count[i]);
    r.score.assign(score.cells().begin() + p, score.cells().begin() + p + p_count[i]);
    r.truth.assign(t_class.begin() + t, t_class.begin() + t + t_count[i]);
    r.iou = mask_iou(slice(p_masks, p, p_count[i]), slice(t_masks, t, t_count[i]));
    p += p_count[i], t += t_count[i];
    images.push_back(std::move(r));
  }
  std::vector<average_precision> ap;
  for (auto const& v : c.params.at("variants"))
    ap.push_back(instance_ap(images, v.at("iou_thresh").get<double>(),
                             v.at("use_07_metric").get<bool>() ? ap_form::voc07 : ap_form::area));
  grid<double, 2> table(ap.size(), ap.empty() ? 0 : ap[0].of_class.size());
  std::vector<double> means;
  for (std::size_t i = 0; i < ap.size(); ++i) {
    std::copy(ap[i].of_class.begin(), ap[i].of_class.end(), &table(i, 0));
    means.push_back(ap[i].mean);
  }
  // Equal scores come in the order of NumPy's unstable sort in the original; the case then also holds
  // what a stable sort gives, and that is what a portable implementation is measured by.
  bool const stable = c.has("ap_stable");
  c.result(stable ? "ap_stable" : "ap", table);
  c.result(stable ? "map_stable" : "map", means);
  if (stable) c.excuse("ap"), c.excuse("map");
}

}  // namespace

stage_table const& irnet_stages()
{
  static stage_table const stages{
      {"s1_path_index", path_index},
      {"s2_edge_to_affinity", edge_to_affinity},
      {"s3_random_walk", random_walk_stage},
      {"s4_centroids", centroids},
      {"s5_edge_displacement_head", edge_displacement_head},
      {"s5_upsample_x4", upsample},
      {"s5_detect_instance", detect_instance},
      {"s5_make_ins_seg", make_ins_seg},
      {"s5_make_sem_seg", make_sem_seg},
      {"s6_make_cam", make_cam},
      {"s9_semantic", semantic},
      {"s9_instance", instance_stage},
  };
  return stages;
}

}  // namespace conformance
