#include <cambium/instance/bootstrap.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace cambium;

namespace {

/// '.' certain background, '#' certain foreground, 'b' boxed foreground, '?' ignored, '!' anything else.
support::rows drawn(bootstrapped<> const& b)
{
  support::rows out;
  for (index_t y = 0; y < b.target.shape()[0]; ++y) {
    auto& row = out.emplace_back();
    for (index_t x = 0; x < b.target.shape()[1]; ++x) {
      float const t = b.target(y, x);
      int const k = b.trusted(y, x);
      row += k == 1 && t == 0 ? '.' : k == 1 && t == 1 ? '#' : k == 2 && t == 1 ? 'b' : k == 0 && t == 0 ? '?' : '!';
    }
  }
  return out;
}

/// bootstrap() on P, and back.
template <class P, class T>
bootstrapped<> labels(P const& where, grid<T, 2> const& mean, grid<T, 2> const& log_variance,
                      std::vector<box> const& boxes, std::int64_t iteration, bootstrap_options const& o)
{
  using to = support::carry<P>;
  auto const got = bootstrap(where, to::there(mean), to::there(log_variance), boxes, iteration, o);
  return {got, to::back(got.target), to::back(got.trusted)};
}

/// A network's output as letters: F sure foreground, f weak foreground, n weak background, N sure background, U
/// uncertain.
struct output {
  grid<float, 2> mean, log_variance;

  explicit output(support::rows const& text)
      : mean(text.size(), text[0].size()), log_variance(text.size(), text[0].size())
  {
    for (std::size_t y = 0; y < text.size(); ++y)
      for (std::size_t x = 0; x < text[y].size(); ++x) {
        char const c = text[y][x];
        mean(y, x) = c == 'F' ? 5.f : c == 'f' ? 1.f : c == 'n' ? -1.f : c == 'N' ? -5.f : 0.5f;
        log_variance(y, x) = c == 'U' ? 4.f : c == 'f' ? 1.f : -2.f;  // sigma 7.4, 1.6, 0.37
      }
  }
  template <class P>
  bootstrapped<> boot(std::vector<box> const& boxes, bootstrap_options const& o, std::int64_t iteration = 10) const
  {
    return labels(P{}, mean, log_variance, boxes, iteration, o);
  }
};

bootstrap_options const unguarded{.min_fill = 0, .tight = false};

}  // namespace

TEMPLATE_LIST_TEST_CASE("sure cells become certain, others stay in the box", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const net({
      "FFFFFF",
      "FFfnNU",
      "FFFFFF",
  });
  std::vector<box> const boxes{{1, 1, 3, 6}};
  auto const got = net.boot<TestType>(boxes, unguarded);
  CHECK(drawn(got) == support::rows{"......", ".#bb..", ".#####"});
  CHECK(got.foreground == 6);
  CHECK(got.background == 2);
  CHECK(got.restored == 0);
  auto ignoring = unguarded;
  ignoring.unsure = undecided::ignore;
  CHECK(drawn(net.boot<TestType>(boxes, ignoring)) == support::rows{"......", ".#??..", ".#####"});
}

TEMPLATE_LIST_TEST_CASE("before warm-up, and in mode off, boxes are boxes", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const net({"FFNN", "FNFN"});
  support::rows const untouched{".bbb", ".bbb"};
  auto o = unguarded;
  o.warm_up = 11;
  CHECK(drawn(net.boot<TestType>({{0, 1, 2, 4}}, o, 10)) == untouched);
  CHECK(drawn(net.boot<TestType>({{0, 1, 2, 4}}, o, 11)) != untouched);
  o = unguarded, o.mode = bootstrap_mode::off;
  CHECK(drawn(net.boot<TestType>({{0, 1, 2, 4}}, o)) == untouched);
}

