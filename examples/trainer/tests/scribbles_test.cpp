#include "method/scribbles.hpp"
#include "data/drawn_marks.hpp"
#include "data/kept.hpp"
#include "data/scenes.hpp"
#include "discs.hpp"
#include "network/panoptic_deeplab.hpp"

#include <torch/types.h>
#include <torch/utils.h>

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>

#include <algorithm>
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

scenes small_scenes(std::size_t count, std::uint64_t seed = 1)
{
  scene_options o;
  o.count = count, o.height = o.width = 48, o.most = 2, o.seed = seed;
  return scenes(o);
}

scribble_training quick(std::int64_t steps)
{
  auto o = small_scribbles(steps, 48);
  o.batch = 4, o.warm_up = 2, o.threads = 1, o.tree.embedding = 4;
  return o;
}

std::shared_ptr<panoptic_deeplab> fresh(std::size_t classes, std::int64_t width = 4)
{
  torch::manual_seed(5);
  return small_panoptic_deeplab(width, static_cast<std::int64_t>(classes));
}

bool same_bits(torch::nn::Module const& a, torch::nn::Module const& b)
{
  auto const pa = a.parameters(), pb = b.parameters();
  bool same = pa.size() == pb.size();
  for (std::size_t i = 0; same && i < pa.size(); ++i) same = torch::equal(pa[i], pb[i]);
  return same;
}

std::string picture(grid<std::int32_t, 2> const& map)
{
  std::string out;
  for (index_t y = 0; y < map.shape()[0]; ++y) {
    for (index_t x = 0; x < map.shape()[1]; ++x)
      out += map(y, x) == cambium::label::ignore ? '.' : static_cast<char>('0' + map(y, x));
    out += '\n';
  }
  return out;
}

/// An image of `side` columns and rows without marks.
weak_image blank(index_t side = 5)
{
  weak_image out;
  out.id = "it";
  out.photograph = grid<std::uint8_t, 3>(side, side, 3);
  return out;
}

grid<std::int32_t, 2> unmarked(index_t H, index_t W)
{
  grid<std::int32_t, 2> out(H, W);
  std::fill(out.cells().begin(), out.cells().end(), cambium::label::ignore);
  return out;
}

/// City-block steps from a cell to the next cell of another label, or beyond the map.
index_t steps_out(grid<std::int32_t, 2> const& labels, index_t y, index_t x)
{
  index_t const H = labels.shape()[0], W = labels.shape()[1];
  index_t least = std::min({y + 1, H - y, x + 1, W - x});
  for (index_t v = 0; v < H; ++v)
    for (index_t u = 0; u < W; ++u)
      if (labels(v, u) != labels(y, x)) least = std::min(least, std::abs(v - y) + std::abs(u - x));
  return least;
}

/// An image of one grey, brighter where it is marked: by classes 1, 2, ... at these rows and columns.
weak_image bright_marks(index_t H, index_t W, std::vector<std::array<index_t, 2>> const& at)
{
  weak_image out;
  out.id = "it";
  out.photograph = grid<std::uint8_t, 3>(H, W, 3);
  std::fill(out.photograph.cells().begin(), out.photograph.cells().end(), std::uint8_t{100});
  out.scribbles = unmarked(H, W);
  std::int32_t category = 0;
  for (auto const& [y, x] : at) {
    out.scribbles(y, x) = ++category;
    for (index_t c = 0; c < 3; ++c) out.photograph(y, x, c) = 200;
  }
  return out;
}

/// Colours as they are, divided by 255; padding is 0.
scribble_training plain(index_t long_side, index_t crop)
{
  scribble_training o;
  o.augmentation.long_side = long_side, o.augmentation.crop = crop, o.augmentation.multiple = 1;
  o.augmentation.scales = {1};
  o.augmentation.photometric.chance = 0;
  o.augmentation.colours.mean = {0, 0, 0}, o.augmentation.colours.deviation = {1, 1, 1};
  return o;
}

