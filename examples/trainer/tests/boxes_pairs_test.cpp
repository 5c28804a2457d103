// Trainings of one seed that see the same exact images in the same steps, and what sigma says of boxes.
#include "method/boxes.hpp"
#include "method/boxes_order.hpp"

#include "discs.hpp"
#include "network/uncertain_head.hpp"
#include "study/boxes_picture.hpp"

#include <cambium/core/label.hpp>
#include <cambium/io/photograph.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
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

/// Discs whose truth is the whole of their boxes: boxes are exact masks there.
class blocks : public discs {
 public:
  using discs::discs;
  cambium::instances<> truth(std::size_t i) const override
  {
    auto out = discs::truth(i);
    auto const b = out.found[0].bounds;
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x) out.label(y, x) = 1;
    return out;
  }
};

boxes_options quick()
{
  boxes_options out;
  out.steps = 8;
  out.width = 8;
  out.exact_share = 0.25;
  out.exact_batch = 2, out.box_batch = 3;
  return out;
}

std::vector<box_sample> weak(dataset const& set, boxes_options const& o)
{
  return read_samples(set, choose_exact(set.size(), o.exact_share, o.seed), o.several);
}

std::vector<box_sample> masks(dataset const& set, boxes_options const& o)
{
  return read_samples(set, std::vector<bool>(set.size(), true), o.several);
}

bool same_bits(boxes_training const& a, boxes_training const& b)
{
  auto const all = [](boxes_training const& t) {
    auto out = t.network->parameters();
    for (auto const& buffer : t.network->buffers()) out.push_back(buffer);
    return out;
  };
  auto const x = all(a), y = all(b);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!at::equal(x[i], y[i])) return false;
  return true;
}

}  // namespace

TEST_CASE("paired trainings see the same exact images in the same steps", "[property]")
{
  std::vector<std::size_t> const exact{3, 5, 8}, others{0, 1, 2, 4, 6, 7};
  auto const options = quick();
  box_batches with(exact, others, options), alone(exact, {}, options);
  REQUIRE((with.size() == 5 && alone.size() == 2));
  std::vector<std::size_t> seen_exact, seen_others;
  for (std::int64_t step = 0; step < 12; ++step) {
    auto const all = with(step), few = alone(step);
    REQUIRE((all.size() == 5 && few.size() == 2));
    REQUIRE(std::equal(few.begin(), few.end(), all.begin()));
    seen_exact.insert(seen_exact.end(), few.begin(), few.end());
    seen_others.insert(seen_others.end(), all.begin() + 2, all.end());
  }
  for (std::size_t from = 0; from < 24; from += 3)  // each pass is in an order of its own and has all
    REQUIRE(std::set<std::size_t>(seen_exact.begin() + static_cast<std::ptrdiff_t>(from),
                                  seen_exact.begin() + static_cast<std::ptrdiff_t>(from + 3))
                .size() == 3);
  for (std::size_t const i : seen_others) REQUIRE(std::count(others.begin(), others.end(), i) == 1);
  // A training that resumes sees the rest.
  box_batches late(exact, others, options);
  auto const at_seven = late(7);
  REQUIRE(std::equal(at_seven.begin(), at_seven.begin() + 2, seen_exact.begin() + 14));
  REQUIRE(std::equal(at_seven.begin() + 2, at_seven.end(), seen_others.begin() + 21));
}

TEST_CASE("trainings whose labels say the same are the same", "[property]")
{
  blocks const set(16);
  bool const several = GENERATE(false, true);
  auto options = quick();
  options.several = several;
  // every box is a mask here, so that boxes taken as masks are the exact baseline
  auto const baseline = train_with(kind::exact, masks(set, options), 2, options);
  REQUIRE(same_bits(baseline, train_with(kind::boxes_as_masks, weak(set, options), 2, options)));
  REQUIRE(!same_bits(baseline, train_with(kind::uncertainty, weak(set, options), 2, options)));
  // the exact part alone hangs on no other image
  auto only_exact = weak(set, options);
  auto const all = only_exact;
  only_exact.erase(std::remove_if(only_exact.begin(), only_exact.end(), [](auto const& s) { return !s.exact; }),
                   only_exact.end());
  REQUIRE((only_exact.size() == 4 && all.size() == 16));
  auto const part = train_with(kind::exact_part, all, 2, options);
  REQUIRE(same_bits(part, train_with(kind::exact_part, only_exact, 2, options)));
  options.box_batch = 1;
  REQUIRE(same_bits(part, train_with(kind::exact_part, all, 2, options)));
  options.exact_batch = 3;
  REQUIRE(!same_bits(part, train_with(kind::exact_part, all, 2, options)));
  // the exact images of a pair may be named: then the baseline sees those
  options = quick();
  options.several = several;
  options.exact_images = std::vector<bool>(16, false);
  for (std::size_t const i : {0u, 6u, 9u, 15u}) options.exact_images[i] = true;
  auto const named = train_with(kind::exact, masks(set, options), 2, options);
  REQUIRE(!same_bits(baseline, named));
  REQUIRE(
      same_bits(named, train_with(kind::boxes_as_masks, read_samples(set, options.exact_images, several), 2, options)));
}

