#include <cambium/loss/affinity_displacement.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace cambium;

namespace {

struct batch {
  grid<float, 3> logits;
  grid<float, 4> field;
  grid<std::int32_t, 3> labels;

  batch(index_t B, index_t H, index_t W, unsigned seed)
      : logits(support::uniform<float, 3>({B, H, W}, -3, 3, seed)),
        field(support::uniform<float, 4>({B, 2, H, W}, -4, 4, seed + 1)),
        labels(support::uniform<std::int32_t, 3>({B, H / 3 + 1, W}, 0, 3.99, seed + 2))
  {
    auto const coarse = labels;
    labels = grid<std::int32_t, 3>(B, H, W);
    for (index_t b = 0; b < B; ++b)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          auto const v = coarse(b, y / 3, x / 3);
          labels(b, y, x) = v != 3 ? v : (x + y) % 2 == 0 ? label::ignore : -7;
        }
  }
  affinity_loss<float> loss(affinity_loss_options o, cpu const& where = {}) const
  {
    return affinity_displacement_loss<float>(where, logits, field, labels, o);
  }
};

/// The loss by its definition, pair by pair.
affinity_loss_values by_definition(batch const& d, int radius, bool inner)
{
  index_t const B = d.logits.shape()[0], H = d.logits.shape()[1], W = d.logits.shape()[2];
  affinity_loss_values v;
  double sum[3]{}, off_sum[2]{};
  int const reach = radius - 1;
  for (index_t b = 0; b < B; ++b)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x)
        for (int dy = 0; dy < radius; ++dy)
          for (int dx = -reach; dx < radius; ++dx) {
            if (dy == 0 && dx <= 0) continue;
            if (dy * dy + dx * dx >= radius * radius) continue;
            if (inner && (y + reach >= H || x - reach < 0 || x + reach >= W)) continue;
            if (y + dy >= H || x + dx < 0 || x + dx >= W) continue;
            double most = 0;
            for (int py = 0; py <= dy; ++py)
              for (int px = std::min(0, dx); px <= std::max(0, dx); ++px) {
                double const far = std::pow(dy * px - dx * py, 2) / (dy * dy + dx * dx);
                if (far < 1)
                  most = std::max(most, 1 / (1 + std::exp(-static_cast<double>(d.logits(b, y + py, x + px)))));
              }
            auto const p = d.labels(b, y, x), q = d.labels(b, y + dy, x + dx);
            if (p < 0 || q < 0 || p == 255 || q == 255) continue;
            int const kind = p != q ? 2 : p == 0 ? 0 : 1;
            ++v.pairs[kind];
            sum[kind] -= std::log((kind == 2 ? most : 1 - most) + 1e-5);
            if (kind == 2) continue;
            for (index_t axis = 0; axis < 2; ++axis)
              off_sum[kind] += std::abs(static_cast<double>(d.field(b, axis, y, x)) -
                                        static_cast<double>(d.field(b, axis, y + dy, x + dx)) -
                                        (kind == 0   ? 0
                                         : axis == 0 ? dy
                                                     : dx));
          }
  v.background = sum[0] / (static_cast<double>(v.pairs[0]) + 1e-5);
  v.foreground = sum[1] / (static_cast<double>(v.pairs[1]) + 1e-5);
  v.negative = sum[2] / (static_cast<double>(v.pairs[2]) + 1e-5);
  v.field_background = off_sum[0] / (2 * static_cast<double>(v.pairs[0]) + 1e-5);
  v.field_foreground = off_sum[1] / (2 * static_cast<double>(v.pairs[1]) + 1e-5);
  return v;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the loss is its definition", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [B, H, W] = GENERATE(table<int, int, int>({{1, 20, 30}, {3, 37, 21}, {2, 5, 60}}));
  int const radius = GENERATE(2, 3, 5, 10, 12);
  bool const inner = GENERATE(true, false);
  CAPTURE(B, H, W, radius, inner);
  batch const d(B, H, W, 7);
  affinity_loss_options const options{radius, inner ? pair_sources::inner : pair_sources::all};
  auto const& logits = to::there(d.logits);
  auto const& labels = to::there(d.labels);
  auto const& field = to::there(d.field);
  auto const have =
      affinity_displacement_loss<float>(TestType{}, logits.view(), field.view(), labels.view(), options).value;
  auto const want = by_definition(d, radius, inner);
  for (int i = 0; i < 3; ++i) CHECK(have.pairs[i] == want.pairs[i]);
  CHECK(have.background == Approx(want.background).margin(1e-12));
  CHECK(have.foreground == Approx(want.foreground).margin(1e-12));
  CHECK(have.negative == Approx(want.negative).margin(1e-12));
  CHECK(have.field_background == Approx(want.field_background).margin(1e-12));
  CHECK(have.field_foreground == Approx(want.field_foreground).margin(1e-12));
  CHECK(have.total() == Approx(want.total()).margin(1e-12));
}

