// Attention of a transformer as an affinity of tokens, and CAMs that it refines.

#include "bindings.hpp"

#include <cambium/pipeline/attention.hpp>

#include <nanobind/stl/optional.h>

#include <optional>
#include <string>

namespace bindings {

using namespace cambium;

namespace {

attention_options affinity_options(int rounds, int squarings, std::string const& who)
{
  expects(0 <= rounds && rounds <= 1000, who, ": rounds is ", rounds, "; expected 0 to 1000");
  return {rounds, squarings};
}

nb::object mean_attention_of(nb::handle attention, int layers, bool class_token, int threads, bool copy)
{
  array_argument given(attention, "mean_attention: attention", copy);
  auto const where = policy(threads, "mean_attention");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    return into_array(without_gil([&] { return mean_attention(where, cells, {layers, class_token}); }));
  });
}

nb::object attention_affinity_of(nb::handle weight, int rounds, int squarings, int threads, bool copy)
{
  array_argument given(weight, "attention_affinity: weight", copy);
  auto const where = policy(threads, "attention_affinity");
  auto const options = affinity_options(rounds, squarings, "attention_affinity");
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 2>();
    return into_array(without_gil([&] { return attention_affinity(where, cells, options); }));
  });
}

nb::object attention_refine_of(nb::handle attention, nb::handle cams, nb::handle learned, std::optional<int> layers,
                               bool class_token, int rounds, int squarings, bool boxes, double box_threshold,
                               int threads, bool copy)
{
  array_argument given(attention, "attention_refine: attention", copy), maps(cams, "attention_refine: cams", copy);
  auto const where = policy(threads, "attention_refine");
  attention_refine_options const options{.layers = {layers.value_or(learned.is_none() ? 8 : 6), class_token},
                                         .affinity = affinity_options(rounds, squarings, "attention_refine"),
                                         .box_threshold = box_threshold,
                                         .boxes = boxes};
  return with_float_type(given, [&]<class T>() {
    auto const of = given.cells<T, 3>();
    auto const in = maps.cells<T, 3>();
    if (learned.is_none()) return into_array(without_gil([&] { return attention_refine(where, of, in, options); }));
    array_argument affinity(learned, "attention_refine: learned", copy);
    auto const near = affinity.cells<T, 2>();
    return into_array(without_gil([&] { return attention_refine(where, of, near, in, options); }));
  });
}

}  // namespace

void bind_attention(nb::module_& m)
{
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, rounds = nb::arg("rounds") = 3,
                  squarings = nb::arg("squarings") = 1, class_token = nb::arg("class_token") = true;
  m.def("mean_attention", mean_attention_of, array("attention"), nb::kw_only(), nb::arg("layers") = 8, class_token,
        threads, copy,
        nb::sig("def mean_attention(attention: Array, *, layers: int = 8, class_token: bool = True, threads: int = 0, "
                "copy: bool = False) -> NDArray[Any]"),
        "Average the attention of a transformer's last layers.\n\n"
        "attention    [L,T,T] float32 or float64, heads averaged\n"
        "layers       the last ones are used, all if there are fewer; > 0\n"
        "class_token  whether the first row and column are the class token's, which are left out\n\n"
        "Returns [N,N] of N tokens: T - 1 with a class token, otherwise T.");
  m.def(
      "attention_affinity", attention_affinity_of, array("weight"), nb::kw_only(), rounds, squarings, threads, copy,
      nb::sig("def attention_affinity(weight: Array, *, rounds: int = 3, squarings: int = 1, threads: int = 0, copy: "
              "bool = False) -> NDArray[Any]"),
      "Turn attention between tokens into a symmetric affinity: scale, symmetrise, square.\n\n"
      "weight     [N,N] float32 or float64, finite, as mean_attention makes it\n"
      "rounds     of dividing columns, then rows, by their sums; 0 to 1000\n"
      "squarings  of products with itself; 0 to 8\n\n"
      "Returns [N,N]. A column or row whose sum is 0 makes all of it NaN, as in the original. Source: CLIP-ES (Lin et "
      "al., CVPR 2023), section 3.3.");
  m.def("attention_refine", attention_refine_of, array("attention"), array("cams"),
        nb::arg("learned").none() = nb::none(), nb::kw_only(), nb::arg("layers").none() = nb::none(), class_token,
        rounds, squarings, nb::arg("boxes") = true, nb::arg("box_threshold") = 0.4, threads, copy,
        nb::sig("def attention_refine(attention: Array, cams: Array, learned: Array | None = None, *, layers: int | "
                "None = None, class_token: bool = True, rounds: int = 3, squarings: int = 1, boxes: bool = True, "
                "box_threshold: float = 0.4, threads: int = 0, copy: bool = False) -> NDArray[Any]"),
        "Refine CAMs by a transformer's attention: CLIP-ES, and WeCLIP with a learned affinity.\n\n"
        "refined = attention_affinity(mean_attention(attention)) @ (cams in boxes around their strong components)\n\n"
        "attention      [L,T,T] float32 or float64, heads averaged; T is H * W tokens, and the class token\n"
        "cams           [C,H,W] of the same type (float32 or float64), in [0,1]\n"
        "learned        [N,N] of the same type (float32 or float64), N = H * W: the layers that agree with it are "
        "averaged. None: all chosen layers\n"
        "layers         the last ones are used; None: 8, and 6 with a learned affinity\n"
        "class_token    whether the first row and column are the class token's, which are left out\n"
        "rounds         as in attention_affinity()\n"
        "squarings      as in attention_affinity()\n"
        "boxes          whether only what lies in boxes around strong components spreads\n"
        "box_threshold  in [0,1]: strong is above this part of a map's maximum; CLIP-ES has 0.4 for VOC, 0.7 for "
        "COCO\n\n"
        "Returns [C,H,W], not scaled again. Source: Lin et al., CVPR 2023; Zhang et al., \"Frozen CLIP\", CVPR 2024.");
}

}  // namespace bindings
