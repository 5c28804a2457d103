// PAR and PAMR. The baseline is one loop over cells, channels and neighbours, by the rules that a device runs.
#include "measure.hpp"

#include <cambium/pipeline/pixel_adaptive.hpp>

namespace bench {

using namespace cambium;

namespace {

struct adaptive_work {
  grid<float, 3> image, masks, out, weight;
  dilated_neighbours near;
  pixel_adaptive_scratch<float, cpu> scratch;  ///< of weights that are made row by row
  colour_affinity_scratch<float, cpu> colours;
  neighbour_walk_scratch<float> walk;  ///< of stored weights

  adaptive_work(index_t C, index_t H, index_t W, cpu const& where)
      : image(uniform<float, 3>({3, H, W}, 0, 255, 3)),
        masks(blobs(C, H, W)),
        out(C, H, W),
        weight(near.size(), H, W),
        scratch(where, image.view().extent, masks.view().extent, {}),
        colours(where, image.view().extent, near),
        walk(where, C, H, W, near)
  {
    colour_affinity_into(where, image, near, {}, weight, colours);
  }
  double flop() const { return 2.0 * near.size() * static_cast<double>(out.size()); }
};

void add_rows(index_t C, cpu const& where, std::string const& name)
{
  constexpr index_t N = 448;
  auto const add = [&](std::string const& what, auto const& work, double steps) {
    benchmark::RegisterBenchmark((what + name).c_str(), [=](benchmark::State& state) {
      adaptive_work w(C, N, N, where);
      measure(state, {steps * w.flop(), 0}, [&] { work(w); });
    })->Unit(benchmark::kMillisecond);
  };
  add(
      "pixel_adaptive/par",
      [=](adaptive_work& w) {
        pixel_adaptive_into(where, w.image, w.masks, colour_affinity_options::par(), {}, w.out, w.scratch, "par");
      },
      10);
  add(
      "pixel_adaptive/pamr",
      [=](adaptive_work& w) {
        pixel_adaptive_into(where, w.image, w.masks, colour_affinity_options::pamr(), {}, w.out, w.scratch, "pamr");
      },
      10);
  add(
      "pixel_adaptive/par_stored_weights",
      [=](adaptive_work& w) {
        colour_affinity_into(where, w.image, w.near, {}, w.weight, w.colours);
        neighbour_walk_into(where, w.masks, w.weight, w.near, {10}, w.out, w.walk);
      },
      10);
  add(
      "affinity/colour",
      [=](adaptive_work& w) { colour_affinity_into(where, w.image, w.near, {}, w.weight, w.colours); }, 0);
  add(
      "affinity/colour_by_rule",
      [=](adaptive_work& w) {
        for_each_cell(where, {1, N, N},
                      rule::colour_affinity_pixel<float, host>{w.near, w.image, true, 0.3f, 1.f,
                                                               w.colours.position.data(), w.weight});
      },
      0);
  add(
      "walk/neighbours",
      [=](adaptive_work& w) { neighbour_walk_into(where, w.masks, w.weight, w.near, {1}, w.out, w.walk); }, 1);
  add(
      "walk/neighbours_by_rule",
      [=](adaptive_work& w) {
        for_each_cell(where, w.out.view().extent, rule::neighbour_step<float, host>{w.near, w.weight, w.masks, w.out});
      },
      1);
}

}  // namespace

void add_pixel_adaptive()
{
  for (index_t const C : {1, 3, 21}) add_rows(C, all_cores, "/448x448/" + std::to_string(C));
  add_rows(21, one_core, "_1thread/448x448/21");
}

}  // namespace bench