/// How many cells are labelled. Checks that these are the ones at least so bright, and that of the others those of the
/// photograph are unlabelled and those of the padding neither.
index_t labelled_where_bright(scribble_sample const& s, float least)
{
  index_t out = 0;
  auto const [h, w] = s.labels.shape();
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) {
      bool const padding = s.photograph(0, y, x) == 0, bright = s.photograph(0, y, x) >= least;
      INFO("row " << y << ", column " << x);
      REQUIRE((s.labels(y, x) != cambium::label::ignore) == bright);
      REQUIRE(s.unlabelled(y, x) == (padding || bright ? 0 : 1));
      out += bright;
    }
  return out;
}

/// Scenes with other marks than the skeleton of their objects.
class remarked : public dataset {
 public:
  explicit remarked(std::size_t count = 6) : from(small_scenes(count)) {}
  scenes from;
  bool corrected = false;     ///< one pixel of image 4 is marked otherwise
  bool objects_only = false;  ///< the background has no mark
  std::size_t without = 0;    ///< so many images have no mark
  bool small = false;         ///< the scribbles of image 2 are of another size
  std::int32_t stray = -1;    ///< a value in image 3

  std::size_t size() const override { return from.size(); }
  std::vector<std::string> const& class_names() const override { return from.class_names(); }
  std::string id(std::size_t i) const override { return from.id(i); }
  weak_image load(std::size_t i) const override
  {
    auto out = drawn_marks(from, mark_rule::skeleton).load(i);
    if (i < without) out.scribbles = i == 0 ? grid<std::int32_t, 2>() : unmarked(48, 48);
    if (small && i == 2) out.scribbles = unmarked(48, 47);
    if (objects_only) std::replace(out.scribbles.cells().begin(), out.scribbles.cells().end(), 0, 255);
    if (corrected && i == 4) out.scribbles(47, 47) = out.scribbles(47, 47) == 1 ? 2 : 1;
    if (stray >= 0 && i == 3) out.scribbles(5, 7) = stray;
    return out;
  }
  cambium::instances<> truth(std::size_t i) const override { return from.truth(i); }
};

}  // namespace

TEST_CASE("marks are drawn from the truth: a known picture", "[picture]")
{
  cambium::instances<> truth{grid<std::int32_t, 2>(7, 9), {}};
  for (index_t y = 1; y < 4; ++y)
    for (index_t x = 0; x < 9; ++x) truth.label(y, x) = x < 8 ? 1 : -1;
  truth.label(5, 6) = 2;
  truth.found = {{3, 1, 24, {}}, {0, 1, 1, {}}};
  auto const lines = draw_marks(truth, mark_rule::skeleton);
  for (index_t x = 2; x < 6; ++x) CHECK(lines(2, x) == 4);  // the middle of the bar
  for (index_t x = 0; x < 8; ++x) CHECK((lines(1, x) == 255 || lines(3, x) == 255));
  CHECK(lines(5, 6) == 1);
  for (index_t y = 1; y < 4; ++y) CHECK(lines(y, 8) == 255);  // nobody says what is there
  // The deepest cell of the background lies below the bar, of the bar in its middle row.
  CHECK(picture(draw_marks(truth, mark_rule::deepest)) ==
        ".........\n"
        ".........\n"
        ".4.......\n"
        ".........\n"
        ".........\n"
        ".0....1..\n"
        ".........\n");
  truth.label(6, 8) = 3;
  CAMBIUM_THROWS_SAYING((void)draw_marks(truth, mark_rule::deepest), precondition_error,
                        "row 6, column 8 is 3 of 2 objects");
  truth.label(6, 8) = 0, truth.found[0].category = 254;
  CAMBIUM_THROWS_SAYING((void)draw_marks(truth, mark_rule::skeleton), precondition_error, "class 254, outside 0..253");
}

