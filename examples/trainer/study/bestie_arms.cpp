// BESTIE: instances from tags or points, by peaks of class maps and IRNet's semantic maps.

#include "study/irnet_arms.hpp"

#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "method/bestie.hpp"
#include "method/irnet_run.hpp"
#include "method/scores.hpp"
#include "network/irnet_heads.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/resnet.hpp"
#include "run/recipe.hpp"
#include "run/seed.hpp"
#include "study/parts.hpp"

#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace trainer::study {

namespace fs = std::filesystem;
using cambium::supervision;

namespace {

constexpr std::int64_t easy_steps = 1000, hard_steps = 1000;

constexpr char const* words =
    "A peak of a CAM stands for an object. *Knowledge transfer* gives each peak the region of IRNet's semantic map "
    "around it: a pseudo label. A region with two peaks gets none. An instance network learns from pseudo labels. "
    "*Guidance* asks it for centres and offsets only where there is a pseudo label, since objects without one are not "
    "background. *Self-refinement* makes labels of the network's own groups while it learns. *Peak attention* is a "
    "part of the classifier that makes its CAMs narrower, so that an object has one peak. Points are a person's "
    "clicks, one an object, instead of peaks.\n\n"
    "There are two kinds of scenes. On the default ones more than half of all objects get a right pseudo label. The "
    "authors count about 30 % on photographs. *Hard scenes* are nearer to that: six of ten objects have a face at "
    "each end, faces are partly covered, more objects touch. They were fixed before any instance network was trained "
    "on "
    "them ([rationale.md](rationale.md)); IRNet and the peak classifiers had been.\n\n"
    "`labelled` is the share of all objects that get a right pseudo label. `labelled_by_its_own_groups` is the same of "
    "the labels that the trained network's own groups would be.";

/// The default scenes, or hard_scenes.
struct scene_kind {
  bool hard = false;

