#include "data/augment.hpp"
#include "data/batch.hpp"

#include <torch/torch.h>

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace trainer;
using cambium::box;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;

namespace {

/// A photograph whose objects can be told by their colour alone: rectangles, each with its label, its box, its middle.
struct staged {
  labelled_photograph s;
  std::vector<box> where;
};

staged stage(std::uint64_t seed, index_t H, index_t W)
{
  dice d(seed);
  staged out;
  out.s.photograph = grid<std::uint8_t, 3>(H, W, 3);
  out.s.maps.emplace_back(H, W);
  for (index_t i = 0; i < H * W * 3; ++i) out.s.photograph.data()[i] = static_cast<std::uint8_t>(d.below(30));
  for (int n = 1; n <= 3; ++n) {  // side by side, so that none hides another
    index_t const left = (n - 1) * W / 3 + d.below(static_cast<int>(W / 12)),
                  right = n * W / 3 - d.below(static_cast<int>(W / 12));
    index_t const top = d.below(static_cast<int>(H / 3)), bottom = H - d.below(static_cast<int>(H / 3));
    box const b{top, left, bottom, right};
    for (index_t y = top; y < bottom; ++y)
      for (index_t x = left; x < right; ++x) {
        out.s.maps[0](y, x) = n;
        for (index_t c = 0; c < 3; ++c) out.s.photograph(y, x, c) = static_cast<std::uint8_t>(c == n - 1 ? 230 : 20);
      }
    out.s.boxes.push_back({b, n - 1});
    out.s.points.push_back(
        {static_cast<double>((top + bottom - 1) / 2), static_cast<double>((left + right - 1) / 2), n - 1, 1});
    out.where.push_back(b);
  }
  return out;
}

/// The box around the cells of a label; empty where there is none.
box around(grid<std::int32_t, 2> const& map, std::int32_t label)
{
  index_t const most = std::numeric_limits<index_t>::max();
  box b{most, most, 0, 0};
  for (index_t y = 0; y < map.shape()[0]; ++y)
    for (index_t x = 0; x < map.shape()[1]; ++x)
      if (map(y, x) == label)
        b = {std::min(b.top, y), std::min(b.left, x), std::max(b.bottom, y + 1), std::max(b.right, x + 1)};
  return b.bottom == 0 ? box{} : b;
}

/// Labels, points, boxes and colours of a result say the same.
template <class Colour>
void check_together(std::vector<grid<std::int32_t, 2>> const& maps, cambium::points const& points,
                    std::vector<labelled_box> const& boxes, Colour const& strongest, double slack)
{
  grid<std::int32_t, 2> const& map = maps[0];
  std::set<std::int32_t> boxed;
  for (labelled_box const& b : boxes) {
    boxed.insert(b.category + 1);
    CHECK(b.bounds == around(map, b.category + 1));  // rectangles: the tightest box, exactly
  }
  for (std::int32_t n = 1; n <= 3; ++n) CHECK((around(map, n) == box{}) == (boxed.count(n) == 0));
  for (cambium::point const& p : points) {
    box const b = around(map, p.category + 1);
    INFO(p.y << ' ' << p.x << " of " << b.top << ' ' << b.left << ' ' << b.bottom << ' ' << b.right);
    CHECK(p.y >= static_cast<double>(b.top) - slack);
    CHECK(p.y <= static_cast<double>(b.bottom - 1) + slack);
    CHECK(p.x >= static_cast<double>(b.left) - slack);
    CHECK(p.x <= static_cast<double>(b.right - 1) + slack);
  }
  index_t inside = 0, right_colour = 0;
  for (index_t y = 0; y < map.shape()[0]; ++y)
    for (index_t x = 0; x < map.shape()[1]; ++x)
      if (map(y, x) >= 1 && map(y, x) <= 3) ++inside, right_colour += strongest(y, x) == map(y, x) - 1;
  CHECK(static_cast<double>(right_colour) >= 0.9 * static_cast<double>(inside));
}

void check_together(labelled_photograph const& s, double slack)
{
  check_together(
      s.maps, s.points, s.boxes,
      [&](index_t y, index_t x) {
        index_t best = -1;
        for (index_t c = 0; c < 3; ++c)
          if (s.photograph(y, x, c) > 100) best = c;
        return best;
      },
      slack);
}

void check_together(augmented const& a, double slack)
{
  check_together(
      a.maps, a.points, a.boxes,
      [&](index_t y, index_t x) {
        index_t best = 0;
        for (index_t c = 1; c < 3; ++c)
          if (a.photograph(c, y, x) > a.photograph(best, y, x)) best = c;
        return best;
      },
      slack);
}

bool same(augmented const& a, augmented const& b)
{
  return a.photograph.cells() == b.photograph.cells() && a.maps[0].cells() == b.maps[0].cells() &&
         a.points == b.points && a.seen == b.seen;
}

grid<std::uint8_t, 3> row_of(std::vector<int> const& v)
{
  grid<std::uint8_t, 3> out(1, static_cast<index_t>(v.size()), 3);
  for (std::size_t i = 0; i < v.size(); ++i)
    for (index_t c = 0; c < 3; ++c) out(0, static_cast<index_t>(i), c) = static_cast<std::uint8_t>(v[i]);
  return out;
}

std::vector<int> values(grid<std::uint8_t, 3> const& g)
{
  std::vector<int> out;
  for (index_t i = 0; i < g.size(); i += 3) out.push_back(g.data()[i]);
  return out;
}

}  // namespace