TEST_CASE("the gradient is the slope", "[loss][property]")
{
  auto const sources = GENERATE(pair_sources::inner, pair_sources::all);
  batch d(2, 18, 22, 5);
  affinity_loss_options const options{4, sources};
  auto const loss = d.loss(options);
  auto const numerical = [&](float& v) {
    float const here = v, above = here + 1e-3f, below = here - 1e-3f;
    v = above;
    double const high = d.loss(options).value.total();
    v = below;
    double const low = d.loss(options).value.total();
    v = here;
    return (high - low) / (static_cast<double>(above) - static_cast<double>(below));
  };
  for (index_t i = 0; i < d.logits.size(); i += 37)
    CHECK(static_cast<double>(loss.boundary.data()[i]) == Approx(numerical(d.logits.data()[i])).margin(2e-6));
  for (index_t i = 0; i < d.field.size(); i += 91)
    CHECK(static_cast<double>(loss.field.data()[i]) == Approx(numerical(d.field.data()[i])).margin(2e-4));
}

TEMPLATE_LIST_TEST_CASE("of equal maxima the first on the path gets the gradient", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // one pair: (0,0) and (0,2); all three cells equal, the destination is first
  grid<float, 3> const logits(1, 1, 3);
  grid<std::int32_t, 3> labels(1, 1, 3);
  labels(0, 0, 0) = 1, labels(0, 0, 1) = 255, labels(0, 0, 2) = 2;
  auto const& there = to::there(logits);
  auto const& known = to::there(labels);
  auto const loss =
      affinity_displacement_loss<float>(TestType{}, there.view(), {}, known.view(), {3, pair_sources::all});
  auto const boundary = to::back(loss.boundary);
  CHECK(loss.value.pairs[2] == 1);
  CHECK(boundary(0, 0, 0) == 0);
  CHECK(boundary(0, 0, 1) == 0);
  CHECK(boundary(0, 0, 2) < 0);
  CHECK(loss.field.size() == 0);
}

TEST_CASE("threads change nothing", "[loss][property]")
{
  batch const d(2, 64, 50, 3);
  auto const want = d.loss({10, pair_sources::inner}, cpu{.threads = 1});
  for (int const threads : {2, 3, 7}) {
    auto const have = d.loss({10, pair_sources::inner}, cpu{.threads = threads});
    CHECK(have.boundary == want.boundary);
    CHECK(have.field == want.field);
    CHECK(have.value.total() == want.value.total());
  }
}

TEST_CASE("instruction sets change roundings only", "[loss][property]")
{
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  auto const sources = GENERATE(pair_sources::inner, pair_sources::all);
  batch const d(2, 40, 51, 9);
  auto const want = d.loss({10, sources}), have = d.loss({10, sources}, cpu{.threads = 2, .vectors = set});
  for (int i = 0; i < 3; ++i) CHECK(have.value.pairs[i] == want.value.pairs[i]);
  CHECK(have.value.total() == Approx(want.value.total()).epsilon(1e-12));
  bool close = true;
  for (index_t i = 0; i < want.boundary.size(); ++i)
    close &= std::abs(have.boundary.data()[i] - want.boundary.data()[i]) < 1e-9f;
  for (index_t i = 0; i < want.field.size(); ++i)
    close &= std::abs(have.field.data()[i] - want.field.data()[i]) < 1e-9f;
  CHECK(close);
}

TEST_CASE("numbers of double size give the same loss", "[loss][property]")
{
  batch const d(1, 30, 41, 4);
  grid<double, 3> logits(1, 30, 41);
  grid<double, 4> field(1, 2, 30, 41);
  std::copy(d.logits.cells().begin(), d.logits.cells().end(), logits.data());
  std::copy(d.field.cells().begin(), d.field.cells().end(), field.data());
  auto const want = d.loss({7, pair_sources::inner});
  auto const have =
      affinity_displacement_loss<double>(cpu{}, logits, field, d.labels, {.radius = 7, .sources = pair_sources::inner});
  CHECK(have.value.total() == want.value.total());
  for (index_t i = 0; i < have.boundary.size(); ++i)
    CHECK(static_cast<float>(have.boundary.data()[i]) == want.boundary.data()[i]);
  for (index_t i = 0; i < have.field.size(); ++i)
    CHECK(static_cast<float>(have.field.data()[i]) == want.field.data()[i]);
}

