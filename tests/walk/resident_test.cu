// The schedules of a card. The kernel's programme is played on cores in resident_test.cpp.
#include <cambium/walk/random_walk.cuh>

#include "support/backends.hpp"
#include "support/walk_batch.hpp"

#include <algorithm>
#include <cmath>

using namespace cambium;
using support::by_rule;
using batch = support::walk_batch;

TEST_CASE("all schedules of a device agree", "[walk][gpu]")
{
  if (!support::carry<gpu>::usable()) return;
  batch const in(3, 5, 94, 125, stencil::disc(5), 5);
  gpu const where;
  auto const seeds = to_device(where, in.seeds), weight = to_device(where, in.weight);
  auto const inverse = to_device(where, in.inverse);
  auto const tolerance = GENERATE(0.0, 1e-4);
  for (auto const s : {walk_schedule::each_step, walk_schedule::grid, walk_schedule::cluster}) {
    CAPTURE(static_cast<int>(s), tolerance);
    auto const has = current_walk_device();
    index_t const images = s == walk_schedule::grid ? 1 : 3;
    if (s == walk_schedule::cluster && has.capability < 9) continue;
    auto const some = [&](auto v) {
      v.extent[0] = images;
      return v;
    };
    auto out = make_grid<float>(where, {images, 5, 94, 125});
    walk_scratch<float, gpu> scratch(where, images, 5, 94, 125, in.edges, tolerance, s);
    random_walk_into<float>(where, some(seeds.view()), {in.edges, some(weight.view()), some(inverse.view())},
                            {.steps = 256, .tolerance = tolerance}, out.view(), scratch);
    auto const have = to_host(where, out);
    for (index_t b = 0; b < images; ++b) {
      auto const want = by_rule(in.seeds, b, in.of(b), 256);
      double gap = 0;
      for (std::size_t i = 0; i < want.cells().size(); ++i)
        gap = std::max(gap, std::abs(double{have.cells()[static_cast<std::size_t>(b) * want.cells().size() + i]} -
                                     double{want.cells()[i]}));
      CHECK(gap <= 2e-5 + tolerance);
    }
  }
}
