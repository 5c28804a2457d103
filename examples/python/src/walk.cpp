// The random walk: affinities of a boundary map, a transition, the walk.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/walk/random_walk.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <optional>
#include <variant>

namespace bindings {

using namespace cambium;

namespace {

/// A transition of either type, for Python's `Transition`.
struct any_transition {
  std::variant<transition<float>, transition<double>> held;
  int radius;

  template <class Body>
  auto visit(Body const& body) const
  {
    return std::visit(body, held);
  }
};

/// Offsets as an array [K,2] of (dy,dx).
nb::object offsets(offset const* at, int count)
{
  auto out = make_grid<std::int32_t>({index_t{count}, index_t{2}});
  for (int k = 0; k < count; ++k) out(k, 0) = at[k].dy, out(k, 1) = at[k].dx;
  return into_array(std::move(out));
}

nb::object path_of(int dy, int dx)
{
  constexpr int longest = path::longest;
  bool const near = -longest < dy && dy < longest && -longest < dx && dx < longest;
  expects(near && dy * dy + dx * dx < longest * longest, "path: (dy,dx) is (", dy, ",", dx,
          "); expected a step shorter than ", longest, " cells");
  path const cells = path::to({dy, dx});
  return offsets(cells.at, cells.size);
}

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
    return {without_gil([&] { return make_transition(where, disc(radius), cells, {.beta = beta}); }), radius};
  });
}

/// Throws unless edges that leave the map weigh nothing.
template <class T>
void expects_edges_inside(stencil const& edges, stack_view<T const> weight)
{
  index_t const H = weight.extent[1], W = weight.extent[2];
  for (int k = 0; k < edges.size; ++k) {
    auto const [dy, dx] = edges.at[k];
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        bool const leaves = y + dy >= H || x + dx < 0 || x + dx >= W;
        expects(!leaves || weight(k, y, x) == 0, "Transition: weight(", k, ",", y, ",", x, ") is ", weight(k, y, x),
                ", but the edge (", dy, ",", dx, ") leaves the map; expected 0");
      }
  }
}

/// Copy weights, checked, and the inverse degrees, which are computed if they are not given.
template <class T>
transition<T> transition_of_arrays(cpu const& where, stencil const& edges, stack_view<T const> weight,
                                   image_view<T const> inverse_degree)
{
  index_t const K = edges.size, H = weight.extent[1], W = weight.extent[2];
  expects(weight.extent[0] == K, "Transition: weight is ", weight, " but the disc has ", K, " offsets");
  expects_inside(where, weight, T(0), std::numeric_limits<T>::max(), "Transition: weight", "a finite weight >= 0");
  expects_edges_inside(edges, weight);
  transition<T> out{edges, make_grid<T>({K, H, W}), make_grid<T>({H, W})};
  std::copy_n(weight.data, weight.size(), out.weight.data());
  for_each_cell(where, {1, H, W}, rule::invert_degree<T, host>{edges, weight, out.inverse_degree.view()});
  if (inverse_degree.data == nullptr) return out;
  expects(inverse_degree.extent[0] == H && inverse_degree.extent[1] == W, "Transition: weight is ", weight,
          " but inverse_degree is ", inverse_degree);
  T const slack = 64 * std::numeric_limits<T>::epsilon();
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      T const given = inverse_degree(y, x), computed = out.inverse_degree(y, x);
      expects(given > 0 && std::abs(given - computed) <= slack * computed, "Transition: inverse_degree(", y, ",", x,
              ") is ", given, "; expected 1 / (1 + the weights at that cell), which is ", computed);
      out.inverse_degree(y, x) = given;
    }
  return out;
}

any_transition transition_from(nb::handle weight, nb::handle inverse_degree, int radius, int threads, bool copy)
{
  array_argument given(weight, "Transition: weight", copy);
  auto const where = policy(threads, "Transition");
  return with_float_type(given, [&]<class T>() -> any_transition {
    auto const cells = given.cells<T, 3>();
    std::optional<array_argument> degree;
    image_view<T const> degrees;
    if (!inverse_degree.is_none()) {
      degree.emplace(inverse_degree, "Transition: inverse_degree", copy);
      degrees = degree->cells<T, 2>();
    }
    return {without_gil([&] { return transition_of_arrays<T>(where, disc(radius), cells, degrees); }), radius};
  });
}

