// Graph cut. It needs the headers of Boost.Graph; without them the function says so.

#include "bindings.hpp"
#include "results.hpp"

#include <nanobind/stl/string.h>

#if __has_include(<boost/graph/boykov_kolmogorov_max_flow.hpp>)
#define PYCAMBIUM_BOOST 1
#include <cambium/instance/graph_cut.hpp>
#endif

#include <stdexcept>

namespace bindings {

using namespace cambium;

namespace {

struct python_cut {
  nb::object label;
  double energy;
  int rounds;
  bool settled;
};

python_cut graph_cut_of([[maybe_unused]] nb::handle unary, [[maybe_unused]] nb::handle weights,
                        [[maybe_unused]] nb::handle offsets, [[maybe_unused]] nb::handle start,
                        [[maybe_unused]] double smoothness, [[maybe_unused]] int rounds,
                        [[maybe_unused]] index_t most_bytes, [[maybe_unused]] int threads, [[maybe_unused]] bool copy)
{
#ifdef PYCAMBIUM_BOOST
  auto const where = policy(threads, "graph_cut");
  array_argument costs(unary, "graph_cut: unary", copy), weight(weights, "graph_cut: weights", copy);
  auto const cells = costs.cells<float, 3>(), edge_cells = weight.cells<float, 3>();
  stencil edges{2, {{0, 1}, {1, 0}}};
  if (!offsets.is_none()) {
    array_argument list(offsets, "graph_cut: offsets", true);
    auto const at = list.cells<std::int64_t, 2>();
    index_t const most = static_cast<index_t>(std::size(edges.at));
    expects(at.extent[1] == 2 && 1 <= at.extent[0] && at.extent[0] <= most, "graph_cut: offsets is ", list.described(),
            "; expected [K,2], (dy,dx), with K of 1 to ", most);
    edges.size = static_cast<int>(at.extent[0]);
    for (index_t k = 0; k < at.extent[0]; ++k) {
      expects(-1000000 <= at(k, 0) && at(k, 0) <= 1000000 && -1000000 <= at(k, 1) && at(k, 1) <= 1000000,
              "graph_cut: offset ", k, " is (", at(k, 0), ",", at(k, 1), ")");
      edges.at[k].dy = static_cast<decltype(edges.at[k].dy)>(at(k, 0));
      edges.at[k].dx = static_cast<decltype(edges.at[k].dx)>(at(k, 1));
    }
  }
  graph_cut_options const options{smoothness, rounds, most_bytes};
  cut_labels out;
  if (start.is_none()) {
    out = without_gil([&] { return graph_cut(where, cells, edges, edge_cells, options); });
  } else {
    array_argument first(start, "graph_cut: start", copy);
    auto const labels = first.cells<std::int32_t, 2>();
    out = without_gil([&] { return graph_cut(where, cells, edges, edge_cells, labels, options); });
  }
  return {into_array(std::move(out.label)), out.energy, out.rounds, out.settled};
#else
  throw std::runtime_error(
      "graph_cut: this pycambium was built without Boost.Graph; install libboost-graph-dev and build it again");
#endif
}

}  // namespace

void bind_graph_cut(nb::module_& m)
{
  nb::class_<python_cut>(m, "CutLabels", "What a graph cut found.")
      .def_ro("label", &python_cut::label, nb::sig("def label(self) -> NDArray[np.int32]"), "[H,W] 0..L-1.")
      .def_ro("energy", &python_cut::energy, "The energy of these labels.")
      .def_ro("rounds", &python_cut::rounds, "Sweeps over the labels.")
      .def_ro("settled", &python_cut::settled, "Whether no expansion of a label lowers the energy further.")
      .def("__repr__", [](python_cut const& c) {
        return "CutLabels(energy=" + std::to_string(c.energy) + "," + shape_text("label", c.label) + ")";
      });
  m.def(
      "graph_cut", graph_cut_of, array("unary"), array("weights"), nb::kw_only(), nb::arg("offsets") = nb::none(),
      nb::arg("start") = nb::none(), nb::arg("smoothness") = 1.0, nb::arg("rounds") = 10,
      nb::arg("most_bytes") = index_t{4} << 30, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def graph_cut(unary: Array, weights: Array, *, offsets: Array | None = None, start: Array | None = "
              "None, smoothness: float = 1.0, rounds: int = 10, most_bytes: int = 4294967296, threads: int = 0, copy: "
              "bool = False) -> CutLabels"),
      "Label cells by minimum cuts: cheap labels, few and weak borders.\n\n"
      "unary       [L,H,W] float32 energies, 1 <= L <= 255\n"
      "weights     [K,H,W] float32 >= 0: what different labels at the two ends of an edge cost\n"
      "offsets     [K,2] (dy,dx) of the edges, after their cell in raster order; None: (0,1) and (1,0). disc(r) fits\n"
      "start       [H,W] int32 labels to improve, 255 where a cell has no cost of its own; None: the cheapest\n"
      "smoothness  >= 0: the factor of the weights\n"
      "rounds      >= 1: most sweeps over the labels. Two labels need one cut, which is the exact minimum\n"
      "most_bytes  larger graphs are refused\n\n"
      "Runs on one thread. RuntimeError where the package was built without Boost.Graph.");
}

}  // namespace bindings
