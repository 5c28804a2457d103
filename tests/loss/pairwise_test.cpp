#include <cambium/loss/lab.hpp>
#include <cambium/loss/pairwise.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/slopes.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace cambium;

namespace {

struct steps {
  int dy, dx;
};

/// The neighbours by counting rows and columns, the middle left out.
std::vector<steps> neighbours(pairwise_options const& o)
{
  std::vector<steps> out;
  for (int dy = -(o.size / 2); dy <= o.size / 2; ++dy)
    for (int dx = -(o.size / 2); dx <= o.size / 2; ++dx)
      if (dy != 0 || dx != 0) out.push_back({dy * o.dilation, dx * o.dilation});
  return out;
}

struct problem {
  grid<double, 3> logits;
  grid<boxed_instance, 1> instances;
  grid<std::uint32_t, 3> pairs;

  problem(index_t N, index_t H, index_t W, index_t B, pairwise_options const& o, std::uint64_t seed)
      : logits(support::uniform<double, 3>({N, H, W}, -4, 4, seed)), instances(N), pairs(B, H, W)
  {
    std::mt19937_64 bits(seed);
    auto const all = (std::uint32_t{1} << (o.size * o.size - 1)) - 1;
    for (auto& p : pairs.cells()) p = static_cast<std::uint32_t>(bits()) & all;
    for (index_t n = 0; n < N; ++n) {
      auto const any = [&](index_t most) { return static_cast<index_t>(bits() % static_cast<std::uint64_t>(most)); };
      index_t const top = any(H), left = any(W);
      instances(n) = {{top, left, top + 1 + any(H - top), left + 1 + any(W - left)}, any(B)};
      if (n % 5 == 4) instances(n).cells = {};
    }
  }

  /// The value with probabilities and their logarithm, pair by pair.
  double by_definition(pairwise_options const& o) const
  {
    auto const [N, H, W] = logits.shape();
    double sum = 0, count = 0;
    auto const near = neighbours(o);
    for (index_t n = 0; n < N; ++n)
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) {
          box const& b = instances(n).cells;
          if (y < b.top || y >= b.bottom || x < b.left || x >= b.right) continue;
          for (std::size_t k = 0; k < near.size(); ++k) {
            if ((pairs(instances(n).image, y, x) >> k & 1) == 0) continue;
            ++count;
            index_t const qy = y + near[k].dy, qx = x + near[k].dx;
            if (qy < 0 || qx < 0 || qy >= H || qx >= W) continue;
            double const p = 1 / (1 + std::exp(-logits(n, y, x))), q = 1 / (1 + std::exp(-logits(n, qy, qx)));
            sum -= std::log(p * q + (1 - p) * (1 - q));
          }
        }
    return o.warm * sum / std::max(1.0, count);
  }
};

grid<float, 3> floats(grid<double, 3> const& from)
{
  auto out = make_grid<float>({from.shape()[0], from.shape()[1], from.shape()[2]});
  for (std::size_t i = 0; i < from.cells().size(); ++i) out.cells()[i] = static_cast<float>(from.cells()[i]);
  return out;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the pairwise loss is its definition", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [N, H, W, size, dilation] = GENERATE(table<int, int, int, int, int>(
      {{1, 1, 1, 3, 1}, {5, 7, 9, 3, 2}, {4, 20, 37, 5, 1}, {3, 9, 70, 5, 3}, {2, 3, 40, 3, 7}, {0, 4, 5, 3, 2}}));
  CAPTURE(N, H, W, size, dilation);
  pairwise_options const o{.size = size, .dilation = dilation, .warm = 0.25};
  problem const p(N, H, W, 2, o, 5);
  double const want = p.by_definition(o);
  auto const got = pairwise_loss(TestType{}, to::there(p.logits), to::there(p.instances), to::there(p.pairs), o);
  CHECK(got.value == Approx(want).epsilon(1e-12).margin(1e-15));
  auto const z = floats(p.logits);
  auto const single = pairwise_loss(TestType{}, to::there(z), to::there(p.instances), to::there(p.pairs), o);
  CHECK(single.value == Approx(want).epsilon(2e-6).margin(1e-12));
  CHECK(support::largest_gap(to::back(single.gradient).cells(), to::back(got.gradient).cells()) < 1e-6);
}

TEST_CASE("gradients of the pairwise loss are slopes", "[loss][property]")
{
  for (int const size : {3, 5}) {
    pairwise_options const o{.size = size, .dilation = 2, .warm = 40};
    problem p(3, 6, 8, 2, o, 9);
    grid<double, 4> at(1, 3, 6, 8);
    std::copy(p.logits.cells().begin(), p.logits.cells().end(), at.cells().begin());
    support::check_slopes(at, [&] { return pairwise_loss(cpu{}, at.view()[0], p.instances, p.pairs, o); }, 1e-6);
    double largest = 0;
    for (double const g : pairwise_loss(cpu{}, at.view()[0], p.instances, p.pairs, o).gradient.cells())
      largest = std::max(largest, std::abs(g));
    CHECK(largest > 0.1);
  }
}

