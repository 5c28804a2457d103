// Box supervision: boxes become masks while a network learns.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/pipeline/label_uncertainty.hpp>

#include <nanobind/stl/string.h>

#include <cmath>
#include <type_traits>

namespace bindings {

using namespace cambium;

namespace {

struct python_bootstrapped {
  nb::object target, trusted;
  index_t foreground, background, restored;
};

struct python_step {
  double value;
  nb::object by_mean, by_log_variance, target, trusted;
  index_t certain, boxed, foreground, background, restored;
};

/// Boxes of integers, or with `copy` of whole numbers.
std::vector<box> boxes_argument(nb::handle given, std::string const& what, bool copy)
{
  if (given.is_none()) return {};
  array_argument read(given, what, true);
  std::vector<box> out;
  auto const taken = [&](auto const& cells) {
    expects(cells.extent[1] == 4, what, " is ", read.described(), "; expected [M,4], top, left, bottom, right");
    for (index_t i = 0; i < cells.extent[0]; ++i) {
      index_t side[4];
      for (index_t k = 0; k < 4; ++k) {
        auto const v = cells(i, k);
        if constexpr (std::is_floating_point_v<std::remove_const_t<decltype(v)>>)
          expects(std::abs(v) < 0x1p53 && v == std::trunc(v), what, "(", i, ",", k, ") is ", v,
                  "; expected a whole number");
        side[k] = static_cast<index_t>(v);
      }
      box const b{side[0], side[1], side[2], side[3]};
      expects(b.top <= b.bottom && b.left <= b.right, what, "(", i, ") has rows ", b.top, "..", b.bottom,
              " and columns ", b.left, "..", b.right, "; expected top, left, bottom, right");
      out.push_back(b);
    }
  };
  if (copy && (read.holds<float>() || read.holds<double>()))
    taken(read.cells<double, 2>());
  else
    taken(read.cells<std::int64_t, 2>());
  return out;
}

/// Annotation of one image from Python: boxes, classes, a mask, unknown cells.
struct annotation_argument {
  annotation_argument(nb::handle boxes, nb::handle classes, nb::handle mask, nb::handle ignored, std::string const& who,
                      bool copy)
  {
    auto const bounds = boxes_argument(boxes, who + ": boxes", copy);
    auto const of = classes.is_none() ? std::vector<std::int32_t>(bounds.size(), 0)
                                      : integers(classes, (who + ": categories").c_str());
    expects(of.size() == bounds.size(), who, ": ", static_cast<index_t>(bounds.size()), " boxes but ",
            static_cast<index_t>(of.size()), " categories");
    for (std::size_t i = 0; i < of.size(); ++i) known.boxes.push_back({bounds[i], of[i]});
    if (!mask.is_none()) known.mask = held.emplace_back(mask, who + ": mask", copy).cells<std::int32_t, 2>();
    if (!ignored.is_none()) known.ignored = held.emplace_back(ignored, who + ": ignored", copy).mask<2>();
  }

  weak_annotation<> known;