walk_options walk_options_of(index_t steps, std::optional<int> exp_times, double tolerance)
{
  if (!exp_times) return {steps, tolerance};
  expects(steps == walk_options{}.steps, "random_walk: steps is ", steps, " and exp_times is ", *exp_times,
          "; expected one of them");
  return walk_options::squarings(*exp_times, tolerance);
}

nb::object random_walk_of(nb::handle seeds, any_transition const& t, index_t steps, std::optional<int> exp_times,
                          double tolerance, nb::handle out, int threads, bool copy)
{
  array_argument given(seeds, "random_walk: seeds", copy);
  auto const where = policy(threads, "random_walk");
  auto const options = walk_options_of(steps, exp_times, tolerance);
  return t.visit([&]<class T>(transition<T> const& weights) -> nb::object {
    auto const from = given.cells<T, 3>();
    if (out.is_none()) return into_array(without_gil([&] { return random_walk(where, from, weights, options); }));
    nb::ndarray<> hold;
    auto const to = cells_to_write<T, 3>(out, "random_walk: out", from.extent, hold);
    without_gil([&] {
      walk_scratch<T, cpu> scratch(where, from.extent[0], from.extent[1], from.extent[2], weights.edges, tolerance);
      random_walk_into(where, from, weights, options, to, scratch);
    });
    return nb::borrow(out);
  });
}

}  // namespace

