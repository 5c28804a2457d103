// Connected components: labels, their order, areas and boxes.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/component/connected.hpp>
#include <cambium/component/farthest_points.hpp>
#include <cambium/component/relabel.hpp>
#include <cambium/component/skeleton.hpp>
#include <cambium/component/statistics.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace bindings {

using namespace cambium;

namespace {

/// Components as Python holds them.
struct python_components {
  nb::object label;
  index_t count;
};

struct python_statistics {
  nb::object area, bounds, centroid, largest;
};

struct python_component_points {
  nb::object at, first;
};

/// The components that Python handed over, or null for an array.
python_components const* components_in(nb::handle given)
{
  python_components const* of = nullptr;
  return nb::try_cast(given, of, false) ? of : nullptr;
}

/// Throws unless memory for so many labels may be taken: for as many as there are cells, or 2^24.
void expects_label_count(index_t count, index_t cells, std::string const& what)
{
  index_t const most = std::max(cells, index_t{1} << 24);
  expects(0 <= count && count <= most, what, ": count is ", count, "; expected 0 to ", most);
}

/// Labels from Python, a Components or an array, and their number.
struct labels_argument {
  labels_argument(nb::handle given, std::string const& what, bool copy, std::optional<index_t> of = {})
      : held(components_in(given)), read(held ? nb::handle(held->label) : given, what, copy)
  {
    label = read.cells<std::int32_t, 2>();
    std::int32_t most = 0;
    if (!of && !held)
      for (index_t y = 0; y < label.extent[0]; ++y)
        for (index_t x = 0; x < label.extent[1]; ++x) most = std::max(most, label(y, x));
    count = of ? *of : held ? held->count : index_t{most};
    expects_label_count(count, label.size(), what);
  }

  /// The library's components own their labels.
  components<> owned() const
  {
    components<> out{make_grid<std::int32_t>(label.extent), count};
    cambium::copy(cpu{1}, label, out.label.view());
    return out;
  }

  python_components const* held;
  array_argument read;
  image_view<std::int32_t const> label;
  index_t count = 0;
};

python_components to_components(components<>&& found)
{
  index_t const count = found.count;
  return {into_array(std::move(found.label)), count};
}

/// Call body<T>() with the type of labels: uint8 for uint8 and bool, otherwise int32.
template <class Body>
auto with_label_type(array_argument const& given, Body const& body)
{
  return given.holds<std::uint8_t>() || given.holds<bool>() ? body.template operator()<std::uint8_t>()
                                                            : body.template operator()<std::int32_t>();
}

python_components connected_of(nb::handle mask, int near, int threads, bool copy)
{
  array_argument given(mask, "connected: mask", copy);
  auto const where = policy(threads, "connected");
  auto const around = neighbours(near, "connected");
  auto const cells = given.mask<2>();
  return to_components(without_gil([&] { return connected(where, cells, around); }));
}

python_components connected_equal_of(nb::handle labels, int near, int background, int threads, bool copy)
{
  array_argument given(labels, "connected_equal: labels", copy);
  auto const where = policy(threads, "connected_equal");
  auto const around = neighbours(near, "connected_equal");
  return with_label_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    expects(std::in_range<T>(background), "connected_equal: background is ", background, ", no ",
            dtype_name(nb::dtype<T>()));
    return to_components(
        without_gil([&] { return connected_equal(where, cells, around, static_cast<T>(background)); }));
  });
}

/// Do two neighbours differ by at most delta?
template <class T>
struct within {
  image_view<T const> values;
  double delta;

  bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    return std::abs(static_cast<double>(values(y, x)) - static_cast<double>(values(ny, nx))) <= delta;
  }
};

python_components connected_within_of(nb::handle values, double delta, int near, std::optional<double> background,
                                      int threads, bool copy)
{
  array_argument given(values, "connected_within: values", copy);
  auto const where = policy(threads, "connected_within");
  auto const around = neighbours(near, "connected_within");
  expects(delta >= 0, "connected_within: delta is ", delta, "; expected a number >= 0");
  auto const label = [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    auto const inside = [&](index_t y, index_t x) {
      return !background || static_cast<double>(cells(y, x)) != *background;
    };
    return to_components(without_gil([&] {
      return connected_if(where, {cells.extent[0], cells.extent[1]}, around, inside, within<T>{cells, delta});
    }));
  };
  return given.holds<std::uint8_t>()   ? label.template operator()<std::uint8_t>()
         : given.holds<std::int32_t>() ? label.template operator()<std::int32_t>()
         : given.holds<double>()       ? label.template operator()<double>()
                                       : label.template operator()<float>();
}