TEMPLATE_LIST_TEST_CASE("a tight box keeps foreground in every row and column", "[instance][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output net({
      "NNNN",
      "NFNN",
      "NNNn",
  });
  net.mean(0, 2) = -4;  // the best of its row and, with the last column's n, of what is left
  auto const got = net.boot<TestType>({{0, 0, 3, 4}}, {.min_fill = 0, .tight = true});
  // row 0: (0,2); row 2 and column 3: the n; column 0: the first of equals
  CHECK(drawn(got) == support::rows{"b.b.", ".#..", "...b"});
}

TEMPLATE_LIST_TEST_CASE("a box keeps its smallest fill, most foreground-like first", "[instance][picture]",
                        support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output net({"NNNN", "NNNN"});
  for (index_t i = 0; i < 8; ++i) net.mean.data()[i] = -10 + static_cast<float>((i * 5) % 8);
  bootstrap_options o{.min_fill = 0.5, .tight = false};
  // ranks of the means: 0 5 2 7 / 4 1 6 3
  auto const got = net.boot<TestType>({{0, 0, 2, 4}}, o);
  CHECK(drawn(got) == support::rows{".b.b", "b.b."});
  CHECK(got.restored == 4);
  CHECK(got.background == 4);
  o.min_fill = 1;
  CHECK(drawn(net.boot<TestType>({{0, 0, 2, 4}}, o)) == support::rows{"bbbb", "bbbb"});
  std::fill(net.mean.cells().begin(), net.mean.cells().end(), -5.f);
  o.min_fill = 0.3;  // ceil(2.4) = 3, equal: the first
  CHECK(drawn(net.boot<TestType>({{0, 0, 2, 4}}, o)) == support::rows{"bbb.", "...."});
}

TEMPLATE_LIST_TEST_CASE("where boxes overlap, any of them keeps a cell", "[instance][picture]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const net({"NNNNN"});
  // the small box must keep its only cell, which the large one would give away
  CHECK(drawn(net.boot<TestType>({{0, 0, 1, 5}, {0, 2, 1, 3}}, {.min_fill = 0.2, .tight = true})) ==
        support::rows{"bbbbb"});  // every column of the large box
  CHECK(drawn(net.boot<TestType>({{0, 0, 1, 5}, {0, 2, 1, 3}}, {.min_fill = 0.2, .tight = false})) ==
        support::rows{"b.b.."});
  CHECK(drawn(net.boot<TestType>({{0, 2, 1, 3}, {0, 0, 1, 5}}, {.min_fill = 0.2, .tight = false})) ==
        support::rows{"b.b.."});
}

TEMPLATE_LIST_TEST_CASE("the soft mode mixes", "[instance][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const net({"FnU"});
  auto const got = net.boot<TestType>({{0, 0, 1, 2}}, {.mode = bootstrap_mode::soft, .keep = 0.8});
  for (index_t x = 0; x < 2; ++x) {
    double const sigma = std::exp(static_cast<double>(net.log_variance(0, x)) / 2);
    double const z = static_cast<double>(net.mean(0, x)) / std::sqrt(1 + 3.14159265358979 * sigma * sigma / 8);
    CHECK(got.target(0, x) == Approx(0.8 + 0.2 / (1 + std::exp(-z))));
    CHECK(got.trusted(0, x) == trust::boxed);
  }
  CHECK(got.target(0, 2) == 0);
  CHECK(got.trusted(0, 2) == trust::certain);
}

