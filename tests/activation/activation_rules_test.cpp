// Activations by rules and on a device, against the cpu. Peaks have a file of their own.
#include <cambium/activation/background.hpp>
#include <cambium/activation/boundary.hpp>
#include <cambium/activation/class_maps.hpp>
#include <cambium/activation/confident.hpp>
#include <cambium/activation/fuse.hpp>
#include <cambium/activation/normalise.hpp>
#include <cambium/activation/peak_attention.hpp>
#include <cambium/activation/select.hpp>
#include <cambium/activation/smooth.hpp>
#include <cambium/activation/softmax.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

template <class T, int R>
bool same_cells(grid<T, R> const& have, grid<T, R> const& want)
{
  return have.shape() == want.shape() && have.cells() == want.cells();
}

/// Softmax of a cell in double. nvcc 13.0 crashes on the vectors of the cpu's decide, which has tests of its own.
std::vector<double> softmax_at(grid<float, 3> const& scores, index_t y, index_t x)
{
  std::vector<double> p;
  double most = -HUGE_VAL, sum = 0;
  for (index_t l = 0; l < scores.shape()[0]; ++l) most = std::max(most, static_cast<double>(scores(l, y, x)));
  for (index_t l = 0; l < scores.shape()[0]; ++l) p.push_back(std::exp(static_cast<double>(scores(l, y, x)) - most));
  for (double const v : p) sum += v;
  for (double& v : p) v /= sum;
  return p;
}

