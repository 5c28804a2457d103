#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/flags.hpp"

#include "method/boxes.hpp"
#include "network/module_weights.hpp"
#include "network/uncertain_head.hpp"
#include "process/processes.hpp"

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
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

std::vector<std::string> const mode_words{"off", "hard", "soft"},
    undecided_words{"keep_box", "ignore"};  // in the order of the enumerations

struct boxes_flags {
  data_settings data;
  boxes_options how;
  std::string out = "out/boxes", exact_list;
  std::vector<std::string> kinds{"uncertainty", "exact", "boxes_as_masks"};
  bool quiet = false, kinds_given = false, share_given = false, tau_hi_given = false;
};

/// Which images are exact; a sentence about it goes to stderr.
std::vector<bool> exact_images(boxes_flags const& f, dataset const& train)
{
  auto const many = [](std::vector<bool> const& marks) { return std::count(marks.begin(), marks.end(), true); };
  auto const masks = with_masks(train);
  auto const have = many(masks);
  std::string const all = std::to_string(train.size());
  if (!f.exact_list.empty()) {
    cambium::expects(!f.share_given, "boxes: --exact-list says which images are exact; leave --exact out");
    auto listed = listed_exact(train, f.exact_list);
    say(std::to_string(many(listed)) + " of " + all + " images are exact, those of " + f.exact_list +
        "; the others have boxes");
    return listed;
  }
  auto chosen = choose_exact(train, f.how.exact_share, f.how.seed);
  if (have == static_cast<std::ptrdiff_t>(train.size())) {
    say(std::to_string(many(chosen)) + " of " + all + " images are exact, the others have boxes");
    return chosen;
  }
  cambium::expects(!f.share_given, "boxes: --exact is the share of a set in which all images have masks; here ", have,
                   " of ", all,
                   " have one, and these are exact. Leave --exact out, or name some of them by --exact-list");
  say(have == 0 ? "no image has a mask: all have boxes"
                : std::to_string(have) + " of " + all + " images have masks: these are exact, the others have boxes");
  return chosen;
}

/// Something to learn: a box, or an object in a mask.
bool shows_objects(std::vector<box_sample> const& samples)
{
  return std::any_of(samples.begin(), samples.end(), [](box_sample const& s) {
    auto const labels = s.mask.cells();
    return !s.boxes.empty() ||
           std::any_of(labels.begin(), labels.end(), [](auto v) { return v > 0 && v != cambium::label::ignore; });
  });
}

