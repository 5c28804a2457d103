#include "results.hpp"

#include "arguments.hpp"

#include <cambium/grid/copy.hpp>

#include <nanobind/stl/string.h>

namespace bindings {

using namespace cambium;

namespace {

struct python_points {
  nb::object at, category, score;
};

struct python_centres {
  nb::object at, score, first;
};

struct python_instances {
  nb::object label, category, score, area, bounds;
};

struct python_labels {
  nb::object semantic, objects;
};

index_t length(nb::handle array) { return static_cast<index_t>(nb::len(array)); }

/// An array with one entry an item.
template <class T, class Items, class Of>
nb::object listed(Items const& items, Of const& of)
{
  auto out = make_grid<T>({static_cast<index_t>(items.size())});
  index_t i = 0;
  for (auto const& item : items) out(i++) = of(item);
  return into_array(std::move(out));
}

nb::object places(std::span<point const> all)
{
  auto out = make_grid<double>({static_cast<index_t>(all.size()), 2});
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto const row = static_cast<index_t>(i);
    out(row, 0) = all[i].y, out(row, 1) = all[i].x;
  }
  return into_array(std::move(out));
}

nb::object scores(std::span<point const> all)
{
  return listed<double>(all, [](point const& p) { return p.score; });
}

/// Points of arrays: places [N,2], and if there are some, categories [N] and scores [N].
points points_of(nb::handle at, nb::handle category, nb::handle score, std::string const& what)
{
  array_argument read(at, what + ": at", true);
  auto const cells = read.cells<double, 2>();
  index_t const N = cells.extent[0];
  expects(cells.extent[1] == 2, what, ": at is ", read.described(), "; expected [N,2], a (y,x) a point");
  points out(static_cast<std::size_t>(N));
  for (index_t i = 0; i < N; ++i) out[static_cast<std::size_t>(i)] = {cells(i, 0), cells(i, 1), 0, 1};
  if (!category.is_none()) {
    auto const classes = integers(category, (what + ": category").c_str());
    expects(classes.size() == out.size(), what, ": category has ", static_cast<index_t>(classes.size()), " entries of ",
            N, " points");
    for (std::size_t i = 0; i < out.size(); ++i) out[i].category = classes[i];
  }
  if (!score.is_none()) {
    array_argument sure(score, what + ": score", true);
    auto const values = sure.cells<double, 1>();
    expects(values.extent[0] == N, what, ": score has ", values.extent[0], " entries of ", N, " points");
    for (index_t i = 0; i < N; ++i) out[static_cast<std::size_t>(i)].score = values(i);
  }
  return out;
}

region_centres<> centres_of(nb::handle at, nb::handle first, nb::handle score, std::string const& what)
{
  auto const all = points_of(at, nb::none(), score, what);
  std::vector<index_t> begins;
  for (auto const i : integers(first, (what + ": first").c_str())) begins.push_back(i);
  region_centres<> out{to_memory(cpu{}, all), to_memory(cpu{}, begins)};
  expects_centres(out, what.c_str());
  return out;
}

python_points in_arrays(std::span<point const> all)
{
  return {places(all), listed<std::int32_t>(all, [](point const& p) { return p.category; }), scores(all)};
}

python_centres in_arrays(region_centres<> const& centres)
{
  return {places(centres.at.cells()), scores(centres.at.cells()),
          listed<std::int64_t>(centres.first.cells(), [](index_t i) { return std::int64_t{i}; })};
}

}  // namespace

std::string shape_text(char const* name, nb::handle array)
{
  nb::object const shape = array.attr("shape");
  return std::string(" ") + name + "=" + nb::str(shape).c_str();
}

nb::object to_python(std::span<point const> points) { return nb::cast(in_arrays(points)); }

points points_argument(nb::handle given, char const* what)
{
  python_points const* held = nullptr;
  if (nb::try_cast(given, held, false) && held != nullptr)
    return points_of(held->at, held->category, held->score, what);
  array_argument read(given, what, true);
  expects(read.rank() == 2 && read.extent(1) == 2, what, " is ", read.described(),
          "; expected Points or [N,2], a (y,x) a point");
  return points_of(given, nb::none(), nb::none(), what);
}

void expects_on_map(std::span<point const> points, extent2 map, std::string const& what)
{
  for (point const& p : points)
    expects(0 <= p.y && p.y < static_cast<double>(map.height) && 0 <= p.x && p.x < static_cast<double>(map.width), what,
            ": a point at (", p.y, ",", p.x, ") is off the map of ", map.height, " x ", map.width);
}

nb::object to_python(region_centres<> const& centres) { return nb::cast(in_arrays(centres)); }

region_centres<> centres_argument(nb::handle given, char const* what)
{
  python_centres const* held = nullptr;
  if (!nb::try_cast(given, held, false) || held == nullptr)
    throw nb::type_error((std::string(what) + " is " + name_of_type(given) + "; expected RegionCentres").c_str());
  return centres_of(held->at, held->first, held->score, what);
}

nb::object to_python(instances<>&& objects)
{
  auto const& found = objects.found;
  auto bounds = make_grid<std::int64_t>({static_cast<index_t>(found.size()), 4});
  for (std::size_t i = 0; i < found.size(); ++i) {
    auto const row = static_cast<index_t>(i);
    box const& b = found[i].bounds;
    bounds(row, 0) = b.top, bounds(row, 1) = b.left, bounds(row, 2) = b.bottom, bounds(row, 3) = b.right;
  }
  python_instances out;
  out.category = listed<std::int32_t>(found, [](instance const& i) { return i.category; });
  out.score = listed<double>(found, [](instance const& i) { return i.score; });
  out.area = listed<std::int64_t>(found, [](instance const& i) { return std::int64_t{i.area}; });
  out.bounds = into_array(std::move(bounds));
  out.label = into_array(std::move(objects.label));
  return nb::cast(std::move(out));
}

