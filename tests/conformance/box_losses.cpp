// BoxInst's losses, from the photograph and its boxes to the gradients.

#include "golden_case.hpp"

#include <cambium/grid/aligned_bilinear.hpp>
#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/lab.hpp>
#include <cambium/loss/pairwise.hpp>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

void boxinst(golden_case& c)
{
  auto const planes = c.input<float, 3>("image_rgb");
  auto const mask = c.input<float, 2>("image_mask"), corners = c.input<float, 2>("boxes");
  auto const stride = c.param<index_t>("stride");
  grid<float, 3> photograph(planes.shape()[1], planes.shape()[2], 3);
  for (index_t y = 0; y < planes.shape()[1]; ++y)
    for (index_t x = 0; x < planes.shape()[2]; ++x)
      for (index_t i = 0; i < 3; ++i) photograph(y, x, i) = planes(i, y, x);

  auto const small = small_photograph(where, photograph, stride);
  index_t const H = small.shape()[0], W = small.shape()[1], N = corners.shape()[0];
  grid<std::uint8_t, 3> small_planes(3, H, W), box_masks(N, H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (index_t i = 0; i < 3; ++i) small_planes(i, y, x) = small(y, x, i);
  c.result("small_rgb", small_planes);
  auto const lab = lab_colours(where, small);
  c.result("lab", lab);

  grid<boxed_instance, 1> instances(N);
  for (index_t n = 0; n < N; ++n) {
    instances(n).cells = sampled_box({corners(n, 0), corners(n, 1), corners(n, 2), corners(n, 3)}, stride, H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) box_masks(n, y, x) = holds_cell(instances(n).cells, y, x);
  }
  c.result("box_masks", box_masks);

  pairwise_options const options{
      .size = c.param<int>("pairwise_size"),
      .dilation = c.param<int>("pairwise_dilation"),
      .threshold = c.param<float>("color_thresh"),
      .warm = pairwise_warm_up(c.param<index_t>("iteration"), c.param<index_t>("warmup_iters"))};
  auto const counts = sampled_mask(where, mask, stride);
  c.result("similarity", colour_similarity(where, lab, counts, options));
  auto const pairs = similar_pairs(where, lab, counts, options);

  auto const whole = to_grid<float, 4>(read_npy(c.folder / "logits.npy"), "logits");
  grid<float, 3> logits(N, H, W);
  logits.cells() = whole.cells();
  pixel_square const square{options.size, options.dilation};
  grid<std::uint8_t, 4> weights(N, square.count(), H, W);
  grid<double, 4> pairwise(N, square.count(), H, W);
  for (index_t n = 0; n < N; ++n)
    for (int k = 0; k < square.count(); ++k)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          weights(n, k, y, x) = box_masks(n, y, x) != 0 && (pairs(y, x) >> k & 1u) != 0;
          index_t const qy = y + square.at(k).dy, qx = x + square.at(k).dx;
          if (qy >= 0 && qx >= 0 && qy < H && qx < W)
            pairwise(n, k, y, x) =
                rule::pair_loss(static_cast<double>(logits(n, y, x)), static_cast<double>(logits(n, qy, qx))).loss;
        }
  c.result("weights", weights);
  c.result("pairwise", pairwise);

  auto const projection = box_projection_loss(where, logits, instances);
  c.result("loss_prj", {}, {projection.value});
  c.result("grad_prj", projection.gradient);
  auto const loss = pairwise_loss(where, logits, instances, as_batch(pairs.view()), options);
  c.result("loss_pairwise", {}, {loss.value});
  c.result("grad_pairwise", loss.gradient);
}

void enlarged(golden_case& c)
{
  auto const x = to_grid<float, 4>(read_npy(c.folder / "x.npy"), "x");
  grid<float, 3> maps(x.shape()[0], x.shape()[2], x.shape()[3]);
  maps.cells() = x.cells();
  c.result("y", aligned_bilinear(where, maps, c.param<index_t>("factor")));
}

}  // namespace

stage_table const& box_loss_stages()
{
  static stage_table const stages{{"boxinst", boxinst}, {"boxinst.aligned_bilinear", enlarged}};
  return stages;
}

}  // namespace conformance
