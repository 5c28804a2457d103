// Activation maps: from a network's outputs to maps on one scale, peaks and labels.

#include "arguments.hpp"
#include "bindings.hpp"
#include "results.hpp"

#include <cambium/activation/background.hpp>
#include <cambium/activation/boundary.hpp>
#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/confident.hpp>
#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/activation/peak_attention.hpp>
#include <cambium/activation/peaks.hpp>
#include <cambium/activation/select.hpp>
#include <cambium/activation/smooth.hpp>
#include <cambium/activation/softmax.hpp>

#include <nanobind/stl/string.h>

#include <cmath>
#include <deque>

namespace bindings {

using namespace cambium;

namespace {

struct python_cams {
  nb::object keys, strided, full;
};

struct python_decision {
  nb::object label, probability;
};

/// A function of one stack of maps: body(where, maps) -> grid.
template <class Body>
nb::object of_maps(nb::handle maps, char const* what, char const* who, int threads, bool copy, Body const& body)
{
  array_argument given(maps, what, copy);
  auto const where = policy(threads, who);
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return body(where, cells); }));
  });
}

/// A function of two stacks of maps of one type: body(where, a, b) -> grid. An optional second one of None is a null
/// view.
template <bool Optional, class Body>
nb::object of_two(nb::handle first, char const* first_what, nb::handle second, char const* second_what, char const* who,
                  int threads, bool copy, Body const& body)
{
  array_argument given(first, first_what, copy);
  auto const where = policy(threads, who);
  return with_float_type(given, [&]<class T>() {
    auto const a = given.cells<T, 3>();
    if (Optional && second.is_none())
      return into_array(without_gil([&] { return body(where, a, stack_view<T const>{}); }));
    array_argument other(second, second_what, copy);
    auto const b = other.cells<T, 3>();
    return into_array(without_gil([&] { return body(where, a, b); }));
  });
}

/// Maps of several scales: a sequence of arrays, and which of them are of the mirror image.
class scales {
 public:
  scales(nb::handle maps, nb::handle mirrored, std::string const& who, bool copy)
  {
    auto const iterator = nb::steal(maps.is_none() ? nullptr : PyObject_GetIter(maps.ptr()));
    if (!iterator.is_valid()) {
      PyErr_Clear();
      throw nb::type_error((who + ": maps is " + name_of_type(maps) + "; expected a list of arrays").c_str());
    }
    while (auto const item = nb::steal(PyIter_Next(iterator.ptr())))
      all_.emplace_back(item, who + ": maps[" + std::to_string(all_.size()) + "]", copy);
    if (PyErr_Occurred()) throw nb::python_error();
    expects(!all_.empty(), who, ": maps is empty; expected one or more arrays");
    if (!mirrored.is_none()) {
      mirrored_ = flags(mirrored, (who + ": mirrored").c_str());
      expects(mirrored_.size() == all_.size(), who, ": mirrored has ", static_cast<index_t>(mirrored_.size()),
              " entries, but there are ", static_cast<index_t>(all_.size()), " maps");
    }
  }

  array_argument const& first() const { return all_.front(); }

  template <class T>
  std::vector<scaled_maps<T>> views()
  {
    std::vector<scaled_maps<T>> out;
    for (std::size_t i = 0; i < all_.size(); ++i)
      out.push_back({all_[i].cells<T, 3>(), !mirrored_.empty() && mirrored_[i] != 0});
    return out;
  }

 private:
  std::deque<array_argument> all_;
  std::vector<std::int32_t> mirrored_;
};

/// A size of which memory is taken: a wrong one is refused before.
extent2 picture_size(nb::handle given, char const* what)
{
  auto const size = size_argument(given, what);
  expects(size.height < 1 << 16 && size.width < 1 << 16 && size.height * size.width <= 1 << 28, what, " is ",
          size.height, " x ", size.width, "; expected sides below 65536 and at most 2^28 pixels");
  return size;
}

nb::object normalise_of(nb::handle maps, std::string const& by, double eps, bool relu, int threads, bool copy)
{
  auto const how = choice<normalisation>(by, "normalise: by",
                                         {{"largest", normalisation::largest},
                                          {"min_max", normalisation::min_max},
                                          {"largest_of_all", normalisation::largest_of_all}});
  return of_maps(maps, "normalise: maps", "normalise", threads, copy,
                 [&](auto const& where, auto const& cells) { return normalise(where, cells, {how, eps, relu}); });
}