TEST_CASE("drawn marks lie on what they mark, one at least an object", "[property]")
{
  auto const set = small_scenes(12);
  for (auto const rule : {mark_rule::skeleton, mark_rule::deepest}) {
    drawn_marks const marked(set, rule);
    CHECK(marked.weak_labels() != set.weak_labels());
    for (std::size_t i = 0; i < set.size(); ++i) {
      auto const is = set.truth(i);
      auto const marks = marked.load(i).scribbles;
      std::vector<index_t> count(is.found.size() + 1);
      for (index_t y = 0; y < 48; ++y)
        for (index_t x = 0; x < 48; ++x) {
          if (marks(y, x) == 255) continue;
          auto const at = static_cast<std::size_t>(is.label(y, x));
          REQUIRE(marks(y, x) == (at == 0 ? 0 : is.found[at - 1].category + 1));
          ++count[at];
        }
      for (std::size_t k = 0; k < count.size(); ++k) {
        REQUIRE(count[k] > 0);
        if (rule == mark_rule::deepest) REQUIRE(count[k] == 1);
      }
      if (rule != mark_rule::deepest || i > 2) continue;
      std::vector<index_t> most(count.size()), marked_depth(count.size());
      for (index_t y = 0; y < 48; ++y)
        for (index_t x = 0; x < 48; ++x) {
          auto const at = static_cast<std::size_t>(is.label(y, x));
          auto const depth = steps_out(is.label, y, x);
          most[at] = std::max(most[at], depth);
          if (marks(y, x) != 255) marked_depth[at] = depth;
        }
      REQUIRE(most == marked_depth);
    }
  }
}

TEST_CASE("the marks of an image: scribbles, points, the frame", "[picture]")
{
  auto image = blank();
  image.scribbles = unmarked(5, 5);
  image.scribbles(1, 1) = image.scribbles(1, 2) = 2;
  image.scribbles(0, 4) = 1;
  image.points = {{2.6, 3.4, 0, 1}, {1, 2, 1, 1}};
  scribble_training o;
  CHECK(picture(marks_of(image, 2, o)) == "....1\n.22..\n.....\n.....\n.....\n");
  o.points = true;
  CHECK(picture(marks_of(image, 2, o)) == "....1\n.22..\n.....\n...1.\n.....\n");
  o.frame = true;
  CHECK(picture(marks_of(image, 2, o)) == "00001\n022.0\n0...0\n0..10\n00000\n");
  image.scribbles = {};
  o.frame = false;
  CHECK(picture(marks_of(image, 2, o)) == ".....\n..2..\n.....\n...1.\n.....\n");

  CAMBIUM_THROWS_SAYING((void)marks_of(image, 1, o), precondition_error,
                        "image it: point 1 is of class 1, outside 0..0");
  image.points[0].x = 4.5;
  CAMBIUM_THROWS_SAYING((void)marks_of(image, 2, o), precondition_error, "point 0 is at (2.6,4.5), outside");
  image.points[0] = {1, 2, 0, 1};
  CAMBIUM_THROWS_SAYING((void)marks_of(image, 2, o), precondition_error,
                        "point 1 of class 1 is on a mark of another class");
  image.points[0].category = 1;
  CHECK(picture(marks_of(image, 2, o)) == ".....\n..2..\n.....\n.....\n.....\n");
  image.scribbles = unmarked(5, 5);
  image.scribbles(1, 2) = 0;
  CAMBIUM_THROWS_SAYING((void)marks_of(image, 2, o), precondition_error, "on a mark of the background");
  image.scribbles(4, 3) = 3;
  CAMBIUM_THROWS_SAYING((void)marks_of(image, 2, o), precondition_error,
                        "scribble at row 4, column 3 is 3, outside 0..2 and not 255");
  image.scribbles = unmarked(5, 4);
  CAMBIUM_THROWS_SAYING((void)marks_of(image, 2, o), precondition_error, "[5,5] but its scribbles are [5,4]");
}

TEST_CASE("marks spread to the edge of their colour, and not where two are equally near", "[picture]")
{
  auto image = blank();
  for (index_t y = 0; y < 5; ++y)
    for (index_t x = 0; x < 5; ++x)
      for (index_t c = 0; c < 3; ++c) image.photograph(y, x, c) = x < 2 ? 20 : 200;
  image.scribbles = unmarked(5, 5);
  image.scribbles(0, 0) = 2, image.scribbles(4, 0) = 2, image.scribbles(2, 4) = 0;
  scribble_training o;
  CHECK(picture(labels_of_marks(image, marks_of(image, 2, o), o)) == "2....\n.....\n....0\n.....\n2....\n");
  o.spread = true;
  CHECK(picture(labels_of_marks(image, marks_of(image, 2, o), o)) == "22000\n22000\n22000\n22000\n22000\n");
  // One colour: only near the marks is one of them clearly nearer.
  std::fill(image.photograph.cells().begin(), image.photograph.cells().end(), std::uint8_t{9});
  auto const even = labels_of_marks(image, marks_of(image, 2, o), o);
  CHECK((even(0, 0) == 2 && even(2, 4) == 0 && even(0, 1) == 2 && even(2, 3) == 0));
  CHECK(even(0, 3) == 255);
}

