// Instances: cues that claim components, groups that become targets, scores that become objects.

#include "instance.hpp"
#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/instance/assign.hpp>
#include <cambium/instance/detect.hpp>
#include <cambium/instance/refine.hpp>
#include <cambium/instance/score.hpp>
#include <cambium/instance/separate.hpp>
#include <cambium/instance/transfer.hpp>

#include <nanobind/stl/string.h>

#include <cmath>

namespace bindings {

using namespace cambium;

namespace {

struct python_assignment {
  nb::object channel, score;
};

struct python_groups {
  nb::object area, bounds, response, at, probability;
};

nb::object column(grid<group_measure, 1> const& of, auto const& value)
{
  using T = std::decay_t<decltype(value(of(0)))>;
  auto out = make_grid<T>({of.size()});
  for (index_t i = 0; i < of.size(); ++i) out(i) = value(of(i));
  return into_array(std::move(out));
}

python_groups in_arrays(grid<group_measure, 1> const& of)
{
  auto bounds = make_grid<std::int64_t>({of.size(), 4}), at = make_grid<std::int64_t>({of.size(), 2});
  for (index_t i = 0; i < of.size(); ++i) {
    box const& b = of(i).bounds;
    bounds(i, 0) = b.top, bounds(i, 1) = b.left, bounds(i, 2) = b.bottom, bounds(i, 3) = b.right;
    at(i, 0) = of(i).y, at(i, 1) = of(i).x;
  }
  return {column(of, [](group_measure const& g) { return std::int64_t{g.area}; }), into_array(std::move(bounds)),
          column(of, [](group_measure const& g) { return g.response; }), into_array(std::move(at)),
          column(of, [](group_measure const& g) { return g.probability; })};
}

grid<group_measure, 1> groups_argument(nb::handle given, std::string const& what)
{
  python_groups const* held = nullptr;
  if (!nb::try_cast(given, held, false) || held == nullptr)
    throw nb::type_error((what + " is " + name_of_type(given) + "; expected GroupMeasures").c_str());
  array_argument area(held->area, what + ".area", true), bounds(held->bounds, what + ".bounds", true);
  array_argument response(held->response, what + ".response", true), at(held->at, what + ".at", true);
  array_argument probability(held->probability, what + ".probability", true);
  auto const areas = area.cells<std::int64_t, 1>();
  auto const boxes = bounds.cells<std::int64_t, 2>(), places = at.cells<std::int64_t, 2>();
  auto const responses = response.cells<double, 1>(), probabilities = probability.cells<double, 1>();
  index_t const K = areas.extent[0];
  expects(boxes.extent[0] == K && boxes.extent[1] == 4 && places.extent[0] == K && places.extent[1] == 2 &&
              responses.extent[0] == K && probabilities.extent[0] == K,
          what, ": the arrays differ in length");
  auto out = make_grid<group_measure>({K});
  for (index_t i = 0; i < K; ++i)
    out(i) = group_measure{areas(i),     {boxes(i, 0), boxes(i, 1), boxes(i, 2), boxes(i, 3)},
                           responses(i), places(i, 0),
                           places(i, 1), probabilities(i)};
  return out;
}

nb::object transfer_of(nb::handle components, nb::handle categories, nb::handle cues, index_t C, std::string const& sup,
                       int sigma, index_t smallest, std::string const& centre, std::string const& several, int threads,
                       bool copy)
{
  auto const where = policy(threads, "transfer");
  expects_count(C, "transfer: C");
  array_argument given(components, "transfer: components", copy);
  auto const cells = given.cells<std::int32_t, 2>();
  auto const classes = integers(categories, "transfer: categories");
  auto const points = points_argument(cues, "transfer: cues");
  auto const options = transfer_choice("transfer", sup, sigma, smallest, centre, several);
  return to_python(without_gil([&] { return transfer(where, cells, classes, points, C, options); }));
}

nb::object refine_of(nb::handle regions, nb::handle categories, nb::handle ids, nb::handle first, nb::handle groups,
                     index_t C, int sigma, double threshold, index_t most, std::string const& centre, int threads,
                     bool copy)
{
  auto const where = policy(threads, "refine");
  expects_count(C, "refine: C");
  array_argument region(regions, "refine: regions", copy), id(ids, "refine: ids", copy);
  auto const region_cells = region.cells<std::int32_t, 2>(), id_cells = id.cells<std::int32_t, 2>();
  auto const classes = integers(categories, "refine: categories");
  std::vector<index_t> begins;
  for (auto const i : integers(first, "refine: first")) begins.push_back(i);
  auto const measures = groups_argument(groups, "refine: groups");
  refine_options const options{sigma, threshold, most, centroid_choice(centre, "refine: centre")};
  return to_python(
      without_gil([&] { return refine(where, region_cells, classes, id_cells, begins, measures, C, options); }));
}

python_groups measure_groups_of(nb::handle ids, index_t count, nb::handle response, nb::handle probability, int threads,
                                bool copy)
{
  auto const where = policy(threads, "measure_groups");
  expects_count(count, "measure_groups: count");
  array_argument id(ids, "measure_groups: ids", copy), heat(response, "measure_groups: response", copy);
  array_argument sure(probability, "measure_groups: probability", copy);
  auto const id_cells = id.cells<std::int32_t, 2>();
  auto const heat_cells = heat.cells<float, 2>(), sure_cells = sure.cells<float, 2>();
  return in_arrays(without_gil([&] { return measure_groups(where, id_cells, count, heat_cells, sure_cells); }));
}

nb::object score_groups_of(nb::handle ids, nb::handle groups, nb::handle categories, std::string const& by, int threads,
                           bool copy)
{
  auto const where = policy(threads, "score_groups");
  array_argument id(ids, "score_groups: ids", copy);
  auto const cells = id.cells<std::int32_t, 2>();
  auto const measures = groups_argument(groups, "score_groups: groups");
  auto const classes = integers(categories, "score_groups: categories");
  auto const how =
      choice<scored_by>(by, "score_groups: by",
                        {{"centre_and_class", scored_by::centre_and_class}, {"class_only", scored_by::class_only}});
  return to_python(without_gil([&] { return score_groups(where, cells, measures, classes, how); }));
}

nb::tuple lead_to_points_of(nb::handle ids, nb::handle centres, int threads, bool copy)
{
  auto const where = policy(threads, "lead_to_points");
  array_argument id(ids, "lead_to_points: ids", copy);
  auto const cells = id.cells<std::int32_t, 2>();
  auto const to = points_argument(centres, "lead_to_points: centres");
  auto offset = make_grid<float>({2, cells.extent[0], cells.extent[1]});
  auto weight = make_grid<float>(cells.extent);
  without_gil([&] {
    lead_to_points_into(where, cells, view<point const, 1>(to.data(), {static_cast<index_t>(to.size())}), offset.view(),
                        weight.view());
  });
  return nb::make_tuple(into_array(std::move(offset)), into_array(std::move(weight)));
}

nb::object centre_map_of(nb::handle centres, index_t C, nb::handle size, int sigma, std::string const& rounding,
                         int threads, bool)
{
  auto const where = policy(threads, "centre_map");
  expects_count(C, "centre_map: C");
  auto const all = points_argument(centres, "centre_map: centres");
  auto const cells = size_argument(size, "centre_map: size");
  heat_options const options{sigma, choice<stamping>(rounding, "centre_map: rounding",
                                                     {{"original", stamping::original}, {"exact", stamping::exact}})};
  return into_array(without_gil([&] { return centre_map(where, all, C, cells, options); }));
}

nb::object separate_of(nb::handle scores, nb::handle ids, index_t count, int threads, bool copy)
{
  auto const where = policy(threads, "separate");
  expects_count(count, "separate: count");
  array_argument given(scores, "separate: scores", copy), id(ids, "separate: ids", copy);
  auto const id_cells = id.cells<std::int32_t, 2>();
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return separate(where, cells, id_cells, count); }));
  });
}

