// The overlaps instance_ap works on.
#include <cambium/metric/instance_ap.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <set>
#include <string>

using namespace cambium;

namespace {

/// [n,H,W] masks of the objects of a label map, but for cells where `without` is true.
grid<std::uint8_t, 3> masks(grid<std::int32_t, 2> const& label, index_t n, grid<std::uint8_t, 2> const& without)
{
  grid<std::uint8_t, 3> out(n, label.shape()[0], label.shape()[1]);
  for (index_t i = 0; i < n; ++i)
    for (index_t y = 0; y < label.shape()[0]; ++y)
      for (index_t x = 0; x < label.shape()[1]; ++x) out(i, y, x) = label(y, x) == i + 1 && without(y, x) == 0;
  return out;
}

}  // namespace

TEST_CASE("mask_iou is intersection over union", "[metric][reference]")
{
  auto const p = support::uniform<int, 3>({4, 5, 6}, 0, 1.99, 3), t = support::uniform<int, 3>({3, 5, 6}, -1, 1.99, 4);
  auto const have = mask_iou(p, t);
  for (index_t i = 0; i < 4; ++i)
    for (index_t j = 0; j < 3; ++j) {
      std::set<index_t> either;
      int both = 0;
      for (index_t v = 0; v < 30; ++v) {
        bool const a = p.cells()[static_cast<std::size_t>(30 * i + v)] != 0;
        bool const b = t.cells()[static_cast<std::size_t>(30 * j + v)] != 0;
        if (a || b) either.insert(v);
        both += a && b;
      }
      CHECK(have(i, j) == static_cast<float>(both / static_cast<double>(either.size())));
    }
  grid<int, 3> const empty(1, 5, 6);
  CHECK(std::isnan(mask_iou(empty, empty)(0, 0)));
  CHECK(mask_iou(empty, t)(0, 0) == 0);
  CHECK(mask_iou(grid<int, 3>(0, 5, 6), t).shape() == std::array<index_t, 2>{0, 3});
  CHECK(mask_iou(p, grid<int, 3>(0, 0, 0)).shape() == std::array<index_t, 2>{4, 0});
  CAMBIUM_THROWS_SAYING(mask_iou(p, grid<int, 3>(1, 5, 5)), precondition_error,
                        "predicted is [4,5,6] but truth is [1,5,5]");
}

TEST_CASE("label_iou equals mask_iou", "[metric][property]")
{
  auto const seed = GENERATE(range(1u, 20u));
  bool const has_void = GENERATE(false, true);
  index_t const P = 4, G = 5;
  // of objects 1..4 and 1..5 the last has no cell in some images
  auto const p = support::uniform<std::int32_t, 2>({4, 5}, 0, P + 0.99, seed);
  auto t = support::uniform<std::int32_t, 2>({4, 5}, 0, G + 0.99, seed + 30);
  grid<std::uint8_t, 2> without(4, 5);
  for (std::size_t i = 0; has_void && i < 20; i += 3) t.cells()[i] = 255, without.cells()[i] = 1;
  auto const have = label_iou(p, P, t, G, 255), want = mask_iou(masks(p, P, without), masks(t, G, without));
  REQUIRE(have.shape() == want.shape());
  for (std::size_t i = 0; i < want.cells().size(); ++i)
    CHECK((have.cells()[i] == want.cells()[i] || (std::isnan(have.cells()[i]) && std::isnan(want.cells()[i]))));
  CHECK(label_iou(p, P, grid<int, 2>(4, 5), 0).shape() == std::array<index_t, 2>{P, 0});
}

TEST_CASE("label_iou rejects what it documents", "[metric][errors]")
{
  grid<int, 2> p(2, 3), t(2, 3);
  p(1, 2) = 3, t(0, 1) = 255;
  CAMBIUM_THROWS_SAYING(label_iou(p, 2, t, 1, 255), precondition_error, "cell (1,2) is object 3 of 2 predicted");
  CAMBIUM_THROWS_SAYING(label_iou(p, 3, t, 1), precondition_error,
                        "cell (0,1) is object 0 of 3 predicted and 255 of 1");
  p(1, 2) = -1;
  CAMBIUM_THROWS_SAYING(label_iou(p, 2, t, 1, 255), precondition_error, "object -1");
  CAMBIUM_THROWS_SAYING(label_iou(p, 2, grid<int, 2>(3, 2), 1), precondition_error,
                        "predicted is [2,3] but truth is [3,2]");
  grid<int, 2> one(1, 1);
  one(0, 0) = 1;
  CAMBIUM_THROWS_SAYING(label_iou(one, -1, one, 1), precondition_error, "label_iou: -1 predicted and 1 true objects");
  CAMBIUM_THROWS_SAYING(label_iou(one, 1, one, -1), precondition_error, "label_iou: 1 predicted and -1 true objects");
  for (index_t const ignore : {0, 1, 2})
    CAMBIUM_THROWS_SAYING(label_iou(one, 1, one, 2, ignore), precondition_error,
                          "label_iou: ignore is " + std::to_string(ignore) + ", which is one of 2 true objects");
  CHECK(label_iou(one, 1, one, 2, 3)(0, 0) == 1);
}

TEST_CASE("a negative label may be ignored, and the others are refused", "[metric][errors]")
{
  grid<int, 2> p(1, 2), t(1, 2);
  p(0, 0) = t(0, 0) = p(0, 1) = 1, t(0, 1) = -1;
  CHECK(label_iou(p, 1, t, 1)(0, 0) == 1);
  CAMBIUM_THROWS_SAYING(label_iou(p, 1, t, 1, -2), precondition_error, "object 1 of 1 predicted and -1 of 1");
}
