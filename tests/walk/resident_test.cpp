// The resident walk: the kernel's programme, in launches that are played on cores.
#include <cambium/walk/random_walk.hpp>
#include <cambium/walk/resident.hpp>

#include "support/backends.hpp"
#include "support/launch.hpp"
#include "support/walk_batch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace cambium;
using support::by_rule;
using batch = support::walk_batch;

namespace {

constexpr int R = resident_radius;

/// The launches of a walk, played on cores. What blocks share, and maps before they are written, begin as poison.
/// @param series  null: an exact walk of `steps` steps
grid<float, 4> play(batch const& in, walk_bands<R> const& cut, index_t steps, chebyshev_power const* series = nullptr)
{
  auto const [B, C, H, W] = in.seeds.shape();
  walk_problems const all{B, C, H, W};
  quad const poison{-1e30f, -1e30f, -1e30f, -1e30f};
  auto const cells = static_cast<std::size_t>(all.count() * H * W);
  std::vector<quad> even(cells, poison), odd(cells, poison), seeds(cells, poison);
  cpu const one{.threads = 1};
  std::vector<value_range<float>> channel(static_cast<std::size_t>(B * C));
  rule::gather_quads<host> gather{all, in.seeds.view(), even.data()};
  if (series != nullptr) {
    workspace<cpu> space;
    measure_channels(one, view<float const, 4>(in.seeds.view()), channel.data(), space);
    gather = {
        all,          in.seeds.view(), even.data(), channel.data(), static_cast<float>(series->coefficient.back()),
        seeds.data(), odd.data()};
    steps = series->degree();
  }
  for_each_cell(one, {all.count(), H, W}, gather);
  auto const places = edge_places<R>::of(in.edges);
  launch_shape const shape{{static_cast<unsigned>(cut.bands()), static_cast<unsigned>(all.count())},
                           {static_cast<unsigned>(cut.threads())}};
  auto const launch = [&](auto const& program) {
    std::vector<std::vector<quad>> tiles(shape.blocks.x * shape.blocks.y,
                                         std::vector<quad>(2 * static_cast<std::size_t>(cut.tile_size()), poison));
    support::played_launch(17).play(shape, [&](launch_place const& at, support::played_launch::waits const& wait) {
      struct {
        support::played_launch::waits const& wait;
        void block() const { wait.block(); }
        void neighbours() const { wait.all(); }
      } const waits{wait};
      walk_resident(cut, all, places, view<float const, 4>(in.weight.view()), view<float const, 3>(in.inverse.view()),
                    even.data(), odd.data(), program, at, tiles[at.block.y * at.blocks.x + at.block.x].data(), waits);
    });
  };
  if (series == nullptr)
    launch(walk_powers{steps});
  else
    for (index_t first = 0; first < steps; first += walk_series::most)
      launch(walk_series::of(*series, first, seeds.data()));
  auto out = make_grid<float>({B, C, H, W});
  for_each_cell(one, {all.count(), H, W},
                rule::scatter_quads<host>{all, (steps % 2 != 0 ? odd : even).data(), out.view(),
                                          series ? channel.data() : nullptr});
  return out;
}

}  // namespace

TEST_CASE("the blocks of a resident walk equal the rule", "[walk][same]")
{
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>(
      {{1, 1, 1, 1}, {1, 4, 2, 3}, {2, 5, 9, 8}, {1, 3, 21, 1}, {3, 4, 23, 17}, {1, 2, 5, 384}, {1, 9, 31, 20}}));
  auto const radius = GENERATE(1, 5);
  auto const most_bands = GENERATE(1, 3, 132);
  auto const steps = GENERATE(0, 1, 4, 5);
  CAPTURE(B, C, H, W, radius, most_bands, steps);
  auto const cut = walk_bands<R>::of(H, W, most_bands, 227 * 1024);
  if (cut.rows == 0 || (W == 384 && steps > 1)) return;
  REQUIRE(cut.bands() <= most_bands);
  REQUIRE(cut.threads() <= walk_bands<R>::most_threads);
  batch const in(B, C, H, W, stencil::disc(radius), 3);
  auto const have = play(in, cut, steps);
  for (index_t b = 0; b < B; ++b) {
    auto const want = by_rule(in.seeds, b, in.of(b), steps);
    double gap = 0;
    for (index_t i = 0; i < C * H * W; ++i)
      gap = std::max(gap, std::abs(double{have.data()[b * C * H * W + i]} - double{want.data()[i]}));
    REQUIRE(gap <= 2e-6);
  }
}

