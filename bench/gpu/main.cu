// cambium_gpu_bench [walk] [components] [losses] [crf] [pipelines]: medians of device-event times.

#include "measure.cuh"

#include <cstring>

namespace bench {

card card::current()
{
  card out;
  int id = 0;
  throw_if_failed(cudaGetDevice(&id), "device");
  cudaDeviceProp properties{};
  throw_if_failed(cudaGetDeviceProperties(&properties, id), "device");
  out.name = properties.name;
  int clock = 0;
  throw_if_failed(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, id), "device");  // [kHz]
  out.gflops = 2.0 * 128 * properties.multiProcessorCount * clock * 1e-6;
  cambium::gpu const where;
  std::size_t const half = std::size_t{1} << 29;
  cambium::device_bytes const from(where, half), to(where, half);
  double const ms = median_ms(where, [&] {
    throw_if_failed(cudaMemcpyAsync(to.data(), from.data(), half, cudaMemcpyDeviceToDevice, where.stream), "copy");
  });
  out.copy_gbytes = 2.0 * static_cast<double>(half) / ms * 1e-6;
  return out;
}

}  // namespace bench

int main(int count, char** arguments)
{
  if (cambium::device_count() == 0) {
    std::printf("no CUDA device: nothing is measured\n");
    return 77;
  }
  try {
    auto const c = bench::card::current();
    std::printf("%s: %.0f GFLOP/s single precision at its highest clock, %.0f GB/s measured by a copy\n",
                c.name.c_str(), c.gflops, c.copy_gbytes);
    auto const asked = [&](char const* part) {
      bool any = count < 2;
      for (int i = 1; i < count; ++i) any = any || std::strcmp(arguments[i], part) == 0;
      return any;
    };
    if (asked("walk")) bench::walk(c);
    if (asked("components")) bench::components(c);
    if (asked("losses")) bench::losses(c);
    if (asked("crf")) bench::crf(c);
    if (asked("pipelines")) bench::pipelines(c);
    return 0;
  } catch (std::exception const& e) {
    std::fprintf(stderr, "cambium_gpu_bench: %s\n", e.what());
    return 2;
  }
}
