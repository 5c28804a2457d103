#include "program/commands.hpp"
#include "program/data_flags.hpp"

#include "method/irnet_run.hpp"

#include <cstdio>
#include <map>
#include <memory>

namespace trainer {

namespace {

struct irnet_flags {
  data_settings data;
  irnet_run_options run;
  std::string out = "out/irnet", network = "small", weights;
  int cam_epochs = 0, field_epochs = 0;
};

void print(char const* name, scores const& s, bool semantic)
{
  if (semantic)
    std::printf("%-40s %6.1f %7.1f %7.1f %7.1f %7.1f\n", name, 100 * s.miou, 100 * s.ap25, 100 * s.ap50, 100 * s.ap70,
                100 * s.ap75);
  else
    std::printf("%-40s %6s %7.1f %7.1f %7.1f %7.1f\n", name, "", 100 * s.ap25, 100 * s.ap50, 100 * s.ap70,
                100 * s.ap75);
}

}  // namespace

void print_irnet_scores(irnet_run_scores const& s)
{
  std::printf("%-40s %6s %7s %7s %7s %7s\n", "percent", "mIoU", "AP@.25", "AP@.5", "AP@.7", "AP@.75");
  print("CAM, components", s.cam, true);
  print("CAM + walk, components", s.walk, true);
  print("CAM + walk, components by boundaries", s.walk_boundary, false);
  print("CAM + walk + displacement", s.walk_displacement, false);
}

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
  command->add_option("--cam-epochs", f->cam_epochs, "instead of the network's usual number");
  command->add_option("--field-epochs", f->field_epochs, "instead of the network's usual number");
  command->add_flag("--quiet", f->run.quiet, "no progress");
  command->callback([f, &status] {
    status = run_command("irnet", [&] {
      auto run = f->run;
      run.folder = f->out;
      auto const seed = run.how.seed;
      run.how = f->network == "small" ? small_irnet() : irnet_training_options{};
      run.how.seed = seed;
      run.how.backbone.weights = f->weights;
      if (f->cam_epochs > 0) run.how.cam_epochs = f->cam_epochs;
      if (f->field_epochs > 0) run.how.field_epochs = f->field_epochs;
      auto const sets = open_data(f->data);
      std::vector<std::string> failed;
      if (auto const scores = run_irnet(*sets.train, *sets.held_out, run, failed)) print_irnet_scores(*scores);
      return tell_failures(failed);
    });
  });
}

}  // namespace trainer
