// Pixel-adaptive refinement: PAR and PAMR.

#include "arguments.hpp"
#include "bindings.hpp"

#include <cambium/pipeline/pixel_adaptive.hpp>

#include <nanobind/stl/string.h>

#include <span>

namespace bindings {

using namespace cambium;

namespace {

dilated_neighbours dilations_of(nb::handle given, std::string const& who)
{
  auto const numbers = integers(given, (who + ": dilations").c_str());
  return dilated_neighbours(std::span<int const>(numbers));
}

/// A function of an image and of masks, or of batches of both, all of the masks' type: one(where, image, masks) and
/// batch(where, image, masks) -> grid.
template <class One, class Batch>
nb::object refined(nb::handle image, nb::handle masks, std::string const& who, int threads, bool copy, One const& one,
                   Batch const& batch)
{
  array_argument colours(image, who + ": image", copy), given(masks, who + ": masks", copy);
  auto const where = policy(threads, who.c_str());
  return with_float_type(given, [&]<class T>() -> nb::object {
    if (given.rank() == 4) {
      auto const in = colours.cells<T, 4>();
      auto const from = given.cells<T, 4>();
      return into_array(without_gil([&] { return batch(where, in, from); }));
    }
    auto const in = colours.cells<T, 3>();
    auto const from = given.cells<T, 3>();
    return into_array(without_gil([&] { return one(where, in, from); }));
  });
}

adaptive_size size_of(std::string const& given, char const* what)
{
  return choice<adaptive_size>(given, what, {{"image", adaptive_size::image}, {"masks", adaptive_size::masks}});
}

nb::object par_of(nb::handle image, nb::handle masks, nb::handle dilations, index_t steps, std::string const& size,
                  bool normalise, int threads, bool copy)
{
  pixel_adaptive_options const options{dilations_of(dilations, "par"), steps, size_of(size, "par: size"), normalise};
  return refined(
      image, masks, "par", threads, copy,
      [&](auto const& where, auto const& in, auto const& from) { return par(where, in, from, options); },
      [&](auto const& where, auto const& in, auto const& from) { return par_batch(where, in, from, options); });
}

nb::object pamr_of(nb::handle image, nb::handle masks, nb::handle dilations, index_t steps, std::string const& size,
                   int threads, bool copy)
{
  pixel_adaptive_options const options{dilations_of(dilations, "pamr"), steps, size_of(size, "pamr: size"), false};
  return refined(
      image, masks, "pamr", threads, copy,
      [&](auto const& where, auto const& in, auto const& from) { return pamr(where, in, from, options); },
      [&](auto const& where, auto const& in, auto const& from) { return pamr_batch(where, in, from, options); });
}

}  // namespace

void bind_pixel_adaptive(nb::module_& m)
{
  m.def("par", par_of, array("image"), array("masks"), nb::kw_only(),
        nb::arg("dilations") = nb::make_tuple(1, 2, 4, 8, 12, 24), nb::arg("steps") = 10, nb::arg("size") = "image",
        nb::arg("normalise") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def par(image: Array, masks: Array, *, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24), steps: int = "
                "10, size: Literal['image', 'masks'] = 'image', normalise: bool = False, threads: int = 0, copy: bool "
                "= False) -> NDArray[Any]"),
        "Refine masks by the colours of an image, as PAR of AFA, ToCo and WeCLIP does: in each step every pixel takes "
        "the weighted sum of its neighbours in eight directions. Neighbours of similar colour weigh most.\n\n"
        "image      [K,H,W] or [B,K,H,W] of the masks' type: colours in any unit, at most 1e6 in size\n"
        "masks      [C,h,w] or [B,C,h,w] float32 or float64, finite; any number of channels\n"
        "dilations  [pixels] distances of the neighbours, 1 to 32 numbers >= 1\n"
        "steps      >= 0; 0 only resizes\n"
        "size       'image': masks are resized to the image; 'masks': the image to the masks, as WeCLIP does\n"
        "normalise  weights sum to 1; without it to 1.01, as in the original, so each step makes masks 1 % larger\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns [C,H,W] or [B,C,H,W] of the masks' type. Stands for PAR.forward of ToCo; float32 takes a hundredth "
        "of its memory.");
  m.def("pamr", pamr_of, array("image"), array("masks"), nb::kw_only(),
        nb::arg("dilations") = nb::make_tuple(1, 2, 4, 8, 12, 24), nb::arg("steps") = 10, nb::arg("size") = "image",
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def pamr(image: Array, masks: Array, *, dilations: Sequence[int] = (1, 2, 4, 8, 12, 24), steps: int = "
                "10, size: Literal['image', 'masks'] = 'image', threads: int = 0, copy: bool = False) -> "
                "NDArray[Any]"),
        "Refine masks by the colours of an image, as PAMR does. Weights sum to 1, so a constant mask stays.\n\n"
        "image      [K,H,W] or [B,K,H,W] of the masks' type: colours in any unit, at most 1e6 in size\n"
        "masks      [C,h,w] or [B,C,h,w] float32 or float64, finite; any number of channels\n"
        "dilations  [pixels] distances of the neighbours, 1 to 32 numbers >= 1; PAMR's class has (1,)\n"
        "steps      >= 0; 0 only resizes. PAMR's class has 1\n"
        "size       'image': masks are resized to the image; 'masks': the image to the masks\n"
        "threads    0: all cores\n"
        "copy       convert another dtype or order instead of refusing it\n\n"
        "Returns [C,H,W] or [B,C,H,W] of the masks' type. Stands for PAMR.forward of 1-stage-wseg.");
}

}  // namespace bindings