TEST_CASE("a box training that was stopped goes on to the same bits", "[property]")
{
  support::temporary_folder const folder;
  discs const set(16);
  auto options = quick();
  options.exact_batch = options.box_batch = GENERATE(0, 2);
  options.warm_up = 0.25;
  auto const samples = weak(set, options);
  auto const whole = train_with(kind::uncertainty, samples, 2, options);
  training_record record;
  record.checkpoint = folder / "checkpoint.pt", record.checkpoint_every = 3;
  record.each = [](journal_entry const& e) {
    if (e.step == 5) throw std::runtime_error("stopped");
  };
  REQUIRE_THROWS_AS((void)train_with(kind::uncertainty, samples, 2, options, record), std::runtime_error);
  record.each = {};
  auto const rest = train_with(kind::uncertainty, samples, 2, options, record);
  REQUIRE(rest.loss.size() == 5);
  REQUIRE(std::equal(rest.loss.begin(), rest.loss.end(), whole.loss.begin() + 3));
  REQUIRE(same_bits(whole, rest));
  // what other samples made is not gone on with
  std::size_t box_image = 0, exact_image = 0;
  while (samples[box_image].exact) ++box_image;
  while (!samples[exact_image].exact) ++exact_image;
  for (int const which : {0, 1, 2, 3, 4, 5}) {
    auto other = samples;
    auto& boxed = other[box_image];
    if (which == 0) boxed.photograph(0, 0, 1) ^= 1;
    if (which == 1) boxed.boxes[0].bounds.right -= 1;
    if (which == 2) other[exact_image].mask(0, 0) = cambium::label::ignore;
    if (which == 3) boxed.ignored = grid<std::uint8_t, 2>(32, 32), boxed.ignored(31, 31) = 1;
    if (which == 4) boxed.id += "'";
    if (which == 5)  // the same bytes in another shape
      for (auto& s : other) {
        grid<std::uint8_t, 3> flat(16, 64, 3);
        std::copy_n(s.photograph.data(), s.photograph.size(), flat.data());
        s.photograph = std::move(flat);
      }
    INFO("samples " << which);
    CAMBIUM_THROWS_SAYING((void)train_with(kind::uncertainty, other, 2, options, record), std::exception,
                          "is of another training");
  }
  // what another recipe made is not gone on with
  for (int const which : {0, 1, 2, 3, 4, 5}) {
    auto other = options;
    if (which == 0) other.supervision.loss.box_weight = 0.5;
    if (which == 1) other.supervision.bootstrap.confidence = 0.8;
    if (which == 2) other.box_batch += 1, other.exact_batch += 1;
    if (which == 3) other.log_variance = 0;
    if (which == 4) other.boxinst.pairs.dilation = 1;
    if (which == 5) other.supervision.loss.largest_sigma = 6;
    REQUIRE_THROWS((void)train_with(kind::uncertainty, samples, 2, other, record));
  }
}

TEST_CASE("ranks agree with flags as pairs and Pearson's formula say", "[reference]")
{
  // by hand: ranks 1, 2.5, 2.5, 4; of the 4 pairs one is lost, one is equal
  auto const four = agreement_of({0, 1, 1, 2}, {0, 1, 0, 1});
  REQUIRE(four.auc == Approx(0.875));
  std::uint32_t state = 7;
  std::vector<float> value;
  std::vector<std::uint8_t> flag;
  for (int i = 0; i < 300; ++i) {
    state = state * 1664525u + 1013904223u;
    value.push_back(static_cast<float>(state >> 24) / 8);
    flag.push_back((state >> 10) % 7 < 2 || state >> 24 > 200);
  }
  double pairs = 0, won = 0, sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    double below = 0, equal = 0;
    for (std::size_t j = 0; j < 300; ++j) {
      below += value[j] < value[i], equal += value[j] == value[i];
      if (flag[i] == 1 && flag[j] == 0) ++pairs, won += value[i] > value[j] ? 1 : value[i] == value[j] ? 0.5 : 0;
    }
    double const x = below + (equal + 1) / 2, y = flag[i];
    sx += x, sy += y, sxx += x * x, syy += y * y, sxy += x * y;
  }
  auto const got = agreement_of(value, flag);
  REQUIRE(got.auc == Approx(won / pairs));
  REQUIRE(got.spearman == Approx((sxy - sx * sy / 300) / std::sqrt((sxx - sx * sx / 300) * (syy - sy * sy / 300))));
  REQUIRE(agreement_of({1, 1, 1}, {0, 1, 0}).spearman == 0);
  REQUIRE(agreement_of({1, 1, 1}, {0, 1, 0}).auc == 0.5);
  CAMBIUM_THROWS_SAYING((void)agreement_of({1, 2}, {1}), precondition_error, "2 values but 1 flags");
  CAMBIUM_THROWS_SAYING((void)agreement_of({1, 2}, {1, 1}), precondition_error, "2 of 2 flags are set");
  CAMBIUM_THROWS_SAYING((void)agreement_of({1, std::nanf("")}, {1, 0}), precondition_error, "a value is nan");
}

