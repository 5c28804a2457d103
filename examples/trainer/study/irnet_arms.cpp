// IRNet: class activation maps, a boundary and displacement network, and the random walk between them.

#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "method/irnet_run.hpp"
#include "study/parts.hpp"

#include <stdexcept>

namespace trainer::study {

namespace fs = std::filesystem;

namespace {

/// Images that fail would make a figure of the others.
void expects_all(std::vector<std::string> const& failed)
{
  if (!failed.empty()) throw std::runtime_error("study: " + failed.front());
}

figures measure_irnet(place const& at, study_size const& size)
{
  scenes const drawn(scenes_of(at.seed, size.images, irnet_side, false)),
      others(scenes_of(at.seed, size.held_out, irnet_side, true));
  kept const train(drawn), held_out(others);
  irnet_run_options run;
  run.how = small_irnet();
  run.how.seed = at.seed;
  run.how.workers = run.how.threads = 1;
  if (size.rehearsal) run.how.cam_epochs = run.how.field_epochs = 1;
  run.folder = at.folder();
  std::vector<std::string> failed;
  auto const found = run_irnet(train, held_out, run, failed);
  expects_all(failed);

  // Labels of the scenes that were learned from, by the same networks: what BESTIE takes as semantic maps.
  fs::create_directories(run.folder / "train");
  for (char const* weights : {"cam.safetensors", "field.safetensors"})
    fs::copy_file(run.folder / weights, run.folder / "train" / weights, fs::copy_options::overwrite_existing);
  run.folder /= "train";
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

}  // namespace

part irnet_part(study_size const& size)
{
  part out;
  out.name = "irnet";
  out.title = "IRNet: from tags to masks";
  out.text =
      "A classifier learns the tags of images. Its class activation map (CAM) of a class is high on the most typical "
      "parts "
      "of an object. A second network learns from the CAMs where boundaries are, and the displacement from each pixel "
      "to "
      "the centre of its object. A random walk carries the CAM's values as far as the next boundary. Instances are the "
      "connected components of a class, or pixels whose displacements meet. The paper's figures are of PASCAL VOC.";
  out.arms.push_back({.name = "irnet",
                      .recipe = study_size::words(size.images, size.held_out) + (size.rehearsal ? " rehearsal" : ""),
                      .leaves = {"cam.safetensors", "train/results.json"},
                      .measure = [size](place const& at) { return measure_irnet(at, size); }});
  out.claims = {{.name = "the walk beats the CAM: AP50 of components",
                 .paper = "8.6 < 34.1",
                 .less = "irnet:cam_components_ap50",
                 .more = "irnet:walk_components_ap50"},
                {.name = "displacement beats components: AP50",
                 .paper = "34.1 < 37.7",
                 .less = "irnet:walk_components_ap50",
                 .more = "irnet:walk_displacement_ap50"},
                {.name = "the walk adds 10 points of mIoU or more",
                 .paper = "48.3 → 66.5",
                 .less = "irnet:cam_miou",
                 .more = "irnet:walk_miou",
                 .margin = 0.10}};
  return out;
}

}  // namespace trainer::study