TEST_CASE("the blocks of a resident walk with a tolerance keep it", "[walk][same]")
{
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 5, 9, 8}, {1, 3, 21, 16}}));
  auto const most_bands = GENERATE(1, 3, 16);
  auto const [steps, tolerance] =
      GENERATE(table<int, double>({{1, 0.5}, {2, 1e-3}, {64, 1e-3}, {256, 2e-5}, {256, 0.9}, {40000, 1e-6}}));
  CAPTURE(B, C, H, W, most_bands, steps, tolerance);
  auto const cut = walk_bands<R>::of(H, W, most_bands, 227 * 1024);
  if (cut.rows == 0 || (steps > 1000 && (most_bands != 3 || H != 9))) return;
  batch const in(B, C, H, W, stencil::disc(5), 3);
  auto const series = plan_walk_unseen(in.edges, H * W, steps, tolerance);
  if (series.degree() >= steps) return;
  if (steps > 1000) REQUIRE(series.degree() > walk_series::most);  // more than one launch
  auto const have = play(in, cut, steps, &series);
  for (index_t b = 0; b < B; ++b) {
    auto const want = by_rule(in.seeds, b, in.of(b), steps);
    for (index_t c = 0; c < C; ++c) {
      auto const* const of = in.seeds.data() + (b * C + c) * H * W;
      auto const [low, high] = std::minmax_element(of, of + H * W);
      double gap = 0;
      for (index_t i = 0; i < H * W; ++i)
        gap =
            std::max(gap, std::abs(double{have.data()[(b * C + c) * H * W + i]} - double{want.data()[c * H * W + i]}));
      REQUIRE(gap <= tolerance * (*high - *low) + (steps > 1000 ? 2e-4 : 2e-5));  // rounding adds up
    }
  }
}

TEST_CASE("a walk's schedule follows from the map and the device", "[walk][property]")
{
  walk_device const h200{132, 9, 227 * 1024, true}, a100{108, 8, 163 * 1024, true}, old{80, 7, 96 * 1024, false};
  auto const disc = stencil::disc(5);
  auto const plan = [&](walk_device const& d, walk_problems const& p, stencil const& s = stencil::disc(5),
                        bool single = true) { return walk_plan::of(walk_schedule::automatic, d, p, s, single); };
  CHECK(plan(h200, {1, 4, 94, 125}).schedule == walk_schedule::grid);
  CHECK(plan(h200, {1, 4, 94, 125}).cut.rows == 2);
  CHECK(plan(h200, {64, 4, 94, 125}).schedule == walk_schedule::cluster);
  CHECK(plan(h200, {64, 4, 94, 125}).cut.bands() == 16);
  CHECK(walk_plan::of(walk_schedule::automatic, h200, {1, 4, 94, 125}, disc, true, false).schedule ==
        walk_schedule::cluster);
  CHECK(walk_plan::of(walk_schedule::automatic, a100, {1, 4, 94, 125}, disc, true, false).schedule ==
        walk_schedule::each_step);
  CHECK(plan(a100, {1, 4, 94, 125}).schedule == walk_schedule::grid);
  CHECK(plan(a100, {64, 4, 94, 125}).schedule == walk_schedule::each_step);
  CHECK(plan(old, {1, 4, 94, 125}).schedule == walk_schedule::each_step);
  CHECK(plan(h200, {1, 4, 94, 125}, stencil::disc(10)).schedule == walk_schedule::each_step);
  CHECK(plan(h200, {1, 4, 94, 125}, stencil::disc(3)).schedule == walk_schedule::grid);
  CHECK(plan(h200, {1, 4, 94, 125}, disc, false).schedule == walk_schedule::each_step);
  CHECK(plan(h200, {1, 4, 1024, 1024}).schedule == walk_schedule::each_step);
  CHECK(plan(h200, {0, 4, 94, 125}).schedule == walk_schedule::each_step);
  CHECK(plan(h200, {1, 4, 0, 125}).schedule == walk_schedule::each_step);
  // What is kept on the chip fits it.
  for (index_t const W : {1, 50, 125, 200, 384})
    for (index_t const bands : {1, 16, 132}) {
      auto const cut = walk_bands<R>::of(100, W, bands, h200.shared_memory);
      if (cut.rows == 0) continue;
      CHECK(cut.shared_bytes() <= h200.shared_memory);
      CHECK(cut.bands() * cut.rows >= 100);
    }
}

TEST_CASE("a schedule that cannot be is refused", "[walk][errors]")
{
  walk_device const a100{108, 8, 163 * 1024, true};
  auto const ask = [&](walk_schedule s, walk_problems const& p) {
    (void)walk_plan::of(s, a100, p, stencil::disc(5), true);
  };
  CHECK_THROWS_AS(ask(walk_schedule::cluster, {1, 4, 94, 125}), precondition_error);
  CHECK_THROWS_AS(ask(walk_schedule::grid, {1, 4, 1024, 1024}), precondition_error);
  CHECK_NOTHROW(ask(walk_schedule::grid, {1, 4, 94, 125}));
  for (auto const s : {walk_schedule::grid, walk_schedule::cluster})
    CAMBIUM_THROWS_SAYING((void)walk_plan::of(s, a100, {1, 4, 94, 125}, stencil::disc(12), true), precondition_error,
                          "a resident walk holds the edges of stencil::disc(5)");
}
