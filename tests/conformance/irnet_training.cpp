// The stages of IRNet that only training needs: dense CRF, label mining, losses.

#include "golden_case.hpp"

#include <cambium/affinity/path_affinity.hpp>
#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/unary.hpp>
#include <cambium/loss/affinity_displacement.hpp>
#include <cambium/pipeline/label_mining.hpp>

#include <map>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

void permutohedral_filter(golden_case& c)
{
  auto const rows = c.input<float, 2>("features"), values = c.input<float, 2>("values");
  grid<float, 2> features(rows.shape()[1], rows.shape()[0]);
  for (index_t i = 0; i < rows.shape()[0]; ++i)
    for (index_t k = 0; k < rows.shape()[1]; ++k) features(k, i) = rows(i, k);
  // The original pads positions to a multiple of 4; its results are met only by doing the same.
  permutohedral const lattice(where, features, {.pad = true});
  auto const points = c.param<index_t>("lattice_points_reference");
  if (lattice.points() != points)
    c.fail(std::to_string(lattice.points()) + " lattice points instead of " + std::to_string(points));
  if (c.has("barycentric")) {
    auto const want = c.read("barycentric").value;
    for (std::size_t i = 0; i < want.size(); ++i) {
      auto const corners = static_cast<std::size_t>(lattice.corners());
      auto const at = static_cast<index_t>(i / corners);
      index_t part = 0;
      while (at >= lattice.parts().begin(part + 1)) ++part;
      auto const got = lattice.simplex_of(part, at - lattice.parts().begin(part)).weight[i % corners];
      if (!(std::abs(static_cast<double>(got) - want[i]) <= 1e-5)) {
        c.fail("barycentric weight " + std::to_string(i) + " is " + std::to_string(got));
        break;
      }
    }
  }
  c.result("filtered", filter(where, lattice, values, {.reverse = c.params.value("reverse", false)}));
}

std::vector<pairwise> kernels_of(golden_case const& c)
{
  return {{.sxy = c.param<double>("sxy_gauss"), .srgb = 0, .compat = c.param<double>("compat_gauss")},
          {.sxy = c.param<double>("sxy_bilat"),
           .srgb = c.param<double>("srgb"),
           .compat = c.param<double>("compat_bilat")}};
}

void crf(golden_case& c)
{
  auto const image = c.input<std::uint8_t, 3>("image");
  index_t const L = c.param<index_t>("n_labels"), H = image.shape()[0], W = image.shape()[1];
  grid<float, 3> unary(L, H, W);
  if (c.has("labels"))
    unary = unary_from_labels(where, c.input<std::uint8_t, 2>("labels"), L, {.gt_prob = c.param<double>("gt_prob")});
  else
    unary.cells() = c.input<float, 2>("unary").cells();
  dense_crf const field(where, image, kernels_of(c), {.pad = true});
  auto state = field.start(where, unary);
  for (int t = 1; t <= c.param<int>("iterations"); ++t) {
    field.step(where, state);
    std::string const name = "Q_t" + std::to_string(t);
    if (c.has(name)) c.result(name, marginals(state));
  }
}

void cam_to_ir_label_stage(golden_case& c)
{
  auto const image = c.input<std::uint8_t, 3>("image");
  auto const cams = c.input<float, 3>("cams");
  auto const keys = c.input<std::int32_t, 1>("keys");
  mining_options options{.conf_fg_thres = c.param<double>("conf_fg_thres"),
                         .conf_bg_thres = c.param<double>("conf_bg_thres"),
                         .gt_prob = c.param<double>("gt_prob"),
                         .iterations = c.param<int>("t"),
                         .kernels = kernels_of(c),
                         .build = {.pad = true}};
  dense_crf const field(where, image, options.kernels, options.build);
  for (auto const& [name, thres] : {std::pair<std::string, double>{"fg", options.conf_fg_thres},
                                    std::pair<std::string, double>{"bg", options.conf_bg_thres}}) {
    auto const labels = threshold_labels(where, cams, thres);
    auto const unary = unary_from_labels(where, labels, cams.shape()[0] + 1, {.gt_prob = options.gt_prob});
    auto const state = infer(where, field, unary, {.iterations = options.iterations});
    if (c.has(name + "_labels")) c.result(name + "_labels", labels);
    if (c.has(name + "_Q")) c.result(name + "_Q", marginals(state));
    if (c.has(name + "_pred")) c.result(name + "_pred", argmax_labels(state));
  }
  c.result("conf", cam_to_ir_label(where, image, cams, {keys.cells().begin(), keys.cells().end()}, options));
}