TEST_CASE("resized: known rows", "[picture]")
{
  auto const step = row_of({0, 0, 0, 0, 200, 200, 200, 200});
  // Half the size: a triangle four pixels wide with weights 1 3 3 1, or between two pixels.
  CHECK(values(resized(step, {1, 4}, sampling::pillow, kernel::bilinear)) == std::vector<int>{0, 25, 175, 200});
  CHECK(values(resized(step, {1, 4}, sampling::opencv, kernel::bilinear)) == std::vector<int>{0, 0, 200, 200});
  // Twice the size: both are the same line between centres.
  auto const two = row_of({0, 100});
  CHECK(values(resized(two, {1, 4}, sampling::pillow, kernel::bilinear)) == std::vector<int>{0, 25, 75, 100});
  CHECK(values(resized(two, {1, 4}, sampling::opencv, kernel::bilinear)) == std::vector<int>{0, 25, 75, 100});
  // The cubic overshoots and is clipped.
  auto const cubic = values(resized(row_of({100, 100, 200, 200}), {1, 8}, sampling::pillow, kernel::bicubic));
  CHECK(cubic == std::vector<int>{100, 98, 93, 120, 180, 207, 202, 200});
  CHECK(values(resized(row_of({0, 0, 255, 255}), {1, 8}, sampling::pillow, kernel::bicubic))[2] == 0);
}

TEST_CASE("resized: a constant stays, columns are rows turned", "[property]")
{
  dice d(3);
  grid<std::uint8_t, 3> flat(17, 23, 3), noise(17, 23, 3), turned(23, 17, 3);
  for (auto& v : flat.cells()) v = 77;
  for (auto& v : noise.cells()) v = static_cast<std::uint8_t>(60 + d.below(130));  // far from clipping
  for (index_t y = 0; y < 17; ++y)
    for (index_t x = 0; x < 23; ++x)
      for (index_t c = 0; c < 3; ++c) turned(x, y, c) = noise(y, x, c);
  for (auto const& [rules, shape] : {std::pair{sampling::pillow, kernel::bilinear},
                                     {sampling::pillow, kernel::bicubic},
                                     {sampling::opencv, kernel::bilinear}})
    for (extent2 const to : {extent2{5, 7}, extent2{40, 60}, extent2{17, 9}, extent2{1, 1}}) {
      auto const still = resized(flat, to, rules, shape);
      CHECK(std::all_of(still.cells().begin(), still.cells().end(), [](int v) { return v == 77; }));
      auto const a = resized(noise, to, rules, shape), b = resized(turned, {to.width, to.height}, rules, shape);
      int worst = 0;  // rows first, then columns: bytes between them
      for (index_t y = 0; y < to.height; ++y)
        for (index_t x = 0; x < to.width; ++x)
          for (index_t c = 0; c < 3; ++c) worst = std::max(worst, std::abs(a(y, x, c) - b(x, y, c)));
      CHECK(worst <= 2);
    }
  CHECK(resized(noise, {17, 23}, sampling::pillow, kernel::bicubic).cells() == noise.cells());
}