TEMPLATE_LIST_TEST_CASE("the invariants hold for any output and any boxes", "[instance][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    index_t const H = 1 + static_cast<index_t>(seed % 17), W = 1 + static_cast<index_t>(seed * 7 % 23);
    auto const mean = support::uniform<double, 2>({H, W}, -6, 4, seed);
    auto const s = support::uniform<double, 2>({H, W}, -4, 6, seed + 1);
    auto const corner = support::uniform<double, 2>({5, 4}, -3, 26, seed + 2);
    std::vector<box> boxes;
    for (index_t i = 0; i < 5; ++i)
      boxes.push_back({static_cast<index_t>(corner(i, 0)), static_cast<index_t>(corner(i, 1)),
                       static_cast<index_t>(corner(i, 2)), static_cast<index_t>(corner(i, 3))});
    double const fill = static_cast<double>(seed % 5) / 5;
    bootstrap_options o{.min_fill = fill, .tight = seed % 2 == 0};
    o.unsure = seed % 3 == 0 ? undecided::ignore : undecided::keep_box;
    TestType where{};
    if constexpr (std::derived_from<TestType, cpu>) where.threads = 1 + static_cast<int>(seed % 3);
    auto const got = labels(where, mean, s, boxes, 0, o);
    grid<std::uint8_t, 2> covered(H, W);
    for (auto b : boxes) {
      index_t area = 0, full = 0;
      bool rows = true, columns = true;
      auto const in = [&](index_t y, index_t x) { return b.top <= y && y < b.bottom && b.left <= x && x < b.right; };
      for (index_t y = 0; y < H; ++y) {
        bool touched = false, any = false;
        for (index_t x = 0; x < W; ++x)
          if (in(y, x)) {
            ++area, covered(y, x) = 1, touched = true;
            full += got.target(y, x) == 1, any = any || got.target(y, x) == 1;
          }
        rows = rows && (!touched || any);
      }
      for (index_t x = 0; x < W; ++x) {
        bool touched = false, any = false;
        for (index_t y = 0; y < H; ++y)
          if (in(y, x)) touched = true, any = any || got.target(y, x) == 1;
        columns = columns && (!touched || any);
      }
      CHECK(static_cast<double>(full) >= fill * static_cast<double>(area) - 1e-9);
      if (o.tight) CHECK((rows && columns));
    }
    for (index_t i = 0; i < H * W; ++i)
      if (covered.data()[i] == 0) CHECK((got.target.data()[i] == 0 && got.trusted.data()[i] == trust::certain));
    std::reverse(boxes.begin(), boxes.end());
    auto const again = labels(TestType{}, mean, s, boxes, 0, o);
    CHECK(again.target == got.target);
    CHECK(again.trusted == got.trusted);
  }
}

TEMPLATE_LIST_TEST_CASE("thresholds stand where they are said to", "[instance][property]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const at = [](double mean, double sigma, bootstrap_options const& o) {
    grid<double, 2> m(1, 1), s(1, 1);
    m(0, 0) = mean, s(0, 0) = 2 * std::log(sigma);
    return drawn(labels(TestType{}, m, s, {{0, 0, 1, 1}}, 0, o))[0];
  };
  auto o = unguarded;
  o.tau_lo = 1, o.tau_hi = 4, o.confidence = 0.9;
  CHECK(at(0.01, 0.99, o) == "#");
  CHECK(at(0.01, 1.01, o) == "b");
  CHECK(at(9, 3.99, o) == "b");
  CHECK(at(9, 4.01, o) == ".");
  double const sure = std::log(9.0), kappa = 1 / std::sqrt(1 + 3.14159265358979 / 8);  // sigma 1
  CHECK(at(-(sure + 0.01) / kappa, 1, o) == ".");
  CHECK(at(-(sure - 0.01) / kappa, 1, o) == "b");
  CHECK(at(0, 0.5, o) == "b");
  o.tau_hi = 1e14;
  CHECK(at(0.5, 1e300, o) == ".");  // counts as 1e15
  o.largest_sigma = 3;
  CHECK(at(0.5, 1e300, o) == "b");  // counts as 3
}

TEMPLATE_LIST_TEST_CASE("no box, no map", "[instance][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const net({"FN", "NF"});
  CHECK(drawn(net.boot<TestType>({}, {})) == support::rows{"..", ".."});
  CHECK(drawn(net.boot<TestType>({{1, 1, 1, 2}, {5, 5, 9, 9}, {1, 1, 0, 0}, {-4, -4, 0, 9}}, {})) ==
        support::rows{"..", ".."});
  index_t const far = std::numeric_limits<index_t>::max();
  CHECK(drawn(net.boot<TestType>({{-far, -far, far, far}}, {.mode = bootstrap_mode::off})) ==
        support::rows{"bb", "bb"});
  CHECK(labels(TestType{}, grid<float, 2>(0, 3), grid<float, 2>(0, 3), {{0, 0, 2, 2}}, 0, {}).target.size() == 0);
}

