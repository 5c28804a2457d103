// The metrics of objects: overlaps, AP of instances, average best overlap, COCO's AP.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/metric/coco_ap.hpp>
#include <cambium/metric/instance_ap.hpp>

#include <nanobind/stl/string.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

/// The objects of a sequence, copied. Any other object is refused by its place.
template <class T>
std::vector<T> all_of(nb::handle given, char const* what, char const* type)
{
  std::vector<T> out;
  nb::object iterator = nb::steal(PyObject_GetIter(given.ptr()));
  if (!iterator.is_valid()) {
    PyErr_Clear();
    throw nb::type_error((std::string(what) + " is " + name_of_type(given) + "; expected a list of " + type).c_str());
  }
  while (true) {
    nb::object const each = nb::steal(PyIter_Next(iterator.ptr()));
    if (!each.is_valid()) break;
    if (!nb::isinstance<T>(each))
      throw nb::type_error(
          (std::string(what) + "[" + std::to_string(out.size()) + "] is " + name_of_type(each) + "; expected " + type)
              .c_str());
    out.push_back(nb::cast<T const&>(each));
  }
  if (PyErr_Occurred()) throw nb::python_error();
  return out;
}

/// The numbers of a table: an array, or a list of lists of one length.
template <class T>
grid<T, 2> table_of(nb::handle given, char const* what)
{
  expects_plain(given, what);
  auto const array = nb::module_::import_("numpy").attr("asarray")(given);
  std::string const kind = text_of_attribute(array.attr("dtype"), "kind");
  if (kind != "b" && kind != "i" && kind != "u" && kind != "f")
    throw nb::type_error((std::string(what) + " is " + text_of(array) + "; expected numbers").c_str());
  array_argument argument(array, what, true);
  auto const cells = argument.cells<T, 2>();
  auto out = make_grid<T>(cells.extent);
  std::copy_n(cells.data, cells.size(), out.data());
  return out;
}

/// Ask Python between parts of a long loop.
void ask_python(char const* who)
{
  if (python_interrupts()) throw stopped(std::string(who) + ": stopped");
}

nb::object array_copy(std::vector<double> from) { return into_array(std::move(from)); }

// --- instances -----------------------------------------------------------------------------------------------

nb::object mask_iou_of(nb::handle predicted, nb::handle truth, bool copy)
{
  array_argument p(predicted, "mask_iou: predicted", copy), t(truth, "mask_iou: truth", copy);
  auto const have = p.mask<3>(), want = t.mask<3>();
  index_t const P = have.extent[0], G = want.extent[0];
  expects(G == 0 || P <= (index_t{1} << 27) / G, "mask_iou: ", P, " times ", G, " masks are too many pairs");
  return into_array(without_gil([&] {
    if (P == 0 || have.size() == 0) return mask_iou(have, want);
    grid<float, 2> out(P, G);
    for (index_t i = 0; i < P; ++i) {
      ask_python("mask_iou");
      view<std::uint8_t const, 3> const one(&have(i, 0, 0), {1, have.extent[1], have.extent[2]});
      auto const row = mask_iou(one, want);
      std::copy(row.cells().begin(), row.cells().end(), out.cells().begin() + i * G);
    }
    return out;
  }));
}

index_t largest_label(auto const& labels)
{
  index_t most = 0;
  for (index_t i = 0; i < labels.size(); ++i) most = std::max(most, static_cast<index_t>(labels.data[i]));
  return most;
}