TEST_CASE("many classes, unknown cells, no pair at all", "[loss][errors]")
{
  batch d(1, 12, 12, 1);
  std::fill(d.labels.cells().begin(), d.labels.cells().end(), label::ignore);
  auto const nothing = d.loss({5, pair_sources::inner});
  CHECK(nothing.value.total() == 0);
  for (float const g : nothing.boundary.cells()) CHECK(g == 0);
  for (float const g : nothing.field.cells()) CHECK(g == 0);
  std::fill(d.labels.cells().begin(), d.labels.cells().end(), 1000);  // any class counts
  CHECK(d.loss({5, pair_sources::inner}).value.pairs[1] > 0);
  CHECK(batch(1, 3, 3, 1).loss({10, pair_sources::inner}).value.total() == 0);  // no source inside
  CHECK(batch(0, 3, 3, 1).loss({10, pair_sources::all}).value.total() == 0);
  // saturated: huge logits give finite losses and slopes
  std::fill(d.logits.cells().begin(), d.logits.cells().end(), 1e30f);
  auto const wall = d.loss({5, pair_sources::all});
  CHECK(wall.value.foreground == Approx(-std::log(1e-5)));
  for (float const g : wall.boundary.cells()) CHECK(g == 0);
}

TEST_CASE("products of many pairs are lowered before they overflow", "[loss][property]")
{
  // Without a boundary a factor is 1.00001: it takes 10^8 pairs to overflow, so sums are set as after most of them.
  constexpr index_t W = 40;
  std::vector<double> const boundary(W, 0.0);
  std::vector<std::int32_t> const labels(W, 0);
  std::vector<double> gradient(W);
  double const slope[3] = {1, 1, 1}, field_slope[2] = {};
  auto const cells = steps_along::of(path::to({0, 1}), W);
  affinity_loss_sums sums;
  std::fill(&sums.product[0][0], &sums.product[0][0] + 3 * sums.lanes, 1e160);
  double const before = sums.minus_log(0);
  affinity_loss_row<float>{.cells = &cells,
                           .step = {0, 1},
                           .stride = W,
                           .first = 0,
                           .last = W - 1,
                           .boundary = boundary.data(),
                           .from = labels.data(),
                           .to = labels.data() + 1,
                           .field_from = {},
                           .field_to = {},
                           .slope = slope,
                           .field_slope = field_slope,
                           .sums = &sums,
                           .boundary_gradient = gradient.data(),
                           .field_gradient = {}}
      .run<16>();
  for (auto const& lanes : sums.product)
    for (double const product : lanes) CHECK(product < 1e11);
  CHECK(sums.minus_log(0) == Approx(before - static_cast<double>(W - 1) * std::log(1.00001)).epsilon(1e-14));
  CHECK(sums.minus_log(2) == Approx(before).epsilon(1e-14));
}