TEST_CASE("sigma is compared where boxes are, and with nothing else", "[property]")
{
  discs const set(6);
  auto options = quick();
  options.exact_share = 0.3;
  auto const boxes = weak(set, options), truth = masks(set, options);
  auto const network = train_with(kind::uncertainty, boxes, 2, options).network;
  auto const got = agreement_in_boxes(*network, boxes, truth, options);
  double cells = 0, wrong = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    if (boxes[i].exact) continue;
    auto const& b = boxes[i].boxes[0].bounds;
    double const disc = static_cast<double>(std::count(truth[i].mask.cells().begin(), truth[i].mask.cells().end(), 1));
    cells += static_cast<double>((b.bottom - b.top) * (b.right - b.left));
    wrong += static_cast<double>((b.bottom - b.top) * (b.right - b.left)) - disc;
  }
  REQUIRE(got.wrong == Approx(wrong / cells));
  // A head of mean that says the same everywhere.
  at::NoGradGuard const no_gradient;
  for (auto const& p : network->named_parameters())
    if (p.key().rfind("mean.", 0) == 0) p.value().fill_(p.key() == "mean.bias" ? -1 : 0);
  auto const all_background = agreement_in_boxes(*network, boxes, truth, options);
  REQUIRE((all_background.found == 1 && all_background.mean.auc == 0.5 && all_background.mean.spearman == 0));
  REQUIRE(all_background.sigma.auc == got.sigma.auc);
  for (auto const& p : network->named_parameters())
    if (p.key() == "mean.bias") p.value().fill_(1);
  REQUIRE(agreement_in_boxes(*network, boxes, truth, options).found == 0);

  CAMBIUM_THROWS_SAYING((void)agreement_in_boxes(*network, boxes, {}, options), precondition_error,
                        "6 images with boxes but 0 truths");
  CAMBIUM_THROWS_SAYING((void)agreement_in_boxes(*network, boxes, boxes, options), precondition_error,
                        "has the truth of");
  // Above the cap all sigma are the same to the loss, and so to the ranks; below it they are as they are.
  auto capped = options;
  capped.supervision.loss.largest_sigma = 1e-6;
  auto const flat = agreement_in_boxes(*network, boxes, truth, capped).sigma;
  REQUIRE((flat.auc == 0.5 && flat.spearman == 0));
  capped.supervision.loss.largest_sigma = 1e15;
  auto const whole = agreement_in_boxes(*network, boxes, truth, capped).sigma;
  REQUIRE((whole.auc != 0.5 && whole.spearman != 0));

  options.supervision.loss.classes = cambium::class_model::mean_field;
  CAMBIUM_THROWS_SAYING((void)agreement_in_boxes(*network, boxes, truth, options), precondition_error,
                        "expected class_model::one_vs_rest");
}