  [[nodiscard]] std::string prefix() const { return hard ? "bestie/hard/" : "bestie/"; }
  [[nodiscard]] std::string irnet() const { return hard ? "bestie/hard/irnet" : "irnet"; }
  [[nodiscard]] fs::path semantic(place const& at) const
  {
    return hard ? at.folder_of(irnet()) / "semantic" : at.folder_of(irnet()) / "train/semantic";
  }
  /// The same scenes at any size: a scene's layout does not hang on it.
  [[nodiscard]] scenes draw(place const& at, std::size_t count, cambium::index_t side, bool held_out) const
  {
    return draw(at.seed, count, side, held_out);
  }
  [[nodiscard]] scenes draw(std::uint64_t seed, std::size_t count, cambium::index_t side, bool held_out) const
  {
    auto options = scenes_of(seed, count, side, held_out);
    if (hard) options = hard_scenes(options), options.name = "hard_" + options.name;
    return scenes(options);
  }
};

/// IRNet's semantic maps of the hard scenes that are learned from. The default scenes have those of the arm "irnet".
figures measure_irnet_of_hard(place const& at, study_size const& size)
{
  scenes const drawn = scene_kind{true}.draw(at, size.images, irnet_side, false);
  kept const train(drawn);
  irnet_run_options run;
  run.how = study_irnet(at.seed, size);
  run.folder = at.folder();
  run.steps = {"cam", "mine", "field", "maps", "labels"};
  std::vector<std::string> failed;
  (void)run_irnet(train, train, run, failed);
  expects_all(failed);
  scoring all(static_cast<std::int32_t>(train.class_names().size()));
  for (std::size_t i = 0; i < train.size(); ++i)
    all.add_semantic(cambium::read_labels(at.folder() / "semantic" / (train.id(i) + ".png")), train.truth(i));
  return {{"walk_miou", all.result().miou}};
}

/// The labels of IRNet's walk of the scenes to learn from, at half their size.
semantic_maps walked(fs::path const& folder, scenes const& large)
{
  semantic_maps out;
  for (std::size_t i = 0; i < large.size(); ++i) {
    auto const labels = cambium::read_labels(folder / (large.id(i) + ".png"));
    cambium::grid<std::uint8_t, 2> half(small_side, small_side);
    for (cambium::index_t y = 0; y < small_side; ++y)
      for (cambium::index_t x = 0; x < small_side; ++x)
        half(y, x) = static_cast<std::uint8_t>(labels(2 * y + 1, 2 * x + 1));
    out.push_back(std::move(half));
  }
  return out;
}

cue_options search(bool attend)
{
  cue_options how;
  how.squash = {0, 0};
  how.attend = attend;
  how.peaks.peaks.kernel = 7;
  how.threads = 1;
  return how;
}

/// Peaks are those of the scenes at full size, and the window that a peak must dominate is as large beside them as 15
/// pixels beside a photograph of 500: a CAM whose object the window covers has one peak, whatever the classifier.
std::vector<cambium::points> peaks_of(kept const& seen, vgg_pam& network, bool attend)
{
  auto out = find_cues(seen, network, search(attend));
  for (auto& of_image : out)
    for (auto& p : of_image) p.y = p.y * small_side / irnet_side, p.x = p.x * small_side / irnet_side;
  return out;
}

void write_cues(fs::path const& file, std::vector<cambium::points> const& cues)
{
  auto all = nlohmann::json::array();
  for (auto const& of_image : cues) {
    all.push_back(nlohmann::json::array());
    for (auto const& p : of_image) all.back().push_back({p.y, p.x, p.category, p.score});
  }
  cambium::replace_file(file, all.dump() + "\n");
}

std::vector<cambium::points> read_cues(fs::path const& file)
{
  auto const content = cambium::read_file(file);
  std::vector<cambium::points> out;
  for (auto const& of_image : nlohmann::json::parse(content.begin(), content.end())) {
    out.emplace_back();
    for (auto const& p : of_image)
      out.back().push_back({p[0].get<double>(), p[1].get<double>(), p[2].get<std::int32_t>(), p[3].get<float>()});
  }
  return out;
}

/// Pseudo labels and peaks of these cues: what an instance network will learn from.
void add_quality(figures& out, std::string const& suffix, kept const& train, semantic_maps const& maps,
                 std::vector<cambium::points> const& cues)
{
  auto const transfer = small_bestie(1, small_side).transfer;
  auto const quality = pseudo_label_quality(train, maps, cues, transfer);
  double peaks = 0, without = 0;
  for (std::size_t i = 0; i < train.size(); ++i) {
    auto const truth = train.truth(i);
    std::vector<bool> met(truth.found.size());
    for (auto const& p : cambium::confident_points(cues[i], transfer.pseudo_thresh)) {
      auto const number = truth.label(static_cast<cambium::index_t>(p.y), static_cast<cambium::index_t>(p.x));
      ++peaks;
      if (number > 0 && truth.found[static_cast<std::size_t>(number - 1)].category == p.category)
        met[static_cast<std::size_t>(number - 1)] = true;
    }
    without += static_cast<double>(std::count(met.begin(), met.end(), false));
  }
  auto const objects = static_cast<double>(quality.objects);
  out["labelled" + suffix] = static_cast<double>(quality.right) / objects;
  out["labels_that_are_right" + suffix] =
      static_cast<double>(quality.right) / static_cast<double>(std::max<std::size_t>(quality.accepted, 1));
  out["objects_without_a_peak" + suffix] = without / objects;
  out["peaks_an_object" + suffix] = peaks / objects;
}

peak_classifier_options study_peaks(std::uint64_t seed, study_size const& size)
{
  auto how = small_peak_classifier(irnet_side);
  how.seed = seed;
  if (size.rehearsal) how.epochs = 1;
  return how;
}

constexpr std::int64_t peak_width = 12;  ///< of small_vgg_pam

/// A classifier trained with peak attention (alpha above 0) or without, and its peaks: searched without attention in
/// peaks.json, with it in looking.json.
figures measure_cues(place const& at, study_size const& size, scene_kind const& where, double alpha)
{
  scenes const drawn = where.draw(at, size.images, small_side, false),
               large = where.draw(at, size.images, irnet_side, false);
  kept const train(drawn), seen(large);
  auto const maps = walked(where.semantic(at), large);
  seed_everything(at.seed, true, true);
  vgg_pam network(static_cast<std::int64_t>(seen.class_names().size()), small_vgg_pam(peak_width, alpha));
  auto const how = study_peaks(at.seed, size);
  train_peak_classifier(seen, network, how);
  figures out;
  for (bool const attend : {false, true}) {
    if (attend && alpha == 0) break;
    auto const cues = peaks_of(seen, network, attend);
    write_cues(at.folder() / (attend ? "looking.json" : "peaks.json"), cues);
    add_quality(out, attend ? "_by_attention_while_looking" : "", train, maps, cues);
  }
  return out;
}

/// What an instance network is trained with.
struct training {
  std::string classifier;  ///< "attention", "plain"; empty: given points
  bool guidance = true, refinement = true;
  bool looking = false;  ///< peaks are searched with attention, as published
};

bestie_training_options study_bestie(std::uint64_t seed, study_size const& size, std::int64_t steps,
                                     training const& what)
{
  auto how = small_bestie(size.steps(steps), small_side);
  how.seed = seed;
  how.guidance = what.guidance;
  how.refinement = what.refinement;
  how.cues = what.classifier.empty() ? supervision::point : supervision::image;
  how.threads = 1;
  return how;
}

constexpr std::int64_t instance_width = 16;  ///< of small_panoptic_deeplab

/// For a recipe: the settings of a peak classifier and of the search.
std::string words_of_cues(scene_kind const& where, study_size const& size, double alpha)
{
  auto const one = where.draw(1, 1, irnet_side, false);
  vgg_pam const network(static_cast<std::int64_t>(one.class_names().size()), small_vgg_pam(peak_width, alpha));
  auto const how = search(false);
  auto const& p = how.peaks.peaks;
  return first_scene(one) + peak_classifier_recipe(one, network, study_peaks(1, size)) +
         recipe(" search")
             .add("squash", how.squash.height, how.squash.width)
             .add("peaks", how.peaks.smoothing, p.kernel, p.most, p.threshold, p.plateaus)
             .words();
}

/// For a recipe: the settings of an instance network, its first weights and the search for instances.
std::string words_of_training(scene_kind const& where, study_size const& size, std::int64_t steps, training const& what)
{
  auto const one = where.draw(1, 1, small_side, false);
  auto const find = small_bestie_inference();
  auto const& i = find.instances;
  auto const& g = i.groups;
  return first_scene(one) + bestie_recipe(one, {}, {}, study_bestie(1, size, steps, what)) +
         recipe(" find")
             .add("width", instance_width, small_irnet().backbone.width)
             .add("instances", i.threshold, i.smallest, i.alone, i.offsets, i.seen.height, i.seen.width)
             .add("groups", g.kernel, g.beta, g.outside, g.apart, g.relative, g.plateaus)
             .add("image", find.multiple, find.flip, find.tags_known)
             .words();
}

figures measure_training(place const& at, study_size const& size, scene_kind const& where, std::int64_t steps,
                         training const& what)
{
  scenes const drawn = where.draw(at, size.images, small_side, false),
               others = where.draw(at, size.bestie_measured_on(), small_side, true),
               large = where.draw(at, size.images, irnet_side, false);
  kept const train(drawn), held_out(others);
  auto const maps = walked(where.semantic(at), large);
  auto const cues = what.classifier.empty() ? given_cues(train)
                                            : read_cues(at.folder_of(where.prefix() + "cues/" + what.classifier) /
                                                        (what.looking ? "looking.json" : "peaks.json"));
  seed_everything(at.seed, true, true);
  // weights of ImageNet are what the original begins with; here it is what IRNet's classifier learned from tags
  resnet_options body;
  body.strides = {1, 2, 2, 1};
  auto const backbone = small_resnet(small_irnet().backbone.width, body);
  load_cam_backbone(*backbone, at.folder_of(where.irnet()) / "cam.safetensors");
  auto const network =
      small_panoptic_deeplab(instance_width, static_cast<std::int64_t>(train.class_names().size()), backbone);
  auto const how = study_bestie(at.seed, size, steps, what);
  train_bestie(train, maps, cues, *network, how);
  auto inference = small_bestie_inference();
  inference.threads = 1;
  auto const found = evaluate_bestie(held_out, *network, inference);
  auto const own = refined_label_quality(train, maps, *network, how.refine, 1);
  return {{"ap50", found.ap50},
          {"ap25", found.ap25},
          {"labelled_by_its_own_groups", static_cast<double>(own.right) / static_cast<double>(own.objects)}};
}

}  // namespace

