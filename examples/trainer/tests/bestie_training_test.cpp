// BESTIE's trainings on few small scenes: what is learned, what is gone on with, what is refused.

#include "method/bestie.hpp"

#include "data/batch.hpp"
#include "data/pseudo_labelled.hpp"
#include "data/scenes.hpp"
#include "method/pseudo_labels.hpp"
#include "network/module_weights.hpp"
#include "network/panoptic_deeplab.hpp"
#include "network/resnet.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/png.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

using namespace trainer;
using cambium::index_t;
using cambium::precondition_error;

namespace {

constexpr index_t side = 48;

scenes few(std::uint64_t seed, std::size_t count)
{
  scene_options o;
  o.seed = seed, o.count = count, o.height = o.width = side;
  return scenes(o);
}

peak_classifier_options quick_classifier()
{
  auto o = small_peak_classifier(side);
  o.epochs = 3, o.plain_epochs = 1, o.batch = 4, o.falls = {3};
  return o;
}

bestie_training_options quick_training(std::int64_t steps)
{
  auto o = small_bestie(steps, side);
  o.batch = 4;
  return o;
}

std::shared_ptr<bestie_network> fresh(std::size_t classes)
{
  seed_everything(5, true, true);
  resnet_options body;
  body.strides = {1, 2, 2, 1};
  return small_panoptic_deeplab(8, static_cast<std::int64_t>(classes), small_resnet(8, body));
}

bool same(torch::nn::Module const& a, torch::nn::Module const& b)
{
  auto const x = tensors_of(a), y = tensors_of(b);
  if (x.size() != y.size()) return false;
  for (auto const& [name, tensor] : x)
    if (y.count(name) == 0 || !torch::equal(tensor, y.at(name))) return false;
  return true;
}

/// Throws when a step is reached.
struct killed {};
step_listener dies_at(std::int64_t step)
{
  return [step](journal_entry const& e) {
    if (e.step == step) throw killed{};
  };
}

}  // namespace

TEST_CASE("the classifier of peaks goes on with the bits it would have had", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8);
  auto const trained = [&](std::filesystem::path const& checkpoint, std::int64_t die_at) {
    seed_everything(7, true, true);
    auto const network = std::make_shared<vgg_pam>(6, small_vgg_pam(4, 0.7));
    train_peak_classifier(train, *network, quick_classifier(), {.checkpoint = checkpoint, .each = dies_at(die_at)});
    return network;
  };
  auto const whole = trained({}, -1);
  CHECK_THROWS_AS(trained(tmp / "peaks.ckpt", 5), killed);  // in the third of three epochs, of two steps each
  REQUIRE(std::filesystem::exists(tmp / "peaks.ckpt"));
  CHECK(same(*whole, *trained(tmp / "peaks.ckpt", -1)));
  CHECK(whole->options().alpha == 0.7);  // epochs without attention leave no trace
}

TEST_CASE("an instance network goes on with the bits it would have had, and learns", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8);
  auto const maps = spoiled_truth(train);
  auto const cues = given_cues(train);
  auto const trained = [&](std::filesystem::path const& checkpoint, std::int64_t die_at, std::int64_t steps) {
    auto const network = fresh(train.class_names().size());
    train_bestie(train, maps, cues, *network, quick_training(steps),
                 {.checkpoint = checkpoint, .checkpoint_every = 2, .each = dies_at(die_at)});
    return network;
  };
  auto const whole = trained({}, -1, 6);
  CHECK_THROWS_AS(trained(tmp / "bestie.ckpt", 5, 6), killed);
  CHECK(same(*whole, *trained(tmp / "bestie.ckpt", -1, 6)));
  CHECK_THROWS_WITH(trained(tmp / "bestie.ckpt", -1, 7), says("is of another training"));

  double first = 0, last = 0;
  auto const network = fresh(train.class_names().size());
  training_record record;
  record.each = [&](journal_entry const& e) {
    REQUIRE(e.losses.size() == 4);
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) sum += e.losses[i].second;
    REQUIRE(std::isfinite(sum));
    (e.step <= 5 ? first : last) += e.step <= 5 || e.step > 55 ? sum : 0;
  };
  train_bestie(train, maps, cues, *network, quick_training(60), record);
  CHECK(last < 0.8 * first);
}

