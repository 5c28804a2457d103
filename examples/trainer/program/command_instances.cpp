#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/instance_network.hpp"

#include "data/pseudo_labelled.hpp"
#include "method/instances.hpp"
#include "network/module_weights.hpp"
#include "network/trained_weights.hpp"
#include "process/processes.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

namespace trainer {

namespace fs = std::filesystem;

namespace {

struct instances_flags {
  data_settings data;
  instance_network_flags network;
  std::string out = "out/instances", pseudo;
  std::int64_t iterations = 0;
  std::uint64_t seed = 1;
  bool no_score = false, quiet = false;
};

int run_instances(instances_flags const& f)
{
  cambium::expects(!f.pseudo.empty(), "instances: --pseudo says which COCO file of pseudo labels is learned from");
  auto const sets = open_data(f.data);
  pseudo_labelled const labelled(*sets.train, f.pseudo, crowds_of(f.data));
  say_remarks(labelled.remarks());
  fs::path const out = f.out, weights = out / "instances.safetensors";
  seed_everything(f.seed, true, true);
  auto const network = make_instance_network(f.network, labelled.class_names().size());
  bool const small = f.network.network == "small";
  instance_training how;
  if (small) {
    how.steps = 500, how.batch = 8, how.rate = 3e-3, how.warm_up = 50, how.sigma = 3;
    how.centre_weight = 50, how.offset_weight = 0.1;
    how.augmentation.long_side = how.augmentation.crop = f.data.side;
    how.augmentation.multiple = 1;
    how.augmentation.scales = {1};
  }
  if (f.iterations > 0) how.steps = f.iterations;
  how.warm_up = std::min(how.warm_up, how.steps / 10);
  how.seed = f.seed;
  auto const labels = cambium::read_file(f.pseudo);
  how.beside =
      words_of(f.network) + " pseudo " + std::to_string(fingerprint().add(labels.data(), labels.size()).value());
  if (f.data.data != "scenes") how.beside += survey_of(labelled).contents;
  auto const made_as = instances_recipe(labelled, how);
  bool const trained = made_by(made_as, weights);
  if (!trained) train_instances(labelled, *network, how, record_in(out / "training", f.quiet));
  std::vector<std::string> failed;
  processes::first_alone([&] {
    if (trained)
      load_weights(*network, weights);
    else
      save_weights(*network, weights, trained_as(labelled.class_names(), made_as));
    write_instances(*sets.held_out, *network, small ? small_bestie_inference() : bestie_inference_options{}, out,
                    !f.no_score, failed);
  });
  return tell_failures(failed);
}

}  // namespace

void add_instances_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<instances_flags>();
  auto* const command = app.add_subcommand("instances", "The second stage: an instance network from pseudo labels");
  f->data.side = 96;
  add_data_flags(*command, f->data);
  add_network_flags(*command, f->network);
  command->add_option("--pseudo", f->pseudo, "COCO file of pseudo labels of the images to learn from: pseudo.json");
  command->add_option("--iterations", f->iterations, "instead of the usual number")->check(CLI::PositiveNumber);
  command->add_option("--seed", f->seed, "of weights, order, augmentation")->capture_default_str();
  command->add_flag("--no-score", f->no_score, "there is no truth to measure with");
  command->add_flag("--quiet", f->quiet, "no progress");
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->callback(
      [f, command, &status] { status = run_command("instances", [&] { return run_instances(*f); }, command); });
}

}  // namespace trainer
