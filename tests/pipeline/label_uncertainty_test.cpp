#include <cambium/core/label.hpp>
#include <cambium/pipeline/label_uncertainty.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <cmath>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// One channel: '.' certain 0, '#' certain 1, 'b' boxed 1, 'h' boxed 1/2, '?' ignored, '!' anything else.
support::rows drawn(uncertain_targets<> const& t, index_t c)
{
  support::rows out;
  for (index_t y = 0; y < t.target.shape()[1]; ++y) {
    auto& row = out.emplace_back();
    for (index_t x = 0; x < t.target.shape()[2]; ++x) {
      float const v = t.target(c, y, x);
      int const k = t.trusted(t.trusted.shape()[0] == 1 ? 0 : c, y, x);
      row += k == 1 && v == 0               ? '.'
             : k == 1 && v == 1             ? '#'
             : k == 2 && v == 1             ? 'b'
             : k == 2 && v == 0.5f          ? 'h'
             : k == 1 && v == 0.5f          ? 'H'
             : (k == 0 || k == 2) && v == 0 ? (k == 0 ? '?' : '-')
                                            : '!';
    }
  }
  return out;
}

using picture = std::vector<support::rows>;
picture all(uncertain_targets<> const& t)
{
  picture out;
  for (index_t c = 0; c < t.target.shape()[0]; ++c) out.push_back(drawn(t, c));
  return out;
}

/// What P can reach of an annotation of the host, and its own copies of the maps.
template <class P>
struct known_to {
  using space = typename P::memory;
  grid<std::int32_t, 2, space> mask;
  grid<std::uint8_t, 2, space> ignored;
  weak_annotation<space> known;

  explicit known_to(weak_annotation<> const& from)
  {
    known.boxes = from.boxes;
    auto const carried = [](auto const& map) {
      auto out = make_grid<std::remove_const_t<std::remove_reference_t<decltype(*map.data)>>>(P{}, map.extent);
      copy(P{}, map, out.view());
      return out;
    };
    if (from.mask.data != nullptr) mask = carried(from.mask), known.mask = mask.view();
    if (from.ignored.data != nullptr) ignored = carried(from.ignored), known.ignored = ignored.view();
  }
};

/// box_targets() on P, and back.
template <class P, class T>
uncertain_targets<> targets(grid<T, 3> const& mean, grid<T, 3> const& log_variance, weak_annotation<> const& known,
                            std::int64_t iteration, box_supervision_options const& o = {})
{
  using to = support::carry<P>;
  known_to<P> const there(known);
  auto const got = box_targets(P{}, to::there(mean), to::there(log_variance), there.known, iteration, o);
  return {got, to::back(got.target), to::back(got.trusted)};
}

/// box_supervision() on P, and back.
template <class P, class T>
box_supervision_step<T> supervised(grid<T, 4> const& mean, grid<T, 4> const& log_variance,
                                   std::vector<weak_annotation<>> const& known, std::int64_t iteration,
                                   box_supervision_options const& o = {})
{
  using to = support::carry<P>;
  std::vector<known_to<P>> there;
  std::vector<weak_annotation<typename P::memory>> all;
  for (auto const& k : known) there.emplace_back(k), all.push_back(there.back().known);
  auto const got = box_supervision(P{}, to::there(mean), to::there(log_variance), all, iteration, o);
  box_supervision_step<T> out{got, {}, to::back(got.target), to::back(got.trusted)};
  out.loss.value = got.loss.value;
  out.loss.by_mean = to::back(got.loss.by_mean);
  out.loss.by_log_variance = to::back(got.loss.by_log_variance);
  return out;
}

/// A network that says nothing yet.
struct blank {
  grid<float, 3> mean, log_variance;
  blank(index_t N, index_t H, index_t W) : mean(N, H, W), log_variance(1, H, W) {}
};

box_supervision_options const boxes_only{.bootstrap = {.mode = bootstrap_mode::off}};
box_supervision_options const soft_boxes{.loss = {.classes = class_model::mean_field},
                                         .bootstrap = {.mode = bootstrap_mode::off}};

}  // namespace

