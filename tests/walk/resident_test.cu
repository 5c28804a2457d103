// The resident walk, played on a core: every block and thread of a launch in turn, steps parted as by its waits.
#include <cambium/walk/random_walk.cuh>

#include <cambium/affinity/make_transition.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

using namespace cambium;

namespace {

constexpr int R = resident_radius;

struct batch {
  stencil edges;
  grid<float, 4> seeds, weight;
  grid<float, 3> inverse;

  batch(index_t B, index_t C, index_t H, index_t W, stencil const& s, unsigned seed)
      : edges(s), seeds(support::uniform<float, 4>({B, C, H, W}, 0, 1, seed)), weight(B, s.size, H, W), inverse(B, H, W)
  {
    for (index_t b = 0; b < B; ++b) {
      auto const affinity = support::uniform<float, 3>({s.size, H, W}, 0, 1, seed + 7 + static_cast<unsigned>(b));
      auto const t = make_transition(cpu{.threads = 1}, s, affinity, {.beta = 3});
      std::copy(t.weight.cells().begin(), t.weight.cells().end(), weight.data() + b * s.size * H * W);
      std::copy(t.inverse_degree.cells().begin(), t.inverse_degree.cells().end(), inverse.data() + b * H * W);
    }
  }

  transition<float> of(index_t b) const
  {
    auto const [B, K, H, W] = weight.shape();
    transition<float> t{edges, make_grid<float>({K, H, W}), make_grid<float>({H, W})};
    std::copy_n(weight.data() + b * K * H * W, K * H * W, t.weight.data());
    std::copy_n(inverse.data() + b * H * W, H * W, t.inverse_degree.data());
    return t;
  }
};

/// @param series  null: an exact walk of `steps` steps
grid<float, 4> play(batch const& in, walk_bands<R> const& cut, index_t steps, chebyshev_power const* series = nullptr)
{
  auto const [B, C, H, W] = in.seeds.shape();
  walk_problems const all{B, C, H, W};
  std::vector<quad> maps[2];
  for (auto& map : maps) map.resize(static_cast<std::size_t>(all.count() * H * W), quad{-1, -1, -1, -1});
  cpu const one{.threads = 1};
  std::vector<quad> seeds(maps[0].size(), quad{-1, -1, -1, -1});
  std::vector<value_range<float>> channel(static_cast<std::size_t>(B * C));
  gather_quads<host> gather{all, in.seeds.view(), maps[0].data()};
  if (series != nullptr) {
    workspace<cpu> space;
    measure_channels(one, view<float const, 4>(in.seeds.view()), channel.data(), space);
    gather = {
        all,          in.seeds.view(), maps[0].data(), channel.data(), static_cast<float>(series->coefficient.back()),
        seeds.data(), maps[1].data()};
    steps = series->degree();
  }
  for_each_cell(one, {all.count(), H, W}, gather);
  auto const places = edge_places<R>::of(in.edges);
  for (index_t problem = 0; problem < all.count(); ++problem) {
    quad* const map[2] = {maps[0].data() + problem * H * W, maps[1].data() + problem * H * W};
    struct block {
      std::vector<walk_thread<R, host>> threads;
      std::vector<quad> tile[2];
    };
    std::vector<block> blocks(static_cast<std::size_t>(cut.bands()));
    for (std::size_t band = 0; band < blocks.size(); ++band)
      for (int t = 0; t < cut.threads(); ++t) {
        auto& b = blocks[band];
        b.tile[0].resize(static_cast<std::size_t>(cut.tile_size()), quad{7, 7, 7, 7});
        b.tile[1] = b.tile[0];
        b.threads.emplace_back(cut, static_cast<index_t>(band), t);
        b.threads.back().load(in.weight.view()[problem / all.groups()], in.inverse.view()[problem / all.groups()],
                              places);
        fill_tile(cut, static_cast<index_t>(band), t, cut.threads(), 0, cut.tile_rows(), from_memory{map[0]},
                  b.tile[0].data());
        fill_tile(cut, static_cast<index_t>(band), t, cut.threads(), 0, cut.tile_rows(), nothing{}, b.tile[1].data());
      }
    if (series != nullptr)
      for (std::size_t band = 0; band < blocks.size(); ++band)
        for (int t = 0; t < cut.threads(); ++t)
          fill_tile(cut, static_cast<index_t>(band), t, cut.threads(), walk_bands<R>::reach,
                    walk_bands<R>::reach + cut.rows, from_memory{map[1]}, blocks[band].tile[1].data());
    for (index_t s = 0; s < steps; ++s) {
      quad* const to = map[1 - s % 2];
      auto const take = [&](auto const& form) {
        for (auto& b : blocks)
          for (auto const& t : b.threads) t.step(b.tile[s % 2].data(), b.tile[1 - s % 2].data(), to, form);
      };
      index_t const first = s / walk_series::most * walk_series::most;  // of a launch
      if (series != nullptr)
        take(walk_series::of(*series, first, seeds.data()).at(s - first, problem * H * W));
      else
        take(walk_powers{steps}.at(s, problem * H * W));
      for (std::size_t band = 0; band < blocks.size(); ++band)
        for (int t = 0; t < cut.threads(); ++t) {
          auto* const next = blocks[band].tile[1 - s % 2].data();
          auto const fill = [&](int from, int until) {
            fill_tile(cut, static_cast<index_t>(band), t, cut.threads(), from, until, from_memory{to}, next);
          };
          fill(0, walk_bands<R>::reach);
          fill(walk_bands<R>::reach + cut.rows, cut.tile_rows());
        }
    }
  }
  auto out = make_grid<float>({B, C, H, W});
  for_each_cell(one, {all.count(), H, W},
                scatter_quads<host>{all, maps[steps % 2].data(), out.view(), series ? channel.data() : nullptr});
  return out;
}

grid<float, 3> by_rule(grid<float, 4> const& seeds, index_t b, transition<float> const& t, index_t steps)
{
  auto const [B, C, H, W] = seeds.shape();
  auto from = make_grid<float>({C, H, W}), to = make_grid<float>({C, H, W});
  std::copy_n(seeds.data() + b * C * H * W, C * H * W, from.data());
  for (index_t s = 0; s < steps; ++s) {
    for_each_cell(cpu{.threads = 1}, {C, H, W}, walk_step<float, host>{t.view(), from, to});
    std::swap(from, to);
  }
  return from;
}

}  // namespace

