#include "method/boxes.hpp"

#include "data/known_truth.hpp"
#include "discs.hpp"
#include "network/uncertain_head.hpp"

#include <cambium/interop/torch.hpp>
#include <cambium/io/file.hpp>

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>

// Catch2 redefines a macro of LibTorch's.
#undef CHECK
#include "support/catch.hpp"
#include "support/temporary.hpp"

using namespace trainer;
using cambium::grid;
using cambium::index_t;
using cambium::precondition_error;
using kind = box_supervision_kind;

namespace {

bool says(std::string const& text, std::string const& words)
{
  UNSCOPED_INFO("message: " << text);
  return text.find(words) != std::string::npos;
}

boxes_options quick()
{
  boxes_options out;
  out.steps = 12;
  out.batch = 4;
  out.width = 8;
  out.warm_up = 0.5;
  return out;
}

double mean_of(std::vector<double> const& v, std::size_t from, std::size_t to)
{
  return std::accumulate(v.begin() + static_cast<std::ptrdiff_t>(from), v.begin() + static_cast<std::ptrdiff_t>(to),
                         0.0) /
         static_cast<double>(to - from);
}

std::vector<at::Tensor> weights(boxes_training const& t)
{
  auto out = t.network->parameters();
  for (auto const& b : t.network->buffers()) out.push_back(b);
  return out;
}

bool same_bits(boxes_training const& a, boxes_training const& b)
{
  if (a.loss != b.loss) return false;
  auto const x = weights(a), y = weights(b);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!at::equal(x[i], y[i])) return false;
  return true;
}

}  // namespace

TEST_CASE("a share of the images is exact, rounded, chosen by the seed", "[property]")
{
  auto const count = [](std::vector<bool> const& v) { return std::count(v.begin(), v.end(), true); };
  REQUIRE(count(choose_exact(100, 0.18, 1)) == 18);
  REQUIRE(count(choose_exact(300, 0.18, 2)) == 54);
  REQUIRE(count(choose_exact(2975, 0.18, 3)) == 536);  // 535.5
  REQUIRE(count(choose_exact(14, 0.18, 3)) == 3);      // 2.52
  REQUIRE(count(choose_exact(2, 0.18, 3)) == 1);       // one at least
  REQUIRE(count(choose_exact(7, 1, 3)) == 7);
  REQUIRE(choose_exact(100, 0.18, 1) == choose_exact(100, 0.18, 1));
  REQUIRE(choose_exact(100, 0.18, 1) != choose_exact(100, 0.18, 2));
}

TEST_CASE("the truth is read for exact images and for no other", "[property]")
{
  discs const set(50);
  auto const exact = choose_exact(set.size(), 0.18, 5);
  auto const samples = read_samples(set, exact, true);
  REQUIRE(set.asked.size() == 9);
  for (std::size_t i = 0; i < 50; ++i) {
    REQUIRE(set.asked.count(i) == exact[i]);
    REQUIRE(samples[i].exact == exact[i]);
    REQUIRE(samples[i].boxes.empty() == exact[i]);
    REQUIRE((samples[i].mask.size() > 0) == exact[i]);
  }
  // Classes as they are, or one foreground.
  auto const lumped = read_samples(set, exact, false);
  for (std::size_t i = 0; i < 50; ++i) {
    std::int32_t const many = exact[i]
                                  ? *std::max_element(samples[i].mask.cells().begin(), samples[i].mask.cells().end())
                                  : samples[i].boxes[0].category + 1;
    std::int32_t const one = exact[i] ? *std::max_element(lumped[i].mask.cells().begin(), lumped[i].mask.cells().end())
                                      : lumped[i].boxes[0].category + 1;
    REQUIRE(many == static_cast<std::int32_t>(i % 2) + 1);
    REQUIRE(one == 1);
  }
}