TEST_CASE("the sample of an image: each mark moves to its nearest cell, padding is neither labelled nor not",
          "[picture]")
{
  // Half as large: a cell is the mean of four, so the cell of a mark is 125. Rows and columns are even and odd.
  auto const large = bright_marks(10, 14, {{0, 0}, {3, 5}, {6, 3}, {9, 13}});
  for (std::uint64_t const seed : {1, 2, 3, 4, 5, 6, 7, 8}) {
    auto o = plain(7, 8);
    auto const small = sample_of_marks(large, seed, 4, o);
    REQUIRE(small.labels.shape() == std::array<index_t, 2>{8, 8});
    CHECK(labelled_where_bright(small, 0.45f) == 4);
    index_t inside = 0;
    for (auto const v : small.unlabelled.cells()) inside += v;
    CHECK(inside == 5 * 7 - 4);
    auto sorted = small.labels;
    std::sort(sorted.cells().begin(), sorted.cells().end());
    CHECK((sorted(0, 0) == 1 && sorted(0, 1) == 2 && sorted(0, 2) == 3 && sorted(0, 3) == 4 && sorted(0, 4) == 255));

    // Spread nowhere: a resized map would lose the marks in odd rows and columns.
    o.spread = true, o.spreading.limit = 1e-9;
    CHECK(sample_of_marks(large, seed, 4, o).labels == small.labels);
    // Spread everywhere: the padding has no label.
    o.spreading.limit = scribble_training().spreading.limit, o.spreading.confidence = 0;
    auto const spread = sample_of_marks(large, seed, 4, o);
    for (index_t y = 0; y < 8; ++y)
      for (index_t x = 0; x < 8; ++x) {
        bool const padding = spread.photograph(0, y, x) == 0;
        REQUIRE((spread.labels(y, x) == 255) == padding);
        REQUIRE(spread.unlabelled(y, x) == 0);
        if (small.labels(y, x) != 255) REQUIRE(spread.labels(y, x) == small.labels(y, x));
      }
  }
  // Three times as large: the middle of a mark's nine cells alone has its colour. The window holds some of them.
  auto const little = bright_marks(5, 7, {{1, 1}, {1, 5}, {3, 2}, {3, 4}});
  index_t most = 0, least = 4;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    auto const large_sample = sample_of_marks(little, seed, 4, plain(21, 10));
    auto const seen = labelled_where_bright(large_sample, 200.f / 255 - 1e-4f);
    most = std::max(most, seen), least = std::min(least, seen);
  }
  CHECK((most >= 2 && least <= 1));
}

TEST_CASE("train_scribbles: a network learns classes from scribbles and from points", "[property]")
{
  discs const from(24), held_out(30);
  auto const C = from.class_names().size();
  auto const before = semantic_miou(held_out, *fresh(C, 8));
  double miou[4];
  for (int const way : {0, 1, 2, 3}) {  // the marks alone, with trees, spread first, points
    drawn_marks const drawn(from, way == 3 ? mark_rule::deepest : mark_rule::skeleton);
    kept const set(drawn);
    auto o = small_scribbles(100, 32);
    o.threads = 1, o.rate = 6e-3, o.augmentation.photometric.chance = 0;
    if (way == 0) o.tree.weight = 0;
    o.spread = way == 2;
    double first = 0, late = 0;
    training_record record;
    record.each = [&](journal_entry const& e) {
      if (e.step <= 5) first += e.losses[0].second / 5;
      if (e.step > 90) late += e.losses[0].second / 10;
    };
    auto const network = fresh(C, 8);
    (void)train_scribbles(set, network, o, record);
    miou[way] = semantic_miou(held_out, *network);
    INFO("way " << way << ": loss " << first << " to " << late << ", mIoU " << before << " to " << miou[way]);
    CHECK(late < 0.5 * first);
    CHECK(miou[way] > before + 0.5);
  }
  CHECK(miou[1] > miou[0] + 0.03);
}