/// The scores of trainings that were measured before, in the same folder; none where the file is no JSON object.
nlohmann::json earlier_scores(fs::path const& file)
{
  auto none = nlohmann::json::object();
  if (!fs::exists(file)) return none;
  auto const text = cambium::read_file(file);
  auto found = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  return found.is_object() ? found : none;
}

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
  auto const exact = exact_images(f, *sets.train), masks = with_masks(*sets.train);
  auto how = f.how;
  how.exact_images = exact;
  auto& rules = how.supervision;
  if (!f.tau_hi_given)  // sigma alone makes nothing background
    rules.bootstrap.tau_hi = std::max(rules.bootstrap.tau_lo, rules.loss.largest_sigma);
  auto kinds = f.kinds;
  if (auto const lacking = std::find(masks.begin(), masks.end(), false); !f.kinds_given && lacking != masks.end()) {
    kinds.erase(std::remove(kinds.begin(), kinds.end(), "exact"), kinds.end());
    say("without the training 'exact', which needs masks of all images: " +
        sets.train->id(static_cast<std::size_t>(lacking - masks.begin())) + " has none");
  }
  for (auto const& kind : kinds)  // all, before the first one takes its time
    expects_trainable(known[kind], known[kind] == box_supervision_kind::exact ? masks : exact, how);

  bool const of_training = sets.held_out == sets.train;
  auto const measured = read_measured(*sets.held_out, how.several);
  std::string const set = of_training ? "images learned from" : "held-out images";
  if (measured.empty())
    say("nothing is measured: no image of the " + set + " has a mask");
  else if (measured.size() < sets.held_out->size())
    say("measured on the " + std::to_string(measured.size()) + " of " + std::to_string(sets.held_out->size()) + " " +
        set + " that have masks");
  if (of_training && !measured.empty())
    say("measured on the images learned from, which says little about others" +
        std::string(f.data.label_training           ? ""
                    : fs::is_directory(f.data.data) ? ": --held-out-list names others"
                                                    : ": --held-out-json names others"));

  // only the exact baseline sees the masks of the others
  auto const samples_of = [&](std::string const& kind, std::vector<std::string>* left_out) {
    return read_samples(*sets.train, known[kind] == box_supervision_kind::exact ? masks : exact, how.several, left_out);
  };
  for (std::size_t k = 0; k < kinds.size(); ++k) {  // all are read once before the first training
    bool const of_masks = known[kinds[k]] == box_supervision_kind::exact;
    auto const same = [&](auto const& other) { return (known[other] == box_supervision_kind::exact) == of_masks; };
    if (std::any_of(kinds.begin(), kinds.begin() + static_cast<std::ptrdiff_t>(k), same)) continue;
    std::vector<std::string> lost;
    auto const samples = samples_of(kinds[k], &lost);
    cambium::expects(!samples.empty(), "boxes: no image can be learned from; ", lost.empty() ? "" : lost.front());
    cambium::expects(shows_objects(samples),
                     "boxes: no image of the set has a box or an object in a mask, so all would be background");
  }
  std::vector<std::string> left_out;  // the same of every training but `exact`
  for (auto const& kind : kinds) {
    fs::path const folder = fs::path(f.out) / kind;
    std::vector<std::string> these;
    auto const samples = samples_of(kind, &these);
    if (left_out.empty()) left_out = these;
    auto const trained = train_with(known[kind], samples, classes, how, record_in(folder, f.quiet));
    processes::first_alone([&] {
      save_weights(*trained.network, folder / "network.safetensors");
      auto const model = how.supervision.loss.classes;
      for (std::size_t i = 0; i < sets.held_out->size(); ++i)
        cambium::replace_file(
            folder / "semantic" / (sets.held_out->id(i) + ".png"),
            cambium::format_labels(predict(*trained.network, sets.held_out->load(i).photograph, model),
                                   cambium::voc_palette()));
      fs::path const file = fs::path(f.out) / "scores.json";
      auto scores = earlier_scores(file);
      scores.erase(kind);
      if (!measured.empty()) {
        char const* const figure = how.several ? "miou" : "iou";
        double const value = figure_of(evaluate(*trained.network, measured, classes, how));
        scores[kind] = {{figure, value}, {"measured_on", set}, {"images", measured.size()}};
        std::printf("%-16s %s %.1f%s\n", kind.c_str(), how.several ? "mIoU" : "IoU", 100 * value,
                    of_training ? " (of the images learned from)" : "");
      }
      cambium::replace_file(file, scores.dump(1) + "\n");
    });
  }
  return processes::first() ? tell_failures(left_out) : 0;
}

}  // namespace

void add_boxes_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<boxes_flags>();
  auto* const command = app.add_subcommand(
      "boxes", "A few exact masks and many boxes to semantic masks: label uncertainty, BoxInst's losses");
  f->data.side = 96;
  f->data.masks_or_boxes = true;
  add_data_flags(*command, f->data);
  auto* const kinds =
      command
          ->add_option("--train,--loss", f->kinds,
                       "uncertainty or boxinst, and what they are compared with: exact boxes_as_masks exact_part")
          ->delimiter(',');
  command->add_flag("--several", f->how.several, "every class by itself; otherwise all are one foreground");
  command->add_flag_callback(
      "--softmax", [f] { f->how.supervision.loss.classes = cambium::class_model::mean_field; },
      "a pixel has one class, or is background; otherwise each class is a question of its own");
  auto* const share =
      command
          ->add_option("--exact", f->how.exact_share,
                       "share of the images that are exact, where all have masks; otherwise those with masks are")
          ->capture_default_str();
  command->add_option("--exact-list", f->exact_list, "file of the ids of the exact images, one a line");
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
  command->add_option("--tau-lo", rules.bootstrap.tau_lo, "sigma below which a box pixel may become certain foreground")
      ->capture_default_str();
  auto* const tau_hi = command->add_option("--tau-hi", rules.bootstrap.tau_hi,
                                           "sigma above which a box pixel becomes background; without it none does");
  add_choice(*command, "--unsure", rules.bootstrap.unsure, undecided_words, "box pixels that are neither");
  add_choice(*command, "--bootstrap", rules.bootstrap.mode, mode_words, "how boxes become masks; off: the loss alone");
  command->add_option("--classifier", f->how.classifier, "cam.safetensors of 'trainer irnet', to begin with");
  command->add_option("--seed", f->how.seed, "of weights, order, and which images are exact")->capture_default_str();
  command->add_flag("--quiet", f->quiet, "no progress");
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->callback([f, command, kinds, share, tau_hi, &status] {
    f->kinds_given = kinds->count() > 0, f->share_given = share->count() > 0, f->tau_hi_given = tau_hi->count() > 0;
    status = run_command("boxes", [&] { return run_boxes(*f); }, command);
  });
}

}  // namespace trainer