void bind_walk(nb::module_& m)
{
  nb::class_<any_transition>(m, "Transition",
                             "One step of a random walk: every cell takes the weighted mean of itself, with weight 1, "
                             "and its neighbours.\n\nmake_transition() makes it of affinities.")
      .def(
          "__init__",
          [](any_transition* self, nb::handle weight, nb::handle inverse_degree, int radius, int threads, bool copy) {
            new (self) any_transition(transition_from(weight, inverse_degree, radius, threads, copy));
          },
          array("weight"), nb::arg("inverse_degree") = nb::none(), nb::kw_only(), nb::arg("radius") = 5,
          nb::arg("threads") = 0, nb::arg("copy") = false,
          nb::sig("def __init__(self, weight: Array, inverse_degree: Array | None = None, *, radius: int = 5, "
                  "threads: int = 0, copy: bool = False) -> None"),
          "A transition of arrays, which are copied.\n\n"
          "weight          [K,h,w] float32 or float64, finite and >= 0: of the edge from a cell to the k-th of "
          "disc(radius); 0 where that leaves the map\n"
          "inverse_degree  [h,w] of the same type: 1 / (1 + the weights of all edges at the cell); None: computed\n"
          "radius          [cells] 1..17")
      .def_prop_ro(
          "weight",
          [](nb::handle self) {
            return nb::cast<any_transition const&>(self).visit(
                [&]<class T>(transition<T> const& t) { return as_array(stack_view<T const>(t.weight.view()), self); });
          },
          nb::sig("def weight(self) -> NDArray[Any]"),
          "[K,h,w] weight of the edge from each cell to the k-th of its neighbours, 0 where that leaves the map. "
          "Read-only, not a copy.")
      .def_prop_ro(
          "inverse_degree",
          [](nb::handle self) {
            return nb::cast<any_transition const&>(self).visit([&]<class T>(transition<T> const& t) {
              return as_array(image_view<T const>(t.inverse_degree.view()), self);
            });
          },
          nb::sig("def inverse_degree(self) -> NDArray[Any]"),
          "[h,w] 1 / (1 + the weights of all edges at the cell). Read-only, not a copy.")
      .def_prop_ro(
          "edges",
          [](any_transition const& t) {
            return t.visit([](auto const& of) { return offsets(of.edges.at, of.edges.size); });
          },
          nb::sig("def edges(self) -> NDArray[np.int32]"), "[K,2] (dy,dx) of the neighbours: disc(radius).")
      .def_ro("radius", &any_transition::radius, nb::sig("def radius(self) -> int"), "[cells] of the disc of edges.")
      .def_prop_ro(
          "shape",
          [](any_transition const& t) {
            return t.visit([](auto const& of) {
              return nb::make_tuple(of.weight.shape()[0], of.weight.shape()[1], of.weight.shape()[2]);
            });
          },
          nb::sig("def shape(self) -> tuple[int, int, int]"), "(K, h, w)")
      .def("__repr__", [](any_transition const& t) {
        return t.visit([&]<class T>(transition<T> const& of) {
          auto const& shape = of.weight.shape();
          return "Transition(shape=(" + std::to_string(shape[0]) + ", " + std::to_string(shape[1]) + ", " +
                 std::to_string(shape[2]) + "), radius=" + std::to_string(t.radius) +
                 ", dtype=" + dtype_name(nb::dtype<T>()) + ")";
        });
      });

  m.def(
      "disc",
      [](int radius) {
        stencil const& edges = disc(radius);
        return offsets(edges.at, edges.size);
      },
      nb::arg("radius") = 5, nb::sig("def disc(radius: int = 5) -> NDArray[np.int32]"),
      "The neighbours of a cell inside a disc, one of each pair of opposite ones.\n\n"
      "radius  [cells] 1..17; 5 gives 34 neighbours, 10 gives 152\n\n"
      "Returns [K,2]: (dy, dx), in the order of the K maps of path_affinity().");
  m.def("path", path_of, nb::arg("dy"), nb::arg("dx"), nb::sig("def path(dy: int, dx: int) -> NDArray[np.int32]"),
        "The cells of the thick line from a cell to a neighbour: those of their box that are nearer than 1 cell to the "
        "line.\n\n"
        "dy, dx  [cells] the neighbour; dy*dy + dx*dx < 289\n\n"
        "Returns [N,2]: (dy, dx), the neighbour first, the cell itself, (0,0), last.");

  m.def("path_affinity", path_affinity_of, array("boundary"), nb::kw_only(), nb::arg("radius") = 5,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def path_affinity(boundary: Array, *, radius: int = 5, threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Affinity of every cell with its neighbours: 1 - the largest boundary on the path between them.\n\n"
        "boundary  [h,w] float32 or float64 in [0,1]\n"
        "radius    [cells] 1..17; 5 gives 34 neighbours, 10 gives 152\n"
        "threads   0: all cores\n"
        "copy      convert another dtype or order instead of refusing it\n\n"
        "Returns [K,h,w] of the same type, in [0,1]: of each cell with the k-th of disc(radius); 0 where that leaves "
        "the map. Stands for edge_to_affinity of irn.");
  m.def("make_transition", make_transition_of, array("affinity"), nb::kw_only(), nb::arg("radius") = 5,
        nb::arg("beta") = 10.0, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def make_transition(affinity: Array, *, radius: int = 5, beta: float = 10.0, threads: int = 0, "
                "copy: bool = False) -> Transition"),
        "Transition of a random walk: affinity to the power of beta, divided by each cell's sum.\n\n"
        "affinity  [K,h,w] float32 or float64 in [0,1], from path_affinity() with the same radius\n"
        "radius    [cells] 1..17\n"
        "beta      the power, > 0\n"
        "threads   0: all cores\n"
        "copy      convert another dtype or order instead of refusing it\n\n"
        "Returns the Transition. It can be used for any number of walks.");
  m.def("random_walk", random_walk_of, array("seeds"), nb::arg("transition"), nb::kw_only(), nb::arg("steps") = 256,
        nb::arg("exp_times") = nb::none(), nb::arg("tolerance") = 0.0, nb::arg("out") = nb::none(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def random_walk(seeds: Array, transition: Transition, *, steps: int = 256, exp_times: int | None = "
                "None, tolerance: float = 0.0, out: Array | None = None, threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Spread scores by a random walk that boundaries slow down: `steps` times every cell takes the weighted mean of "
        "itself and its neighbours.\n\n"
        "seeds       [C,h,w] of the transition's type; finite, far from the largest number (float32: up to 1e36)\n"
        "transition  from make_transition()\n"
        "steps       [count] >= 0\n"
        "exp_times   instead of steps: 2**exp_times steps, 0..40; irn's 8 is 256 steps\n"
        "tolerance   [fraction of a channel's max - min] 0 <= tolerance < 1; 0: exact. Else the result differs from "
        "the exact one by at most tolerance * (max - min of the channel's seeds), and rounding, and is never outside "
        "that range; 2e-5 takes 78 applications instead of 256\n"
        "out         [C,h,w] of the same type, C order, writable: the result is written there; it must not overlap the "
        "seeds\n"
        "threads     0: all cores\n"
        "copy        convert another dtype or order of the seeds instead of refusing it\n\n"
        "Returns [C,h,w], or out. irn first multiplies seeds by (1 - boundary): propagate_to_edge() does that.");
}

}  // namespace bindings