python_components connected_below_of(nb::handle boundary, double threshold, int near, int threads, bool copy)
{
  array_argument given(boundary, "connected_below: boundary", copy);
  auto const where = policy(threads, "connected_below");
  auto const around = neighbours(near, "connected_below");
  expects(!std::isnan(threshold), "connected_below: threshold is nan");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    below_boundary<T> const below{cells, static_cast<T>(threshold)};
    auto const inside = [&](index_t y, index_t x) { return cells(y, x) < below.threshold; };
    return to_components(
        without_gil([&] { return connected_if(where, {cells.extent[0], cells.extent[1]}, around, inside, below); }));
  });
}

python_statistics in_arrays(grid<component_statistics, 1> const& of)
{
  index_t const N = of.size();
  auto area = make_grid<std::int64_t>({N});
  auto bounds = make_grid<std::int64_t>({N, 4});
  auto centroid = make_grid<double>({N, 2});
  auto largest = make_grid<double>({N});
  for (index_t i = 0; i < N; ++i) {
    component_statistics const& s = of(i);
    area(i) = s.area, largest(i) = s.largest;
    bounds(i, 0) = s.bounds.top, bounds(i, 1) = s.bounds.left;
    bounds(i, 2) = s.bounds.bottom, bounds(i, 3) = s.bounds.right;
    centroid(i, 0) = s.centroid_y, centroid(i, 1) = s.centroid_x;
  }
  return {into_array(std::move(area)), into_array(std::move(bounds)), into_array(std::move(centroid)),
          into_array(std::move(largest))};
}

python_statistics statistics_of(nb::handle labels, std::optional<index_t> count, nb::handle scores, int threads,
                                bool copy)
{
  auto const where = policy(threads, "statistics");
  labels_argument const given(labels, "statistics: labels", copy, count);
  if (scores.is_none()) return in_arrays(without_gil([&] { return statistics(where, given.label, given.count); }));
  array_argument score(scores, "statistics: scores", copy);
  return with_float_type(score, [&]<class T>() {
    auto const cells = score.cells<T, 2>();
    return in_arrays(without_gil([&] { return statistics(where, given.label, given.count, cells); }));
  });
}

nb::object relabel_of(nb::handle labels, nb::handle table, int threads, bool copy)
{
  auto const where = policy(threads, "relabel");
  array_argument given(labels, "relabel: labels", copy);
  array_argument entries(table, "relabel: table", copy);
  auto const to = entries.cells<std::int32_t, 1>();
  return with_label_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    return into_array(without_gil([&] { return relabel(where, cells, to); }));
  });
}

python_components drop_small_of(nb::handle found, index_t area, int threads, bool copy)
{
  auto const where = policy(threads, "drop_small");
  labels_argument const given(found, "drop_small: found", copy);
  return to_components(without_gil([&] { return drop_small(where, given.owned(), area); }));
}

python_components reorder_of(nb::handle found, std::string const& order, int threads, bool copy)
{
  auto const where = policy(threads, "reorder");
  auto const by =
      choice<label_order>(order, "reorder: order", {{"raster", label_order::raster}, {"blocks", label_order::blocks}});
  labels_argument const given(found, "reorder: found", copy);
  return to_components(without_gil([&] { return reorder(where, given.owned(), by); }));
}

python_components grow_of(nb::handle found, nb::handle regions, int background, int threads, bool copy)
{
  auto const where = policy(threads, "grow");
  labels_argument const given(found, "grow: found", copy);
  expects_labels(given.label, given.count, "grow: found");
  array_argument region(regions, "grow: regions", copy);
  return with_label_type(region, [&]<class T>() {
    auto const cells = region.cells<T, 2>();
    expects(std::in_range<T>(background), "grow: background is ", background, ", no ", dtype_name(nb::dtype<T>()));
    return to_components(without_gil([&] { return grow(where, given.owned(), cells, static_cast<T>(background)); }));
  });
}

constexpr char const* near_text = "near        4: edge neighbours; 8: corners too\n";

/// The array of labels: a Components' own, or what is given.
nb::handle labels_in(nb::handle given)
{
  auto const* const held = components_in(given);
  return held != nullptr ? nb::handle(held->label) : given;
}

nb::object skeleton_of(nb::handle found, int threads, bool copy)
{
  array_argument given(labels_in(found), "skeleton: found", copy);
  auto const where = policy(threads, "skeleton");
  return with_label_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    return into_array(without_gil([&] { return skeleton(where, cells); }));
  });
}

