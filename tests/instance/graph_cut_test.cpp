#include <cambium/instance/graph_cut.hpp>

#include "support/catch.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace cambium;
using support::drawn;
using support::picture;
using support::rows;

namespace {

stencil const four{2, {{0, 1}, {1, 0}}};

stencil offsets_of(int radius) { return radius == 1 ? four : stencil::disc(radius); }

/// The energy by its definition, pair of cells by pair of cells. known: empty, or 0 for cells without data.
template <class T>
double energy_of(std::vector<int> const& label, grid<T, 3> const& unary, stencil const& edges, grid<T, 3> const& weight,
                 double smoothness, std::vector<int> const& known = {})
{
  int const W = static_cast<int>(unary.shape()[2]), n = static_cast<int>(label.size());
  double sum = 0;
  for (int a = 0; a < n; ++a) {
    if (known.empty() || known[a]) sum += static_cast<double>(unary(label[a], a / W, a % W));
    for (int b = 0; b < n; ++b)
      for (int k = 0; k < edges.size; ++k)
        if (b / W - a / W == edges.at[k].dy && b % W - a % W == edges.at[k].dx && label[a] != label[b])
          sum += smoothness * static_cast<double>(weight(k, a / W, a % W));
  }
  return sum;
}

/// The least energy of all label maps.
template <class T>
double least_energy(grid<T, 3> const& unary, stencil const& edges, grid<T, 3> const& weight, double smoothness,
                    std::vector<int> const& known = {})
{
  int const L = static_cast<int>(unary.shape()[0]);
  std::vector<int> label(static_cast<std::size_t>(unary.shape()[1] * unary.shape()[2]), 0);
  double least = energy_of(label, unary, edges, weight, smoothness, known);
  for (;;) {
    std::size_t at = 0;
    while (at < label.size() && ++label[at] == L) label[at++] = 0;
    if (at == label.size()) return least;
    least = std::min(least, energy_of(label, unary, edges, weight, smoothness, known));
  }
}

std::vector<int> flat(grid<std::int32_t, 2> const& label) { return {label.cells().begin(), label.cells().end()}; }

}  // namespace

TEMPLATE_TEST_CASE("two labels: no label map has less energy", "[graph_cut][reference]", float, double)
{
  using T = TestType;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 6}, {5, 1}, {3, 3}, {2, 5}}));
  auto const edges = offsets_of(GENERATE(1, 2, 3));
  double const smoothness = GENERATE(0.0, 0.3, 1.0, 4.0);
  auto const seed = static_cast<unsigned>(GENERATE(range(0, 6)));
  CAPTURE(H, W, edges.size, smoothness, seed);
  auto const unary = support::uniform<T, 3>({2, H, W}, -1, 1, seed);
  auto const weight = support::uniform<T, 3>({edges.size, H, W}, 0, 1, seed + 50);
  auto const have = graph_cut(cpu{}, unary, edges, weight, {.smoothness = smoothness});
  CHECK(have.energy ==
        Approx(energy_of(flat(have.label), unary, edges, weight, smoothness)).epsilon(1e-12).margin(1e-14));
  CHECK(have.energy == Approx(least_energy(unary, edges, weight, smoothness)).epsilon(1e-12).margin(1e-14));
  CHECK((have.settled && have.rounds == 1));
}

TEST_CASE("two labels on sixteen cells", "[graph_cut][reference]")
{
  auto const edges = offsets_of(GENERATE(1, 2));
  auto const unary = support::uniform<float, 3>({2, 4, 4}, 0, 2, 3);
  auto const weight = support::uniform<float, 3>({edges.size, 4, 4}, 0, 1, 4);
  CHECK(graph_cut(cpu{}, unary, edges, weight).energy == Approx(least_energy(unary, edges, weight, 1)).epsilon(1e-12));
}

