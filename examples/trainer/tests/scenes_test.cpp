// Scenes: the same on every run, their truth consistent with what they say weakly, and what is wrong is named.

#include "data/scenes.hpp"
#include "data/kept.hpp"

#include <cambium/core/error.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

using namespace trainer;

namespace {

scene_options small(std::size_t count)
{
  scene_options o;
  o.count = count, o.height = 64, o.width = 80;
  return o;
}

/// The largest distance between two pixels of an object that have a colour of its class's face. [pixels]
double spread_of_face(scene const& s)
{
  static constexpr std::array<std::array<double, 3>, 6> of_class{
      {{225, 40, 40}, {40, 70, 225}, {40, 175, 60}, {245, 205, 40}, {190, 50, 200}, {50, 205, 215}}};
  auto const& face = of_class[static_cast<std::size_t>(s.objects.found.at(0).category)];
  std::vector<std::pair<double, double>> places;
  for (cambium::index_t y = 0; y < s.photograph.shape()[0]; ++y)
    for (cambium::index_t x = 0; x < s.photograph.shape()[1]; ++x) {
      if (s.objects.label(y, x) != 1) continue;
      double dot = 0, own = 0, wanted = 0;
      for (cambium::index_t k = 0; k < 3; ++k) {
        double const is = s.photograph(y, x, k), is_wanted = face[static_cast<std::size_t>(k)];
        dot += is * is_wanted, own += is * is, wanted += is_wanted * is_wanted;
      }
      if (dot > 0.995 * std::sqrt(own * wanted)) places.emplace_back(static_cast<double>(y), static_cast<double>(x));
    }
  double out = 0;
  for (auto const& [y, x] : places)
    for (auto const& [v, u] : places) out = std::max(out, std::hypot(v - y, u - x));
  return out;
}

}  // namespace

TEST_CASE("scenes with the default options are the published ones", "[reference]")
{
  struct sample {
    std::size_t scene;
    std::array<std::array<int, 3>, 12> at;  ///< y, x, value of channel k % 3
  };
  // read from scenes drawn before the options of hard scenes existed
  std::vector<sample> const samples{{0,
                                     {{{5, 11, 255},
                                       {28, 48, 160},
                                       {51, 5, 161},
                                       {10, 42, 123},
                                       {33, 79, 160},
                                       {56, 36, 161},
                                       {15, 73, 116},
                                       {38, 30, 159},
                                       {61, 67, 157},
                                       {20, 24, 112},
                                       {43, 61, 169},
                                       {2, 18, 182}}}},
                                    {3,
                                     {{{5, 11, 124},
                                       {28, 48, 92},
                                       {51, 5, 142},
                                       {10, 42, 127},
                                       {33, 79, 96},
                                       {56, 36, 143},
                                       {15, 73, 143},
                                       {38, 30, 100},
                                       {61, 67, 40},
                                       {20, 24, 148},
                                       {43, 61, 99},
                                       {2, 18, 115}}}},
                                    {17,
                                     {{{5, 11, 81},
                                       {28, 48, 139},
                                       {51, 5, 124},
                                       {10, 42, 70},
                                       {33, 79, 144},
                                       {56, 36, 125},
                                       {15, 73, 93},
                                       {38, 30, 135},
                                       {61, 67, 159},
                                       {20, 24, 70},
                                       {43, 61, 228},
                                       {2, 18, 131}}}}};
  for (auto const& s : samples) {
    auto const drawn = draw_scene(small(20), s.scene);
    cambium::index_t k = 0;
    for (auto const& [y, x, value] : s.at) {
      CAPTURE(s.scene, y, x);
      CHECK(std::abs(drawn.photograph(y, x, k++ % 3) - value) <= 1);  // another libm may round the other way
    }
  }
}

TEST_CASE("second faces and paint over faces change nothing but the look of objects", "[property]")
{
  auto plain = small(1), hard = small(1);
  hard.second_face = 0.5, hard.covered = 0.6;
  int objects = 0, changed = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    auto const a = draw_scene(plain, i), b = draw_scene(hard, i);
    CHECK(a.objects.label.cells() == b.objects.label.cells());
    int outside = 0;
    std::set<std::int32_t> other;
    for (cambium::index_t y = 0; y < 64; ++y)
      for (cambium::index_t x = 0; x < 80; ++x)
        for (cambium::index_t k = 0; k < 3; ++k)
          if (a.photograph(y, x, k) != b.photograph(y, x, k)) {
            outside += a.objects.label(y, x) == 0;
            other.insert(a.objects.label(y, x));
          }
    CHECK(outside == 0);
    objects += static_cast<int>(a.objects.found.size()), changed += static_cast<int>(other.size());
  }
  CHECK(changed > objects / 2);
}

TEST_CASE("a second face lies at the other end, as often as is said, and covered faces show less", "[picture]")
{
  scene_options o;
  o.height = o.width = 96, o.least = o.most = 1, o.smallest = 0.4, o.clutter = 0;
  std::array<int, 3> farther{};  // scenes whose face colours are farther apart than one face's
  double open = 0, covered = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    o.covered = 0, o.second_face = 0;
    double const one = spread_of_face(draw_scene(o, i));
    for (std::size_t k = 0; k < 3; ++k) {
      o.second_face = 0.5 * static_cast<double>(k);
      farther[k] += spread_of_face(draw_scene(o, i)) > 1.35 * one;
    }
    o.second_face = 0, o.covered = 0.8;
    open += one, covered += spread_of_face(draw_scene(o, i));
  }
  CHECK(farther[0] == 0);
  CHECK((farther[1] >= 10 && farther[1] <= 28));
  CHECK(farther[2] >= 30);
  CHECK(covered < 0.9 * open);
}

TEST_CASE("hard scenes are those of the set with more touching, second and covered faces", "[property]")
{
  auto o = small(5);
  o.seed = 9, o.name = "mine", o.clutter = 2;
  auto const hard = hard_scenes(o);
  CHECK((hard.seed == 9 && hard.name == "mine" && hard.count == 5 && hard.height == 64 && hard.clutter == 2));
  CHECK((hard.second_face > 0 && hard.covered > 0 && hard.touching >= o.touching));
  CHECK_NOTHROW(draw_scene(hard, 0));
}

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
  auto o = GENERATE(small(1), hard_scenes(small(1)));
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
  refused([](auto& o) { o.second_face = -0.1; }, "second_face is -0.1");
  refused([](auto& o) { o.covered = 0.9; }, "covered is 0.9; expected 0 to 0.8");
  CHECK_THROWS_WITH(scenes(small(2)).id(2), says("scene 2 of 2"));
}
