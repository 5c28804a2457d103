// Masks as run lengths, in the form of COCO's tools.

#include "arguments.hpp"
#include "bindings.hpp"
#include "masks.hpp"

#include <cambium/io/rle.hpp>
#include <cambium/io/rle_masks.hpp>

#include <nanobind/stl/string.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

extent2 size_of(nb::handle given, std::string const& what)
{
  extent2 const size = size_argument(given, what.c_str());
  expects(size.height <= longest_side && size.width <= longest_side, what, " is [", size.height, ", ", size.width,
          "]; expected sides up to 2^20");
  return size;
}

rle rle_of(nb::handle given, std::string const& what)
{
  if (!nb::isinstance<nb::dict>(given))
    throw nb::type_error(
        (what + " is " + name_of_type(given) + "; expected {'size': [height, width], 'counts': ...}").c_str());
  auto const entries = nb::borrow<nb::dict>(given);
  for (char const* const key : {"size", "counts"}) expects(entries.contains(key), what, " has no '", key, "'");
  auto const image = size_of(entries["size"], what + "['size']");
  nb::object const counts = entries["counts"];
  auto const parsed = [&](std::string_view text) {
    try {
      return parse_counts(text, image, what + "['counts']");
    } catch (io_error const& e) {
      throw precondition_error(e.what());  // no file
    }
  };
  if (nb::isinstance<nb::str>(counts)) return parsed(utf8_of(counts, what + "['counts']"));
  if (nb::isinstance<nb::bytes>(counts)) {
    auto const bytes = nb::borrow<nb::bytes>(counts);
    return parsed({static_cast<char const*>(bytes.data()), bytes.size()});
  }
  auto const numbers = numbers_of<std::int64_t>(counts, (what + "['counts']").c_str());
  rle mask{image.height, image.width, {numbers.begin(), numbers.end()}};
  std::string const error = error_in(mask);
  expects(error.empty(), what, "['counts']: ", error);
  return mask;
}

std::vector<rle> rles_of(nb::handle given, std::string const& what)
{
  std::vector<rle> out;
  for_each_item_of(given, what, "a list of masks as run lengths",
                   [&](nb::handle each, std::string const& at) { out.push_back(rle_of(each, at)); });
  return out;
}

nb::dict dict_of(rle const& mask, bool compressed)
{
  nb::dict out;
  nb::list size, counts;
  size.append(mask.height), size.append(mask.width);
  out["size"] = size;
  if (compressed) {
    out["counts"] = compressed_counts(mask);
  } else {
    for (index_t const n : mask.counts) counts.append(n);
    out["counts"] = counts;
  }
  return out;
}

namespace {

nb::object encode_rle_of(nb::handle mask, bool compressed, bool copy)
{
  array_argument given(mask, "encode_rle: mask", copy);
  auto const fits = [&](auto const& v) {
    for (index_t const side : v.extent)
      expects(side <= longest_side, "encode_rle: mask is ", given.described(), "; expected sides up to 2^20");
  };
  if (given.rank() == 3) {
    auto const masks = given.mask<3>();
    fits(masks);
    auto const all = without_gil([&] {
      std::vector<rle> out;
      for (index_t i = 0; i < masks.extent[0]; ++i) out.push_back(encode_rle(masks[i]));
      return out;
    });
    nb::list out;
    for (rle const& each : all) out.append(dict_of(each, compressed));
    return out;
  }
  auto const one = given.mask<2>();
  fits(one);
  return dict_of(without_gil([&] { return encode_rle(one); }), compressed);
}

/// Call one(rle) for a mask, or many(list of rle) for a list.
template <class One, class Many>
nb::object for_masks(nb::handle given, char const* what, One const& one, Many const& many)
{
  return nb::isinstance<nb::dict>(given) ? nb::object(one(rle_of(given, what)))
                                         : nb::object(many(rles_of(given, what)));
}

nb::object decode_rle_of(nb::handle given)
{
  auto const expects_room = [](std::vector<rle> const& masks) {
    double cells = 0;
    for (rle const& m : masks) {
      cells += static_cast<double>(m.height) * static_cast<double>(m.width);
      expects(m.height == masks[0].height && m.width == masks[0].width, "decode_rle: a mask is ", m.height, " x ",
              m.width, " but another one ", masks[0].height, " x ", masks[0].width);
    }
    expects(cells <= 4294967296.0, "decode_rle: rle has ", cells, " cells; expected at most 2^32");
  };
  return for_masks(
      given, "decode_rle: rle",
      [&](rle const& mask) {
        expects_room({mask});
        return into_array(without_gil([&] { return decode_rle(mask); }));
      },
      [&](std::vector<rle> const& masks) {
        expects_room(masks);
        return into_array(without_gil([&] {
          index_t const N = static_cast<index_t>(masks.size());
          auto out = make_grid<std::uint8_t>({N, N > 0 ? masks[0].height : 0, N > 0 ? masks[0].width : 0});
          for (index_t i = 0; i < N; ++i) {
            auto const one = decode_rle(masks[static_cast<std::size_t>(i)]);
            std::copy_n(one.data(), one.size(), out.data() + i * one.size());
          }
          return out;
        }));
      });
}

nb::object rle_area_of(nb::handle given)
{
  return for_masks(
      given, "rle_area: rle", [](rle const& mask) { return nb::cast(mask.area()); },
      [](std::vector<rle> const& masks) {
        std::vector<std::int64_t> out;
        for (rle const& m : masks) out.push_back(m.area());
        return into_array(std::move(out));
      });
}

nb::object rle_box_of(nb::handle given)
{
  auto const boxes = [](std::vector<rle> const& masks) {
    std::vector<double> out;
    for (rle const& m : masks)
      for (double const v : coco_box(bounds_of(m))) out.push_back(v);
    return out;
  };
  return for_masks(
      given, "rle_box: rle", [&](rle const& mask) { return into_array(boxes({mask}), {4}); },
      [&](std::vector<rle> const& masks) { return into_array(boxes(masks), {masks.size(), 4}); });
}

nb::object rle_iou_of(nb::handle detected, nb::handle truth, nb::handle crowd)
{
  auto const d = rles_of(detected, "rle_iou: detected"), t = rles_of(truth, "rle_iou: truth");
  auto const flags = crowd.is_none() ? std::vector<std::uint8_t>{} : numbers_of<std::uint8_t>(crowd, "rle_iou: crowd");
  return into_array(without_gil([&] { return rle_iou(d, t, flags); }));
}

nb::dict merge_rle_of(nb::handle given, std::string const& how)
{
  auto const masks = rles_of(given, "merge_rle: rles");
  auto const rule = choice<merge>(how, "merge_rle: how", {{"either", merge::either}, {"both", merge::both}});
  return dict_of(without_gil([&] { return merge_rle(masks, rule); }));
}

}  // namespace