TEST_CASE("the blocks of a resident walk equal the rule", "[walk][reference]")
{
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>(
      {{1, 1, 1, 1}, {1, 4, 2, 3}, {2, 5, 9, 8}, {1, 3, 21, 1}, {3, 4, 23, 17}, {1, 2, 5, 384}, {1, 9, 31, 20}}));
  auto const radius = GENERATE(1, 2, 5);
  auto const most_bands = GENERATE(1, 3, 16, 132);
  auto const steps = GENERATE(0, 1, 2, 5);
  CAPTURE(B, C, H, W, radius, most_bands, steps);
  auto const cut = walk_bands<R>::of(H, W, most_bands, 227 * 1024);
  if (cut.rows == 0) return;
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

TEST_CASE("the blocks of a resident walk with a tolerance keep it", "[walk][reference]")
{
  auto const [B, C, H, W] = GENERATE(table<int, int, int, int>({{1, 1, 1, 1}, {2, 5, 9, 8}, {1, 3, 21, 16}}));
  auto const most_bands = GENERATE(1, 3, 16);
  auto const [steps, tolerance] =
      GENERATE(table<int, double>({{1, 0.5}, {2, 1e-3}, {64, 1e-3}, {256, 2e-5}, {256, 0.9}, {40000, 1e-6}}));
  CAPTURE(B, C, H, W, most_bands, steps, tolerance);
  auto const cut = walk_bands<R>::of(H, W, most_bands, 227 * 1024);
  if (cut.rows == 0 || (steps > 1000 && most_bands > 1)) return;
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
    auto const has = walk_device::current();
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
