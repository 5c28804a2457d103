// IRNet's label synthesis and label mining.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/pipeline/irnet.hpp>
#include <cambium/pipeline/irnet_tiled.hpp>
#include <cambium/pipeline/label_mining.hpp>

#include <nanobind/stl/string.h>

#include <memory>
#include <optional>
#include <set>

namespace bindings {

using namespace cambium;

namespace {

/// Keyword arguments, each taken once. Those left at the end are a TypeError, as Python's own.
class keywords {
 public:
  keywords(nb::kwargs const& given, std::string who) : given_(given), who_(std::move(who)) {}

  nb::object object(char const* name)
  {
    taken_.insert(name);
    return given_.contains(name) ? nb::object(given_[name]) : nb::none();
  }

  /// Leave `value` as it is if the keyword was not given.
  template <class T>
  void take(char const* name, T& value)
  {
    taken_.insert(name);
    if (!given_.contains(name)) return;
    nb::object const given = given_[name];
    if (!nb::try_cast(given, value))
      throw nb::type_error((who_ + ": " + name + " is " + name_of_type(given) + "; expected " + kind<T>()).c_str());
  }

  template <class E>
  void take(char const* name, E& value, std::initializer_list<std::pair<char const*, E>> among)
  {
    taken_.insert(name);
    std::string text;
    if (!given_.contains(name)) return;
    take(name, text);
    value = choice<E>(text, (who_ + ": " + name).c_str(), among);
  }

  void finish() const
  {
    for (auto const& [name, value] : given_)
      if (std::string const text = nb::str(name).c_str(); !taken_.contains(text))
        throw nb::type_error((who_ + ": got an unexpected keyword argument '" + text + "'").c_str());
  }

 private:
  template <class T>
  static char const* kind()
  {
    return std::is_same_v<T, std::string> ? "a string"
           : std::is_same_v<T, bool>      ? "a bool"
           : std::is_integral_v<T>        ? "an integer of its range"
                                          : "a number";
  }

  nb::kwargs given_;
  std::string who_;
  std::set<std::string> taken_;
};

irnet_options irnet_options_of(keywords& given)
{
  irnet_options o;
  given.take("radius", o.radius);
  given.take("beta", o.beta);
  given.take("exp_times", o.exp_times);
  given.take("tolerance", o.tolerance);
  given.take("weights", o.weights, {{"full", weight_format::full}, {"bfloat16", weight_format::bfloat16}});
  given.take("sem_seg_bg_thres", o.sem_seg_bg_thres);
  given.take("ins_seg_bg_thres", o.ins_seg_bg_thres);
  given.take("iterations", o.iterations);
  given.take("thres", o.thres);
  given.take("max_fragment_size", o.max_fragment_size);
  given.take("small", o.small,
             {{"score_zero", fragments::score_zero}, {"drop", fragments::drop}, {"keep", fragments::keep}});
  given.take("scale", o.scale,
             {{"image", score_scale::image}, {"group", score_scale::group}, {"channel", score_scale::channel}});
  given.take("empty", o.empty, {{"background", no_score::background}, {"first_channel", no_score::first_channel}});
  given.take("parts", o.parts, {{"separate", pieces::separate}, {"merged", pieces::merged}});
  given.take("component_thres", o.component_thres);
  return o;
}

/// The maps of one image, and what keeps them alive.
struct image_maps {
  array_argument cams, boundary;
  std::optional<array_argument> displacement;
  irnet_input<float> in;

