#include "method/irnet_run.hpp"

#include "data/fingerprint.hpp"
#include "data/survey.hpp"
#include "network/module_weights.hpp"
#include "network/trained_weights.hpp"
#include "process/difference.hpp"
#include "process/processes.hpp"
#include "run/seed.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/coco_write.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>
#include <cambium/io/rle.hpp>
#include <cambium/io/text.hpp>

#include <nlohmann/json.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>

namespace trainer {

namespace fs = std::filesystem;
using cambium::expects;
using cambium::index_t;

std::vector<std::string> const& irnet_steps()
{
  static std::vector<std::string> const steps{"cam", "mine", "field", "maps", "labels", "score"};
  return steps;
}

namespace {

class run {
 public:
  run(dataset const& train, dataset const& images, irnet_run_options const& o, std::vector<std::string>& failed)
      : train_(train), images_(images), o_(o), failed_(failed), one_core_(o.how)
  {
    one_core_.threads = 1;  // images are shared out among threads
  }

  void train_classifier()
  {
    if (is_there(classifier_file(), "cam", o_.how)) return;
    say("cam: training the classifier on " + std::to_string(train_.size()) + " images");
    seed_everything(o_.how.seed, true, true);
    auto const network = make_cam_network(train_.class_names().size(), o_.how);
    trainer::train_cam(train_, *network, o_.how, record("cam"));
    processes::first_alone([&] { save_weights(*network, classifier_file(), metadata("cam", o_.how)); });
  }

  void mine_labels()
  {
    say("mine: pixels the classifier is sure of");
    auto const network = classifier();
    each_image(train_, "mine", [&](std::size_t i, std::mutex& network_turn) {
      fs::path const file = in("mined", train_.id(i), ".png");
      if (newer(file, classifier_file())) return;
      weak_image const image = train_.load(i);
      cambium::cams<float> maps;
      {
        std::lock_guard const guard(network_turn);
        maps = cams_of(*network, image, o_.how);
      }
      cambium::replace_file(file, cambium::format_labels(mine(image, maps, one_core_), cambium::voc_palette()));
    });
  }

  void train_second()
  {
    auto how = o_.how;
    how.beside += mined_contents();
    if (is_there(field_file(), "field", how)) return;
    say("field: training boundaries and displacements");
    seed_everything(seed_of(o_.how.seed, 2), true, true);
    auto const first = classifier();
    auto const network = make_field_network(o_.how, first.get());
    mined_labels const mined = [&](std::size_t i) { return cambium::read_labels(in("mined", train_.id(i), ".png")); };
    trainer::train_field(train_, mined, *network, how, record("field"));
    processes::first_alone([&] { save_weights(*network, field_file(), metadata("field", how)); });
  }

  void make_maps()
  {
    say("maps: CAMs, boundaries and displacements of " + std::to_string(images_.size()) + " images");
    auto const first = classifier();
    auto const second = field();
    std::vector<std::pair<std::string, std::string>> ids, tags;
    for (std::size_t i = 0; i < images_.size(); ++i) ids.emplace_back(images_.id(i), "");
    tags = ids;
    std::map<std::string, std::string> before;  // the classes that the channels of an earlier run's CAMs are
    if (auto const file = o_.folder / "tags.txt"; fs::exists(file)) {
      auto const text = cambium::read_file(file);
      for (auto const& line : cambium::read_id_lines(text, file.string(), [](std::string const&) { return false; }))
        before[line.id] = cambium::trimmed(line.behind);
    }
    auto const photographs = o_.folder / "photographs.txt";
    std::map<std::string, std::string> seen;  // the photographs that the maps of an earlier run are of
    if (fs::exists(photographs)) {
      auto const text = cambium::read_file(photographs);
      for (auto const& line :
           cambium::read_id_lines(text, photographs.string(), [](std::string const&) { return false; }))
        seen[line.id] = cambium::trimmed(line.behind);
    }
    std::vector<std::pair<std::string, std::string>> digits = ids;
    each_image(images_, "maps", [&](std::size_t i, std::mutex& network_turn) {
      weak_image const image = images_.load(i);
      digits[i].second = digits_of(image.photograph);
      for (auto const tag : image.tags) tags[i].second += (tags[i].second.empty() ? "" : " ") + std::to_string(tag + 1);
      auto const made = before.find(image.id);
      bool const same_tags = made == before.end() || made->second == tags[i].second;
      auto const of = seen.find(image.id);
      bool const same_photograph = of == seen.end() || of->second == digits[i].second;
      if (same_tags && same_photograph && newer(in("cams", image.id, ".npy"), classifier_file()) &&
          newer(in("displacements", image.id, ".npy"), field_file()))
        return;
      cambium::cams<float> maps;
      boundary_and_displacement said;
      {
        std::lock_guard const guard(network_turn);
        maps = cams_of(*first, image, o_.how);
        said = field_of(*second, image.photograph, o_.how);
      }
      cambium::write_npy<3>(in("cams", image.id, ".npy"), maps.strided);
      cambium::write_npy<2>(in("boundaries", image.id, ".npy"), said.boundary);
      cambium::write_npy<3>(in("displacements", image.id, ".npy"), said.displacement);
    });
    cambium::replace_file(photographs, cambium::format_id_lines(digits));
    cambium::replace_file(o_.folder / "ids.txt", cambium::format_id_lines(ids));
    cambium::replace_file(o_.folder / "tags.txt", cambium::format_id_lines(tags));
  }