namespace {

/// Discs, of which only some have a mask.
class half_known : public discs, public known_truth {
 public:
  std::set<std::size_t> known;
  half_known(std::size_t count, std::set<std::size_t> k) : discs(count), known(std::move(k)) {}
  bool has_truth(std::size_t i) const override { return known.count(i) > 0; }
  cambium::instances<> truth(std::size_t i) const override
  {
    if (!has_truth(i)) throw cambium::io_error("there is no truth of disc" + std::to_string(i));
    return discs::truth(i);
  }
};

}  // namespace

TEST_CASE("images with masks are the exact ones where not all have one", "[property]")
{
  half_known const some(8, {2, 5}), none(8, {}), all(8, {0, 1, 2, 3, 4, 5, 6, 7});
  for (std::uint64_t const seed : {1u, 2u, 3u}) {
    REQUIRE(choose_exact(some, 0.5, seed) == std::vector<bool>{false, false, true, false, false, true, false, false});
    REQUIRE(choose_exact(none, 0.5, seed) == std::vector<bool>(8, false));
    REQUIRE(choose_exact(all, 0.5, seed) == choose_exact(8, 0.5, seed));
  }
  REQUIRE(read_samples(some, choose_exact(some, 0.5, 1), false).size() == 8);
  auto const measured = read_measured(some, false);
  REQUIRE((measured.size() == 2 && measured[0].id == "disc2" && measured[1].id == "disc5" && measured[1].exact));
  REQUIRE(read_measured(none, false).empty());
}

TEST_CASE("a list names the exact images", "[errors]")
{
  support::temporary_folder const folder;
  half_known const some(4, {1, 3});
  auto const listed = [&](std::string const& text) {
    cambium::replace_file(folder / "exact.txt", text);
    return listed_exact(some, folder / "exact.txt");
  };
  REQUIRE(listed("disc3\n# another\n\ndisc1") == std::vector<bool>{false, true, false, true});
  REQUIRE(listed("disc3\n") == std::vector<bool>{false, false, false, true});
  CAMBIUM_THROWS_SAYING((void)listed("disc1\ndisc9\n"), cambium::io_error,
                        "exact.txt:2: 'disc9' is no image that is learned from");
  CAMBIUM_THROWS_SAYING((void)listed("disc2\n"), cambium::io_error, "exact.txt:1: 'disc2' has no mask");
  CAMBIUM_THROWS_SAYING((void)listed("# none\n"), cambium::io_error, "exact.txt: names no image");
  REQUIRE_THROWS_AS((void)listed_exact(some, folder / "missing.txt"), cambium::io_error);
}

TEST_CASE("filled boxes: the smaller one lies on top", "[picture]")
{
  auto const mask = filled_boxes({{{1, 1, 3, 3}, 4}, {{0, 0, 4, 5}, 1}, {{3, 4, 9, 9}, 0}}, 4, 6);
  std::string picture;
  for (index_t y = 0; y < 4; ++y) {
    for (index_t x = 0; x < 6; ++x) picture += static_cast<char>('0' + mask(y, x));
    picture += '\n';
  }
  // The third box is larger than the second as drawn, though little of it is on the map.
  REQUIRE(picture ==
          "222220\n"
          "255220\n"
          "255220\n"
          "222221\n");
}

