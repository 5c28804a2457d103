// Sets of masks, and the matrix product of floats that toolkits take for their overlaps.

#include "baselines.hpp"
#include "measure.hpp"

#include <cambium/io/mask_runs.hpp>
#include <cambium/proposal/clean.hpp>
#include <cambium/proposal/matrix_nms.hpp>
#include <cambium/proposal/merge.hpp>
#include <cambium/proposal/nms.hpp>
#include <cambium/proposal/paint.hpp>
#include <cambium/proposal/pairwise.hpp>

#include <cmath>

namespace bench {

using namespace cambium;

namespace {

constexpr index_t side = 640, masks_of_image = 200;

/// Masks as an automatic generator makes them: many small ones and a few that fill half of the image, wobbly, in groups
/// of nearly equal ones.
grid<std::uint8_t, 3> make_proposals()
{
  grid<std::uint8_t, 3> out(masks_of_image, side, side);
  auto const drawn = uniform<double, 2>({masks_of_image, 4}, 0, 1, 7);
  for (index_t i = 0; i < masks_of_image; ++i) {
    index_t const like = i % 4 == 3 ? i - 1 : i;  // every fourth is like the one before it
    double const cy = drawn(like, 0) * side, cx = drawn(like, 1) * side, r = 8 * std::pow(40., drawn(like, 2));
    double const flat = 0.5 + drawn(like, 3), shift = i != like ? 0.03 * r : 0;
    box const around = clipped({static_cast<index_t>(cy - 3 * r), static_cast<index_t>(cx - 2 * r),
                                static_cast<index_t>(cy + 3 * r), static_cast<index_t>(cx + 2 * r)},
                               side, side);
    for (index_t y = around.top; y < around.bottom; ++y)
      for (index_t x = around.left; x < around.right; ++x) {
        double const dy = (static_cast<double>(y) - cy) * flat, dx = static_cast<double>(x) - cx - shift;
        out(i, y, x) = std::sqrt(dy * dy + dx * dx) < r * (1 + 0.1 * std::sin(7 * std::atan2(dy, dx)));
      }
  }
  return out;
}
grid<std::uint8_t, 3> const& proposals()
{
  static auto const made = make_proposals();
  return made;
}

std::vector<double> scores()
{
  auto const drawn = uniform<double, 1>({masks_of_image}, 0, 1, 9);
  return {drawn.cells().begin(), drawn.cells().end()};
}

}  // namespace

void add_proposal()
{
  auto const add = [](std::string const& name, auto const& body) {
    benchmark::RegisterBenchmark(("proposal/" + name + "/640x640/200").c_str(), body)->Unit(benchmark::kMillisecond);
  };
  // What is measured holds no more than its input and the result.
  auto const bytes_of = [](mask_set<> const& m) {
    return static_cast<double>(m.words.size() * 8 + m.size() * static_cast<index_t>(sizeof(packed_mask)));
  };
  for (cpu const& where : {one_core, all_cores}) {
    std::string const threads = where.threads == 1 ? "_one_core" : "";
    add("iou_and_nms" + threads, [=](benchmark::State& state) {
      auto const masks = pack_masks(all_cores, proposals());
      auto const order = scores();
      state.counters["megabytes"] = 1e-6 * (bytes_of(masks) + 8. * masks_of_image * masks_of_image);
      measure(state, {}, [&] {
        benchmark::DoNotOptimize(pairwise_iou(where, masks).data());
        benchmark::DoNotOptimize(mask_nms(where, masks, order).data());
      });
    });
    add("iou" + threads, [=](benchmark::State& state) {
      auto const masks = pack_masks(all_cores, proposals());
      measure(state, {}, [&] { benchmark::DoNotOptimize(pairwise_iou(where, masks).data()); });
    });
    add("nms" + threads, [=](benchmark::State& state) {
      auto const masks = pack_masks(all_cores, proposals());
      auto const order = scores();
      measure(state, {}, [&] { benchmark::DoNotOptimize(mask_nms(where, masks, order).data()); });
    });
    add("pack_bytes" + threads, [=](benchmark::State& state) {
      auto const& cells = proposals();
      measure(state, {.bytes = static_cast<double>(cells.size())},
              [&] { benchmark::DoNotOptimize(pack_masks(where, cells).words.data()); });
    });
    add("pack_runs" + threads, [=](benchmark::State& state) {
      auto const masks = pack_masks(all_cores, proposals());
      auto const runs = encode_rle(all_cores, masks);
      measure(state, {}, [&] { benchmark::DoNotOptimize(pack_masks(where, runs, masks.image).words.data()); });
    });
  }
  add("dense_iou_and_nms", [](benchmark::State& state) {
    auto const& cells = proposals();
    auto const order = scores();
    state.counters["megabytes"] =
        1e-6 * (4. * static_cast<double>(cells.size()) + 4. * masks_of_image * masks_of_image);
    measure(state, {.flop = 2. * masks_of_image * static_cast<double>(cells.size())},
            [&] { benchmark::DoNotOptimize(dense_iou_and_nms(cells, order, 0.7).data()); });
  });
  add("dense_iou_and_nms_of_floats", [](benchmark::State& state) {
    auto const& cells = proposals();
    auto const order = scores();
    dense_masks const masks(cells);
    measure(state, {.flop = 2. * masks_of_image * static_cast<double>(cells.size())},
            [&] { benchmark::DoNotOptimize(masks.iou_and_nms(order, 0.7).data()); });
  });
  add("matrix_nms_one_core", [](benchmark::State& state) {
    auto const masks = pack_masks(all_cores, proposals());
    auto const order = scores();
    measure(state, {}, [&] { benchmark::DoNotOptimize(matrix_nms(one_core, masks, order).data()); });
  });
  add("clean_one_core", [](benchmark::State& state) {
    auto const masks = pack_masks(all_cores, proposals());
    measure(state, {}, [&] { benchmark::DoNotOptimize(clean_masks(one_core, masks, {.min_area = 100}).kept.data()); });
  });
  add("paint_one_core", [](benchmark::State& state) {
    auto const masks = pack_masks(all_cores, proposals());
    auto const order = order_to_paint(masks, paint_order::largest_first);
    measure(state, {}, [&] { benchmark::DoNotOptimize(paint_masks(one_core, masks, order).data()); });
  });
  add("merge_one_core", [](benchmark::State& state) {
    auto const masks = pack_masks(all_cores, proposals());
    auto const soft = blobs(4, side, side);
    grid<std::uint8_t, 2> map(side, side);
    for (index_t y = 0; y < side; ++y)
      for (index_t x = 0; x < side; ++x)
        for (index_t c = 0; c < 4; ++c)
          if (soft(c, y, x) > 0.4f) map(y, x) = static_cast<std::uint8_t>(c + 1);
    measure(state, {}, [&] { benchmark::DoNotOptimize(merge_masks(one_core, masks, map).data()); });
  });
}

}  // namespace bench
