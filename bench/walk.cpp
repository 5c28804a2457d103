// random_walk: exact and accelerated, at every size; the one-rule loop, CSR and the squared dense matrix beside it.

#include "baselines.hpp"
#include "measure.hpp"

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/walk/random_walk.hpp>

#include <cstdio>

namespace bench {

using namespace cambium;

namespace {

constexpr int steps = 256;

struct problem {
  grid<float, 3> seeds, out;
  transition<float> t;

  problem(index_t C, index_t H, index_t W, weight_format format = weight_format::full)
      : seeds(blobs(C, H, W)),
        out(C, H, W),
        t(make_transition(all_cores, stencil::disc(5), path_affinity(all_cores, boundary_map(H, W), stencil::disc(5)),
                          {.weights = format}))
  {
  }
  /// Multiply-adds of the operator itself: K edges from both ends, the self edge, and the normalisation.
  amount work() const { return {2.0 * (2 * t.edges.size + 1) * static_cast<double>(seeds.size()) * steps}; }
};

double largest_gap(grid<float, 3> const& a, grid<float, 3> const& b)
{
  double gap = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i)
    gap = std::max(gap, std::abs(static_cast<double>(a.cells()[i]) - static_cast<double>(b.cells()[i])));
  return gap;
}

void lanes(benchmark::State& state, index_t C, index_t H, index_t W, double tolerance,
           weight_format format = weight_format::full)
{
  problem p(C, H, W, format);
  walk_options const options{.steps = steps, .tolerance = tolerance};
  walk_scratch<float> scratch(all_cores, C, H, W, p.t.edges, tolerance, format);
  measure(state, p.work(), [&] { random_walk_into(all_cores, p.seeds, p.t, options, p.out, scratch); });
  state.counters["ns_per_cell_channel_step"] =
      state.counters["median_ms"] * 1e6 / static_cast<double>(p.seeds.size()) / steps;
  if (tolerance > 0) {
    // against the walk in double, with the same weights: the error a user gets, rounding included
    transition<double> d{p.t.edges, grid_like<double, host>(p.t.weight.view()),
                         grid_like<double, host>(p.t.inverse_degree.view())};
    std::copy(p.t.weight.cells().begin(), p.t.weight.cells().end(), d.weight.data());
    index_t const cells[3] = {1, H, W};
    for_each_cell(all_cores, cells, rule::invert_degree<double, host>{d.edges, d.weight.view(), d.inverse_degree});
    grid<double, 3> seeds(C, H, W);
    std::copy(p.seeds.cells().begin(), p.seeds.cells().end(), seeds.data());
    if (H * W <= 20000) {
      auto const truth = random_walk(all_cores, seeds, d, {.steps = steps});
      double gap = 0;
      for (std::size_t i = 0; i < truth.cells().size(); ++i)
        gap = std::max(gap, std::abs(truth.cells()[i] - static_cast<double>(p.out.cells()[i])));
      state.counters["max_error"] = gap;
    }
  }
}

}  // namespace

void add_walk()
{
  auto const add = [](std::string const& name, auto const& run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond);
  };
  for (auto const& [H, W] : sizes)
    for (index_t const C : {1, 4, 16}) {
      std::string const name = size_name(H, W) + "/" + std::to_string(C);
      add("walk/exact/" + name, [=, h = H, w = W](benchmark::State& s) { lanes(s, C, h, w, 0); });
      add("walk/accelerated/" + name, [=, h = H, w = W](benchmark::State& s) { lanes(s, C, h, w, 3e-5); });
      add("walk/bfloat16/" + name,
          [=, h = H, w = W](benchmark::State& s) { lanes(s, C, h, w, 0, weight_format::bfloat16); });
    }
  add("walk/exact/47x63/4", [](benchmark::State& s) { lanes(s, 4, 47, 63, 0); });

  add("walk/rule/94x125/4", [](benchmark::State& state) {
    problem p(4, 94, 125);
    auto other = p.out;
    measure(state, p.work(), [&] {
      stack_view<float const> from = p.seeds;
      stack_view<float> to = p.out, next = other;
      for (int i = 0; i < steps; ++i) {
        for_each_cell(all_cores, p.seeds.view().extent, rule::walk_step<float, host>{p.t.view(), from, to});
        from = to;
        std::swap(to, next);
      }
    });
  });
  add("walk/csr/94x125/4", [](benchmark::State& state) {
    problem p(4, 94, 125);
    sparse_walk const baseline(p.t.view());
    measure(state, p.work(), [&] { baseline.run(p.seeds, steps, p.out); });
    auto const ours = random_walk(all_cores, p.seeds, p.t, {.steps = steps});
    if (largest_gap(ours, p.out) > 1e-3) state.SkipWithError("the baseline computes something else");
  });
  add("walk/dense/47x63/4", [](benchmark::State& state) {
    problem p(4, 47, 63);
    dense_walk const baseline(p.t.view());
    measure(state, p.work(), [&] { baseline.run(p.seeds, 8, p.out); });
    auto const ours = random_walk(all_cores, p.seeds, p.t, {.steps = steps});
    if (largest_gap(ours, p.out) > 1e-3) state.SkipWithError("the baseline computes something else");
  });
}

}  // namespace bench
