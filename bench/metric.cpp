#include "measure.hpp"

#include <cambium/io/coco.hpp>
#include <cambium/io/rle_masks.hpp>
#include <cambium/metric/coco_ap.hpp>

#include <cstdlib>
#include <filesystem>

namespace bench {

using namespace cambium;

namespace {

/// Masks like those of objects: soft blobs above a threshold.
std::vector<grid<std::uint8_t, 2>> objects(index_t count, index_t H, index_t W)
{
  auto const soft = blobs(count, H, W);
  std::vector<grid<std::uint8_t, 2>> out;
  for (index_t i = 0; i < count; ++i) {
    grid<std::uint8_t, 2> mask(H, W);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) mask(y, x) = soft(i, y, x) > 0.4f;
    out.push_back(std::move(mask));
  }
  return out;
}

std::vector<rle> encoded(index_t count, index_t H, index_t W)
{
  std::vector<rle> out;
  for (auto const& mask : objects(count, H, W)) out.push_back(encode_rle(mask));
  return out;
}

/// COCO's evaluation of masks, from its files to the scores. Scores outside of [0,1] would say that nothing was measured.
void coco_files(benchmark::State& state, cpu const& where, std::filesystem::path const& folder)
{
  double ap = -1;
  measure(state, {}, [&] {
    auto const set = parse_coco(where, read_file(folder / "gt.json"), "gt.json");
    auto const pairs = read_coco_pairs(where, set, folder / "res.json");
    ap = summarise(coco_ap(where, pairs, static_cast<index_t>(set.categories.size()))).ap;
  });
  state.counters["ap"] = ap;
  if (!(ap >= 0 && ap <= 1)) state.SkipWithError("no average precision");
}

}  // namespace

void add_metric()
{
  auto const add = [](char const* name, auto const& body) {
    benchmark::RegisterBenchmark(name, body)->Unit(benchmark::kMicrosecond);
  };
  add("metric/rle_encode/375x500", [](benchmark::State& state) {
    auto const mask = objects(1, 375, 500)[0];
    measure(state, {}, [&] { benchmark::DoNotOptimize(encode_rle(mask).counts.data()); });
  });
  add("metric/rle_encode_noise/375x500", [](benchmark::State& state) {
    auto const noise = uniform<float, 2>({375, 500}, 0, 2, 1);
    grid<std::uint8_t, 2> mask(375, 500);
    for (index_t i = 0; i < mask.size(); ++i) mask.data()[i] = noise.data()[i] < 1;
    measure(state, {}, [&] { benchmark::DoNotOptimize(encode_rle(mask).counts.data()); });
  });
  add("metric/rle_decode/375x500", [](benchmark::State& state) {
    auto const mask = encoded(1, 375, 500)[0];
    measure(state, {}, [&] { benchmark::DoNotOptimize(decode_rle(mask).data()); });
  });
  add("metric/rle_iou/375x500/20x20", [](benchmark::State& state) {
    auto const masks = encoded(20, 375, 500);
    measure(state, {}, [&] { benchmark::DoNotOptimize(rle_iou(masks, masks).data()); });
  });
  add("metric/rle_text/375x500", [](benchmark::State& state) {
    auto const mask = encoded(1, 375, 500)[0];
    measure(state, {},
            [&] { benchmark::DoNotOptimize(parse_counts(compressed_counts(mask), {375, 500}, "").counts.data()); });
  });
  if (char const* const folder = std::getenv("CAMBIUM_BENCH_COCO")) {  // see bench/python/coco.py
    add("metric/coco_files", [=](benchmark::State& s) { coco_files(s, all_cores, folder); });
    add("metric/coco_files_1thread", [=](benchmark::State& s) { coco_files(s, one_core, folder); });
  }
}

}  // namespace bench
