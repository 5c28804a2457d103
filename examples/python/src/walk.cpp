// The random walk: affinities of a boundary map, a transition, the walk.

#include "bindings.hpp"

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/walk/random_walk.hpp>

#include <nanobind/stl/string.h>
#include <nanobind/stl/variant.h>

#include <variant>

namespace bindings {

using namespace cambium;

namespace {

/// A transition of either type, for Python's `Transition`.
struct any_transition {
  std::variant<transition<float>, transition<double>> held;
};

nb::object path_affinity_of(nb::handle boundary, int radius, int threads, bool copy)
{
  array_argument given(boundary, "path_affinity: boundary", copy);
  auto const where = policy(threads, "path_affinity");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    return into_array(without_gil([&] { return path_affinity(where, cells, disc(radius)); }));
  });
}

any_transition make_transition_of(nb::handle affinity, int radius, double beta, int threads, bool copy)
{
  array_argument given(affinity, "make_transition: affinity", copy);
  auto const where = policy(threads, "make_transition");
  return with_float_type(given, [&]<class T>() -> any_transition {
    auto const cells = given.cells<T, 3>();
    return {without_gil([&] { return make_transition(where, disc(radius), cells, {.beta = beta}); })};
  });
}

nb::object random_walk_of(nb::handle seeds, any_transition const& t, index_t steps, double tolerance, int threads,
                          bool copy)
{
  array_argument given(seeds, "random_walk: seeds", copy);
  auto const where = policy(threads, "random_walk");
  return std::visit(
      [&]<class T>(transition<T> const& weights) {
        auto const cells = given.cells<T, 3>();
        return into_array(without_gil([&] { return random_walk(where, cells, weights, {steps, tolerance}); }));
      },
      t.held);
}

}  // namespace

void bind_walk(nb::module_& m)
{
  nb::class_<any_transition>(m, "Transition", "One step of a random walk. make_transition() makes it.");

  m.def(
      "disc",
      [](int radius) {
        stencil const& edges = disc(radius);
        auto out = make_grid<std::int32_t>({index_t{edges.size}, index_t{2}});
        for (int k = 0; k < edges.size; ++k) out(k, 0) = edges.at[k].dy, out(k, 1) = edges.at[k].dx;
        return into_array(std::move(out));
      },
      nb::arg("radius") = 5, nb::sig("def disc(radius: int = 5) -> NDArray[np.int32]"),
      "The neighbours of a cell inside a disc, one of each pair of opposite ones.\n\n"
      "radius  [cells] 1..17; 5 gives 34 neighbours, 10 gives 152\n\n"
      "Returns [K,2]: (dy, dx), in the order of the K maps of path_affinity().");

  m.def("path_affinity", path_affinity_of, array("boundary"), nb::kw_only(), nb::arg("radius") = 5,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def path_affinity(boundary: Array, *, radius: int = 5, threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Affinity of every cell with its neighbours: 1 - the largest boundary on the path between them.\n\n"
        "boundary  [h,w] float32 or float64 in [0,1]\n"
        "radius    [cells] 1..17; 5 gives 34 neighbours, 10 gives 152\n\n"
        "Returns [K,h,w] of the same type.");
  m.def("make_transition", make_transition_of, array("affinity"), nb::kw_only(), nb::arg("radius") = 5,
        nb::arg("beta") = 10.0, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def make_transition(affinity: Array, *, radius: int = 5, beta: float = 10.0, threads: int = 0, "
                "copy: bool = False) -> Transition"),
        "Transition of a random walk: affinity to the power of beta, divided by each cell's sum.");
  m.def("random_walk", random_walk_of, array("seeds"), nb::arg("transition"), nb::kw_only(), nb::arg("steps") = 256,
        nb::arg("tolerance") = 0.0, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def random_walk(seeds: Array, transition: Transition, *, steps: int = 256, tolerance: float = "
                "0.0, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "Spread scores by a random walk that boundaries slow down.");
}

}  // namespace bindings