  void label()
  {
    say("labels: the walk");
    std::vector<std::vector<cambium::coco_result>> results(images_.size());
    each_image(images_, "labels", [&](std::size_t i, std::mutex&) {
      weak_image const image = images_.load(i);
      auto const [maps, said] = read_maps(image);
      auto out = irnet_labels_of(maps, said, image, {o_.apart}, one_core_).front();
      mark_unknown(out.semantic, image.ignored, image.id);
      for (auto& label : out.semantic.cells())
        if (label < 0) label = cambium::label::ignore;  // a crowd is not background
      cambium::replace_file(in("semantic", image.id, ".png"),
                            cambium::format_labels(out.semantic, cambium::voc_palette()));
      cambium::replace_file(in("instances", image.id, ".png"), cambium::format_ids(out.objects.label));
      for (std::size_t k = 0; k < out.objects.found.size(); ++k) {
        auto const& one = out.objects.found[k];
        if (one.score <= 0) continue;  // fragments
        auto const& label = out.objects.label;
        auto mask = cambium::encode_rle({label.shape()[0], label.shape()[1]}, one.bounds, [&](index_t y, index_t x) {
          return label(y, x) == static_cast<std::int32_t>(k) + 1;
        });
        results[i].push_back({images_.image_id(i), images_.category_id(one.category), std::move(mask), one.score});
      }
    });
    std::vector<cambium::coco_result> all;
    for (auto& of : results)
      for (auto& one : of) all.push_back(std::move(one));
    cambium::write_coco_results(o_.folder / "results.json", all);
  }

  irnet_run_scores score()
  {
    say("score: against the truth");
    auto const first = classifier();
    auto const classes = static_cast<std::int32_t>(images_.class_names().size());
    scoring cam(classes), walk(classes), boundary(classes), displacement(classes);
    std::mutex adding;
    std::vector<std::function<void()>> in_order(images_.size());
    each_image(images_, "score", [&](std::size_t i, std::mutex& network_turn) {
      weak_image const image = images_.load(i);
      auto const truth = images_.truth(i);
      auto const ignored = images_.ignored(i);
      auto const [maps, said] = read_maps(image);
      cambium::irnet_labels<> by_cam;
      {
        std::lock_guard const guard(network_turn);
        by_cam = cam_labels(cams_of(*first, image, o_.how), o_.how);
      }
      auto by = irnet_labels_of(
          maps, said, image, {instances_by::components, instances_by::boundary_components, instances_by::displacement},
          one_core_);
      by.push_back(std::move(by_cam));
      in_order[i] = [&, truth, ignored, by = std::move(by)] {
        scoring* const to[] = {&walk, &boundary, &displacement, &cam};
        for (std::size_t way = 0; way < by.size(); ++way) {
          to[way]->add_semantic(by[way].semantic, truth, ignored);
          to[way]->add_instances(by[way].objects, truth, ignored);
        }
      };
    });
    for (auto const& add : in_order)
      if (add) add();
    irnet_run_scores const out{cam.result(), walk.result(), boundary.result(), displacement.result()};
    nlohmann::json const all{
        {"images", std::count_if(in_order.begin(), in_order.end(), [](auto const& f) { return !!f; })},
        {"cam", json_of(out.cam)},
        {"walk", json_of(out.walk)},
        {"walk_boundary", json_of(out.walk_boundary)},
        {"walk_displacement", json_of(out.walk_displacement)}};
    cambium::replace_file(o_.folder / "scores.json", all.dump(1) + "\n");
    return out;
  }

