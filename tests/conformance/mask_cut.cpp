// MaskCut of CutLER.

#include "golden_case.hpp"

#include <cambium/pipeline/mask_cut.hpp>

#include <algorithm>
#include <string>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

void maskcut(golden_case& c)
{
  auto const flat = c.input<float, 2>("features");
  auto const dims = c.param<std::vector<index_t>>("dims");
  grid<float, 3> features(flat.shape()[0], dims.at(0), dims.at(1));
  std::copy(flat.cells().begin(), flat.cells().end(), features.cells().begin());
  index_t const H = dims.at(0), W = dims.at(1);
  mask_cut_options const o{
      .tau = c.param<double>("tau"), .passes = c.param<index_t>("passes"), .cut = {.eps = c.param<double>("eps")}};
  auto const found = mask_cut(where, features, o);
  auto alike = feature_affinity(where, features, {.tau = o.tau});
  for (std::size_t p = 0; p < found.passes.size(); ++p) {
    auto const& pass = found.passes[p];
    auto const name = [&](std::string const& what) { return "pass" + std::to_string(p + 1) + "_" + what; };
    grid<std::uint8_t, 2> affinity(H * W, H * W);
    auto const cells = unpack_masks(where, alike);
    std::copy(cells.cells().begin(), cells.cells().end(), affinity.cells().begin());
    c.result(name("affinity"), affinity);
    auto vector = pass.mode.vector;
    if (pass.object.turned)
      for (double& v : vector.cells()) v = -v;
    box around{H, W, 0, 0};
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        if (pass.component(y, x) != 0)
          around = {std::min(around.top, y), std::min(around.left, x), std::max(around.bottom, y + 1),
                    std::max(around.right, x + 1)};
    c.result(name("eigenvector"), vector);
    for (std::string const form : {"", "_corner_rule"}) {
      c.result(name("bipartition" + form), pass.object.side);
      c.result(name("component" + form), pass.component);
    }
    c.result(name("box"), std::vector<index_t>{around.top, around.left, around.bottom, around.right});
    c.result(name("seed"), std::vector<index_t>{}, {static_cast<double>(pass.object.seed)});
    if (pass.accepted) alike = without_features(where, alike, pass.component.view(), o.tau < 0);
  }
  c.result("masks", unpack_masks(where, found.masks));
}

}  // namespace

stage_table const& mask_cut_stages()
{
  static stage_table const table = {{"maskcut", maskcut}};
  return table;
}

}  // namespace conformance