nb::object label_iou_of(nb::handle predicted, nb::handle truth, nb::handle P, nb::handle T, std::int64_t ignore,
                        bool copy)
{
  auto const number = [](nb::handle given, char const* what) -> index_t {
    if (given.is_none()) return -1;
    if (!PyLong_Check(given.ptr()) && !PyIndex_Check(given.ptr()))
      throw nb::type_error(
          (std::string("label_iou: ") + what + " is " + name_of_type(given) + "; expected an integer or None").c_str());
    auto const n = PyNumber_AsSsize_t(given.ptr(), nullptr);  // clamped
    expects(0 <= n && n <= index_t{1} << 26, "label_iou: ", what, " is ", static_cast<index_t>(n),
            "; expected 0 to 2^26");
    return n;
  };
  index_t const p_given = number(P, "predicted_objects"), t_given = number(T, "truth_objects");
  return with_label_maps("label_iou", predicted, truth, copy, [&](auto const& p, auto const& t) {
    return into_array(without_gil([&] {
      index_t const predicted_objects = p_given >= 0 ? p_given : largest_label(p);
      index_t truth_objects = t_given;
      if (truth_objects < 0) {
        truth_objects = 0;
        for (index_t i = 0; i < t.size(); ++i)
          if (auto const v = static_cast<index_t>(t.data[i]); v != ignore) truth_objects = std::max(truth_objects, v);
      }
      expects(predicted_objects < (index_t{1} << 27) / (truth_objects + 1), "label_iou: ", predicted_objects,
              " predicted and ", truth_objects, " true objects are too many pairs");
      return label_iou(p, predicted_objects, t, truth_objects, ignore);
    }));
  });
}

image_result make_image_result(nb::handle predicted, nb::handle score, nb::handle truth, nb::handle iou)
{
  image_result out{numbers_of<std::int32_t>(predicted, "ImageResult: predicted"),
                   numbers_of<float>(score, "ImageResult: score"),
                   numbers_of<std::int32_t>(truth, "ImageResult: truth"),
                   {}};
  bool const pairs = !out.predicted.empty() && !out.truth.empty();
  if (pairs) out.iou = table_of<float>(iou, "ImageResult: iou");
  for (index_t i = 0; i < out.iou.size(); ++i)
    expects(!(out.iou.data()[i] < 0) && !(out.iou.data()[i] > 1), "ImageResult: iou is ", out.iou.data()[i],
            ", outside [0,1]");
  expects_results({out});  // so that a mistake is found where it is made
  return out;
}

