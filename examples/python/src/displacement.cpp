// Displacement and offset fields: where cells are led, and the groups of cells that are led to one place.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/displacement/cluster.hpp>
#include <cambium/displacement/disc_centres.hpp>
#include <cambium/displacement/find_centres.hpp>
#include <cambium/displacement/group_pixels.hpp>
#include <cambium/displacement/join_centres.hpp>
#include <cambium/displacement/offsets.hpp>
#include <cambium/displacement/trace.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <optional>

namespace bindings {

using namespace cambium;

namespace {

struct python_instance_map {
  nb::object id;
  index_t count;
};

/// The largest label of a map of labels, or the number that was given.
index_t count_of(std::optional<index_t> given, image_view<std::int32_t const> labels, char const* what)
{
  if (given) {
    expects_count(*given, what);
    return *given;
  }
  std::int32_t most = 0;
  for (index_t y = 0; y < labels.extent[0]; ++y)
    for (index_t x = 0; x < labels.extent[1]; ++x) most = std::max(most, labels(y, x));
  expects_count(most, what);
  return most;
}

nb::object trace_of(nb::handle displacement, int iterations, std::string const& precision, int threads, bool copy)
{
  array_argument given(displacement, "trace: displacement", copy);
  auto const where = policy(threads, "trace");
  trace_options const options{
      iterations, choice<trace_precision>(precision, "trace: precision",
                                          {{"mixed", trace_precision::mixed}, {"single", trace_precision::single}})};
  return with_float_type(given, [&]<class T>() {
    auto const field = given.cells<T, 3>();
    return into_array(without_gil([&] { return trace(where, field, options); }));
  });
}

nb::object weak_field_of(nb::handle displacement, double threshold, int threads, bool copy)
{
  array_argument given(displacement, "weak_field: displacement", copy);
  auto const where = policy(threads, "weak_field");
  return with_float_type(given, [&]<class T>() {
    auto const field = given.cells<T, 3>();
    return into_array(without_gil([&] { return weak_field(where, field, threshold); }));
  });
}

nb::object nearest_cells_of(nb::handle positions, int threads, bool copy)
{
  array_argument given(positions, "nearest_cells: positions", copy);
  auto const where = policy(threads, "nearest_cells");
  return with_float_type(given, [&]<class T>() {
    auto const from = given.cells<T, 3>();
    return into_array(without_gil([&] { return nearest_cells(where, from); }));
  });
}

python_instance_map cluster_of(nb::handle regions, nb::handle centroids, int threads, bool copy)
{
  array_argument region(regions, "cluster: regions", copy), centroid(centroids, "cluster: centroids", copy);
  auto const where = policy(threads, "cluster");
  auto const of = region.cells<std::int32_t, 2>();
  auto const to = centroid.cells<std::int32_t, 3>();
  count_of({}, of, "cluster: the largest region");
  auto made = without_gil([&] { return cluster(where, of, to); });
  return {into_array(std::move(made.id)), made.count};
}

nb::object weak_cells_of(nb::handle regions, nb::handle offset, double radius, int threads, bool copy)
{
  array_argument region(regions, "weak_cells: regions", copy), given(offset, "weak_cells: offset", copy);
  auto const where = policy(threads, "weak_cells");
  auto const of = region.cells<std::int32_t, 2>();
  return with_float_type(given, [&]<class T>() {
    auto const field = given.cells<T, 3>();
    return into_array(without_gil([&] { return weak_cells(where, of, field, radius); }));
  });
}

nb::object disc_centres_of(nb::handle weak, nb::handle regions, std::optional<index_t> N, std::optional<index_t> count,
                           double radius, double tolerance, bool outside, int threads, bool copy)
{
  array_argument label(weak, "disc_centres: weak", copy), region(regions, "disc_centres: regions", copy);
  auto const where = policy(threads, "disc_centres");
  auto const components = label.cells<std::int32_t, 2>(), of = region.cells<std::int32_t, 2>();
  index_t const number = count_of(N, components, "disc_centres: N");
  index_t const among = count_of(count, of, "disc_centres: count");
  return to_python(
      without_gil([&] { return disc_centres(where, components, number, of, among, {radius, tolerance, outside}); }));
}

nb::object find_centres_of(nb::handle response, nb::handle regions, std::optional<index_t> count, double threshold,
                           index_t kernel, std::string const& plateaus, int threads, bool copy)
{
  array_argument given(response, "find_centres: response", copy), region(regions, "find_centres: regions", copy);
  auto const where = policy(threads, "find_centres");
  auto const of = region.cells<std::int32_t, 2>();
  index_t const among = count_of(count, of, "find_centres: count");
  centre_options const options{threshold, kernel, plateau_argument(plateaus, "find_centres: plateaus")};
  return with_float_type(given, [&]<class T>() {
    auto const heat = given.cells<T, 2>();
    return to_python(without_gil([&] { return find_centres(where, heat, of, among, options); }));
  });
}

std::pair<nb::object, nb::object> join_centres_of(nb::handle found, nb::handle further, nb::handle regions,
                                                  nb::handle response, double least, double apart, double relative,
                                                  bool whole_regions, int threads, bool copy)
{
  auto const first = centres_argument(found, "join_centres: found");
  auto const second = centres_argument(further, "join_centres: further");
  array_argument region(regions, "join_centres: regions", copy), given(response, "join_centres: response", copy);
  auto const where = policy(threads, "join_centres");
  auto const of = region.cells<std::int32_t, 2>();
  return with_float_type(given, [&]<class T>() -> std::pair<nb::object, nb::object> {
    auto const heat = given.cells<T, 2>();
    expects_finite(where, heat, "join_centres: response");
    auto marked = make_grid<T>(heat.extent);
    auto const joined = without_gil([&] {
      std::copy_n(heat.data, heat.size(), marked.data());
      return join_centres(where, first, second, of, {least, apart, relative, whole_regions}, marked);
    });
    return {to_python(joined), into_array(std::move(marked))};
  });
}

nb::object group_pixels_of(nb::handle offset, nb::handle regions, nb::handle centres, int threads, bool copy)
{
  array_argument given(offset, "group_pixels: offset", copy);
  auto const where = policy(threads, "group_pixels");
  if (regions.is_none()) {
    auto const all = points_argument(centres, "group_pixels: centres");
    return with_float_type(given, [&]<class T>() {
      auto const field = given.cells<T, 3>();
      return into_array(without_gil([&] { return group_pixels(where, field, all); }));
    });
  }
  array_argument region(regions, "group_pixels: regions", copy);
  auto const of = region.cells<std::int32_t, 2>();
  auto const all = centres_argument(centres, "group_pixels: centres");
  return with_float_type(given, [&]<class T>() {
    auto const field = given.cells<T, 3>();
    return into_array(without_gil([&] { return group_pixels(where, field, of, all); }));
  });
}

nb::object scale_offsets_of(nb::handle offset, double down, double across, int threads, bool copy)
{
  array_argument given(offset, "scale_offsets: offset", copy);
  auto const where = policy(threads, "scale_offsets");
  return with_float_type(given, [&]<class T>() {
    auto const field = given.cells<T, 3>();
    return into_array(without_gil([&] { return scale_offsets(where, field, down, across); }));
  });
}

nb::object mean_with_mirrored_offsets_of(nb::handle offset, nb::handle flipped, int threads, bool copy)
{
  array_argument given(offset, "mean_with_mirrored_offsets: offset", copy);
  array_argument other(flipped, "mean_with_mirrored_offsets: flipped", copy);
  auto const where = policy(threads, "mean_with_mirrored_offsets");
  return with_float_type(given, [&]<class T>() {
    auto const a = given.cells<T, 3>(), b = other.cells<T, 3>();
    return into_array(without_gil([&] { return mean_with_mirrored_offsets(where, a, b); }));
  });
}

}  // namespace

void bind_displacement(nb::module_& m)
{
  nb::class_<python_instance_map>(m, "InstanceMap", "Which instance each cell belongs to.")
      .def_ro("id", &python_instance_map::id, nb::sig("def id(self) -> NDArray[np.int32]"),
              "[h,w] 0..count-1, without gaps.")
      .def_ro("count", &python_instance_map::count, nb::sig("def count(self) -> int"), "Number of instances.")
      .def("__len__", [](python_instance_map const& i) { return i.count; })
      .def("__repr__", [](python_instance_map const& i) {
        return "InstanceMap(count=" + std::to_string(i.count) + "," + shape_text("id", i.id) + ")";
      });

  m.def("trace", trace_of, array("displacement"), nb::kw_only(), nb::arg("iterations") = 300,
        nb::arg("precision") = "mixed", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def trace(displacement: Array, *, iterations: int = 300, precision: str = 'mixed', threads: int = 0, "
                "copy: bool = False) -> NDArray[Any]"),
        "Follow a displacement field until it no longer moves anything, and say where each cell ends.\n\n"
        "displacement  [2,h,w] float32 or float64 (dy,dx) in cells, finite\n"
        "iterations    [count] steps, >= 0\n"
        "precision     'mixed': positions in the field's type, interpolation in double, the original's bits; 'single': "
        "all in the field's type\n"
        "threads       0: all cores\n"
        "copy          convert another dtype or order instead of refusing it\n\n"
        "Returns [2,h,w] (y,x) in [0,h-1] x [0,w-1]. Stands for find_centroids_with_refinement of irn, before it "
        "rounds: nearest_cells() does.");
  m.def("weak_field", weak_field_of, array("displacement"), nb::kw_only(), nb::arg("threshold") = 2.5,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def weak_field(displacement: Array, *, threshold: float = 2.5, threads: int = 0, copy: bool = False) "
                "-> NDArray[np.uint8]"),
        "Mark the cells where a displacement field is weak: the surroundings of its centroids.\n\n"
        "displacement  [2,h,w] float32 or float64 (dy,dx) in cells, finite\n"
        "threshold     [cells] > 0\n"
        "threads       0: all cores\n"
        "copy          convert another dtype or order instead of refusing it\n\n"
        "Returns [h,w]: 1 where the field is shorter than the threshold, otherwise 0.");
  m.def("nearest_cells", nearest_cells_of, array("positions"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def nearest_cells(positions: Array, *, threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
        "Round positions to cells, halves to even.\n\n"
        "positions  [2,h,w] float32 or float64 (y,x) from trace(), 0 to 2**24\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns [2,h,w] (y,x).");
  m.def("cluster", cluster_of, array("regions"), array("centroids"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def cluster(regions: Array, centroids: Array, *, threads: int = 0, copy: bool = False) -> "
                "InstanceMap"),
        "Group cells whose centroids fall into the same weak region.\n\n"
        "regions    [h,w] int32, 0 outside: components of weak_field(), 4-connected\n"
        "centroids  [2,h,w] int32 (y,x) on the map, from nearest_cells()\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns InstanceMap. Cells that end outside every region are a group like any other. Stands for "
        "cluster_centroids of irn.");
  m.def("weak_cells", weak_cells_of, array("regions"), array("offset"), nb::kw_only(), nb::arg("radius") = 2.5,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def weak_cells(regions: Array, offset: Array, *, radius: float = 2.5, threads: int = 0, copy: bool = "
                "False) -> NDArray[np.int32]"),
        "Mark the cells of each region where the offset field is shorter than a radius: around a centre they form a "
        "disc.\n\n"
        "regions  [H,W] int32, 0 outside\n"
        "offset   [2,H,W] float32 or float64 (dy,dx) in cells, finite\n"
        "radius   [cells] > 0\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [H,W]: the region where the field is short, 0 elsewhere.");
  m.def("disc_area", disc_area, nb::arg("radius") = 2.5, nb::sig("def disc_area(radius: float = 2.5) -> int"),
        "Cells nearer than a radius to the middle of a cell: 21 for 2.5.\n\nradius  [cells] above 0, below 1e6");
  m.def("disc_centres", disc_centres_of, array("weak"), array("regions"), nb::kw_only(), nb::arg("N") = nb::none(),
        nb::arg("count") = nb::none(), nb::arg("radius") = 2.5, nb::arg("tolerance") = 3.0, nb::arg("outside") = true,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def disc_centres(weak: Array, regions: Array, *, N: int | None = None, count: int | None = None, "
                "radius: float = 2.5, tolerance: float = 3.0, outside: bool = True, threads: int = 0, copy: bool = "
                "False) -> RegionCentres"),
        "Take weak places of the size of a disc for centres.\n\n"
        "weak       [H,W] int32, 0..N: components of weak_cells(), 4-connected\n"
        "regions    [H,W] int32, 0..count\n"
        "N          number of components; None: the largest label\n"
        "count      number of regions; None: the largest label\n"
        "radius     [cells] that weak_cells() was asked for\n"
        "tolerance  [cells] by which the area may differ from disc_area(radius), itself excluded\n"
        "outside    the rest of the map counts as one more disc, the first, as in BESTIE\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns RegionCentres: of each region the truncated means of its discs. Stands for cluster_peaks of BESTIE.");
  m.def("find_centres", find_centres_of, array("response"), array("regions"), nb::arg("count") = nb::none(),
        nb::kw_only(), nb::arg("threshold") = 0.1, nb::arg("kernel") = 41, nb::arg("plateaus") = "every_cell",
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def find_centres(response: Array, regions: Array, count: int | None = None, *, threshold: float = "
                "0.1, kernel: int = 41, plateaus: str = 'every_cell', threads: int = 0, copy: bool = False) -> "
                "RegionCentres"),
        "Find the local maxima of a centre map, in each region by itself.\n\n"
        "response   [H,W] float32 or float64, finite: the centre map of the class of each region, from select()\n"
        "regions    [H,W] int32, 0 outside, 1..count\n"
        "count      number of regions; None: the largest label\n"
        "threshold  centres exceed it, and 0\n"
        "kernel     [cells] side of the window that a centre must dominate in its region; odd\n"
        "plateaus   of equal cells 'every_cell' is a centre, as in BESTIE, or 'one_cell', nearest to their mean\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns RegionCentres: of each region in raster order, the response as score. Stands for "
        "find_instance_center of BESTIE.");
  m.def("join_centres", join_centres_of, nb::arg("found").none(), nb::arg("further").none(), array("regions"),
        array("response"), nb::kw_only(), nb::arg("least") = 0.05, nb::arg("apart") = 100.0, nb::arg("relative") = 0.0,
        nb::arg("whole_regions") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def join_centres(found: RegionCentres, further: RegionCentres, regions: Array, response: Array, *, "
                "least: float = 0.05, apart: float = 100.0, relative: float = 0.0, whole_regions: bool = False, "
                "threads: int = 0, copy: bool = False) -> tuple[RegionCentres, NDArray[Any]]"),
        "Add further centres to those found in the centre map, where they are far from them.\n\n"
        "found          from find_centres()\n"
        "further        from disc_centres(), of as many regions\n"
        "regions        [H,W] int32, 0..the number of regions\n"
        "response       [H,W] float32 or float64, as given to find_centres()\n"
        "least          a further centre needs a larger response where it is\n"
        "apart          [cells] and must be farther than this from every centre found before\n"
        "relative       > 0: farther than this fraction of the diagonal of its region's box instead\n"
        "whole_regions  a region without any centre gets one, where its response is largest\n"
        "threads        0: all cores\n"
        "copy           convert another dtype or order instead of refusing it\n\n"
        "Returns RegionCentres: of each region those found, then the further ones; and a copy of the response that is "
        "1 where one was added.");
  m.def("group_pixels", group_pixels_of, array("offset"), nb::arg("regions").none(), nb::arg("centres").none(),
        nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def group_pixels(offset: Array, regions: Array | None, centres: RegionCentres | Points | Array, *, "
                "threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
        "Group the cells of each region: every cell goes to the centre of its region that its offset leads nearest "
        "to.\n\n"
        "offset   [2,H,W] float32 or float64 (dy,dx) in cells, finite: centre minus cell\n"
        "regions  [H,W] int32, 0..the number of regions; None: the whole map is one region\n"
        "centres  RegionCentres; without regions Points or [N,2] (y,x)\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [H,W]: 1 + index into centres.at, or 0 outside and in regions without a centre. Of several equally "
        "near the first wins. Stands for group_pixels of Panoptic-DeepLab and BESTIE.");
  m.def("scale_offsets", scale_offsets_of, array("offset"), nb::arg("down"), nb::arg("across"), nb::kw_only(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def scale_offsets(offset: Array, down: float, across: float, *, threads: int = 0, copy: bool = "
                "False) -> NDArray[Any]"),
        "Multiply an offset field that is read on a map of another size than the one it was learnt on.\n\n"
        "offset   [2,H,W] float32 or float64 (dy,dx)\n"
        "down     factor of dy, finite\n"
        "across   factor of dx, finite\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [2,H,W].");
  m.def("mean_with_mirrored_offsets", mean_with_mirrored_offsets_of, array("offset"), array("flipped"), nb::kw_only(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def mean_with_mirrored_offsets(offset: Array, flipped: Array, *, threads: int = 0, copy: bool = "
                "False) -> NDArray[Any]"),
        "The mean of an offset field and that of the mirror image, which is turned back: its columns and the sign of "
        "dx.\n\n"
        "offset   [2,H,W] float32 or float64 (dy,dx)\n"
        "flipped  [2,H,W] of the same type\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [2,H,W].");
}

}  // namespace bindings