void check_decision(grid<std::int32_t, 2> const& label, grid<float, 2> const& probability, grid<float, 3> const& scores,
                    grid<float, 3> const* mirrored, std::vector<char> const& allowed)
{
  auto const W = scores.shape()[2];
  REQUIRE(label.size() == scores.shape()[1] * W);
  REQUIRE(probability.shape() == label.shape());
  for (index_t y = 0; y < scores.shape()[1]; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto p = softmax_at(scores, y, x);
      if (mirrored != nullptr) {
        auto const q = softmax_at(*mirrored, y, W - 1 - x);
        for (std::size_t l = 0; l < p.size(); ++l) p[l] = (p[l] + q[l]) / 2;
      }
      std::size_t best = 0;
      for (std::size_t l = 1; l < p.size(); ++l)
        if ((allowed.empty() || allowed[l] != 0) && p[l] > p[best]) best = l;
      auto const chosen = static_cast<std::size_t>(label(y, x));
      REQUIRE(chosen < p.size());
      REQUIRE((chosen == 0 || allowed.empty() || allowed[chosen] != 0));
      if (p[chosen] < p[best] * (1 - 1e-6)) REQUIRE(chosen == best);  // of two that rounding makes equal, either
      REQUIRE(probability(y, x) == Approx(p[best]).epsilon(1e-5).margin(1e-30));
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("rules normalise as the cpu, bit by bit", "[activation][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const [C, H, W] =
      GENERATE(table<int, int, int>({{0, 3, 3}, {3, 0, 3}, {1, 1, 1}, {4, 13, 31}, {2, 90, 100}, {70, 1, 3}}));
  auto const low = GENERATE(-1.0, 0.2);
  CAPTURE(C, H, W, low);
  auto maps = support::uniform<float, 3>({C, H, W}, low, low < 0 ? 1 : 3, 5);
  if (C > 1)
    for (index_t i = 0; i < index_t{H} * W; ++i) maps.data()[i] = 0;  // a channel of zeros
  auto wide = maps;
  if (C == 4) wide(1, 0, 0) = -3e38f, wide(1, 0, 1) = 3e38f;
  auto const there = support::copied<TestType>(maps), far = support::copied<TestType>(wide);
  normalise_scratch<TestType, float> scratch;
  for (auto const by : {normalisation::largest, normalisation::min_max, normalisation::largest_of_all})
    for (bool const relu : {false, true})
      for (double const eps : {0.0, 1e-5}) {
        CAPTURE(static_cast<int>(by), relu, eps);
        normalise_options const options{by, eps, relu};
        REQUIRE(same_cells(to::back(normalise(where, there, options)), normalise(cpu{}, maps, options)));
        REQUIRE(same_cells(to::back(normalise(where, far, options)), normalise(cpu{}, wide, options)));
        auto own = support::copied<TestType>(maps);
        normalise_into(where, own, options, own, scratch);
        REQUIRE(same_cells(to::back(own), normalise(cpu{}, maps, options)));
      }
  CAMBIUM_THROWS_SAYING(normalise(where, there, {.eps = -1}), precondition_error, "eps is -1");
}

TEMPLATE_LIST_TEST_CASE("rules fuse maps as the cpu", "[activation][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const C = GENERATE(0, 1, 5);
  CAPTURE(C);
  grid<float, 3> const maps[3] = {support::uniform<float, 3>({C, 7, 9}, -1, 1, 1),
                                  support::uniform<float, 3>({C, 7, 9}, -1, 1, 2),
                                  support::uniform<float, 3>({C, 30, 1}, -1, 1, 3)};
  auto const a = support::copied<TestType>(maps[0]), b = support::copied<TestType>(maps[1]),
             c = support::copied<TestType>(maps[2]);
  std::vector<scaled_maps<float>> const of_host{{maps[0], false}, {maps[1], true}, {maps[2], true}};
  std::vector<scaled_maps<float, S>> const there{{a.view(), false}, {b.view(), true}, {c.view(), true}};
  for (auto const& [resized, size] :
       {std::pair{extent2{20, 33}, extent2{-1, -1}}, std::pair{extent2{32, 48}, extent2{27, 40}},
        std::pair{extent2{1, 1}, extent2{1, 1}}, std::pair{extent2{5, 5}, extent2{0, 3}}}) {
    auto const want = fuse(cpu{}, of_host, resized, size);
    auto const have = to::back(fuse(where, there, resized, size));
    REQUIRE(have.shape() == want.shape());
    REQUIRE(support::largest_gap(have.cells(), want.cells()) < 1e-6);
  }
  std::vector<int> labels(static_cast<std::size_t>(C), 0);
  for (std::size_t k = 0; k < labels.size(); k += 2) labels[k] = 1;
  auto const want = make_cams(cpu{}, of_host, {45, 50}, labels);
  auto const have = make_cams(where, there, {45, 50}, labels);
  REQUIRE(have.keys == want.keys);
  REQUIRE(to::back(have.strided).shape() == want.strided.shape());
  REQUIRE(to::back(have.full).shape() == want.full.shape());
  REQUIRE(support::largest_gap(to::back(have.strided).cells(), want.strided.cells()) < 2e-6);
  REQUIRE(support::largest_gap(to::back(have.full).cells(), want.full.cells()) < 2e-6);
  CAMBIUM_THROWS_SAYING(fuse(where, there, {4, 4}, {5, 4}), precondition_error, "5 x 4 cells are wanted of 4 x 4");
  CAMBIUM_THROWS_SAYING(make_cams(where, there, {4, 4}, std::vector<int>{1, 0, 1}), precondition_error, "3 labels");
}

TEMPLATE_LIST_TEST_CASE("rules enlarge class maps as the cpu", "[activation][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const maps = support::uniform<float, 3>({6, 8, 11}, -1, 1, 1),
             other = support::uniform<float, 3>({6, 8, 11}, -1, 1, 2);
  auto const there = support::copied<TestType>(maps), mirrored = support::copied<TestType>(other);
  for (auto const& classes : {std::vector<std::int32_t>{}, {0}, {5, 2, 2}}) {
    auto const want = class_maps(cpu{}, maps, {33, 45}, classes);
    auto const have = to::back(class_maps(where, there, {33, 45}, classes));
    REQUIRE(have.shape() == want.shape());
    REQUIRE(support::largest_gap(have.cells(), want.cells()) < 2e-6);
  }
  CAMBIUM_THROWS_SAYING(class_maps(where, there, {3, 3}, {6}), precondition_error, "class 6 is outside 0..5");
  REQUIRE(same_cells(to::back(mean_with_mirrored(where, there, mirrored)), mean_with_mirrored(cpu{}, maps, other)));
}

TEMPLATE_LIST_TEST_CASE("rules decide about channels as the cpu", "[activation][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const [C, H, W] = GENERATE(table<int, int, int>({{0, 3, 3}, {1, 1, 1}, {4, 0, 3}, {5, 13, 31}, {3, 40, 65}}));
  CAPTURE(C, H, W);
  auto maps = support::uniform<float, 3>({C, H, W}, -1, 1, 5);
  for (index_t i = 0; i + 1 < maps.size(); i += 3) maps.data()[i] = maps.data()[maps.size() - 1 - i];
  auto const other = support::uniform<float, 3>({C, H, W}, -1, 1, 6);
  auto const there = support::copied<TestType>(maps), mirrored = support::copied<TestType>(other);
  REQUIRE(same_cells(to::back(with_background(where, there, 0.25)), with_background(cpu{}, maps, 0.25)));
  for (double const thres : {-2.0, 0.1, 0.6}) {
    REQUIRE(same_cells(to::back(threshold_labels(where, there, thres)), threshold_labels(cpu{}, maps, thres)));
    auto const fg = threshold_labels(cpu{}, maps, 0.6), bg = threshold_labels(cpu{}, maps, thres);
    auto const f = support::copied<TestType>(fg), b = support::copied<TestType>(bg);
    REQUIRE(same_cells(to::back(join_confident(where, f, b)), join_confident(cpu{}, fg, bg)));
  }
  if (C == 0) return;
  auto const regions = support::uniform<std::int32_t, 2>({H, W}, 0, 4, 3);
  auto const r = support::copied<TestType>(regions);
  std::vector<std::int32_t> const channels{static_cast<std::int32_t>(C - 1), 0, 0, static_cast<std::int32_t>(C / 2)};
  REQUIRE(same_cells(to::back(select(where, there, r, channels)), select(cpu{}, maps, regions, channels)));
  REQUIRE(same_cells(to::back(select(where, there, r, channels, mirrored.view())),
                     select(cpu{}, maps, regions, channels, other.view())));
  for (index_t const kernel : {1, 3, 5, 101})
    REQUIRE(same_cells(to::back(smooth(where, there, kernel)), smooth(cpu{}, maps, kernel)));
  if (H > 3) {
    auto const want = boundary_from_logits(cpu{}, maps.view()[0], maps.view()[1], {H - 1, W - 3});
    auto const have = to::back(boundary_from_logits(where, there.view()[0], there.view()[1], {H - 1, W - 3}));
    REQUIRE(have.shape() == want.shape());
    REQUIRE(support::largest_gap(have.cells(), want.cells()) < 3e-7);
  }
  static_assert(std::is_same_v<decltype(select(where, there, r, channels)), grid<float, 2, S>>);
}

TEMPLATE_LIST_TEST_CASE("rules attend to peaks as the cpu", "[activation][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const [C, H, W] = GENERATE(table<int, int, int>({{0, 3, 3}, {2, 0, 3}, {1, 1, 1}, {5, 13, 31}, {3, 80, 65}}));
  double const low = GENERATE(-1.0, -4.0);
  auto const maps = support::uniform<float, 3>({C, H, W}, low, low + 2, 5);
  auto const gradient = support::uniform<float, 3>({C, H, W}, -1, 1, 6);
  auto const there = support::copied<TestType>(maps), g = support::copied<TestType>(gradient);
  for (double const alpha : {0.0, 0.7, 1.0}) {
    CAPTURE(C, H, W, low, alpha);
    REQUIRE(same_cells(to::back(peak_attention(where, there, {alpha})), peak_attention(cpu{}, maps, {alpha})));
    REQUIRE(same_cells(to::back(peak_attention_gradient(where, there, g, {alpha})),
                       peak_attention_gradient(cpu{}, maps, gradient, {alpha})));
  }
  CAMBIUM_THROWS_SAYING(peak_attention(where, there, {1.5}), precondition_error, "alpha is 1.5");
}

TEMPLATE_LIST_TEST_CASE("rules find the most probable class", "[activation][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const where = support::with_threads<TestType>(3);
  auto const [L, H, W] = GENERATE(table<int, int, int>({{1, 2, 3}, {3, 0, 4}, {2, 1, 1}, {21, 13, 70}}));
  double const size = GENERATE(1.0, 200.0);
  CAPTURE(L, H, W, size);
  auto const scores = support::uniform<float, 3>({L, H, W}, -size, size, 5);
  auto const other = support::uniform<float, 3>({L, H, W}, -size, size, 6);
  auto const there = support::copied<TestType>(scores), mirrored = support::copied<TestType>(other);
  std::vector<char> allowed(static_cast<std::size_t>(L), 1);
  if (L > 5) allowed[0] = allowed[3] = allowed[5] = 0;
  for (bool const both : {false, true})
    for (bool const some : {false, true}) {
      if (some && size > 1) continue;  // what is next to nothing is not told apart
      std::vector<char> const among = some ? allowed : std::vector<char>{};
      stack_view<float const, S> const second = both ? mirrored.view() : stack_view<float const, S>{};
      auto const have = decide(where, there, second, among);
      check_decision(to::back(have.label), to::back(have.probability), scores, both ? &other : nullptr, among);
    }
  auto const labels = support::uniform<std::int32_t, 2>({H, W}, -2, L + 2, 7);
  auto const l = support::copied<TestType>(labels);
  auto const have = to::back(probability_at(where, there, l));
  REQUIRE(have.shape() == labels.shape());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const known = 0 < labels(y, x) && labels(y, x) < L;
      double const want = known ? softmax_at(scores, y, x)[static_cast<std::size_t>(labels(y, x))] : 0;
      REQUIRE(have(y, x) == Approx(want).epsilon(1e-5).margin(1e-30));
    }
  static_assert(std::is_same_v<decltype(decide(where, there)), class_decision<S>>);
}

#if !defined(__CUDACC__)
TEMPLATE_TEST_CASE("rows of every instruction set have the bits of the rule", "[activation][same]", float, double)
{
  support::by_rules const rules{};
  cpu const rows{.threads = 2, .vectors = GENERATE(isa::baseline, isa::avx2, isa::avx512)};
  index_t const W = GENERATE(1, 5, 16, 67, 131);
  CAPTURE(W);
  auto const maps = support::uniform<TestType, 3>({3, 7, W}, -2, 3, 1);
  auto const other = support::uniform<TestType, 3>({3, 7, W}, -2, 3, 2);
  auto const window = [](auto const& g) {  // rows and channels with gaps
    auto v = std::as_const(g).view();
    v.extent[1] -= 1, v.extent[2] -= v.extent[2] > 1;
    return v;
  };
  auto const check = [&](auto const& stage) {
    REQUIRE(same_cells(stage(rows, maps.view(), other.view()), stage(rules, maps.view(), other.view())));
    REQUIRE(same_cells(stage(rows, window(maps), window(other)), stage(rules, window(maps), window(other))));
  };
  check([](auto const& where, auto a, auto) { return with_background(where, a, 0.25); });
  check([](auto const& where, auto a, auto b) { return mean_with_mirrored(where, a, b); });
  check([](auto const& where, auto a, auto b) {
    return boundary_from_logits(where, a[0], b[1], {a.extent[1], a.extent[2]});
  });
  check([](auto const& where, auto a, auto) { return threshold_labels(where, a, 0.5); });
  check([](auto const& where, auto a, auto b) {
    return join_confident(where, threshold_labels(where, a, 1), threshold_labels(where, b, -1));
  });
  check([](auto const& where, auto a, auto) { return class_maps(where, a, {a.extent[1], a.extent[2]}, {2, 0}); });
  for (index_t const kernel : {1, 3, 9, 35})
    check([=](auto const& where, auto a, auto) { return smooth(where, a, kernel); });
  for (auto const by : {normalisation::largest, normalisation::min_max, normalisation::largest_of_all})
    for (bool const relu : {false, true})
      check([=](auto const& where, auto a, auto) { return normalise(where, a, {.by = by, .relu = relu}); });
  check([](auto const& where, auto a, auto) { return peak_attention(where, a); });
  check([](auto const& where, auto a, auto b) { return peak_attention_gradient(where, a, b); });
}
#endif
