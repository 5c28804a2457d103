// BESTIE: instances from tags or points, by peaks of class maps and IRNet's semantic maps.

#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "method/bestie.hpp"
#include "method/irnet.hpp"
#include "network/irnet_heads.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/resnet.hpp"
#include "run/seed.hpp"
#include "study/parts.hpp"

#include <cambium/io/png.hpp>

#include <memory>
#include <utility>

namespace trainer::study {

namespace fs = std::filesystem;
using cambium::supervision;

namespace {

/// The labels of IRNet's walk of the scenes to learn from, at half their size.
semantic_maps walked(fs::path const& irnet, scenes const& large)
{
  semantic_maps out;
  for (std::size_t i = 0; i < large.size(); ++i) {
    auto const labels = cambium::read_labels(irnet / "train/semantic" / (large.id(i) + ".png"));
    cambium::grid<std::uint8_t, 2> half(small_side, small_side);
    for (cambium::index_t y = 0; y < small_side; ++y)
      for (cambium::index_t x = 0; x < small_side; ++x)
        half(y, x) = static_cast<std::uint8_t>(labels(2 * y + 1, 2 * x + 1));
    out.push_back(std::move(half));
  }
  return out;
}

/// A classifier for peaks, trained with peak attention (alpha above 0) or without. A finished checkpoint is read, not
/// trained on.
std::shared_ptr<vgg_pam> peak_classifier(kept const& seen, double alpha, place const& at, study_size const& size,
                                         fs::path const& folder)
{
  seed_everything(at.seed, true, true);
  auto const network =
      std::make_shared<vgg_pam>(static_cast<std::int64_t>(seen.class_names().size()), small_vgg_pam(12, alpha));
  auto how = small_peak_classifier(irnet_side);
  how.seed = at.seed;
  if (size.rehearsal) how.epochs = 1;
  train_peak_classifier(seen, *network, how, {.checkpoint = folder / "classifier.ckpt"});
  return network;
}

/// Peaks are those of the scenes at full size, and the window that a peak must dominate is as large beside them as 15
/// pixels beside a photograph of 500: a CAM whose object the window covers has one peak, whatever the classifier.
std::vector<cambium::points> cues_of(kept const& seen, vgg_pam& network, bool attend)
{
  cue_options how;
  how.squash = {0, 0};
  how.attend = attend;
  how.peaks.peaks.kernel = 7;
  how.threads = 1;
  auto out = find_cues(seen, network, how);
  for (auto& of_image : out)
    for (auto& p : of_image) p.y = p.y * small_side / irnet_side, p.x = p.x * small_side / irnet_side;
  return out;
}

figures measure_cues(place const& at, study_size const& size, double alpha)
{
  scenes const drawn(scenes_of(at.seed, size.images, small_side, false)),
      large(scenes_of(at.seed, size.images, irnet_side, false));
  kept const train(drawn), seen(large);
  auto const maps = walked(at.folder_of("irnet"), large);
  auto const network = peak_classifier(seen, alpha, at, size, at.folder());
  auto const labelled = [&](bool attend) {
    auto const quality =
        pseudo_label_quality(train, maps, cues_of(seen, *network, attend), small_bestie(1, small_side).transfer);
    return static_cast<double>(quality.right) / static_cast<double>(quality.objects);
  };
  figures out{{"labelled", labelled(alpha == 0)}};
  if (alpha > 0) out["labelled_by_attention_while_looking"] = labelled(true);
  return out;
}

/// What an instance network is trained with.
struct training {
  std::string cues;  ///< the arm of the classifier; empty: given points
  bool guidance = true, refinement = true;
};

figures measure_training(place const& at, study_size const& size, training const& what)
{
  // the same scenes at half the size: a scene's layout does not hang on it
  scenes const drawn(scenes_of(at.seed, size.images, small_side, false)),
      others(scenes_of(at.seed, size.measured_on(), small_side, true)),
      large(scenes_of(at.seed, size.images, irnet_side, false));
  kept const train(drawn), held_out(others), seen(large);
  auto const irnet = at.folder_of("irnet");
  auto const maps = walked(irnet, large);
  auto const cues = [&] {
    if (what.cues.empty()) return given_cues(train);
    bool const plain = what.cues == "bestie/cues/plain";
    return cues_of(seen, *peak_classifier(seen, plain ? 0 : 0.7, at, size, at.folder_of(what.cues)), plain);
  }();
  seed_everything(at.seed, true, true);
  // weights of ImageNet are what the original begins with; here it is what IRNet's classifier learned from tags
  resnet_options body;
  body.strides = {1, 2, 2, 1};
  auto const backbone = small_resnet(small_irnet().backbone.width, body);
  load_cam_backbone(*backbone, irnet / "cam.safetensors");
  auto const network = small_panoptic_deeplab(16, static_cast<std::int64_t>(train.class_names().size()), backbone);
  auto how = small_bestie(size.steps(2000), small_side);
  how.seed = at.seed;
  how.guidance = what.guidance;
  how.refinement = what.refinement;
  how.cues = what.cues.empty() ? supervision::point : supervision::image;
  how.threads = 1;
  train_bestie(train, maps, cues, *network, how);
  return {{"ap50", evaluate_bestie(held_out, *network, small_bestie_inference()).ap50}};
}

}  // namespace

part bestie_part(study_size const& size)
{
  part out;
  out.name = "bestie";
  out.title = "BESTIE: from tags or points to instances";
  out.text =
      "A peak of a CAM stands for an object. *Knowledge transfer* gives each peak the region of IRNet's semantic map "
      "around "
      "it: a pseudo label. An instance network learns from pseudo labels. *Guidance* asks it for centres and offsets "
      "only "
      "where there is a pseudo label, since objects without one are not background. *Self-refinement* makes labels of "
      "the "
      "network's own groups while it learns. *Peak attention* is a part of the classifier that makes its CAMs "
      "narrower, so "
      "that two objects have two peaks. Points are a person's clicks, one an object, instead of peaks.";
  std::string const rehearsal = size.rehearsal ? " rehearsal" : "";
  for (auto const& [name, alpha] : {std::pair{"attention", 0.7}, std::pair{"plain", 0.0}}) {
    double const a = alpha;
    out.arms.push_back({.name = std::string("bestie/cues/") + name,
                        .recipe = study_size::words(size.images, 0) + rehearsal,
                        .needs = {"irnet"},
                        .leaves = {"classifier.ckpt"},
                        .measure = [size, a](place const& at) { return measure_cues(at, size, a); }});
  }
  auto const add = [&](std::string const& name, training const& what) {
    arm next{.name = "bestie/" + name,
             .recipe = study_size::words(size.images, size.measured_on()) + " steps " +
                       std::to_string(size.steps(2000)) + rehearsal,
             .needs = {"irnet"},
             .measure = [size, what](place const& at) { return measure_training(at, size, what); }};
    if (!what.cues.empty()) next.needs.push_back(what.cues);
    out.arms.push_back(std::move(next));
  };
  add("no_guidance", {"bestie/cues/attention", false, false});
  add("guidance", {"bestie/cues/attention", true, false});
  add("refined", {"bestie/cues/attention"});
  add("cam_peaks", {"bestie/cues/plain"});
  add("points", {});
  out.claims = {
      {.name = "guidance helps",
       .paper = "−9.9 without",
       .less = "bestie/no_guidance:ap50",
       .more = "bestie/guidance:ap50"},
      {.name = "self-refinement helps",
       .paper = "+2.3",
       .less = "bestie/guidance:ap50",
       .more = "bestie/refined:ap50",
       .remark =
           "Only long trainings can show it. 1000 steps gave -0.6 points on three seeds (79.4 to 78.8). A network's "
           "own groups help after they are better than its pseudo labels. The authors take 50,000 steps. Here more "
           "than half of all objects have a right pseudo label; the authors count 30 %."},
      {.name = "peak attention beats peaks of plain CAMs",
       .paper = "+16.4",
       .less = "bestie/cam_peaks:ap50",
       .more = "bestie/refined:ap50",
       .remark =
           "The peaks are searched without the attention that the classifier was trained with "
           "(`cue_options::attend`). With it, as published, the module keeps responses of at least 0.7 of a "
           "channel's strongest one. It loses the weaker of two objects of a class. The figures `labelled` are the "
           "shares of all objects that get a right pseudo label."},
      {.name = "points beat tags",
       .paper = "46.7 against 41.8",
       .less = "bestie/refined:ap50",
       .more = "bestie/points:ap50"}};
  return out;
}

}  // namespace trainer::study
