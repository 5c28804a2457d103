#include "method/instances.hpp"
#include "data/scenes.hpp"
#include "network/panoptic_deeplab.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary.hpp"

#include "support/catch.hpp"

using namespace trainer;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;

namespace {

scenes small_scenes(std::size_t count)
{
  scene_options o;
  o.count = count, o.height = o.width = 48, o.most = 2;
  return scenes(o);
}

instance_training quick(std::int64_t steps)
{
  instance_training o;
  o.steps = steps, o.batch = 4, o.rate = 3e-3, o.warm_up = 2, o.hardest = 1, o.sigma = 3, o.workers = 2, o.threads = 1;
  o.augmentation.long_side = 49, o.augmentation.scales = {1}, o.augmentation.crop = 48;
  return o;
}

std::shared_ptr<panoptic_deeplab> fresh(std::size_t classes)
{
  torch::manual_seed(5);
  return small_panoptic_deeplab(4, static_cast<std::int64_t>(classes));
}

bool same_bits(torch::nn::Module const& a, torch::nn::Module const& b)
{
  auto const pa = a.parameters(), pb = b.parameters();
  bool same = pa.size() == pb.size();
  for (std::size_t i = 0; same && i < pa.size(); ++i) same = torch::equal(pa[i], pb[i]);
  return same;
}

}  // namespace

TEST_CASE("instance targets: a known picture", "[picture]")
{
  grid<std::int32_t, 2> labels(5, 7);
  for (index_t y = 1; y < 4; ++y)
    for (index_t x = 1; x < 4; ++x) labels(y, x) = 1;  // its mean is (2,2)
  labels(0, 6) = labels(1, 6) = 2;                     // (0.5,6)
  labels(4, 6) = 3;
  for (index_t y = 0; y < 5; ++y) labels(y, 0) = -1;
  std::vector<cambium::instance> const found{{1, 0.9, 9, {}}, {0, 0.8, 2, {}}, {0, 0.1, 1, {}}};
  instance_training o;
  o.sigma = 1, o.least_score = 0.5;
  auto const t = make_instance_targets(labels, found, 2, o);
  CHECK(t.semantic(2, 2) == 2);
  CHECK(t.semantic(0, 6) == 1);
  CHECK(t.semantic(0, 4) == 0);
  CHECK(t.semantic(0, 0) == cambium::label::ignore);
  CHECK(t.semantic(4, 6) == cambium::label::ignore);  // too weak to be learned from
  CHECK(t.centre(1, 2, 2) == 1);
  CHECK(t.centre(1, 2, 3) == Approx(std::exp(-0.5)));
  CHECK(t.centre(0, 0, 6) == Approx(std::exp(-0.125)));
  CHECK(t.centre(0, 2, 2) < 0.01);
  CHECK(t.centre(0, 4, 6) < 0.01);
  CHECK((t.offset(0, 1, 3) == 1 && t.offset(1, 1, 3) == -1));
  CHECK((t.offset(0, 0, 6) == 0.5f && t.offset(1, 0, 6) == 0));
  CHECK((t.centre_weight(0, 4) == 1 && t.offset_weight(0, 4) == 0));
  CHECK((t.centre_weight(0, 0) == 0 && t.centre_weight(4, 6) == 0 && t.offset_weight(2, 2) == 1));
  o.trust_background = false;
  auto const u = make_instance_targets(labels, found, 2, o);
  CHECK((u.semantic(0, 4) == cambium::label::ignore && u.centre_weight(0, 4) == 0 && u.centre_weight(2, 2) == 1));

  CAMBIUM_THROWS_SAYING((void)make_instance_targets(labels, found, 1, o), precondition_error,
                        "instance 0 is of class 1, outside 0..0");
  labels(3, 5) = 4;
  CAMBIUM_THROWS_SAYING((void)make_instance_targets(labels, found, 2, o), precondition_error,
                        "row 3, column 5 is 4 of 3 instances");
}

TEST_CASE("train_instances: losses fall", "[property]")
{
  auto const set = small_scenes(4);  // few enough to be known by heart
  auto const network = fresh(set.class_names().size());
  auto o = quick(140);
  o.rate = 6e-3, o.centre_weight = 50, o.offset_weight = 0.1;
  o.augmentation.photometric.chance = 0, o.augmentation.flip = 0;
  double first[3] = {}, late[3] = {};
  std::int64_t steps = 0;
  training_record record;
  record.each = [&](journal_entry const& e) {
    CHECK(e.step == ++steps);
    REQUIRE(e.losses.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      if (e.step <= 5) first[i] += e.losses[i].second;
      if (e.step > 135) late[i] += e.losses[i].second;
    }
  };
  auto const last = train_instances(set, *network, o, record);
  CHECK(last.step == 140);
  for (std::size_t i = 0; i < 3; ++i) {
    INFO(last.losses[i].first << " from " << first[i] / 5 << " to " << late[i] / 5);
    CHECK(late[i] < 0.7 * first[i]);
  }
}

