// The dense CRF: its kernels, its inference, the unary energies, and the lattice alone.

#include "bindings.hpp"
#include "crf_objects.hpp"

#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/filter.hpp>
#include <cambium/crf/own_shares.hpp>
#include <cambium/crf/unary.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

std::unique_ptr<mean_field_object> started(crf_object const& crf, nb::handle unary, nb::handle present, int iterations,
                                           bool begin, int threads, bool copy)
{
  array_argument given(unary, "DenseCRF: unary", copy);
  return mean_field_object::started(crf.shared(), given, present_of(present, "DenseCRF: present"), iterations, begin,
                                    policy(threads, "DenseCRF"));
}

nb::object dense_crf_of(nb::handle image, nb::handle unary, std::optional<std::vector<pairwise>> kernels,
                        int iterations, nb::handle present, double most_bytes, bool pad, bool exact, int threads,
                        bool copy)
{
  array_argument colours(image, "dense_crf: image", copy), energies(unary, "dense_crf: unary", copy);
  auto const where = policy(threads, "dense_crf");
  auto among = present_of(present, "dense_crf: present");
  auto of = crf_object::made(colours, kernels_of(std::move(kernels)), {most_bytes, pad, exact}, where);
  return mean_field_object::started(std::move(of), energies, std::move(among), iterations, true, where)
      ->marginals(threads);
}

nb::object unary_from_labels_of(nb::handle labels, index_t n_labels, double gt_prob, bool zero_unsure, int threads,
                                bool copy)
{
  array_argument given(labels, "unary_from_labels: labels", copy);
  auto const where = policy(threads, "unary_from_labels");
  return with_labels(given, [&](auto const& cells) {
    return into_array(without_gil([&] { return unary_from_labels(where, cells, n_labels, {gt_prob, zero_unsure}); }));
  });
}

nb::object unary_from_probabilities_of(nb::handle probabilities, double clip, double scale, int threads, bool copy)
{
  array_argument given(probabilities, "unary_from_probabilities: probabilities", copy);
  auto const where = policy(threads, "unary_from_probabilities");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return unary_from_probabilities(where, cells, {clip, scale}); }));
  });
}

nb::object unary_from_scores_of(nb::handle scores, double scale, int threads, bool copy)
{
  array_argument given(scores, "unary_from_scores: scores", copy);
  auto const where = policy(threads, "unary_from_scores");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return unary_from_scores(where, cells, scale); }));
  });
}

permutohedral<> lattice_of(nb::handle features, bool pad, int threads, bool copy)
{
  array_argument given(features, "Lattice: features", copy);
  auto const where = policy(threads, "Lattice");
  auto const cells = given.cells<float, 2>();
  return without_gil([&] { return permutohedral<>(where, cells, {pad}); });
}

void bind_kernels(nb::module_& m)
{
  nb::class_<pairwise>(m, "Pairwise", "A Gaussian kernel of a dense CRF over positions, or over positions and colours.")
      .def(
          "__init__",
          [](pairwise* self, double sxy, double srgb, nb::handle compat, std::string const& by) {
            new (self) pairwise{sxy, srgb, compatibility_of(compat, "Pairwise: compat"), norm_of(by, "Pairwise: by")};
          },
          nb::kw_only(), nb::arg("sxy") = 3.0, nb::arg("srgb") = 0.0, nb::arg("compat") = 3.0,
          nb::arg("by") = "symmetric",
          nb::sig("def __init__(self, *, sxy: float = 3.0, srgb: float = 0.0, compat: float | Sequence[float] | "
                  "NDArray[Any] = 3.0, by: str = 'symmetric') -> None"),
          "sxy     [pixels] standard deviation of positions, > 0\n"
          "srgb    [grey levels] standard deviation of colours; 0 leaves colours out\n"
          "compat  what agreement takes off the energy: a number for all labels, or one for each label; or a table\n"
          "        [L,L], symmetric: the energy of label l beside label m\n"
          "by      'symmetric', 'before', 'after' or 'none': where sums are divided by the sum of a pixel's weights")
      .def_ro("sxy", &pairwise::sxy, nb::sig("def sxy(self) -> float"), "[pixels]")
      .def_ro("srgb", &pairwise::srgb, nb::sig("def srgb(self) -> float"), "[grey levels]")
      .def_prop_ro(
          "by", [](pairwise const& k) { return name_of(k.by); }, nb::sig("def by(self) -> str"),
          "'symmetric', 'before', 'after' or 'none'.")
      .def("__repr__", [](pairwise const& k) {
        return "Pairwise(sxy=" + message_part(k.sxy) + ", srgb=" + message_part(k.srgb) + ", compat=" +
               (k.compat.potts() ? message_part(k.compat.weight[0])
                                 : std::to_string(k.compat.weight.size()) + " weights") +
               ", by='" + name_of(k.by) + "')";
      });

  m.def(
      "crf_preset",
      [](std::string const& name) {
        expects(name == "irn" || name == "deeplab" || name == "standard", "crf_preset: name is '", name,
                "'; expected 'irn', 'deeplab' or 'standard'");
        return name == "irn" ? crf_preset::irn() : name == "deeplab" ? crf_preset::deeplab() : crf_preset::standard();
      },
      nb::arg("name") = "irn", nb::sig("def crf_preset(name: str = 'irn') -> list[Pairwise]"),
      "A published set of kernels.\n\n"
      "name  'irn' (label maps), 'deeplab' (probabilities) or 'standard' (the example of pydensecrf)");
}

