// Sets of masks of one image: overlaps, suppression, small regions, painting, merging, votes.

#include "arguments.hpp"
#include "bindings.hpp"
#include "masks.hpp"
#include "results.hpp"

#include <cambium/io/mask_runs.hpp>
#include <cambium/proposal/clean.hpp>
#include <cambium/proposal/matrix_nms.hpp>
#include <cambium/proposal/merge.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/paint.hpp>
#include <cambium/proposal/pairwise.hpp>
#include <cambium/proposal/small_regions.hpp>
#include <cambium/proposal/soft_nms.hpp>
#include <cambium/proposal/stability.hpp>
#include <cambium/proposal/vote.hpp>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace bindings {

using namespace cambium;

namespace {

/// Masks as Python holds them.
struct python_masks {
  mask_set<> set;
};

nb::object to_python(mask_set<>&& set) { return nb::cast(python_masks{std::move(set)}); }

/// Throws unless so many cells may be taken.
void expects_cells(double cells, char const* who)
{
  expects(cells <= 4294967296.0, who, ": ", cells, " cells; expected at most 2^32");
}
double cells_of(mask_set<> const& set)
{
  return static_cast<double>(set.image.height) * static_cast<double>(set.image.width);
}

std::vector<double> scores_of(nb::handle given, std::string const& who)
{
  return numbers_of<double>(given, (who + ": scores").c_str());
}
std::vector<std::int32_t> categories_of(nb::handle given, std::string const& who)
{
  return given.is_none() ? std::vector<std::int32_t>{} : integers(given, (who + ": categories").c_str());
}

nb::object to_array(std::vector<index_t> const& from)
{
  std::vector<std::int64_t> all(from.begin(), from.end());
  std::size_t const n = all.size();
  return into_array(std::move(all), {n});
}

/// Places and scores of kept masks.
nb::object to_python(std::vector<scored_mask> const& kept)
{
  std::vector<std::int64_t> places;
  std::vector<double> scores;
  for (auto const& m : kept) places.push_back(m.index), scores.push_back(m.score);
  std::size_t const n = places.size();
  return nb::make_tuple(into_array(std::move(places), {n}), into_array(std::move(scores), {n}));
}
nb::object to_python(std::vector<mask_vote> const& votes)
{
  std::vector<std::int32_t> categories;
  std::vector<double> scores;
  for (auto const& v : votes) categories.push_back(v.category), scores.push_back(v.score);
  std::size_t const n = categories.size();
  return nb::make_tuple(into_array(std::move(categories), {n}), into_array(std::move(scores), {n}));
}

nms_kernel kernel_argument(std::string const& name, char const* what)
{
  return choice<nms_kernel>(name, what, {{"linear", nms_kernel::linear}, {"gaussian", nms_kernel::gaussian}});
}
paint_order order_argument(std::string const& name, char const* what)
{
  return choice<paint_order>(name, what,
                             {{"by_score", paint_order::by_score},
                              {"largest_first", paint_order::largest_first},
                              {"smallest_first", paint_order::smallest_first}});
}

nb::object pack_masks_of(nb::handle masks, std::optional<double> above, int threads, bool copy)
{
  auto const where = policy(threads, "pack_masks");
  array_argument given(masks, "pack_masks: masks", copy);
  if (above)
    return with_float_type(given, [&]<class T>() {
      auto const maps = given.cells<T, 3>();
      return to_python(without_gil([&] { return pack_masks_above(where, maps, *above); }));
    });
  auto const cells = given.mask<3>();
  return to_python(without_gil([&] { return pack_masks(where, cells); }));
}

nb::object pack_rle_of(nb::handle masks, nb::handle size, int threads)
{
  auto const where = policy(threads, "pack_rle");
  auto const runs = rles_of(masks, "pack_rle: masks");
  expects(!runs.empty() || !size.is_none(), "pack_rle: no masks; expected a size");
  auto const image = size.is_none() ? extent2{runs[0].height, runs[0].width} : size_of(size, "pack_rle: size");
  expects_cells(static_cast<double>(image.height) * static_cast<double>(image.width), "pack_rle");
  return to_python(without_gil([&] { return pack_masks(where, runs, image); }));
}

/// One of the functions of pairs, of one set or of two.
template <class One, class Two>
nb::object of_pairs(python_masks const& a, nb::handle others, char const* who, One const& one, Two const& two)
{
  python_masks const* b = nullptr;
  if (!others.is_none() && !nb::try_cast(others, b, false))
    throw nb::type_error((std::string(who) + ": others is " + name_of_type(others) + "; expected a MaskSet").c_str());
  expects_cells(static_cast<double>(a.set.size()) * static_cast<double>((b != nullptr ? b->set : a.set).size()), who);
  return b == nullptr ? nb::object(into_array(without_gil([&] { return one(); })))
                      : nb::object(into_array(without_gil([&] { return two(b->set); })));
}

nb::object stability_of(nb::handle maps, double threshold, double offset, int threads, bool copy)
{
  auto const where = policy(threads, "stability_score");
  array_argument given(maps, "stability_score: maps", copy);
  return with_float_type(given, [&]<class T>() {
    auto const cells = given.cells<T, 3>();
    auto const found = without_gil([&] { return stability(where, cells, {.threshold = threshold, .offset = offset}); });
    std::vector<double> scores;
    for (auto const& m : found.cells()) scores.push_back(m.score);
    std::size_t const n = scores.size();
    return into_array(std::move(scores), {n});
  });
}

nb::object flags(std::vector<std::uint8_t>&& changed)
{
  std::size_t const n = changed.size();
  return into_array(std::move(changed), {n});
}

nb::object merge_masks_of(python_masks const& masks, nb::handle map, index_t classes, std::string const& form,
                          double inside, double holds, bool keep_ignore, int threads, bool copy)
{
  auto const where = policy(threads, "merge_masks");
  array_argument given(map, "merge_masks: map", copy);
  merge_options const o{.classes = classes,
                        .form = choice<merge_form>(form, "merge_masks: form",
                                                   {{"max_iou", merge_form::max_iou},
                                                    {"max_iou_imp", merge_form::max_iou_imp},
                                                    {"max_iou_imp2", merge_form::max_iou_imp2}}),
                        .inside = inside,
                        .holds = holds,
                        .keep_ignore = keep_ignore};
  return with_label_type(given, [&]<class T>() {
    auto const labels = given.cells<T, 2>();
    return into_array(without_gil([&] { return merge_masks(where, masks.set, labels, o); }));
  });
}

constexpr char const* nms_text =
    "masks       N masks\n"
    "scores      [N] finite numbers\n";
constexpr char const* categories_text =
    "categories  [N] integers, or None: only masks of one category suppress each other\n";

}  // namespace