nb::object fuse_of(nb::handle maps, nb::handle resized, nb::handle mirrored, nb::handle size, int threads, bool copy)
{
  scales given(maps, mirrored, "fuse", copy);
  auto const where = policy(threads, "fuse");
  auto const to = picture_size(resized, "fuse: resized");
  auto const wanted = size.is_none() ? to : picture_size(size, "fuse: size");
  return with_float_type(given.first(), [&]<class T>() {
    auto const all = given.views<T>();
    return into_array(without_gil([&] { return fuse<T>(where, all, to, wanted); }));
  });
}

nb::object make_cams_of(nb::handle maps, nb::handle image, nb::handle labels, nb::handle mirrored, int threads,
                        bool copy)
{
  scales given(maps, mirrored, "make_cams", copy);
  auto const where = policy(threads, "make_cams");
  auto const size = picture_size(image, "make_cams: image");
  auto const present = flags(labels, "make_cams: labels");
  return with_float_type(given.first(), [&]<class T>() {
    auto const all = given.views<T>();
    auto made = without_gil([&] { return make_cams<T>(where, all, size, present); });
    return nb::cast(python_cams{into_array(to_memory(where, made.keys)), into_array(std::move(made.strided)),
                                into_array(std::move(made.full))});
  });
}

nb::object class_maps_of(nb::handle maps, nb::handle image, nb::handle classes, int threads, bool copy)
{
  auto const size = picture_size(image, "class_maps: image");
  auto const present = integers(classes, "class_maps: classes");
  return of_maps(maps, "class_maps: maps", "class_maps", threads, copy,
                 [&](auto const& where, auto const& cells) { return class_maps(where, cells, size, present); });
}

nb::object boundary_from_logits_of(nb::handle logits, nb::handle mirrored, nb::handle size, int threads, bool copy)
{
  array_argument given(logits, "boundary_from_logits: logits", copy);
  array_argument other(mirrored, "boundary_from_logits: mirrored", copy);
  auto const where = policy(threads, "boundary_from_logits");
  return with_float_type(given, [&]<class T>() {
    auto const a = given.cells<T, 2>();
    auto const b = other.cells<T, 2>();
    auto const wanted =
        size.is_none() ? extent2{a.extent[0], a.extent[1]} : size_argument(size, "boundary_from_logits: size");
    expects(wanted.height <= a.extent[0] && wanted.width <= a.extent[1], "boundary_from_logits: size is ",
            wanted.height, " x ", wanted.width, " but logits are ", a);
    return into_array(without_gil([&] { return boundary_from_logits(where, a, b, wanted); }));
  });
}

nb::object join_confident_of(nb::handle foreground, nb::handle background, int threads, bool copy)
{
  array_argument sure(foreground, "join_confident: foreground", copy);
  array_argument likely(background, "join_confident: background", copy);
  auto const where = policy(threads, "join_confident");
  auto const fg = sure.cells<std::int32_t, 2>(), bg = likely.cells<std::int32_t, 2>();
  return into_array(without_gil([&] { return join_confident(where, fg, bg); }));
}

nb::object extract_peaks_of(nb::handle maps, index_t kernel, index_t most, double threshold,
                            std::string const& plateaus, int threads, bool copy)
{
  array_argument given(maps, "extract_peaks: maps", copy);
  auto const where = policy(threads, "extract_peaks");
  peak_options const options{kernel, most, threshold, plateau_argument(plateaus, "extract_peaks: plateaus")};
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    auto const found = without_gil([&] { return extract_peaks(where, cells, options); });
    return to_python(found.cells());
  });
}

nb::object select_of(nb::handle maps, nb::handle regions, nb::handle channels, nb::handle flipped, int threads,
                     bool copy)
{
  array_argument region(regions, "select: regions", copy);
  auto const of = region.cells<std::int32_t, 2>();
  auto const listed = integers(channels, "select: channels");
  return of_two<true>(
      maps, "select: maps", flipped, "select: flipped", "select", threads, copy,
      [&](auto const& where, auto const& cells, auto const& other) { return select(where, cells, of, listed, other); });
}