void bind_rle(nb::module_& m)
{
  m.def("encode_rle", encode_rle_of, array("mask"), nb::kw_only(), nb::arg("compressed") = true,
        nb::arg("copy") = false,
        nb::sig("def encode_rle(mask: Array, *, compressed: bool = True, copy: bool = False) -> Any"),
        "Encode masks as run lengths, as COCO's tools do.\n\n"
        "mask        [H,W] uint8 or bool, nonzero inside, in C order; or [N,H,W]\n"
        "compressed  whether counts are COCO's text (str), or a list of lengths\n\n"
        "Returns {'size': [H, W], 'counts': ...}, which json.dump() and pycocotools take; a list of them for [N,H,W].");
  m.def("decode_rle", decode_rle_of, nb::arg("rle"),
        nb::sig("def decode_rle(rle: Rle | Sequence[Rle]) -> NDArray[np.uint8]"),
        "Decode run lengths to masks.\n\n"
        "rle  {'size': [H, W], 'counts': str, bytes or list of lengths}, or a list of them of one size\n\n"
        "Returns [H,W] 1 inside, 0 outside; [N,H,W] for a list.");
  m.def("rle_area", rle_area_of, nb::arg("rle"), nb::sig("def rle_area(rle: Rle | Sequence[Rle]) -> Any"),
        "The number of cells inside a mask.\n\n"
        "rle  as in decode_rle()\n\n"
        "Returns an int; int64 [N] for a list.");
  m.def("rle_box", rle_box_of, nb::arg("rle"), nb::sig("def rle_box(rle: Rle | Sequence[Rle]) -> NDArray[np.float64]"),
        "The smallest box around a mask.\n\n"
        "rle  as in decode_rle()\n\n"
        "Returns [4] left, top, width, height [pixels], all 0 for an empty mask; [N,4] for a list.");
  m.def("rle_iou", rle_iou_of, nb::arg("detected"), nb::arg("truth"), nb::arg("crowd") = nb::none(),
        nb::sig("def rle_iou(detected: Sequence[Rle], truth: Sequence[Rle], crowd: "
                "NDArray[Any] | Sequence[bool] | None = None) -> NDArray[np.float64]"),
        "The overlap of every detected mask with every true mask.\n\n"
        "detected  D masks as run lengths, of one size\n"
        "truth     G masks of the same size\n"
        "crowd     [G] flags: regions of several objects, where the divisor is the detection's area\n\n"
        "Returns [D,G]; 0 where two masks share no cell.");
  m.def("merge_rle", merge_rle_of, nb::arg("rles"), nb::kw_only(), nb::arg("how") = "either",
        nb::sig("def merge_rle(rles: Sequence[Rle], *, how: Literal['either', 'both'] = 'either') -> "
                "dict[str, Any]"),
        "The union or the intersection of masks.\n\n"
        "rles  at least one mask as run lengths; all of one size\n"
        "how   'either': union; 'both': intersection");
  m.def(
      "rle_of_polygon",
      [](nb::handle size, nb::handle xy) {
        auto const image = size_of(size, "rle_of_polygon: size");
        expects_plain(xy, "rle_of_polygon: xy");
        nb::object flat = nb::module_::import_("numpy").attr("asarray")(xy);
        if (nb::cast<std::size_t>(flat.attr("ndim")) != 1) {
          bool const pairs =
              nb::cast<std::size_t>(flat.attr("ndim")) == 2 && nb::cast<std::size_t>(flat.attr("shape")[1]) == 2;
          expects(pairs, "rle_of_polygon: xy is ", text_of(flat), "; expected [N,2], a (x,y) a corner, or a flat list");
          flat = flat.attr("reshape")(-1);
        }
        auto const corners = numbers_of<double>(flat, "rle_of_polygon: xy");
        return dict_of(without_gil([&] { return rle_of_polygon(image, corners); }));
      },
      nb::arg("size"), nb::arg("xy"),
      nb::sig("def rle_of_polygon(size: Sequence[int], xy: NDArray[Any] | Sequence[float] | Sequence[Sequence[float]]) "
              "-> dict[str, Any]"),
      "The mask inside an outline, with the bits of COCO's tools.\n\n"
      "size  [height, width] of the mask\n"
      "xy    [N,2] (x,y) of three corners or more [pixels], or a flat list x0 y0 x1 y1 ...; (0,0) is the outer corner "
      "of "
      "the first pixel");
}

}  // namespace bindings