python_assignment assign_of(nb::handle scores, nb::handle image, nb::handle groups, double background,
                            std::string const& scale, std::string const& empty, index_t stride, int threads, bool copy)
{
  auto const where = policy(threads, "assign");
  array_argument given(scores, "assign: scores", copy);
  auto const size = size_argument(image, "assign: image");
  auto const numbers = groups.is_none() ? std::vector<std::int32_t>{} : integers(groups, "assign: groups");
  expects(1 <= stride && stride <= 65536, "assign: stride is ", stride, "; expected 1 to 65536");
  assign_options const options{
      background,
      choice<score_scale>(
          scale, "assign: scale",
          {{"image", score_scale::image}, {"group", score_scale::group}, {"channel", score_scale::channel}}),
      choice<no_score>(empty, "assign: empty",
                       {{"background", no_score::background}, {"first_channel", no_score::first_channel}}),
      stride};
  return with_float_type(given, [&]<class T>() -> python_assignment {
    auto const cells = given.cells<T, 3>();
    auto out = without_gil([&] { return assign(where, cells, numbers, size, options); });
    return {into_array(std::move(out.channel)), into_array(std::move(out.score))};
  });
}

nb::object detect_of(nb::handle labels, nb::handle categories, nb::handle scores, double smallest,
                     std::string const& small, int threads, bool copy)
{
  auto const where = policy(threads, "detect");
  array_argument label(labels, "detect: labels", copy), score(scores, "detect: scores", copy);
  auto const cells = label.cells<std::int32_t, 2>();
  auto const classes = integers(categories, "detect: categories");
  detect_options const options{
      smallest,
      choice<fragments>(small, "detect: small",
                        {{"score_zero", fragments::score_zero}, {"drop", fragments::drop}, {"keep", fragments::keep}})};
  return with_float_type(score, [&]<class T>() {
    auto const of = score.cells<T, 2>();
    return to_python(without_gil([&] { return detect(where, cells, classes, of, options); }));
  });
}

}  // namespace