TEST_CASE("the network gives a Gaussian for every pixel of any image", "[property]")
{
  at::manual_seed(1);
  auto const own = small_uncertain_network(3, 8);
  auto const out = own->forward(at::randn({2, 3, 37, 50}));
  REQUIRE((out.mean.sizes() == at::IntArrayRef{2, 3, 37, 50} && out.log_variance.sizes() == out.mean.sizes()));
  uncertain_network shared(small_resnet(8, {}), {.outputs = 4, .shared_spread = true, .width = 8});
  auto const both = shared.forward(at::randn({1, 3, 64, 32}));
  REQUIRE((both.mean.size(1) == 4 && both.log_variance.size(1) == 1 && both.log_variance.size(2) == 64));
  // Before it learns it is as sure as it was told to be.
  REQUIRE(std::abs(out.log_variance.mean().item<double>() + 2) < 0.5);
  // All parameters take part.
  (out.mean.sum() + out.log_variance.sum()).backward();
  for (auto const& p : own->named_parameters()) {
    INFO(p.key());
    REQUIRE(p.value().grad().defined());
  }
  REQUIRE(says(support::refusal<precondition_error>([] { uncertain_network(nullptr, {}); }), "no backbone"));
  REQUIRE(says(support::refusal<precondition_error>([] { uncertain_network(small_resnet(8, {}), {.outputs = 0}); }),
               "0 outputs"));
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)own->forward(at::randn({3, 32, 32})); }),
               "expected [B,3,H,W]"));
}

TEST_CASE("a training is the same whenever it is run, and another with another seed", "[property]")
{
  discs const set(20);
  auto options = quick();
  auto const samples = read_samples(set, choose_exact(set.size(), 0.18, options.seed), false);
  auto const first = train_with(kind::uncertainty, samples, 2, options);
  auto const again = train_with(kind::uncertainty, samples, 2, options);
  REQUIRE(first.loss.size() == 12);
  REQUIRE(same_bits(first, again));
  options.seed = 2;
  REQUIRE(!same_bits(first, train_with(kind::uncertainty, samples, 2, options)));
}

TEST_CASE("exact images are seen as often as is asked", "[property]")
{
  discs const set(20);
  auto options = quick();
  options.warm_up = 1;
  auto const samples = read_samples(set, choose_exact(set.size(), 0.2, options.seed), false);
  options.exact_seen = 0.2;
  auto const as_there_are = train_with(kind::uncertainty, samples, 2, options);
  options.exact_seen = 0;
  REQUIRE(same_bits(as_there_are, train_with(kind::uncertainty, samples, 2, options)));
  options.exact_seen = 0.5;
  REQUIRE(!same_bits(as_there_are, train_with(kind::uncertainty, samples, 2, options)));
  // where there are none but exact ones, nothing is to be shared out
  auto const all = read_samples(set, std::vector<bool>(20, true), false);
  auto const half = train_with(kind::exact, all, 2, options);
  options.exact_seen = 0;
  REQUIRE(same_bits(half, train_with(kind::exact, all, 2, options)));
  options.exact_seen = 1;
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)train_with(kind::exact, all, 2, options); }),
               "exact_seen is 1, outside [0,1)"));
}

TEST_CASE("boxes stay boxes through the warm-up and begin to change then", "[property]")
{
  discs const set(20);
  auto options = quick();
  options.supervision.bootstrap.confidence = 0.5;
  auto const samples = read_samples(set, choose_exact(set.size(), 0.18, options.seed), false);
  auto const t = train_with(kind::uncertainty, samples, 2, options);
  for (std::size_t i = 0; i < 6; ++i) REQUIRE(t.replaced[i] == 0);
  REQUIRE(mean_of(t.replaced, 6, 12) > 0);
  auto const masks = train_with(kind::boxes_as_masks, samples, 2, options);
  REQUIRE(mean_of(masks.replaced, 0, 12) == 0);
}