 private:
  fs::path classifier_file() const { return o_.folder / "cam.safetensors"; }
  fs::path field_file() const { return o_.folder / "field.safetensors"; }
  fs::path in(char const* room, std::string const& id, char const* ending) const
  {
    return o_.folder / room / (id + ending);
  }
  training_record record(char const* name) const { return record_in(o_.folder / name, o_.quiet); }
  /// A training that is over is not repeated; one with other settings is not mistaken for it.
  bool is_there(fs::path const& weights_file, char const* step, irnet_training_options const& how) const
  {
    if (!made_by(irnet_recipe(step, train_, how), weights_file)) return false;
    say(std::string(step) + ": " + weights_file.string() + " is there");
    return true;
  }
  std::map<std::string, std::string> metadata(char const* step, irnet_training_options const& how) const
  {
    return trained_as(train_.class_names(), irnet_recipe(step, train_, how));
  }
  /// What the mined labels are, for the recipe of what learns from them; "" where not all are there.
  std::string mined_contents() const
  {
    fingerprint all;
    for (std::size_t i = 0; i < train_.size(); ++i) {
      auto const file = in("mined", train_.id(i), ".png");
      if (!fs::exists(file)) return {};
      auto const bytes = cambium::read_file(file);
      all.add(bytes.data(), bytes.size());
    }
    return contents_word + all.digits();
  }
  void say(std::string const& line) const
  {
    if (!o_.quiet && processes::first()) std::fprintf(stderr, "%s\n", line.c_str());
  }
  static bool newer(fs::path const& file, fs::path const& than)
  {
    std::error_code none;
    auto const a = fs::last_write_time(file, none);
    if (none) return false;
    auto const b = fs::last_write_time(than, none);
    return !none && a > b;
  }
  std::shared_ptr<cam_network> classifier() const
  {
    need(classifier_file(), "cam");
    auto how = o_.how;
    auto const network = make_cam_network(train_.class_names().size(), how);
    load_trained(*network, classifier_file(), train_.class_names(), irnet_recipe("cam", train_, o_.how));
    network->eval();
    return network;
  }
  std::shared_ptr<boundary_displacement_network> field() const
  {
    need(field_file(), "field");
    auto const network = make_field_network(o_.how);
    load_trained(*network, field_file(), train_.class_names(), irnet_recipe("field", train_, o_.how));
    network->eval();
    return network;
  }
  static void need(fs::path const& file, char const* step)
  {
    if (!fs::exists(file)) throw cambium::io_error(file.string() + ": not there; step '" + step + "' makes it");
  }

  std::pair<cambium::cams<float>, boundary_and_displacement> read_maps(weak_image const& image) const
  {
    cambium::cams<float> maps;
    maps.keys = image.tags;
    maps.strided = cambium::read_npy<float, 3>(in("cams", image.id, ".npy"));
    return {std::move(maps),
            {cambium::read_npy<float, 2>(in("boundaries", image.id, ".npy")),
             cambium::read_npy<float, 3>(in("displacements", image.id, ".npy"))}};
  }

  /// Does one(i, network_turn) for every image, by as many threads as LibTorch has. Who asks a network takes the
  /// turn.
  template <class One>
  void each_image(dataset const& set, char const* step, One const& one)
  {
    std::mutex turn, saying;
    std::vector<std::string> wrong(set.size());
    int const workers = std::clamp(at::get_num_threads(), 1, 64);
    loader<int> work(set.size(), 0, workers,
                     [&](std::size_t i, std::uint64_t) {
                       try {
                         one(i, turn);
                       } catch (std::exception const& e) {
                         std::lock_guard const guard(saying);
                         wrong[i] = std::string(step) + ": " + set.id(i) + ": " + e.what();
                         std::fprintf(stderr, "%s\n", wrong[i].c_str());
                       }
                       return 0;
                     },
                     {.shuffle = false});
    work.start(0);
    while (work.next()) {
    }
    for (auto const& w : wrong)
      if (!w.empty()) failed_.push_back(w);
  }

  dataset const& train_;
  dataset const& images_;
  irnet_run_options const& o_;
  std::vector<std::string>& failed_;
  irnet_training_options one_core_;
};

}  // namespace

std::optional<irnet_run_scores> run_irnet(dataset const& train, dataset const& images, irnet_run_options const& options,
                                          std::vector<std::string>& failed)
{
  for (auto const& step : options.steps)
    expects(std::find(irnet_steps().begin(), irnet_steps().end(), step) != irnet_steps().end(),
            "irnet: there is no step '", step, "'; steps are cam, mine, field, maps, labels, score");
  expects(train.class_names() == images.class_names(), "irnet: the images to label have other classes");
  auto const asked = [&](char const* step) {
    return std::find(options.steps.begin(), options.steps.end(), step) != options.steps.end();
  };
  run r(train, images, options, failed);
  // trainings are everybody's; the files between them are rank 0's, in a folder that all see
  std::optional<irnet_run_scores> out;
  if (asked("cam")) r.train_classifier();
  if (asked("mine")) processes::first_alone([&] { r.mine_labels(); });
  if (asked("field")) r.train_second();
  processes::first_alone([&] {
    if (asked("maps")) r.make_maps();
    if (asked("labels")) r.label();
    if (asked("score")) out = r.score();
  });
  return out;
}

}  // namespace trainer