TEST_CASE("the loss rejects what it documents", "[loss][errors]")
{
  batch d(1, 8, 9, 1);
  CAMBIUM_THROWS_SAYING(d.loss({18, pair_sources::all}), precondition_error, "radius 18");
  d.logits(0, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(d.loss({5, pair_sources::all}), precondition_error, "logits(0,2,3) is nan");
  d = batch(1, 8, 9, 1);
  d.field(0, 1, 2, 3) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(d.loss({5, pair_sources::all}), precondition_error, "displacement(0,1,2,3) is inf");
  d = batch(1, 8, 9, 1);
  d.labels = grid<std::int32_t, 3>(1, 8, 8);
  CAMBIUM_THROWS_SAYING(d.loss({5, pair_sources::all}), precondition_error, "[1,8,9] but labels are [1,8,8]");
  d = batch(1, 8, 9, 1);
  d.field = grid<float, 4>(1, 3, 8, 9);
  CAMBIUM_THROWS_SAYING(d.loss({5, pair_sources::all}), precondition_error, "the displacement is [1,3,8,9]");
  CAMBIUM_THROWS_SAYING(quarter_labels(cpu{}, grid<std::int32_t, 2>(8, 10)), precondition_error, "multiples of 4");
}

TEMPLATE_LIST_TEST_CASE("a quarter takes the third of every four", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<std::int32_t, 2> pixels(8, 4);
  for (index_t y = 0; y < 8; ++y)
    for (index_t x = 0; x < 4; ++x) pixels(y, x) = static_cast<std::int32_t>(10 * y + x);
  auto const cells = to::back(quarter_labels(TestType{}, to::there(pixels)));
  CHECK(cells.shape() == std::array<index_t, 2>{2, 1});
  CHECK(cells(0, 0) == 22);
  CHECK(cells(1, 0) == 62);
}

TEMPLATE_LIST_TEST_CASE("IRNet's loss of a device is that of cores", "[loss][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const [B, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {3, 37, 61}, {2, 5, 60}, {0, 4, 5}, {2, 23, 19}}));
  int const radius = GENERATE(1, 2, 5, 10, 17);
  auto const sources = GENERATE(pair_sources::inner, pair_sources::all);
  bool const with_field = GENERATE(true, false);
  CAPTURE(B, H, W, radius, with_field);
  batch const d(B, H, W, 13);
  affinity_loss_options const options{radius, sources};
  view<float const, 4> const field = with_field ? d.field.view() : view<float const, 4>{};
  auto const want = affinity_displacement_loss<float>(cpu{}, d.logits, field, d.labels, options);
  auto const logits = support::copied<TestType>(d.logits);
  auto const displacement = support::copied<TestType>(d.field);
  auto const labels = support::copied<TestType>(d.labels);
  view<float const, 4, S> there;
  if (with_field) there = displacement.view();
  auto const run = [&] {
    return affinity_displacement_loss<float>(TestType{}, logits.view(), there, labels.view(), options);
  };
  auto const have = run(), again = run();
  for (int i = 0; i < 3; ++i) CHECK(have.value.pairs[i] == want.value.pairs[i]);
  CHECK(have.value.background == Approx(want.value.background).epsilon(1e-12));
  CHECK(have.value.foreground == Approx(want.value.foreground).epsilon(1e-12));
  CHECK(have.value.negative == Approx(want.value.negative).epsilon(1e-12));
  CHECK(have.value.field_background == Approx(want.value.field_background).epsilon(1e-12));
  CHECK(have.value.field_foreground == Approx(want.value.field_foreground).epsilon(1e-12));
  CHECK(have.value.total() == again.value.total());
  auto const boundary = to::back(have.boundary);
  CHECK(boundary == to::back(again.boundary));
  REQUIRE(boundary.shape() == want.boundary.shape());
  for (std::size_t i = 0; i < boundary.cells().size(); ++i)
    REQUIRE(boundary.cells()[i] == Approx(want.boundary.cells()[i]).epsilon(1e-6).margin(1e-12));
  if (!with_field) return;
  auto const by_field = to::back(have.field);
  REQUIRE(by_field.shape() == want.field.shape());
  for (std::size_t i = 0; i < by_field.cells().size(); ++i)
    REQUIRE(by_field.cells()[i] == Approx(want.field.cells()[i]).epsilon(1e-6).margin(1e-12));
}

TEMPLATE_LIST_TEST_CASE("of equal maxima a device takes the first on the path, too", "[loss][same]",
                        support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // plateaus everywhere: three heights, so that nearly all maxima are ties
  batch d(1, 30, 33, 5);
  for (auto& v : d.logits.cells()) v = static_cast<float>(static_cast<int>(v / 2));
  auto const want = d.loss({7, pair_sources::all});
  auto const logits = support::copied<TestType>(d.logits);
  auto const labels = support::copied<TestType>(d.labels);
  auto const have =
      affinity_displacement_loss<float>(TestType{}, logits.view(), {}, labels.view(), {7, pair_sources::all});
  auto const boundary = to::back(have.boundary);
  for (std::size_t i = 0; i < boundary.cells().size(); ++i)
    REQUIRE(boundary.cells()[i] == Approx(want.boundary.cells()[i]).epsilon(1e-6).margin(1e-12));
}

TEMPLATE_LIST_TEST_CASE("quarters and errors of a device's loss", "[loss][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const pixels = support::uniform<std::int32_t, 2>({24, 36}, 0, 99, 3);
  CHECK(to::back(quarter_labels(where, support::copied<TestType>(pixels))) == quarter_labels(cpu{}, pixels));
  CAMBIUM_THROWS_SAYING(quarter_labels(where, support::copied<TestType>(grid<std::int32_t, 2>(8, 10))),
                        precondition_error, "multiples of 4");
  batch const d(1, 8, 9, 1), other(1, 8, 8, 1);
  auto const logits = support::copied<TestType>(d.logits), few = support::copied<TestType>(other.logits);
  auto const labels = support::copied<TestType>(d.labels);
  CAMBIUM_THROWS_SAYING(affinity_displacement_loss<float>(where, logits.view(), {}, labels.view(), {.radius = 18}),
                        precondition_error, "radius 18");
  CAMBIUM_THROWS_SAYING(affinity_displacement_loss<float>(where, few.view(), {}, labels.view()), precondition_error,
                        "[1,8,8] but labels are [1,8,9]");
}
