// IRNet: class activation maps, a boundary and displacement network, and the random walk between them.

#include "study/irnet_arms.hpp"

#include "data/fingerprint.hpp"
#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "method/irnet_run.hpp"
#include "run/recipe.hpp"
#include "study/parts.hpp"

#include <stdexcept>

namespace trainer::study {

namespace fs = std::filesystem;

namespace {

figures measure_irnet(place const& at, study_size const& size)
{
  scenes const drawn(scenes_of(at.seed, size.images, irnet_side, false)),
      others(scenes_of(at.seed, size.held_out, irnet_side, true));
  kept const train(drawn), held_out(others);
  irnet_run_options run;
  run.how = study_irnet(at.seed, size);
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

irnet_training_options study_irnet(std::uint64_t seed, study_size const& size)
{
  auto how = small_irnet();
  how.seed = seed;
  how.workers = how.threads = 1;
  if (size.rehearsal) how.cam_epochs = how.field_epochs = 1;
  return how;
}

void expects_all(std::vector<std::string> const& failed)
{
  if (!failed.empty()) throw std::runtime_error("study: " + failed.front());
}

std::string numbered(std::string const& words) { return fingerprint().add(words).digits(); }

std::string first_scene(scenes const& drawn)
{
  auto const one = drawn.load(0);
  return recipe("scene")
      .add(drawn)
      .add("photograph",
           fingerprint().add(one.photograph.data(), static_cast<std::size_t>(one.photograph.size())).value())
      .words();
}

std::string irnet_words(scenes const& one, study_size const& size)
{
  auto const how = study_irnet(1, size);
  auto const& l = how.labels;
  std::string const all =
      first_scene(one) + irnet_recipe("cam", one, how) + irnet_recipe("field", one, how) +
      recipe(" labels")
          .add("walk", l.radius, l.beta, l.exp_times, l.tolerance, l.weights)
          .add("thresholds", how.cam_thres, l.sem_seg_bg_thres, l.ins_seg_bg_thres, l.thres, l.component_thres)
          .add("trace", l.iterations, l.max_fragment_size, l.small, l.scale, l.empty, l.parts)
          .words();
  return " side " + std::to_string(irnet_side) + " epochs " + std::to_string(how.cam_epochs) + " + " +
         std::to_string(how.field_epochs) + " settings " + numbered(all) + (size.rehearsal ? " rehearsal" : "");
}

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
  out.chosen = {
      {"IRNet", {1, 2, 3}, "Results of these seeds were on earlier pages, before the last change of a setting."}};
  out.arms.push_back({.name = "irnet",
                      .recipe = study_size::words(size.images, size.held_out) +
                                irnet_words(scenes(scenes_of(1, 1, irnet_side, false)), size),
                      .leaves = {"cam.safetensors", "train/semantic"},
                      .measure = [size](place const& at) { return measure_irnet(at, size); }});
  out.claims = {{.name = "the walk beats the CAM: AP50 of components",
                 .paper = "8.6 < 34.1",
                 .less = "irnet:cam_components_ap50",
                 .more = "irnet:walk_components_ap50",
                 .main = true},
                {.name = "displacement beats components: AP50",
                 .paper = "34.1 < 37.7",
                 .less = "irnet:walk_components_ap50",
                 .more = "irnet:walk_displacement_ap50",
                 .main = true},
                {.name = "the walk adds 10 points of mIoU or more",
                 .paper = "48.3 → 66.5",
                 .less = "irnet:cam_miou",
                 .more = "irnet:walk_miou",
                 .margin = 0.10,
                 .main = true}};
  return out;
}

}  // namespace trainer::study