TEMPLATE_LIST_TEST_CASE("boxes of two classes overlap", "[pipeline][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  weak_annotation<> const known{{{{0, 0, 1, 3}, 0}, {{0, 2, 1, 4}, 1}}, {}};
  blank const two(2, 1, 5);
  CHECK(all(targets<TestType>(two.mean, two.log_variance, known, 0, boxes_only)) == picture{{"bbb.."}, {"..bb."}});
  // under a softmax they share a pixel, and the background comes first
  blank const three(3, 1, 5);
  CHECK(all(targets<TestType>(three.mean, three.log_variance, known, 0, soft_boxes)) ==
        picture{{"----#"}, {"bbh-."}, {"--hb."}});
}

TEMPLATE_LIST_TEST_CASE("an exact mask stands above boxes and network", "[pipeline][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto mask = support::picture({"0122??"});
  for (auto& v : mask.cells()) v = v == '?' - '0' ? label::ignore : v;
  weak_annotation<> const known{{{{0, 0, 1, 5}, 0}}, mask};
  blank two(2, 1, 6);
  for (float& v : two.mean.cells()) v = 9;
  CHECK(all(targets<TestType>(two.mean, two.log_variance, known, 0, boxes_only)) == picture{{".#..b?"}, {"..##??"}});
  CHECK(all(targets<TestType>(two.mean, two.log_variance, {{}, mask}, 0, boxes_only)) ==
        picture{{".#..??"}, {"..##??"}});
  blank const three(3, 1, 6);
  CHECK(all(targets<TestType>(three.mean, three.log_variance, known, 0, soft_boxes)) ==
        picture{{"#...-?"}, {".#..b?"}, {"..##-?"}});
}

TEMPLATE_LIST_TEST_CASE("crowds are ignored for every class, inside boxes too, where no mask is certain",
                        "[pipeline][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  grid<std::uint8_t, 2> crowd(1, 5);
  crowd(0, 0) = crowd(0, 2) = crowd(0, 4) = 1;
  weak_annotation<> known{{{{0, 0, 1, 3}, 0}, {{0, 2, 1, 4}, 1}}, {}, crowd.view()};
  blank const two(2, 1, 5);
  CHECK(all(targets<TestType>(two.mean, two.log_variance, known, 0, boxes_only)) == picture{{"?b?.?"}, {"?.?b?"}});
  blank const softmax(3, 1, 5);
  auto const soft = targets<TestType>(softmax.mean, softmax.log_variance, known, 0, soft_boxes);
  CHECK(all(soft) == picture{{"?-?-?"}, {"?b?-?"}, {"?-?b?"}});
  grid<std::int32_t, 2> mask(1, 5);
  mask(0, 0) = 1, mask(0, 2) = mask(0, 3) = label::ignore;
  known.mask = mask.view();
  CHECK(all(targets<TestType>(two.mean, two.log_variance, known, 0, boxes_only))[0] == support::rows{"#.??."});
  grid<std::uint8_t, 2> const other(1, 4);
  known.ignored = other.view();
  CAMBIUM_THROWS_SAYING(targets<TestType>(two.mean, two.log_variance, known, 0, boxes_only), precondition_error,
                        "the ignored cells are [1,4]");
}

TEMPLATE_LIST_TEST_CASE("bootstrapping goes class by class", "[pipeline][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // one against the rest: class 0 is sure of the left, gave up the right
  blank two(2, 1, 4);
  two.mean(0, 0, 0) = two.mean(0, 0, 1) = 5, two.mean(0, 0, 2) = two.mean(0, 0, 3) = -9;
  std::fill(two.log_variance.cells().begin(), two.log_variance.cells().end(), -1.f);
  box_supervision_options o{.bootstrap = {.min_fill = 0, .tight = false}};
  weak_annotation<> const known{{{{0, 0, 1, 4}, 0}, {{0, 1, 1, 4}, 1}}, {}};
  auto const got = targets<TestType>(two.mean, two.log_variance, known, 0, o);
  CHECK(all(got) == picture{{"##.."}, {".bbb"}});
  CHECK(got.foreground == 2);
  CHECK(got.background == 2);
  // under a softmax the certain class leaves none to the one with but a box
  blank three(3, 1, 4);
  for (index_t x = 0; x < 4; ++x) three.mean(1, 0, x) = two.mean(0, 0, x);
  std::fill(three.log_variance.cells().begin(), three.log_variance.cells().end(), -1.f);
  three.mean(2, 0, 3) = -9;  // given up by both: background
  o.loss.classes = class_model::mean_field;
  CHECK(all(targets<TestType>(three.mean, three.log_variance, known, 0, o)) == picture{{"..-#"}, {"##-."}, {"..b."}});
  o.bootstrap.unsure = undecided::ignore;
  CHECK(all(targets<TestType>(three.mean, three.log_variance, known, 0, o)) == picture{{"..?#"}, {"##?."}, {"..?."}});
}