TEST_CASE("a picture shows photograph, boxes, sigma, labels and truth beside each other", "[picture]")
{
  support::temporary_folder const folder;
  discs const set(6);
  auto options = quick();
  options.exact_share = 0.3;
  auto const boxes = weak(set, options), truth = masks(set, options);
  auto const network = small_uncertain_network(1, 8);
  {
    at::NoGradGuard const no_gradient;  // sigma is 2.5 everywhere, half the cap, and all is certainly background
    for (auto const& p : network->named_parameters()) {
      if (p.key().rfind("mean.", 0) == 0) p.value().fill_(p.key() == "mean.bias" ? -10 : 0);
      if (p.key().rfind("log_variance.", 0) == 0)
        p.value().fill_(p.key() == "log_variance.bias" ? 2 * std::log(2.5) : 0);
    }
  }
  study::write_box_pictures(*network, boxes, truth, options, 2, folder / "boxes.png");
  auto const page = cambium::read_photograph(folder / "boxes.png");
  REQUIRE((page.shape()[0] == 2 * 34 - 2 && page.shape()[1] == 5 * 34 - 2));
  index_t row = 0;
  for (std::size_t i = 0; i < boxes.size() && row < 2; ++i) {
    if (boxes[i].exact) continue;
    auto const& b = boxes[i].boxes[0].bounds;
    index_t doubted = 0;
    for (index_t y = 0; y < 32; ++y)
      for (index_t x = 0; x < 32; ++x) {
        auto const shown = [&](index_t column) { return int{page(34 * row + y, 34 * column + x, 1)}; };
        bool const inside = b.top <= y && y < b.bottom && b.left <= x && x < b.right;
        REQUIRE(shown(0) == boxes[i].photograph(y, x, 1));
        REQUIRE(shown(1) == (inside ? 255 : 0));
        REQUIRE(std::abs(shown(2) - 128) <= 1);
        REQUIRE((shown(3) == 0 || (inside && shown(3) == 128)));
        REQUIRE(shown(4) == (truth[i].mask(y, x) > 0 ? 255 : 0));
        doubted += shown(3) == 128;
      }
    // the first cell of each row and column, or a quarter of the box
    index_t const h = b.bottom - b.top, w = b.right - b.left;
    REQUIRE(doubted == std::max(h + w - 1, (h * w + 3) / 4));
    ++row;
  }
  REQUIRE(row == 2);
  CAMBIUM_THROWS_SAYING(study::write_box_pictures(*network, truth, truth, options, 2, folder / "none.png"),
                        precondition_error, "no image with boxes");
}

TEST_CASE("paired trainings name what a step lacks", "[errors]")
{
  discs const set(8);
  auto options = quick();
  auto const none = read_samples(set, std::vector<bool>(8, false), false), all = masks(set, options);
  CAMBIUM_THROWS_SAYING((void)train_with(kind::uncertainty, none, 2, options), precondition_error,
                        "uncertainty: no image is exact, and a step takes 2");
  CAMBIUM_THROWS_SAYING((void)train_with(kind::uncertainty, all, 2, options), precondition_error,
                        "uncertainty: all images are exact, and a step takes 3 others");
  // one kind of images would never be seen
  auto const both = weak(set, options);
  auto const lopsided = [&](kind how, std::int64_t exact, std::int64_t boxes) {
    auto other = options;
    other.exact_batch = exact, other.box_batch = boxes;
    return support::refusal<precondition_error>(
        [&] { (void)train_with(how, how == kind::exact ? all : both, 2, other); });
  };
  for (auto const how : {kind::uncertainty, kind::boxes_as_masks, kind::boxinst, kind::exact}) {
    INFO(name_of(how));
    CHECK(lopsided(how, 4, 0) ==
          "boxes: " + name_of(how) +
              ": 6 images are not exact, and no step takes one; exact_batch (--exact-batch) is 4, so "
              "set box_batch (--box-batch), too");
    CHECK(lopsided(how, 0, 4) ==
          "boxes: " + name_of(how) +
              ": 2 images are exact, and no step takes one; box_batch (--box-batch) is 4, so set "
              "exact_batch (--exact-batch), too");
  }
  CHECK(lopsided(kind::exact_part, 4, 0).empty());
  options.box_batch = 0;  // there are no others
  CHECK(train_with(kind::uncertainty, all, 2, options).loss.size() == 8);
  options.box_batch = 3, options.exact_images = std::vector<bool>(7, true);
  CAMBIUM_THROWS_SAYING((void)train_with(kind::exact, all, 2, options), precondition_error,
                        "exact_images has 7 marks for 8 images");
  options.exact_images.clear();
  // and a training that cannot be is refused without its images
  CAMBIUM_THROWS_SAYING(expects_trainable(kind::exact, {true, false}, options), precondition_error,
                        "exact: not all images have masks");
  CAMBIUM_THROWS_SAYING(expects_trainable(kind::uncertainty, {false, false}, options), precondition_error,
                        "no image is exact, and a step takes 2");
  CHECK_NOTHROW(expects_trainable(kind::uncertainty, {true, false}, options));

  options.exact_batch = 0;
  CAMBIUM_THROWS_SAYING((void)train_with(kind::exact_part, all, 2, options), precondition_error,
                        "exact_part: a step takes no exact image");
  options.exact_batch = -1;
  CAMBIUM_THROWS_SAYING((void)train_with(kind::exact_part, all, 2, options), precondition_error,
                        "a step of -1 exact and 3 other images");
  options.exact_batch = 1, options.log_variance = std::nan("");
  CAMBIUM_THROWS_SAYING((void)train_with(kind::exact_part, all, 2, options), precondition_error, "log_variance is nan");
}
