#include <cambium/loss/box_projection.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/slopes.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

/// Boxes of all kinds: inside, whole maps, single cells, empty ones.
grid<boxed_instance, 1> boxes_of(index_t N, index_t H, index_t W)
{
  grid<boxed_instance, 1> out(N);
  for (index_t n = 0; n < N; ++n) {
    box& b = out(n).cells;
    if (n % 4 == 0) b = {H / 4, W / 3, H - H / 4, W};
    if (n % 4 == 1) b = {0, 0, H, W};
    if (n % 4 == 3) b = n % 8 == 3 ? box{1, W / 2, H, W / 2} : box{H / 2, 0, H / 2, W};  // a side, but no cell
    if (n % 4 == 2) b = {H / 2, W / 2, H / 2 + 1, W / 2 + 1};
  }
  return out;
}

/// The loss by the masks of boxes and dense probabilities, as its formula is read.
double by_definition(grid<double, 3> const& logits, grid<boxed_instance, 1> const& instances)
{
  auto const [N, H, W] = logits.shape();
  double sum = 0;
  for (index_t n = 0; n < N; ++n) {
    grid<double, 2> p(H, W), t(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        p(y, x) = 1 / (1 + std::exp(-logits(n, y, x)));
        box const b = instances(n).cells;
        t(y, x) = b.top <= y && y < b.bottom && b.left <= x && x < b.right;
      }
    for (bool const rows : {true, false}) {
      double mt = 0, mm = 0, tt = 0;
      for (index_t i = 0; i < (rows ? H : W); ++i) {
        double m = 0, in = 0;
        for (index_t j = 0; j < (rows ? W : H); ++j) {
          m = std::max(m, rows ? p(i, j) : p(j, i));
          in = std::max(in, rows ? t(i, j) : t(j, i));
        }
        mt += m * in, mm += m * m, tt += in * in;
      }
      sum += 1 - 2 * mt / (mm + tt + 1e-5);
    }
  }
  return N > 0 ? sum / static_cast<double>(N) : 0;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the projection loss is its definition", "[loss][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [N, H, W] = GENERATE(table<int, int, int>({{1, 1, 1}, {4, 6, 5}, {3, 1, 9}, {5, 40, 70}, {0, 3, 4}}));
  CAPTURE(N, H, W);
  auto const logits = support::uniform<double, 3>({N, H, W}, -4, 4, 3);
  auto const instances = boxes_of(N, H, W);
  auto const got = box_projection_loss(TestType{}, to::there(logits), to::there(instances));
  CHECK(got.value == Approx(by_definition(logits, instances)).epsilon(1e-12).margin(1e-15));
}

TEST_CASE("gradients of the projection loss are slopes", "[loss][property]")
{
  auto at = support::uniform<double, 4>({1, 4, 5, 6}, -3, 3, 8);
  auto const instances = boxes_of(4, 5, 6);
  support::check_slopes(at, [&] { return box_projection_loss(cpu{}, at.view()[0], instances); }, 1e-6);
  index_t moved = 0;
  for (double const g : box_projection_loss(cpu{}, at.view()[0], instances).gradient.cells()) moved += g != 0;
  CHECK(moved > 20);
  CHECK(moved <= 4 * (5 + 6));
}

TEMPLATE_LIST_TEST_CASE("of equal logits the first has the gradient", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<float, 3> const logits(1, 2, 3);  // all 0
  grid<boxed_instance, 1> instances(1);
  instances(0).cells = {0, 0, 1, 1};
  auto const got = box_projection_loss(TestType{}, to::there(logits), to::there(instances), {.smooth = 0.5});
  // rows: m = .5 .5, t = 1 0: 1 - 1 / (0.5 + 1 + 0.5); columns: m = .5 .5 .5: 1 - 1 / (0.75 + 1 + 0.5)
  CHECK(got.value == Approx(0.5 + (1 - 1 / 2.25)));
  auto const g = to::back(got.gradient);
  double const row0 = (2 * 0.5 * 1 / 2 - 2) / 2 / 4, row1 = (2 * 0.5 * 1 / 2) / 2 / 4;
  double const column0 = (1 / 2.25 - 2) / 2.25 / 4, column = 1 / 2.25 / 2.25 / 4;
  CHECK(g(0, 0, 0) == Approx(row0 + column0));
  CHECK(g(0, 1, 0) == Approx(row1));
  CHECK(g(0, 0, 1) == Approx(column));
  CHECK(g(0, 0, 2) == Approx(column));
  CHECK(g(0, 1, 1) == 0);
  CHECK(g(0, 1, 2) == 0);
}

TEMPLATE_LIST_TEST_CASE("a box without a cell costs two, certainty nothing", "[loss][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  grid<boxed_instance, 1> instances(1);
  auto logits = support::uniform<float, 3>({1, 7, 9}, -2, 2, 1);
  for (box const b : {box{}, box{2, 3, 5, 3}, box{4, 0, 4, 9}}) {
    instances(0).cells = b;
    CHECK(box_projection_loss(TestType{}, to::there(logits), to::there(instances)).value == 2);
  }
  instances(0).cells = {2, 3, 5, 9};
  for (index_t y = 0; y < 7; ++y)
    for (index_t x = 0; x < 9; ++x) logits(0, y, x) = y >= 2 && y < 5 && x >= 3 ? 1e4f : -1e4f;
  auto const sure = box_projection_loss(TestType{}, to::there(logits), to::there(instances));
  CHECK(sure.value == Approx(1e-5 / (6 + 1e-5) + 1e-5 / (12 + 1e-5)));
  for (float const g : to::back(sure.gradient).cells()) CHECK(g == 0);
}

TEST_CASE("the projection loss does not depend on threads", "[loss][property]")
{
  auto const logits = support::uniform<float, 3>({7, 60, 70}, -4, 4, 2);
  auto const instances = boxes_of(7, 60, 70);
  auto const one = box_projection_loss(cpu{.threads = 1}, logits, instances);
  auto const many = box_projection_loss(cpu{.threads = 3}, logits, instances);
  CHECK(one.value == many.value);
  CHECK(one.gradient == many.gradient);
}

TEST_CASE("the projection loss refuses what it cannot do", "[loss][errors]")
{
  grid<float, 3> logits(2, 3, 4), other(2, 3, 5);
  grid<boxed_instance, 1> instances(2), three(3);
  grid<double, 1> value(1);
  projection_scratch<cpu, float> scratch;
  CHECK_THROWS_WITH(box_projection_loss(cpu{}, logits, three),
                    "box_projection_loss: logits are [2,3,4] but there are 3 instances");
  CHECK_THROWS_WITH(box_projection_loss_into(cpu{}, logits, instances, {}, other, value, scratch),
                    "box_projection_loss: logits are [2,3,4] but gradient is [2,3,5]");
  CHECK_THROWS_WITH(box_projection_loss_into(cpu{}, logits, instances, {}, logits, value, scratch),
                    "box_projection_loss: the gradient overlaps an input");
  grid<double, 1> two(2);
  CHECK_THROWS_WITH(box_projection_loss_into(cpu{}, other, instances, {}, grid<float, 3>(2, 3, 5), two, scratch),
                    "box_projection_loss: value is [2]; it is one cell");
  CHECK_THROWS_WITH(box_projection_loss(cpu{}, logits, instances, {.smooth = 0}),
                    "box_projection_loss: smooth is 0; expected a number above 0");
  CHECK_THROWS_WITH(box_projection_loss(cpu{}, grid<float, 3>(2, 0, 4), instances),
                    "box_projection_loss: logits are [2,0,4], without a cell");
  logits(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(box_projection_loss(cpu{}, logits, instances),
                    "box_projection_loss: logits(1,2,3) is nan; expected a finite number");
  logits(1, 2, 3) = 0;
  instances(1).cells = {0, 0, 4, 4};
  CHECK_THROWS_WITH(box_projection_loss(cpu{}, logits, instances),
                    "box_projection_loss: instances(1) has rows 0..4 and columns 0..4 of a map [3,4]");
}