python_component_points farthest_points_of(nb::handle found, index_t most, std::optional<index_t> count, int threads,
                                           bool copy)
{
  auto const where = policy(threads, "farthest_points");
  labels_argument const given(found, "farthest_points: found", copy, count);
  auto const chosen = without_gil([&] { return farthest_points(where, given.label, given.count, most); });
  auto at = make_grid<std::int64_t>({static_cast<index_t>(chosen.at.size()), 2});
  for (std::size_t i = 0; i < chosen.at.size(); ++i) {
    auto const row = static_cast<index_t>(i);
    at(row, 0) = chosen.at[i].y, at(row, 1) = chosen.at[i].x;
  }
  return {into_array(std::move(at)), into_array(std::vector<std::int64_t>(chosen.first.begin(), chosen.first.end()))};
}

}  // namespace

void bind_component(nb::module_& m)
{
  auto components =
      nb::class_<python_components>(m, "Components", "A label for every cell, and the number of components.")
          .def(
              "__init__",
              [](python_components* self, nb::handle label, std::optional<index_t> count, bool copy) {
                labels_argument const given(label, "Components: label", copy, count);
                expects_labels(given.label, given.count, "Components: label");
                new (self) python_components(to_components(given.owned()));
              },
              array("label"), nb::kw_only(), nb::arg("count") = nb::none(), nb::arg("copy") = false,
              nb::sig("def __init__(self, label: Array, *, count: int | None = None, copy: bool = False) -> None"),
              "Components of an array, which is copied.\n\n"
              "label  [H,W] int32, 0..count\n"
              "count  None: the largest label")
          .def_ro("label", &python_components::label, nb::sig("def label(self) -> NDArray[np.int32]"),
                  "[H,W] 0 outside, 1..count.")
          .def_ro("count", &python_components::count, "The number of components.")
          .def("__len__", [](python_components const& c) { return c.count; })
          .def("__repr__", [](python_components const& c) {
            return "Components(" + std::to_string(c.count) + "," + shape_text("label", c.label) + ")";
          });
  bind_pickle<&python_components::label, &python_components::count>(components);

  nb::class_<python_statistics>(m, "Statistics", "Areas, boxes and means of components. Entry 0 is the outside.")
      .def_ro("area", &python_statistics::area, nb::sig("def area(self) -> NDArray[np.int64]"), "[N+1] cells.")
      .def_ro("bounds", &python_statistics::bounds, nb::sig("def bounds(self) -> NDArray[np.int64]"),
              "[N+1,4] top, left, bottom, right; bottom and right are one behind the last cell. 0 where there is none.")
      .def_ro("centroid", &python_statistics::centroid, nb::sig("def centroid(self) -> NDArray[np.float64]"),
              "[N+1,2] (y,x), the mean of the cells. 0 where there is none.")
      .def_ro("largest", &python_statistics::largest, nb::sig("def largest(self) -> NDArray[np.float64]"),
              "[N+1] the largest score, NaN left out; -inf without scores.")
      .def("__len__", [](python_statistics const& s) { return nb::len(s.area); })
      .def("__repr__",
           [](python_statistics const& s) { return "Statistics(" + std::to_string(nb::len(s.area)) + " entries)"; });

  nb::class_<python_component_points>(m, "ComponentPoints", "Cells inside components, far apart.")
      .def_ro("at", &python_component_points::at, nb::sig("def at(self) -> NDArray[np.int64]"),
              "[P,2] (y,x), those of a component one after another.")
      .def_ro("first", &python_component_points::first, nb::sig("def first(self) -> NDArray[np.int64]"),
              "[N+1]: those of component l are at[first[l-1]:first[l]].")
      .def("__repr__", [](python_component_points const& p) { return "ComponentPoints(" + text_of(p.at) + ")"; });

  m.def("connected", connected_of, array("mask"), nb::kw_only(), nb::arg("near") = 4, nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def connected(mask: Array, *, near: int = 4, threads: int = 0, copy: bool = False) -> Components"),
        ("Label the connected components of a mask.\n\n"
         "mask        [H,W] uint8 or bool; a cell is inside where it is not 0\n" +
         std::string(near_text) + "\nReturns labels in raster order of each component's first cell.")
            .c_str());
  m.def("connected_equal", connected_equal_of, array("labels"), nb::kw_only(), nb::arg("near") = 4,
        nb::arg("background") = 0, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def connected_equal(labels: Array, *, near: int = 4, background: int = 0, threads: int = 0, "
                "copy: bool = False) -> Components"),
        ("Label the components of a label map: neighbours belong together when their labels are equal.\n\n"
         "labels      [H,W] int32 or uint8\n" +
         std::string(near_text) +
         "background  cells that hold it belong to no component\n\n"
         "Returns labels in raster order of each component's first cell.")
            .c_str());
  m.def("connected_within", connected_within_of, array("values"), nb::arg("delta"), nb::kw_only(), nb::arg("near") = 4,
        nb::arg("background") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def connected_within(values: Array, delta: float, *, near: int = 4, background: float | None = None, "
                "threads: int = 0, copy: bool = False) -> Components"),
        ("Label the components of neighbours whose values differ by at most delta.\n\n"
         "values      [H,W] float32, float64, uint8 or int32; NaN differs from everything\n"
         "delta       >= 0\n" +
         std::string(near_text) +
         "background  cells that hold it belong to no component; None: every cell belongs to one\n\n"
         "Returns labels in raster order of each component's first cell. Runs on one thread.")
            .c_str());
  m.def(
      "connected_below", connected_below_of, array("boundary"), nb::arg("threshold"), nb::kw_only(),
      nb::arg("near") = 4, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def connected_below(boundary: Array, threshold: float, *, near: int = 4, threads: int = 0, "
              "copy: bool = False) -> Components"),
      ("Label the components of cells that lie on no boundary.\n\n"
       "boundary    [H,W] float32 or float64; a cell is inside where it is below the threshold\n" +
       std::string(near_text) + "\nReturns labels in raster order of each component's first cell. Runs on one thread.")
          .c_str());
  m.def("statistics", statistics_of, array("labels"), nb::kw_only(), nb::arg("count") = nb::none(),
        nb::arg("scores") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def statistics(labels: Components | Array, *, count: int | None = None, scores: Array | None = None, "
                "threads: int = 0, copy: bool = False) -> Statistics"),
        "Measure every component of a label map.\n\n"
        "labels  Components, or [H,W] int32 of 0..count\n"
        "count   None: that of the Components, or the largest label\n"
        "scores  [H,W] float32 or float64, or None\n\n"
        "Returns area, bounds, centroid and largest of labels 0..count.");
  m.def("relabel", relabel_of, array("labels"), array("table"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def relabel(labels: Array, table: Array, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.int32]"),
        "Replace every label by its entry in a table.\n\n"
        "labels  [H,W] int32 or uint8, 0..N-1\n"
        "table   [N] int32: the new label of each old one\n\n"
        "Returns [H,W].");
  m.def("drop_small", drop_small_of, array("found"), nb::arg("area"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def drop_small(found: Components | Array, area: int, *, threads: int = 0, copy: bool = False) -> "
                "Components"),
        "Remove components of less than `area` cells; the others keep their order and close up.\n\n"
        "found  Components, or [H,W] int32 labels\n"
        "area   [cells] the smallest area kept");
  m.def("reorder", reorder_of, array("found"), nb::arg("order"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def reorder(found: Components | Array, order: str, *, threads: int = 0, copy: bool = False) -> "
                "Components"),
        "Number components anew.\n\n"
        "found  Components, or [H,W] int32 labels\n"
        "order  'raster': by the first cell of each, row by row; 'blocks': by the first block of 2 x 2 cells, which is "
        "OpenCV's order where corners connect\n\n"
        "Labels without a cell come last.");
  m.def("grow", grow_of, array("found"), array("regions"), nb::kw_only(), nb::arg("background") = 0,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def grow(found: Components | Array, regions: Array, *, background: int = 0, threads: int = 0, "
                "copy: bool = False) -> Components"),
        "Give unlabelled cells of a region the label of the nearest labelled cell they can reach inside it.\n\n"
        "found       Components, or [H,W] int32 labels: the cores\n"
        "regions     [H,W] int32 or uint8; growth never crosses from one value to another\n"
        "background  a region that growth never enters\n\n"
        "Distance is counted in steps between edge neighbours; ties go to the smaller label. Runs on one thread.");
  m.def(
      "skeleton", skeleton_of, array("found"), nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def skeleton(found: Components | Array, *, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
      "Thin every component to lines of one cell's width.\n\n"
      "found  Components, or [H,W] int32 or uint8 labels, 0 outside. Each is thinned by itself; a mask is one label\n\n"
      "Returns [H,W] of the labels' type: the labels of the cells that stay, 0 elsewhere. Source: Guo and Hall, "
      "\"Parallel thinning with two-subiteration algorithms\", 1989.");
  m.def("farthest_points", farthest_points_of, array("found"), nb::arg("most"), nb::kw_only(),
        nb::arg("count").none() = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def farthest_points(found: Components | Array, most: int, *, count: int | None = None, threads: int = "
                "0, copy: bool = False) -> ComponentPoints"),
        "Choose cells of each component that are far apart, for example prompts of a segmentation model.\n\n"
        "found  Components, or [H,W] int32 labels, 0 outside\n"
        "most   [points] of a component; a smaller one gives all its cells. >= 0\n"
        "count  components; None: the largest label\n\n"
        "The first is the cell deepest inside, by city-block distance; each further one is the farthest from those "
        "before it. Ties go to the first in raster order. Source: Gonzalez 1985.");
}

}  // namespace bindings