TEST_CASE("sources: known places", "[picture]")
{
  CHECK(sources(8, 4, sampling::pillow) == std::vector<index_t>{1, 3, 5, 7});
  CHECK(sources(8, 4, sampling::opencv) == std::vector<index_t>{0, 2, 4, 6});
  CHECK(sources(3, 6, sampling::pillow) == std::vector<index_t>{0, 0, 1, 1, 2, 2});
  CHECK(sources(3, 6, sampling::opencv) == std::vector<index_t>{0, 0, 1, 1, 2, 2});
  CHECK(sources(16, 4, sampling::pillow) == std::vector<index_t>{2, 6, 10, 14});
  for (index_t m = 1; m < 40; ++m)
    for (index_t n = 1; n < 40; ++n)
      for (sampling const r : {sampling::pillow, sampling::opencv}) {
        auto const s = sources(m, n, r);
        CHECK(static_cast<index_t>(s.size()) == n);
        CHECK((std::is_sorted(s.begin(), s.end()) && s.front() >= 0 && s.back() < m));
      }
  grid<std::int32_t, 2> map(8, 12);
  map(2, 6) = 5;
  auto const q = quarter(map);
  CHECK((q.shape()[0] == 2 && q.shape()[1] == 3 && q(0, 1) == 5));
}

TEST_CASE("resized samples: points, boxes and labels move together", "[property]")
{
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    dice d(seed_of(seed, 9));
    staged const from = stage(seed, 40 + d.below(80), 60 + d.below(90));
    extent2 const to{20 + d.below(200), 40 + d.below(200)};
    for (sampling const r : {sampling::pillow, sampling::opencv}) {
      auto const s = resized(from.s, to, r, kernel::bilinear);
      REQUIRE(s.points.size() == 3);
      check_together(s, 0.51);
      for (std::size_t i = 0; i < 3; ++i) {  // a point that is moved is where it was, in parts of the photograph
        double const part = (from.s.points[i].x + 0.5) / static_cast<double>(from.s.photograph.shape()[1]);
        CHECK((s.points[i].x + 0.5) / static_cast<double>(to.width) == Approx(part));
      }
    }
  }
}

TEST_CASE("flip: twice is nothing, once is mirrored", "[property]")
{
  for (index_t const W : {60, 61}) {
    staged const from = stage(5, 41, W);
    labelled_photograph s = from.s;
    flip(s);
    check_together(s, 0);
    CHECK(s.photograph(7, 0, 2) == from.s.photograph(7, W - 1, 2));
    CHECK(s.maps[0](20, 9) == from.s.maps[0](20, W - 10));
    CHECK(s.points[0].x == static_cast<double>(W - 1) - from.s.points[0].x);
    CHECK(s.points[0].y == from.s.points[0].y);
    CHECK(s.boxes[1].bounds.left == W - from.s.boxes[1].bounds.right);
    auto const once = cropped(s, {-5, -9, 50, W + 30}, 255, imagenet_colours);
    auto const twice = cropped(from.s, {-5, -21, 50, W + 30}, 255, imagenet_colours);
    augmented turned = twice;
    flip(turned);
    CHECK(same(turned, once));
    flip(turned);
    CHECK(same(turned, twice));
    flip(s);
    CHECK(s.photograph.cells() == from.s.photograph.cells());
    CHECK(s.maps[0].cells() == from.s.maps[0].cells());
    CHECK((s.points == from.s.points));
    CHECK(s.boxes[0].bounds == from.s.boxes[0].bounds);
  }
}

TEST_CASE("cropped: a known picture", "[picture]")
{
  labelled_photograph s;
  s.photograph = grid<std::uint8_t, 3>(2, 3, 3);
  s.maps.emplace_back(2, 3);
  for (index_t i = 0; i < 6; ++i)
    s.maps[0].data()[i] = static_cast<std::int32_t>(i + 1),
    s.photograph.data()[3 * i] = static_cast<std::uint8_t>(51 * i);
  s.points = {{0, 0, 0, 1}, {1, 2, 1, 1}};
  s.boxes = {{{0, 0, 1, 1}, 0}, {{0, 1, 2, 3}, 1}};
  auto const a = cropped(s, {-1, 1, 4, 3}, 255, {{0.2, 0, 0}, {0.5, 1, 1}});
  std::int32_t const want[4][3] = {{255, 255, 255}, {2, 3, 255}, {5, 6, 255}, {255, 255, 255}};
  for (index_t y = 0; y < 4; ++y)
    for (index_t x = 0; x < 3; ++x) {
      CHECK(a.maps[0](y, x) == want[y][x]);
      double const colour = want[y][x] == 255 ? 0 : ((want[y][x] - 1) * 0.2 - 0.2) / 0.5;
      CHECK(a.photograph(0, y, x) == Approx(colour).margin(1e-6));
      CHECK(a.photograph(1, y, x) == 0);
    }
  CHECK(a.seen == box{1, 0, 3, 2});
  REQUIRE(a.points.size() == 1);
  CHECK((a.points[0].y == 2 && a.points[0].x == 1 && a.points[0].category == 1));
  REQUIRE(a.boxes.size() == 1);
  CHECK(a.boxes[0].bounds == box{1, 0, 3, 2});
  auto const away = cropped(s, {10, 10, 2, 2}, 0, imagenet_colours);
  CHECK(away.points.empty());
  CHECK(std::all_of(away.photograph.cells().begin(), away.photograph.cells().end(), [](float v) { return v == 0; }));
  auto const n = normalised(s.photograph);
  CHECK(n(0, 1, 2) == Approx((1.0 - 0.485) / 0.229));
}