  image_maps(nb::handle c, nb::handle keys, nb::handle b, nb::handle image, nb::handle d, std::string const& who,
             bool copy)
      : cams(c, who + ": cams", copy), boundary(b, who + ": boundary", copy)
  {
    in.cams = cams.cells<float, 3>();
    in.boundary = boundary.cells<float, 2>();
    in.keys = distinct_integers(keys, (who + ": keys").c_str());
    in.image = size_argument(image, (who + ": image").c_str());
    if (d.is_none()) return;
    displacement.emplace(d, who + ": displacement", copy);
    in.displacement = displacement->cells<float, 3>();
    expects(in.displacement.extent[0] == 2, who, ": displacement is ", displacement->described(), "; expected [2,h,w]");
    static float const nowhere = 0;
    if (in.displacement.data == nullptr) in.displacement.data = &nowhere;  // an empty map is a map
  }
};

/// What functions of an image's maps share: their arguments.
struct irnet_call {
  keywords given;
  irnet_options options;
  irnet_tiling tiling;
  cpu where;
  std::optional<image_maps> maps;

  irnet_call(nb::handle cams, nb::handle keys, nb::handle boundary, nb::handle image, nb::kwargs const& more,
             char const* who, bool tiled = false, bool fields = true)
      : given(more, who)
  {
    int threads = 0;
    bool copy = false;
    options = irnet_options_of(given);
    given.take("threads", threads);
    given.take("copy", copy);
    if (tiled) given.take("tile", tiling.tile), given.take("overlap", tiling.overlap);
    nb::object const displacement = fields ? given.object("displacement") : nb::none();
    given.finish();
    where = policy(threads, who);
    maps.emplace(cams, keys, boundary, image, displacement, who, copy);
  }
};

nb::object irnet_of(nb::handle cams, nb::handle keys, nb::handle boundary, nb::handle image, nb::kwargs const& more)
{
  irnet_call const call(cams, keys, boundary, image, more, "irnet");
  return to_python(without_gil([&] { return irnet<float>(call.where, call.maps->in, call.options); }));
}

nb::object irnet_tiled_of(nb::handle cams, nb::handle keys, nb::handle boundary, nb::handle image,
                          nb::kwargs const& more)
{
  irnet_call const call(cams, keys, boundary, image, more, "irnet_tiled", true);
  return to_python(
      without_gil([&] { return irnet_tiled<float>(call.where, call.maps->in, call.options, call.tiling); }));
}

struct python_scores {
  irnet_scores<float> walked;
  bool fields;  ///< whether there was a displacement field
};

python_scores irnet_walk_of(nb::handle cams, nb::handle keys, nb::handle boundary, nb::handle image,
                            nb::kwargs const& more)
{
  irnet_call const call(cams, keys, boundary, image, more, "irnet_walk");
  auto const& in = call.maps->in;
  return {without_gil([&] {
            expects_irnet_input(in);
            expects_irnet_options(call.options);
            expects_finite(call.where, in.cams, "irnet_walk: cams");
            return irnet_walk<cpu, float>(call.where, in, call.options);
          }),
          in.displacement.data != nullptr};
}

nb::object irnet_label_of(python_scores const& scores, nb::handle keys, nb::handle boundary, nb::handle image,
                          nb::kwargs const& more)
{
  auto const classes = as_array(stack_view<float const>(scores.walked.classes.view()), nb::find(scores));
  irnet_call call(classes, keys, boundary, image, more, "irnet_label", false, false);
  auto in = call.maps->in;
  if (scores.fields) in.displacement = {in.boundary.data, {2, in.boundary.extent[0], in.boundary.extent[1]}};
  return to_python(without_gil([&] {
    expects_irnet_input(in);
    expects_irnet_options(call.options);
    expects_inside(call.where, in.boundary, 0.f, 1.f, "irnet_label: boundary", "a number in [0,1]");
    return irnet_label<cpu, float>(call.where, scores.walked, in, call.options);
  }));
}

nb::object propagate_to_edge_of(nb::handle scores, nb::handle boundary, int radius, double beta, int exp_times,
                                double tolerance, int threads, bool copy)
{
  array_argument given(scores, "propagate_to_edge: scores", copy);
  array_argument walls(boundary, "propagate_to_edge: boundary", copy);
  auto const where = policy(threads, "propagate_to_edge");
  irnet_options options;
  options.radius = radius, options.beta = beta, options.exp_times = exp_times, options.tolerance = tolerance;
  return with_float_type(given, [&]<class T>() {
    auto const from = given.cells<T, 3>();
    auto const edge = walls.cells<T, 2>();
    return into_array(without_gil([&] {
      auto const& edges = disc(radius);
      auto const step = make_transition(where, edges, path_affinity(where, edge, edges), {.beta = beta});
      return propagate_to_edge(where, step, from, edge, options);
    }));
  });
}

nb::object cam_to_ir_label_of(nb::handle image, nb::handle cams, nb::handle keys, double conf_fg_thres,
                              double conf_bg_thres, double gt_prob, int iterations, int threads, bool copy)
{
  array_argument picture(image, "cam_to_ir_label: image", copy), given(cams, "cam_to_ir_label: cams", copy);
  auto const where = policy(threads, "cam_to_ir_label");
  auto const pixels = picture.cells<std::uint8_t, 3>();
  auto const maps = given.cells<float, 3>();
  auto const classes = distinct_integers(keys, "cam_to_ir_label: keys");
  mining_options options;
  options.conf_fg_thres = conf_fg_thres, options.conf_bg_thres = conf_bg_thres;
  options.gt_prob = gt_prob, options.iterations = iterations;
  return into_array(without_gil([&] { return cam_to_ir_label(where, pixels, maps, classes, options); }));
}

/// The options of irnet() in signatures.
#define CAMBIUM_IRNET_OPTIONS                                                                                   \
  "radius: int = 5, beta: float = 10.0, exp_times: int = 8, tolerance: float = 0.0, weights: str = 'full', "    \
  "sem_seg_bg_thres: float = 0.25, ins_seg_bg_thres: float = 0.25, iterations: int = 300, thres: float = 2.5, " \
  "max_fragment_size: float "                                                                                   \
  "= 0.01, small: str = 'score_zero', scale: str = 'image', empty: str = 'background', parts: str = "           \
  "'separate', component_thres: float = 0.5, threads: int = 0, copy: bool = False"

#define CAMBIUM_IRNET_INPUT                                                                     \
  "cams               [C,h,w] float32, finite: CAMs of the classes present, h = (H-1)//4 + 1\n" \
  "keys               C classes, from 0; the label of class k is k + 1\n"                       \
  "boundary           [h,w] float32 in [0,1]\n"                                                 \
  "image              (H,W) [pixels] size of the image\n"

#define CAMBIUM_IRNET_DISPLACEMENT                                                                               \
  "displacement       [2,h,w] float32 (dy,dx) in cells, finite; None: instances are components that boundaries " \
  "part\n"

#define CAMBIUM_IRNET_KEYWORDS                                                                                \
  "radius             [cells] of the stencil, 1..17\n"                                                        \
  "beta               power of the affinities, > 0\n"                                                         \
  "exp_times          the walk takes 2**exp_times steps, 0..40\n"                                             \
  "tolerance          of the walk, see random_walk(); 0: exact\n"                                             \
  "weights            of the walk: 'full', or 'bfloat16': rounded, quicker on large maps\n"                   \
  "sem_seg_bg_thres   score of the background in the semantic labels\n"                                       \
  "ins_seg_bg_thres   score of the background in the instances\n"                                             \
  "iterations         [count] of trace()\n"                                                                   \
  "thres              [cells] displacement below it is weak, > 0\n"                                           \
  "max_fragment_size  [fraction of the image] smaller components are fragments, in [0,1]\n"                   \
  "small              fragments: 'score_zero' as in irn, 'drop' or 'keep'\n"                                  \
  "scale              scores are divided by the largest of 'image' as in irn, 'group' (class) or 'channel'\n" \
  "empty              without a positive score all is 'background', or 'first_channel' as in irn\n"           \
  "parts              pieces of an instance channel: 'separate' instances as in irn, or 'merged'\n"           \
  "component_thres    without displacement: boundaries from here on part components; > 1: none do\n"          \
  "threads            0: all cores\n"                                                                         \
  "copy               convert another dtype or order instead of refusing it\n\n"

}  // namespace

void bind_pipeline_irnet(nb::module_& m)
{
  nb::class_<python_scores>(m, "IrnetScores",
                            "Walked scores of one image. Labels for any thresholds follow from them by irnet_label().")
      .def_prop_ro(
          "classes",
          [](nb::handle self) {
            return as_array(stack_view<float const>(nb::cast<python_scores const&>(self).walked.classes.view()), self);
          },
          nb::sig("def classes(self) -> NDArray[np.float32]"), "[C,h,w] of the classes. Read-only, not a copy.")
      .def_prop_ro(
          "instances",
          [](nb::handle self) -> nb::object {
            auto const& scores = nb::cast<python_scores const&>(self);
            if (!scores.fields) return nb::none();
            return as_array(stack_view<float const>(scores.walked.instances.view()), self);
          },
          nb::sig("def instances(self) -> NDArray[np.float32] | None"),
          "[C*K,h,w]: channel c*K + k is class c on cluster k. Read-only, not a copy. None without a displacement "
          "field.")
      .def("__repr__", [](python_scores const& s) {
        auto const& shape = s.walked.classes.shape();
        return "IrnetScores(classes=(" + std::to_string(shape[0]) + ", " + std::to_string(shape[1]) + ", " +
               std::to_string(shape[2]) + "), " +
               (s.fields ? std::to_string(s.walked.instances.shape()[0]) + " instance channels)" : "no instances)");
      });

  m.def(
      "irnet", irnet_of, array("cams"), nb::arg("keys").none(), array("boundary"), nb::arg("image").none(),
      nb::arg("options"),
      nb::sig("def irnet(cams: Array, keys: Sequence[int] | Array, boundary: Array, image: Sequence[int], *, "
              "displacement: Array | None = None, " CAMBIUM_IRNET_OPTIONS ") -> ImageLabels"),
      "Label one image as IRNet does: CAMs, a boundary map and, if there is one, a displacement field go in; semantic "
      "labels and instances come out.\n\n" CAMBIUM_IRNET_INPUT CAMBIUM_IRNET_DISPLACEMENT CAMBIUM_IRNET_KEYWORDS
      "Returns ImageLabels. Stands for _work of irn's step/make_sem_seg_labels.py and step/make_ins_seg_labels.py.");
  m.def("irnet_tiled", irnet_tiled_of, array("cams"), nb::arg("keys").none(), array("boundary"),
        nb::arg("image").none(), nb::arg("options"),
        nb::sig("def irnet_tiled(cams: Array, keys: Sequence[int] | Array, boundary: Array, image: Sequence[int], *, "
                "displacement: Array | None = None, tile: int = 2048, overlap: int = 512, " CAMBIUM_IRNET_OPTIONS
                ") -> ImageLabels"),
        "Label an image that is too large for one walk: irnet(), with the walk done tile by tile.\n\n"
        "Clusters, scaling and components are found on the whole image: an object across a seam is one "
        "object.\n\n" CAMBIUM_IRNET_INPUT CAMBIUM_IRNET_DISPLACEMENT
        "tile               [pixels] side of what a tile answers for, at least 4\n"
        "overlap            [pixels] that a tile sees around that, at least 4\n" CAMBIUM_IRNET_KEYWORDS
        "Returns ImageLabels.");
  m.def("irnet_walk", irnet_walk_of, array("cams"), nb::arg("keys").none(), array("boundary"), nb::arg("image").none(),
        nb::arg("options"),
        nb::sig("def irnet_walk(cams: Array, keys: Sequence[int] | Array, boundary: Array, image: Sequence[int], *, "
                "displacement: Array | None = None, " CAMBIUM_IRNET_OPTIONS ") -> IrnetScores"),
        "The first half of irnet(): walk the CAMs and, with a displacement field, their shares on each of its "
        "clusters.\n\n" CAMBIUM_IRNET_INPUT CAMBIUM_IRNET_DISPLACEMENT CAMBIUM_IRNET_KEYWORDS
        "Options of the labels take no part. Returns IrnetScores.");
  m.def("irnet_label", irnet_label_of, nb::arg("scores"), nb::arg("keys").none(), array("boundary"),
        nb::arg("image").none(), nb::arg("options"),
        nb::sig("def irnet_label(scores: IrnetScores, keys: Sequence[int] | Array, boundary: Array, image: "
                "Sequence[int], *, " CAMBIUM_IRNET_OPTIONS ") -> ImageLabels"),
        "The second half of irnet(): labels of walked scores. It can be called for many thresholds.\n\n"
        "scores             from irnet_walk()\n"
        "keys               C classes, from 0, as given to irnet_walk()\n"
        "boundary           [h,w] float32 in [0,1], as given to irnet_walk()\n"
        "image              (H,W) [pixels] size of the image\n" CAMBIUM_IRNET_KEYWORDS
        "Options of the walk take no part. Returns ImageLabels.");
  m.def("propagate_to_edge", propagate_to_edge_of, array("scores"), array("boundary"), nb::kw_only(),
        nb::arg("radius") = 5, nb::arg("beta") = 10.0, nb::arg("exp_times") = 8, nb::arg("tolerance") = 0.0,
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def propagate_to_edge(scores: Array, boundary: Array, *, radius: int = 5, beta: float = 10.0, "
                "exp_times: int = 8, tolerance: float = 0.0, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "Spread scores up to the boundaries: multiply by 1 - boundary, then walk.\n\n"
        "scores     [N,h,w] float32 or float64, finite\n"
        "boundary   [h,w] of the same type, in [0,1]\n"
        "radius     [cells] of the stencil, 1..17\n"
        "beta       power of the affinities, > 0\n"
        "exp_times  the walk takes 2**exp_times steps, 0..40\n"
        "tolerance  see random_walk(); 0: exact\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns [N,h,w]. For irn's own shapes see pycambium.compat.irn.indexing.");
  m.def(
      "cam_to_ir_label", cam_to_ir_label_of, array("image"), array("cams"), nb::arg("keys").none(), nb::kw_only(),
      nb::arg("conf_fg_thres") = 0.30, nb::arg("conf_bg_thres") = 0.05, nb::arg("gt_prob") = 0.7,
      nb::arg("iterations") = 10, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def cam_to_ir_label(image: Array, cams: Array, keys: Sequence[int] | Array, *, conf_fg_thres: float = "
              "0.3, conf_bg_thres: float = 0.05, gt_prob: float = 0.7, iterations: int = 10, threads: int = 0, copy: "
              "bool = False) -> NDArray[np.int32]"),
      "Mine the pixels of an image whose label is sure, from its CAMs: labels above a high and above a low threshold, "
      "each refined by a dense CRF.\n\n"
      "image          [H,W,3] uint8\n"
      "cams           [C,H,W] float32, finite, each channel's maximum about 1: Cams.full\n"
      "keys           C classes, from 0\n"
      "conf_fg_thres  above it a class is likely there\n"
      "conf_bg_thres  where no class is above it, it is background\n"
      "gt_prob        how likely a label is right before refinement, in (0,1)\n"
      "iterations     [count] of the CRF\n"
      "threads        0: all cores\n"
      "copy           convert another dtype or order instead of refusing it\n\n"
      "Returns [H,W]: key + 1, 0 for background, 255 where neither is sure. Stands for _work of irn's "
      "step/cam_to_ir_label.py.");
}

#undef CAMBIUM_IRNET_OPTIONS
#undef CAMBIUM_IRNET_INPUT
#undef CAMBIUM_IRNET_DISPLACEMENT
#undef CAMBIUM_IRNET_KEYWORDS

}  // namespace bindings