TEMPLATE_LIST_TEST_CASE("large logits lose nothing", "[loss][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  pairwise_options const o{.dilation = 1};
  grid<float, 3> logits(1, 1, 2);
  grid<boxed_instance, 1> instances(1);
  instances(0).cells = {0, 0, 1, 2};
  grid<std::uint32_t, 3> pairs(1, 1, 2);
  pairs(0, 0, 0) = 1u << 4;  // the neighbour on the right
  struct known {
    float a, b;
    double loss, by_a, by_b;
  };
  double const tiny = std::exp(-20.0) + std::exp(-30.0);
  known const cases[] = {{100, -100, 100 - std::log(2.0), 0.5, -0.5},
                         {1e30f, -2, 2 + std::log1p(std::exp(-2.0)), 0, -1 / (1 + std::exp(-2.0))},
                         {-20, -30, tiny, std::exp(-20.0), std::exp(-30.0)},
                         {0, 0, std::log(2.0), 0, 0},
                         {3e38f, 3e38f, 0, 0, 0}};
  for (known const& k : cases) {
    CAPTURE(k.a, k.b);
    logits(0, 0, 0) = k.a, logits(0, 0, 1) = k.b;
    auto const got = pairwise_loss(TestType{}, to::there(logits), to::there(instances), to::there(pairs), o);
    CHECK(got.value == Approx(k.loss).epsilon(1e-6).margin(1e-30));
    auto const g = to::back(got.gradient);
    CHECK(g(0, 0, 0) == Approx(k.by_a).epsilon(1e-6).margin(1e-7));
    CHECK(g(0, 0, 1) == Approx(k.by_b).epsilon(1e-6).margin(1e-7));
  }
}

TEMPLATE_LIST_TEST_CASE("pairs of similar colours", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const H = 9, W = 13;
  pairwise_options o{.size = GENERATE(3, 5), .dilation = 2, .threshold = 0.2f};
  auto lab = support::uniform<float, 3>({3, H, W}, 0, 4, 6);
  grid<std::uint8_t, 2> counts(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) counts(y, x) = y < 7 && x != 4;
  auto const similar = to::back(colour_similarity(TestType{}, to::there(lab), to::there(counts), o));
  auto const bits = to::back(similar_pairs(TestType{}, to::there(lab), to::there(counts), o));
  o.threshold = 0;
  auto const every = to::back(similar_pairs(TestType{}, to::there(lab), to::there(counts), o));
  auto const near = neighbours(o);
  index_t found = 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      for (std::size_t k = 0; k < near.size(); ++k) {
        index_t const qy = y + near[k].dy, qx = x + near[k].dx;
        double want = 0;
        if (qy >= 0 && qx >= 0 && qy < H && qx < W && counts(qy, qx) != 0)
          want = std::exp(-0.5 * std::hypot(lab(0, y, x) - lab(0, qy, qx), lab(1, y, x) - lab(1, qy, qx),
                                            lab(2, y, x) - lab(2, qy, qx)));
        CHECK(similar(k, y, x) == Approx(want).epsilon(1e-6));
        REQUIRE(std::abs(want - 0.2) > 1e-6);
        CHECK((bits(y, x) >> k & 1) == (want >= 0.2 ? 1u : 0u));
        CHECK((every(y, x) >> k & 1) == 1u);  // 0 reaches the threshold 0
        found += want >= 0.2;
      }
  CHECK(found > 50);
  CHECK(found < H * W * static_cast<index_t>(near.size()) / 2);
}

TEST_CASE("the pairwise loss is the same for any threads, close for any registers", "[loss][property]")
{
  pairwise_options const o{.size = 5, .dilation = 2};
  problem const p(7, 33, 61, 3, o, 2);
  auto const z = floats(p.logits);
  auto const one = pairwise_loss(cpu{.threads = 1}, z, p.instances, p.pairs, o);
  auto const many = pairwise_loss(cpu{.threads = 3}, z, p.instances, p.pairs, o);
  CHECK(one.value == many.value);
  CHECK(one.gradient == many.gradient);
  for (isa const set : {isa::baseline, isa::avx2}) {
    auto const narrow = pairwise_loss(cpu{.threads = 2, .vectors = set}, z, p.instances, p.pairs, o);
    CHECK(narrow.value == Approx(one.value).epsilon(1e-6));
    CHECK(support::largest_gap(narrow.gradient.cells(), one.gradient.cells()) < 1e-8);
  }
}

TEST_CASE("the pairwise loss is symmetric in the sign of logits", "[loss][property]")
{
  pairwise_options const o{};
  problem p(3, 12, 20, 1, o, 4);
  auto const here = pairwise_loss(cpu{}, p.logits, p.instances, p.pairs, o);
  for (double& z : p.logits.cells()) z = -z;
  auto const there = pairwise_loss(cpu{}, p.logits, p.instances, p.pairs, o);
  CHECK(there.value == Approx(here.value).epsilon(1e-12));
  for (std::size_t i = 0; i < here.gradient.cells().size(); ++i)
    CHECK(there.gradient.cells()[i] == Approx(-here.gradient.cells()[i]).margin(1e-15));
}