TEST_CASE("expansions stay within the bound and below their start", "[graph_cut][reference]")
{
  auto const [H, W, L] = GENERATE(table<int, int, int>({{1, 1, 4}, {1, 7, 3}, {3, 3, 3}, {2, 3, 5}, {2, 2, 1}}));
  auto const edges = offsets_of(GENERATE(1, 2));
  double const smoothness = GENERATE(0.0, 0.4, 1.5);
  auto const seed = static_cast<unsigned>(GENERATE(range(0, 5)));
  CAPTURE(H, W, L, edges.size, smoothness, seed);
  auto const unary = support::uniform<double, 3>({L, H, W}, 0, 1, seed);
  auto const weight = support::uniform<double, 3>({edges.size, H, W}, 0, 1, seed + 50);
  auto const start = support::uniform<std::int32_t, 2>({H, W}, 0, L - 0.01, seed + 99);
  double const least = least_energy(unary, edges, weight, smoothness);
  for (bool given : {false, true}) {
    auto const have = given ? graph_cut(cpu{}, unary, edges, weight, start, {.smoothness = smoothness})
                            : graph_cut(cpu{}, unary, edges, weight, {.smoothness = smoothness});
    double const energy = energy_of(flat(have.label), unary, edges, weight, smoothness);
    CHECK(have.settled);
    CHECK(have.energy == Approx(energy).epsilon(1e-12).margin(1e-14));
    CHECK(energy >= least - 1e-12);
    CHECK(energy <= 2 * least + 1e-12);
    if (given) CHECK(energy <= energy_of(flat(start), unary, edges, weight, smoothness) + 1e-12);
    // No expansion of any label, of all 2^cells, is better.
    auto const label = flat(have.label);
    for (int alpha = 0; alpha < L; ++alpha)
      for (int set = 0; set < 1 << (H * W); ++set) {
        auto other = label;
        for (int i = 0; i < H * W; ++i)
          if (set >> i & 1) other[static_cast<std::size_t>(i)] = alpha;
        REQUIRE(energy_of(other, unary, edges, weight, smoothness) >= energy - 1e-12);
      }
  }
}

TEST_CASE("a cell of 255 has no data term", "[graph_cut][reference]")
{
  int const L = GENERATE(2, 3);
  auto const seed = static_cast<unsigned>(GENERATE(range(0, 6)));
  auto unary = support::uniform<double, 3>({L, 3, 3}, -1, 1, seed);
  auto const weight = support::uniform<double, 3>({2, 3, 3}, 0, 1, seed + 9);
  auto start = support::uniform<std::int32_t, 2>({3, 3}, 0, L - 0.01, seed + 5);
  start(0, 1) = start(1, 1) = start(2, 2) = label::ignore;
  std::vector<int> const known{1, 0, 1, 1, 0, 1, 1, 1, 0};
  auto const have = graph_cut(cpu{}, unary, four, weight, start, {.smoothness = 0.6});
  CHECK(have.energy ==
        Approx(energy_of(flat(have.label), unary, four, weight, 0.6, known)).epsilon(1e-12).margin(1e-14));
  double const least = least_energy(unary, four, weight, 0.6, known);
  if (L == 2) CHECK(have.energy == Approx(least).epsilon(1e-12).margin(1e-14));
  CHECK(have.energy >= least - 1e-12);
  for (int l = 0; l < L; ++l) unary(l, 1, 1) = 1000 * l - 7;
  CHECK(graph_cut(cpu{}, unary, four, weight, start, {.smoothness = 0.6}).label == have.label);
}

TEST_CASE("noise goes, borders stay where the weights are weak", "[graph_cut][picture]")
{
  auto const seen = picture({
      "........222",
      ".11.1...222",
      ".1111...2.2",
      ".1.11..1222",
      ".1111...222",
      "........222",
  });
  grid<float, 3> unary(3, 6, 11), weight(2, 6, 11);
  for (index_t y = 0; y < 6; ++y)
    for (index_t x = 0; x < 11; ++x) {
      for (index_t l = 0; l < 3; ++l) unary(l, y, x) = seen(y, x) == l ? 0 : 1;
      bool const here = 1 <= y && y <= 4 && 1 <= x && x <= 4;
      weight(0, y, x) = (here != (1 <= y && y <= 4 && 1 <= x + 1 && x + 1 <= 4)) || x == 7 ? 0.05f : 1;
      weight(1, y, x) = here != (1 <= y + 1 && y + 1 <= 4 && 1 <= x && x <= 4) ? 0.05f : 1;
    }
  auto const have = graph_cut(cpu{}, unary, four, weight);
  rows const want{
      "........222", ".1111...222", ".1111...222", ".1111...222", ".1111...222", "........222",
  };
  CHECK(drawn(have.label) == want);
  CHECK(have.settled);
}

