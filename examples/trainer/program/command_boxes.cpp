#include "program/commands.hpp"
#include "program/data_flags.hpp"

#include "method/boxes.hpp"
#include "network/module_weights.hpp"
#include "network/uncertain_head.hpp"
#include "process/processes.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

namespace trainer {

namespace fs = std::filesystem;

namespace {

struct boxes_flags {
  data_settings data;
  boxes_options how;
  std::string out = "out/boxes";
  std::vector<std::string> kinds{"uncertainty", "exact", "boxes_as_masks"};
  bool quiet = false;
};

int run_boxes(boxes_flags const& f)
{
  std::map<std::string, box_supervision_kind> known;
  for (auto const kind :
       {box_supervision_kind::exact, box_supervision_kind::uncertainty, box_supervision_kind::boxes_as_masks,
        box_supervision_kind::exact_part, box_supervision_kind::boxinst})
    known[name_of(kind)] = kind;
  for (auto const& kind : f.kinds)
    cambium::expects(known.count(kind) == 1, "boxes: there is no '", kind,
                     "'; trainings are uncertainty, boxinst, exact, boxes_as_masks, exact_part");
  auto const sets = open_data(f.data);
  auto const classes = sets.train->class_names().size();
  auto const exact = choose_exact(sets.train->size(), f.how.exact_share, f.how.seed);
  auto const held_out = read_samples(*sets.held_out, std::vector<bool>(sets.held_out->size(), true), f.how.several);
  say(std::to_string(std::count(exact.begin(), exact.end(), true)) + " of " + std::to_string(exact.size()) +
      " images are exact, the others have boxes");
  nlohmann::json scores = nlohmann::json::object();
  std::vector<std::string> left_out;  // the same of every training but `exact`
  for (auto const& kind : f.kinds) {
    auto const& how = f.how;
    fs::path const folder = fs::path(f.out) / kind;
    // only the exact baseline sees the masks of the others
    std::vector<std::string> these;
    auto const samples = read_samples(
        *sets.train, known[kind] == box_supervision_kind::exact ? std::vector<bool>(exact.size(), true) : exact,
        how.several, &these);
    if (left_out.empty()) left_out = these;
    auto const trained = train_with(known[kind], samples, classes, how, record_in(folder, f.quiet));
    processes::first_alone([&] {
      save_weights(*trained.network, folder / "network.safetensors");
      auto const model = how.supervision.loss.classes;
      for (std::size_t i = 0; i < sets.held_out->size(); ++i)
        cambium::replace_file(
            folder / "semantic" / (sets.held_out->id(i) + ".png"),
            cambium::format_labels(predict(*trained.network, held_out[i].photograph, model), cambium::voc_palette()));
      scores[kind] = figure_of(evaluate(*trained.network, held_out, classes, how));
      std::printf("%-16s %s %.1f\n", kind.c_str(), how.several ? "mIoU" : "IoU", 100 * scores[kind].get<double>());
    });
  }
  if (processes::first()) cambium::replace_file(fs::path(f.out) / "scores.json", scores.dump(1) + "\n");
  return processes::first() ? tell_failures(left_out) : 0;
}

}  // namespace

void add_boxes_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<boxes_flags>();
  auto* const command = app.add_subcommand(
      "boxes", "A few exact masks and many boxes to semantic masks: label uncertainty, BoxInst's losses");
  f->data.side = 96;
  add_data_flags(*command, f->data);
  command
      ->add_option("--train,--loss", f->kinds,
                   "uncertainty or boxinst, and what they are compared with: exact boxes_as_masks exact_part")
      ->delimiter(',');
  command->add_flag("--several", f->how.several, "every class by itself; otherwise all are one foreground");
  command->add_flag_callback(
      "--softmax", [f] { f->how.supervision.loss.classes = cambium::class_model::mean_field; },
      "a pixel has one class, or is background; otherwise each class is a question of its own");
  command->add_option("--exact", f->how.exact_share, "share of the images that have exact masks")
      ->capture_default_str();
  command->add_option("--exact-seen", f->how.exact_seen, "share of what a step sees that is exact; 0: as there are")
      ->capture_default_str();
  command->add_option("--iterations", f->how.steps, "of each training")->capture_default_str();
  command->add_option("--batch", f->how.batch, "images a step")->capture_default_str();
  command->add_option("--exact-batch", f->how.exact_batch,
                      "exact images a step, beside --box-batch others, in place of --batch and --exact-seen");
  command->add_option("--box-batch", f->how.box_batch, "images a step that are not exact, beside --exact-batch");
  auto& rules = f->how.supervision;
  command->add_option("--box-weight", rules.loss.box_weight, "of a pixel in a box; a certain one has 1")
      ->capture_default_str();
  command->add_option("--largest-sigma", rules.loss.largest_sigma, "cap of the uncertainty")->capture_default_str();
  command->add_option("--warm-up", f->how.warm_up, "share of the iterations during which boxes do not change")
      ->capture_default_str();
  command->add_option("--confidence", rules.bootstrap.confidence, "from which on a box pixel becomes background")
      ->capture_default_str();
  command->add_option("--classifier", f->how.classifier, "cam.safetensors of 'trainer irnet', to begin with");
  command->add_option("--seed", f->how.seed, "of weights, order, and which images are exact")->capture_default_str();
  command->add_flag("--quiet", f->quiet, "no progress");
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->callback([f, &status] { status = run_command("boxes", [&] { return run_boxes(*f); }); });
}

}  // namespace trainer
