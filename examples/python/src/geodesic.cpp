// Cheapest paths over an image and its boundaries: costs, the nearest seed, labels from scribbles and points.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/component/geodesic.hpp>
#include <cambium/component/geodesic_costs.hpp>
#include <cambium/pipeline/scribbles.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

namespace bindings {

using namespace cambium;

namespace {

struct python_geodesic {
  nb::object distance, label, confidence;
};
struct python_scribbles {
  nb::object semantic, objects, confidence;
};

double limit_of(std::optional<double> limit) { return limit.value_or(std::numeric_limits<double>::infinity()); }

/// An array that may be None.
std::optional<array_argument> array_or_none(nb::handle given, std::string const& what, bool copy)
{
  if (given.is_none()) return {};
  return std::optional<array_argument>(std::in_place, given, what, copy);
}

template <class T, class I>
nb::object costs_of(cpu const& where, stack_view<I const> image, image_view<T const> boundary,
                    neighbourhood const& near, geodesic_cost_options const& options)
{
  return into_array(without_gil([&] { return geodesic_costs<T>(where, image, boundary, near, options); }));
}

nb::object geodesic_costs_of(nb::handle image, nb::handle boundary, int near, double step, double image_weight,
                             double boundary_weight, int threads, bool copy)
{
  auto colours = array_or_none(image, "geodesic_costs: image", copy),
       lines = array_or_none(boundary, "geodesic_costs: boundary", copy);
  auto const where = policy(threads, "geodesic_costs");
  auto const around = neighbours(near, "geodesic_costs");
  geodesic_cost_options const options{step, image_weight, boundary_weight};
  auto const with_boundary = [&]<class T>(image_view<T const> of_lines) {
    if (!colours) return costs_of<T, float>(where, {}, of_lines, around, options);
    if (colours->holds<double>())
      return costs_of<T, double>(where, colours->cells<double, 3>(), of_lines, around, options);
    if (colours->holds<float>())
      return costs_of<T, float>(where, colours->cells<float, 3>(), of_lines, around, options);
    return costs_of<T, std::uint8_t>(where, colours->cells<std::uint8_t, 3>(), of_lines, around, options);
  };
  if (lines) return with_float_type(*lines, [&]<class T>() { return with_boundary(lines->cells<T, 2>()); });
  if (colours && colours->holds<double>()) return with_boundary(image_view<double const>{});
  return with_boundary(image_view<float const>{});
}

python_geodesic geodesic_of(nb::handle cost, nb::handle seeds, int near, std::int64_t unmarked,
                            std::optional<double> limit, int threads, bool copy)
{
  array_argument tolls(cost, "geodesic: cost", copy), marks(seeds, "geodesic: seeds", copy);
  auto const where = policy(threads, "geodesic");
  auto const around = neighbours(near, "geodesic");
  return with_float_type(tolls, [&]<class T>() {
    auto const steps = tolls.cells<T, 3>();
    auto const run = [&]<class Label>() -> python_geodesic {
      using limits = std::numeric_limits<Label>;
      auto const from = marks.cells<Label, 2>();
      expects(limits::min() <= unmarked && unmarked <= limits::max(), "geodesic: unmarked is ", unmarked,
              ", which the seeds' type cannot hold");
      geodesic_options<Label> const options{around, static_cast<Label>(unmarked), limit_of(limit)};
      auto found = without_gil([&] { return geodesic(where, steps, from, options); });
      return {into_array(std::move(found.distance)), into_array(std::move(found.label)),
              into_array(std::move(found.confidence))};
    };
    if (marks.holds<std::uint8_t>() || marks.holds<bool>()) return run.template operator()<std::uint8_t>();
    return run.template operator()<std::int32_t>();
  });
}

/// Scribbles of bytes or of int32, as int32.
grid<std::int32_t, 2> scribbles_of(array_argument& given)
{
  auto const taken = [&](auto const& from) {
    grid<std::int32_t, 2> out(from.extent[0], from.extent[1]);
    std::copy_n(from.data, from.size(), out.data());
    return out;
  };
  if (given.holds<std::uint8_t>() || given.holds<bool>()) return taken(given.cells<std::uint8_t, 2>());
  return taken(given.cells<std::int32_t, 2>());
}

python_scribbles scribble_labels_of_python(nb::handle image, nb::handle scribbles, nb::handle clicks,
                                           nb::handle boundary, double step, double image_weight,
                                           double boundary_weight, std::optional<double> limit,
                                           std::string const& unreached, bool frame, double confidence,
                                           std::string const& objects, int threads, bool copy)
{
  auto colours = array_or_none(image, "scribble_labels: image", copy),
       lines = array_or_none(boundary, "scribble_labels: boundary", copy),
       strokes = array_or_none(scribbles, "scribble_labels: scribbles", copy);
  auto const where = policy(threads, "scribble_labels");
  scribble_options const options{
      .cost = {step, image_weight, boundary_weight},
      .limit = limit_of(limit),
      .unreached = choice<unreached_cell>(
          unreached, "scribble_labels: unreached",
          {{"undecided", unreached_cell::undecided}, {"background", unreached_cell::background}}),
      .frame = frame,
      .confidence = confidence,
      .objects = choice<scribbled_object>(objects, "scribble_labels: objects",
                                          {{"stroke", scribbled_object::stroke}, {"class", scribbled_object::class_}})};
  grid<std::int32_t, 2> drawn;
  if (strokes) drawn = scribbles_of(*strokes);
  points clicked;
  if (!clicks.is_none()) clicked = points_argument(clicks, "scribble_labels: clicks");
  stack_view<std::uint8_t const> const pixels =
      colours ? colours->cells<std::uint8_t, 3>() : stack_view<std::uint8_t const>{};
  auto const run = [&]<class T>(image_view<T const> of_lines) -> python_scribbles {
    scribble_input<T> const in{pixels, of_lines, strokes ? drawn.view() : image_view<std::int32_t const>{},
                               clicks.is_none() ? nullptr : &clicked};
    auto found = without_gil([&] { return scribble_labels(where, in, options); });
    return {into_array(std::move(found.semantic)), to_python(std::move(found.objects)),
            into_array(std::move(found.confidence))};
  };
  if (!lines) return run(image_view<float const>{});
  return with_float_type(*lines, [&]<class T>() { return run(lines->cells<T, 2>()); });
}

void bind_geodesic_results(nb::module_& m)
{
  nb::class_<python_geodesic>(m, "GeodesicMap", "The nearest seed of each cell along the cheapest path.")
      .def_ro("distance", &python_geodesic::distance, nb::sig("def distance(self, /) -> NDArray[Any]"),
              "[H,W] cost of the cheapest path, of the type of the costs; infinity where no seed is reached.")
      .def_ro("label", &python_geodesic::label, nb::sig("def label(self, /) -> NDArray[Any]"),
              "[H,W] label of its seed, of the type of the seeds; `unmarked` where no seed is reached.")
      .def_ro("confidence", &python_geodesic::confidence, nb::sig("def confidence(self, /) -> NDArray[Any]"),
              "[H,W] in [0,1]: 0 where two labels are equally near and where no seed is reached, 1 at a seed.")
      .def("__repr__", [](python_geodesic const& r) {
        return "GeodesicMap(distance=" + text_of(r.distance) + ", label=" + text_of(r.label) +
               ", confidence=" + text_of(r.confidence) + ")";
      });
  nb::class_<python_scribbles>(m, "ScribbleLabels", "Semantic and instance labels made of scribbles and points.")
      .def_ro("semantic", &python_scribbles::semantic, nb::sig("def semantic(self, /) -> NDArray[np.int32]"),
              "[H,W] 0 background, the class of a mark, 255 undecided.")
      .def_ro("objects", &python_scribbles::objects, nb::sig("def objects(self, /) -> Instances"),
              "The objects: category is the class - 1, score the mean confidence.")
      .def_ro("confidence", &python_scribbles::confidence, nb::sig("def confidence(self, /) -> NDArray[Any]"),
              "[H,W] in [0,1], as GeodesicMap.confidence.")
      .def("__repr__", [](python_scribbles const& r) {
        return "ScribbleLabels(semantic=" + text_of(r.semantic) + ", confidence=" + text_of(r.confidence) + ")";
      });
}

constexpr char const* cost_text =
    "step             what a path pays per cell of length; >= 0. 0: a path through equal cells is free\n"
    "image_weight     per unit of the image, for example per grey level; >= 0\n"
    "boundary_weight  per cell of length on a boundary of 1; >= 0\n";

}  // namespace

void bind_geodesic(nb::module_& m)
{
  bind_geodesic_results(m);
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, near = nb::arg("near") = 8,
                  step = nb::arg("step") = 1.0, image_weight = nb::arg("image_weight") = 1.0,
                  boundary_weight = nb::arg("boundary_weight") = 100.0;
  static std::string const costs_doc =
      std::string(
          "Compute what a path pays for each step on a map: its length, the image's change and the boundary it "
          "crosses.\n\n"
          "out[k,y,x] = sqrt((step |p-q|)^2 + image_weight^2 |I(p)-I(q)|^2) + boundary_weight |p-q| (b(p)+b(q))/2\n\n"
          "image            [H,W,B] uint8, float32 or float64, finite, or None\n"
          "boundary         [H,W] float32 or float64 in [0,1], or None\n"
          "near             4 or 8: the neighbours of a cell\n") +
      cost_text +
      "\nReturns [K,H,W], K = near / 2: the step between (y,x) and (y,x+1), (y+1,x); for near=8 (y,x+1), "
      "(y+1,-1..1); 0 where there is no neighbour. The type is the boundary's; without one float64 for an image of "
      "float64, otherwise float32. One of image and boundary must be given.";
  m.def("geodesic_costs", geodesic_costs_of, nb::arg("image").none() = nb::none(),
        nb::arg("boundary").none() = nb::none(), nb::kw_only(), near, step, image_weight, boundary_weight, threads,
        copy,
        nb::sig("def geodesic_costs(image: Array | None = None, boundary: Array | None = None, *, near: int = 8, step: "
                "float = 1.0, image_weight: float = 1.0, boundary_weight: float = 100.0, threads: int = 0, copy: bool "
                "= False) -> NDArray[Any]"),
        costs_doc.c_str());
  m.def("geodesic", geodesic_of, array("cost"), array("seeds"), nb::kw_only(), near, nb::arg("unmarked") = 0,
        nb::arg("limit").none() = nb::none(), threads, copy,
        nb::sig("def geodesic(cost: Array, seeds: Array, *, near: int = 8, unmarked: int = 0, limit: float | None = "
                "None, threads: int = 0, copy: bool = False) -> GeodesicMap"),
        "Give every cell the label of the seed that the cheapest path leads to.\n\n"
        "cost      [4,H,W] float32 or float64, >= 0, as geodesic_costs makes them, with near=4 [2,H,W]; infinity: "
        "there is "
        "no step\n"
        "seeds     [H,W] int32 or uint8 labels; at least one cell has one\n"
        "near      4 or 8: the steps that have costs\n"
        "unmarked  the value of cells without a seed, and of cells that are not reached\n"
        "limit     [cost] cells farther than that are not reached; >= 0. None: no limit\n\n"
        "Equal distances take the smallest label. Runs on one thread. Source: Dijkstra 1959; GeoS (Criminisi et al., "
        "ECCV 2008).");
  static std::string const scribbles_doc =
      std::string(
          "Turn scribbles and points into semantic and instance labels: a cell takes the label of the mark with the "
          "cheapest path.\n\n"
          "image            [H,W,B] uint8, or None if there is a boundary\n"
          "scribbles        [H,W] uint8 or int32: 255 unmarked, 0 background, 1..254 class; or None\n"
          "clicks           Points, or [N,2] float64 places (y,x) [pixels] of class 0, each on an object; or None. A "
          "mark "
          "of category c is one of class c + 1\n"
          "boundary         [H,W] float32 or float64 probability of a boundary, in [0,1], or None\n") +
      cost_text +
      "limit            [cost] of the longest path; > 0. None: no limit\n"
      "unreached        'undecided' or 'background': what cells beyond the limit are\n"
      "frame            whether unmarked cells of the outermost rows and columns count as marked background\n"
      "confidence       in [0,1]: cells of less are undecided\n"
      "objects          'stroke': each 8-connected stroke of a class, and each point, is an object; 'class': all marks "
      "of a class together\n\n"
      "At least one cell must be marked. Source: scribbles as in ScribbleSup (Lin et al., CVPR 2016).";
  m.def("scribble_labels", scribble_labels_of_python, array("image"), nb::arg("scribbles").none() = nb::none(),
        nb::arg("clicks").none() = nb::none(), nb::kw_only(), nb::arg("boundary").none() = nb::none(), step,
        image_weight, boundary_weight, nb::arg("limit").none() = nb::none(), nb::arg("unreached") = "undecided",
        nb::arg("frame") = false, nb::arg("confidence") = 0.0, nb::arg("objects") = "stroke", threads, copy,
        nb::sig("def scribble_labels(image: Array | None, scribbles: Array | None = None, clicks: Points | Array | "
                "None = None, *, boundary: Array | None = None, step: float = 1.0, image_weight: float = 1.0, "
                "boundary_weight: float = 100.0, limit: float | None = None, unreached: Literal['undecided', "
                "'background'] = 'undecided', frame: bool = False, confidence: float = 0.0, objects: "
                "Literal['stroke', 'class'] = 'stroke', threads: int = 0, copy: bool = False) -> ScribbleLabels"),
        scribbles_doc.c_str());
}

}  // namespace bindings