TEST_CASE("the energy never rises from round to round", "[graph_cut][property]")
{
  auto const seed = static_cast<unsigned>(GENERATE(range(0, 4)));
  auto const unary = support::uniform<float, 3>({6, 20, 23}, 0, 1, seed);
  auto const weight = support::uniform<float, 3>({4, 20, 23}, 0, 1, seed + 1);
  auto const start = support::uniform<std::int32_t, 2>({20, 23}, 0, 5.99, seed + 2);
  double before = std::numeric_limits<double>::infinity();
  cut_labels last;
  for (int rounds = 1; rounds <= 8; ++rounds) {
    last = graph_cut(cpu{}, unary, stencil::disc(2), weight, start, {.smoothness = 0.2, .rounds = rounds});
    CHECK(last.energy <= before);
    CHECK(last.rounds <= rounds);
    CHECK((last.settled || last.rounds == rounds));
    before = last.energy;
  }
  CHECK(last.settled);
  auto const again = graph_cut(cpu{.threads = 3}, unary, stencil::disc(2), weight, last.label, {.smoothness = 0.2});
  CHECK(again.label == last.label);
  CHECK(again.energy == last.energy);
}

TEST_CASE("the unit of the energies does not matter", "[graph_cut][property]")
{
  int const L = GENERATE(2, 3);
  double const unit = GENERATE(0x1p-900, 0x1p-200, 0x1p-3, 0x1p90, 0x1p900);
  auto const unary = support::uniform<double, 3>({L, 9, 8}, -1, 1, 1);
  auto const weight = support::uniform<double, 3>({2, 9, 8}, 0, 1, 2);
  auto const want = graph_cut(cpu{}, unary, four, weight, {.smoothness = 0.5});
  auto scaled = unary;
  for (auto& v : scaled.cells()) v *= unit;
  auto const have = graph_cut(cpu{}, scaled, four, weight, {.smoothness = 0.5 * unit});
  CHECK(have.label == want.label);
  CHECK(have.energy == want.energy * unit);
}

TEST_CASE("where nothing ties cells, each takes its cheapest label", "[graph_cut][property]")
{
  int const L = GENERATE(1, 2, 5);
  auto const unary = support::uniform<float, 3>({L, 7, 9}, -1, 1, 1);
  auto const weight = support::uniform<float, 3>({2, 7, 9}, 0, 1, 2);
  grid<std::int32_t, 2> cheapest(7, 9);
  for (index_t y = 0; y < 7; ++y)
    for (index_t x = 0; x < 9; ++x)
      for (int l = 1; l < L; ++l)
        if (unary(l, y, x) < unary(cheapest(y, x), y, x)) cheapest(y, x) = l;
  CHECK(graph_cut(cpu{}, unary, four, weight, {.smoothness = 0}).label == cheapest);
  CHECK(graph_cut(cpu{}, unary, four, grid<float, 3>(2, 7, 9), {.smoothness = 3}).label == cheapest);
  CHECK(graph_cut(cpu{}, unary, stencil{}, grid<float, 3>(0, 7, 9)).label == cheapest);
}

TEST_CASE("where nothing else matters, one label takes all", "[graph_cut][property]")
{
  int const L = GENERATE(2, 4);
  auto const unary = support::uniform<float, 3>({L, 7, 9}, 0, 1, 5);
  grid<float, 3> weight(2, 7, 9);
  for (auto& w : weight.cells()) w = 1;
  std::vector<double> total(static_cast<std::size_t>(L), 0.0);
  for (index_t l = 0; l < L; ++l)
    for (index_t i = 0; i < 63; ++i) total[l] += static_cast<double>(unary(l, i / 9, i % 9));
  auto const best = std::min_element(total.begin(), total.end()) - total.begin();
  auto const have = graph_cut(cpu{}, unary, four, weight, {.smoothness = 1e6});
  for (auto v : have.label.cells()) REQUIRE(v == best);
  CHECK(have.energy == Approx(total[best]));
}

