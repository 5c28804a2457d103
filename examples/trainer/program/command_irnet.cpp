#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/irnet_table.hpp"

#include "method/irnet_run.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <filesystem>
#include <memory>

namespace trainer {

namespace {

struct irnet_flags {
  data_settings data;
  irnet_run_options run;
  std::string out = "out/irnet", network = "small", weights;
  int cam_epochs = 0, field_epochs = 0;
};

}  // namespace

void add_irnet_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<irnet_flags>();
  auto* const command = app.add_subcommand("irnet", "IRNet: image tags to instances");
  add_data_flags(*command, f->data);
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->add_option("--network", f->network, "small: begins from nothing, for two cores; resnet50: the original")
      ->check(CLI::IsMember({"small", "resnet50"}))
      ->capture_default_str();
  command->add_option("--weights", f->weights, "resnet50: safetensors of an ImageNet classifier");
  command->add_option("--steps", f->run.steps, "cam mine field maps labels score, or some of them")->delimiter(',');
  command->add_option("--seed", f->run.how.seed, "of weights, order, augmentation")->capture_default_str();
  command->add_option("--cam-epochs", f->cam_epochs, "instead of the network's usual number")
      ->check(CLI::PositiveNumber);
  command->add_option("--field-epochs", f->field_epochs, "instead of the network's usual number")
      ->check(CLI::PositiveNumber);
  command->add_flag("--quiet", f->run.quiet, "no progress");
  command->callback([f, command, &status] {
    status = run_command(
        "irnet",
        [&] {
          auto run = f->run;
          run.folder = f->out;
          auto const seed = run.how.seed;
          run.how = f->network == "small" ? small_irnet() : irnet_training_options{};
          run.how.seed = seed;
          run.how.backbone.weights = f->weights;
          if (f->cam_epochs > 0) run.how.cam_epochs = f->cam_epochs;
          if (f->field_epochs > 0) run.how.field_epochs = f->field_epochs;
          auto const sets = open_data(f->data);
          auto const learns = [&](char const* step) {
            return std::find(run.steps.begin(), run.steps.end(), step) != run.steps.end();
          };
          if (learns("cam") || learns("field"))
            if (auto const seen = surveyed(f->data, sets)) {
              cambium::expects(!learns("cam") || seen->tagged > 0, "irnet: ", no_tags);
              run.how.beside = seen->contents + contents_of(std::filesystem::path(f->weights));
            }
          std::vector<std::string> failed;
          if (auto const scores = run_irnet(*sets.train, *sets.held_out, run, failed))
            print_table(irnet_table(*scores));
          return tell_failures(failed);
        },
        command);
  });
}

}  // namespace trainer
