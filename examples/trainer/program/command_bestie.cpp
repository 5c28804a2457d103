#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/instance_network.hpp"

#include "method/bestie.hpp"
#include "network/module_weights.hpp"
#include "network/published.hpp"
#include "network/trained_weights.hpp"
#include "process/processes.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/points.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

namespace trainer {

namespace fs = std::filesystem;

namespace {

struct bestie_flags {
  data_settings data;
  instance_network_flags network;
  std::string out = "out/bestie", semantic, vgg;
  std::vector<std::string> steps{"classifier", "points", "train", "label"};
  bool points = false, no_guidance = false, no_refinement = false, plain_looking = false, no_score = false,
       quiet = false;
  std::uint64_t seed = 1;
  std::int64_t steps_of_training = 0;
};

/// @param begins  with ImageNet's weights, where the network is the published one
std::shared_ptr<vgg_pam> classifier_of(bestie_flags const& f, std::size_t classes, bool begins)
{
  auto const C = static_cast<std::int64_t>(classes);
  if (f.network.network == "small") return std::make_shared<vgg_pam>(C, small_vgg_pam(12, 0.7));
  auto const network = std::make_shared<vgg_pam>(C);
  if (begins) {
    cambium::expects(!f.vgg.empty(), "--network ", f.network.network, ": --vgg-weights says where VGG-16's are");
    load_weights(*network, f.vgg, published_vgg16());
  }
  return network;
}

int run_bestie(bestie_flags const& f)
{
  for (auto const& step : f.steps)
    cambium::expects(step == "classifier" || step == "points" || step == "train" || step == "label",
                     "bestie: there is no step '", step, "'; steps are classifier, points, train, label");
  auto const asked = [&](char const* step) { return std::find(f.steps.begin(), f.steps.end(), step) != f.steps.end(); };
  auto const sets = open_data(f.data);
  auto const& train = *sets.train;
  fs::path const out = f.out, peaks = out / "peaks.safetensors", weights = out / "bestie.safetensors";
  bool const small = f.network.network == "small";
  cambium::index_t const side = f.data.side;
  bool const learns_tags = !f.points && asked("classifier");
  std::string contents;
  if (learns_tags || asked("train"))
    if (auto const seen = surveyed(f.data, sets)) {
      cambium::expects(!learns_tags || seen->tagged > 0, "bestie: ", no_tags);
      cambium::expects(!f.points || seen->pointed > 0,
                       "bestie: no image of the set has a point, so there is nothing to learn; points come from "
                       "--point-files, above --point-threshold");
      contents = seen->contents;
    }
  auto const peaks_settings = [&] {
    auto how = small ? small_peak_classifier(side) : peak_classifier_options{};
    how.seed = f.seed;
    how.beside = "from '" + f.vgg + "'" + contents_of(fs::path(f.vgg)) + contents;
    return how;
  };

  if (learns_tags) {
    seed_everything(f.seed, true, true);
    auto const network = classifier_of(f, train.class_names().size(), true);
    auto const how = peaks_settings();
    auto const made_as = peak_classifier_recipe(train, *network, how);
    if (!made_by(made_as, peaks)) {
      say("classifier: tags of " + std::to_string(train.size()) + " images");
      train_peak_classifier(train, *network, how, record_in(out / "classifier", f.quiet));
      processes::first_alone([&] { save_weights(*network, peaks, trained_as(train.class_names(), made_as)); });
    }
  }
  if (!f.points && asked("points"))
    processes::first_alone([&] {
      say("points: peaks of the class maps");
      auto const network = classifier_of(f, train.class_names().size(), false);
      load_trained(*network, peaks, train.class_names(), peak_classifier_recipe(train, *network, peaks_settings()));
      cue_options how;
      if (small) how.squash = {0, 0};
      how.attend = !f.plain_looking;
      auto const cues = find_cues(train, *network, how);
      for (std::size_t i = 0; i < train.size(); ++i)
        cambium::write_points(out / "points" / (train.id(i) + ".txt"), cues[i]);
    });
  seed_everything(f.seed, true, true);
  auto const network = make_instance_network(f.network, train.class_names().size());
  if (asked("train")) {
    cambium::expects(!f.semantic.empty(),
                     "bestie: --semantic says where the semantic maps ID.png are, e.g. those that "
                     "'trainer irnet --label-training' left in the folder semantic");
    auto const maps = read_semantic_maps(train, f.semantic);
    std::vector<cambium::points> cues;
    if (f.points)
      cues = given_cues(train);
    else
      for (std::size_t i = 0; i < train.size(); ++i)
        cues.push_back(cambium::read_points(out / "points" / (train.id(i) + ".txt")));
    if (std::all_of(cues.begin(), cues.end(), [](auto const& of) { return of.empty(); }))
      say("note: no image has a peak, so centres and offsets are learned from refinement alone");
    seed_everything(f.seed, true, true);
    auto how = small ? small_bestie(500, side) : bestie_training_options{};
    if (f.steps_of_training > 0) how.steps = f.steps_of_training;
    how.warm_up = std::min(how.warm_up, how.steps / 10);
    how.seed = f.seed, how.guidance = !f.no_guidance, how.refinement = !f.no_refinement;
    how.cues = f.points ? cambium::supervision::point : cambium::supervision::image;
    how.beside = words_of(f.network) + contents;
    auto const made_as = bestie_recipe(train, maps, cues, how);
    if (!made_by(made_as, weights)) {
      say(std::string("train: centres and offsets") + (f.no_guidance ? "" : ", guided") +
          (f.no_refinement ? "" : ", refined"));
      train_bestie(train, maps, cues, *network, how, record_in(out / "training", f.quiet));
      processes::first_alone([&] { save_weights(*network, weights, trained_as(train.class_names(), made_as)); });
    }
  }
  std::vector<std::string> failed;
  if (asked("label"))
    processes::first_alone([&] {
      load_trained(*network, weights, train.class_names());
      write_instances(*sets.held_out, *network, small ? small_bestie_inference() : bestie_inference_options{}, out,
                      !f.no_score, failed);
    });
  return tell_failures(failed);
}

}  // namespace

void add_bestie_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<bestie_flags>();
  auto* const command = app.add_subcommand("bestie", "BESTIE: tags or points, and semantic maps, to instances");
  f->data.side = 96;
  add_data_flags(*command, f->data);
  add_network_flags(*command, f->network);
  command->add_option("--vgg-weights", f->vgg, "safetensors of ImageNet's VGG-16, for the published classifier");
  command->add_option("--semantic", f->semantic, "folder of ID.png: semantic maps of the images to learn from");
  command->add_flag("--points", f->points, "a person's points instead of peaks");
  command->add_flag("--no-guidance", f->no_guidance,
                    "pixels without a pseudo label are background, unless they are ignored");
  command->add_flag(
      "--plain-looking", f->plain_looking,
      "peaks without peak attention, of a classifier that learned with it: keeps weaker objects of a class");
  command->add_flag("--no-refinement", f->no_refinement, "the network's own groups are not learned from");
  command->add_option("--steps", f->steps, "classifier points train label, or some of them")->delimiter(',');
  command->add_option("--iterations", f->steps_of_training, "of the instance network, instead of the usual number")
      ->check(CLI::PositiveNumber);
  command->add_option("--seed", f->seed, "of weights, order, augmentation")->capture_default_str();
  command->add_flag("--no-score", f->no_score, "there is no truth to measure with");
  command->add_flag("--quiet", f->quiet, "no progress");
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->callback([f, command, &status] { status = run_command("bestie", [&] { return run_bestie(*f); }, command); });
}

}  // namespace trainer