TEST_CASE("without any energy labels stay as they are", "[graph_cut][property]")
{
  auto const start = support::uniform<std::uint8_t, 2>({5, 6}, 0, 2.99, 3);
  auto const kept = graph_cut(cpu{}, grid<float, 3>(3, 5, 6), four, grid<float, 3>(2, 5, 6), start);
  CHECK(std::equal(start.cells().begin(), start.cells().end(), kept.label.cells().begin()));
  CHECK(kept.energy == 0);
  grid<std::int32_t, 2> ones(5, 6);
  std::fill(ones.cells().begin(), ones.cells().end(), 1);
  auto const two = graph_cut(cpu{}, grid<float, 3>(2, 5, 6), four, grid<float, 3>(2, 5, 6), ones);
  CHECK(two.label == grid<std::int32_t, 2>(5, 6));  // two labels: 0 where it does not matter
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 4}, {4, 0}}));
  auto const none = graph_cut(cpu{}, grid<float, 3>(3, H, W), four, grid<float, 3>(2, H, W));
  CHECK((none.label.shape() == std::array<index_t, 2>{H, W} && none.energy == 0 && none.settled));
}

TEST_CASE("weights of edges that leave the grid cost nothing", "[graph_cut][property]")
{
  auto const unary = support::uniform<float, 3>({2, 4, 4}, 0, 1, 5);
  auto weight = support::uniform<float, 3>({4, 4, 4}, 0, 1, 6);
  auto const want = graph_cut(cpu{}, unary, stencil::disc(2), weight);
  for (int k = 0; k < 4; ++k) weight(k, 3, 3) = 1e6f;
  auto const have = graph_cut(cpu{}, unary, stencil::disc(2), weight);
  CHECK(have.label == want.label);
  CHECK(have.energy == want.energy);
}

TEST_CASE("graph_cut rejects what it documents", "[graph_cut][errors]")
{
  auto const unary = support::uniform<double, 3>({3, 4, 5}, 0, 1, 1);
  auto const weight = support::uniform<double, 3>({2, 4, 5}, 0, 1, 2);
  grid<std::int32_t, 2> start(4, 5);
  start(2, 3) = 3;
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, start), precondition_error,
                        "graph_cut: start(2,3) is 3; expected 0..2 or 255");
  start(2, 3) = -1;
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, start), precondition_error, "start(2,3) is -1");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, grid<int, 2>(5, 4)), precondition_error,
                        "unary is [3,4,5] but start is [5,4]");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, stencil::disc(2), weight), precondition_error,
                        "unary is [3,4,5] but weights are [2,4,5] and the stencil has 4 offsets");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, stencil{2, {{0, 1}, {-1, 0}}}, weight), precondition_error,
                        "outside the half plane");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, grid<double, 3>(0, 4, 5), four, weight), precondition_error,
                        "0 labels; expected 1..255");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, grid<double, 3>(256, 4, 5), four, weight), precondition_error, "256 labels");
  for (double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, {.smoothness = bad}), precondition_error,
                          "graph_cut: smoothness is ");
    auto w = weight;
    w(1, 2, 3) = bad;
    CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, w), precondition_error, "graph_cut: weight(1,2,3) is ");
    auto u = unary;
    u(2, 0, 4) = bad;
    if (bad != -1)
      CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, u, four, weight), precondition_error, "graph_cut: unary(2,0,4) is ");
  }
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, {.rounds = 0}), precondition_error, "rounds is 0");
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, unary, four, weight, {.most_bytes = 1000}), precondition_error,
                        "takes about 7400 bytes, more than most_bytes = 1000");
  auto huge = unary;
  for (auto& v : huge.cells()) v = 1e308;
  CAMBIUM_THROWS_SAYING(graph_cut(cpu{}, huge, four, weight), precondition_error, "the energies add up to inf");
}
