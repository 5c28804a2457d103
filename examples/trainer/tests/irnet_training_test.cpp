// IRNet's training as a whole, on few small scenes: what it leaves, what it goes on with, what it refuses.

#include "method/irnet_run.hpp"

#include "data/scenes.hpp"
#include "network/module_weights.hpp"
#include "run/seed.hpp"

#include <cambium/core/error.hpp>
#include <cambium/io/npy.hpp>
#include <cambium/io/png.hpp>

#include "support/catch.hpp"
#include "support/temporary.hpp"

#include <algorithm>
#include <filesystem>

using namespace trainer;
namespace fs = std::filesystem;

namespace {

scenes few(std::uint64_t seed, std::size_t count)
{
  scene_options o;
  o.seed = seed, o.count = count, o.height = o.width = 64;
  return scenes(o);
}

irnet_run_options quick(fs::path const& folder)
{
  irnet_run_options o;
  o.how = small_irnet();
  o.how.backbone.width = 8;
  o.how.cam_epochs = o.how.field_epochs = 1;
  o.how.cam_batch = o.how.field_batch = 4;
  o.how.cam_shortest = 48, o.how.cam_longest = 80, o.how.cam_crop = 64, o.how.field_crop = 64;
  o.how.cam_scales = {1.0, 0.5};
  o.how.threads = 2;
  o.folder = folder;
  o.quiet = true;
  return o;
}

/// A set one of whose photographs cannot be read.
class spoiled final : public dataset {
 public:
  explicit spoiled(scenes from) : from_(std::move(from)) {}
  std::size_t size() const override { return from_.size(); }
  std::vector<std::string> const& class_names() const override { return from_.class_names(); }
  std::string id(std::size_t i) const override { return from_.id(i); }
  weak_image load(std::size_t i) const override
  {
    if (i == 1) throw cambium::io_error("scene_00001.jpg: cut off");
    return from_.load(i);
  }
  cambium::instances<> truth(std::size_t i) const override { return from_.truth(i); }

 private:
  scenes from_;
};

named_tensors weights_of(fs::path const& file) { return read_safetensors(file).tensors; }

bool same(named_tensors const& a, named_tensors const& b)
{
  if (a.size() != b.size()) return false;
  for (auto const& [name, tensor] : a)
    if (b.count(name) == 0 || !torch::equal(tensor, b.at(name))) return false;
  return true;
}

}  // namespace

TEST_CASE("IRNet: of crowds no pixel is sure", "[picture]")
{
  weak_image image;
  image.id = "one", image.photograph = cambium::grid<std::uint8_t, 3>(16, 16, 3), image.tags = {0};
  cambium::cams<float> maps;
  maps.keys = {0}, maps.full = cambium::grid<float, 3>(1, 16, 16);
  for (cambium::index_t y = 0; y < 16; ++y)
    for (cambium::index_t x = 0; x < 16; ++x) maps.full(0, y, x) = x < 8 ? 1.f : 0.f;
  auto const sure = mine(image, maps, small_irnet());
  REQUIRE(std::any_of(sure.cells().begin(), sure.cells().end(), [](auto v) { return v != 255; }));
  image.ignored = cambium::grid<std::uint8_t, 2>(16, 16);
  for (cambium::index_t y = 0; y < 16; ++y)
    for (cambium::index_t x = 4; x < 12; ++x) image.ignored(y, x) = 1;
  auto const with = mine(image, maps, small_irnet());
  for (cambium::index_t n = 0; n < with.size(); ++n)
    REQUIRE(with.data()[n] == (image.ignored.data()[n] != 0 ? 255 : sure.data()[n]));
}

TEST_CASE("IRNet's steps leave what they say, and the same every time", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8), images = few(2, 3);
  std::vector<std::string> failed;
  auto const scores = run_irnet(train, images, quick(tmp / "a"), failed);
  CHECK(failed.empty());
  REQUIRE(scores.has_value());
  CHECK((scores->walk.miou >= 0 && scores->walk.miou <= 1));
  for (char const* name :
       {"cam.safetensors", "field.safetensors", "ids.txt", "tags.txt", "results.json", "scores.json", "cam/log.jsonl",
        "cam/curves.png", "mined/scene_00007.png", "cams/scene_00002.npy", "boundaries/scene_00002.npy",
        "displacements/scene_00002.npy", "semantic/scene_00002.png", "instances/scene_00002.png"})
    CHECK(fs::exists(tmp / "a" / name));
  auto const labels = cambium::read_labels(tmp / "a/semantic/scene_00000.png");
  CHECK(labels.shape()[0] == 64);

  (void)run_irnet(train, images, quick(tmp / "b"), failed);
  CHECK(same(weights_of(tmp / "a/cam.safetensors"), weights_of(tmp / "b/cam.safetensors")));
  CHECK(same(weights_of(tmp / "a/field.safetensors"), weights_of(tmp / "b/field.safetensors")));
  CHECK(cambium::read_file(tmp / "a/scores.json") == cambium::read_file(tmp / "b/scores.json"));

  auto other = quick(tmp / "a");
  other.how.cam_epochs = 2;
  CHECK_THROWS_WITH(run_irnet(train, images, other, failed), says("was made with other settings"));
}

