// Connected components; OpenCV's beside them when the bench was built with it.

#include "measure.hpp"

#include <cambium/component/connected.hpp>
#include <cambium/component/statistics.hpp>

#include <cmath>

#if defined(CAMBIUM_BENCH_OPENCV)
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#endif

namespace bench {

using namespace cambium;

namespace {

grid<std::uint8_t, 2> mask_of_blobs(index_t n)
{
  auto const ragged = uniform<float, 2>({n, n}, 0, 0.3, 1);
  grid<std::uint8_t, 2> out(n, n);
  for (index_t y = 0; y < n; ++y)
    for (index_t x = 0; x < n; ++x) {
      double const py = static_cast<double>(y), px = static_cast<double>(x);
      out(y, x) = std::sin(px * 0.031 + 2 * std::sin(py * 0.013)) + std::sin(py * 0.027 + 1.7 * std::sin(px * 0.017)) >
                  0.3 + static_cast<double>(ragged(y, x));
    }
  return out;
}

grid<std::uint8_t, 2> random_mask(index_t n)
{
  std::mt19937_64 bits(1);
  grid<std::uint8_t, 2> out(n, n);
  for (auto& v : out.cells()) v = bits() >> 63 & 1;
  return out;
}

void add(std::string const& name, bool random, neighbourhood const& near, cpu const& where)
{
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    index_t const n = 4096;
    auto const mask = random ? random_mask(n) : mask_of_blobs(n);
    grid<std::int32_t, 2> out(n, n);
    connected_scratch<cpu> scratch;
    grid<index_t, 1> count(1);
    measure(state, {0, 5.0 * static_cast<double>(n * n)},
            [&] { connected_into(where, mask, near, out, count, scratch); });
    state.counters["components"] = static_cast<double>(count(0));
  })->Unit(benchmark::kMillisecond);
}

#if defined(CAMBIUM_BENCH_OPENCV)
void add_opencv(std::string const& name, bool random, int near)
{
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    int const n = 4096;
    auto mask = random ? random_mask(n) : mask_of_blobs(n);
    cv::setNumThreads(1);
    cv::Mat const image(n, n, CV_8U, mask.data());
    cv::Mat labels;
    int count = 0;
    measure(state, {0, 5.0 * n * n}, [&] { count = cv::connectedComponents(image, labels, near) - 1; });
    state.counters["components"] = count;
  })->Unit(benchmark::kMillisecond);
}
#endif

}  // namespace

void add_component()
{
  for (bool const random : {false, true}) {
    std::string const suffix = std::string(random ? "_random" : "") + "/4096x4096";
    add("component/connected4" + suffix, random, c4, one_core);
    add("component/connected8" + suffix, random, c8, one_core);
    add("component/connected4_all_cores" + suffix, random, c4, all_cores);
#if defined(CAMBIUM_BENCH_OPENCV)
    add_opencv("component/opencv4" + suffix, random, 4);
    add_opencv("component/opencv8" + suffix, random, 8);
#endif
  }
  benchmark::RegisterBenchmark("component/connected_equal4/4096x4096", [](benchmark::State& state) {
    auto const labels = mask_of_blobs(4096);
    measure(state, {0, 5.0 * 4096 * 4096}, [&] { benchmark::DoNotOptimize(connected_equal(one_core, labels).count); });
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("component/statistics/4096x4096", [](benchmark::State& state) {
    auto const found = connected(one_core, mask_of_blobs(4096));
    measure(state, {0, 4.0 * 4096 * 4096},
            [&] { benchmark::DoNotOptimize(statistics(one_core, found.label, found.count).data()); });
  })->Unit(benchmark::kMillisecond);
}

}  // namespace bench