TEST_CASE("losses fall and networks learn, one foreground or several classes", "[property]")
{
  bool const several = GENERATE(false, true);
  discs const set(24), held_out(30);
  auto options = quick();
  options.several = several;
  options.steps = 100;
  options.rate = 5e-3;
  auto const exact = read_samples(set, std::vector<bool>(24, true), several),
             weak = read_samples(set, choose_exact(24, options.exact_share, options.seed), several),
             measure = read_measured(held_out, several);
  REQUIRE(
      (std::count_if(weak.begin(), weak.end(), [](auto const& s) { return s.exact; }) == 4 && measure.size() == 30));
  for (auto const k : {kind::exact, kind::uncertainty, kind::boxes_as_masks, kind::exact_part, kind::boxinst}) {
    bool told = false;
    auto const t = train_with(
        k, k == kind::exact ? exact : weak, 2, options, {.each = [&](journal_entry const& e) {
          told = told || (e.step == 100 && std::isfinite(e.losses.at(0).second) && e.rate >= 0 && e.epoch > 1);
        }});
    double const iou = figure_of(evaluate(*t.network, measure, 2, options));
    INFO(name_of(k) << " " << iou);
    REQUIRE(told);
    REQUIRE(mean_of(t.loss, 90, 100) < 0.5 * mean_of(t.loss, 0, 5));
    if (k == kind::exact) REQUIRE(iou > 0.8);  // a class that nothing learned makes it 0.63
    if (k == kind::uncertainty || k == kind::boxinst) REQUIRE(iou > 0.5);
  }
}

TEST_CASE("BoxInst's losses see boxes, and nothing of images without", "[property]")
{
  discs const set(12);
  auto options = quick();
  std::vector<bool> const all(12, true), none(12, false);
  auto const exact = read_samples(set, all, false), boxes = read_samples(set, none, false);
  // without boxes it is the plain training, bit by bit
  REQUIRE(same_bits(train_with(kind::boxinst, exact, 2, options), train_with(kind::exact, exact, 2, options)));
  // the same bits again, and others with another weight, colour, or warm-up
  auto const first = train_with(kind::boxinst, boxes, 2, options);
  REQUIRE(same_bits(first, train_with(kind::boxinst, boxes, 2, options)));
  REQUIRE(mean_of(first.replaced, 0, 12) == 0);
  for (int const which : {0, 1, 2, 3}) {
    auto other = options;
    if (which == 0) other.boxinst.weight = 0.5;
    if (which == 1) other.boxinst.pairs.threshold = 0.9f;
    if (which == 2) other.boxinst.warm_up = 1;
    if (which == 3) other.boxinst.projection.smooth = 10;
    REQUIRE(!same_bits(first, train_with(kind::boxinst, boxes, 2, other)));
  }
  // its losses are in the log, and the projection's falls
  options.steps = 60, options.rate = 5e-3;
  std::vector<double> projection, pairwise;
  (void)train_with(kind::boxinst, boxes, 2, options, {.each = [&](journal_entry const& e) {
                     for (auto const& [name, value] : e.losses) {
                       if (name == "projection") projection.push_back(value);
                       if (name == "pairwise") pairwise.push_back(value);
                     }
                   }});
  REQUIRE((projection.size() == 60 && pairwise.size() == 60));
  REQUIRE(mean_of(projection, 50, 60) < 0.7 * mean_of(projection, 0, 5));
  REQUIRE(*std::min_element(pairwise.begin(), pairwise.end()) > 0);

  auto wrong_model = options;
  wrong_model.supervision.loss.classes = cambium::class_model::sampled;
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)train_with(kind::boxinst, boxes, 2, wrong_model); }),
               "boxinst: its losses are of single classes"));
  options.boxinst.warm_up = 2;
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)train_with(kind::boxinst, boxes, 2, options); }),
               "boxinst.warm_up is 2, outside [0,1]"));
  options.boxinst.warm_up = 0, options.boxinst.weight = -1;
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)train_with(kind::boxinst, boxes, 2, options); }),
               "boxinst.weight is -1; expected a finite number >= 0"));
}

TEST_CASE("a figure is the foreground's, or the mean of all", "[reference]")
{
  cambium::confusion_matrix two(2), three(3);
  two.at(0, 0) = 90, two.at(1, 1) = 6, two.at(0, 1) = 3, two.at(1, 0) = 1;
  REQUIRE(figure_of(two) == Approx(0.6));
  three.at(0, 0) = 8, three.at(1, 1) = 2, three.at(2, 2) = 1, three.at(2, 1) = 2;
  REQUIRE(figure_of(three) == Approx((1 + 0.5 + 1.0 / 3) / 3));
}