void bind_instances(nb::module_& m)
{
  m.def("mask_iou", mask_iou_of, array("predicted"), array("truth"), nb::kw_only(), nb::arg("copy") = false,
        nb::sig("def mask_iou(predicted: Array, truth: Array, *, copy: bool = False) -> NDArray[np.float32]"),
        "The overlap of every predicted mask with every true mask.\n\n"
        "predicted  [P,H,W] uint8 or bool, nonzero inside\n"
        "truth      [G,H,W]\n\n"
        "Returns [P,G] intersection over union; NaN for two empty masks. Source: mask_iou of chainercv.");
  m.def("label_iou", label_iou_of, array("predicted"), array("truth"), nb::kw_only(),
        nb::arg("predicted_objects") = nb::none(), nb::arg("truth_objects") = nb::none(), nb::arg("ignore") = -1,
        nb::arg("copy") = false,
        nb::sig("def label_iou(predicted: Array, truth: Array, *, predicted_objects: int | None = None, "
                "truth_objects: int | None = None, ignore: int = -1, copy: bool = False) -> NDArray[np.float32]"),
        "The same overlaps for disjoint objects, from two label maps in one pass.\n\n"
        "predicted          [H,W] int32, int64 or uint8: 0 background, 1..P\n"
        "truth              [H,W] 0 background, 1..T, or ignore\n"
        "predicted_objects  P; None: the largest label\n"
        "truth_objects      T; None: the largest label\n"
        "ignore             negative or above T: cells with this truth count for no object\n\n"
        "Returns [P,T] as mask_iou().");
  nb::class_<image_result>(m, "ImageResult", "Predicted and true objects of one image, and the overlap of each pair.")
      .def(
          "__init__",
          [](image_result* at, nb::handle predicted, nb::handle score, nb::handle truth, nb::handle iou) {
            new (at) image_result(make_image_result(predicted, score, truth, iou));
          },
          array("predicted"), array("score"), array("truth"), array("iou"),
          nb::sig("def __init__(self, predicted: NDArray[Any] | Sequence[int], score: NDArray[Any] | Sequence[float], "
                  "truth: NDArray[Any] | "
                  "Sequence[int], iou: NDArray[Any] | Sequence[Sequence[float]]) -> None"),
          "predicted  [P] classes from 0\n"
          "score      [P] not NaN\n"
          "truth      [G] classes from 0\n"
          "iou        [P,G] overlaps in [0,1], or NaN, of mask_iou() or label_iou()")
      .def("__repr__", [](image_result const& r) {
        return "ImageResult(" + std::to_string(r.predicted.size()) + " predicted, " + std::to_string(r.truth.size()) +
               " true)";
      });
  nb::class_<average_precision>(m, "AveragePrecision", "A number of every class, and the mean over classes.")
      .def_prop_ro(
          "of_class", [](average_precision const& a) { return array_copy(a.of_class); },
          nb::sig("def of_class(self, /) -> NDArray[np.float64]"),
          "[classes] NaN for a class without a true object, a copy.")
      .def_ro("mean", &average_precision::mean, "The mean over classes with a true object.")
      .def("__repr__",
           [](average_precision const& a) { return "AveragePrecision(mean=" + message_part(a.mean) + ")"; });
  m.def(
      "instance_ap",
      [](nb::handle images, nb::handle threshold, std::string const& form) -> nb::object {
        auto const how =
            choice<ap_form>(form, "instance_ap: form", {{"area", ap_form::area}, {"voc07", ap_form::voc07}});
        auto const all = all_of<image_result>(images, "instance_ap: images", "ImageResult");
        auto const number = nb::steal(PyIndex_Check(threshold.ptr()) || PyFloat_Check(threshold.ptr()) ||
                                              text_of_attribute(threshold, "shape") == "()"
                                          ? PyNumber_Float(threshold.ptr())
                                          : nullptr);
        PyErr_Clear();
        if (number.is_valid()) {
          double const one = nb::cast<double>(number);
          return nb::cast(without_gil([&] { return instance_ap(all, one, how); }));
        }
        auto const many = numbers_of<double>(threshold, "instance_ap: threshold");
        nb::list out;
        for (double const one : many) out.append(without_gil([&] { return instance_ap(all, one, how); }));
        return out;
      },
      nb::arg("images"), nb::arg("threshold"), nb::kw_only(), nb::arg("form") = "area",
      nb::sig("def instance_ap(images: Sequence[ImageResult], threshold: float | Sequence[float], *, form: "
              "Literal['area', 'voc07'] = 'area') -> Any"),
      "AP^r: the average precision of instance masks at an overlap threshold.\n\n"
      "images     an ImageResult of every image of the set\n"
      "threshold  in [0,1], usually 0.25, 0.5, 0.7, 0.75; or a list of them\n"
      "form       'area': under the curve made monotone, VOC 2010 and later; 'voc07': the mean at recall 0, 0.1, ... "
      "1\n\n"
      "Returns an AveragePrecision; a list of them for a list. Source: eval_instance_segmentation_voc of chainercv.");
  m.def(
      "average_best_overlap",
      [](nb::handle images) {
        auto const all = all_of<image_result>(images, "average_best_overlap: images", "ImageResult");
        return without_gil([&] { return average_best_overlap(all); });
      },
      nb::arg("images"), nb::sig("def average_best_overlap(images: Sequence[ImageResult]) -> AveragePrecision"),
      "ABO: for every true object the largest overlap with a prediction of its class, averaged over the objects of a "
      "class, then over classes.\n\n"
      "images  an ImageResult of every image of the set\n\n"
      "Source: Pont-Tuset & Van Gool, 2015.");
}

// --- COCO ----------------------------------------------------------------------------------------------------

coco_pair make_pair(index_t category, nb::handle score, nb::handle area, nb::handle truth_area, nb::handle crowd,
                    nb::handle iou)
{
  expects(0 <= category && category < most_classes, "CocoPair: category is ", category, "; expected 0 to ",
          most_classes - 1);
  coco_pair out{static_cast<std::int32_t>(category),
                numbers_of<double>(score, "CocoPair: score"),
                numbers_of<double>(area, "CocoPair: area"),
                numbers_of<double>(truth_area, "CocoPair: truth_area"),
                numbers_of<std::uint8_t>(crowd, "CocoPair: crowd"),
                {}};
  if (!out.score.empty() && !out.truth_area.empty()) out.iou = table_of<double>(iou, "CocoPair: iou");
  return out;
}