TEST_CASE("random windows: every place inside, every split of the padding, none else", "[property]")
{
  dice d(4);
  std::set<index_t> tops, lefts;
  for (int i = 0; i < 400; ++i) {
    window const w = random_window({10, 4}, {7, 9}, d);
    tops.insert(w.top), lefts.insert(w.left);
    CHECK((w.height == 7 && w.width == 9));
  }
  CHECK(tops == std::set<index_t>{0, 1, 2, 3});
  CHECK(lefts == std::set<index_t>{-5, -4, -3, -2, -1, 0});
}

TEST_CASE("recipes: sizes, one seed one result, everything moves together", "[property]")
{
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    staged const from = stage(seed, 90 + static_cast<index_t>(seed), 120);
    irnet_cam_augmentation cam;
    cam.shortest = 80, cam.longest = 160, cam.crop = 128;
    irnet_affinity_augmentation affinity;
    affinity.crop = 128;
    bestie_augmentation bestie;
    bestie.long_side = 129, bestie.crop = 120, bestie.exact_points = true, bestie.photometric.chance = 0;
    pam_augmentation pam;
    pam.size = 96, pam.crop = 80, pam.colour = {0.1, 0.1, 0.1, 0};

    auto const a = augment_irnet_cam(from.s, seed, cam);
    CHECK(a.photograph.shape() == std::array<index_t, 3>{3, 128, 128});
    check_together(a, 0.51);
    CHECK(same(a, augment_irnet_cam(from.s, seed, cam)));
    CHECK_FALSE(same(a, augment_irnet_cam(from.s, seed + 1, cam)));

    auto const b = augment_irnet_affinity(from.s, seed, affinity);
    check_together(b, 0.51);
    CHECK(same(b, augment_irnet_affinity(from.s, seed, affinity)));
    for (index_t y = 0; y < 128; ++y)
      for (index_t x = 0; x < 128; ++x) {
        bool const seen = y >= b.seen.top && y < b.seen.bottom && x >= b.seen.left && x < b.seen.right;
        CHECK((b.maps[0](y, x) == 255) == !seen);
        if (!seen) CHECK((b.photograph(0, y, x) == 0 && b.photograph(2, y, x) == 0));
      }

    auto const c = augment_bestie(from.s, seed, bestie);
    CHECK(c.photograph.shape() == std::array<index_t, 3>{3, 120, 120});
    // OpenCV's nearest cells lie up to a cell beside the centres that the points keep to.
    check_together(c, 1.51);
    CHECK(same(c, augment_bestie(from.s, seed, bestie)));

    auto const e = augment_pam(from.s, seed, pam);
    check_together(e, 0.51);
    CHECK(e.seen == box{0, 0, 80, 80});
    CHECK(same(e, augment_pam(from.s, seed, pam)));
  }
}