void bind_proposal(nb::module_& m)
{
  nb::class_<python_masks>(m, "MaskSet",
                           "Masks of one image, which may overlap, one bit a pixel: pack_masks and pack_rle make them.")
      .def_prop_ro(
          "size", [](python_masks const& s) { return nb::make_tuple(s.set.image.height, s.set.image.width); },
          nb::sig("def size(self) -> tuple[int, int]"), "Height and width of the image.")
      .def_prop_ro(
          "area",
          [](python_masks const& s) {
            auto out = make_grid<std::int64_t>({s.set.size()});
            for (index_t i = 0; i < s.set.size(); ++i) out(i) = s.set.masks(i).area;
            return into_array(std::move(out));
          },
          nb::sig("def area(self) -> NDArray[np.int64]"), "[N] cells.")
      .def_prop_ro(
          "bounds",
          [](python_masks const& s) {
            auto out = make_grid<std::int64_t>({s.set.size(), 4});
            for (index_t i = 0; i < s.set.size(); ++i) {
              box const& b = s.set.masks(i).bounds;
              out(i, 0) = b.top, out(i, 1) = b.left, out(i, 2) = b.bottom, out(i, 3) = b.right;
            }
            return into_array(std::move(out));
          },
          nb::sig("def bounds(self) -> NDArray[np.int64]"),
          "[N,4] top, left, bottom, right; bottom and right are one behind the last cell. 0 where there is none.")
      .def_prop_ro(
          "nbytes",
          [](python_masks const& s) {
            return s.set.words.size() * 8 + s.set.size() * static_cast<index_t>(sizeof(packed_mask));
          },
          nb::sig("def nbytes(self) -> int"), "Memory of the masks.")
      .def("__len__", [](python_masks const& s) { return s.set.size(); })
      .def("__repr__", [](python_masks const& s) {
        return "MaskSet(" + std::to_string(s.set.size()) + " masks of " + std::to_string(s.set.image.height) + " x " +
               std::to_string(s.set.image.width) + ")";
      });

  m.def("pack_masks", pack_masks_of, array("masks"), nb::kw_only(), nb::arg("above") = nb::none(),
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def pack_masks(masks: Array, *, above: float | None = None, threads: int = 0, copy: bool = False) -> "
                "MaskSet"),
        "Pack masks, 64 pixels a word.\n\n"
        "masks  [N,H,W] uint8 or bool; with above float32 or float64, for example logits\n"
        "above  cells above it are inside, strictly; None: cells that are not 0");
  m.def("pack_rle", pack_rle_of, nb::arg("masks"), nb::kw_only(), nb::arg("size") = nb::none(), nb::arg("threads") = 0,
        nb::sig("def pack_rle(masks: Sequence[Rle], *, size: tuple[int, int] | None = None, threads: int = 0) -> "
                "MaskSet"),
        "Pack masks from COCO's run lengths.\n\n"
        "masks  N masks of one size\n"
        "size   (H,W) of the image; None: that of the first mask");
  m.def(
      "unpack_masks",
      [](python_masks const& masks, int threads) {
        auto const where = policy(threads, "unpack_masks");
        expects_cells(cells_of(masks.set) * static_cast<double>(masks.set.size()), "unpack_masks");
        return into_array(without_gil([&] { return unpack_masks(where, masks.set); }));
      },
      nb::arg("masks"), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def unpack_masks(masks: MaskSet, *, threads: int = 0) -> NDArray[np.uint8]"),
      "Unpack masks to [N,H,W], 1 inside and 0 outside.\n\nmasks  N masks");
  m.def(
      "masks_to_rle",
      [](python_masks const& masks, int threads) {
        auto const where = policy(threads, "masks_to_rle");
        auto const runs = without_gil([&] { return encode_rle(where, masks.set); });
        nb::list out;
        for (auto const& each : runs) out.append(dict_of(each));
        return out;
      },
      nb::arg("masks"), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def masks_to_rle(masks: MaskSet, *, threads: int = 0) -> list[Rle]"),
      "Encode masks as COCO's run lengths.\n\nmasks  N masks");
  m.def(
      "select_masks",
      [](python_masks const& masks, nb::handle which) {
        auto const places = numbers_of<std::int64_t>(which, "select_masks: which");
        double words = 0;
        for (auto const i : places)
          if (0 <= i && i < masks.set.size()) words += static_cast<double>(masks.set.masks(i).size());
        expects_cells(64 * words, "select_masks");
        std::vector<index_t> const of(places.begin(), places.end());
        return to_python(select_masks(masks.set, of));
      },
      nb::arg("masks"), nb::arg("which"),
      nb::sig("def select_masks(masks: MaskSet, which: Sequence[int] | NDArray[Any]) -> MaskSet"),
      "Choose masks, in any order.\n\n"
      "masks  N masks\n"
      "which  [M] int64 places, 0..N-1");

  m.def(
      "pairwise_intersection",
      [](python_masks const& a, nb::handle others, int threads) {
        auto const where = policy(threads, "pairwise_intersection");
        return of_pairs(
            a, others, "pairwise_intersection", [&] { return pairwise_intersection(where, a.set); },
            [&](mask_set<> const& b) { return pairwise_intersection(where, a.set, b); });
      },
      nb::arg("masks"), nb::arg("others") = nb::none(), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def pairwise_intersection(masks: MaskSet, others: MaskSet | None = None, *, threads: int = 0) -> "
              "NDArray[np.int64]"),
      "Count the cells that masks share.\n\n"
      "masks   N masks\n"
      "others  M masks of the same image; None: the same masks\n\nReturns [N,M].");
  m.def(
      "pairwise_iou",
      [](python_masks const& a, nb::handle others, int threads) {
        auto const where = policy(threads, "pairwise_iou");
        return of_pairs(
            a, others, "pairwise_iou", [&] { return pairwise_iou(where, a.set); },
            [&](mask_set<> const& b) { return pairwise_iou(where, a.set, b); });
      },
      nb::arg("masks"), nb::arg("others") = nb::none(), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def pairwise_iou(masks: MaskSet, others: MaskSet | None = None, *, threads: int = 0) -> "
              "NDArray[np.float64]"),
      "Compute the overlaps of masks: shared cells over cells of either. 0 where both are empty.\n\n"
      "masks   N masks\n"
      "others  M masks of the same image; None: the same masks\n\nReturns [N,M].");
  m.def(
      "pairwise_containment",
      [](python_masks const& a, nb::handle others, int threads) {
        auto const where = policy(threads, "pairwise_containment");
        return of_pairs(
            a, others, "pairwise_containment", [&] { return pairwise_containment(where, a.set); },
            [&](mask_set<> const& b) { return pairwise_containment(where, a.set, b); });
      },
      nb::arg("masks"), nb::arg("others") = nb::none(), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def pairwise_containment(masks: MaskSet, others: MaskSet | None = None, *, threads: int = 0) -> "
              "NDArray[np.float64]"),
      "Compute the share of each mask that lies in each other one. 0 for an empty mask.\n\n"
      "masks   N masks\n"
      "others  M masks of the same image; None: the same masks\n\nReturns [N,M].");

  m.def(
      "mask_nms",
      [](python_masks const& masks, nb::handle scores, double threshold, nb::handle categories, bool boxes,
         int threads) {
        auto const where = policy(threads, "mask_nms");
        auto const s = scores_of(scores, "mask_nms");
        auto const c = categories_of(categories, "mask_nms");
        return to_array(without_gil([&] {
          return boxes ? box_nms(where, masks.set, s, {threshold}, c) : mask_nms(where, masks.set, s, {threshold}, c);
        }));
      },
      nb::arg("masks"), nb::arg("scores"), nb::kw_only(), nb::arg("threshold") = 0.7,
      nb::arg("categories") = nb::none(), nb::arg("boxes") = false, nb::arg("threads") = 0,
      nb::sig("def mask_nms(masks: MaskSet, scores: Sequence[float] | NDArray[Any], *, threshold: float = 0.7, "
              "categories: Sequence[int] | NDArray[Any] | None = None, boxes: bool = False, threads: int = 0) -> "
              "NDArray[np.int64]"),
      ("Keep the best masks: by falling score, each suppresses those that overlap it more.\n\n" +
       std::string(nms_text) + "threshold   overlap above it suppresses, strictly\n" + categories_text +
       "boxes       overlap of the masks' boxes, as segment-anything's generator takes it\n\n"
       "Returns places of the kept masks, by falling score.")
          .c_str());
  m.def(
      "soft_nms",
      [](python_masks const& masks, nb::handle scores, std::string const& kernel, double sigma, double threshold,
         double min_score, nb::handle categories, int threads) {
        auto const where = policy(threads, "soft_nms");
        auto const s = scores_of(scores, "soft_nms");
        auto const c = categories_of(categories, "soft_nms");
        soft_nms_options const o{kernel_argument(kernel, "soft_nms: kernel"), sigma, threshold, min_score};
        return to_python(without_gil([&] { return soft_nms(where, masks.set, s, o, c); }));
      },
      nb::arg("masks"), nb::arg("scores"), nb::kw_only(), nb::arg("kernel") = "gaussian", nb::arg("sigma") = 0.5,
      nb::arg("threshold") = 0.3, nb::arg("min_score") = 0.001, nb::arg("categories") = nb::none(),
      nb::arg("threads") = 0,
      nb::sig("def soft_nms(masks: MaskSet, scores: Sequence[float] | NDArray[Any], *, kernel: Literal['gaussian', "
              "'linear'] = "
              "'gaussian', sigma: float = 0.5, threshold: float = 0.3, min_score: float = 0.001, "
              "categories: Sequence[int] | NDArray[Any] | None = None, threads: int = 0) -> "
              "tuple[NDArray[np.int64], NDArray[np.float64]]"),
      ("Lower the scores of masks that overlap better ones, one after the other.\n\n" + std::string(nms_text) +
       "kernel      'gaussian': exp(-u^2 / sigma); 'linear': 1 - u above the threshold\n"
       "sigma       > 0; larger is weaker\n"
       "threshold   of linear\n"
       "min_score   masks below it are dropped\n" +
       categories_text + "\nReturns places and scores of the kept masks, in the order of being kept.")
          .c_str());
  m.def(
      "matrix_nms",
      [](python_masks const& masks, nb::handle scores, std::string const& kernel, double sigma, index_t nms_pre,
         index_t max_num, double filter_thr, nb::handle categories, int threads) {
        auto const where = policy(threads, "matrix_nms");
        auto const s = scores_of(scores, "matrix_nms");
        auto const c = categories_of(categories, "matrix_nms");
        matrix_nms_options const o{kernel_argument(kernel, "matrix_nms: kernel"), sigma, nms_pre, max_num, filter_thr};
        return to_python(without_gil([&] { return matrix_nms(where, masks.set, s, o, c); }));
      },
      nb::arg("masks"), nb::arg("scores"), nb::kw_only(), nb::arg("kernel") = "gaussian", nb::arg("sigma") = 2.0,
      nb::arg("nms_pre") = -1, nb::arg("max_num") = -1, nb::arg("filter_thr") = -1.0,
      nb::arg("categories") = nb::none(), nb::arg("threads") = 0,
      nb::sig("def matrix_nms(masks: MaskSet, scores: Sequence[float] | NDArray[Any], *, kernel: Literal['gaussian', "
              "'linear'] "
              "= 'gaussian', sigma: float = 2.0, nms_pre: int = -1, max_num: int = -1, filter_thr: float = -1.0, "
              "categories: Sequence[int] | NDArray[Any] | None = None, threads: int = 0) -> "
              "tuple[NDArray[np.int64], NDArray[np.float64]]"),
      ("Lower the scores of masks by their overlap with better ones, all at once (SOLO).\n\n" + std::string(nms_text) +
       "kernel      'gaussian': exp(-sigma u^2); 'linear': 1 - u\n"
       "sigma       >= 0; larger is stronger\n"
       "nms_pre     the best so many take part; -1: all\n"
       "max_num     the best so many are kept; -1: all\n"
       "filter_thr  if > 0, masks with a lower score are dropped\n" +
       categories_text + "\nReturns places and new scores of the kept masks, by falling score.")
          .c_str());

  m.def("stability_score", stability_of, array("maps"), nb::kw_only(), nb::arg("threshold") = 0.0,
        nb::arg("offset") = 1.0, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def stability_score(maps: Array, *, threshold: float = 0.0, offset: float = 1.0, threads: int = 0, "
                "copy: bool = False) -> NDArray[np.float64]"),
        "Measure how little masks depend on the threshold that cuts them: cells above threshold + offset over cells "
        "above\nthreshold - offset.\n\n"
        "maps       [N,H,W] float32 or float64 logits\n"
        "threshold  finite\n"
        "offset     >= 0\n\nReturns [N] scores; 0 for a mask without a cell.");
  m.def(
      "remove_small_regions",
      [](python_masks const& masks, double area, std::string const& mode, int threads) {
        auto const where = policy(threads, "remove_small_regions");
        auto const what = choice<small_regions>(mode, "remove_small_regions: mode",
                                                {{"holes", small_regions::holes}, {"islands", small_regions::islands}});
        auto out = without_gil([&] { return remove_small_regions(where, masks.set, {area, what}); });
        return nb::make_tuple(to_python(std::move(out.masks)), flags(std::move(out.changed)));
      },
      nb::arg("masks"), nb::arg("area"), nb::kw_only(), nb::arg("mode") = "holes", nb::arg("threads") = 0,
      nb::sig("def remove_small_regions(masks: MaskSet, area: float, *, mode: Literal['holes', 'islands'] = 'holes', "
              "threads: int = 0) -> tuple[MaskSet, NDArray[np.uint8]]"),
      "Fill the small holes, or clear the small islands, of each mask. Cells belong together over corners too.\n\n"
      "masks  N masks\n"
      "area   components with less cells are removed\n"
      "mode   'holes' or 'islands'\n\nReturns the masks, and for each whether it had a small region.");
  m.def(
      "clean_masks",
      [](python_masks const& masks, double min_area, double nms_threshold, int threads) {
        auto const where = policy(threads, "clean_masks");
        auto out = without_gil([&] { return clean_masks(where, masks.set, {min_area, nms_threshold}); });
        return nb::make_tuple(to_python(std::move(out.masks)), to_array(out.kept));
      },
      nb::arg("masks"), nb::arg("min_area"), nb::kw_only(), nb::arg("nms_threshold") = 0.7, nb::arg("threads") = 0,
      nb::sig("def clean_masks(masks: MaskSet, min_area: float, *, nms_threshold: float = 0.7, threads: int = 0) -> "
              "tuple[MaskSet, NDArray[np.int64]]"),
      "Remove small holes and islands, then masks whose boxes have become doubles, as segment-anything does.\n\n"
      "masks          N masks\n"
      "min_area       smaller holes and islands are removed\n"
      "nms_threshold  overlap of boxes above it suppresses\n\nReturns clean masks and their places.");
  m.def(
      "paint_masks",
      [](python_masks const& masks, std::string const& order, nb::handle scores, int threads) {
        auto const where = policy(threads, "paint_masks");
        auto const how = order_argument(order, "paint_masks: order");
        auto const s = scores.is_none() ? std::vector<double>{} : scores_of(scores, "paint_masks");
        expects_cells(4 * cells_of(masks.set), "paint_masks");
        return into_array(without_gil([&] {
          auto const first_to_last = order_to_paint(masks.set, how, s);
          return paint_masks(where, masks.set, first_to_last);
        }));
      },
      nb::arg("masks"), nb::kw_only(), nb::arg("order") = "largest_first", nb::arg("scores") = nb::none(),
      nb::arg("threads") = 0,
      nb::sig("def paint_masks(masks: MaskSet, *, order: Literal['largest_first', 'smallest_first', 'by_score'] = "
              "'largest_first', scores: Sequence[float] | NDArray[Any] | None = None, threads: int = 0) -> "
              "NDArray[np.int32]"),
      "Paint masks into one map, later ones over earlier ones.\n\n"
      "masks   N masks\n"
      "order   'by_score' paints the best last and needs scores\n"
      "scores  [N] finite numbers, or None\n\nReturns [H,W]: the mask on top, from 1; 0 where there is none.");
  m.def(
      "mask_coverage",
      [](python_masks const& masks, int threads) {
        auto const where = policy(threads, "mask_coverage");
        expects_cells(4 * cells_of(masks.set), "mask_coverage");
        return into_array(without_gil([&] { return mask_coverage(where, masks.set); }));
      },
      nb::arg("masks"), nb::kw_only(), nb::arg("threads") = 0,
      nb::sig("def mask_coverage(masks: MaskSet, *, threads: int = 0) -> NDArray[np.int32]"),
      "Count the masks that hold each cell.\n\nmasks  N masks\n\nReturns [H,W].");
  m.def("merge_masks", merge_masks_of, nb::arg("masks"), array("map"), nb::kw_only(), nb::arg("classes") = 20,
        nb::arg("form") = "max_iou_imp2", nb::arg("inside") = 0.5, nb::arg("holds") = 0.85,
        nb::arg("keep_ignore") = false, nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def merge_masks(masks: MaskSet, map: Array, *, classes: int = 20, form: Literal['max_iou', "
                "'max_iou_imp', 'max_iou_imp2'] = 'max_iou_imp2', inside: float = 0.5, holds: float = 0.85, "
                "keep_ignore: bool = False, threads: int = 0, copy: bool = False) -> NDArray[np.int32]"),
        "Merge masks into a map of classes, as SAM_WSSS enhances pseudo labels: a class takes the masks that lie in "
        "it.\n\n"
        "masks        N masks\n"
        "map          [H,W] int32 or uint8, 0..classes or 255\n"
        "classes      without the background\n"
        "form         the original's variant\n"
        "inside       a mask is taken if more than this share of it is in the class\n"
        "holds        of 'max_iou_imp2': or if it holds at least this share of the class\n"
        "keep_ignore  255 stays where no class takes it");
  m.def(
      "vote_by_maps",
      [](python_masks const& masks, nb::handle maps, double background, int threads, bool copy) {
        auto const where = policy(threads, "vote_by_maps");
        array_argument given(maps, "vote_by_maps: maps", copy);
        return with_float_type(given, [&]<class T>() {
          auto const cells = given.cells<T, 3>();
          return to_python(without_gil([&] { return vote_by_maps(where, masks.set, cells, {background}); }));
        });
      },
      nb::arg("masks"), array("maps"), nb::kw_only(), nb::arg("background") = 0.3, nb::arg("threads") = 0,
      nb::arg("copy") = false,
      nb::sig("def vote_by_maps(masks: MaskSet, maps: Array, *, background: float = 0.3, threads: int = 0, "
              "copy: bool = False) -> tuple[NDArray[np.int32], NDArray[np.float64]]"),
      "Let maps vote for the class of each mask: that with the largest mean over it.\n\n"
      "masks       N masks\n"
      "maps        [C,H,W] float32 or float64, finite\n"
      "background  what the mean must exceed\n\nReturns classes from 0, -1 for none, and means.");
  m.def(
      "vote_by_labels",
      [](python_masks const& masks, nb::handle labels, index_t classes, double background, int threads, bool copy) {
        auto const where = policy(threads, "vote_by_labels");
        array_argument given(labels, "vote_by_labels: labels", copy);
        expects_count(classes, "vote_by_labels: classes");
        expects_cells(static_cast<double>(classes) * static_cast<double>(masks.set.size()), "vote_by_labels");
        return with_label_type(given, [&]<class T>() {
          auto const cells = given.cells<T, 2>();
          return to_python(without_gil([&] { return vote_by_labels(where, masks.set, cells, classes, {background}); }));
        });
      },
      nb::arg("masks"), array("labels"), nb::kw_only(), nb::arg("classes") = 20, nb::arg("background") = 0.3,
      nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def vote_by_labels(masks: MaskSet, labels: Array, *, classes: int = 20, background: float = 0.3, "
              "threads: int = 0, copy: bool = False) -> tuple[NDArray[np.int32], NDArray[np.float64]]"),
      "Let a label map vote for the class of each mask: that with the largest share of its cells.\n\n"
      "masks       N masks\n"
      "labels      [H,W] int32 or uint8; 1..classes vote\n"
      "classes     without the background\n"
      "background  what the share must exceed\n\nReturns classes from 0, -1 for none, and shares.");
  m.def(
      "choose_by_points",
      [](python_masks const& masks, nb::handle scores, nb::handle at, std::string const& by, bool alone) {
        auto const s = scores_of(scores, "choose_by_points");
        auto const places = points_argument(at, "choose_by_points: points");
        point_choice_options const o{choice<point_choice>(by, "choose_by_points: choice",
                                                          {{"best", point_choice::best},
                                                           {"smallest", point_choice::smallest},
                                                           {"largest", point_choice::largest}}),
                                     alone};
        return to_array(without_gil([&] { return choose_by_points(masks.set, s, places, o); }));
      },
      nb::arg("masks"), nb::arg("scores"), nb::arg("points"), nb::kw_only(), nb::arg("choice") = "best",
      nb::arg("alone") = false,
      nb::sig("def choose_by_points(masks: MaskSet, scores: Sequence[float] | NDArray[Any], points: Points | "
              "NDArray[Any], *, "
              "choice: Literal['best', 'smallest', 'largest'] = 'best', alone: bool = False) -> NDArray[np.int64]"),
      "Choose a mask for each point among those that hold it.\n\n"
      "masks   N masks\n"
      "scores  [N] finite numbers\n"
      "points  Points, or [M,2] float64 of (y,x)\n"
      "choice  which of them\n"
      "alone   only masks that hold no other point\n\nReturns [M] places, -1 where no mask holds the point.");
}

}  // namespace bindings