TEST_CASE("each ablation is another training", "[property]")
{
  auto const train = few(1, 8);
  auto const maps = spoiled_truth(train);
  auto const cues = given_cues(train);
  auto const trained = [&](auto const& change) {
    auto const network = fresh(train.class_names().size());
    auto how = quick_training(3);
    change(how);
    (void)train_bestie(train, maps, cues, *network, how);
    return network;
  };
  auto const plain = trained([](auto&) {});
  CHECK(same(*plain, *trained([](auto&) {})));
  CHECK(!same(*plain, *trained([](auto& o) { o.guidance = false; })));
  CHECK(!same(*plain, *trained([](auto& o) { o.refinement = false; })));
  CHECK(same(*trained([](auto& o) { o.refinement = false; }), *trained([](auto& o) { o.refine_from = 3; })));
  CHECK(!same(*plain, *trained([](auto& o) { o.cues = cambium::supervision::point; })));
}

TEST_CASE("without guidance all is background but what is ignored", "[property]")
{
  auto const train = few(1, 4);
  auto const losses = [&](std::uint8_t everywhere) {
    semantic_maps maps;
    for (std::size_t i = 0; i < train.size(); ++i) {
      maps.emplace_back(side, side);
      std::fill(maps.back().cells().begin(), maps.back().cells().end(), everywhere);
    }
    auto how = quick_training(1);
    how.guidance = how.refinement = false;
    auto const network = fresh(train.class_names().size());
    return train_bestie(train, maps, std::vector<cambium::points>(train.size()), *network, how).losses;
  };
  for (auto const& [name, value] : losses(0)) CHECK((value > 0 || name == "refined"));
  for (auto const& [name, value] : losses(255)) CHECK(value == 0);
}

TEST_CASE("true cues on true maps make right pseudo labels, and a file of them is a set to learn from", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(3, 6);
  auto const maps = spoiled_truth(train, {.swell = 0, .lost = 0});
  auto const quality = pseudo_label_quality(train, maps, given_cues(train));
  CHECK(quality.accepted > 0);
  CHECK(quality.right == quality.accepted);
  CHECK(quality.right <= quality.objects);

  pseudo_labels file(train.class_names());
  for (std::size_t i = 0; i < train.size(); ++i) file.add(train.id(i) + ".jpg", train.truth(i));
  file.write_dataset(tmp / "pseudo.json");
  pseudo_labelled const again(train, tmp / "pseudo.json");
  REQUIRE(again.size() == train.size());
  for (std::size_t i = 0; i < train.size(); ++i) CHECK(again.truth(i).label == train.truth(i).label);
  pseudo_labels(train.class_names()).write_dataset(tmp / "nothing.json");
  CHECK_THROWS_WITH(pseudo_labelled(train, tmp / "nothing.json"),
                    says("nothing.json: has no annotation to learn from"));
  auto const fewer = few(3, 5), more = few(3, 7);
  CHECK_THROWS_WITH(pseudo_labelled(fewer, tmp / "pseudo.json"), says("is not among those to learn from"));
  CHECK_THROWS_WITH(pseudo_labelled(more, tmp / "pseudo.json"), says("scene_00006 is missing"));
}

namespace {

/// Says where the objects of a set are, by their truth: what a perfect network would answer.
class knowing : public bestie_network {
 public:
  explicit knowing(dataset const& of) : of_(of) {}