TEST_CASE("bestie: points as the original moves them", "[picture]")
{
  labelled_photograph s;
  s.photograph = grid<std::uint8_t, 3>(375, 500, 3);
  s.points = {{100, 333, 4, 0.5}};
  bestie_augmentation o;
  o.scales = {1.3}, o.crop = 700, o.flip = 0;
  auto const a = augment_bestie(s, 1, o);
  // 375 x 500 -> 353 x 449 -> 459 x 584 (halves to even), then padding by chance to 700.
  CHECK(a.seen.bottom - a.seen.top == 459);
  CHECK(a.seen.right - a.seen.left == 584);
  // 100 / 375 * 353 = 94.1 -> 94 -> 122.2; 333 / 500 * 449 = 299.03 -> 299 -> 388.7; both cut after the shift
  REQUIRE(a.points.size() == 1);
  CHECK(a.points[0].y == 122 + static_cast<double>(a.seen.top));
  CHECK(a.points[0].x == 388 + static_cast<double>(a.seen.left));
  CHECK((a.points[0].category == 4 && a.points[0].score == 0.5));
  o.flip = 1;
  auto const b = augment_bestie(s, 1, o);
  CHECK(b.points[0].x == std::trunc(700 - 1 - (388.7 + static_cast<double>(a.seen.left))));
  // fill 0: beyond the photograph is background, as in the original
  s.maps.emplace_back(375, 500);
  std::fill(s.maps[0].cells().begin(), s.maps[0].cells().end(), 3);
  CHECK(augment_bestie(s, 1, o).maps[0](0, 0) + augment_bestie(s, 1, o).maps[0](699, 699) == 0);
}

TEST_CASE("colours: known pixels", "[picture]")
{
  auto const one = [](int r, int g, int b) {
    grid<std::uint8_t, 3> p(1, 1, 3);
    p(0, 0, 0) = static_cast<std::uint8_t>(r), p(0, 0, 1) = static_cast<std::uint8_t>(g),
            p(0, 0, 2) = static_cast<std::uint8_t>(b);
    return p;
  };
  auto const list = [](grid<std::uint8_t, 3> const& p) { return std::vector<int>(p.cells().begin(), p.cells().end()); };
  auto p = one(100, 50, 200);
  adjust_brightness(p, 1.5);
  CHECK(list(p) == std::vector<int>{150, 75, 255});
  p = one(100, 50, 200);  // its grey: 0.299 r + 0.587 g + 0.114 b = 82
  adjust_saturation(p, 0);
  CHECK(list(p) == std::vector<int>{82, 82, 82});
  p = one(100, 50, 200);
  adjust_contrast(p, 2);
  CHECK(list(p) == std::vector<int>{118, 18, 255});
  p = one(255, 0, 0);
  adjust_hue(p, 1 / 3.0);  // 85 of 255 steps
  CHECK(list(p) == std::vector<int>{0, 255, 0});
  p = one(40, 40, 40);
  adjust_hue(p, 0.3);
  CHECK(list(p) == std::vector<int>{40, 40, 40});
  for (double const f : {0.0, 0.5, 1.0}) {  // a factor of 1 changes nothing
    grid<std::uint8_t, 3> q(8, 8, 3);
    dice d(2);
    for (auto& v : q.cells()) v = static_cast<std::uint8_t>(d.below(256));
    auto const before = q.cells();
    adjust_brightness(q, f == 1 ? 1 : f), adjust_contrast(q, f), adjust_saturation(q, f);
    CHECK((q.cells() == before) == (f == 1));
  }
}

TEST_CASE("shift_colours: turning the hue keeps value and saturation; chances of 0 keep all", "[property]")
{
  dice d(6);
  int changed = 0, hue_only = 0;
  for (int i = 0; i < 200; ++i) {
    grid<std::uint8_t, 3> p(1, 1, 3);
    for (auto& v : p.cells()) v = static_cast<std::uint8_t>(20 + d.below(200));
    auto q = p;
    shift_colours(q, d, {0, 1, 1, 36, 1});
    auto const [low, high] = std::minmax_element(p.cells().begin(), p.cells().end());
    auto const [l, h] = std::minmax_element(q.cells().begin(), q.cells().end());
    CHECK(std::abs(*low - *l) <= 1);
    CHECK(std::abs(*high - *h) <= 1);
    hue_only += q.cells() != p.cells();
    q = p;
    shift_colours(q, d, {16, 0.5, 1.5, 36, 0});
    CHECK(q.cells() == p.cells());
    shift_colours(q, d);
    changed += q.cells() != p.cells();
  }
  CHECK(hue_only > 150);
  CHECK((changed > 140 && changed < 195));  // 7 of 8, but for what rounding hides
  grid<std::uint8_t, 3> red(1, 1, 3);
  red(0, 0, 0) = 200;
  std::set<int> green;
  for (int i = 0; i < 300; ++i) {
    auto q = red;
    shift_colours(q, d, {0, 1, 1, 36, 1});
    green.insert(q(0, 0, 1));
    CHECK(q(0, 0, 0) >= 199);
    CHECK(q(0, 0, 1) <= 120);  // 36 of 60 degrees
  }
  CHECK(*green.rbegin() > 100);
}

