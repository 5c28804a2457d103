#include "program/commands.hpp"
#include "program/data_flags.hpp"
#include "program/instance_network.hpp"

#include "data/drawn_marks.hpp"
#include "data/kept.hpp"
#include "method/scores.hpp"
#include "method/scribbles.hpp"
#include "network/module_weights.hpp"
#include "network/trained_weights.hpp"
#include "process/processes.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

namespace trainer {

namespace fs = std::filesystem;

namespace {

struct scribbles_flags {
  data_settings data;
  instance_network_flags network;
  scribble_training how;
  std::string out = "out/scribbles", marks;
  std::int64_t iterations = 0;
  double limit = 0;
  bool no_tree = false, no_high = false, no_score = false, quiet = false;
};

/// The images to learn from, with marks.
struct marked_set {
  std::optional<drawn_marks> drawn;
  std::optional<kept> in_memory;
  dataset const* set = nullptr;
};

/// Draws marks where they are not read from files.
void mark(marked_set& out, dataset const& from, std::string const& marks, bool scenes)
{
  out.set = &from;
  if (marks == "files") return;
  out.drawn.emplace(from, marks == "skeleton" ? mark_rule::skeleton : mark_rule::deepest);
  out.set = &*out.drawn;
  if (scenes) out.set = &out.in_memory.emplace(*out.drawn);
}

/// Labels every image: semantic/ID.png. An image that fails is named, and the rest goes on.
std::vector<std::string> write_semantic(dataset const& images, bestie_network& network,
                                        semantic_inference_options const& how, fs::path const& out, bool scored)
{
  std::vector<std::string> failed;
  scoring scores_of(static_cast<std::int32_t>(images.class_names().size()));
  auto const palette = cambium::voc_palette();
  for (std::size_t i = 0; i < images.size(); ++i) try {
      auto const image = images.load(i);
      auto const found = find_semantic(image.photograph, network, how);
      cambium::replace_file(out / "semantic" / (image.id + ".png"), cambium::format_labels(found, palette));
      if (scored) scores_of.add_semantic(found, images.truth(i), images.ignored(i));
    } catch (std::exception const& e) {
      failed.push_back(images.id(i) + ": " + e.what());
      std::fprintf(stderr, "%s\n", failed.back().c_str());
    }
  if (scored) {
    double const miou = scores_of.result().miou;
    nlohmann::json json{{"images", images.size() - failed.size()}};
    json["miou"] = json_of({.miou = miou})["miou"];
    cambium::replace_file(out / "scores.json", json.dump(1) + "\n");
    std::printf("mIoU %.1f\n", 100 * miou);
  }
  return failed;
}

int run_scribbles(scribbles_flags f)
{
  cambium::expects(processes::size() == 1, "scribbles: trains and labels as one process only; there are ",
                   processes::size());
  bool const scenes = f.data.data == "scenes", folder = !scenes && fs::is_directory(f.data.data);
  if (f.marks.empty()) f.marks = folder ? "files" : "skeleton";
  bool const files = f.marks == "files";
  cambium::expects(!files || folder, "--marks files: --data ", f.data.data,
                   " has no files of marks; skeleton and deepest draw them from its truth");
  cambium::expects(files || (f.data.scribbles.empty() && f.data.points.empty()), "--marks ", f.marks,
                   ": marks are drawn from the truth, so --scribbles and --point-files mean nothing");
  if (files && f.data.scribbles.empty() && f.data.points.empty()) f.data.scribbles = "Scribbles";
  f.data.held_out_photographs_only = true;
  auto const sets = open_data(f.data);
  marked_set marked;
  mark(marked, *sets.train, f.marks, scenes);

  bool const small = f.network.network == "small";
  auto how = small ? small_scribbles(500, f.data.side) : scribble_training();
  how.frame = f.how.frame, how.spread = f.how.spread, how.spreading = f.how.spreading, how.seed = f.how.seed;
  how.balance = how.balance || f.how.balance;
  how.tree.weight = f.how.tree.weight, how.tree.low = f.how.tree.low;
  if (f.iterations > 0) how.steps = f.iterations;
  how.warm_up = std::min(how.warm_up, how.steps / 10);
  if (f.no_tree) how.tree.weight = 0;
  how.tree.high = !f.no_high;
  how.points = files && !f.data.points.empty();
  if (f.limit > 0) how.spreading.limit = f.limit;
  how.beside = words_of(f.network) + " marks " + f.marks;
  if (auto const seen = surveyed(f.data, sets)) how.beside += seen->contents;

  fs::path const out = f.out, weights = out / "scribbles.safetensors";
  seed_everything(how.seed, true, true);
  auto const network = make_instance_network(f.network, marked.set->class_names().size());
  auto const made_as = scribbles_recipe(*marked.set, how, expects_marks(*marked.set, how));
  if (made_by(made_as, weights)) {
    load_weights(*network, weights);
  } else {
    train_scribbles(*marked.set, network, how, record_in(out / "training", f.quiet));
    save_weights(*network, weights, trained_as(marked.set->class_names(), made_as));
  }
  return tell_failures(
      write_semantic(*sets.held_out, *network, {.long_side = small ? f.data.side : 0}, out, !f.no_score));
}

}  // namespace

void add_scribbles_command(CLI::App& app, int& status)
{
  auto const f = std::make_shared<scribbles_flags>();
  auto* const command =
      app.add_subcommand("scribbles", "Scribbles and points to semantic masks: partial cross entropy, tree energy");
  f->data.side = 96;
  add_data_flags(*command, f->data);
  add_network_flags(*command, f->network);
  command->add_option("--scribbles", f->data.scribbles,
                      "VOC folder: folder of ID.png, 255 unmarked, 0 background, 1..C");
  command
      ->add_option(
          "--marks", f->marks,
          "files: --scribbles (without it Scribbles/ID.png), --point-files; or drawn from the truth, of objects "
          "and background: skeleton, or their deepest pixel. Folders: files, others: skeleton")
      ->check(CLI::IsMember({"files", "skeleton", "deepest"}));
  command->add_flag("--frame", f->how.frame, "unmarked pixels of the outermost rows and columns are marked background");
  command->add_flag("--balance", f->how.balance,
                    "marks of objects and of background count alike, however many; always with --network small");
  auto* const no_tree = command->add_flag("--no-tree", f->no_tree, "without the tree energy loss: marked pixels alone");
  command->add_option("--tree-weight", f->how.tree.weight, "of the tree energy loss")
      ->check(CLI::NonNegativeNumber)
      ->excludes(no_tree)
      ->capture_default_str();
  command->add_option("--tree-sigma", f->how.tree.low.sigma, "of the photograph's tree")
      ->check(CLI::PositiveNumber)
      ->excludes(no_tree)
      ->capture_default_str();
  command->add_flag("--no-high-tree", f->no_high, "without the tree of the network's features")->excludes(no_tree);
  auto* const spread =
      command->add_flag("--spread", f->how.spread, "first spread the marks along the photograph, as pseudo labels");
  command->add_option("--confidence", f->how.spreading.confidence, "--spread: pixels of less stay unlabelled")
      ->check(CLI::Range(0., 1.))
      ->needs(spread)
      ->capture_default_str();
  command->add_option("--limit", f->limit, "--spread: paths that cost more reach nothing; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->needs(spread)
      ->capture_default_str();
  command->add_option("--iterations", f->iterations, "instead of the usual number")->check(CLI::PositiveNumber);
  command->add_option("--seed", f->how.seed, "of weights, order, augmentation")->capture_default_str();
  command->add_flag("--no-score", f->no_score, "there is no truth to measure with");
  command->add_flag("--quiet", f->quiet, "no progress");
  command->add_option("--out", f->out, "folder for everything")->capture_default_str();
  command->callback(
      [f, command, &status] { status = run_command("scribbles", [&] { return run_scribbles(*f); }, command); });
}

}  // namespace trainer