 private:
  std::vector<array_argument> held;
};

/// Items of a list of `count`, or None for each.
std::vector<nb::object> each_of(nb::handle given, index_t count, std::string const& what)
{
  std::vector<nb::object> out(static_cast<std::size_t>(count), nb::none());
  if (given.is_none()) return out;
  if (!PySequence_Check(given.ptr()))
    throw nb::type_error((what + " is " + name_of_type(given) + "; expected a list, an entry an image").c_str());
  auto const list = nb::borrow<nb::sequence>(given);
  auto const length = static_cast<index_t>(nb::len(list));
  expects(length == count, what, " has ", length, " entries of ", count, " images");
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = list[i];
  return out;
}

bootstrap_options bootstrap_choice(std::string const& who, std::string const& mode, std::int64_t warm_up, double tau_lo,
                                   double tau_hi, double confidence, std::string const& unsure, double min_fill,
                                   bool tight, double keep, double largest_sigma)
{
  return {choice<bootstrap_mode>(
              mode, (who + ": mode").c_str(),
              {{"off", bootstrap_mode::off}, {"hard", bootstrap_mode::hard}, {"soft", bootstrap_mode::soft}}),
          warm_up,
          tau_lo,
          tau_hi,
          confidence,
          choice<undecided>(unsure, (who + ": unsure").c_str(),
                            {{"keep_box", undecided::keep_box}, {"ignore", undecided::ignore}}),
          min_fill,
          tight,
          keep,
          largest_sigma};
}

python_bootstrapped bootstrap_of(nb::handle mean, nb::handle log_variance, nb::handle boxes, std::int64_t iteration,
                                 std::string const& mode, std::int64_t warm_up, double tau_lo, double tau_hi,
                                 double confidence, std::string const& unsure, double min_fill, bool tight, double keep,
                                 double largest_sigma, int threads, bool copy)
{
  auto const where = policy(threads, "bootstrap");
  array_argument mu(mean, "bootstrap: mean", copy), s(log_variance, "bootstrap: log_variance", copy);
  auto const mu_cells = mu.cells<float, 2>(), s_cells = s.cells<float, 2>();
  auto const all = boxes_argument(boxes, "bootstrap: boxes", copy);
  auto const options = bootstrap_choice("bootstrap", mode, warm_up, tau_lo, tau_hi, confidence, unsure, min_fill, tight,
                                        keep, largest_sigma);
  auto out = without_gil([&] { return bootstrap(where, mu_cells, s_cells, all, iteration, options); });
  return {into_array(std::move(out.target)), into_array(std::move(out.trusted)), out.foreground, out.background,
          out.restored};
}

python_step box_supervision_of(nb::handle mean, nb::handle log_variance, std::int64_t iteration, nb::handle boxes,
                               nb::handle categories, nb::handle mask, nb::handle ignored, std::string const& classes,
                               double largest_sigma, double box_weight, int samples, std::uint64_t seed,
                               std::string const& mode, std::int64_t warm_up, double tau_lo, double tau_hi,
                               double confidence, std::string const& unsure, double min_fill, bool tight, double keep,
                               int threads, bool copy)
{
  std::string const who = "box_supervision";
  auto const where = policy(threads, who.c_str());
  array_argument mu(mean, who + ": mean", copy), s(log_variance, who + ": log_variance", copy);
  auto const mu_cells = mu.cells<float, 4>(), s_cells = s.cells<float, 4>();
  index_t const B = mu_cells.extent[0];
  auto const box_lists = each_of(boxes, B, who + ": boxes"), class_lists = each_of(categories, B, who + ": categories");
  auto const masks = each_of(mask, B, who + ": mask"), unknown = each_of(ignored, B, who + ": ignored");
  std::vector<annotation_argument> held;
  std::vector<weak_annotation<>> known;
  held.reserve(static_cast<std::size_t>(B));
  for (std::size_t b = 0; b < static_cast<std::size_t>(B); ++b) {
    held.emplace_back(box_lists[b], class_lists[b], masks[b], unknown[b], who, copy);
    known.push_back(held.back().known);
  }
  expects(1 <= samples && samples <= 65536, who, ": samples is ", samples, "; expected 1 to 65536");
  box_supervision_options const options{
      {choice<class_model>(classes, "box_supervision: classes",
                           {{"one_vs_rest", class_model::one_vs_rest},
                            {"mean_field", class_model::mean_field},
                            {"sampled", class_model::sampled}}),
       largest_sigma, box_weight, samples, seed},
      bootstrap_choice(who, mode, warm_up, tau_lo, tau_hi, confidence, unsure, min_fill, tight, keep, largest_sigma)};
  auto out = without_gil([&] { return box_supervision(where, mu_cells, s_cells, known, iteration, options); });
  return {out.loss.value,
          into_array(std::move(out.loss.by_mean)),
          into_array(std::move(out.loss.by_log_variance)),
          into_array(std::move(out.target)),
          into_array(std::move(out.trusted)),
          out.loss.certain,
          out.loss.boxed,
          out.foreground,
          out.background,
          out.restored};
}

#define CAMBIUM_BOOTSTRAP_TEXT                                                                            \
  "mode           'off': boxes stay boxes; 'hard': sure cells become certain; 'soft': labels are mixed\n" \
  "warm_up        [iterations] before this one nothing changes\n"                                         \
  "tau_lo         sigma below which a positive mean is foreground; > 0\n"                                 \
  "tau_hi         sigma above which a cell is background; >= tau_lo\n"                                    \
  "confidence     in [0.5,1): background where the expected probability is at most 1 - confidence\n"      \
  "unsure         other cells of boxes stay boxed foreground ('keep_box') or say nothing ('ignore')\n"    \
  "min_fill       in [0,1]: the share of its cells that a box keeps at least\n"                           \
  "tight          whether a box keeps foreground in each of its rows and columns\n"                       \
  "keep           in [0,1]: the weight of the box label in the soft mode\n"

}  // namespace

void bind_boxes(nb::module_& m)
{
  nb::class_<python_bootstrapped>(m, "Bootstrapped", "Labels for a loss, and how far to trust them.")
      .def_ro("target", &python_bootstrapped::target, nb::sig("def target(self) -> NDArray[np.float32]"),
              "[H,W] in [0,1].")
      .def_ro("trusted", &python_bootstrapped::trusted, nb::sig("def trusted(self) -> NDArray[np.uint8]"),
              "[H,W] 0 ignored, 1 certain, 2 boxed.")
      .def_ro("foreground", &python_bootstrapped::foreground, "Cells that became certain foreground.")
      .def_ro("background", &python_bootstrapped::background, "Cells that became certain background.")
      .def_ro("restored", &python_bootstrapped::restored, "Cells that a box kept from becoming background.")
      .def("__repr__", [](python_bootstrapped const& b) {
        return "Bootstrapped(" + shape_text("target", b.target).substr(1) + ")";
      });
  nb::class_<python_step>(m, "BoxSupervision", "A training step: its value, gradients and targets.")
      .def_ro("value", &python_step::value, "The weighted mean of the loss over cells that are not ignored.")
      .def_ro("by_mean", &python_step::by_mean, nb::sig("def by_mean(self) -> NDArray[np.float32]"),
              "[B,N,H,W] gradient.")
      .def_ro("by_log_variance", &python_step::by_log_variance,
              nb::sig("def by_log_variance(self) -> NDArray[np.float32]"), "Gradient, of the shape of log_variance.")
      .def_ro("target", &python_step::target, nb::sig("def target(self) -> NDArray[np.float32]"), "[B,N,H,W]")
      .def_ro("trusted", &python_step::trusted, nb::sig("def trusted(self) -> NDArray[np.uint8]"),
              "[B,N,H,W], or [B,1,H,W] under a softmax: 0 ignored, 1 certain, 2 boxed.")
      .def_ro("certain", &python_step::certain, "Certain cells of the trust map.")
      .def_ro("boxed", &python_step::boxed, "Boxed cells of the trust map.")
      .def_ro("foreground", &python_step::foreground, "Cells that became certain foreground.")
      .def_ro("background", &python_step::background, "Cells that became certain background.")
      .def_ro("restored", &python_step::restored, "Cells that boxes kept from becoming background.")
      .def("__repr__", [](python_step const& s) {
        return "BoxSupervision(value=" + std::to_string(s.value) + "," + shape_text("by_mean", s.by_mean) + ")";
      });

  m.def("bootstrap", bootstrap_of, array("mean"), array("log_variance"), nb::arg("boxes").none(), nb::arg("iteration"),
        nb::kw_only(), nb::arg("mode") = "hard", nb::arg("warm_up") = 0, nb::arg("tau_lo") = 1.0,
        nb::arg("tau_hi") = 4.0, nb::arg("confidence") = 0.9, nb::arg("unsure") = "keep_box",
        nb::arg("min_fill") = 0.25, nb::arg("tight") = true, nb::arg("keep") = 0.95, nb::arg("largest_sigma") = 1e15,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def bootstrap(mean: Array, log_variance: Array, boxes: Array | None, iteration: int, *, mode: "
                "Literal['off', 'hard', 'soft'] = 'hard', warm_up: int = 0, tau_lo: float = 1.0, tau_hi: float = 4.0, "
                "confidence: float = 0.9, unsure: Literal['keep_box', 'ignore'] = 'keep_box', min_fill: float = 0.25, "
                "tight: bool = True, keep: float = 0.95, largest_sigma: float = 1e+15, threads: int = 0, copy: bool = "
                "False) -> Bootstrapped"),
        "Replace box labels by what a network has learned so far about one class.\n\n"
        "mean           [H,W] float32 of the logits\n"
        "log_variance   [H,W] float32, log sigma^2\n"
        "boxes          [M,4] integers: top, left, bottom, right, and top <= bottom, left <= right; what lies outside "
        "the "
        "map does not count; None: none\n"
        "iteration      of the training, from 0\n" CAMBIUM_BOOTSTRAP_TEXT
        "largest_sigma  in (0,1e15]: larger ones count as this");
  m.def(
      "box_supervision", box_supervision_of, array("mean"), array("log_variance"), nb::arg("iteration"), nb::kw_only(),
      nb::arg("boxes") = nb::none(), nb::arg("categories") = nb::none(), nb::arg("mask") = nb::none(),
      nb::arg("ignored") = nb::none(), nb::arg("classes") = "one_vs_rest", nb::arg("largest_sigma") = 1e15,
      nb::arg("box_weight") = 1.0, nb::arg("samples") = 32, nb::arg("seed") = 0, nb::arg("mode") = "hard",
      nb::arg("warm_up") = 0, nb::arg("tau_lo") = 1.0, nb::arg("tau_hi") = 4.0, nb::arg("confidence") = 0.9,
      nb::arg("unsure") = "keep_box", nb::arg("min_fill") = 0.25, nb::arg("tight") = true, nb::arg("keep") = 0.95,
      nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def box_supervision(mean: Array, log_variance: Array, iteration: int, *, boxes: Sequence[Array | None] "
              "| None = None, categories: Sequence[Sequence[int]] | None = None, mask: Sequence[Array | None] | None "
              "= None, ignored: Sequence[Array | None] | None = None, classes: Literal['one_vs_rest', 'mean_field', "
              "'sampled'] = 'one_vs_rest', largest_sigma: float = 1e+15, box_weight: float = 1.0, samples: int = 32, "
              "seed: int = 0, mode: Literal['off', 'hard', 'soft'] = 'hard', warm_up: int = 0, tau_lo: float = 1.0, "
              "tau_hi: float = 4.0, confidence: float = 0.9, unsure: Literal['keep_box', 'ignore'] = 'keep_box', "
              "min_fill: float = 0.25, tight: bool = True, keep: float = 0.95, threads: int = 0, copy: bool = False) "
              "-> BoxSupervision"),
      "Turn a batch of network outputs and boxes into a loss and its gradients.\n\n"
      "mean           [B,N,H,W] float32 of the logits; N = C, under a softmax C + 1 with the background first\n"
      "log_variance   [B,N,H,W] or [B,1,H,W] float32\n"
      "iteration      of the training, from 0\n"
      "boxes          B arrays of integers, M rows of top, left, bottom, right, as in bootstrap(), or None\n"
      "categories     B lists: the class of each box, from 0; None: 0\n"
      "mask           B arrays [H,W] int32: 0 background, class + 1, 255 unknown; or None\n"
      "ignored        B arrays [H,W] uint8 or bool, not 0 where nothing is known; or None\n"
      "classes        'one_vs_rest', or a softmax: 'mean_field' or 'sampled'\n"
      "largest_sigma  in (0,1e15]: larger ones count as this\n"
      "box_weight     what a boxed cell counts, where a certain one counts 1\n"
      "samples        of 'sampled', 1..65536\n"
      "seed           of 'sampled'\n" CAMBIUM_BOOTSTRAP_TEXT);
}

}  // namespace bindings