TEST_CASE("a class against the background is the difference of two Gaussians", "[pipeline][reference]")
{
  auto const mean = support::uniform<double, 3>({3, 4, 5}, -5, 5, 1);
  auto const s = support::uniform<double, 3>({3, 4, 5}, -5, 5, 2);
  auto const [mu, spread] = class_logit(cpu{}, mean, s, class_model::mean_field, 1);
  for (index_t y = 0; y < 4; ++y)
    for (index_t x = 0; x < 5; ++x) {
      CHECK(mu(y, x) == Approx(mean(2, y, x) - mean(0, y, x)));
      CHECK(spread(y, x) == Approx(std::log(std::exp(s(2, y, x)) + std::exp(s(0, y, x)))));
    }
}

TEMPLATE_LIST_TEST_CASE("targets of a pixel under a softmax sum to 1 or say nothing", "[pipeline][property]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto const mean = support::uniform<double, 3>({4, 12, 15}, -6, 6, seed);
    auto const s = support::uniform<double, 3>({4, 12, 15}, -4, 4, seed + 1);
    weak_annotation<> const known{{{{1, 1, 9, 8}, 0}, {{3, 4, 12, 15}, 1}, {{0, 6, 7, 20}, 2}, {{2, 2, 5, 5}, 0}}, {}};
    box_supervision_options o{.loss = {.classes = class_model::sampled}};
    o.bootstrap.mode = seed % 2 == 0 ? bootstrap_mode::hard : bootstrap_mode::soft;
    o.bootstrap.unsure = seed % 3 == 0 ? undecided::ignore : undecided::keep_box;
    auto const got = targets<TestType>(mean, s, known, 0, o);
    for (index_t y = 0; y < 12; ++y)
      for (index_t x = 0; x < 15; ++x) {
        double sum = 0;
        for (index_t c = 0; c < 4; ++c) sum += static_cast<double>(got.target(c, y, x));
        CHECK(sum == Approx(got.trusted(0, y, x) == trust::ignored ? 0 : 1).margin(1e-6));
      }
  }
}

TEMPLATE_LIST_TEST_CASE("boxes alone teach the shape that a few exact masks show", "[pipeline][property]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  // Discs in boxes; a pixel's colour is all the network sees, and its weights are one (mean, log variance) a colour.
  // Six images have boxes only, one an exact mask. Background colours fill over half of many boxes.
  index_t const B = 7, H = 24, W = 24;
  int const colours = 6;  // 0..2 background, 3..5 object
  grid<std::int32_t, 3> colour(B, H, W), truth(B, H, W);
  std::vector<weak_annotation<>> known(static_cast<std::size_t>(B));
  auto const noise = support::uniform<std::int32_t, 3>({B, H, W}, 0, 2.999, 5);
  for (index_t b = 0; b < B; ++b) {
    index_t const cy = 9 + b % 3, cx = 12 - b % 4, r = 7;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        bool const object = std::abs(y - cy) + std::abs(x - cx) <= r;  // a diamond fills half its box
        truth(b, y, x) = object, colour(b, y, x) = noise(b, y, x) + (object ? 3 : 0);
      }
    if (b > 0)
      known[static_cast<std::size_t>(b)].boxes = {{{cy - r, cx - r, cy + r + 1, cx + r + 1}, 0}};
    else
      known[0].mask = truth.view()[0];
  }
  auto const train = [&](box_supervision_options const& o, int steps) {
    std::vector<double> mu(colours, 0.0), s(colours, 0.0);
    box_supervision_step<double> step;
    for (int i = 0; i < steps; ++i) {
      grid<double, 4> mean(B, 1, H, W), spread(B, 1, H, W);
      for (std::size_t k = 0; k < mean.cells().size(); ++k)
        mean.cells()[k] = mu[static_cast<std::size_t>(colour.cells()[k])],
        spread.cells()[k] = s[static_cast<std::size_t>(colour.cells()[k])];
      step = supervised<TestType>(mean, spread, known, i, o);
      for (std::size_t k = 0; k < mean.cells().size(); ++k) {
        auto const c = static_cast<std::size_t>(colour.cells()[k]);
        mu[c] -= 20 * step.loss.by_mean.cells()[k];
        s[c] -= 20 * step.loss.by_log_variance.cells()[k];
      }
    }
    double right = 0, both = 0;  // intersection and union of the targets with the truth, in box images
    for (index_t b = 1; b < B; ++b)
      for (index_t i = 0; i < H * W; ++i) {
        bool const t = step.target.data()[b * H * W + i] > 0.5, o2 = truth.data()[b * H * W + i] != 0;
        right += t && o2, both += t || o2;
      }
    return right / both;
  };
  box_supervision_options o{.loss = {.largest_sigma = 50},
                            .bootstrap = {.warm_up = 120, .tau_hi = 8, .confidence = 0.7}};
  double const boxes = train(boxes_only, 1), learned = train(o, 200);
  CHECK(boxes < 0.6);
  CHECK(learned > 0.95);
}