centroid centroid_choice(std::string const& given, char const* what)
{
  return choice<centroid>(given, what, {{"truncated", centroid::truncated}, {"exact", centroid::exact}});
}

transfer_options transfer_choice(std::string const& who, std::string const& sup, int sigma, index_t smallest,
                                 std::string const& centre, std::string const& several)
{
  return {
      choice<supervision>(sup, (who + ": sup").c_str(), {{"image", supervision::image}, {"point", supervision::point}}),
      sigma, smallest, centroid_choice(centre, (who + ": centre").c_str()),
      choice<several_cues>(several, (who + ": several").c_str(),
                           {{"reject", several_cues::reject}, {"split", several_cues::split}})};
}

nb::object to_python(centre_targets<>&& targets)
{
  return nb::cast(python_targets{into_array(std::move(targets.centre)), into_array(std::move(targets.offset)),
                                 into_array(std::move(targets.weight))});
}

void bind_instance(nb::module_& m)
{
  nb::class_<python_targets>(m, "CentreTargets", "What a network that predicts centres and offsets is taught.")
      .def_ro("centre", &python_targets::centre, nb::sig("def centre(self) -> NDArray[np.float32]"),
              "[C,H,W] heat map of each class, 1 at a centre; [B,C,H,W] of a batch.")
      .def_ro("offset", &python_targets::offset, nb::sig("def offset(self) -> NDArray[np.float32]"),
              "[2,H,W] (dy,dx), centre minus cell; [B,2,H,W] of a batch.")
      .def_ro("weight", &python_targets::weight, nb::sig("def weight(self) -> NDArray[np.float32]"),
              "[H,W] 0 where nothing is known; [B,H,W] of a batch.")
      .def("__repr__", [](python_targets const& t) {
        return "CentreTargets(" + shape_text("centre", t.centre).substr(1) + "," + shape_text("offset", t.offset) +
               "," + shape_text("weight", t.weight) + ")";
      });

  nb::class_<python_groups>(m, "GroupMeasures", "What maps say about groups of cells.")
      .def_ro("area", &python_groups::area, nb::sig("def area(self) -> NDArray[np.int64]"), "[K] cells.")
      .def_ro("bounds", &python_groups::bounds, nb::sig("def bounds(self) -> NDArray[np.int64]"),
              "[K,4] top, left, bottom, right; bottom and right are one behind the last cell.")
      .def_ro("response", &python_groups::response, nb::sig("def response(self) -> NDArray[np.float64]"),
              "[K] the largest in the group; -inf of an empty one.")
      .def_ro("at", &python_groups::at, nb::sig("def at(self) -> NDArray[np.int64]"),
              "[K,2] (y,x) of the first cell with that response.")
      .def_ro("probability", &python_groups::probability, nb::sig("def probability(self) -> NDArray[np.float64]"),
              "[K] mean in the group.")
      .def("__len__", [](python_groups const& g) { return nb::len(g.area); })
      .def("__repr__", [](python_groups const& g) { return "GroupMeasures(" + std::to_string(nb::len(g.area)) + ")"; });

  nb::class_<python_assignment>(m, "Assignment", "Which channel each pixel belongs to.")
      .def_ro("channel", &python_assignment::channel, nb::sig("def channel(self) -> NDArray[np.int32]"),
              "[H,W] 0 background, n+1 for channel n.")
      .def_ro("score", &python_assignment::score, nb::sig("def score(self) -> NDArray[Any]"),
              "[H,W] the scaled score of that channel, the background's where it won.")
      .def("__repr__",
           [](python_assignment const& a) { return "Assignment(" + shape_text("channel", a.channel).substr(1) + ")"; });

  m.def(
      "transfer", transfer_of, array("components"), nb::arg("categories").none(), array("cues"), nb::arg("C"),
      nb::kw_only(), nb::arg("sup") = "image", nb::arg("sigma") = 6, nb::arg("smallest") = 50,
      nb::arg("centre") = "truncated", nb::arg("several") = "reject", nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def transfer(components: Array, categories: Sequence[int] | Array, cues: Points | Array, C: int, *, "
              "sup: Literal['image', 'point'] = 'image', sigma: int = 6, smallest: int = 50, centre: "
              "Literal['truncated', 'exact'] = 'truncated', several: Literal['reject', 'split'] = 'reject', threads: "
              "int = 0, copy: bool = False) -> CentreTargets"),
      "Turn components into pseudo instances where exactly one cue says that it is one object.\n\n"
      "components  [H,W] int32 0..N: components of one class each\n"
      "categories  N entries: the class of component i+1, or -1 for one that is no instance\n"
      "cues        Points on the map, of classes 0..C-1\n"
      "C           number of classes\n"
      "sup         'image': cues are peaks, the heat map stands at centroids; 'point': at the cues, which are clicks\n"
      "sigma       [cells] 1..200, of the heat map\n"
      "smallest    [cells] components of less are dropped\n"
      "centre      'truncated': the cell at the truncated mean; 'exact': the mean\n"
      "several     what a component with several cues is: 'reject': unknown; 'split': as many instances\n\n"
      "Stands for pseudo_label_generation of clovaai/BESTIE.");
  m.def("refine", refine_of, array("regions"), nb::arg("categories").none(), array("ids"), nb::arg("first").none(),
        nb::arg("groups").none(), nb::arg("C"), nb::kw_only(), nb::arg("sigma") = 6, nb::arg("threshold") = 0.3,
        nb::arg("most") = 5, nb::arg("centre") = "truncated", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def refine(regions: Array, categories: Sequence[int] | Array, ids: Array, first: Sequence[int] | "
                "Array, groups: GroupMeasures, C: int, *, sigma: int = 6, threshold: float = 0.3, most: int = 5, "
                "centre: Literal['truncated', 'exact'] = 'truncated', threads: int = 0, copy: bool = False) -> "
                "CentreTargets"),
        "Turn groups of cells that a network formed into its next targets.\n\n"
        "regions     [H,W] int32 0..N\n"
        "categories  N entries: the class of region i+1, 0..C-1\n"
        "ids         [H,W] int32 0..K, in regions only, from group_pixels()\n"
        "first       N + 1 entries: the groups of region i have the ids first[i-1]+1 .. first[i]\n"
        "groups      K measures of measure_groups()\n"
        "C           number of classes\n"
        "sigma       [cells] 1..200, of the heat map\n"
        "threshold   a group whose largest response is below it is led to the centroid of its region\n"
        "most        a region with more groups contributes nothing\n"
        "centre      'truncated' or 'exact'\n\n"
        "Stands for refine_label_generation of clovaai/BESTIE.");
  m.def("measure_groups", measure_groups_of, array("ids"), nb::arg("count"), array("response"), array("probability"),
        nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def measure_groups(ids: Array, count: int, response: Array, probability: Array, *, threads: int = 0, "
                "copy: bool = False) -> GroupMeasures"),
        "Measure groups of cells: area, box, largest response, mean probability.\n\n"
        "ids          [H,W] int32 0..count\n"
        "count        number of groups\n"
        "response     [H,W] float32\n"
        "probability  [H,W] float32");
  m.def("score_groups", score_groups_of, array("ids"), nb::arg("groups").none(), nb::arg("categories").none(),
        nb::kw_only(), nb::arg("by") = "centre_and_class", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def score_groups(ids: Array, groups: GroupMeasures, categories: Sequence[int] | Array, *, by: "
                "Literal['centre_and_class', 'class_only'] = 'centre_and_class', threads: int = 0, copy: bool = False) "
                "-> Instances"),
        "Turn groups of cells into scored instances.\n\n"
        "ids         [H,W] int32 0..N\n"
        "groups      N measures of measure_groups()\n"
        "categories  N entries\n"
        "by          'centre_and_class': response times probability; 'class_only': probability");
  m.def("lead_to_points", lead_to_points_of, array("ids"), array("centres"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def lead_to_points(ids: Array, centres: Points | Array, *, threads: int = 0, copy: bool = False) -> "
                "tuple[NDArray[np.float32], NDArray[np.float32]]"),
        "Lead every cell of a group to the point that formed it.\n\n"
        "ids      [H,W] int32: 0, or 1 + index into centres\n"
        "centres  Points\n\n"
        "Returns offset [2,H,W], centre minus cell, and weight [H,W], 1 where there is an id.");
  m.def("centre_map", centre_map_of, array("centres"), nb::arg("C"), nb::arg("size").none(), nb::kw_only(),
        nb::arg("sigma") = 6, nb::arg("rounding") = "original", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def centre_map(centres: Points | Array, C: int, size: tuple[int, int], *, sigma: int = 6, rounding: "
                "Literal['original', 'exact'] = 'original', threads: int = 0, copy: bool = False) -> "
                "NDArray[np.float32]"),
        "Draw the heat maps of centres: of each class the largest of its centres' Gaussians.\n\n"
        "centres   Points of classes 0..C-1; those off the map leave no trace\n"
        "C         number of classes\n"
        "size      (height, width)\n"
        "sigma     [cells] 1..200\n"
        "rounding  'original': the kernel moves to the nearest cell; 'exact': the Gaussian of the position itself\n\n"
        "Returns [C,height,width] in [0,1]. Stands for center_map_gen of clovaai/BESTIE.");
  m.def("separate", separate_of, array("scores"), array("ids"), nb::arg("count"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def separate(scores: Array, ids: Array, count: int, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Split class scores by an instance map: one channel for every class and instance.\n\n"
        "scores  [C,H,W] float32 or float64\n"
        "ids     [H,W] int32 0..count-1\n"
        "count   number of instances K\n\n"
        "Returns [C*K,H,W]: channel c * K + k is scores[c] where ids is k, otherwise 0. Stands for "
        "separte_score_by_mask of jiwoon-ahn/irn.");
  m.def("assign", assign_of, array("scores"), nb::arg("image").none(), nb::kw_only(), nb::arg("groups") = nb::none(),
        nb::arg("background") = 0.25, nb::arg("scale") = "image", nb::arg("empty") = "background",
        nb::arg("stride") = 4, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def assign(scores: Array, image: tuple[int, int], *, groups: Sequence[int] | Array | None = None, "
                "background: float = 0.25, scale: Literal['image', 'group', 'channel'] = 'image', empty: "
                "Literal['background', 'first_channel'] = 'background', stride: int = 4, threads: int = 0, copy: bool "
                "= False) -> Assignment"),
        "Enlarge scores to the image, scale them, and let every pixel choose among them and the background.\n\n"
        "scores      [N,h,w] float32 or float64, from the walk\n"
        "image       (height, width), at most stride times the scores'\n"
        "groups      N numbers for scale = 'group', for example classes\n"
        "background  score of the background after scaling\n"
        "scale       scores are divided by the largest of the 'image', of the 'group' or of the 'channel'\n"
        "empty       an image without a positive score is all 'background', or all 'first_channel' as in the original\n"
        "stride      [pixels per cell] 1..65536\n\n"
        "Stands for the end of make_ins_seg_labels.py and make_sem_seg_labels.py of jiwoon-ahn/irn.");
  m.def("detect", detect_of, array("labels"), nb::arg("categories").none(), array("scores"), nb::kw_only(),
        nb::arg("smallest") = 0.0, nb::arg("small") = "score_zero", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def detect(labels: Array, categories: Sequence[int] | Array, scores: Array, *, smallest: float = 0.0, "
                "small: Literal['score_zero', 'drop', 'keep'] = 'score_zero', threads: int = 0, copy: bool = False) -> "
                "Instances"),
        "Turn components into scored instances. The score is the largest on the component.\n\n"
        "labels      [H,W] int32 0..N\n"
        "categories  N entries: the category of component i+1\n"
        "scores      [H,W] float32 or float64; NaN counts as 0\n"
        "smallest    [cells] components of less are fragments\n"
        "small       fragments get 'score_zero', are dropped ('drop') or stay ('keep')\n\n"
        "Stands for detect_instance of jiwoon-ahn/irn.");
}

}  // namespace bindings