nb::object to_python(image_labels<>&& labels)
{
  auto objects = to_python(std::move(labels.objects));
  return nb::cast(python_labels{into_array(std::move(labels.semantic)), std::move(objects)});
}

void bind_results(nb::module_& m)
{
  auto of_points =
      nb::class_<python_points>(m, "Points", "Places with a class and a score: peaks, centres, clicks.")
          .def(
              "__init__",
              [](python_points* self, nb::handle at, nb::handle category, nb::handle score) {
                new (self) python_points(in_arrays(points_of(at, category, score, "Points")));
              },
              array("at"), nb::kw_only(), nb::arg("category") = nb::none(), nb::arg("score") = nb::none(),
              nb::sig("def __init__(self, at: Array, *, category: Sequence[int] | Array | None = None, "
                      "score: Array | None = None) -> None"),
              "Points of arrays.\n\n"
              "at        [N,2] (y,x) in pixels; the indices of a pixel, without half a pixel added\n"
              "category  N classes from 0, without the background; None: 0\n"
              "score     [N]; None: 1")
          .def_ro("at", &python_points::at, nb::sig("def at(self) -> NDArray[np.float64]"), "[N,2] (y,x) in pixels.")
          .def_ro("category", &python_points::category, nb::sig("def category(self) -> NDArray[np.int32]"),
                  "[N] class, from 0 without the background.")
          .def_ro("score", &python_points::score, nb::sig("def score(self) -> NDArray[np.float64]"),
                  "[N] 1 for what a person said.")
          .def("__len__", [](python_points const& p) { return length(p.at); })
          .def("__repr__", [](python_points const& p) { return "Points(" + std::to_string(length(p.at)) + ")"; });
  bind_pickle<&python_points::at, &python_points::category, &python_points::score>(of_points);

  auto of_centres =
      nb::class_<python_centres>(m, "RegionCentres", "The centres of each region of a map, region by region.")
          .def(
              "__init__",
              [](python_centres* self, nb::handle at, nb::handle first, nb::handle score) {
                new (self) python_centres(in_arrays(centres_of(at, first, score, "RegionCentres")));
              },
              array("at"), nb::arg("first").none(), nb::kw_only(), nb::arg("score") = nb::none(),
              nb::sig(
                  "def __init__(self, at: Array, first: Sequence[int] | Array, *, score: Array | None = None) -> None"),
              "Centres of arrays.\n\n"
              "at     [N,2] (y,x) in cells, those of region 1 first\n"
              "first  R + 1 entries, from 0 to N: region r has at[first[r-1]:first[r]]\n"
              "score  [N]; None: 1")
          .def_ro("at", &python_centres::at, nb::sig("def at(self) -> NDArray[np.float64]"), "[N,2] (y,x) in cells.")
          .def_ro("score", &python_centres::score, nb::sig("def score(self) -> NDArray[np.float64]"), "[N]")
          .def_ro("first", &python_centres::first, nb::sig("def first(self) -> NDArray[np.int64]"),
                  "[R+1]: region r, of 1..R, has at[first[r-1]:first[r]].")
          .def("__len__", [](python_centres const& c) { return length(c.at); })
          .def("__repr__", [](python_centres const& c) {
            return "RegionCentres(" + std::to_string(length(c.at)) + " in " + std::to_string(length(c.first) - 1) +
                   " regions)";
          });
  bind_pickle<&python_centres::at, &python_centres::score, &python_centres::first>(of_centres);

  auto of_instances =
      nb::class_<python_instances>(m, "Instances", "Objects that share no pixel.")
          .def_ro("label", &python_instances::label, nb::sig("def label(self) -> NDArray[np.int32]"),
                  "[H,W] 0 background, i+1 on the pixels of instance i.")
          .def_ro("category", &python_instances::category, nb::sig("def category(self) -> NDArray[np.int32]"),
                  "[N] class, as the caller numbers them.")
          .def_ro("score", &python_instances::score, nb::sig("def score(self) -> NDArray[np.float64]"), "[N]")
          .def_ro("area", &python_instances::area, nb::sig("def area(self) -> NDArray[np.int64]"), "[N] pixels.")
          .def_ro("bounds", &python_instances::bounds, nb::sig("def bounds(self) -> NDArray[np.int64]"),
                  "[N,4] top, left, bottom, right; bottom and right are one behind the last pixel.")
          .def("__len__", [](python_instances const& i) { return length(i.category); })
          .def("__repr__", [](python_instances const& i) {
            return "Instances(" + std::to_string(length(i.category)) + "," + shape_text("label", i.label) + ")";
          });
  bind_pickle<&python_instances::label, &python_instances::category, &python_instances::score, &python_instances::area,
              &python_instances::bounds>(of_instances);

  auto of_labels = nb::class_<python_labels>(m, "ImageLabels", "Semantic and instance labels of one image.")
                       .def_ro("semantic", &python_labels::semantic, nb::sig("def semantic(self) -> NDArray[np.int32]"),
                               "[H,W] 0 background, class + 1.")
                       .def_ro("objects", &python_labels::objects, nb::sig("def objects(self) -> Instances"),
                               "The instances. Their categories are classes from 0.")
                       .def("__repr__", [](python_labels const& l) {
                         return "ImageLabels(" + std::string(nb::repr(l.objects).c_str()) + "," +
                                shape_text("semantic", l.semantic) + ")";
                       });
  bind_pickle<&python_labels::semantic, &python_labels::objects>(of_labels);
}

}  // namespace bindings
