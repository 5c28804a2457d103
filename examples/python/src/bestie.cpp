// BESTIE: cues, pseudo labels, refined labels and instances of a network's output.

#include "arguments.hpp"
#include "bindings.hpp"
#include "instance.hpp"
#include "results.hpp"

#include <cambium/pipeline/bestie.hpp>

#include <nanobind/stl/string.h>

#include <optional>

namespace bindings {

using namespace cambium;

namespace {

/// Maps of a network from Python, and the views of them. Rank 3 for an image, 4 for a batch.
template <int Rank>
struct output_argument {
  output_argument(nb::handle seg_of, nb::handle centre_of, nb::handle offset_of, std::string const& who, bool copy)
      : seg(seg_of, who + ": seg", copy),
        centre(centre_of, who + ": centre", copy),
        offset(offset_of, who + ": offset", copy)
  {
  }

  auto maps()
  {
    if constexpr (Rank == 3)
      return bestie_output<float>{seg.cells<float, 3>(), centre.cells<float, 3>(), offset.cells<float, 3>()};
    else
      return bestie_batch<float>{seg.cells<float, 4>(), centre.cells<float, 4>(), offset.cells<float, 4>()};
  }

  array_argument seg, centre, offset;
};

/// The mirror image's maps, if they are given: three arrays.
struct flipped_argument {
  flipped_argument(nb::handle given, std::string const& who, bool copy)
  {
    if (given.is_none()) return;
    std::string const what = who + ": flipped";
    if (!PySequence_Check(given.ptr()) || PySequence_Size(given.ptr()) != 3) {
      PyErr_Clear();
      throw nb::type_error((what + " is " + name_of_type(given) + "; expected (seg, centre, offset)").c_str());
    }
    nb::object const parts[3] = {given[0], given[1], given[2]};
    read.emplace(parts[0], parts[1], parts[2], what, copy);
    maps = read->maps();
  }

