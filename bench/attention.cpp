// Affinity from attention: 14 x 14 to 40 x 40 tokens; Eigen's matrices beside it.

#include "attention_eigen.hpp"
#include "measure.hpp"

#include <cambium/affinity/attention.hpp>

#include <cmath>
#include <stdexcept>

namespace bench {

using namespace cambium;

namespace {

grid<float, 2> sharp_attention(index_t tokens)
{
  auto w = uniform<float, 2>({tokens, tokens}, 0.01, 1, 3);
  for (auto& v : w.cells()) v = v * v * v * v;
  return w;
}

double flop(index_t n) { return 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n); }

}  // namespace

void add_attention()
{
  for (index_t const side : {14, 28, 40}) {
    index_t const n = side * side;
    std::string const size = std::to_string(n);
    for (bool const all : {false, true})
      benchmark::RegisterBenchmark(("affinity/attention" + std::string(all ? "_all_cores/" : "/") + size).c_str(),
                                   [=](benchmark::State& state) {
                                     auto const w = sharp_attention(n);
                                     grid<float, 2> out(n, n);
                                     attention_scratch<cpu> scratch;
                                     cpu const where = all ? all_cores : one_core;
                                     measure(state, {flop(n), 0},
                                             [&] { attention_affinity_into(where, w, {}, out, scratch); });
                                   })
          ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("affinity/attention_eigen/" + size).c_str(), [=](benchmark::State& state) {
      auto const w = sharp_attention(n);
      grid<float, 2> out(n, n);
      measure(state, {flop(n), 0}, [&] { eigen_attention_affinity(w, 3, out); });
      auto const ours = attention_affinity(one_core, w);
      for (std::size_t i = 0; i < out.cells().size(); ++i)
        if (std::abs(ours.cells()[i] - out.cells()[i]) > 1e-5F * out.cells()[0] + 1e-5F)
          throw std::runtime_error("affinities differ");
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace bench