void bind_crf_object(nb::module_& m)
{
  nb::class_<crf_object>(m, "DenseCRF",
                         "A dense CRF over the pixels of one image, ready for inference.\n\n"
                         "The lattices of its kernels are built once. They serve any number of unary energies.")
      .def(
          "__init__",
          [](crf_object* self, nb::handle image, std::optional<std::vector<pairwise>> kernels, double most_bytes,
             bool pad, bool exact, int threads, bool copy) {
            new (self)
                crf_object(crf_object::of_image(image, std::move(kernels), most_bytes, pad, exact, threads, copy));
          },
          array("image"), nb::arg("kernels") = nb::none(), nb::kw_only(), nb::arg("most_bytes") = 8e9,
          nb::arg("pad") = false, nb::arg("exact") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
          nb::sig("def __init__(self, image: Array, kernels: Sequence[Pairwise] | None = None, *, most_bytes: float = "
                  "8e9, pad: bool = False, exact: bool = False, threads: int = 0, copy: bool = False) -> None"),
          "Build the lattices of an image.\n\n"
          "image       [H,W,B] uint8, uint16, float32 or float64, B <= 6\n"
          "kernels     crf_preset() if None; may be empty\n"
          "most_bytes  an image that would take more memory is refused\n"
          "pad         whether the lattice has pydensecrf's empty points where pixels are no multiple of 4\n"
          "exact       sum over all pairs of pixels instead of the lattice, for images of a few thousand pixels")
      .def_static(
          "of_size", &crf_object::of_size, nb::arg("height"), nb::arg("width"), nb::kw_only(),
          nb::arg("most_bytes") = 8e9, nb::arg("pad") = false, nb::arg("exact") = false,
          nb::sig("def of_size(height: int, width: int, *, most_bytes: float = 8e9, pad: bool = False, exact: bool = "
                  "False) -> DenseCRF"),
          "A CRF without kernels. add() and add_image() add them.\n\n"
          "height, width  [pixels] together 1 to 2^31 - 1; any number of things that lie in no image is N x 1")
      .def("add", nb::overload_cast<nb::handle, nb::handle, std::string const&, int, bool>(&crf_object::add),
           array("features"), nb::kw_only(), nb::arg("compat") = 1.0, nb::arg("by") = "symmetric",
           nb::arg("threads") = 0, nb::arg("copy") = false,
           nb::sig("def add(self, features: Array, *, compat: float | Sequence[float] | NDArray[Any] = 1.0, by: str = "
                   "'symmetric', threads: int = 0, copy: bool = False) -> None"),
           "Add a kernel over any features. An inference that has begun must restart().\n\n"
           "features  [D,H * W] float32, D <= 8: coordinates of the pixels, row by row, in standard deviations\n"
           "compat    as Pairwise\n"
           "by        as Pairwise")
      .def("add_image", &crf_object::add_image, array("image"), nb::kw_only(), nb::arg("sxy") = 3.0,
           nb::arg("srgb") = 5.0, nb::arg("compat") = 1.0, nb::arg("by") = "symmetric", nb::arg("threads") = 0,
           nb::arg("copy") = false,
           nb::sig("def add_image(self, image: Array | None, *, sxy: float | Sequence[float] = 3.0, srgb: float | "
                   "Sequence[float] = 5.0, compat: float | Sequence[float] | NDArray[Any] = 1.0, by: str = "
                   "'symmetric', threads: int = 0, copy: bool = False) -> None"),
           "Add a kernel over positions and colours. An inference that has begun must restart().\n\n"
           "image   [H,W,B] of this CRF's size, B <= 6; None: positions alone\n"
           "sxy     [pixels] standard deviation of positions, or (x,y)\n"
           "srgb    [grey levels] standard deviation of colours, or one for each band\n"
           "compat  as Pairwise\n"
           "by      as Pairwise")
      .def(
          "start",
          [](crf_object const& crf, nb::handle unary, nb::handle present, int threads, bool copy) {
            return started(crf, unary, present, 0, true, threads, copy);
          },
          array("unary"), nb::kw_only(), nb::arg("present") = nb::none(), nb::arg("threads") = 0,
          nb::arg("copy") = false,
          nb::sig("def start(self, unary: Array, *, present: Sequence[int] | None = None, threads: int = 0, copy: bool "
                  "= False) -> MeanField"),
          "Begin an inference: the marginals are the softmax of minus the energies.\n\n"
          "unary    [L,H,W] float32 or float64 energies, finite\n"
          "present  the labels that take part, at least one; all if None; the others have marginals of 0 and cost "
          "nothing")
      .def(
          "prepare",
          [](crf_object const& crf, nb::handle unary, nb::handle present, int threads, bool copy) {
            return started(crf, unary, present, 0, false, threads, copy);
          },
          array("unary"), nb::kw_only(), nb::arg("present") = nb::none(), nb::arg("threads") = 0,
          nb::arg("copy") = false,
          nb::sig("def prepare(self, unary: Array, *, present: Sequence[int] | None = None, threads: int = 0, copy: "
                  "bool = False) -> MeanField"),
          "As start(), without marginals: restart() makes them, after kernels were added.")
      .def(
          "infer",
          [](crf_object const& crf, nb::handle unary, int iterations, nb::handle present, int threads, bool copy) {
            return started(crf, unary, present, iterations, true, threads, copy);
          },
          array("unary"), nb::kw_only(), nb::arg("iterations") = 10, nb::arg("present") = nb::none(),
          nb::arg("threads") = 0, nb::arg("copy") = false,
          nb::sig("def infer(self, unary: Array, *, iterations: int = 10, present: Sequence[int] | None = None, "
                  "threads: int = 0, copy: bool = False) -> MeanField"),
          "As start(), and as many steps.")
      .def("refine_labels", &crf_object::refine_labels, array("labels"), nb::arg("n_labels"), nb::kw_only(),
           nb::arg("gt_prob") = 0.7, nb::arg("iterations") = 10, nb::arg("threads") = 0, nb::arg("copy") = false,
           nb::sig("def refine_labels(self, labels: Array, n_labels: int, *, gt_prob: float = 0.7, iterations: int = "
                   "10, threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
           "Refine a label map.\n\n"
           "labels    [H,W] uint8, int32 or int64, 0..n_labels - 1\n"
           "n_labels  how many labels may be; those that do not occur cost time and can win\n"
           "gt_prob   how likely a label is right, in (0,1)\n\n"
           "Returns [H,W]. crf_inference_label of jiwoon-ahn/irn, misc/imutils.py.")
      .def_prop_ro("size", &crf_object::size, nb::sig("def size(self) -> tuple[int, int]"), "[pixels] (height, width).")
      .def_prop_ro("kernels", &crf_object::kernels, nb::sig("def kernels(self) -> int"), "How many kernels it has.")
      .def("__repr__", [](crf_object const& crf) {
        auto const [height, width] = crf.size();
        return "DenseCRF(" + std::to_string(height) + " x " + std::to_string(width) + " pixels, " +
               std::to_string(crf.kernels()) + " kernels)";
      });
}

void bind_mean_field(nb::module_& m)
{
  auto const threads = nb::arg("threads") = 0;
  nb::class_<mean_field_object>(m, "MeanField",
                                "An inference of a DenseCRF: marginals of L labels. DenseCRF.start() begins it.")
      .def("step", &mean_field_object::step, nb::arg("count") = 1, nb::kw_only(), threads,
           nb::sig("def step(self, count: int = 1, *, threads: int = 0) -> None"), "One step of inference, or several.")
      .def("restart", &mean_field_object::restart, nb::kw_only(), threads,
           nb::sig("def restart(self, *, threads: int = 0) -> None"),
           "Begin again with the same energies and all kernels that there are now.")
      .def("marginals", &mean_field_object::marginals, nb::kw_only(), threads,
           nb::sig("def marginals(self, *, threads: int = 0) -> NDArray[np.float32]"),
           "[L,H,W] in [0,1], sum 1 at each pixel; 0 for labels that take no part.")
      .def("argmax_labels", &mean_field_object::argmax_labels, nb::kw_only(), threads,
           nb::sig("def argmax_labels(self, *, threads: int = 0) -> NDArray[np.int32]"),
           "[H,W] the most probable label of each pixel.")
      .def("divergence", &mean_field_object::divergence, nb::kw_only(), nb::arg("package") = false, threads,
           nb::sig("def divergence(self, *, package: bool = False, threads: int = 0) -> float"),
           "KL(Q||P) up to the constant log Z.\n\n"
           "package  klDivergence of pydensecrf: each pair counts twice, and each pixel beside itself")
      .def("run", &mean_field_object::run, nb::arg("count"), nb::kw_only(), threads,
           nb::sig("def run(self, count: int, *, threads: int = 0) -> NDArray[np.float32]"),
           "Begin again, step, and hand the marginals over without a copy. The inference must then restart().\n\n"
           "Returns [L,N] of the labels that take part. The cells of a pixel lie together.")
      .def("step_at", &mean_field_object::step_at, array("q"), nb::arg("count") = 1, nb::kw_only(), threads,
           nb::sig("def step_at(self, q: NDArray[np.float32], count: int = 1, *, threads: int = 0) -> None"),
           "Steps from other marginals, which are replaced.\n\n"
           "q  [L,N] float32, of any order: the labels that take part, pixels row by row")
      .def("divergence_at", &mean_field_object::divergence_at, array("q"), nb::kw_only(), threads,
           nb::sig("def divergence_at(self, q: NDArray[np.float32], *, threads: int = 0) -> float"),
           "divergence(package=True) of other marginals.\n\n"
           "q  [L,N] float32, of any order: the labels that take part, pixels row by row")
      .def_prop_ro("steps", &mean_field_object::steps, nb::sig("def steps(self) -> int"), "Steps done.")
      .def_prop_ro("labels", &mean_field_object::labels, nb::sig("def labels(self) -> int"), "L.")
      .def_prop_ro("present", &mean_field_object::present, nb::sig("def present(self) -> list[int]"),
                   "The labels that take part.")
      .def("__repr__", [](mean_field_object& field) {
        return "MeanField(" + std::to_string(field.labels()) + " labels, " + std::to_string(field.size().height) +
               " x " + std::to_string(field.size().width) + " pixels, " + std::to_string(field.steps()) + " steps)";
      });
}

void bind_unary(nb::module_& m)
{
  m.def("unary_from_labels", unary_from_labels_of, array("labels"), nb::arg("n_labels"), nb::kw_only(),
        nb::arg("gt_prob") = 0.7, nb::arg("zero_unsure") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def unary_from_labels(labels: Array, n_labels: int, *, gt_prob: float = 0.7, zero_unsure: bool = "
                "False, threads: int = 0, copy: bool = False) -> NDArray[np.float32]"),
        "Energies of a label map.\n\n"
        "labels       [H,W] uint8, int32 or int64, 0..n_labels - 1; with zero_unsure 0..n_labels\n"
        "n_labels     number of labels, >= 1\n"
        "gt_prob      how likely a label is right, in (0,1)\n"
        "zero_unsure  label 0 says nothing; labels 1..n_labels are then the classes 0..n_labels - 1\n\n"
        "Returns [n_labels,H,W].");
  m.def(
      "unary_from_probabilities", unary_from_probabilities_of, array("probabilities"), nb::kw_only(),
      nb::arg("clip") = 1e-5, nb::arg("scale") = 1.0, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def unary_from_probabilities(probabilities: Array, *, clip: float = 1e-5, scale: float = 1.0, threads: "
              "int = 0, copy: bool = False) -> NDArray[np.float32]"),
      "Energies of probabilities, -log p.\n\n"
      "probabilities  [L,H,W] float32 or float64 in [0,1]; they need not sum to 1\n"
      "clip           smaller probabilities count as this; in (0,1)\n"
      "scale          trust: p becomes scale * p + (1 - scale) / L first; in (0,1]\n\n"
      "Returns [L,H,W].");
  m.def("unary_from_scores", unary_from_scores_of, array("scores"), nb::kw_only(), nb::arg("scale") = 1.0,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def unary_from_scores(scores: Array, *, scale: float = 1.0, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.float32]"),
        "Energies of scores of any scale: -log of their softmax.\n\n"
        "scores  [L,H,W] float32 or float64, finite: logits, or activations with a background channel\n"
        "scale   inverse temperature, > 0\n\n"
        "Returns [L,H,W], each >= 0.");
}

void bind_lattice(nb::module_& m)
{
  nb::class_<permutohedral<>>(m, "Lattice",
                              "Positions in a space of 1 to 8 dimensions, ready to be filtered with a Gaussian of unit "
                              "deviation. Build it once, filter often.")
      .def(
          "__init__",
          [](permutohedral<>* self, nb::handle features, bool pad, int threads, bool copy) {
            new (self) permutohedral<>(lattice_of(features, pad, threads, copy));
          },
          array("features"), nb::kw_only(), nb::arg("pad") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
          nb::sig("def __init__(self, features: Array, *, pad: bool = False, threads: int = 0, copy: bool = False) -> "
                  "None"),
          "features  [D,N] float32: coordinates of N positions, in standard deviations; D is 1..8\n"
          "pad       whether there are pydensecrf's empty points where N is no multiple of 4")
      .def(
          "filter",
          [](permutohedral<> const& lattice, nb::handle values, bool reverse, int threads, bool copy) {
            array_argument given(values, "Lattice.filter: values", copy);
            auto const where = policy(threads, "Lattice.filter");
            auto const cells = given.cells<float, 2>();
            return into_array(without_gil([&] { return filter(where, lattice, cells, {reverse}); }));
          },
          array("values"), nb::kw_only(), nb::arg("reverse") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
          nb::sig("def filter(self, values: Array, *, reverse: bool = False, threads: int = 0, copy: bool = False) -> "
                  "NDArray[np.float32]"),
          "Sum of the values of all positions, weighted by exp(-distance^2 / 2), approximately.\n\n"
          "values   [N,C] float32, finite\n"
          "reverse  the transposed filter\n\n"
          "Returns [N,C].")
      .def(
          "own_shares",
          [](permutohedral<> const& lattice, int threads) {
            auto const where = policy(threads, "Lattice.own_shares");
            return into_array(without_gil([&] { return own_shares(where, lattice); }));
          },
          nb::kw_only(), nb::arg("threads") = 0,
          nb::sig("def own_shares(self, *, threads: int = 0) -> NDArray[np.float32]"),
          "[N] what filter() gives each position of its own value.")
      .def_prop_ro("dimension", &permutohedral<>::dimension, nb::sig("def dimension(self) -> int"), "D.")
      .def_prop_ro("positions", &permutohedral<>::positions, nb::sig("def positions(self) -> int"), "N.")
      .def_prop_ro("points", &permutohedral<>::points, nb::sig("def points(self) -> int"), "Points of the lattice.")
      .def("__repr__", [](permutohedral<> const& lattice) {
        return "Lattice(" + std::to_string(lattice.positions()) + " positions, " + std::to_string(lattice.dimension()) +
               " dimensions, " + std::to_string(lattice.points()) + " points)";
      });
}

}  // namespace

