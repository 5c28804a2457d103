// The metrics of label maps: confusion and mIoU, outlines.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/metric/boundary_f.hpp>
#include <cambium/metric/confusion.hpp>

#include <nanobind/stl/string.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

// --- confusion -----------------------------------------------------------------------------------------------

/// A confusion matrix that threads share.
struct shared_confusion {
  explicit shared_confusion(int classes) : matrix(classes) {}
  confusion_matrix matrix;
  std::unique_ptr<std::mutex> guard = std::make_unique<std::mutex>();

  template <class Body>
  auto locked(Body const& body)
  {
    return without_gil([&] {
      std::lock_guard const lock(*guard);
      return body(matrix);
    });
  }
};

void bind_confusion(nb::module_& m)
{
  nb::class_<shared_confusion>(m, "ConfusionMatrix",
                               "Counts of (truth, prediction), gathered over any number of "
                               "images.")
      .def(
          "__init__",
          [](shared_confusion* at, int classes) {
            expects(1 <= classes && classes <= 8192, "ConfusionMatrix: classes is ", classes, "; expected 1 to 8192");
            new (at) shared_confusion(classes);
          },
          nb::arg("classes"), nb::sig("def __init__(self, classes: int) -> None"))
      .def(
          "accumulate",
          [](shared_confusion& to, nb::handle predicted, nb::handle truth, int ignore, std::string const& how,
             bool copy) {
            confusion_options const options{ignore, choice<unsure>(how, "accumulate: unsure",
                                                                   {{"background", unsure::background},
                                                                    {"missed", unsure::missed},
                                                                    {"dropped", unsure::dropped}})};
            with_label_maps("accumulate", predicted, truth, copy, [&](auto const& p, auto const& t) {
              to.locked([&](confusion_matrix& into) { return accumulate(into, p, t, options), 0; });
              return 0;
            });
          },
          array("predicted"), array("truth"), nb::kw_only(), nb::arg("ignore") = 255, nb::arg("unsure") = "background",
          nb::arg("copy") = false,
          nb::sig("def accumulate(self, predicted: Array, truth: Array, *, ignore: int = 255, unsure: "
                  "Literal['background', 'missed', 'dropped'] = 'background', copy: bool = False) -> None"),
          "Add one image.\n\n"
          "predicted  [H,W] int32, int64 or uint8: 0..classes-1, or ignore\n"
          "truth      [H,W] 0..classes-1, or ignore, or negative\n"
          "ignore     this truth, and every negative one, does not count\n"
          "unsure     what `ignore` means in a prediction: 'background' (class 0: irn's evaluation), 'missed' (wrong), "
          "'dropped' (the pixel does not count)\n\n"
          "Raises ValueError for any other label, with its place; the matrix is then unchanged.")
      .def_prop_ro(
          "classes", [](shared_confusion const& c) { return c.matrix.classes; }, "The number of classes.")
      .def_prop_ro(
          "count",
          [](shared_confusion& c) {
            auto const n = static_cast<std::size_t>(c.matrix.classes);
            return into_array(c.locked([](confusion_matrix const& matrix) { return matrix.count; }), {n, n + 1});
          },
          nb::sig("def count(self, /) -> NDArray[np.int64]"),
          "[classes, classes + 1] counts of (truth, prediction), a copy; the last column holds 'missed'.")
      .def(
          "class_iou",
          [](shared_confusion& c) {
            return into_array(c.locked([](confusion_matrix const& matrix) { return class_iou(matrix); }));
          },
          nb::sig("def class_iou(self) -> NDArray[np.float64]"),
          "Intersection over union of every class; NaN for a class that occurs in neither truth nor prediction.")
      .def(
          "mean_iou",
          [](shared_confusion& c) { return c.locked([](confusion_matrix const& matrix) { return mean_iou(matrix); }); },
          nb::sig("def mean_iou(self) -> float"), "The mean intersection over union over the classes that occur.")
      .def("__repr__", [](shared_confusion const& c) {
        return "ConfusionMatrix(classes=" + std::to_string(c.matrix.classes) + ")";
      });
}

// --- outlines ------------------------------------------------------------------------------------------------

struct py_boundary_scores {
  std::vector<boundary_score> of;
  nb::object array(double boundary_score::* which) const
  {
    std::vector<double> out;
    for (auto const& s : of) out.push_back(s.*which);
    return into_array(std::move(out));
  }
  nb::object array(index_t boundary_score::* which) const
  {
    std::vector<std::int64_t> out;
    for (auto const& s : of) out.push_back(s.*which);
    return into_array(std::move(out));
  }
};

