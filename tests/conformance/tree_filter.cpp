// Tree energy loss: the tree, the filter, the loss and its gradient.

#include "golden_case.hpp"

#include <cambium/pipeline/tree_energy.hpp>

#include <algorithm>
#include <array>
#include <vector>

using namespace cambium;

namespace conformance {
namespace {

cpu const where{};

void tree(golden_case& c)
{
  auto const whole = [&](char const* array) {
    auto const a = to_grid<float, 3>(read_npy(c.folder / (std::string(array) + ".npy")), array);
    grid<float, 4> batch(1, a.shape()[0], a.shape()[1], a.shape()[2]);
    batch.cells() = a.cells();
    return batch;
  };
  auto const guide = whole("guide"), feature = whole("feature");
  auto const seen = to_grid<std::uint8_t, 2>(read_npy(c.folder / "roi.npy"), "roi");
  tree_filter_options options{.groups = c.param<int>("groups")};
  options.sigma = c.param<bool>("low_tree") ? c.param<double>("sigma") : 1;
  auto const of = minimum_tree(where, guide.view()[0]);
  std::vector<std::array<index_t, 2>> edges;
  for (index_t i = 1; i < of.nodes(); ++i) {
    index_t const a = of.order(i), b = of.order(of.parent(i));
    edges.push_back({std::min(a, b), std::max(a, b)});
  }
  std::sort(edges.begin(), edges.end());
  grid<std::int32_t, 2> list(static_cast<index_t>(edges.size()), 2);
  for (std::size_t i = 0; i < edges.size(); ++i)
    for (std::size_t j = 0; j < 2; ++j) list(i, j) = static_cast<std::int32_t>(edges[i][j]);
  c.result("tree", list);

  auto const weights = make_tree_weights(where, guide.view()[0], of, options);
  c.result("filtered", tree_filter(where, feature.view()[0], of, weights));
  grid<float, 4> roi(1, 1, seen.shape()[0], seen.shape()[1]);
  std::copy(seen.cells().begin(), seen.cells().end(), roi.cells().begin());
  auto const loss = tree_energy_loss(where, feature, roi, guide, nullptr, options);
  c.result("loss", {}, {loss.value});
  c.result("grad_feature", loss.gradient);
}

}  // namespace

stage_table const& tree_stages()
{
  static stage_table const stages{{"tree_filter", tree}};
  return stages;
}

}  // namespace conformance
