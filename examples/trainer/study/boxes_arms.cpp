// Label uncertainty: a few exact masks and many boxes.

#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "method/boxes.hpp"
#include "study/parts.hpp"

namespace trainer::study {

namespace {

figures measure_boxes(place const& at, study_size const& size, box_supervision_kind kind, double exact_share)
{
  scenes const drawn(scenes_of(at.seed, size.boxes_images(), small_side, false)),
      others(scenes_of(at.seed, size.measured_on(), small_side, true));
  kept const train(drawn), held_out(others);
  boxes_options how;
  how.seed = at.seed;
  how.steps = size.steps(600);
  how.exact_share = exact_share;
  how.classifier = at.folder_of("irnet") / "cam.safetensors";
  how.where = cambium::cpu{.threads = 1};
  auto const classes = train.class_names().size();
  auto const exact = kind == box_supervision_kind::exact ? std::vector<bool>(train.size(), true)
                                                         : choose_exact(train.size(), exact_share, at.seed);
  auto const trained = train_with(kind, read_samples(train, exact, how.several), classes, how);
  auto const measure = read_samples(held_out, std::vector<bool>(held_out.size(), true), how.several);
  return {{"iou", figure_of(evaluate(*trained.network, measure, classes, how))}};
}

}  // namespace

part boxes_part(study_size const& size)
{
  part out;
  out.name = "boxes";
  out.title = "Label uncertainty: from boxes and a few masks";
  out.text =
      "18 % of the scenes have exact masks, the others a box an object. *Uncertainty*: the network says of each pixel "
      "how "
      "much it doubts the box, and a doubted pixel counts less; with *bootstrapping* doubted pixels of a box become "
      "background, and sure ones foreground. The others learn from the same scenes: *boxes as masks* takes each box as "
      "an "
      "object; *exact part* leaves out the scenes without masks; *exact* has masks of all.";
  auto const add = [&](box_supervision_kind kind) {
    out.arms.push_back({.name = "boxes/binary/18/" + name_of(kind),
                        .recipe = study_size::words(size.boxes_images(), size.measured_on()) + " steps " +
                                  std::to_string(size.steps(600)),
                        .needs = {"irnet"},
                        .measure = [size, kind](place const& at) { return measure_boxes(at, size, kind, 0.18); }});
  };
  for (auto const kind :
       {box_supervision_kind::exact, box_supervision_kind::uncertainty, box_supervision_kind::boxes_as_masks,
        box_supervision_kind::exact_part, box_supervision_kind::boxinst})
    add(kind);
  out.claims = {
      {.name = "18 % exact and boxes with uncertainty keep 97 % of the exact IoU",
       .paper = "98.33 %, 97.12 %",
       .less = "boxes/binary/18/exact:iou",
       .more = "boxes/binary/18/uncertainty:iou",
       .factor = 0.97,
       .remark = "In all trainings but the exact one every other scene is exact, however few exact scenes exist."},
      {.name = "uncertainty beats boxes taken as masks",
       .less = "boxes/binary/18/boxes_as_masks:iou",
       .more = "boxes/binary/18/uncertainty:iou"},
      {.name = "uncertainty beats the exact part alone",
       .less = "boxes/binary/18/exact_part:iou",
       .more = "boxes/binary/18/uncertainty:iou"},
      {.name = "BoxInst's losses beat boxes taken as masks",
       .less = "boxes/binary/18/boxes_as_masks:iou",
       .more = "boxes/binary/18/boxinst:iou"}};
  return out;
}

}  // namespace trainer::study