/// The quantities of single pairs, which the fused loss never stores: from path_affinity and the displacements.
void pairs_of(golden_case& c, grid<float, 3> const& logits, grid<float, 4> const& field, stencil const& edges)
{
  index_t const B = logits.shape()[0], h = logits.shape()[1], w = logits.shape()[2], reach = edges.reach();
  index_t const H = h - reach, W = w - 2 * reach, K = edges.size;
  std::vector<double> affinity, positive, negative, by_class, by_background;
  for (index_t b = 0; b < B; ++b) {
    grid<double, 2> boundary(h, w);
    for (index_t i = 0; i < h * w; ++i)
      boundary.data()[i] = 1 / (1 + std::exp(-static_cast<double>(logits.data()[b * h * w + i])));
    auto const a = path_affinity(where, boundary, edges);
    for (index_t k = 0; k < K; ++k)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = reach; x < w - reach; ++x) {
          affinity.push_back(a(k, y, x));
          positive.push_back(-std::log(a(k, y, x) + 1e-5));
          negative.push_back(-std::log(1 + 1e-5 - a(k, y, x)));
        }
    for (index_t axis = 0; axis < 2; ++axis)
      for (index_t k = 0; k < K; ++k)
        for (index_t y = 0; y < H; ++y)
          for (index_t x = reach; x < w - reach; ++x) {
            offset const to = edges.at[k];
            double const off =
                static_cast<double>(field(b, axis, y, x)) - static_cast<double>(field(b, axis, y + to.dy, x + to.dx));
            by_class.push_back(std::abs(off - (axis == 0 ? to.dy : to.dx)));
            by_background.push_back(std::abs(off));
          }
  }
  auto const hand_in = [&](std::string const& name, std::vector<double>& v) {
    if (c.has(name) || c.has(name + "_f64")) c.result(name, view<double, 4>(v.data(), {B, K, H, W}));
  };
  hand_in("aff", affinity), hand_in("pos_aff_pix", positive), hand_in("neg_aff_pix", negative);
  auto const hand_in_both = [&](std::string const& name, std::vector<double> const& v) {
    if (c.has(name) || c.has(name + "_f64")) c.result(name, std::vector<index_t>{B, 2, K, H, W}, v);
  };
  hand_in_both("dp_fg_pix", by_class), hand_in_both("dp_bg_pix", by_background);
}

void affinity_loss_stage(golden_case& c)
{
  auto const pixels = c.input<std::uint8_t, 3>("label");
  auto const logits = c.input<float, 3>("edge_logits");
  index_t const B = pixels.shape()[0], h = logits.shape()[1], w = logits.shape()[2];
  auto const field = to_grid<float, 4>(read_npy(c.folder / "dp.npy"), "dp");
  affinity_loss_options const options{.radius = c.param<int>("radius")};
  auto const edges = stencil::disc(options.radius);

  grid<std::int32_t, 3> reduced(B, h, w), known(B, h, w);
  for (index_t b = 0; b < B; ++b) {
    auto const quarter = quarter_labels(where, pixels.view()[b]);
    std::copy(quarter.cells().begin(), quarter.cells().end(), &reduced(b, 0, 0));
  }
  known = reduced;
  for (auto& v : known.cells()) v = v < 21 ? v : label::ignore;  // the original knows 21 labels
  c.result("reduced_label", reduced);
  grid<std::int32_t, 2> offsets(edges.size, 2);
  for (int k = 0; k < edges.size; ++k) offsets(k, 0) = edges.at[k].dy, offsets(k, 1) = edges.at[k].dx;
  c.result("search_dst", offsets);
  if (c.has("neg_label")) {
    index_t const reach = edges.reach(), H = h - reach, W = w - 2 * reach;
    std::vector of_kind(3, grid<std::uint8_t, 4>(B, edges.size, H, W));
    for (index_t b = 0; b < B; ++b)
      for (int k = 0; k < edges.size; ++k)
        for (index_t y = 0; y < H; ++y)
          for (index_t x = 0; x < W; ++x) {
            auto const kind =
                kind_of_pair(known(b, y, x + reach), known(b, y + edges.at[k].dy, x + reach + edges.at[k].dx));
            if (kind != pair_kind::none) of_kind[static_cast<std::size_t>(kind)](b, k, y, x) = 1;
          }
    c.result("bg_pos_label", of_kind[0]);
    c.result("fg_pos_label", of_kind[1]);
    c.result("neg_label", of_kind[2]);
  }
  pairs_of(c, logits, field, edges);
  auto const loss = affinity_displacement_loss<float>(where, logits, field, known, options);
  auto const& v = loss.value;
  auto const truth = c.read(c.has("losses_f64") ? "losses_f64" : "losses").value;
  double const got[7] = {v.background,       v.foreground,       v.positive(), v.negative,
                         v.field_foreground, v.field_background, v.total()};
  char const* const names[7] = {"bg_pos", "fg_pos", "pos", "neg", "dp_fg", "dp_bg", "total"};
  for (std::size_t i = 0; i < 7 && i < truth.size(); ++i)
    if (!(std::abs(got[i] - truth[i]) <= 1e-6 + 1e-5 * std::abs(truth[i])))
      c.fail(std::string("loss ") + names[i] + " is " + std::to_string(got[i]) + " instead of " +
             std::to_string(truth[i]));
  c.result("losses", std::vector<double>(got, got + 7));
  grid<float, 4> by_edge(B, 1, h, w);
  by_edge.cells() = loss.boundary.cells();
  c.result("grad_edge", by_edge);
  c.result("grad_dp", loss.field);
}

}  // namespace

stage_table const& irnet_training_stages()
{
  static stage_table const stages{
      {"s7_permutohedral_filter", permutohedral_filter},
      {"s7_dense_crf", crf},
      {"s7_cam_to_ir_label", cam_to_ir_label_stage},
      {"s8_affinity_loss", affinity_loss_stage},
  };
  return stages;
}

}  // namespace conformance