namespace {

/// Images whose tags are the next classes, with a crowd in their upper half.
class retagged : public trainer::dataset {
 public:
  explicit retagged(trainer::dataset const& from) : from_(from) {}
  std::size_t size() const override { return from_.size(); }
  std::vector<std::string> const& class_names() const override { return from_.class_names(); }
  std::string id(std::size_t i) const override { return from_.id(i); }
  weak_image load(std::size_t i) const override
  {
    auto out = from_.load(i);
    for (auto& tag : out.tags) tag = (tag + 1) % static_cast<std::int32_t>(class_names().size());
    std::sort(out.tags.begin(), out.tags.end());
    out.ignored = cambium::grid<std::uint8_t, 2>(64, 64);
    std::fill_n(out.ignored.data(), 32 * 64, std::uint8_t{1});
    return out;
  }
  cambium::instances<> truth(std::size_t i) const override { return from_.truth(i); }

 private:
  trainer::dataset const& from_;
};

}  // namespace

TEST_CASE("IRNet: maps of an earlier run are kept unless the image has other tags", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8), images = few(2, 2);
  std::vector<std::string> failed;
  auto o = quick(tmp / "a");
  o.steps = {"cam", "mine", "field", "maps"};
  (void)run_irnet(train, images, o, failed);
  auto const file = tmp / "a/cams" / (images.id(0) + ".npy");
  auto const first = cambium::read_file(file);
  cambium::replace_file(file, "kept");
  o.steps = {"maps"};
  (void)run_irnet(train, images, o, failed);
  CHECK(cambium::read_file(file).size() == 4);
  (void)run_irnet(train, retagged(images), o, failed);
  auto const other = cambium::read_file(file);
  CHECK((other.size() == first.size() && other != first));
  // Labels call no pixel of a crowd background.
  auto cams = cambium::read_npy<float, 3>(file);
  for (cambium::index_t n = 0; n < cams.size(); ++n) cams.data()[n] = n % 16 == 0 ? 1.f : 0.f;
  cambium::write_npy<3>(file, cams);
  o.steps = {"labels"};
  (void)run_irnet(train, retagged(images), o, failed);
  auto const labels = cambium::read_labels(tmp / "a/semantic" / (images.id(0) + ".png"));
  auto const *const first_row = labels.data(), *const middle = first_row + 32 * 64, *const end = middle + 32 * 64;
  CHECK((std::count(first_row, middle, 0) == 0 && std::count(first_row, middle, 255) > 0));
  CHECK((std::count(middle, end, 255) == 0 && std::count(middle, end, 0) > 0));
  CHECK(failed.empty());
}

TEST_CASE("a training that was stopped goes on with the bits it would have had", "[property]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8);
  auto how = quick(tmp.path()).how;
  how.cam_epochs = 3;
  auto const trained = [&](fs::path const& folder, int die_at) {
    seed_everything(7, true, true);
    auto const network = make_cam_network(train.class_names().size(), how);
    int loaded = 0;
    struct dying final : dataset {
      dataset const& from;
      int& loaded;
      int at;
      dying(dataset const& f, int& l, int a) : from(f), loaded(l), at(a) {}
      std::size_t size() const override { return from.size(); }
      std::vector<std::string> const& class_names() const override { return from.class_names(); }
      std::string id(std::size_t i) const override { return from.id(i); }
      weak_image load(std::size_t i) const override
      {
        if (++loaded == at) throw cambium::io_error("killed");
        return from.load(i);
      }
      cambium::instances<> truth(std::size_t i) const override { return from.truth(i); }
    } const set(train, loaded, die_at);
    auto one = how;
    one.workers = 0;  // so that the order of loading is known
    auto record = record_in(folder, true);
    record.checkpoint_every = 1;
    train_cam(set, *network, one, record);
    return network;
  };
  auto const whole = trained(tmp / "whole", 0);
  CHECK_THROWS_WITH(trained(tmp / "stopped", 18), says("killed"));  // in the fifth of six steps
  REQUIRE(fs::exists(tmp / "stopped/checkpoint.pt"));
  auto const resumed = trained(tmp / "stopped", 0);
  CHECK(same(tensors_of(*whole), tensors_of(*resumed)));
}

TEST_CASE("steps run alone, and say what they miss", "[errors]")
{
  support::temporary_folder const tmp;
  auto const train = few(1, 8);
  std::vector<std::string> failed;
  auto o = quick(tmp / "a");
  o.steps = {"mine"};
  CHECK_THROWS_WITH(run_irnet(train, train, o, failed), says("cam.safetensors: not there; step 'cam' makes it"));
  o.steps = {"walk"};
  CHECK_THROWS_WITH(run_irnet(train, train, o, failed), says("there is no step 'walk'"));
  o.steps = irnet_steps();
  o.how.cam_batch = 9;
  CHECK_THROWS_WITH(run_irnet(train, train, o, failed), says("8 images do not fill a batch of 9"));
  o.how.backbone.small = false;
  CHECK_THROWS_WITH(run_irnet(train, train, o, failed), says("ResNet-50 needs weights"));
}

TEST_CASE("an image that cannot be read is named, and the others are labelled", "[errors]")
{
  support::temporary_folder const tmp;
  std::vector<std::string> failed;
  auto o = quick(tmp / "a");
  (void)run_irnet(few(1, 8), spoiled(few(2, 3)), o, failed);
  REQUIRE(failed.size() == 3);  // in maps, labels, score
  CHECK(failed[0].find("scene_00001.jpg: cut off") != std::string::npos);
  CHECK(fs::exists(tmp / "a/instances/scene_00002.png"));
  CHECK(!fs::exists(tmp / "a/instances/scene_00001.png"));
}