void bind_outlines(nb::module_& m)
{
  nb::class_<py_boundary_scores> scores(m, "BoundaryScores", "Precision and recall of the outlines of every class.");
  scores
      .def_prop_ro(
          "mean_f", [](py_boundary_scores const& s) { return mean_f(s.of); },
          "The mean f over the classes that occur; NaN without classes.")
      .def("__repr__", [](py_boundary_scores const& s) {
        return "BoundaryScores(classes=" + std::to_string(s.of.size()) + ", mean_f=" + message_part(mean_f(s.of)) + ")";
      });
  auto const add = [&](char const* name, auto which, char const* type, char const* text) {
    std::string const sig = std::string("def ") + name + "(self, /) -> NDArray[np." + type + "]";
    scores.def_prop_ro(
        name, [which](py_boundary_scores const& s) { return s.array(which); }, nb::sig(sig.c_str()), text);
  };
  add("predicted", &boundary_score::predicted, "int64",
      "[classes] cells of the predicted outline, without those on ignored truth.");
  add("predicted_hits", &boundary_score::predicted_hits, "int64", "[classes] those near the true outline.");
  add("truth", &boundary_score::truth, "int64", "[classes] cells of the true outline.");
  add("truth_hits", &boundary_score::truth_hits, "int64", "[classes] those near the predicted outline.");
  add("precision", &boundary_score::precision, "float64", "[classes] predicted_hits / predicted.");
  add("recall", &boundary_score::recall, "float64", "[classes] truth_hits / truth.");
  add("f", &boundary_score::f, "float64", "[classes] their harmonic mean; NaN for a class that is in neither map.");

  m.def(
      "boundary_f",
      [](nb::handle predicted, nb::handle truth, int classes, double tolerance, int ignore, int threads, bool copy) {
        expects(1 <= classes && classes <= 1 << 20, "boundary_f: classes is ", classes, "; expected 1 to 2^20");
        auto const where = policy(threads, "boundary_f");
        return with_label_maps("boundary_f", predicted, truth, copy, [&](auto const& p, auto const& t) {
          return without_gil([&] { return py_boundary_scores{boundary_f(where, p, t, classes, {tolerance, ignore})}; });
        });
      },
      array("predicted"), array("truth"), nb::arg("classes"), nb::kw_only(), nb::arg("tolerance") = 0.0075,
      nb::arg("ignore") = 255, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig(
          "def boundary_f(predicted: Array, truth: Array, classes: int, *, tolerance: float = 0.0075, ignore: int = "
          "255, threads: int = 0, copy: bool = False) -> BoundaryScores"),
      "Compare the outlines of every class of two label maps.\n\n"
      "predicted  [H,W] int32, int64 or uint8: 0..classes-1, or ignore for no class\n"
      "truth      [H,W] 0..classes-1, or ignore, or negative\n"
      "classes    their number\n"
      "tolerance  below 1: fraction of the image's diagonal, rounded up to cells; from 1 on: [cells]\n"
      "ignore     truth with this or a negative number has no class\n\n"
      "Source: Martin, Fowlkes & Malik, PAMI 2004; db_eval_boundary of DAVIS 2016.");
  m.def(
      "boundary_iou",
      [](nb::handle predicted, nb::handle truth, double ratio, bool copy) {
        array_argument p(predicted, "boundary_iou: predicted", copy), t(truth, "boundary_iou: truth", copy);
        auto const have = p.mask<2>(), want = t.mask<2>();
        return without_gil([&] { return boundary_iou(have, want, ratio); });
      },
      array("predicted"), array("truth"), nb::kw_only(), nb::arg("ratio") = 0.02, nb::arg("copy") = false,
      nb::sig("def boundary_iou(predicted: Array, truth: Array, *, ratio: float = 0.02, copy: bool = False) -> float"),
      "Intersection over union of the parts of two masks near their outlines.\n\n"
      "predicted  [H,W] uint8 or bool, nonzero inside\n"
      "truth      [H,W]\n"
      "ratio      [fraction of the diagonal] in [0,1]: how near\n\n"
      "Returns a number in [0,1]; NaN for two empty masks. Source: Cheng et al., CVPR 2021.");
}

}  // namespace

void bind_metric(nb::module_& m)
{
  bind_confusion(m);
  bind_outlines(m);
}

}  // namespace bindings