TEMPLATE_LIST_TEST_CASE("a batch is its images, and its loss is the loss of its targets", "[pipeline][property]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const mean = support::uniform<float, 4>({2, 3, 9, 11}, -4, 4, 1);
  auto const s = support::uniform<float, 4>({2, 1, 9, 11}, -3, 3, 2);
  std::vector<weak_annotation<>> const known{{{{{1, 1, 8, 8}, 0}, {{2, 3, 9, 11}, 2}}, {}}, {{{{0, 0, 4, 4}, 1}}, {}}};
  for (auto const model : {class_model::one_vs_rest, class_model::mean_field}) {
    if (model == class_model::mean_field && known[0].boxes[1].category == 2) {
      CHECK_THROWS_AS(supervised<TestType>(mean, s, known, 3, {.loss = {.classes = model}}), precondition_error);
      continue;
    }
    box_supervision_options const o{.loss = {.classes = model}};
    auto const got = supervised<TestType>(mean, s, known, 3, o);
    using to = support::carry<TestType>;
    auto const want = label_uncertainty_loss(TestType{}, to::there(mean), to::there(s), to::there(got.target),
                                             to::there(got.trusted), o.loss);
    CHECK(got.loss.value == want.value);
    CHECK(got.loss.by_mean == to::back(want.by_mean));
    auto const second = box_targets(cpu{}, mean.view()[1], s.view()[1], known[1], 3, o);
    for (index_t i = 0; i < second.target.size(); ++i)
      CHECK(second.target.data()[i] == got.target.data()[second.target.size() + i]);
  }
}

TEMPLATE_LIST_TEST_CASE("box supervision rejects what it documents", "[pipeline][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  blank const net(2, 3, 4);
  grid<std::int32_t, 2> mask(3, 4);
  auto const says = [&](weak_annotation<> const& known, box_supervision_options const& o, char const* words) {
    CAMBIUM_THROWS_SAYING(targets<TestType>(net.mean, net.log_variance, known, 0, o), precondition_error, words);
  };
  says({{{{0, 0, 1, 1}, 0}, {{0, 0, 1, 1}, 2}}, {}}, {}, "the category of box 1 is 2, outside 0..1");
  says({{{{0, 0, 1, 1}, -1}}, {}}, {}, "the category of box 0 is -1");
  says({{{{0, 0, 1, 1}, 1}}, {}}, soft_boxes, "the category of box 0 is 1, outside 0..0");
  mask(2, 3) = 3;
  if constexpr (std::is_same_v<TestType, cpu>) says({{}, mask}, {}, "mask(2,3) is 3, outside 0..2 and not 255");
  grid<std::int32_t, 2> const other(3, 5);
  says({{}, other}, {}, "mean is [2,3,4] but the mask is [3,5]");
  says({}, {.bootstrap = {.tau_lo = -1}}, "tau_lo is -1");
  CAMBIUM_THROWS_SAYING(targets<TestType>(net.mean, grid<float, 3>(3, 3, 4), {}, 0), precondition_error,
                        "mean is [2,3,4] but log_variance is [3,3,4]");
  CAMBIUM_THROWS_SAYING(targets<TestType>(grid<float, 3>(0, 3, 4), grid<float, 3>(1, 3, 4), {}, 0, soft_boxes),
                        precondition_error, "a softmax needs a background channel");
  CAMBIUM_THROWS_SAYING(supervised<TestType>(grid<float, 4>(2, 1, 3, 4), grid<float, 4>(2, 1, 3, 4), {{}}, 0),
                        precondition_error, "there are 1 annotations");
}
