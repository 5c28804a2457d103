// Labelling by rules and on a device: labels and counts of the cpu.
#include <cambium/component/connected.hpp>

#include "support/backends.hpp"
#include "support/flood_fill.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <random>
#include <string>

using namespace cambium;

namespace {

grid<std::uint8_t, 2> mask_of(std::string const& kind, index_t H, index_t W)
{
  grid<std::uint8_t, 2> mask(H, W);
  std::mt19937 bits(5);
  unsigned const percent = kind == "sparse"  ? 30
                           : kind == "half"  ? 50
                           : kind == "dense" ? 62
                           : kind == "holes" ? 97
                                             : 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      mask(y, x) = kind == "full" || bits() % 100 < percent || (kind == "checkers" && (y + x) % 2 == 0) ||
                   (kind == "comb" && (x % 2 == 0 || y == H - 1)) ||
                   (kind == "worm" && (y % 2 == 0 || x == (y % 4 == 1 ? W - 1 : 0)));
  return mask;
}

template <class Label>
void check_labels(grid<Label, 2> const& have, index_t count, std::vector<std::int64_t> const& want)
{
  REQUIRE(have.cells().size() == want.size());
  REQUIRE(std::equal(want.begin(), want.end(), have.cells().begin()));
  REQUIRE(count == (want.empty() ? 0 : *std::max_element(want.begin(), want.end())));
}

struct inside_pattern {
  CAMBIUM_HD bool operator()(index_t y, index_t x) const { return (y * 7 + x * 13) % 11 != 0; }
};
struct some_edges {
  unsigned percent;
  CAMBIUM_HD bool operator()(index_t y, index_t x, index_t ny, index_t nx) const
  {
    auto const a = static_cast<std::uint64_t>(y * 1000 + x), b = static_cast<std::uint64_t>(ny * 1000 + nx);
    return ((a + b) * 2654435761u ^ a * b * 40503u) % 100 < percent;
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("rules label masks as filling does", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const kind =
      GENERATE(values<std::string>({"none", "sparse", "half", "dense", "holes", "comb", "checkers", "worm", "full"}));
  auto const [H, W] =
      GENERATE(table<int, int>({{0, 0}, {0, 5}, {5, 0}, {1, 1}, {1, 65}, {65, 1}, {13, 17}, {151, 222}}));
  bool const corners = GENERATE(false, true);
  CAPTURE(kind, H, W, corners);
  auto const mask = mask_of(kind, H, W);
  auto const want =
      oracle::flood_fill(H, W, corners, [&](auto y, auto x) { return mask(y, x) != 0; }, [](auto...) { return true; });
  auto const found = connected(TestType{}, to::there(mask), corners ? c8 : c4);
  check_labels(to::back(found.label), found.count, want);
  check_labels(connected(cpu{}, mask, corners ? c8 : c4).label, found.count, want);
}

TEMPLATE_LIST_TEST_CASE("rules label a large mask whatever threads do", "[component][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const kind = GENERATE(values<std::string>({"half", "dense", "comb", "worm"}));
  bool const corners = GENERATE(false, true);
  CAPTURE(kind, corners);
  auto const mask = mask_of(kind, 690, 701);
  auto const want = connected(cpu{}, mask, corners ? c8 : c4);
  auto const there = support::copied<TestType>(mask);
  for (int threads = 1; threads <= 4; ++threads) {
    TestType where{};
    if constexpr (std::derived_from<TestType, cpu>) where.threads = threads;
    auto const have = connected(where, there, corners ? c8 : c4);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
}

TEMPLATE_LIST_TEST_CASE("rules label equal labels", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {2, 2}, {13, 17}, {40, 129}}));
  auto const labels = GENERATE(2, 3, 6);
  bool const corners = GENERATE(false, true);
  CAPTURE(H, W, labels, corners);
  auto const map = support::uniform<std::int32_t, 2>({H, W}, 0, labels, 11);
  auto const there = support::copied<TestType>(map);
  for (int const background : {0, 2, -7}) {
    auto const want = connected_equal(cpu{}, map, corners ? c8 : c4, background);
    auto const have = connected_equal(TestType{}, there, corners ? c8 : c4, background);
    REQUIRE(have.count == want.count);
    REQUIRE(to::back(have.label) == want.label);
  }
}

TEMPLATE_LIST_TEST_CASE("rules label any symmetric relation", "[component][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  using S = typename TestType::memory;
  if (!to::usable()) return;
  auto const [H, W] = GENERATE(table<int, int>({{0, 4}, {1, 1}, {1, 40}, {40, 1}, {23, 31}, {90, 70}}));
  auto const percent = GENERATE(10u, 45u, 60u, 85u, 100u);
  auto const shape = GENERATE(0, 1, 2, 3, 4);
  neighbourhood const near = shape == 0   ? c4
                             : shape == 1 ? c8
                             : shape == 2 ? neighbourhood{0, {}}
                             : shape == 3 ? neighbourhood{3, {{0, -3}, {-2, 1}, {-1, 0}}}
                                          : neighbourhood{2, {{-1, -1}, {-1, 1}}};
  CAPTURE(H, W, percent, shape);
  auto const want = connected_if(cpu{}, {H, W}, near, inside_pattern{}, some_edges{percent});
  auto const have = connected_if(TestType{}, {H, W}, near, inside_pattern{}, some_edges{percent});
  REQUIRE(have.count == want.count);
  REQUIRE(to::back(have.label) == want.label);
  connected_scratch<TestType> scratch;
  auto out = make_grid<std::int64_t>(TestType{}, {H, W});
  auto count = make_grid<index_t>(TestType{}, {1});
  connected_if_into(TestType{}, near, inside_pattern{}, some_edges{percent}, out, count, scratch);
  REQUIRE(to::back(count)(0) == want.count);
  auto const labels = to::back(out);
  REQUIRE(std::equal(want.label.cells().begin(), want.label.cells().end(), labels.cells().begin()));
  auto const height = support::uniform<float, 2>({H, W}, 0, 1, 3);
  auto const there = support::copied<TestType>(height);
  auto const low =
      connected_if(TestType{}, {H, W}, near, inside_pattern{}, below_boundary<float, S>{there.view(), 0.6f});
  REQUIRE(to::back(low.label) ==
          connected_if(cpu{}, {H, W}, near, inside_pattern{}, below_boundary<float>{height, 0.6f}).label);
}

TEMPLATE_LIST_TEST_CASE("maps of a batch are labelled each for itself", "[component][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  bool const corners = GENERATE(false, true);
  index_t const B = 5;
  connected_scratch<TestType> scratch;
  for (auto const& [H, W] : {extent2{31, 44}, extent2{7, 3}, extent2{50, 60}, extent2{0, 3}}) {
    CAPTURE(corners, H, W);
    auto const masks = support::uniform<float, 3>({B, H, W}, -1, 1.5, 23);
    grid<std::int16_t, 3> mask(B, H, W);
    for (index_t i = 0; i < mask.size(); ++i) mask.data()[i] = masks.data()[i] > 0;
    auto const there = support::copied<TestType>(mask);
    auto out = make_grid<std::uint16_t>(TestType{}, {B, H, W});
    auto equal = make_grid<std::uint16_t>(TestType{}, {B, H, W});
    auto count = make_grid<index_t>(TestType{}, {B});
    connected_into(TestType{}, there, corners ? c8 : c4, out, count, scratch);
    auto const have = to::back(out);
    auto const counts = to::back(count);
    connected_equal_into(TestType{}, there, corners ? c8 : c4, std::int16_t(0), equal, count, scratch);
    REQUIRE(to::back(equal) == have);
    REQUIRE(to::back(count) == counts);
    for (index_t b = 0; b < B; ++b) {
      auto const want = connected<std::uint16_t>(cpu{}, std::as_const(mask).view()[b], corners ? c8 : c4);
      REQUIRE(counts(b) == want.count);
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < W; ++x) REQUIRE(have(b, y, x) == want.label(y, x));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("what rules do where labels do not fit", "[component][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  grid<std::uint8_t, 2> mask(1, 512);
  for (index_t i = 0; i < 256; ++i) mask(0, 2 * i) = 1;
  auto const there = support::copied<TestType>(mask);
  CAMBIUM_THROWS_SAYING(connected<std::uint8_t>(where, there), precondition_error,
                        "256 components do not fit the label type, whose largest value is 255");
  auto out = make_grid<std::int8_t>(where, {1, 512});
  auto count = make_grid<index_t>(where, {1});
  connected_scratch<TestType, index_t> scratch;
  connected_into(where, there, c4, out, count, scratch);
  CHECK(to::back(count)(0) == 256);
  auto const labels = to::back(out);
  for (int i = 0; i < 256; ++i) REQUIRE(labels(0, 2 * i) == (i < 127 ? i + 1 : 127));
  auto wrong = make_grid<std::int32_t>(where, {2, 512});
  CAMBIUM_THROWS_SAYING(connected_into(where, there, c4, wrong, count, scratch), precondition_error,
                        "mask is [1,1,512] but out is [1,2,512]");
  CAMBIUM_THROWS_SAYING(connected(where, there, neighbourhood{1, {{-1, 0}}}), precondition_error, "neither c4 nor c8");
  CAMBIUM_THROWS_SAYING(connected_if(where, {2, 2}, neighbourhood{1, {{0, 1}}}, inside_pattern{}, some_edges{50}),
                        precondition_error, "(0,1) does not come before its cell");
  CAMBIUM_THROWS_SAYING(connected_if(where, {-1, 2}, c4, inside_pattern{}, some_edges{50}), precondition_error,
                        "size is -1 x 2");
}