TEST_CASE("augment: what is wrong is named", "[errors]")
{
  staged from = stage(1, 40, 60);
  irnet_cam_augmentation cam;
  cam.longest = 100;
  CAMBIUM_THROWS_SAYING((void)augment_irnet_cam(from.s, 1, cam), precondition_error,
                        "the long side is from 320 to 100");
  cam = {}, cam.crop = 0;
  CAMBIUM_THROWS_SAYING((void)augment_irnet_cam(from.s, 1, cam), precondition_error, "crop is 0");
  cam = {}, cam.flip = 2;
  CAMBIUM_THROWS_SAYING((void)augment_irnet_cam(from.s, 1, cam), precondition_error, "flip is 2");
  irnet_affinity_augmentation affinity;
  affinity.smallest = 0;
  CAMBIUM_THROWS_SAYING((void)augment_irnet_affinity(from.s, 1, affinity), precondition_error, "the scale is from 0");
  bestie_augmentation bestie;
  bestie.scales = {};
  CAMBIUM_THROWS_SAYING((void)augment_bestie(from.s, 1, bestie), precondition_error, "no scale");
  bestie.scales = {-1};
  CAMBIUM_THROWS_SAYING((void)augment_bestie(from.s, 1, bestie), precondition_error, "a scale is -1");
  pam_augmentation pam;
  pam.colour.hue = 0.7;
  CAMBIUM_THROWS_SAYING((void)augment_pam(from.s, 1, pam), precondition_error, "hue is 0.7");
  CAMBIUM_THROWS_SAYING((void)cropped(from.s, {0, 0, 0, 5}, 0, imagenet_colours), precondition_error,
                        "a window of 0 x 5");
  CAMBIUM_THROWS_SAYING((void)cropped(from.s, {0, 0, 5, 5}, 0, {{0, 0, 0}, {1, 0, 1}}), precondition_error,
                        "channel 1");
  CAMBIUM_THROWS_SAYING((void)resized(from.s, {0, 5}, sampling::pillow, kernel::bilinear), precondition_error,
                        "to 0 x 5");
  CAMBIUM_THROWS_SAYING((void)resized(from.s, {5, 5}, sampling::opencv, kernel::bicubic), precondition_error,
                        "bilinear only");
  CAMBIUM_THROWS_SAYING((void)augment_pam(labelled_photograph{}, 1), precondition_error, "at least one pixel");
  from.s.maps.emplace_back(3, 3);
  CAMBIUM_THROWS_SAYING((void)augment_pam(from.s, 1), precondition_error, "map 1 is");
}

TEST_CASE("batch: samples become tensors", "[picture]")
{
  staged const from = stage(1, 40, 60);
  auto const a = cropped(from.s, {0, 0, 32, 48}, 255, imagenet_colours),
             b = cropped(from.s, {5, -3, 32, 48}, 255, imagenet_colours);
  auto const both = collate({a, b});
  CHECK(both.photographs.sizes() == torch::IntArrayRef({2, 3, 32, 48}));
  CHECK(both.photographs.scalar_type() == torch::kFloat32);
  CHECK(both.photographs[1][2][7][9].item<float>() == b.photograph(2, 7, 9));
  REQUIRE(both.maps.size() == 1);
  CHECK(both.maps[0].scalar_type() == torch::kInt64);
  CHECK(both.maps[0][1][20][0].item<int>() == 255);
  CHECK(both.maps[0][0][20][30].item<int>() == a.maps[0](20, 30));
  CHECK((both.points[1] == b.points));
  CHECK(both.seen[1] == box{0, 3, 32, 48});
  auto const hot = multi_hot({{0, 2}, {}, {1}}, 3);
  CHECK(torch::equal(hot, torch::tensor({{1.f, 0.f, 1.f}, {0.f, 0.f, 0.f}, {0.f, 1.f, 0.f}})));
  auto const other = cropped(from.s, {0, 0, 16, 48}, 255, imagenet_colours);
  CAMBIUM_THROWS_SAYING((void)collate({a, other}), precondition_error, "photograph 1 is");
  CAMBIUM_THROWS_SAYING((void)collate({}), precondition_error, "no sample");
  auto c = a;
  c.maps.clear();
  CAMBIUM_THROWS_SAYING((void)collate({a, c}), precondition_error, "sample 1 has 0 maps");
  CAMBIUM_THROWS_SAYING((void)multi_hot({{3}}, 3), precondition_error, "is 3, outside 0..2");
}