TEST_CASE("pairs that leave the map count in the divisor", "[loss][picture]")
{
  grid<float, 3> logits(1, 1, 2);
  grid<boxed_instance, 1> instances(1);
  instances(0).cells = {0, 0, 1, 2};
  grid<std::uint32_t, 3> pairs(1, 1, 2);
  std::fill(pairs.cells().begin(), pairs.cells().end(), 255u);  // two pairs of 16 are on the map
  auto const got = pairwise_loss(cpu{}, logits, instances, pairs, {.dilation = 1});
  CHECK(got.value == Approx(2 * std::log(2.0) / 16));
  std::fill(pairs.cells().begin(), pairs.cells().end(), 0u);
  auto const none = pairwise_loss(cpu{}, logits, instances, pairs, {.dilation = 1});
  CHECK(none.value == 0);
  for (float const g : none.gradient.cells()) CHECK(g == 0);
}

TEST_CASE("the warm-up counts from one", "[loss][picture]")
{
  CHECK(pairwise_warm_up(1) == 1e-4);
  CHECK(pairwise_warm_up(5000) == 0.5);
  CHECK(pairwise_warm_up(10000) == 1);
  CHECK(pairwise_warm_up(20000) == 1);
  CHECK(pairwise_warm_up(3, 4) == 0.75);
  CHECK_THROWS_WITH(pairwise_warm_up(0), "pairwise_warm_up: the iteration is 0; the first one is 1");
  CHECK_THROWS_WITH(pairwise_warm_up(1, 0), "pairwise_warm_up: the number of steps is 0; expected 1 or more");
}

TEST_CASE("the pairwise loss refuses what it cannot do", "[loss][errors]")
{
  grid<float, 3> logits(2, 3, 4);
  grid<boxed_instance, 1> instances(2), three(3);
  grid<std::uint32_t, 3> pairs(1, 3, 4), other(1, 4, 3);
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, three, pairs),
                    "pairwise_loss: logits are [2,3,4] but there are 3 instances");
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, other),
                    "pairwise_loss: logits are [2,3,4] but pairs are [1,4,3]");
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs, {.size = 4}),
                    "pairwise_loss: size is 4; expected 3 or 5");
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs, {.dilation = 0}),
                    "pairwise_loss: dilation is 0, outside 1..1024");
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs, {.warm = -1}),
                    "pairwise_loss: warm is -1; expected a finite number >= 0");
  pairwise_scratch<cpu> scratch(cpu{});
  grid<double, 1> value(1), two(2);
  grid<float, 3> gradient(2, 3, 4), narrow(2, 3, 3);
  CHECK_THROWS_WITH(pairwise_loss_into(cpu{}, logits, instances, pairs, {}, logits, value, scratch),
                    "pairwise_loss: the gradient overlaps an input");
  CHECK_THROWS_WITH(pairwise_loss_into(cpu{}, logits, instances, pairs, {}, narrow, value, scratch),
                    "pairwise_loss: logits are [2,3,4] but gradient is [2,3,3]");
  CHECK_THROWS_WITH(pairwise_loss_into(cpu{}, logits, instances, pairs, {}, gradient, two, scratch),
                    "pairwise_loss: value is [2]; it is one cell");
  instances(1).image = 1;
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs),
                    "pairwise_loss: instances(1) is in image 1, outside 0..0");
  instances(1) = {{0, -1, 2, 2}, 0};
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs),
                    "pairwise_loss: instances(1) has rows 0..2 and columns -1..2 of a map [3,4]");
  instances(1) = {};
  logits(0, 1, 2) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(pairwise_loss(cpu{}, logits, instances, pairs),
                    "pairwise_loss: logits(0,1,2) is inf; expected a finite number");

  grid<float, 3> lab(3, 3, 4), wrong(2, 3, 4);
  grid<std::uint8_t, 2> counts(3, 4);
  CHECK_THROWS_WITH(similar_pairs(cpu{}, wrong, counts), "similar_pairs: lab is [2,3,4] but counts is [3,4]");
  CHECK_THROWS_WITH(colour_similarity(cpu{}, wrong, counts), "colour_similarity: lab is [2,3,4] but counts is [3,4]");
  CHECK_THROWS_WITH(similar_pairs(cpu{}, lab, counts, {.threshold = std::nanf("")}),
                    "similar_pairs: the threshold is nan");
  CHECK_THROWS_WITH(similar_pairs(cpu{}, lab, counts, {.size = 7}), "similar_pairs: size is 7; expected 3 or 5");
  grid<std::uint32_t, 2> small(3, 3);
  CHECK_THROWS_WITH(similar_pairs_into(cpu{}, lab, counts, {}, small),
                    "similar_pairs: out is [3,3] but counts is [3,4]");
}
