// Minimum spanning trees of images, the filter along them, and the tree energy loss.

#include "bindings.hpp"

#include <cambium/pipeline/tree_energy.hpp>
#include <cambium/walk/minimum_tree.hpp>
#include <cambium/walk/tree_filter.hpp>

#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace bindings {

using namespace cambium;

namespace {

struct python_tree {
  grid_tree tree;
};
struct python_tree_loss {
  double value;
  nb::object gradient, by_high;
};

python_tree minimum_tree_of(nb::handle guide, int threads, bool copy)
{
  array_argument given(guide, "minimum_tree: guide", copy);
  auto const where = policy(threads, "minimum_tree");
  return with_float_type(given, [&]<class T>() -> python_tree {
    auto const cells = given.cells<T, 3>();
    return {without_gil([&] { return minimum_tree(where, cells); })};
  });
}

nb::object tree_filter_of(nb::handle feature, nb::handle guide, nb::handle tree, double sigma, int groups, int threads,
                          bool copy)
{
  array_argument maps(feature, "tree_filter: feature", copy), given(guide, "tree_filter: guide", copy);
  python_tree const* held = nullptr;
  if (!tree.is_none() && !nb::try_cast(tree, held, false))
    throw nb::type_error(("tree_filter: tree is " + name_of_type(tree) + "; expected a MinimumTree").c_str());
  auto const where = policy(threads, "tree_filter");
  return with_float_type(maps, [&]<class T>() {
    auto const from = maps.cells<T, 3>(), colours = given.cells<T, 3>();
    return into_array(without_gil([&] {
      std::optional<grid_tree> made;
      if (held == nullptr) made.emplace(minimum_tree(where, colours));
      grid_tree const& along = made ? *made : held->tree;
      return tree_filter(where, from, along,
                         make_tree_weights(where, colours, along, {.sigma = sigma, .groups = groups}));
    }));
  });
}

python_tree_loss tree_energy_loss_of(nb::handle probabilities, nb::handle roi, nb::handle low, nb::handle high,
                                     double sigma, int groups, int threads, bool copy)
{
  array_argument first(probabilities, "tree_energy_loss: probabilities", copy),
      second(roi, "tree_energy_loss: roi", copy), third(low, "tree_energy_loss: low", copy);
  auto const where = policy(threads, "tree_energy_loss");
  return with_float_type(first, [&]<class T>() -> python_tree_loss {
    auto const p = first.cells<T, 4>(), counts = second.cells<T, 4>(), guide = third.cells<T, 4>();
    grid<T, 4> features;
    if (!high.is_none()) {
      array_argument fourth(high, "tree_energy_loss: high", copy);
      auto const cells = fourth.cells<T, 4>();
      features = make_grid<T>(cells.extent);
      std::copy_n(cells.data, cells.size(), features.data());
    }
    auto got = without_gil([&] {
      return tree_energy_loss(where, p, counts, guide, high.is_none() ? nullptr : &features,
                              {.sigma = sigma, .groups = groups});
    });
    nb::object by_high = high.is_none() ? nb::object(nb::none()) : into_array(std::move(got.by_high));
    return {got.value, into_array(std::move(got.gradient)), std::move(by_high)};
  });
}

void bind_tree_results(nb::module_& m)
{
  auto const nodes = [](grid<std::int32_t, 1> grid_tree::* which) {
    return [which](nb::handle self) {
      auto const& of = nb::cast<python_tree const&>(self).tree.*which;
      return as_array(view<std::int32_t const, 1>(of.view()), self);
    };
  };
  nb::class_<python_tree>(m, "MinimumTree", "A spanning tree of an image's pixels: minimum_tree makes it.")
      .def_prop_ro(
          "size", [](python_tree const& t) { return nb::make_tuple(t.tree.height, t.tree.width); },
          nb::sig("def size(self) -> tuple[int, int]"), "Height and width of the image.")
      .def_prop_ro("order", nodes(&grid_tree::order), nb::sig("def order(self) -> NDArray[np.int32]"),
                   "[H*W] the pixel y*W+x of each node, read-only; the root, node 0, is pixel 0.")
      .def_prop_ro("place", nodes(&grid_tree::place), nb::sig("def place(self) -> NDArray[np.int32]"),
                   "[H*W] the node of each pixel, read-only.")
      .def_prop_ro("parent", nodes(&grid_tree::parent), nb::sig("def parent(self) -> NDArray[np.int32]"),
                   "[H*W] the parent of each node, a node, read-only; the root's is itself.")
      .def("__repr__", [](python_tree const& t) {
        return "MinimumTree(" + std::to_string(t.tree.height) + " x " + std::to_string(t.tree.width) + ")";
      });
  nb::class_<python_tree_loss>(m, "TreeEnergyLoss", "The tree energy loss of a batch and its gradients.")
      .def_ro("value", &python_tree_loss::value, "The loss.")
      .def_ro("gradient", &python_tree_loss::gradient, nb::sig("def gradient(self, /) -> NDArray[Any]"),
              "[B,C,H,W] d value / d probabilities.")
      .def_ro("by_high", &python_tree_loss::by_high, nb::sig("def by_high(self, /) -> NDArray[Any] | None"),
              "[B,D,H,W] d value / d high, or None without a high guide.")
      .def("__repr__", [](python_tree_loss const& r) {
        return "TreeEnergyLoss(value=" + message_part(r.value) + ", gradient=" + text_of(r.gradient) +
               (r.by_high.is_none() ? "" : ", by_high=" + text_of(r.by_high)) + ")";
      });
}

}  // namespace