  bestie_maps forward(torch::Tensor const& image) override
  {
    std::size_t i = 0;
    while (i < of_.size() && !torch::equal(to_tensor(normalised(of_.load(i).photograph)), image[0])) ++i;
    auto const truth = of_.truth(i);
    auto const H = image.size(2), W = image.size(3);
    bestie_maps out{torch::zeros({1, 7, H, W}), torch::zeros({1, 6, H, W}), torch::zeros({1, 2, H, W})};
    for (auto const& p : of_.load(i).points) {
      auto const number = truth.label(static_cast<index_t>(p.y), static_cast<index_t>(p.x));
      out.centre[0][p.category][static_cast<index_t>(p.y)][static_cast<index_t>(p.x)] = 0.9;
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x)
          if (truth.label(y, x) == number) {
            out.seg[0][p.category + 1][y][x] = 9;
            out.offset[0][0][y][x] = p.y - static_cast<double>(y),
            out.offset[0][1][y][x] = p.x - static_cast<double>(x);
          }
    }
    return out;
  }
  semantic_half semantic(torch::Tensor const&) override { return {}; }
  std::int64_t feature_channels() const override { return 0; }
  std::int64_t classes() const override { return 6; }
  std::int64_t multiple() const override { return 1; }

 private:
  dataset const& of_;
};

}  // namespace

TEST_CASE("a network that is right has right labels for itself, also where objects touch", "[reference]")
{
  scene_options o;
  o.seed = 3, o.count = 30, o.height = o.width = side, o.touching = 1;
  scenes const train(o);
  auto const maps = spoiled_truth(train, {.swell = 0, .lost = 0});
  cambium::bestie_refine_options how;
  how.smallest = 1, how.groups.kernel = 3, how.groups.beta = 0, how.labels.most = 9;
  std::size_t objects = 0;
  for (std::size_t i = 0; i < train.size(); ++i) objects += train.truth(i).found.size();
  knowing network(train);
  auto const own = refined_label_quality(train, maps, network, how, 1);
  CHECK(own.objects == objects);
  CHECK(own.accepted == objects);
  CHECK(own.right == objects);
  auto const given = pseudo_label_quality(train, maps, given_cues(train));
  CHECK(given.objects == objects);
  CHECK(given.right < own.right);  // regions of two cues have no label

  // three quarters of each map are unknown: what is left of an object is rarely half of it
  auto halves = maps;
  for (auto& map : halves)
    for (index_t y = 0; y < side; ++y)
      for (index_t x = 0; x < side; ++x)
        if (y % 2 == 1 || x % 2 == 1) map(y, x) = 0;
  CHECK(refined_label_quality(train, halves, network, how, 1).right < objects / 10);
  auto others = maps;
  others.pop_back();
  CHECK_THROWS_WITH(refined_label_quality(train, others, network), says("30 images and 29 semantic maps"));
  how.from = cambium::foreground::prediction;
  CHECK_THROWS_WITH(refined_label_quality(train, maps, network, how), says("by the class of the semantic map"));
}

TEST_CASE("a recipe tells what decides", "[property]")
{
  auto const train = few(3, 6), others = [] {
    scene_options o;
    o.seed = 3, o.count = 6, o.height = o.width = 48, o.name = "other";
    return scenes(o);
  }();
  auto const maps = spoiled_truth(train);
  auto const cues = given_cues(train);
  auto const options = quick_training(2);
  auto const words = bestie_recipe(train, maps, cues, options);
  CHECK(words == bestie_recipe(train, maps, cues, options));
  auto const differs = [&](auto const& change) {
    auto o = options;
    change(o);
    return bestie_recipe(train, maps, cues, o) != words;
  };
  CHECK(differs([](auto& o) { o.rate *= 1 + 1e-15; }));
  CHECK(differs([](auto& o) { o.samples.scales.back() += 1e-9; }));
  CHECK(differs([](auto& o) { o.refine.groups.relative = 0.1; }));
  CHECK(differs([](auto& o) { o.guidance = !o.guidance; }));
  CHECK(!differs([](auto& o) { o.threads += 1; }));
  CHECK(bestie_recipe(others, maps, cues, options) != words);
  auto other_maps = maps;
  other_maps[5](0, 0) = static_cast<std::uint8_t>(other_maps[5](0, 0) ^ 1);
  CHECK(bestie_recipe(train, other_maps, cues, options) != words);
  auto other_cues = cues;
  other_cues[0].at(0).score = 0.5;
  CHECK(bestie_recipe(train, maps, other_cues, options) != words);
}