nb::object decide_of(nb::handle scores, nb::handle flipped, nb::handle allowed, int threads, bool copy)
{
  array_argument given(scores, "decide: scores", copy);
  auto const where = policy(threads, "decide");
  std::vector<char> among;
  if (!allowed.is_none()) {
    for (auto const may : flags(allowed, "decide: allowed")) among.push_back(static_cast<char>(may));
    expects(!among.empty(), "decide: allowed is empty; expected an entry a channel");
  }
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    auto const decided = [&](stack_view<T const> other) {
      auto made = without_gil([&] { return decide(where, cells, other, among); });
      return nb::cast(python_decision{into_array(std::move(made.label)), into_array(std::move(made.probability))});
    };
    if (flipped.is_none()) return decided({});
    array_argument other(flipped, "decide: flipped", copy);
    return decided(other.cells<T, 3>());
  });
}

nb::object probability_at_of(nb::handle scores, nb::handle labels, int threads, bool copy)
{
  array_argument given(scores, "probability_at: scores", copy);
  array_argument label(labels, "probability_at: labels", copy);
  auto const where = policy(threads, "probability_at");
  auto const of = label.cells<std::int32_t, 2>();
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return probability_at(where, cells, of); }));
  });
}

}  // namespace

void bind_activation(nb::module_& m)
{
  nb::class_<python_cams>(m, "Cams", "Both outputs of IRNet's CAM step.")
      .def_ro("keys", &python_cams::keys, nb::sig("def keys(self) -> NDArray[np.int32]"),
              "[C] class of each channel, from 0.")
      .def_ro("strided", &python_cams::strided, nb::sig("def strided(self) -> NDArray[Any]"),
              "[C,h,w] at stride 4, h = (H-1)//4 + 1: what the walk takes.")
      .def_ro("full", &python_cams::full, nb::sig("def full(self) -> NDArray[Any]"),
              "[C,H,W] at the size of the image: what label mining takes.")
      .def("__repr__", [](python_cams const& c) {
        return "Cams(" + shape_text("strided", c.strided).substr(1) + "," + shape_text("full", c.full) + ")";
      });
  nb::class_<python_decision>(m, "ClassDecision", "The most probable class of each pixel, and its probability.")
      .def_ro("label", &python_decision::label, nb::sig("def label(self) -> NDArray[np.int32]"), "[H,W] channel.")
      .def_ro("probability", &python_decision::probability, nb::sig("def probability(self) -> NDArray[np.float32]"),
              "[H,W] of that channel, in [0,1].")
      .def("__repr__",
           [](python_decision const& d) { return "ClassDecision(" + shape_text("label", d.label).substr(1) + ")"; });

  m.def("normalise", normalise_of, array("maps"), nb::kw_only(), nb::arg("by") = "largest", nb::arg("eps") = 1e-5,
        nb::arg("relu") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def normalise(maps: Array, *, by: str = 'largest', eps: float = 1e-5, relu: bool = False, threads: "
                "int = 0, copy: bool = False) -> NDArray[Any]"),
        "Bring activations to a common scale, channel by channel.\n\n"
        "maps     [C,H,W] float32 or float64, finite\n"
        "by       'largest': x / (max + eps) a channel, as irn's CAMs; 'min_max': (x - min) / (max - min) a channel; "
        "'largest_of_all': x / the maximum of all channels\n"
        "eps      >= 0, added to the maximum by 'largest'\n"
        "relu     set negative values to 0 first\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [C,H,W] of the same type. A channel without a scale becomes 0.");
  m.def(
      "fuse", fuse_of, nb::arg("maps").none(), nb::arg("resized").none(), nb::kw_only(),
      nb::arg("mirrored") = nb::none(), nb::arg("size") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def fuse(maps: Sequence[Array], resized: Sequence[int], *, mirrored: Sequence[bool] | None = None, "
              "size: Sequence[int] | None = None, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
      "Sum maps of several scales, each resized bilinearly to one size.\n\n"
      "maps      arrays [C,h,w] of one type, float32 or float64, finite; C agrees, h and w may differ\n"
      "resized   (H,W) [cells] each map is stretched to; below 65536\n"
      "mirrored  an entry a map: true if it is of the mirror image, and is turned back; None: none is\n"
      "size      (H,W) [cells] of the top left part that is wanted; None: all\n"
      "threads   0: all cores\n"
      "copy      convert another dtype or order instead of refusing it\n\n"
      "Returns [C,H,W]: the sum, not the mean. Coordinates as interpolate(bilinear, align_corners=False) of PyTorch.");
  m.def("make_cams", make_cams_of, nb::arg("maps").none(), nb::arg("image").none(), nb::arg("labels").none(),
        nb::kw_only(), nb::arg("mirrored") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def make_cams(maps: Sequence[Array], image: Sequence[int], labels: Sequence[int] | Array, *, "
                "mirrored: Sequence[bool] | None = None, threads: int = 0, copy: bool = False) -> Cams"),
        "From a network's outputs at several scales to the CAMs of the classes present.\n\n"
        "maps      arrays [classes,h,w] of one type, rectified, finite in the present classes\n"
        "image     (H,W) [pixels]\n"
        "labels    an entry a class: not 0 where the class is present\n"
        "mirrored  an entry a map: true if it is of the mirror image; None: none is\n"
        "threads   0: all cores\n"
        "copy      convert another dtype or order instead of refusing it\n\n"
        "Returns Cams: present classes ascending, each divided by its maximum + 1e-5. Stands for _work of irn's "
        "step/make_cam.py.");
  m.def("class_maps", class_maps_of, array("maps"), nb::arg("image").none(), nb::arg("classes").none(), nb::kw_only(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def class_maps(maps: Array, image: Sequence[int], classes: Sequence[int] | Array, *, threads: int = "
                "0, copy: bool = False) -> NDArray[Any]"),
        "Enlarge the class maps of a classifier to the image and bring each to [0,1).\n\n"
        "maps     [C,h,w] float32 or float64, finite\n"
        "image    (H,W) [pixels]\n"
        "classes  channels of the classes present, 0..C-1\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [C,H,W]; absent classes are 0. Stands for cam_normalize of BESTIE.");
  m.def(
      "mean_with_mirrored",
      [](nb::handle maps, nb::handle mirrored, int threads, bool copy) {
        return of_two<false>(
            maps, "mean_with_mirrored: maps", mirrored, "mean_with_mirrored: mirrored", "mean_with_mirrored", threads,
            copy, [](auto const& where, auto const& a, auto const& b) { return mean_with_mirrored(where, a, b); });
      },
      array("maps"), array("mirrored"), nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def mean_with_mirrored(maps: Array, mirrored: Array, *, threads: int = 0, copy: bool = False) -> "
              "NDArray[Any]"),
      "The mean of maps of an image and of maps of its mirror image, these turned back.\n\n"
      "maps      [C,H,W] float32 or float64\n"
      "mirrored  [C,H,W] of the same type\n"
      "threads   0: all cores\n"
      "copy      convert another dtype or order instead of refusing it\n\n"
      "Returns [C,H,W].");
  m.def(
      "with_background",
      [](nb::handle maps, double score, int threads, bool copy) {
        return of_maps(maps, "with_background: maps", "with_background", threads, copy,
                       [&](auto const& where, auto const& cells) { return with_background(where, cells, score); });
      },
      array("maps"), nb::arg("score"), nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def with_background(maps: Array, score: float, *, threads: int = 0, copy: bool = False) -> "
              "NDArray[Any]"),
      "Put a constant background channel before the classes, so that an argmax can choose it too.\n\n"
      "maps     [C,H,W] float32 or float64\n"
      "score    of the background, finite; 0.25 for irn's labels\n"
      "threads  0: all cores\n"
      "copy     convert another dtype or order instead of refusing it\n\n"
      "Returns [1+C,H,W].");
  m.def("boundary_from_logits", boundary_from_logits_of, array("logits"), array("mirrored"), nb::kw_only(),
        nb::arg("size") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def boundary_from_logits(logits: Array, mirrored: Array, *, size: Sequence[int] | None = None, "
                "threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "The boundary map from a boundary network's logits for an image and for its mirror image: the sigmoid of their "
        "mean.\n\n"
        "logits    [h,w] float32 or float64, finite, of the image, padded at its right and bottom\n"
        "mirrored  [h,w] of the mirror image, padded the same way\n"
        "size      (height, width) [cells] of the top left part that is wanted, which cuts the padding off; None: all\n"
        "threads   0: all cores\n"
        "copy      convert another dtype or order instead of refusing it\n\n"
        "Returns a map of that size, in [0,1]. Stands for EdgeDisplacement.forward of irn.");
  m.def(
      "threshold_labels",
      [](nb::handle maps, double thres, int threads, bool copy) {
        expects(!std::isnan(thres), "threshold_labels: thres is nan");
        return of_maps(maps, "threshold_labels: maps", "threshold_labels", threads, copy,
                       [&](auto const& where, auto const& cells) { return threshold_labels(where, cells, thres); });
      },
      array("maps"), nb::arg("thres"), nb::kw_only(), nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def threshold_labels(maps: Array, thres: float, *, threads: int = 0, copy: bool = False) -> "
              "NDArray[np.int32]"),
      "The largest channel of each cell where it is above a threshold, else the background.\n\n"
      "maps     [C,H,W] float32 or float64, finite\n"
      "thres    the threshold; a value that equals it is background\n"
      "threads  0: all cores\n"
      "copy     convert another dtype or order instead of refusing it\n\n"
      "Returns [H,W]: 0, or 1 + channel, the first of equal ones.");
  m.def("join_confident", join_confident_of, array("foreground"), array("background"), nb::kw_only(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def join_confident(foreground: Array, background: Array, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.int32]"),
        "Join a map of confident foreground and a map of confident background.\n\n"
        "foreground  [H,W] int32 labels found with a high threshold, 0 where there is none\n"
        "background  [H,W] int32 labels found with a low threshold, 0 where nothing is likely\n"
        "threads     0: all cores\n"
        "copy        convert another dtype or order instead of refusing it\n\n"
        "Returns [H,W]: the foreground's label where it has one, 0 where both are 0, else 255.");
  m.def("extract_peaks", extract_peaks_of, array("maps"), nb::kw_only(), nb::arg("kernel") = 15, nb::arg("most") = 25,
        nb::arg("threshold") = 0.1, nb::arg("plateaus") = "every_cell", nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def extract_peaks(maps: Array, *, kernel: int = 15, most: int = 25, threshold: float = 0.1, plateaus: "
                "str = 'every_cell', threads: int = 0, copy: bool = False) -> Points"),
        "Find the peaks of each channel: positive cells, not below the threshold, that no cell of their window "
        "exceeds.\n\n"
        "maps       [C,H,W] float32 or float64, finite, for example smoothed class maps; absent classes are 0\n"
        "kernel     [cells] side of the window, odd\n"
        "most       [count] of a channel, >= 1; the largest are kept\n"
        "threshold  smaller scores are no peaks\n"
        "plateaus   of equal cells 'every_cell' is a peak, as in BESTIE, or 'one_cell', nearest to their mean\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns Points: channels ascending, of a channel by falling score, equal ones in raster order; the channel is "
        "the category.");
  m.def(
      "peak_attention",
      [](nb::handle maps, double alpha, int threads, bool copy) {
        return of_maps(maps, "peak_attention: maps", "peak_attention", threads, copy,
                       [&](auto const& where, auto const& cells) { return peak_attention(where, cells, {alpha}); });
      },
      array("maps"), nb::kw_only(), nb::arg("alpha") = 0.7, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def peak_attention(maps: Array, *, alpha: float = 0.7, threads: int = 0, copy: bool = False) -> "
              "NDArray[Any]"),
      "Keep the values near the maximum of their channel: r = max(maps, 0) where r >= alpha * max r, otherwise 0.\n\n"
      "maps     [C,H,W] float32 or float64, finite: features of one image, or of several side by side\n"
      "alpha    fraction of a channel's maximum, in [0,1]\n"
      "threads  0: all cores\n"
      "copy     convert another dtype or order instead of refusing it\n\n"
      "Returns [C,H,W]. Stands for PAM of BESTIE.");
  m.def(
      "peak_attention_gradient",
      [](nb::handle maps, nb::handle gradient, double alpha, int threads, bool copy) {
        return of_two<false>(maps, "peak_attention_gradient: maps", gradient, "peak_attention_gradient: gradient",
                             "peak_attention_gradient", threads, copy,
                             [&](auto const& where, auto const& a, auto const& b) {
                               return peak_attention_gradient(where, a, b, {alpha});
                             });
      },
      array("maps"), array("gradient"), nb::kw_only(), nb::arg("alpha") = 0.7, nb::arg("threads") = 0,
      nb::arg("copy") = false,
      nb::sig("def peak_attention_gradient(maps: Array, gradient: Array, *, alpha: float = 0.7, threads: int = 0, "
              "copy: bool = False) -> NDArray[Any]"),
      "The gradient by the maps, from the gradient by peak_attention(maps): it passes where a positive value was "
      "kept.\n\n"
      "maps      [C,H,W] float32 or float64, as given to peak_attention()\n"
      "gradient  [C,H,W] of the same type, finite\n"
      "alpha     as given to peak_attention()\n"
      "threads   0: all cores\n"
      "copy      convert another dtype or order instead of refusing it\n\n"
      "Returns [C,H,W].");
  m.def(
      "smooth",
      [](nb::handle maps, index_t kernel, int threads, bool copy) {
        return of_maps(maps, "smooth: maps", "smooth", threads, copy,
                       [&](auto const& where, auto const& cells) { return smooth(where, cells, kernel); });
      },
      array("maps"), nb::kw_only(), nb::arg("kernel") = 3, nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def smooth(maps: Array, *, kernel: int = 3, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
      "Replace every cell by the mean of the window around it; cells outside the map count as 0.\n\n"
      "maps     [C,H,W] float32 or float64, finite\n"
      "kernel   [cells] side of the window, odd\n"
      "threads  0: all cores\n"
      "copy     convert another dtype or order instead of refusing it\n\n"
      "Returns [C,H,W]. Stands for avg_pool2d(kernel, 1, kernel // 2) of PyTorch.");
  m.def("select", select_of, array("maps"), array("regions"), nb::arg("channels").none(), nb::kw_only(),
        nb::arg("flipped") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def select(maps: Array, regions: Array, channels: Sequence[int] | Array, *, flipped: Array | None = "
                "None, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "Take from every cell the channel of its region: maps[channels[regions - 1]] in a region, 0 outside.\n\n"
        "maps      [C,H,W] float32 or float64, finite in the channels of the list\n"
        "regions   [H,W] int32, 0..N\n"
        "channels  N channels, each 0..C-1\n"
        "flipped   [C,H,W] of the mirror image; with it the mean of both is taken\n"
        "threads   0: all cores\n"
        "copy      convert another dtype or order instead of refusing it\n\n"
        "Returns [H,W].");
  m.def("decide", decide_of, array("scores"), nb::kw_only(), nb::arg("flipped") = nb::none(),
        nb::arg("allowed") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def decide(scores: Array, *, flipped: Array | None = None, allowed: Sequence[bool] | None = None, "
                "threads: int = 0, copy: bool = False) -> ClassDecision"),
        "Decide for one class a pixel, by the softmax of a network's scores.\n\n"
        "scores   [L,H,W] float32 or float64, finite; channel 0 is the background\n"
        "flipped  [L,H,W] of the mirror image; with it the mean of both softmaxes decides\n"
        "allowed  an entry a channel: false where a class does not take part; the background always does\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns ClassDecision. Ties go to the lower channel.");
  m.def("probability_at", probability_at_of, array("scores"), array("labels"), nb::kw_only(), nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def probability_at(scores: Array, labels: Array, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.float32]"),
        "The probability of given labels, by the softmax of a network's scores.\n\n"
        "scores   [L,H,W] float32 or float64, finite\n"
        "labels   [H,W] int32\n"
        "threads  0: all cores\n"
        "copy     convert another dtype or order instead of refusing it\n\n"
        "Returns [H,W]: softmax(scores)[label] where the label is one of 1..L-1, 0 elsewhere.");
}

}  // namespace bindings