namespace {

/// Scenes with a crowd in a corner: as pixels that are ignored, or as an instance that teaches nothing.
class crowded : public dataset {
 public:
  scenes from;
  bool as_instance;
  index_t side;  ///< of what is ignored: 48, as the photographs
  crowded(scenes of, bool instance, index_t extent = 48) : from(std::move(of)), as_instance(instance), side(extent) {}
  std::size_t size() const override { return from.size(); }
  std::vector<std::string> const& class_names() const override { return from.class_names(); }
  std::string id(std::size_t i) const override { return from.id(i); }
  weak_image load(std::size_t i) const override
  {
    auto out = from.load(i);
    if (as_instance) return out;
    out.ignored = grid<std::uint8_t, 2>(side, side);
    for (index_t y = 0; y < 20; ++y) std::fill_n(&out.ignored(y, 0), 20, std::uint8_t{1});
    return out;
  }
  cambium::instances<> truth(std::size_t i) const override
  {
    auto out = from.truth(i);
    if (!as_instance) return out;
    out.found.push_back({0, 0, 0, {}});
    for (index_t y = 0; y < 20; ++y)
      for (index_t x = 0; x < 20; ++x)
        if (out.label(y, x) == 0) out.label(y, x) = static_cast<std::int32_t>(out.found.size());
    return out;
  }
};

}  // namespace

TEST_CASE("train_instances: crowds teach nothing, not even background", "[property]")
{
  auto o = quick(4);
  o.least_score = 0.5;
  auto const C = small_scenes(8).class_names().size();
  auto const with = fresh(C), as_instance = fresh(C), without = fresh(C);
  (void)train_instances(crowded(small_scenes(8), false), *with, o);
  (void)train_instances(crowded(small_scenes(8), true), *as_instance, o);
  (void)train_instances(small_scenes(8), *without, o);
  CHECK(same_bits(*with, *as_instance));
  CHECK_FALSE(same_bits(*with, *without));
  // Pseudo labels of another size than the photographs' crowds.
  CAMBIUM_THROWS_SAYING((void)train_instances(crowded(small_scenes(8), false, 60), *with, o), precondition_error,
                        "labels are [48,48] but what is ignored is [60,60]");
}

TEST_CASE("train_instances: killed and gone on with, and other workers, are the same to the bit", "[property]")
{
  support::temporary_folder const folder;
  auto const set = small_scenes(10);  // an epoch of two batches and a rest
  auto const C = set.class_names().size();
  auto const whole = fresh(C), other = fresh(C), killed = fresh(C), resumed = fresh(C);
  auto o = quick(6);
  (void)train_instances(set, *whole, o);
  o.workers = 0;
  (void)train_instances(set, *other, o);
  CHECK(same_bits(*whole, *other));

  o.workers = 1;
  training_record record{.checkpoint = folder / "state.ckpt", .checkpoint_every = 3};
  struct kill {};
  record.each = [](journal_entry const& e) {
    if (e.step == 5) throw kill{};
  };
  CHECK_THROWS_AS(train_instances(set, *killed, o, record), kill);
  record.each = {};
  CHECK_FALSE(same_bits(*whole, *killed));
  auto const last = train_instances(set, *resumed, o, record);
  CHECK(last.step == 6);
  CHECK(same_bits(*whole, *resumed));
  o.batch = 2;
  CHECK(support::refusal([&] { (void)train_instances(set, *resumed, o, record); }).find("is of another training") !=
        std::string::npos);
}

TEST_CASE("train_instances: what is wrong is named", "[errors]")
{
  auto const set = small_scenes(3);
  auto const C = set.class_names().size();
  auto const network = fresh(C), fewer = fresh(C - 1);
  CAMBIUM_THROWS_SAYING((void)train_instances(set, *fewer, quick(1)), precondition_error, "classes but the set");
  CAMBIUM_THROWS_SAYING((void)train_instances(set, *network, quick(1)), precondition_error, "do not fill a batch of 4");
  auto o = quick(0);
  CAMBIUM_THROWS_SAYING((void)train_instances(set, *network, o), precondition_error, "0 steps of 4");
  o = quick(1), o.batch = 2, o.hardest = 0;
  CAMBIUM_THROWS_SAYING((void)train_instances(set, *network, o), precondition_error, "hardest is 0");
}