namespace {

/// A photograph of one row, with a crowd in the middle.
class one_crowd : public dataset {
 public:
  std::size_t size() const override { return 1; }
  std::vector<std::string> const& class_names() const override { return names_; }
  std::string id(std::size_t) const override { return "a/one"; }
  weak_image load(std::size_t) const override
  {
    weak_image out;
    out.id = id(0), out.photograph = cambium::grid<std::uint8_t, 3>(1, 3, 3);
    out.ignored = cambium::grid<std::uint8_t, 2>(1, 3);
    out.ignored(0, 1) = 1;
    return out;
  }
  cambium::instances<> truth(std::size_t) const override { return {cambium::grid<std::int32_t, 2>(1, 3), {}}; }
  cambium::grid<std::uint8_t, 2> ignored(std::size_t i) const override { return load(i).ignored; }

 private:
  std::vector<std::string> names_{"thing"};
};

}  // namespace

TEST_CASE("semantic maps say nothing of crowds", "[picture]")
{
  support::temporary_folder const tmp;
  cambium::grid<std::int32_t, 2> map(1, 3);
  map(0, 0) = map(0, 1) = 1;
  cambium::replace_file(tmp / "a/one.png", cambium::format_labels(map, cambium::voc_palette()));
  auto const read = read_semantic_maps(one_crowd(), tmp.path());
  CHECK((read[0](0, 0) == 1 && read[0](0, 1) == 255 && read[0](0, 2) == 0));
  auto const spoiled = spoiled_truth(one_crowd());
  CHECK((spoiled[0](0, 0) == 0 && spoiled[0](0, 1) == 255));
}

TEST_CASE("what does not fit is named", "[errors]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 4);
  auto const network = fresh(6), wrong = fresh(5);
  auto const maps = spoiled_truth(train);
  auto const cues = given_cues(train);
  CAMBIUM_THROWS_SAYING((void)train_bestie(train, maps, cues, *wrong, quick_training(1)), precondition_error,
                        "6 classes but the network 5");
  CAMBIUM_THROWS_SAYING((void)train_bestie(train, {}, cues, *network, quick_training(1)), precondition_error,
                        "4 images, 0 semantic maps");
  cambium::replace_file(tmp / "scene_00000.png",
                        cambium::format_labels(cambium::grid<std::int32_t, 2>(3, 3), cambium::voc_palette()));
  CHECK_THROWS_WITH(read_semantic_maps(train, tmp.path()), says("3 x 3 labels for a photograph of 48 x 48"));
  auto const put = [&](std::int32_t number) {
    for (std::size_t i = 0; i < train.size(); ++i) {
      cambium::grid<std::int32_t, 2> map(48, 48);
      map(0, 0) = number;
      cambium::replace_file(tmp / (train.id(i) + ".png"), cambium::format_labels(map, cambium::voc_palette()));
    }
  };
  put(255);  // masks of 0 and 255
  CHECK_THROWS_WITH(read_semantic_maps(train, tmp.path()),
                    says("scene_00000.png: no map has a pixel of any class; it holds only 0 and 255"));
  put(128);
  CHECK_THROWS_WITH(read_semantic_maps(train, tmp.path()),
                    says("label 128 at (0,0), but there are 6 classes; it holds only 0 and 128"));
  put(1);
  CHECK(read_semantic_maps(train, tmp.path()).size() == 4);
  vgg_pam five(5, small_vgg_pam(4, 0.7));
  CAMBIUM_THROWS_SAYING((void)find_cues(train, five), precondition_error, "6 classes but the network 5");
}