TEST_CASE("train_scribbles: killed and gone on with, and other workers, are the same to the bit", "[property]")
{
  support::temporary_folder const folder;
  remarked const set(10);  // an epoch of two batches and a rest
  auto const C = set.class_names().size();
  auto const whole = fresh(C), other = fresh(C), killed = fresh(C), resumed = fresh(C);
  auto o = quick(6);
  (void)train_scribbles(set, whole, o);
  CHECK_FALSE(same_bits(*whole, *other));
  o.workers = 0;
  (void)train_scribbles(set, other, o);
  CHECK(same_bits(*whole, *other));

  o.workers = 1;
  training_record record{.checkpoint = folder / "state.ckpt", .checkpoint_every = 3};
  struct kill {};
  record.each = [](journal_entry const& e) {
    if (e.step == 5) throw kill{};
  };
  CHECK_THROWS_AS(train_scribbles(set, killed, o, record), kill);
  record.each = {};
  CHECK_FALSE(same_bits(*whole, *killed));
  auto const last = train_scribbles(set, resumed, o, record);
  CHECK(last.step == 6);
  CHECK(same_bits(*whole, *resumed));
  for (int const which : {0, 1, 2, 3, 4, 5, 6}) {
    auto changed = o;
    if (which == 0) changed.tree.weight = 0.3;
    if (which == 1) changed.tree.low.sigma = 0.01;
    if (which == 2) changed.spread = true;
    if (which == 3) changed.frame = true;
    if (which == 4) changed.tree.high = false;
    if (which == 5) changed.beside = "others";
    if (which == 6) changed.balance = false;
    INFO(which);
    CHECK(support::refusal([&] {
            (void)train_scribbles(set, resumed, changed, record);
          }).find("is of another training") != std::string::npos);
  }
  remarked other_marks(10);
  other_marks.corrected = true;  // one pixel, in a folder of the same name
  REQUIRE(other_marks.weak_labels() == set.weak_labels());
  CHECK(support::refusal([&] {
          (void)train_scribbles(other_marks, resumed, o, record);
        }).find("is of another training") != std::string::npos);
  drawn_marks const points(set.from, mark_rule::deepest);
  CHECK(support::refusal([&] { (void)train_scribbles(points, resumed, o, record); }).find("is of another training") !=
        std::string::npos);
}

TEST_CASE("train_scribbles: each part of the loss changes what is learned", "[property]")
{
  auto const scenes = small_scenes(8);
  drawn_marks const set(scenes, mark_rule::skeleton);
  auto const C = set.class_names().size();
  auto const first = fresh(C);
  auto const o = quick(3);
  auto const last = train_scribbles(set, first, o);
  REQUIRE(last.losses.size() == 2);
  CHECK((last.losses[0].first == "marks" && last.losses[1].first == "tree"));
  CHECK((last.losses[0].second > 0 && last.losses[1].second > 0));
  for (int const which : {0, 1, 2, 3, 4, 5}) {
    auto other = o;
    if (which == 0) other.tree.weight = 0;
    if (which == 1) other.tree.high = false;
    if (which == 2) other.tree.low.sigma = 1;
    if (which == 3) other.spread = true;
    if (which == 4) other.frame = true;
    if (which == 5) other.balance = false;
    auto const network = fresh(C);
    auto const end = train_scribbles(set, network, other);
    INFO(which);
    CHECK(end.losses.size() == (which == 0 ? 1u : 2u));
    CHECK_FALSE(same_bits(*first, *network));
  }
}

