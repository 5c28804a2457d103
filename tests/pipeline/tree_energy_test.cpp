#include <cambium/pipeline/tree_energy.hpp>

#include "support/catch.hpp"
#include "support/dense_tree.hpp"
#include "support/random.hpp"
#include "support/slopes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace cambium;

namespace {

struct batch {
  grid<double, 4> probabilities, roi, low, high;

  batch(index_t B, index_t C, index_t H, index_t W)
      : probabilities(support::uniform<double, 4>({B, C, H, W}, 0, 1, 1)),
        roi(B, 1, H, W),
        low(support::uniform<double, 4>({B, 3, H, W}, 0, 0.3, 2)),
        high(support::uniform<double, 4>({B, 5, H, W}, -1, 1, 3))
  {
    for (index_t i = 0; i < roi.size(); ++i) roi.data()[i] = i % 3 != 0;
  }

  grid<double, 3> image(grid<double, 4> const& of, index_t b) const
  {
    grid<double, 3> out(of.shape()[1], of.shape()[2], of.shape()[3]);
    std::copy_n(of.data() + b * out.size(), out.size(), out.data());
    return out;
  }

  /// The loss by dense matrices of all paths.
  double by_definition(bool with_high, double sigma) const
  {
    double sum = 0, count = 0;
    for (index_t b = 0; b < probabilities.shape()[0]; ++b) {
      auto const p = image(probabilities, b);
      auto const guide = image(low, b), features = image(high, b);
      support::dense_filter along_low(guide, minimum_tree(cpu{}, guide), {.sigma = sigma});
      auto smooth = along_low(p);
      if (with_high) smooth = support::dense_filter(features, minimum_tree(cpu{}, features), {.sigma = 1})(smooth);
      for (index_t y = 0; y < p.shape()[1]; ++y)
        for (index_t x = 0; x < p.shape()[2]; ++x) {
          count += roi(b, 0, y, x);
          for (index_t c = 0; c < p.shape()[0]; ++c) sum += roi(b, 0, y, x) * std::abs(p(c, y, x) - smooth(c, y, x));
        }
    }
    return count > 0 ? sum / count : 0;
  }
};

}  // namespace

TEST_CASE("the tree energy loss is its definition", "[pipeline][reference]")
{
  batch const d(2, 3, 6, 7);
  CHECK(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low).value == Approx(d.by_definition(false, 0.02)));
  CHECK(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, &d.high, {.sigma = 0.1}).value ==
        Approx(d.by_definition(true, 0.1)));
  CHECK(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low).by_high.size() == 0);
}

TEST_CASE("gradients of the tree energy loss are slopes", "[pipeline][property]")
{
  batch d(2, 3, 4, 5);
  support::check_slopes(d.probabilities, [&] { return tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low); }, 1e-5);
  auto const both = [&] { return tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, &d.high); };
  support::check_slopes(d.probabilities, both, 1e-5);
  struct by_guide {
    double value;
    grid<double, 4> gradient;
  };
  support::check_slopes(
      d.high,
      [&] {
        auto got = both();
        return by_guide{got.value, std::move(got.by_high)};
      },
      1e-5);
  double largest = 0;
  for (double const g : both().by_high.cells()) largest = std::max(largest, std::abs(g));
  CHECK(largest > 1e-3);
}

TEST_CASE("no pixel counts, one value, threads", "[pipeline][property]")
{
  batch d(3, 2, 5, 6);
  auto const one = tree_energy_loss(cpu{.threads = 1}, d.probabilities, d.roi, d.low, &d.high);
  for (int const threads : {2, 4}) {
    auto const many = tree_energy_loss(cpu{.threads = threads}, d.probabilities, d.roi, d.low, &d.high);
    CHECK(many.value == one.value);
    CHECK(many.gradient == one.gradient);
    CHECK(many.by_high == one.by_high);
  }
  std::fill(d.roi.cells().begin(), d.roi.cells().end(), 0.0);
  auto const none = tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low);
  CHECK(none.value == 0);
  for (double const g : none.gradient.cells()) CHECK(g == 0);
  std::fill(d.roi.cells().begin(), d.roi.cells().end(), 1.0);
  std::fill(d.probabilities.cells().begin(), d.probabilities.cells().end(), 0.5);
  CHECK(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low).value < 1e-14);
  grid<double, 4> const empty(0, 2, 5, 6), no_roi(0, 1, 5, 6), no_guide(0, 3, 5, 6);
  CHECK(tree_energy_loss(cpu{}, empty, no_roi, no_guide).value == 0);
}

TEST_CASE("the tree energy loss refuses what it cannot do", "[pipeline][errors]")
{
  batch d(1, 2, 3, 4);
  grid<double, 4> const wide(1, 2, 3, 4), other(1, 3, 4, 3);
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, wide, d.low),
                    "tree_energy_loss: probabilities are [1,2,3,4] but roi is [1,2,3,4]");
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, other),
                    "tree_energy_loss: probabilities are [1,2,3,4] but the low guide is [1,3,4,3]");
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, &other),
                    "tree_energy_loss: probabilities are [1,2,3,4] but the high guide is another batch or size");
  grid<double, 4> const none(1, 2, 0, 4), no_roi(1, 1, 0, 4);
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, none, no_roi, none),
                    "tree_energy_loss: probabilities are [1,2,0,4], without a pixel");
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, nullptr, {.sigma = 0}),
                    "tree_energy_loss: sigma is 0; expected a number above 0");
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, nullptr, {.groups = 2}),
                    "tree_energy_loss: groups is 2; it must divide the channels of probabilities and guides");
  auto dark = d.low;
  dark(0, 0, 2, 3) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, dark),
                    "tree_energy_loss: low(0,0,2,3) is inf; expected a finite number");
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low, &dark),
                    "tree_energy_loss: high(0,0,2,3) is inf; expected a finite number");
  d.roi(0, 0, 1, 1) = -1;
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low),
                    "tree_energy_loss: roi(0,0,1,1) is -1; expected a finite number >= 0");
  d.roi(0, 0, 1, 1) = 1, d.probabilities(0, 1, 2, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(tree_energy_loss(cpu{}, d.probabilities, d.roi, d.low),
                    "tree_energy_loss: probabilities(0,1,2,3) is nan; expected a finite number");
}