namespace {

/// Discs in images of which nothing is known but for the box or mask of the disc: crowds all around, or everywhere.
class crowded : public discs {
 public:
  bool everywhere;
  explicit crowded(bool all) : discs(6), everywhere(all) {}

  weak_image load(std::size_t i) const override
  {
    auto out = discs::load(i);
    out.ignored = grid<std::uint8_t, 2>(32, 32);
    auto const mask = truth(i, false);
    for (index_t n = 0; n < out.ignored.size(); ++n) out.ignored.data()[n] = everywhere || mask.label.data()[n] == 0;
    return out;
  }
  grid<std::uint8_t, 2> ignored(std::size_t i) const override { return load(i).ignored; }
};

}  // namespace

TEST_CASE("boxes: crowds are ignored in every training, and never background", "[property]")
{
  std::vector<bool> const all(6, true), none(6, false);
  auto const exact = read_samples(crowded(false), all, false);
  auto const truth = read_samples(discs(6), all, false);
  for (index_t n = 0; n < exact[2].mask.size(); ++n)
    REQUIRE(exact[2].mask.data()[n] == (truth[2].mask.data()[n] == 0 ? 255 : 1));
  CHECK(read_samples(crowded(false), none, false)[2].ignored.size() == 32 * 32);

  for (auto const how : {kind::uncertainty, kind::boxes_as_masks}) {
    auto const unknown = train_with(how, read_samples(crowded(true), none, false), 2, quick());
    auto const known = train_with(how, read_samples(discs(6), none, false), 2, quick());
    CHECK(*std::max_element(unknown.loss.begin(), unknown.loss.end()) == 0);
    CHECK(*std::min_element(known.loss.begin(), known.loss.end()) > 0);
  }
  // Measured by them, a network cannot be wrong where a crowd is.
  auto const network = train_with(kind::exact, truth, 2, quick()).network;
  auto const counts = evaluate(*network, exact, 2, quick());
  CHECK(counts.at(0, 0) + counts.at(0, 1) == 0);
}

namespace {

/// Discs, of one of which not all boxes are known.
class lost : public discs {
 public:
  lost() : discs(6) {}
  weak_image load(std::size_t i) const override
  {
    auto out = discs::load(i);
    if (i == 3) out.boxes.clear(), out.lost_box = "set.json: annotations[3].bbox: is 0 wide and 0 high";
    return out;
  }
};

}  // namespace

TEST_CASE("coco_boxes_lost: an image whose boxes are not all known is no box image", "[errors]")
{
  std::vector<bool> const all(6, true), none(6, false);
  std::vector<std::string> left_out;
  auto const samples = read_samples(lost(), none, false, &left_out);
  REQUIRE(samples.size() == 5);
  CHECK(samples[3].id == "disc4");
  CHECK(left_out == std::vector<std::string>{
                        "disc3: not all of its boxes are known: set.json: annotations[3].bbox: is 0 wide and 0 high"});
  CAMBIUM_THROWS_SAYING((void)read_samples(lost(), none, false), precondition_error,
                        "image disc3: not all of its boxes");
  CHECK(read_samples(lost(), all, false).size() == 6);  // masks concern no box
}

namespace {

/// Discs with one thing wrong.
class wrong : public discs {
 public:
  std::string what;
  explicit wrong(std::string w) : discs(6), what(std::move(w)) {}