part bestie_part(study_size const& size)
{
  part out;
  out.name = "bestie";
  out.title = "BESTIE: from tags or points to instances";
  out.text = words;
  out.chosen = {
      {"BESTIE on the default scenes",
       {1, 2, 3},
       "Results of these seeds were on earlier pages, and the window of peaks, the size of the scenes they are "
       "searched in and the search without attention were chosen after that."},
      {"BESTIE on hard scenes",
       {11, 12},
       "The scenes were chosen on seed 11, by the pseudo labels; when refinement begins, on both."}};
  std::string const rehearsal = size.rehearsal ? " rehearsal" : "";
  auto const add = [&](scene_kind const& where, std::string const& name, std::int64_t steps, training const& what) {
    arm next{.name = where.prefix() + name,
             .recipe = study_size::words(size.images, size.bestie_measured_on()) + " steps " +
                       std::to_string(size.steps(steps)) + (what.guidance ? " guidance" : " no guidance") +
                       (what.refinement ? " refinement" : "") + (what.looking ? " peaks by attention" : "") +
                       " settings " + numbered(words_of_training(where, size, steps, what)) + rehearsal,
             .needs = {where.irnet()},
             .measure = [=](place const& at) { return measure_training(at, size, where, steps, what); }};
    if (!what.classifier.empty()) next.needs.push_back(where.prefix() + "cues/" + what.classifier);
    out.arms.push_back(std::move(next));
  };
  auto const add_cues = [&](scene_kind const& where) {
    for (auto const& [name, alpha] : {std::pair{"attention", 0.7}, std::pair{"plain", 0.0}}) {
      arm next{.name = where.prefix() + "cues/" + name,
               .recipe = study_size::words(size.images, 0) + " settings " +
                         numbered(words_of_cues(where, size, alpha)) + rehearsal,
               .needs = {where.irnet()},
               .leaves = {"peaks.json"},
               .measure = [=, a = alpha](place const& at) { return measure_cues(at, size, where, a); }};
      if (alpha > 0) next.leaves.push_back("looking.json");
      out.arms.push_back(std::move(next));
    }
  };
  scene_kind const easy{}, hard{true};
  add_cues(easy);
  add(easy, "no_guidance", easy_steps, {"attention", false, false});
  add(easy, "guidance", easy_steps, {"attention", true, false});
  add(easy, "refined", easy_steps, {"attention"});
  add(easy, "cam_peaks", easy_steps, {"plain"});
  add(easy, "points", easy_steps, {});
  auto const of_hard = hard_scenes({});
  out.arms.push_back({.name = hard.irnet(),
                      .recipe = study_size::words(size.images, 0) + " second_face " +
                                std::to_string(of_hard.second_face) + " covered " + std::to_string(of_hard.covered) +
                                " touching " + std::to_string(of_hard.touching) +
                                irnet_words(hard.draw(1, 1, irnet_side, false), size),
                      .leaves = {"cam.safetensors", "semantic"},
                      .measure = [size](place const& at) { return measure_irnet_of_hard(at, size); }});
  add_cues(hard);
  add(hard, "no_guidance", hard_steps, {"attention", false, false});
  add(hard, "guidance", hard_steps, {"attention", true, false});
  add(hard, "refined", hard_steps, {"attention"});
  add(hard, "cam_peaks", hard_steps, {"plain"});
  add(hard, "attention_while_looking", hard_steps, {.classifier = "attention", .looking = true});
  add(hard, "points", hard_steps, {});

  auto const claimed = [&](char const* name, char const* paper, char const* less, char const* more,
                           char const* remark = "") -> claim& {
    return out.claims.emplace_back(claim{.name = name,
                                         .paper = paper,
                                         .less = std::string("bestie/") + less,
                                         .more = std::string("bestie/") + more,
                                         .remark = remark});
  };
  claimed("guidance helps", "−9.9 without", "no_guidance:ap50", "guidance:ap50");
  claimed("points beat tags", "46.7 against 41.8", "refined:ap50", "points:ap50");
  claimed("self-refinement helps", "+2.3", "guidance:ap50", "refined:ap50",
          "On the default scenes the pseudo labels are good from the beginning, and refinement needs longer trainings. "
          "An earlier program gave -0.6 points after 1000 steps and +0.7 after 2000, on seeds 1, 2 and 3. The study "
          "takes 1000, for its cost. The hard scenes ask the question better.");
  claimed("peak attention beats peaks of plain CAMs", "+16.4", "cam_peaks:ap50", "refined:ap50",
          "The peaks are searched without the attention that the classifier was trained with (`cue_options::attend`). "
          "The last claim compares it with the published search.");
  claimed("guidance helps, hard scenes", "−9.9 without", "hard/no_guidance:ap50", "hard/guidance:ap50").main = true;
  claimed("self-refinement helps, hard scenes", "+2.3", "hard/guidance:ap50", "hard/refined:ap50",
          "Refinement begins with the first step, as in the authors' scripts. Seeds 11 and 12 decided that: there it "
          "gained 1.8 and 3.8 points over guidance. Begun at half of the steps it gained 1.0 and -0.5.")
      .main = true;
  claimed("peak attention beats peaks of plain CAMs, hard scenes", "+16.4", "hard/cam_peaks:ap50", "hard/refined:ap50")
      .main = true;
  claimed("peak attention gives more objects a right pseudo label, hard scenes", "3 times as many",
          "hard/cues/plain:labelled", "hard/cues/attention:labelled");
  claimed("peaks are better searched without the attention of the training, hard scenes", "the authors search with it",
          "hard/attention_while_looking:ap50", "hard/refined:ap50",
          "With it the module keeps responses of at least 0.7 of a channel's strongest one, in each of three layers. "
          "Few objects then have a peak: see `objects_without_a_peak`.");
  claimed("points beat tags, hard scenes", "46.7 against 41.8", "hard/refined:ap50", "hard/points:ap50").main = true;
  return out;
}

}  // namespace trainer::study
