// The losses, each with its gradients.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/loss/affinity_displacement.hpp>
#include <cambium/loss/guided.hpp>
#include <cambium/loss/hard_pixels.hpp>
#include <cambium/loss/label_uncertainty.hpp>

#include <nanobind/stl/string.h>

#include <string>

namespace bindings {

using namespace cambium;

namespace {

struct py_output_loss {
  double value = 0;
  nb::object gradient;
};
struct py_cross_entropy_loss : py_output_loss {
  index_t pixels = 0;
};
struct py_affinity_loss {
  affinity_loss_values parts;
  nb::object boundary, field;
};
struct py_uncertainty_loss {
  label_uncertainty_value value;
  nb::object by_mean, by_log_variance;
};

// --- guided losses -------------------------------------------------------------------------------------------

/// A loss of guided_loss: output, target and weight (None: every pixel) of one floating type.
template <class Term>
py_output_loss guided(std::string const& name, Term const& term, nb::handle output, nb::handle target,
                      nb::handle weight, guided_options options, int threads, bool copy)
{
  array_argument first(output, name + ": output", copy), second(target, name + ": target", copy);
  auto const where = policy(threads, name.c_str());
  return with_float_type(first, [&]<class T>() -> py_output_loss {
    auto const o = first.cells<T, 4>(), t = second.cells<T, 4>();
    auto const result = [&](auto const& w) -> py_output_loss {
      auto got = without_gil([&] { return guided_loss(where, term, o, t, w, options, name); });
      return {got.value, into_array(std::move(got.gradient))};
    };
    if constexpr (std::is_same_v<Term, rule::focal_error>) {
      array_argument third(weight, name + ": weight", copy);
      return result(third.cells<T, 4>());
    } else {
      if (!weight.is_valid()) return result(every_pixel{});
      array_argument third(weight, name + ": weight", copy);
      return result(third.cells<T, 4>());
    }
  });
}

guided_mean mean_over(std::string const& over, char const* what)
{
  return choice<guided_mean>(
      over, what, {{"pixels", guided_mean::pixels}, {"values", guided_mean::values}, {"ones", guided_mean::ones}});
}

// --- cross entropy -------------------------------------------------------------------------------------------

py_cross_entropy_loss cross_entropy_of(char const* name, nb::handle logits, nb::handle labels,
                                       hard_pixel_options options, int threads, bool copy)
{
  std::string const who = name;
  array_argument scores(logits, who + ": logits", copy), classes(labels, who + ": labels", copy);
  auto const where = policy(threads, name);
  return with_float_type(scores, [&]<class T>() {
    auto const z = scores.cells<T, 4>();
    return with_label_type(classes, [&]<class I>() -> py_cross_entropy_loss {
      auto const l = classes.cells<I, 3>();
      auto got = without_gil([&] { return hardest_pixels_cross_entropy(where, z, l, options, who); });
      return {{got.value, into_array(std::move(got.gradient))}, got.pixels};
    });
  });
}

// --- IRNet's loss --------------------------------------------------------------------------------------------

py_affinity_loss affinity_displacement_loss_of(nb::handle logits, nb::handle displacement, nb::handle labels,
                                               int radius, std::string const& sources, int threads, bool copy)
{
  std::string const who = "affinity_displacement_loss";
  array_argument boundary(logits, who + ": logits", copy), classes(labels, who + ": labels", copy);
  auto const where = policy(threads, who.c_str());
  affinity_loss_options const options{
      radius, choice<pair_sources>(sources, "affinity_displacement_loss: sources",
                                   {{"inner", pair_sources::inner}, {"all", pair_sources::all}})};
  return with_float_type(boundary, [&]<class T>() -> py_affinity_loss {
    auto const z = boundary.cells<T, 3>();
    auto const l = classes.cells<std::int32_t, 3>();
    auto const result = [&](view<T const, 4> field) -> py_affinity_loss {
      auto got = without_gil([&] { return affinity_displacement_loss<T>(where, z, field, l, options); });
      nb::object by_field = field.data == nullptr ? nb::object(nb::none()) : into_array(std::move(got.field));
      return {got.value, into_array(std::move(got.boundary)), std::move(by_field)};
    };
    if (displacement.is_none()) return result({});
    array_argument field(displacement, who + ": displacement", copy);
    auto const d = field.cells<T, 4>();
    expects(d.size() > 0, who, ": displacement is ", field.described(), "; expected [B,2,H,W] with cells, or None");
    return result(d);
  });
}

nb::object quarter_labels_of(nb::handle labels, int threads, bool copy)
{
  array_argument given(labels, "quarter_labels: labels", copy);
  auto const where = policy(threads, "quarter_labels");
  auto const result = [&]<class I>() {
    auto const l = given.cells<I, 2>();
    return into_array(without_gil([&] { return quarter_labels(where, l); }));
  };
  if (given.holds<std::uint8_t>() || given.holds<bool>()) return result.operator()<std::uint8_t>();
  return result.operator()<std::int32_t>();
}

// --- label uncertainty ---------------------------------------------------------------------------------------

py_uncertainty_loss label_uncertainty_loss_of(nb::handle mean, nb::handle log_variance, nb::handle target,
                                              nb::handle trusted, std::string const& classes, double largest_sigma,
                                              double box_weight, int samples, std::uint64_t seed, int threads,
                                              bool copy)
{
  std::string const who = "label_uncertainty_loss";
  array_argument m(mean, who + ": mean", copy), s(log_variance, who + ": log_variance", copy),
      y(target, who + ": target", copy), r(trusted, who + ": trusted", copy);
  auto const where = policy(threads, who.c_str());
  expects(1 <= samples && samples <= 4096, who, ": samples is ", samples, "; expected 1 to 4096");
  label_uncertainty_options const options{choice<class_model>(classes, "label_uncertainty_loss: classes",
                                                              {{"one_vs_rest", class_model::one_vs_rest},
                                                               {"mean_field", class_model::mean_field},
                                                               {"sampled", class_model::sampled}}),
                                          largest_sigma, box_weight, samples, seed};
  return with_float_type(m, [&]<class T>() -> py_uncertainty_loss {
    auto const mu = m.cells<T, 4>(), v = s.cells<T, 4>(), t = y.cells<T, 4>();
    auto const trust = r.cells<std::uint8_t, 4>();
    auto got = without_gil([&] { return label_uncertainty_loss(where, mu, v, t, trust, options); });
    return {got, into_array(std::move(got.by_mean)), into_array(std::move(got.by_log_variance))};
  });
}

nb::object expected_sigmoid_of(nb::handle mean, nb::handle log_variance, double largest_sigma, int threads, bool copy)
{
  array_argument m(mean, "expected_sigmoid: mean", copy), s(log_variance, "expected_sigmoid: log_variance", copy);
  auto const where = policy(threads, "expected_sigmoid");
  return with_float_type(m, [&]<class T>() {
    auto const mu = m.cells<T, 3>(), v = s.cells<T, 3>();
    return into_array(without_gil([&] { return expected_sigmoid(where, mu, v, largest_sigma); }));
  });
}

// --- their results -------------------------------------------------------------------------------------------

void bind_loss_results(nb::module_& m)
{
  nb::class_<py_output_loss>(m, "OutputLoss", "A loss of a batch and its gradient by the network's output.")
      .def_ro("value", &py_output_loss::value, "The loss.")
      .def_ro("gradient", &py_output_loss::gradient, nb::sig("def gradient(self, /) -> NDArray[Any]"),
              "[B,C,H,W] d value / d output.")
      .def("__repr__", [](py_output_loss const& r) {
        return "OutputLoss(value=" + message_part(r.value) + ", gradient=" + text_of(r.gradient) + ")";
      });
  nb::class_<py_cross_entropy_loss>(m, "CrossEntropyLoss", "Cross entropy of a batch and its gradient by the logits.")
      .def_ro("value", &py_cross_entropy_loss::value, "The loss.")
      .def_ro("pixels", &py_cross_entropy_loss::pixels, "The number of pixels that the sum was divided by.")
      .def_ro("gradient", &py_cross_entropy_loss::gradient, nb::sig("def gradient(self, /) -> NDArray[Any]"),
              "[B,C,H,W] d value / d logits.")
      .def("__repr__", [](py_cross_entropy_loss const& r) {
        return "CrossEntropyLoss(value=" + message_part(r.value) + ", pixels=" + std::to_string(r.pixels) +
               ", gradient=" + text_of(r.gradient) + ")";
      });
  auto const part = [](double affinity_loss_values::* which) {
    return [which](py_affinity_loss const& r) { return r.parts.*which; };
  };
  nb::class_<py_affinity_loss>(m, "AffinityLoss",
                               "IRNet's training loss of a batch, its parts and its gradients.\n\n"
                               "value = (background + foreground) / 4 + negative / 2 + (field_foreground + "
                               "field_background) / 2")
      .def_prop_ro(
          "value", [](py_affinity_loss const& r) { return r.parts.total(); }, "The loss.")
      .def_prop_ro("background", part(&affinity_loss_values::background), "The mean -log a over pairs of background.")
      .def_prop_ro("foreground", part(&affinity_loss_values::foreground), "The mean -log a over pairs of one class.")
      .def_prop_ro("negative", part(&affinity_loss_values::negative),
                   "The mean -log(1 - a) over pairs of different labels.")
      .def_prop_ro("field_foreground", part(&affinity_loss_values::field_foreground),
                   "The mean |D(i) - D(j) - (x_j - x_i)| over pairs of one class.")
      .def_prop_ro("field_background", part(&affinity_loss_values::field_background),
                   "The mean |D(i) - D(j)| over pairs of background.")
      .def_prop_ro(
          "pairs",
          [](py_affinity_loss const& r) {
            return nb::make_tuple(r.parts.pairs[0], r.parts.pairs[1], r.parts.pairs[2]);
          },
          nb::sig("def pairs(self, /) -> tuple[int, int, int]"),
          "The numbers of pairs: of background, of one class, of different labels.")
      .def_ro("by_logits", &py_affinity_loss::boundary, nb::sig("def by_logits(self, /) -> NDArray[Any]"),
              "[B,H,W] d value / d logits.")
      .def_ro("by_displacement", &py_affinity_loss::field,
              nb::sig("def by_displacement(self, /) -> NDArray[Any] | None"),
              "[B,2,H,W] d value / d displacement, or None without a displacement.")
      .def("__repr__", [](py_affinity_loss const& r) {
        return "AffinityLoss(value=" + message_part(r.parts.total()) + ", by_logits=" + text_of(r.boundary) +
               (r.field.is_none() ? "" : ", by_displacement=" + text_of(r.field)) + ")";
      });
  nb::class_<py_uncertainty_loss>(m, "LabelUncertaintyLoss", "The loss of uncertain labels and its gradients.")
      .def_prop_ro(
          "value", [](py_uncertainty_loss const& r) { return r.value.value; }, "The loss.")
      .def_prop_ro(
          "certain", [](py_uncertainty_loss const& r) { return r.value.certain; },
          "The number of certain cells of the trust map.")
      .def_prop_ro(
          "boxed", [](py_uncertainty_loss const& r) { return r.value.boxed; },
          "The number of boxed cells of the trust map.")
      .def_ro("by_mean", &py_uncertainty_loss::by_mean, nb::sig("def by_mean(self, /) -> NDArray[Any]"),
              "[B,C,H,W] d value / d mean.")
      .def_ro("by_log_variance", &py_uncertainty_loss::by_log_variance,
              nb::sig("def by_log_variance(self, /) -> NDArray[Any]"),
              "d value / d log_variance, of the shape of log_variance.")
      .def("__repr__", [](py_uncertainty_loss const& r) {
        return "LabelUncertaintyLoss(value=" + message_part(r.value.value) + ", by_mean=" + text_of(r.by_mean) +
               ", by_log_variance=" + text_of(r.by_log_variance) + ")";
      });
}

}  // namespace

void bind_loss(nb::module_& m)
{
  bind_loss_results(m);
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, over = nb::arg("over") = "pixels";

  m.def(
      "guided_square_error",
      [](nb::handle output, nb::handle target, nb::handle weight, std::string const& how, int n, bool convert) {
        return guided("guided_square_error", rule::square_error{}, output, target, weight,
                      {mean_over(how, "guided_square_error: over")}, n, convert);
      },
      array("output"), array("target"), array("weight"), nb::kw_only(), over, threads, copy,
      nb::sig("def guided_square_error(output: Array, target: Array, weight: Array, *, over: "
              "Literal['pixels', 'values', 'ones'] = 'pixels', threads: int = 0, copy: bool = False) -> OutputLoss"),
      "Square errors of the guided pixels: weight * (output - target)^2. BESTIE's loss of centre maps.\n\n"
      "output  [B,C,H,W] float32 or float64, finite\n"
      "target  [B,C,H,W] of the same type (float32 or float64)\n"
      "weight  [B,1,H,W] of the same type (float32 or float64), >= 0; with weight 0 a pixel counts nothing\n"
      "over    what the sum is divided by: 'pixels' (with a weight above 0: the original), 'values' (pixels times "
      "channels: a mean) or 'ones' (targets that are 1, at least 1)\n\n"
      "Returns the value, and its gradient by the output. Source: Weighted_MSELoss, utils/loss.py of BESTIE.");
  m.def(
      "guided_absolute_error",
      [](nb::handle output, nb::handle target, nb::handle weight, std::string const& how, int n, bool convert) {
        return guided("guided_absolute_error", rule::absolute_error{}, output, target, weight,
                      {mean_over(how, "guided_absolute_error: over")}, n, convert);
      },
      array("output"), array("target"), array("weight"), nb::kw_only(), over, threads, copy,
      nb::sig("def guided_absolute_error(output: Array, target: Array, weight: Array, *, over: "
              "Literal['pixels', 'values', 'ones'] = 'pixels', threads: int = 0, copy: bool = False) -> OutputLoss"),
      "Absolute errors of the guided pixels: weight * |output - target|. BESTIE's loss of offset maps.\n\n"
      "output  [B,C,H,W] float32 or float64, finite\n"
      "target  [B,C,H,W] of the same type (float32 or float64)\n"
      "weight  [B,1,H,W] of the same type (float32 or float64), >= 0; with weight 0 a pixel counts nothing\n"
      "over    as in guided_square_error()\n\n"
      "Returns the value, and its gradient by the output; it is 0 where output and target are equal. Source: "
      "Weighted_L1_Loss, utils/loss.py of BESTIE.");
  m.def(
      "mean_square_error",
      [](nb::handle output, nb::handle target, int n, bool convert) {
        return guided("mean_square_error", rule::square_error{}, output, target, {}, {guided_mean::values}, n, convert);
      },
      array("output"), array("target"), nb::kw_only(), threads, copy,
      nb::sig("def mean_square_error(output: Array, target: Array, *, threads: int = 0, copy: bool = False) -> "
              "OutputLoss"),
      "The mean square error of a batch.\n\n"
      "output  [B,C,H,W] float32 or float64, finite\n"
      "target  [B,C,H,W] of the same type (float32 or float64)\n\n"
      "Returns the value, and its gradient by the output. Source: MSELoss, utils/loss.py of BESTIE.");
  m.def(
      "mean_absolute_error",
      [](nb::handle output, nb::handle target, int n, bool convert) {
        return guided("mean_absolute_error", rule::absolute_error{}, output, target, {}, {guided_mean::values}, n,
                      convert);
      },
      array("output"), array("target"), nb::kw_only(), threads, copy,
      nb::sig("def mean_absolute_error(output: Array, target: Array, *, threads: int = 0, copy: bool = False) -> "
              "OutputLoss"),
      "The mean absolute error of a batch.\n\n"
      "output  [B,C,H,W] float32 or float64, finite\n"
      "target  [B,C,H,W] of the same type (float32 or float64)\n\n"
      "Returns the value, and its gradient by the output. Source: L1_Loss, utils/loss.py of BESTIE.");
  m.def(
      "focal_loss",
      [](nb::handle output, nb::handle target, nb::handle weight, double clip, int n, bool convert) {
        return guided("focal_loss", rule::focal_error{{clip}}, output, target, weight, {guided_mean::ones}, n, convert);
      },
      array("output"), array("target"), array("weight"), nb::kw_only(), nb::arg("clip") = 0.0, threads, copy,
      nb::sig("def focal_loss(output: Array, target: Array, weight: Array, *, clip: float = 0.0, threads: int = 0, "
              "copy: bool = False) -> OutputLoss"),
      "The focal loss of a heat map, divided by the number of targets that are 1.\n\n"
      "output  [B,C,H,W] float32 or float64 probabilities in [0,1]\n"
      "target  [B,C,H,W] of the same type (float32 or float64), in [0,1]\n"
      "weight  [B,1,H,W] of the same type (float32 or float64), >= 0\n"
      "clip    in [0,0.5): outputs are kept this far from 0 and 1; the gradient beyond is 0\n\n"
      "Returns the value, and its gradient by the output. Source: Law & Deng, ECCV 2018, eq. (1); FocalLoss, "
      "utils/loss.py of BESTIE.");
  m.def(
      "cross_entropy",
      [](nb::handle logits, nb::handle labels, int n, bool convert) {
        return cross_entropy_of("cross_entropy", logits, labels, {1, pixel_pool::labelled}, n, convert);
      },
      array("logits"), array("labels"), nb::kw_only(), threads, copy,
      nb::sig("def cross_entropy(logits: Array, labels: Array, *, threads: int = 0, copy: bool = False) -> "
              "CrossEntropyLoss"),
      "Cross entropy over the labelled pixels of a batch.\n\n"
      "logits  [B,C,H,W] float32 or float64, finite\n"
      "labels  [B,H,W] int32, int64 or uint8: 0..C-1, or 255 where a pixel has no label\n\n"
      "Returns the value, the number of labelled pixels, and the gradient by the logits; 0 without a labelled pixel. "
      "Source: RegularCE, utils/loss.py of BESTIE.");
  m.def(
      "hardest_pixels_cross_entropy",
      [](nb::handle logits, nb::handle labels, double fraction, std::string const& of, int n, bool convert) {
        auto const pool = choice<pixel_pool>(of, "hardest_pixels_cross_entropy: of",
                                             {{"all", pixel_pool::all}, {"labelled", pixel_pool::labelled}});
        return cross_entropy_of("hardest_pixels_cross_entropy", logits, labels, {fraction, pool}, n, convert);
      },
      array("logits"), array("labels"), nb::kw_only(), nb::arg("fraction") = 0.2, nb::arg("of") = "all", threads, copy,
      nb::sig("def hardest_pixels_cross_entropy(logits: Array, labels: Array, *, fraction: float = 0.2, of: "
              "Literal['all', 'labelled'] = 'all', threads: int = 0, copy: bool = False) -> CrossEntropyLoss"),
      "Cross entropy over the hardest pixels of a batch.\n\n"
      "logits    [B,C,H,W] float32 or float64, finite\n"
      "labels    [B,H,W] int32, int64 or uint8: 0..C-1, or 255 where a pixel has no label\n"
      "fraction  in (0,1]: the floor(fraction * pixels) largest losses count, at least one\n"
      "of        'all': the share is taken of all pixels, those without a label have loss 0 (the original); "
      "'labelled': of the labelled ones\n\n"
      "Returns the value, the number of pixels, and the gradient by the logits. Source: DeepLabCE, utils/loss.py of "
      "BESTIE.");
  m.def("affinity_displacement_loss", affinity_displacement_loss_of, array("logits"), array("displacement"),
        array("labels"), nb::kw_only(), nb::arg("radius") = 10, nb::arg("sources") = "inner", threads, copy,
        nb::sig("def affinity_displacement_loss(logits: Array, displacement: Array | None, labels: Array, *, radius: "
                "int = 10, sources: Literal['inner', 'all'] = 'inner', threads: int = 0, copy: bool = False) -> "
                "AffinityLoss"),
        "IRNet's training loss of a batch, over pairs of cells closer than the radius.\n\n"
        "logits        [B,H,W] float32 or float64 boundary before the sigmoid, finite\n"
        "displacement  [B,2,H,W] of the same type (float32 or float64): (dy,dx) [cells], or None: then there are no "
        "field terms\n"
        "labels        [B,H,W] int32: 0 background, any number of classes; pairs with 255 or a negative label do not "
        "count\n"
        "radius        [cells] 1..17\n"
        "sources       'inner': pairs start from cells whose whole stencil lies on the map (the original); 'all': from "
        "every cell\n\n"
        "Returns the value, its parts, and its gradients by logits and displacement. Source: "
        "AffinityDisplacementLoss, net/resnet50_irn.py, and step/train_irn.py of irn.");
  m.def("quarter_labels", quarter_labels_of, array("labels"), nb::kw_only(), threads, copy,
        nb::sig("def quarter_labels(labels: Array, *, threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
        "Reduce a label map to a quarter: cell (y,x) is pixel (4y+2, 4x+2).\n\n"
        "labels  [4h,4w] int32 or uint8\n\n"
        "Returns [h,w]. Source: pil_rescale(label, 0.25, 0), voc12/dataloader.py of irn.");
  m.def("label_uncertainty_loss", label_uncertainty_loss_of, array("mean"), array("log_variance"), array("target"),
        array("trusted"), nb::kw_only(), nb::arg("classes") = "one_vs_rest", nb::arg("largest_sigma") = 1e15,
        nb::arg("box_weight") = 1.0, nb::arg("samples") = 32, nb::arg("seed") = 0, threads, copy,
        nb::sig("def label_uncertainty_loss(mean: Array, log_variance: Array, target: Array, trusted: Array, *, "
                "classes: Literal['one_vs_rest', 'mean_field', 'sampled'] = 'one_vs_rest', largest_sigma: float = "
                "1e15, box_weight: float = 1.0, samples: int = "
                "32, seed: int = 0, threads: int = 0, copy: bool = False) -> LabelUncertaintyLoss"),
        "Learn how wrong box labels are: cross entropy with an expected probability on boxed cells, with the plain one "
        "on certain cells.\n\n"
        "mean           [B,C,H,W] float32 or float64 logits\n"
        "log_variance   [B,C,H,W], or [B,1,H,W] for all classes of a pixel, of the same type (float32 or float64): log "
        "sigma^2\n"
        "target         [B,C,H,W] of the same type (float32 or float64), in [0,1]\n"
        "trusted        [B,C,H,W] or [B,1,H,W] uint8: 0 ignored, 1 certain, 2 boxed; with a softmax [B,1,H,W]\n"
        "classes        'one_vs_rest': a binary question a channel; 'mean_field': softmax; 'sampled': the mean of "
        "softmax over drawn logits\n"
        "largest_sigma  larger ones count as this; in (0,1e15]\n"
        "box_weight     what a boxed cell counts, where a certain one counts 1\n"
        "samples        of 'sampled', 1..4096\n"
        "seed           of 'sampled'\n\n"
        "Returns the value, the numbers of cells, and the gradients by mean and log_variance. Source: Neven et al., "
        "ICCVW 2021.");
  m.def("expected_sigmoid", expected_sigmoid_of, array("mean"), array("log_variance"), nb::kw_only(),
        nb::arg("largest_sigma") = 1e15, threads, copy,
        nb::sig("def expected_sigmoid(mean: Array, log_variance: Array, *, largest_sigma: float = 1e15, threads: int = "
                "0, copy: bool = False) -> NDArray[Any]"),
        "The probability that a network with Gaussian logits expects.\n\n"
        "mean           [C,H,W] float32 or float64 logits\n"
        "log_variance   [C,H,W] or [1,H,W] of the same type (float32 or float64): log sigma^2\n"
        "largest_sigma  larger ones count as this; above 0\n\n"
        "Returns [C,H,W] of the same type, in [0,1].");
}

}  // namespace bindings
