// BoxInst's losses of boxes, each with its gradient, and what they need.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/grid/aligned_bilinear.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/loss/box_cells.hpp>
#include <cambium/loss/box_projection.hpp>
#include <cambium/loss/lab.hpp>
#include <cambium/loss/pairwise.hpp>

#include <nanobind/stl/string.h>

#include <string>
#include <utility>

namespace bindings {

using namespace cambium;

namespace {

struct python_instance_loss {
  double value;
  nb::object gradient;
};

nb::object small_photograph_of(nb::handle photograph, index_t stride, int threads, bool copy)
{
  array_argument given(photograph, "small_photograph: photograph", copy);
  auto const where = policy(threads, "small_photograph");
  auto const pixels = given.cells<std::uint8_t, 3>();
  return into_array(without_gil([&] { return small_photograph(where, pixels, stride); }));
}

nb::object lab_colours_of(nb::handle photograph, int threads, bool copy)
{
  array_argument given(photograph, "lab_colours: photograph", copy);
  auto const where = policy(threads, "lab_colours");
  auto const pixels = given.cells<std::uint8_t, 3>();
  return into_array(without_gil([&] { return lab_colours(where, pixels); }));
}

nb::object sampled_mask_of(nb::handle mask, index_t stride, int threads, bool copy)
{
  array_argument given(mask, "sampled_mask: mask", copy);
  auto const where = policy(threads, "sampled_mask");
  auto const cells = given.mask<2>();
  return into_array(without_gil([&] { return sampled_mask(where, cells, stride); }));
}

nb::object sampled_box_of(nb::handle corners, index_t stride, nb::handle size, bool copy)
{
  array_argument given(corners, "sampled_box: corners", copy);
  auto const [H, W] = size_argument(size, "sampled_box: size");
  return with_float_type(given, [&, H = H, W = W]<class T>() {
    auto const all = given.cells<T, 2>();
    expects(all.extent[1] == 4, "sampled_box: corners is ", given.described(),
            "; expected [N,4], x1, y1, x2, y2 a box");
    auto out = make_grid<std::int64_t>({all.extent[0], 4});
    for (index_t n = 0; n < all.extent[0]; ++n) {
      double const four[4] = {static_cast<double>(all(n, 0)), static_cast<double>(all(n, 1)),
                              static_cast<double>(all(n, 2)), static_cast<double>(all(n, 3))};
      expects(!(four[2] < four[0]) && !(four[3] < four[1]), "sampled_box: corners(", n, ") are ", four[0], ", ",
              four[1], ", ", four[2], ", ", four[3], "; expected x1 <= x2 and y1 <= y2");
      box const b = sampled_box(four, stride, H, W);
      out(n, 0) = b.top, out(n, 1) = b.left, out(n, 2) = b.bottom, out(n, 3) = b.right;
    }
    return into_array(std::move(out));
  });
}

nb::object aligned_bilinear_of(nb::handle maps, index_t factor, int threads, bool copy)
{
  array_argument given(maps, "aligned_bilinear: maps", copy);
  auto const where = policy(threads, "aligned_bilinear");
  return with_float_type(given, [&]<class T>() {
    auto const from = given.cells<T, 3>();
    double const cells = static_cast<double>(from.size()) * static_cast<double>(factor) * static_cast<double>(factor);
    expects(cells <= 4294967296.0, "aligned_bilinear: factor is ", factor, ", which makes ", cells,
            " cells; expected at most 2^32");
    expects(from.size() > 0 || factor <= 65536, "aligned_bilinear: factor is ", factor, "; expected 1 to 65536");
    return into_array(without_gil([&] { return aligned_bilinear(where, from, factor); }));
  });
}

nb::object colour_similarity_of(nb::handle lab, nb::handle counts, int size, int dilation, int threads, bool copy)
{
  array_argument colours(lab, "colour_similarity: lab", copy), seen(counts, "colour_similarity: counts", copy);
  auto const where = policy(threads, "colour_similarity");
  auto const c = colours.cells<float, 3>();
  auto const m = seen.cells<std::uint8_t, 2>();
  return into_array(without_gil(
      [&] { return colour_similarity(where, c, m, pairwise_options{.size = size, .dilation = dilation}); }));
}

/// Bits of at most 24 neighbours, as int32: the type that every framework has.
nb::object similar_pairs_of(nb::handle lab, nb::handle counts, int size, int dilation, float threshold, int threads,
                            bool copy)
{
  array_argument colours(lab, "similar_pairs: lab", copy), seen(counts, "similar_pairs: counts", copy);
  auto const where = policy(threads, "similar_pairs");
  auto const c = colours.cells<float, 3>();
  auto const m = seen.cells<std::uint8_t, 2>();
  auto out = make_grid<std::int32_t>({m.extent[0], m.extent[1]});
  image_view<std::uint32_t> const bits(reinterpret_cast<std::uint32_t*>(out.data()), m.extent);
  without_gil([&] {
    similar_pairs_into(where, c, m, {.size = size, .dilation = dilation, .threshold = threshold}, bits);
    return 0;
  });
  return into_array(std::move(out));
}

/// Boxes [N,4] top, left, bottom, right, and the images that they are in, or None.
grid<boxed_instance, 1> instances_of(nb::handle boxes, nb::handle images, std::string const& who, bool copy)
{
  array_argument given(boxes, who + ": boxes", copy);
  grid<boxed_instance, 1> out;
  auto const read = [&](auto const& all) {
    expects(all.extent[1] == 4, who, ": boxes is ", given.described(),
            "; expected [N,4], top, left, bottom, right a box");
    out = grid<boxed_instance, 1>(all.extent[0]);
    for (index_t n = 0; n < all.extent[0]; ++n)
      out(n) = {{static_cast<index_t>(all(n, 0)), static_cast<index_t>(all(n, 1)), static_cast<index_t>(all(n, 2)),
                 static_cast<index_t>(all(n, 3))},
                0};
  };
  if (given.holds<std::int32_t>())
    read(given.cells<std::int32_t, 2>());
  else
    read(given.cells<std::int64_t, 2>());
  if (images.is_none()) return out;
  auto const places = integers(images, (who + ": images").c_str());
  auto const given_images = static_cast<index_t>(places.size());
  expects(given_images == out.size(), who, ": images has ", given_images, " entries of ", out.size(), " boxes");
  for (index_t n = 0; n < out.size(); ++n) out(n).image = places[static_cast<std::size_t>(n)];
  return out;
}

python_instance_loss box_projection_loss_of(nb::handle logits, nb::handle boxes, double smooth, int threads, bool copy)
{
  array_argument given(logits, "box_projection_loss: logits", copy);
  auto const where = policy(threads, "box_projection_loss");
  auto const of = instances_of(boxes, nb::none(), "box_projection_loss", copy);
  return with_float_type(given, [&]<class T>() -> python_instance_loss {
    auto const z = given.cells<T, 3>();
    auto got = without_gil([&] { return box_projection_loss(where, z, of, {.smooth = smooth}); });
    return {got.value, into_array(std::move(got.gradient))};
  });
}

python_instance_loss pairwise_loss_of(nb::handle logits, nb::handle boxes, nb::handle pairs, nb::handle images,
                                      int size, int dilation, double warm, int threads, bool copy)
{
  array_argument given(logits, "pairwise_loss: logits", copy), near(pairs, "pairwise_loss: pairs", copy);
  auto const where = policy(threads, "pairwise_loss");
  auto const of = instances_of(boxes, images, "pairwise_loss", copy);
  pairwise_options const options{.size = size, .dilation = dilation, .warm = warm};
  expects_square(options, "pairwise_loss");
  auto const signed_bits = near.cells<std::int32_t, 3>();
  expects_inside(where, signed_bits, std::int32_t{0}, (std::int32_t{1} << (size * size - 1)) - 1,
                 "pairwise_loss: pairs", "bits of the neighbours, as similar_pairs makes them");
  stack_view<std::uint32_t const> const bits(reinterpret_cast<std::uint32_t const*>(signed_bits.data),
                                             signed_bits.extent);
  return with_float_type(given, [&]<class T>() -> python_instance_loss {
    auto const z = given.cells<T, 3>();
    auto got = without_gil([&] { return pairwise_loss(where, z, of, bits, options); });
    return {got.value, into_array(std::move(got.gradient))};
  });
}

constexpr char const* square_text =
    "size       3 or 5: the neighbours are a square of size x size cells without its middle, row by row\n"
    "dilation   [cells] from neighbour to neighbour; 1 to 1024\n";
constexpr char const* colour_text =
    "lab        [3,H,W] float32 colours, as lab_colours makes them\n"
    "counts     [H,W] uint8 or bool: 0 where the photograph does not count, as sampled_mask makes it\n";

void bind_box_losses(nb::module_& m)
{
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, size = nb::arg("size") = 3,
                  dilation = nb::arg("dilation") = 2;
  nb::class_<python_instance_loss>(m, "InstanceLoss", "A loss of boxed instances and its gradient by their logits.")
      .def_ro("value", &python_instance_loss::value, "The loss.")
      .def_ro("gradient", &python_instance_loss::gradient, nb::sig("def gradient(self, /) -> NDArray[Any]"),
              "[N,H,W] d value / d logits.")
      .def("__repr__", [](python_instance_loss const& r) {
        return "InstanceLoss(value=" + message_part(r.value) + ", gradient=" + text_of(r.gradient) + ")";
      });
  m.def("box_projection_loss", box_projection_loss_of, array("logits"), array("boxes"), nb::kw_only(),
        nb::arg("smooth") = 1e-5, threads, copy,
        nb::sig("def box_projection_loss(logits: Array, boxes: Array, *, smooth: float = 1e-05, threads: int = 0, "
                "copy: bool = False) -> InstanceLoss"),
        "Compare the projections of masks on both axes with those of their boxes: BoxInst's projection loss.\n\n"
        "value = mean over instances of the sum over both axes of 1 - 2 sum(m t) / (sum m^2 + sum t^2 + smooth), where "
        "m is the largest probability of a row or column and t is 1 in the box\n\n"
        "logits  [N,H,W] float32 or float64, finite: a map per instance\n"
        "boxes   [N,4] int64 or int32: top, left, bottom, right on the map, as sampled_box makes them. An empty box "
        "costs 2\n"
        "smooth  added to the divisor; > 0\n\n"
        "Returns the value, 0 to 2, and its gradient. Source: Tian et al., \"BoxInst\", CVPR 2021, eq. (2).");
  static std::string const pairwise_doc =
      std::string(
          "Ask neighbours of similar colour for equal labels: BoxInst's pairwise loss.\n\n"
          "value = warm * sum of -log(P(p) P(q) + (1-P(p)) (1-P(q))) / max(1, pairs), over all pairs whose first cell "
          "is in the instance's box and whose colours are similar; P = 1 / (1 + e^-logit)\n\n"
          "logits     [N,H,W] float32 or float64, finite: a map per instance\n"
          "boxes      [N,4] int64 or int32: top, left, bottom, right on the map\n"
          "pairs      [B,H,W] int32: similar_pairs of each image, of the same size and dilation\n"
          "images     [N] image of the batch that each instance is in, 0..B-1. None: all in image 0\n") +
      square_text +
      "warm       factor of value and gradient, >= 0: see pairwise_warm_up\n\n"
      "Returns the value and its gradient; both are 0 without pairs. Source: Tian et al., \"BoxInst\", CVPR 2021, eq. "
      "(6) and (8).";
  m.def("pairwise_loss", pairwise_loss_of, array("logits"), array("boxes"), array("pairs"), nb::kw_only(),
        nb::arg("images").none() = nb::none(), size, dilation, nb::arg("warm") = 1.0, threads, copy,
        nb::sig("def pairwise_loss(logits: Array, boxes: Array, pairs: Array, *, images: Sequence[int] | "
                "NDArray[np.integer] | None = None, size: int = 3, dilation: int = 2, warm: float = 1.0, threads: int "
                "= 0, copy: bool = False) -> InstanceLoss"),
        pairwise_doc.c_str());
  m.def(
      "pairwise_warm_up", [](index_t iteration, index_t steps) { return pairwise_warm_up(iteration, steps); },
      nb::arg("iteration"), nb::arg("steps") = 10000,
      nb::sig("def pairwise_warm_up(iteration: int, steps: int = 10000) -> float"),
      "Give the factor of the pairwise loss in a step of a training: it rises to 1.\n\n"
      "iteration  counts from 1\n"
      "steps      the step with the factor 1; >= 1");
}

void bind_pair_inputs(nb::module_& m)
{
  nb::arg_v const threads = nb::arg("threads") = 0, copy = nb::arg("copy") = false, size = nb::arg("size") = 3,
                  dilation = nb::arg("dilation") = 2, stride = nb::arg("stride") = 4;
  m.def("small_photograph", small_photograph_of, array("photograph"), stride, nb::kw_only(), threads, copy,
        nb::sig("def small_photograph(photograph: Array, stride: int = 4, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.uint8]"),
        "Reduce a photograph: every cell takes the mean of its block, truncated to a byte.\n\n"
        "photograph  [H,W,3] uint8\n"
        "stride      [pixels per cell] >= 1\n\n"
        "Returns [H//stride,W//stride,3]. Rows and columns beyond the last whole block count nothing.");
  m.def("lab_colours", lab_colours_of, array("photograph"), nb::kw_only(), threads, copy,
        nb::sig("def lab_colours(photograph: Array, *, threads: int = 0, copy: bool = False) -> NDArray[np.float32]"),
        "Turn a photograph into CIE L*a*b* colours, whose distances are about those that people see.\n\n"
        "photograph  [H,W,3] uint8 sRGB\n\n"
        "Returns [3,H,W]: L in 0 to 100, a and b in about -108 to 99. The constants are those of scikit-image.");
  m.def("sampled_mask", sampled_mask_of, array("mask"), stride, nb::kw_only(), threads, copy,
        nb::sig("def sampled_mask(mask: Array, stride: int = 4, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[np.uint8]"),
        "Sample a mask of the photograph at the cells of a smaller map, as sampled_box does.\n\n"
        "mask    [H,W] uint8 or bool: 1 on the photograph, 0 in its padding\n"
        "stride  [pixels per cell] >= 1\n\n"
        "Returns [H//stride,W//stride] 0 or 1.");
  m.def(
      "sampled_box", sampled_box_of, array("corners"), nb::arg("stride"), array("size"), nb::kw_only(), copy,
      nb::sig("def sampled_box(corners: Array, stride: int, size: Sequence[int] | NDArray[np.integer], *, copy: bool "
              "= False) -> NDArray[np.int64]"),
      "Find the cells of a map whose samples lie in boxes of the photograph.\n\n"
      "corners  [N,4] float64 or float32: x1, y1, x2, y2 [pixels], finite, x1 <= x2, y1 <= y2; corners are truncated\n"
      "stride   [pixels per cell] >= 1: cell (i,j) samples pixel (stride//2 + stride*i, stride//2 + stride*j)\n"
      "size     (H,W) of the map\n\n"
      "Returns [N,4] top, left, bottom, right; top = bottom where a box holds no sample.");
  m.def("aligned_bilinear", aligned_bilinear_of, array("maps"), nb::arg("factor"), nb::kw_only(), threads, copy,
        nb::sig("def aligned_bilinear(maps: Array, factor: int, *, threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Enlarge maps so that every factor-th cell keeps its value, as masks of dynamic convolutions are enlarged.\n\n"
        "maps    [C,H,W] float32 or float64\n"
        "factor  [cells per cell] >= 1\n\n"
        "Returns [C,factor*H,factor*W] of the maps' type: out[c, factor//2 + factor*i, factor//2 + factor*j] = "
        "maps[c,i,j].");
  static std::string const similarity_doc =
      std::string("Compute how similar the colours of cells and their neighbours are: exp(-|difference| / 2).\n\n") +
      colour_text + square_text +
      "\nReturns [size*size-1,H,W] in [0,1]; 0 where the neighbour is outside or does not count.";
  m.def("colour_similarity", colour_similarity_of, array("lab"), array("counts"), nb::kw_only(), size, dilation,
        threads, copy,
        nb::sig("def colour_similarity(lab: Array, counts: Array, *, size: int = 3, dilation: int = 2, threads: int = "
                "0, copy: bool = False) -> NDArray[np.float32]"),
        similarity_doc.c_str());
  static std::string const pairs_doc =
      std::string("Find the neighbours of each cell whose colours are similar.\n\n") + colour_text + square_text +
      "threshold  in [0,1]: pairs of at least this similarity count\n\n"
      "Returns [H,W]: bit k is set if neighbour k is similar, in the order of colour_similarity.";
  m.def("similar_pairs", similar_pairs_of, array("lab"), array("counts"), nb::kw_only(), size, dilation,
        nb::arg("threshold") = 0.3F, threads, copy,
        nb::sig("def similar_pairs(lab: Array, counts: Array, *, size: int = 3, dilation: int = 2, threshold: float = "
                "0.3, threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
        pairs_doc.c_str());
}

}  // namespace

void bind_loss_boxes(nb::module_& m)
{
  bind_box_losses(m);
  bind_pair_inputs(m);
}

}  // namespace bindings
