// Scenes: the same on every run, their truth consistent with what they say weakly, and what is wrong is named.

#include "data/scenes.hpp"
#include "data/kept.hpp"

#include <cambium/core/error.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <set>

using namespace trainer;

namespace {

scene_options small(std::size_t count)
{
  scene_options o;
  o.count = count, o.height = 64, o.width = 80;
  return o;
}

}  // namespace

TEST_CASE("a scene is given by seed and number", "[property]")
{
  auto const once = draw_scene(small(1), 3), again = draw_scene(small(9), 3), other = draw_scene(small(9), 4);
  CHECK(once.photograph.cells() == again.photograph.cells());
  CHECK(once.objects.label.cells() == again.objects.label.cells());
  CHECK(once.photograph.cells() != other.photograph.cells());
  auto o = small(1);
  o.seed = 2;
  CHECK(draw_scene(o, 3).photograph.cells() != once.photograph.cells());
}

TEST_CASE("boxes, areas, points and tags of scenes are those of their labels", "[property]")
{
  scenes const set(small(40));
  std::size_t objects = 0, touching = 0;
  std::set<std::int32_t> classes;
  for (std::size_t i = 0; i < set.size(); ++i) {
    auto const weak = set.load(i);
    auto const truth = set.truth(i);
    REQUIRE(weak.boxes.size() == truth.found.size());
    REQUIRE(weak.points.size() == truth.found.size());
    std::set<std::int32_t> tags;
    for (std::size_t k = 0; k < truth.found.size(); ++k) {
      auto const number = static_cast<std::int32_t>(k) + 1;
      cambium::box is{1000, 1000, 0, 0};
      cambium::index_t area = 0;
      for (cambium::index_t y = 0; y < 64; ++y)
        for (cambium::index_t x = 0; x < 80; ++x) {
          if (truth.label(y, x) != number) continue;
          ++area;
          is = {std::min(is.top, y), std::min(is.left, x), std::max(is.bottom, y + 1), std::max(is.right, x + 1)};
          if (x + 1 < 80 && truth.label(y, x + 1) > number &&
              truth.found[static_cast<std::size_t>(truth.label(y, x + 1)) - 1].category == truth.found[k].category)
            ++touching;
        }
      CHECK(area == truth.found[k].area);
      CHECK(area >= 12);
      CHECK((is.top == weak.boxes[k].bounds.top && is.left == weak.boxes[k].bounds.left));
      CHECK((is.bottom == weak.boxes[k].bounds.bottom && is.right == weak.boxes[k].bounds.right));
      CHECK(weak.boxes[k].category == truth.found[k].category);
      auto const& p = weak.points[k];
      CHECK(truth.label(static_cast<cambium::index_t>(p.y), static_cast<cambium::index_t>(p.x)) == number);
      CHECK(p.category == truth.found[k].category);
      tags.insert(truth.found[k].category);
      ++objects;
    }
    CHECK(std::vector<std::int32_t>(tags.begin(), tags.end()) == weak.tags);
    classes.insert(tags.begin(), tags.end());
  }
  CHECK(objects > 40);
  CHECK(touching > 0);  // of one class, beside each other
  CHECK(classes.size() == set.class_names().size());
}

TEST_CASE("a scene at twice the size has the same objects", "[property]")
{
  auto o = small(1);
  o.height = o.width = 96;
  auto const half = draw_scene(o, 0);
  o.height = o.width = 192;
  auto const whole = draw_scene(o, 0);
  REQUIRE(half.objects.found.size() == whole.objects.found.size());
  int differ = 0;
  for (cambium::index_t y = 0; y < 96; ++y)
    for (cambium::index_t x = 0; x < 96; ++x) differ += half.objects.label(y, x) != whole.objects.label(2 * y, 2 * x);
  CHECK(differ == 0);  // pixel (y,x) of one lies at (2y,2x) of the other
}

TEST_CASE("scenes that are kept are those that were drawn", "[property]")
{
  scenes const set(small(7));
  kept const all(set);
  REQUIRE(all.size() == 7);
  for (std::size_t i = 0; i < 7; ++i) {
    CHECK(all.load(i).photograph.cells() == set.load(i).photograph.cells());
    CHECK(all.id(i) == all.load(i).id);
    CHECK(all.file_name(i) == set.file_name(i));
  }
}

TEST_CASE("options of scenes that are wrong are named", "[errors]")
{
  auto const refused = [](auto const& change, char const* words) {
    auto o = small(1);
    change(o);
    CHECK_THROWS_WITH(draw_scene(o, 0), says(words));
    CHECK_THROWS_AS(scenes(o), cambium::precondition_error);
  };
  refused([](auto& o) { o.width = 31; }, "64x31");
  refused([](auto& o) { o.least = 0; }, "objects from 0");
  refused([](auto& o) { o.most = 0; }, "to 0");
  refused([](auto& o) { o.smallest = 0.01; }, "sizes from 0.01");
  refused([](auto& o) { o.largest = 0.7; }, "to 0.7");
  refused([](auto& o) { o.touching = 1.5; }, "touching is 1.5");
  refused([](auto& o) { o.clutter = -1; }, "clutter is -1");
  CHECK_THROWS_WITH(scenes(small(2)).id(2), says("scene 2 of 2"));
}
