#include "program/study_parts.hpp"

#include "program/data_flags.hpp"

#include "data/kept.hpp"
#include "method/bestie.hpp"
#include "method/boxes.hpp"
#include "method/irnet_run.hpp"
#include "network/irnet_heads.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/resnet.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/png.hpp>

#include <cstdio>
#include <functional>
#include <stdexcept>
#include <utility>

namespace trainer {

namespace fs = std::filesystem;

namespace {

constexpr cambium::index_t irnet_side = 192, small_side = 96;  ///< [pixels]

/// Images that fail would make a figure of the others.
void expects_all(std::vector<std::string> const& failed)
{
  if (!failed.empty()) throw std::runtime_error("study: " + failed.front());
}

}  // namespace

figures study_irnet(std::uint64_t seed, study_size const& size, fs::path const& folder)
{
  scenes const drawn(scenes_of(seed, size.images, irnet_side, false)),
      others(scenes_of(seed, size.held_out, irnet_side, true));
  kept const train(drawn), held_out(others);
  irnet_run_options run;
  run.how = small_irnet();
  run.how.seed = seed;
  run.folder = folder;
  std::vector<std::string> failed;
  auto const found = run_irnet(train, held_out, run, failed);
  expects_all(failed);

  // Labels of the scenes that were learned from, by the same networks: what BESTIE takes as semantic maps.
  fs::create_directories(folder / "train");
  for (char const* weights : {"cam.safetensors", "field.safetensors"})
    fs::copy_file(folder / weights, folder / "train" / weights, fs::copy_options::overwrite_existing);
  run.folder = folder / "train";
  run.steps = {"maps", "labels"};
  (void)run_irnet(train, train, run, failed);
  expects_all(failed);
  return {{"cam_components_ap50", found->cam.ap50},
          {"walk_components_ap50", found->walk.ap50},
          {"walk_boundary_components_ap50", found->walk_boundary.ap50},
          {"walk_displacement_ap50", found->walk_displacement.ap50},
          {"cam_miou", found->cam.miou},
          {"walk_miou", found->walk.miou}};
}

figures study_bestie(std::uint64_t seed, study_size const& size, fs::path const& irnet)
{
  // the same scenes at half the size: a scene's layout does not hang on it
  scenes const drawn(scenes_of(seed, size.images, small_side, false)),
      others(scenes_of(seed, size.measured_on(), small_side, true));
  scenes const large(scenes_of(seed, size.images, irnet_side, false));
  kept const train(drawn), held_out(others);
  if (!fs::exists(irnet / "train/results.json")) (void)study_irnet(seed, size, irnet);
  semantic_maps maps;
  for (std::size_t i = 0; i < train.size(); ++i) {
    auto const walked = cambium::read_labels(irnet / "train/semantic" / (large.id(i) + ".png"));
    cambium::grid<std::uint8_t, 2> half(small_side, small_side);
    for (cambium::index_t y = 0; y < small_side; ++y)
      for (cambium::index_t x = 0; x < small_side; ++x)
        half(y, x) = static_cast<std::uint8_t>(walked(2 * y + 1, 2 * x + 1));
    maps.push_back(std::move(half));
  }

  // Peaks are those of the scenes at full size, and the window that a peak must dominate is as large beside them as 15
  // pixels beside a photograph of 500: a CAM whose object the window covers has one peak, whatever the classifier.
  auto const classes = static_cast<std::int64_t>(train.class_names().size());
  kept const seen(large);
  auto const classifier = [&](double alpha) {
    seed_everything(seed, true, true);
    auto const network = std::make_shared<vgg_pam>(classes, small_vgg_pam(12, alpha));
    auto how = small_peak_classifier(irnet_side);
    how.seed = seed;
    train_peak_classifier(seen, *network, how,
                          {.checkpoint = irnet.parent_path() / (alpha > 0 ? "attending.ckpt" : "plain.ckpt")});
    return network;
  };
  auto const cues_of = [&](vgg_pam& network, bool attend) {
    cue_options how;
    how.squash = {0, 0};
    how.attend = attend;
    how.peaks.peaks.kernel = 7;
    auto out = find_cues(seen, network, how);
    for (auto& of_image : out)
      for (auto& p : of_image) p.y = p.y * small_side / irnet_side, p.x = p.x * small_side / irnet_side;
    return out;
  };
  auto const ap50 = [&](char const* name, std::vector<cambium::points> const& cues, bool guidance, bool refinement,
                        cambium::supervision kind) {
    seed_everything(seed, true, true);
    // weights of ImageNet are what the original begins with; here it is what IRNet's classifier learned from tags
    resnet_options body;
    body.strides = {1, 2, 2, 1};
    auto const backbone = small_resnet(small_irnet().backbone.width, body);
    load_cam_backbone(*backbone, irnet / "cam.safetensors");
    auto const network = small_panoptic_deeplab(16, classes, backbone);
    auto how = small_bestie(size.bestie_steps, small_side);
    how.seed = seed;
    how.guidance = guidance;
    how.refinement = refinement;
    how.cues = kind;
    train_bestie(train, maps, cues, *network, how);
    double const out = evaluate_bestie(held_out, *network, small_bestie_inference()).ap50;
    std::fprintf(stderr, "bestie: %s %.1f\n", name, 100 * out);
    return out;
  };
  auto const labelled = [&](std::vector<cambium::points> const& cues) {
    auto const quality = pseudo_label_quality(train, maps, cues, small_bestie(1, small_side).transfer);
    return static_cast<double>(quality.right) / static_cast<double>(quality.objects);
  };
  using cambium::supervision;
  auto const attending = classifier(0.7), unattending = classifier(0);
  auto const attended = cues_of(*attending, false), published = cues_of(*attending, true),
             plain = cues_of(*unattending, true);
  double const refined = ap50("refined", attended, true, true, supervision::image);
  return {{"no_guidance_ap50", ap50("no guidance", attended, false, false, supervision::image)},
          {"guidance_ap50", ap50("guidance", attended, true, false, supervision::image)},
          {"refined_ap50", refined},
          {"peak_attention_ap50", refined},
          {"labelled_by_attention_while_looking", labelled(published)},
          {"labelled_by_cam_peaks", labelled(plain)},
          {"labelled_by_peak_attention", labelled(attended)},
          {"cam_peaks_ap50", ap50("peaks of plain CAMs", plain, true, true, supervision::image)},
          {"points_ap50", ap50("points", given_cues(train), true, true, supervision::point)}};
}

figures study_boxes(std::uint64_t seed, study_size const& size, fs::path const& irnet)
{
  scenes const drawn(scenes_of(seed, size.boxes_images(), small_side, false)),
      others(scenes_of(seed, size.measured_on(), small_side, true));
  kept const train(drawn), held_out(others);
  if (!fs::exists(irnet / "cam.safetensors")) (void)study_irnet(seed, size, irnet);
  boxes_options how;
  how.seed = seed;
  how.steps = size.boxes_steps;
  how.classifier = irnet / "cam.safetensors";
  auto const found = train_boxes(train, held_out, how);
  return {{"exact_iou", found.exact_iou},
          {"uncertainty_iou", found.uncertainty_iou},
          {"boxes_as_masks_iou", found.boxes_as_masks_iou},
          {"exact_part_iou", found.exact_part_iou},
          {"boxinst_iou", found.boxinst_iou}};
}

}  // namespace trainer