/// A view of an array that an object of C++ owns, as a read-only NumPy array that keeps the object.
nb::object view_in(nb::handle owner, std::vector<double> const& cells, std::initializer_list<index_t> shape)
{
  std::vector<std::size_t> extents(shape.begin(), shape.end());
  return nb::cast(nb::ndarray<nb::numpy, double const>(cells.data(), extents.size(), extents.data(), owner));
}

coco_scores coco_ap_of(nb::handle pairs, index_t categories, nb::handle thresholds, int recall_points, nb::handle areas,
                       nb::handle detections, int threads)
{
  auto const where = policy(threads, "coco_ap");
  coco_ap_options options;
  if (!thresholds.is_none()) options.thresholds = numbers_of<double>(thresholds, "coco_ap: thresholds");
  if (!detections.is_none()) {
    auto const given = numbers_of<std::int64_t>(detections, "coco_ap: detections");
    options.detections.assign(given.begin(), given.end());
  }
  if (!areas.is_none()) {
    auto const ranges = table_of<double>(areas, "coco_ap: areas");
    expects(ranges.shape()[1] == 2, "coco_ap: areas is ", ranges.view(), "; expected [A,2]: least and most");
    options.areas.clear();
    for (index_t a = 0; a < ranges.shape()[0]; ++a) options.areas.push_back({ranges(a, 0), ranges(a, 1)});
  }
  options.recall_points = recall_points;
  double numbers = static_cast<double>(std::max<index_t>(1, categories)) * std::max(1, recall_points);
  for (std::size_t const n : {options.thresholds.size(), options.areas.size(), options.detections.size()})
    numbers *= static_cast<double>(n);
  expects(numbers <= 1 << 27, "coco_ap: ", numbers, " numbers of precision are too many; expected at most 2^27");
  auto const all = all_of<coco_pair>(pairs, "coco_ap: pairs", "CocoPair");
  return without_gil([&] { return coco_ap(where, all, categories, options); });
}

