#include <cambium/proposal/pairwise.hpp>

#include "support/backends.hpp"
#include "support/random_masks.hpp"

#include <type_traits>

using namespace cambium;
using support::random_masks;

namespace {

template <class P>
struct measured_pairs {
  grid<index_t, 2> intersection;
  grid<double, 2> iou, containment;

  measured_pairs(P const& where, mask_set<> const& a, mask_set<> const& b)
  {
    using to = support::carry<P>;
    auto const p = masks_to(where, a), q = masks_to(where, b);
    intersection = to::back(pairwise_intersection(where, p, q));
    iou = to::back(pairwise_iou(where, p, q));
    containment = to::back(pairwise_containment(where, p, q));
  }
};

void check_pairs(auto const& have, support::byte_masks const& a, support::byte_masks const& b)
{
  for (int i = 0; i < a.shape()[0]; ++i)
    for (int j = 0; j < b.shape()[0]; ++j) {
      CAPTURE(i, j);
      long const both = support::shared(a, i, b, j), mine = support::shared(a, i, a, i);
      REQUIRE(have.intersection(i, j) == both);
      REQUIRE(have.iou(i, j) == support::plain_iou(a, i, b, j));
      REQUIRE(have.containment(i, j) == (mine == 0 ? 0. : static_cast<double>(both) / static_cast<double>(mine)));
    }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("pairs of masks equal a count over all cells", "[proposal][reference]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  auto const extents = GENERATE(table<int, int>({{1, 1}, {1, 63}, {5, 64}, {7, 65}, {20, 31}, {33, 130}, {17, 1}}));
  int const H = std::get<0>(extents), W = std::get<1>(extents);
  auto const N = GENERATE(1, 2, 23);
  CAPTURE(N, H, W);
  auto const a = random_masks(N, H, W, 3), b = random_masks(6, H, W, 5);
  auto const p = pack_masks(cpu{}, a), q = pack_masks(cpu{}, b);
  for (int threads : {1, 3}) {
    auto const where = support::with_threads<TestType>(threads);
    check_pairs(measured_pairs<TestType>(where, p, q), a, b);
    check_pairs(measured_pairs<TestType>(where, p, p), a, a);
    if constexpr (std::is_same_v<typename TestType::memory, host>) {
      CHECK(pairwise_iou(where, p) == pairwise_iou(where, p, pack_masks(cpu{}, a)));
      CHECK(pairwise_containment(where, p) == pairwise_containment(where, p, pack_masks(cpu{}, a)));
      CHECK(pairwise_intersection(where, p) == pairwise_intersection(where, p, pack_masks(cpu{}, a)));
    }
  }
}

TEST_CASE("an older machine's instructions count the same", "[proposal][same]")
{
  auto const masks = pack_masks(cpu{}, random_masks(20, 40, 200, 7));
  auto const want = pairwise_iou(cpu{}, masks);
  CHECK(pairwise_iou(cpu{.vectors = isa::baseline}, masks) == want);
  CHECK(pairwise_iou(cpu{.vectors = isa::avx2}, masks) == want);
}

TEMPLATE_LIST_TEST_CASE("no masks, and masks without a cell", "[proposal][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  auto const none = pack_masks(cpu{}, support::byte_masks(0, 5, 7)),
             empty = pack_masks(cpu{}, support::byte_masks(2, 5, 7));
  measured_pairs<TestType> const of_none(where, none, none), of_some(where, none, empty), of_empty(where, empty, empty);
  CHECK(of_none.iou.size() == 0);
  CHECK(of_some.iou.size() == 0);
  CHECK(of_empty.iou == grid<double, 2>(2, 2));
  CHECK(of_empty.containment == grid<double, 2>(2, 2));
}

TEMPLATE_LIST_TEST_CASE("pairs reject what they document", "[proposal][errors]", support::backends)
{
  if (!support::carry<TestType>::usable()) return;
  TestType const where{};
  auto const a = masks_to(where, pack_masks(cpu{}, random_masks(2, 5, 7, 1)));
  auto const b = masks_to(where, pack_masks(cpu{}, random_masks(3, 5, 8, 1)));
  CAMBIUM_THROWS_SAYING(pairwise_iou(where, a, b), precondition_error,
                        "pairwise_iou: masks of an image of 5 x 7 and of one of 5 x 8");
  auto out = make_grid<float>(where, {2, 3});
  CAMBIUM_THROWS_SAYING(pairwise_containment_into(where, a, a, out), precondition_error,
                        "pairwise_containment: out is [2,3] but there are 2 and 2 masks");
  auto const wide = masks_to(where, pack_masks(cpu{}, random_masks(2, 8, 16, 1)));
  auto const full = masks_to(where, pack_masks(cpu{}, random_masks(2, 1, 127, 1)));
  auto bytes = make_grid<std::int8_t>(where, {2, 2});
  CAMBIUM_THROWS_SAYING(pairwise_intersection_into(where, wide, wide, bytes), precondition_error,
                        "an image of 8 x 16 has more cells than out can count, 127");
  pairwise_intersection_into(where, full, full, bytes);
}

TEST_CASE("5,000 masks", "[proposal][property]")
{
  index_t const N = 5000;
  grid<std::int32_t, 2> labels(100, 200);  // tiles of 2 x 2: no two meet
  for (index_t y = 0; y < 100; ++y)
    for (index_t x = 0; x < 200; ++x) labels(y, x) = static_cast<std::int32_t>(y / 2 * 100 + x / 2 + 1);
  auto const tiles = masks_of_labels(cpu{}, labels, N);
  grid<float, 2> iou(N, N);
  pairwise_iou_into(cpu{}, tiles, tiles, iou);
  index_t wrong = 0;
  for (index_t i = 0; i < N; ++i)
    for (index_t j = 0; j < N; ++j) wrong += iou(i, j) != (i == j ? 1.f : 0.f);
  CHECK(wrong == 0);
}

TEST_CASE("a damaged set is told, and a call can be stopped", "[proposal][errors]")
{
  auto bad = pack_masks(cpu{}, random_masks(3, 9, 20, 9));
  cpu where{};
  where.stop = [] { return true; };
  CHECK_THROWS_AS(pairwise_iou(where, bad), stopped);
  bad.masks(1).bounds.left = -1;
  CAMBIUM_THROWS_SAYING(pairwise_intersection(cpu{}, bad), precondition_error,
                        "pairwise_intersection: the box of mask 1 is");
}