  std::optional<output_argument<3>> read;
  bestie_output<float> maps;
};

bestie_group_options group_choice(std::string const& who, index_t kernel, double beta, bool outside, double apart,
                                  double relative, std::string const& plateaus)
{
  expects(beta < 1e6, who, ": beta is ", beta, "; expected less than a million");
  return {kernel, beta, outside, apart, relative, plateau_argument(plateaus, (who + ": plateaus").c_str())};
}

bestie_instance_options instance_choice(std::string const& who, double threshold, index_t smallest,
                                        std::string const& alone, bestie_group_options const& groups,
                                        std::string const& offsets, nb::handle seen)
{
  return {threshold,
          smallest,
          choice<lone_region>(alone, (who + ": alone").c_str(),
                              {{"nothing", lone_region::nothing}, {"one_group", lone_region::one_group}}),
          groups,
          choice<mirrored_offsets>(offsets, (who + ": offsets").c_str(),
                                   {{"first", mirrored_offsets::first}, {"mean", mirrored_offsets::mean}}),
          seen.is_none() ? extent2{} : size_argument(seen, (who + ": seen").c_str())};
}

nb::object bestie_peaks_of(nb::handle maps, nb::handle flipped, nb::handle image, nb::handle classes, index_t smoothing,
                           index_t kernel, index_t most, double threshold, std::string const& plateaus, int threads,
                           bool copy)
{
  auto const where = policy(threads, "bestie_peaks");
  array_argument given(maps, "bestie_peaks: maps", copy), mirrored(flipped, "bestie_peaks: flipped", copy);
  auto const a = given.cells<float, 3>(), b = mirrored.cells<float, 3>();
  auto const size = size_argument(image, "bestie_peaks: image");
  auto const present = integers(classes, "bestie_peaks: classes");
  bestie_peak_options const options{smoothing,
                                    {kernel, most, threshold, plateau_argument(plateaus, "bestie_peaks: plateaus")}};
  auto const found = without_gil([&] { return bestie_peaks(where, a, b, size, present, options); });
  return to_python(std::span<point const>(found.cells()));
}

nb::object bestie_pseudo_labels_of(nb::handle semantic, nb::handle classes, nb::handle cues, index_t C,
                                   double pseudo_thresh, std::string const& score, std::string const& sup, int sigma,
                                   index_t smallest, std::string const& centre, std::string const& several, int threads,
                                   bool copy)
{
  auto const where = policy(threads, "bestie_pseudo_labels");
  expects_count(C, "bestie_pseudo_labels: C");
  array_argument given(semantic, "bestie_pseudo_labels: semantic", copy);
  auto const present = integers(classes, "bestie_pseudo_labels: classes");
  auto const points = points_argument(cues, "bestie_pseudo_labels: cues");
  bestie_transfer_options const options{
      pseudo_thresh,
      choice<cue_score>(score, "bestie_pseudo_labels: score",
                        {{"three_decimals", cue_score::three_decimals}, {"exact", cue_score::exact}}),
      transfer_choice("bestie_pseudo_labels", sup, sigma, smallest, centre, several)};
  auto const label = [&]<class V>() {
    auto const cells = given.cells<V, 2>();
    return to_python(without_gil([&] { return bestie_pseudo_labels(where, cells, present, points, C, options); }));
  };
  return given.holds<std::uint8_t>() ? label.operator()<std::uint8_t>() : label.operator()<std::int32_t>();
}

nb::object bestie_refined_labels_of(nb::handle seg, nb::handle centre, nb::handle offset, nb::handle semantic,
                                    nb::handle classes, int sigma, double threshold, index_t most,
                                    std::string const& centroid_of, index_t smallest, std::string const& from,
                                    index_t kernel, double beta, bool outside, double apart, double relative,
                                    std::string const& plateaus, int threads, bool copy)
{
  std::string const who = "bestie_refined_labels";
  auto const where = policy(threads, who.c_str());
  output_argument<4> given(seg, centre, offset, who, copy);
  auto const maps = given.maps();
  array_argument weak(semantic, who + ": semantic", copy);
  auto const cells = weak.cells<std::int32_t, 3>();
  std::vector<std::vector<std::int32_t>> present;
  if (classes.is_none() || !PySequence_Check(classes.ptr()))
    throw nb::type_error((who + ": classes is " + name_of_type(classes) + "; expected a list of lists").c_str());
  for (nb::handle const one : nb::borrow<nb::sequence>(classes))
    present.push_back(integers(one, (who + ": classes").c_str()));
  bestie_refine_options const options{
      {sigma, threshold, most, centroid_choice(centroid_of, (who + ": centroid").c_str())},
      smallest,
      group_choice(who, kernel, beta, outside, apart, relative, plateaus),
      choice<foreground>(from, (who + ": foreground").c_str(),
                         {{"semantic", foreground::semantic}, {"prediction", foreground::prediction}})};
  auto out = without_gil([&] { return bestie_refined_labels(where, maps, cells, present, options); });
  return nb::cast(python_targets{into_array(std::move(out.centre)), into_array(std::move(out.offset)),
                                 into_array(std::move(out.weight))});
}

nb::tuple bestie_refined_offsets_of(nb::handle offset, nb::handle semantic, nb::handle classes, nb::handle clicks,
                                    index_t C, std::string const& border, int threads, bool copy)
{
  std::string const who = "bestie_refined_offsets";
  auto const where = policy(threads, who.c_str());
  expects_count(C, "bestie_refined_offsets: C");
  array_argument given(offset, who + ": offset", copy), weak(semantic, who + ": semantic", copy);
  auto const field = given.cells<float, 3>();
  auto const cells = weak.cells<std::int32_t, 2>();
  auto const present = integers(classes, (who + ": classes").c_str());
  auto const points = points_argument(clicks, (who + ": clicks").c_str());
  expects_on_map(points, {cells.extent[0], cells.extent[1]}, who + ": clicks");
  auto const edge = choice<border_points>(border, (who + ": border").c_str(),
                                          {{"drop", border_points::drop}, {"keep", border_points::keep}});
  auto to = make_grid<float>({2, cells.extent[0], cells.extent[1]});
  auto weight = make_grid<float>(cells.extent);
  without_gil(
      [&] { bestie_refined_offsets_into(where, field, cells, present, points, C, edge, to.view(), weight.view()); });
  return nb::make_tuple(into_array(std::move(to)), into_array(std::move(weight)));
}

nb::object bestie_instances_of(nb::handle seg, nb::handle centre, nb::handle offset, nb::handle classes,
                               nb::handle flipped, double threshold, index_t smallest, std::string const& alone,
                               index_t kernel, double beta, bool outside, double apart, double relative,
                               std::string const& plateaus, std::string const& offsets, nb::handle seen, int threads,
                               bool copy)
{
  std::string const who = "bestie_instances";
  auto const where = policy(threads, who.c_str());
  output_argument<3> given(seg, centre, offset, who, copy);
  auto const maps = given.maps();
  flipped_argument const mirror(flipped, who, copy);
  std::optional<std::vector<std::int32_t>> present;
  if (!classes.is_none()) present = integers(classes, "bestie_instances: classes");
  auto const options =
      instance_choice(who, threshold, smallest, alone,
                      group_choice(who, kernel, beta, outside, apart, relative, plateaus), offsets, seen);
  return to_python(without_gil([&] { return bestie_instances(where, maps, present, options, mirror.maps); }));
}

nb::object bestie_instances_at_of(nb::handle seg, nb::handle centre, nb::handle offset, nb::handle classes,
                                  nb::handle clicks, nb::handle flipped, std::string const& offsets, nb::handle seen,
                                  int threads, bool copy)
{
  std::string const who = "bestie_instances_at";
  auto const where = policy(threads, who.c_str());
  output_argument<3> given(seg, centre, offset, who, copy);
  auto const maps = given.maps();
  flipped_argument const mirror(flipped, who, copy);
  auto const present = integers(classes, "bestie_instances_at: classes");
  auto const points = points_argument(clicks, "bestie_instances_at: clicks");
  expects_on_map(points, {maps.offset.extent[1], maps.offset.extent[2]}, "bestie_instances_at: clicks");
  auto const options = instance_choice(who, 0.1, 0, "one_group", {}, offsets, seen);
  return to_python(
      without_gil([&] { return bestie_instances_at(where, maps, present, points, options, mirror.maps); }));
}

#define CAMBIUM_MAPS_TEXT                                       \
  "seg        [C+1,H,W] float32 logits, channel 0 background\n" \
  "centre     [C,H,W] float32\n"                                \
  "offset     [2,H,W] float32 (dy,dx) in cells, centre minus cell\n"
#define CAMBIUM_GROUPS_TEXT                                                                    \
  "kernel     [cells] odd: the window a centre must dominate\n"                                \
  "beta       [cells] tolerance of the disc rule; 0: centres come from the centre map alone\n" \
  "outside    whether what lies outside the weak cells counts as one more disc\n"              \
  "apart      [cells] of a centre by the disc rule from the others\n"                          \
  "relative   > 0: as a fraction of the region's diagonal instead\n"                           \
  "plateaus   'every_cell' or 'one_cell' is a centre\n"

}  // namespace

void bind_bestie(nb::module_& m)
{
  m.def("bestie_peaks", bestie_peaks_of, array("maps"), array("flipped"), nb::arg("image").none(),
        nb::arg("classes").none(), nb::kw_only(), nb::arg("smoothing") = 3, nb::arg("kernel") = 15,
        nb::arg("most") = 25, nb::arg("threshold") = 0.1, nb::arg("plateaus") = "every_cell", nb::arg("threads") = 0,
        nb::arg("copy") = false,
        nb::sig("def bestie_peaks(maps: Array, flipped: Array, image: tuple[int, int], classes: Sequence[int] | Array, "
                "*, smoothing: int = 3, kernel: int = 15, most: int = 25, threshold: float = 0.1, plateaus: "
                "Literal['every_cell', 'one_cell'] = 'every_cell', threads: int = 0, copy: bool = False) -> Points"),
        "Find the cues of an image: peaks of its class maps.\n\n"
        "maps       [C,h,w] float32 of a classifier, before any normalisation\n"
        "flipped    [C,h,w] float32 of the mirror image\n"
        "image      (height, width) in pixels\n"
        "classes    present in the image, from 0\n"
        "smoothing  [cells] side of the window that is averaged\n"
        "kernel     [cells] odd: the window that a peak must dominate\n"
        "most       peaks of a class\n"
        "threshold  smaller scores are no peaks\n"
        "plateaus   'every_cell' or 'one_cell' is a peak\n\n"
        "Stands for PAM/point_extraction.py of clovaai/BESTIE.");
  m.def(
      "bestie_pseudo_labels", bestie_pseudo_labels_of, array("semantic"), nb::arg("classes").none(), array("cues"),
      nb::arg("C"), nb::kw_only(), nb::arg("pseudo_thresh") = 0.7, nb::arg("score") = "three_decimals",
      nb::arg("sup") = "image", nb::arg("sigma") = 6, nb::arg("smallest") = 50, nb::arg("centre") = "truncated",
      nb::arg("several") = "reject", nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def bestie_pseudo_labels(semantic: Array, classes: Sequence[int] | Array, cues: Points | Array, C: int, "
              "*, pseudo_thresh: float = 0.7, score: Literal['three_decimals', 'exact'] = 'three_decimals', sup: "
              "Literal['image', 'point'] = 'image', sigma: int = 6, smallest: int = 50, centre: Literal['truncated', "
              "'exact'] = 'truncated', several: Literal['reject', 'split'] = 'reject', threads: int = 0, copy: bool = "
              "False) -> CentreTargets"),
      "Pseudo instance labels from a semantic map and cues: what the network learns first.\n\n"
      "semantic       [H,W] int32 or uint8: class + 1; 0 and everything above C is no class\n"
      "classes        present in the image, from 0; others are passed over\n"
      "cues           Points on the map\n"
      "C              number of classes\n"
      "pseudo_thresh  cues count when their score exceeds it\n"
      "score          'three_decimals': what a point file holds of the score is compared; 'exact': all of it\n"
      "sup            as in transfer(), like sigma, smallest, centre and several");
  m.def(
      "bestie_refined_labels", bestie_refined_labels_of, array("seg"), array("centre"), array("offset"),
      array("semantic"), nb::arg("classes").none(), nb::kw_only(), nb::arg("sigma") = 6, nb::arg("threshold") = 0.3,
      nb::arg("most") = 5, nb::arg("centroid") = "truncated", nb::arg("smallest") = 50,
      nb::arg("foreground") = "semantic", nb::arg("kernel") = 41, nb::arg("beta") = 3.0, nb::arg("outside") = true,
      nb::arg("apart") = 100.0, nb::arg("relative") = 0.0, nb::arg("plateaus") = "every_cell", nb::arg("threads") = 0,
      nb::arg("copy") = false,
      nb::sig("def bestie_refined_labels(seg: Array, centre: Array, offset: Array, semantic: Array, classes: "
              "Sequence[Sequence[int]], *, sigma: int = 6, threshold: float = 0.3, most: int = 5, centroid: "
              "Literal['truncated', 'exact'] = 'truncated', smallest: int = 50, foreground: Literal['semantic', "
              "'prediction'] = 'semantic', kernel: int = 41, beta: float = 3.0, outside: bool = True, apart: float = "
              "100.0, relative: float = 0.0, plateaus: Literal['every_cell', 'one_cell'] = 'every_cell', threads: int "
              "= 0, copy: bool = False) -> CentreTargets"),
      "Refined labels of a batch of images from the network's own output.\n\n"
      "seg        [B,C+1,H,W] float32 logits, channel 0 background\n"
      "centre     [B,C,H,W] float32\n"
      "offset     [B,2,H,W] float32 (dy,dx) in cells, centre minus cell\n"
      "semantic   [B,H,W] int32: class + 1; 0 and everything above C is no class\n"
      "classes    B lists: the classes present, from 0\n"
      "sigma      as in refine(), like threshold, most and centroid\n"
      "smallest   [cells] smaller regions contribute nothing\n"
      "foreground  'semantic': the weak map; 'prediction': the network's decision\n" CAMBIUM_GROUPS_TEXT
      "\nReturns targets of the batch. Stands for refine_label_generation of clovaai/BESTIE.");
  m.def("bestie_refined_offsets", bestie_refined_offsets_of, array("offset"), array("semantic"),
        nb::arg("classes").none(), array("clicks"), nb::arg("C"), nb::kw_only(), nb::arg("border") = "drop",
        nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def bestie_refined_offsets(offset: Array, semantic: Array, classes: Sequence[int] | Array, clicks: "
                "Points | Array, C: int, *, border: Literal['drop', 'keep'] = 'drop', threads: int = 0, copy: bool = "
                "False) -> tuple[NDArray[np.float32], NDArray[np.float32]]"),
        "Refined offsets of an image with clicks: every cell of a class is led to the click nearest to its own aim.\n\n"
        "offset    [2,H,W] float32 of the network\n"
        "semantic  [H,W] int32: class + 1\n"
        "classes   present in the image, from 0\n"
        "clicks    Points of classes 0..C-1, on the map\n"
        "C         number of classes\n"
        "border    clicks on the first row and column are padding ('drop', the original), or count ('keep')\n\n"
        "Returns offset [2,H,W] and weight [H,W], 1 on classes with a click.");
  m.def(
      "bestie_instances", bestie_instances_of, array("seg"), array("centre"), array("offset"), nb::kw_only(),
      nb::arg("classes") = nb::none(), nb::arg("flipped") = nb::none(), nb::arg("threshold") = 0.1,
      nb::arg("smallest") = 50, nb::arg("alone") = "one_group", nb::arg("kernel") = 41, nb::arg("beta") = 3.0,
      nb::arg("outside") = true, nb::arg("apart") = 100.0, nb::arg("relative") = 0.0,
      nb::arg("plateaus") = "every_cell", nb::arg("offsets") = "first", nb::arg("seen") = nb::none(),
      nb::arg("threads") = 0, nb::arg("copy") = false,
      nb::sig("def bestie_instances(seg: Array, centre: Array, offset: Array, *, classes: Sequence[int] | Array | None "
              "= None, flipped: tuple[Array, Array, Array] | None = None, threshold: float = 0.1, smallest: int = 50, "
              "alone: Literal['nothing', 'one_group'] = 'one_group', kernel: int = 41, beta: float = 3.0, outside: "
              "bool = True, apart: float = 100.0, relative: float = 0.0, plateaus: Literal['every_cell', 'one_cell'] "
              "= 'every_cell', offsets: Literal['first', 'mean'] = 'first', seen: tuple[int, int] | None = None, "
              "threads: int = 0, copy: bool = False) -> ImageLabels"),
      "Find the instances of an image in the network's output.\n\n" CAMBIUM_MAPS_TEXT
      "classes    present in the image, from 0; None: any\n"
      "flipped    (seg, centre, offset) of the mirror image: scores and centre maps are averaged\n"
      "threshold  of centres\n"
      "smallest   [cells] smaller regions are passed over\n"
      "alone      a region without a centre is 'nothing' or 'one_group'\n" CAMBIUM_GROUPS_TEXT
      "offsets    'first': those of the image; 'mean': averaged with the mirror image's\n"
      "seen       (height, width) of the image as the network saw it, the unit of offsets; None: as the maps\n\n"
      "Stands for get_ins_map of clovaai/BESTIE.");
  m.def("bestie_instances_at", bestie_instances_at_of, array("seg"), array("centre"), array("offset"),
        nb::arg("classes").none(), array("clicks"), nb::kw_only(), nb::arg("flipped") = nb::none(),
        nb::arg("offsets") = "first", nb::arg("seen") = nb::none(), nb::arg("threads") = 0, nb::arg("copy") = false,
        nb::sig("def bestie_instances_at(seg: Array, centre: Array, offset: Array, classes: Sequence[int] | Array, "
                "clicks: Points | Array, *, flipped: tuple[Array, Array, Array] | None = None, "
                "offsets: Literal['first', 'mean'] = 'first', seen: tuple[int, int] | None = None, threads: int = 0, "
                "copy: bool = False) -> ImageLabels"),
        "Find the instances of an image around clicks: one a click that wins a cell of its class.\n\n" CAMBIUM_MAPS_TEXT
        "classes    present in the image, from 0\n"
        "clicks     Points of classes 0..C-1, on the map\n"
        "flipped    as in bestie_instances(), like offsets and seen\n\n"
        "Stands for get_ins_map_with_point of clovaai/BESTIE.");
}

}  // namespace bindings