void bind_crf(nb::module_& m)
{
  bind_kernels(m);
  bind_crf_object(m);
  bind_mean_field(m);
  bind_unary(m);
  bind_lattice(m);

  m.def(
      "dense_crf", dense_crf_of, array("image"), array("unary"), nb::kw_only(), nb::arg("kernels") = nb::none(),
      nb::arg("iterations") = 10, nb::arg("present") = nb::none(), nb::arg("most_bytes") = 8e9, nb::arg("pad") = false,
      nb::arg("exact") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def dense_crf(image: Array, unary: Array, *, kernels: Sequence[Pairwise] | None = None, iterations: int "
              "= 10, present: Sequence[int] | None = None, most_bytes: float = 8e9, pad: bool = False, exact: bool = "
              "False, threads: int = 0, copy: bool = False) -> NDArray[np.float32]"),
      "Refine unary energies with a fully connected CRF: DenseCRF(image, kernels).infer(unary).marginals().\n\n"
      "image       [H,W,B] uint8, uint16, float32 or float64, B <= 6\n"
      "unary       [L,H,W] float32 or float64 energies, finite, of unary_from_labels() and its like\n"
      "kernels     crf_preset() if None\n"
      "iterations  steps, >= 0\n"
      "present     the labels that take part, at least one; all if None\n"
      "most_bytes, pad, exact  as DenseCRF\n\n"
      "Returns [L,H,W] marginals. DenseCRF2D of pydensecrf.");
}

}  // namespace bindings