  weak_image load(std::size_t i) const override
  {
    auto out = i == 3 && what == "size" ? discs(6, 40).load(3) : discs::load(i);
    if (i != 3) return out;
    if (what == "outside") out.boxes[0].bounds.right = 33;
    if (what == "empty") out.boxes[0].bounds.bottom = out.boxes[0].bounds.top;
    if (what == "category") out.boxes[0].category = 2;
    if (what == "none") out.boxes.clear();
    return out;
  }
  cambium::instances<> truth(std::size_t i) const override
  {
    auto out = discs::truth(i);
    if (i == 3 && what == "truth size") out.label = grid<std::int32_t, 2>(8, 8);
    if (i == 3 && what == "object") out.label(0, 0) = 2;
    if (i == 3 && what == "truth category") out.found[0].category = -1;
    return out;
  }
};

}  // namespace

TEST_CASE("what is wrong is named", "[errors]")
{
  auto const read = [](std::string const& what, bool exact) {
    return support::refusal<precondition_error>(
        [&] { (void)read_samples(wrong(what), std::vector<bool>(6, exact), true); });
  };
  REQUIRE(read("", false).empty());
  REQUIRE(read("", true).empty());
  REQUIRE(says(read("size", false), "image disc3 is [40,40,3] but disc0 is [32,32,3]"));
  REQUIRE(says(read("outside", false), "image disc3: box 0 has rows"));
  REQUIRE(says(read("empty", false), "image disc3: box 0 has rows"));
  REQUIRE(says(read("category", false), "image disc3: box 0 has category 2, outside 0..1"));
  REQUIRE(says(read("none", false), "image disc3 has tags but no boxes"));
  REQUIRE(says(read("truth size", true), "image disc3 is [32,32] but its truth is [8,8]"));
  REQUIRE(says(read("object", true), "image disc3: its truth names object 2 of 1"));
  REQUIRE(says(read("truth category", true), "image disc3: object 0 has category -1"));
  REQUIRE(says(support::refusal<precondition_error>([] { (void)read_samples(discs(5), std::vector<bool>(4), true); }),
               "4 marks for 5 images"));

  REQUIRE(says(support::refusal<precondition_error>([] { (void)choose_exact(0, 0.18, 1); }), "there is no image"));
  for (double const share : {0.0, -0.1, 1.1, std::nan("")})
    REQUIRE(says(support::refusal<precondition_error>([&] { (void)choose_exact(10, share, 1); }), "exact_share is"));

  auto const samples = read_samples(discs(6), {true, false, false, false, false, false}, false);
  auto const train = [&](auto const& change, kind how = kind::uncertainty) {
    auto options = quick();
    options.steps = 1;
    change(options);
    return support::refusal<precondition_error>([&] { (void)train_with(how, samples, 2, options); });
  };
  REQUIRE(train([](auto&) {}).empty());
  REQUIRE(says(train([](auto& o) { o.steps = 0; }), "0 steps"));
  REQUIRE(says(train([](auto& o) { o.batch = 0; }), "a batch of 0"));
  REQUIRE(says(train([](auto& o) { o.rate = 0; }), "rate is 0"));
  REQUIRE(says(train([](auto& o) { o.rate = std::nan(""); }), "rate is"));
  REQUIRE(says(train([](auto& o) { o.width = 0; }), "width is 0"));
  REQUIRE(says(train([](auto& o) { o.warm_up = 1.5; }), "warm_up is 1.5"));
  REQUIRE(says(train([](auto& o) { o.supervision.loss.largest_sigma = 0; }), "largest_sigma is 0"));
  REQUIRE(says(train([](auto&) {}, kind::exact), "exact: image disc1 has no mask"));
  auto const boxes_only = read_samples(discs(3), std::vector<bool>(3), false);
  REQUIRE(
      says(support::refusal<precondition_error>([&] { (void)train_with(kind::exact_part, boxes_only, 2, quick()); }),
           "exact_part has no image to learn from"));
  auto const network = small_uncertain_network(1, 8);
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)evaluate(*network, boxes_only, 2, quick()); }),
               "disc0 has no mask"));
  REQUIRE(says(support::refusal<precondition_error>([&] { (void)evaluate(*network, {}, 2, quick()); }),
               "no image to measure by"));
}