TEST_CASE("train_scribbles: what is wrong is named", "[errors]")
{
  remarked set;
  auto const C = set.class_names().size();
  auto const network = fresh(C), fewer = fresh(C - 1);
  auto const refusal = [&](scribble_training const& o) {
    return support::refusal<precondition_error>([&] { (void)train_scribbles(set, network, o); });
  };
  auto const says = [](std::string const& text, std::string const& words) {
    INFO(text);
    CHECK(text.find(words) != std::string::npos);
  };
  CAMBIUM_THROWS_SAYING((void)train_scribbles(set, fewer, quick(1)), precondition_error, "classes but the set");
  CAMBIUM_THROWS_SAYING((void)train_scribbles(set, nullptr, quick(1)), precondition_error, "no network");
  auto o = quick(1);
  o.batch = 7;
  says(refusal(o), "6 images do not fill a batch of 7");
  o = quick(1), o.steps = 0;
  says(refusal(o), "0 steps of 4");
  o = quick(1), o.tree.weight = -1;
  says(refusal(o), "tree.weight is -1; expected a finite number >= 0");
  o = quick(1), o.tree.embedding = 0;
  says(refusal(o), "tree.embedding is 0 channels");
  o = quick(1), o.spreading.confidence = 2;
  says(refusal(o), "spreading.confidence is 2, outside [0,1]");
  o = quick(1), o.spreading.limit = -1;
  says(refusal(o), "spreading.limit is -1; expected a number > 0");
  o = quick(1), o.tree.low.sigma = 0;
  says(refusal(o), "tree.low.sigma is 0; expected a finite number > 0");

  set.without = 1;
  says(refusal(quick(1)), "image " + set.id(0) + " has no marked pixel");
  set.without = 3;
  says(refusal(quick(1)), "image " + set.id(0) + " has no marked pixel, nor have 2 others");
  set.without = 6;
  says(refusal(quick(1)), "no image of the set is marked, neither by a scribble nor by a point");
  o = quick(1), o.frame = true;  // the frame alone teaches background alone
  says(refusal(o), "no image has a mark of a class, so every pixel would be background");
  o = quick(1), o.points = true;  // this set's points are gone
  says(refusal(o), "no image of the set is marked");
  set.without = 0, set.objects_only = true;
  says(refusal(quick(1)), "no image has a mark of the background");
  o = quick(1), o.frame = true;
  (void)train_scribbles(set, network, o);
  set.objects_only = false, set.small = true;
  says(refusal(quick(1)), "image " + set.id(2) + ": the photograph is [48,48] but its scribbles are [48,47]");
  set.small = false, set.stray = 7;
  says(refusal(quick(1)), "image " + set.id(3) + ": the scribble at row 5, column 7 is 7, outside 0..6 and not 255");
}

TEST_CASE("find_semantic: labels of any photograph, resized as in training", "[property]")
{
  auto const network = fresh(6);
  auto const photograph = small_scenes(1).load(0).photograph;
  CHECK((find_semantic(photograph, *network).shape() == std::array<index_t, 2>{48, 48}));
  grid<std::uint8_t, 3> odd(37, 90, 3);
  for (index_t n = 0; n < odd.size(); ++n) odd.data()[n] = static_cast<std::uint8_t>(n * 37 % 251);
  auto const whole = find_semantic(odd, *network), small = find_semantic(odd, *network, {.long_side = 48});
  CHECK((whole.shape() == std::array<index_t, 2>{37, 90} && small.shape() == whole.shape()));
  // The mean over the mirror image has its symmetry.
  auto mirrored = odd;
  for (index_t y = 0; y < 37; ++y)
    for (index_t x = 0; x < 90; ++x)
      for (index_t c = 0; c < 3; ++c) mirrored(y, x, c) = odd(y, 89 - x, c);
  auto const other = find_semantic(mirrored, *network);
  index_t differ = 0;
  for (index_t y = 0; y < 37; ++y)
    for (index_t x = 0; x < 90; ++x) differ += other(y, x) != whole(y, 89 - x);
  CHECK(differ < 34);  // a hundredth: ties within rounding
  CHECK(network->is_training());
  CAMBIUM_THROWS_SAYING((void)find_semantic(odd, *network, {.long_side = -1}), precondition_error, "long_side is -1");
  CAMBIUM_THROWS_SAYING((void)find_semantic(grid<std::uint8_t, 3>(0, 4, 3), *network), precondition_error,
                        "expected [H,W,3]");
}
