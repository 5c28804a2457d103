#include <cambium/affinity/make_transition.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>
#include <utility>

using namespace cambium;

TEMPLATE_LIST_TEST_CASE("make_transition equals power and row sums", "[affinity][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  double const beta = GENERATE(0.5, 1.0, 3.7, 7.5, 10.0, 64.0);
  auto const [H, W, radius] = GENERATE(table<int, int, int>({{1, 1, 2}, {5, 1, 3}, {7, 30, 5}}));
  CAPTURE(beta, H, W, radius);
  auto const edges = stencil::disc(radius);
  auto const affinity = support::uniform<double, 3>({edges.size, H, W}, 0, 1, 11);
  auto const t = make_transition(TestType{}, edges, to::there(affinity), {.beta = beta});
  auto const weight = to::back(t.weight);
  auto const inverse = to::back(t.inverse_degree);
  grid<double, 2> degree(H, W);
  for (auto& d : degree.cells()) d = 1;
  for (int k = 0; k < edges.size; ++k)
    for (int y = 0; y < H; ++y)
      for (int x = 0; x < W; ++x) {
        int const fy = y + edges.at[k].dy, fx = x + edges.at[k].dx;
        bool const inside = fy < H && fx >= 0 && fx < W;
        double const want = inside ? std::pow(affinity(k, y, x), beta) : 0;
        REQUIRE(weight(k, y, x) == Approx(want).epsilon(1e-13));
        if (inside) degree(y, x) += want, degree(fy, fx) += want;
      }
  for (std::size_t i = 0; i < degree.cells().size(); ++i)
    REQUIRE(inverse.cells()[i] == Approx(1 / degree.cells()[i]).epsilon(1e-13));
}

TEMPLATE_LIST_TEST_CASE("affinities that are given away become the weights", "[affinity][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const edges = stencil::disc(4);
  auto const affinity = support::uniform<float, 3>({edges.size, 13, 37}, 0, 1, 23);
  double const beta = GENERATE(3.7, 7.5, 10.0);
  auto const source = support::copied<TestType>(affinity);
  auto const kept = make_transition(TestType{}, edges, source, {.beta = beta});
  auto given = support::copied<TestType>(affinity);
  auto const* const memory = given.view().data;
  auto const t = make_transition(TestType{}, edges, std::move(given), {.beta = beta});
  CHECK(t.weight.view().data == memory);
  CHECK(to::back(t.weight) == to::back(kept.weight));
  CHECK(to::back(t.inverse_degree) == to::back(kept.inverse_degree));
}

TEMPLATE_LIST_TEST_CASE("weights are rounded to 8 bits before degrees are summed", "[affinity][reference]",
                        support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const check = [](auto zero, double beta) {
    using T = decltype(zero);
    auto const edges = stencil::disc(3);
    index_t const H = 9, W = 40;
    auto const affinity = support::uniform<T, 3>({edges.size, H, W}, 0, 1, 19);
    auto const exact = make_transition(cpu{}, edges, affinity, {.beta = beta});
    auto const t =
        make_transition(TestType{}, edges, to::there(affinity), {.beta = beta, .weights = weight_format::bfloat16});
    CHECK(t.format == weight_format::bfloat16);
    auto const weight = to::back(t.weight);
    auto const inverse = to::back(t.inverse_degree);
    grid<double, 2> degree(H, W);
    for (auto& d : degree.cells()) d = 1;
    int changed = 0;
    for (int k = 0; k < edges.size; ++k)
      for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
          int power = 0;  // nearbyint rounds ties to even, as the stage does
          double const fraction = std::frexp(static_cast<double>(exact.weight(k, y, x)), &power);
          double const want = std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), power - 8);
          REQUIRE(static_cast<double>(weight(k, y, x)) == want);
          changed += weight(k, y, x) != exact.weight(k, y, x);
          if (want > 0) degree(y, x) += want, degree(y + edges.at[k].dy, x + edges.at[k].dx) += want;
        }
    CHECK(changed > 1000);
    double const slack = sizeof(T) == 4 ? 1e-7 : 1e-15;
    for (std::size_t i = 0; i < degree.cells().size(); ++i)
      REQUIRE(static_cast<double>(inverse.cells()[i]) == Approx(1 / degree.cells()[i]).epsilon(slack));
  };
  // the power of another device may differ in its last bit: then only powers that are exact have one answer
  double const beta = std::is_same_v<typename TestType::memory, host> ? GENERATE(1.0, 7.5, 3.7) : 1.0;
  check(0.f, beta);
  check(0.0, beta);
}

TEMPLATE_TEST_CASE("make_transition: schedule and rule agree to the last bit", "[affinity][property]", float, double)
{
  auto const edges = stencil::disc(5);
  auto const affinity = support::uniform<TestType, 3>({edges.size, 11, 45}, 0, 1, 13);
  double const beta = GENERATE(7.5, 10.0);
  isa const set = GENERATE(isa::baseline, isa::avx2, isa::avx512);
  auto const format = GENERATE(weight_format::full, weight_format::bfloat16);
  auto const t = make_transition(cpu{.threads = 2, .vectors = set}, edges, affinity, {.beta = beta, .weights = format});
  grid<TestType, 3> weight(edges.size, 11, 45);
  grid<TestType, 2> inverse(11, 45);
  for_each_cell(cpu{.threads = 1}, weight.view().extent,
                rule::sharpen_edge<TestType, host>{edges, power<TestType>::of(beta), round_weight<TestType>(format),
                                                   affinity, weight});
  index_t const cells[3] = {1, 11, 45};
  for_each_cell(cpu{.threads = 1}, cells, rule::invert_degree<TestType, host>{edges, weight.view(), inverse});
  CHECK(t.weight == weight);
  CHECK(t.inverse_degree == inverse);
}

TEST_CASE("an isolated cell keeps itself", "[affinity][picture]")
{
  auto const edges = stencil::disc(3);
  grid<float, 3> const walls(edges.size, 3, 4);
  auto const t = make_transition(cpu{}, edges, walls);
  for (float const w : t.weight.cells()) CHECK(w == 0);
  for (float const d : t.inverse_degree.cells()) CHECK(d == 1);
}

TEST_CASE("make_transition rejects what it documents", "[affinity][errors]")
{
  auto const edges = stencil::disc(2);
  grid<float, 3> affinity(edges.size, 3, 3);
  for (double const beta : {0.0, -1.0, HUGE_VAL, std::nan("")})
    CAMBIUM_THROWS_SAYING(make_transition(cpu{}, edges, affinity, {.beta = beta}), precondition_error, "beta");
  CAMBIUM_THROWS_SAYING(make_transition(cpu{}, edges, grid<float, 3>(affinity.shape()[0], 4, 5), {.beta = 1e-50}),
                        precondition_error, "beta is 1e-50");
  CAMBIUM_THROWS_SAYING(make_transition(cpu{}, stencil::disc(3), affinity), precondition_error, "12 offsets");
  affinity(1, 2, 0) = -0.5f;
  CAMBIUM_THROWS_SAYING(make_transition(cpu{}, edges, affinity), precondition_error, "affinity(1,2,0) is -0.5");
}

TEST_CASE("make_transition refuses stencils outside the half plane", "[affinity][errors]")
{
  stencil s;
  s.size = 1, s.at[0] = {0, -1};
  CAMBIUM_THROWS_SAYING(make_transition(cpu{}, s, grid<float, 3>(1, 4, 5)), precondition_error,
                        "outside the half plane");
}