TEMPLATE_LIST_TEST_CASE("bootstrap rejects what it documents", "[instance][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  output const good({"FN", "NF"});
  auto const says = [](output const& net, bootstrap_options const& o, std::int64_t iteration, char const* words) {
    CAMBIUM_THROWS_SAYING(net.boot<TestType>({{0, 0, 1, 1}}, o, iteration), precondition_error, words);
  };
  auto bad = good;
  if constexpr (std::is_same_v<TestType, cpu>) {
    bad.mean(1, 0) = std::numeric_limits<float>::quiet_NaN(), says(bad, {}, 0, "mean(1,0) is nan");
    bad = good, bad.log_variance(0, 1) = std::numeric_limits<float>::infinity();
    says(bad, {}, 0, "log_variance(0,1) is inf");
  }
  bad = good, bad.log_variance = grid<float, 2>(2, 3), says(bad, {}, 0, "mean is [2,2] but log_variance is [2,3]");
  says(good, {}, -1, "iteration -1");
  says(good, {.tau_lo = 0}, 0, "tau_lo is 0");
  says(good, {.tau_lo = 3, .tau_hi = 2}, 0, "tau_lo is 3 and tau_hi is 2");
  says(good, {.confidence = 0.4}, 0, "confidence is 0.4");
  says(good, {.confidence = 1}, 0, "confidence is 1");
  says(good, {.min_fill = 1.5}, 0, "min_fill is 1.5");
  says(good, {.keep = -0.5}, 0, "keep is -0.5");
  says(good, {.largest_sigma = 0}, 0, "largest_sigma is 0");
  TestType const where{};
  auto mean = support::copied<TestType>(good.mean);
  auto trusted = support::copied<TestType>(grid<std::uint8_t, 2>(2, 2));
  auto const s = support::copied<TestType>(good.log_variance);
  CAMBIUM_THROWS_SAYING(bootstrap_into(where, mean, s, {{0, 0, 1, 1}}, 0, {}, mean, trusted), precondition_error,
                        "overlap an input");
  CHECK(support::carry<TestType>::back(mean) == good.mean);
}

TEMPLATE_LIST_TEST_CASE("boxes put back what they do on the cpu", "[instance][same]", support::rule_backends)
{
  if (!support::carry<TestType>::usable()) return;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    index_t const H = 1 + static_cast<index_t>(seed % 31), W = 1 + static_cast<index_t>(seed * 7 % 29);
    auto mean = support::uniform<float, 2>({H, W}, -6, 4, seed);
    for (auto& v : mean.cells()) v = std::round(v);  // ties
    auto const s = support::uniform<float, 2>({H, W}, -4, 6, seed + 1);
    auto const corner = support::uniform<double, 2>({6, 4}, -3, 34, seed + 2);
    std::vector<box> boxes;
    for (index_t i = 0; i < 6; ++i)
      boxes.push_back({static_cast<index_t>(corner(i, 0)), static_cast<index_t>(corner(i, 1)),
                       static_cast<index_t>(corner(i, 2)), static_cast<index_t>(corner(i, 3))});
    bootstrap_options const o{.unsure = seed % 3 == 0 ? undecided::ignore : undecided::keep_box,
                              .min_fill = static_cast<double>(seed % 5) / 4,
                              .tight = seed % 2 == 0};
    CAPTURE(seed);
    auto const have = labels(TestType{}, mean, s, boxes, 0, o), want = labels(cpu{}, mean, s, boxes, 0, o);
    REQUIRE(have.target == want.target);
    REQUIRE(have.trusted == want.trusted);
    CHECK(have.foreground == want.foreground);
    CHECK(have.background == want.background);
    CHECK(have.restored == want.restored);
  }
}