void bind_tree(nb::module_& m)
{
  bind_tree_results(m);
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, sigma = nb::arg("sigma") = 0.02,
                  groups = nb::arg("groups") = 1;
  m.def("minimum_tree", minimum_tree_of, array("guide"), nb::kw_only(), threads, copy,
        nb::sig("def minimum_tree(guide: Array, *, threads: int = 0, copy: bool = False) -> MinimumTree"),
        "Find the minimum spanning tree of an image's pixels, by the colours' squared differences between "
        "4-neighbours.\n\n"
        "guide  [D,H,W] float32 or float64, finite: colours or features");
  m.def("tree_filter", tree_filter_of, array("feature"), array("guide"), nb::arg("tree").none() = nb::none(),
        nb::kw_only(), sigma, groups, threads, copy,
        nb::sig("def tree_filter(feature: Array, guide: Array, tree: MinimumTree | None = None, *, sigma: float = "
                "0.02, groups: int = 1, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "Smooth maps along a tree: a cell becomes the mean of all cells, weighted by the affinities on the way to "
        "them.\n\n"
        "An edge's affinity is exp(-|difference of the guide|^2 / sigma); a way's is the product of its edges'.\n\n"
        "feature  [C,H,W] float32 or float64, finite\n"
        "guide    [D,H,W] of the same type (float32 or float64), finite\n"
        "tree     None: minimum_tree of the guide\n"
        "sigma    > 0, in squared units of the guide\n"
        "groups   divides C and D: channels are filtered by the affinities of their group of the guide's\n\n"
        "Returns [C,H,W]. Source: Song et al., \"Learnable Tree Filter\", NeurIPS 2019; Yang, PAMI 2015.");
  m.def(
      "tree_energy_loss", tree_energy_loss_of, array("probabilities"), array("roi"), array("low"),
      nb::arg("high").none() = nb::none(), nb::kw_only(), sigma, groups, threads, copy,
      nb::sig("def tree_energy_loss(probabilities: Array, roi: Array, low: Array, high: Array | None = None, *, "
              "sigma: float = 0.02, groups: int = 1, threads: int = 0, copy: bool = False) -> TreeEnergyLoss"),
      "Compare a network's probabilities with themselves, smoothed along the trees of guides.\n\n"
      "value = sum of roi * |probabilities - smooth| / pixels with roi > 0\n\n"
      "probabilities  [B,C,H,W] float32 or float64, finite\n"
      "roi            [B,1,H,W] of the same type (float32 or float64), >= 0: 1 on unlabelled pixels, else 0\n"
      "low            [B,D,H,W] of the same type (float32 or float64), finite: the photograph in 0 to 1\n"
      "high           [B,E,H,W] of the same type (float32 or float64), finite: features of the network, filtered after "
      "low with sigma 1; or None\n"
      "sigma          of the low tree, > 0: 0.02 on VOC, 0.002 on Cityscapes\n"
      "groups         divides C, D and E\n\n"
      "Returns the value and the gradients by probabilities and high. Source: Liang et al., \"Tree Energy Loss\", "
      "CVPR 2022.");
}

}  // namespace bindings
