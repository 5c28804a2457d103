// BESTIE's losses and what its training step makes of them.

#include "golden_case.hpp"

#include <cambium/loss/guided.hpp>
#include <cambium/loss/hard_pixels.hpp>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

/// An input with all its axes, also those of extent 1.
template <class T, int Rank>
grid<T, Rank> whole(golden_case const& c, std::string const& array)
{
  return to_grid<T, Rank>(read_npy(c.folder / (array + ".npy")), array);
}

void hand_in(golden_case& c, double value, grid<float, 4> const& gradient)
{
  c.result("loss", std::vector<double>{value});
  if (c.has("grad_out")) c.result("grad_out", gradient);
}

void loss(golden_case& c)
{
  std::string const original = c.manifest.at("reference").at("function");
  auto const output = whole<float, 4>(c, "out");
  if (c.has("labels")) {
    auto const labels = whole<std::int64_t, 3>(c, "labels");
    if (original == "RegularCE") {
      auto const got = cross_entropy(where, output, labels);
      return hand_in(c, got.value, got.gradient);
    }
    bool const all = original.find("1.0") != std::string::npos;
    auto const got = hardest_pixels_cross_entropy(where, output, labels, {.fraction = all ? 1 : 0.2});
    if (labels.size() >= 5) return hand_in(c, got.value, got.gradient);
    c.excuse("loss");  // the mean of no pixel, NaN; ours is that of the hardest one
    if (!std::isfinite(got.value) || got.pixels != 1) c.fail("the loss of few pixels is not that of one");
    return;
  }
  auto const target = whole<float, 4>(c, "target"), weight = whole<float, 4>(c, "weight");
  auto const got = original == "Weighted_MSELoss"   ? guided_square_error(where, output, target, weight)
                   : original == "Weighted_L1_Loss" ? guided_absolute_error(where, output, target, weight)
                   : original == "MSELoss"          ? mean_square_error(where, output, target)
                   : original == "L1_Loss"          ? mean_absolute_error(where, output, target)
                                                    : focal_loss(where, output, target, weight);
  hand_in(c, got.value, got.gradient);
}

void total(golden_case& c)
{
  auto const labels = whole<std::int64_t, 3>(c, "labels");
  auto const centre = whole<float, 4>(c, "center"), offset = whole<float, 4>(c, "offset");
  double const seg = c.param<double>("seg_weight") *
                     hardest_pixels_cross_entropy(where, whole<float, 4>(c, "seg_logits"), labels).value;
  double part[2][2];  // of centres and offsets, by pseudo and refined labels
  for (int i = 0; i < 2; ++i) {
    std::string const n = std::to_string(i + 1);
    auto const weight = whole<float, 4>(c, "weight_" + n);
    part[0][i] = c.param<double>("center_weight") *
                 guided_square_error(where, centre, whole<float, 4>(c, "target_c" + n), weight).value;
    part[1][i] = c.param<double>("offset_weight") *
                 guided_absolute_error(where, offset, whole<float, 4>(c, "target_o" + n), weight).value;
  }
  auto const [c1, c2] = part[0];
  auto const [o1, o2] = part[1];
  c.result("loss_parts", std::vector<double>{seg, c1, c2, o1, o2});
  c.result("loss_total",
           std::vector<double>{seg + c1 + o1, seg + (c1 + c2) / 2 + (o1 + o2) / 2, seg + c1 + (o1 + o2) / 2});
}

}  // namespace

stage_table const& bestie_loss_stages()
{
  static stage_table const stages{{"loss", loss}, {"loss.total", total}};
  return stages;
}

}  // namespace conformance