void bind_coco_ap(nb::module_& m)
{
  nb::class_<coco_pair>(m, "CocoPair",
                        "Detections and true objects of one category on one image, and the overlap of "
                        "each pair. coco_pairs() makes them of COCO's files.")
      .def(
          "__init__",
          [](coco_pair* at, index_t category, nb::handle score, nb::handle area, nb::handle truth_area,
             nb::handle crowd,
             nb::handle iou) { new (at) coco_pair(make_pair(category, score, area, truth_area, crowd, iou)); },
          nb::arg("category"), array("score"), array("area"), array("truth_area"), array("crowd"), array("iou"),
          nb::sig("def __init__(self, category: int, score: NDArray[Any] | Sequence[float], area: NDArray[Any] | "
                  "Sequence[float], "
                  "truth_area: NDArray[Any] | Sequence[float], crowd: NDArray[Any] | Sequence[bool], iou: NDArray[Any] "
                  "| Sequence[Sequence[float]]) -> None"),
          "category    from 0\n"
          "score       [D] in the order of the file of results\n"
          "area        [D] areas of the detected masks [pixels]\n"
          "truth_area  [G] areas of the annotations [pixels]\n"
          "crowd       [G] flags: a region of several objects\n"
          "iou         [D,G] in [0,1]; for a crowd the fraction of the detection that lies on it")
      .def_ro("category", &coco_pair::category, "The category, from 0.")
      .def("__repr__", [](coco_pair const& p) {
        return "CocoPair(category=" + std::to_string(p.category) + ", " + std::to_string(p.score.size()) +
               " detections, " + std::to_string(p.truth_area.size()) + " objects)";
      });
  nb::class_<coco_scores>(m, "CocoScores", "Precision and recall of COCO's evaluation; -1 where no true object is.")
      .def_prop_ro(
          "precision",
          [](nb::handle self) {
            auto const& s = nb::cast<coco_scores const&>(self);
            return view_in(self, s.precision, {s.thresholds, s.recalls, s.categories, s.areas, s.limits});
          },
          nb::sig("def precision(self, /) -> NDArray[np.float64]"),
          "[thresholds, recall points, categories, areas, limits of detections], read-only.")
      .def_prop_ro(
          "recall",
          [](nb::handle self) {
            auto const& s = nb::cast<coco_scores const&>(self);
            return view_in(self, s.recall, {s.thresholds, s.categories, s.areas, s.limits});
          },
          nb::sig("def recall(self, /) -> NDArray[np.float64]"),
          "[thresholds, categories, areas, limits of detections], read-only.")
      .def_prop_ro(
          "threshold", [](coco_scores const& s) { return array_copy(s.threshold); },
          nb::sig("def threshold(self, /) -> NDArray[np.float64]"), "The values of the first axis, a copy.")
      .def(
          "average_precision",
          [](coco_scores const& s, double threshold, index_t area, index_t limit, index_t category) {
            return average_precision_of(s, threshold, area, limit, category);
          },
          nb::kw_only(), nb::arg("threshold") = -1.0, nb::arg("area") = 0, nb::arg("limit") = 2,
          nb::arg("category") = -1,
          nb::sig(
              "def average_precision(self, *, threshold: float = -1.0, area: int = 0, limit: int = 2, category: int "
              "= -1) -> float"),
          "The mean precision over thresholds, recall points and categories.\n\n"
          "threshold  one of the thresholds, or a negative number for all\n"
          "area       number of the range of areas\n"
          "limit      number of the limit of detections\n"
          "category   one category, or -1 for all")
      .def(
          "average_recall",
          [](coco_scores const& s, index_t area, index_t limit) { return average_recall_of(s, area, limit); },
          nb::kw_only(), nb::arg("area") = 0, nb::arg("limit") = 2,
          nb::sig("def average_recall(self, *, area: int = 0, limit: int = 2) -> float"),
          "The mean recall over thresholds and categories.")
      .def(
          "summarise",
          [](coco_scores const& s) {
            auto const t = summarise(s);
            nb::dict out;
            std::pair<char const*, double> const rows[] = {{"ap", t.ap},
                                                           {"ap50", t.ap50},
                                                           {"ap75", t.ap75},
                                                           {"ap_small", t.ap_small},
                                                           {"ap_medium", t.ap_medium},
                                                           {"ap_large", t.ap_large},
                                                           {"ar1", t.ar1},
                                                           {"ar10", t.ar10},
                                                           {"ar100", t.ar100},
                                                           {"ar_small", t.ar_small},
                                                           {"ar_medium", t.ar_medium},
                                                           {"ar_large", t.ar_large}};
            for (auto const& [name, value] : rows) out[name] = value;
            return out;
          },
          nb::sig("def summarise(self) -> dict[str, float]"),
          "The twelve numbers of COCO's table, in its order: ap, ap50, ap75, ap_small, ap_medium, ap_large, ar1, ar10, "
          "ar100, ar_small, ar_medium, ar_large. The scores must have the benchmark's own options.")
      .def("__repr__", [](coco_scores const& s) {
        return "CocoScores(thresholds=" + std::to_string(s.thresholds) +
               ", categories=" + std::to_string(s.categories) + ")";
      });
  m.def("coco_ap", coco_ap_of, nb::arg("pairs"), nb::arg("categories"), nb::kw_only(),
        nb::arg("thresholds") = nb::none(), nb::arg("recall_points") = 101, nb::arg("areas") = nb::none(),
        nb::arg("detections") = nb::none(), nb::arg("threads") = 0,
        nb::sig("def coco_ap(pairs: Sequence[CocoPair], categories: int, *, thresholds: Sequence[float] | None = None, "
                "recall_points: int = 101, areas: Sequence[tuple[float, float]] | None = None, detections: "
                "Sequence[int] | None = None, threads: int = 0) -> CocoScores"),
        "Precision and recall of instance masks as COCO measures them.\n\n"
        "pairs          CocoPair of images in ascending order of their ids, each with a category at most once\n"
        "categories     above every category that occurs\n"
        "thresholds     overlaps in [0,1], ascending; None: 0.5, 0.55, ... 0.95\n"
        "recall_points  0 to 1 in equal steps\n"
        "areas          (least, most) [pixels]; None: all, small, medium, large\n"
        "detections     largest numbers per category and image, ascending; None: 1, 10, 100\n\n"
        "Source: COCOeval of pycocotools.");
}

}  // namespace

void bind_metric_ap(nb::module_& m)
{
  bind_instances(m);
  bind_coco_ap(m);
}

}  // namespace bindings
