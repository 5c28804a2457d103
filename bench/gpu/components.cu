// Connected components and their statistics, 4096 x 4096.

#include <cambium/exec/gpu.cuh>
#include "measure.cuh"

#include <cambium/component/connected.hpp>
#include <cambium/component/statistics.hpp>

#include <cmath>

namespace bench {

using namespace cambium;

namespace {

constexpr index_t side = 4096;

/// Blobs of some 50 cells, or cells by chance.
grid<std::uint8_t, 2> mask(bool blobs)
{
  grid<std::uint8_t, 2> out(side, side);
  std::uint32_t random = 12345;
  for (index_t y = 0; y < side; ++y)
    for (index_t x = 0; x < side; ++x) {
      random = random * 1664525u + 1013904223u;
      double const u = static_cast<double>(x), v = static_cast<double>(y);
      out(y, x) = blobs ? std::sin(u / 8) * std::cos(v / 8) + 0.5 * std::sin((u + v) / 21) > 0.1 : random >> 31;
    }
  return out;
}

}  // namespace

void components(card const& c)
{
  gpu const where;
  for (bool const blobs : {true, false})
    for (auto const& near : {c4, c8}) {
      auto const in = to_device(where, mask(blobs));
      auto out = make_grid<std::int32_t>(where, {side, side});
      auto count = make_grid<index_t>(where, {1});
      connected_scratch<gpu> scratch;
      std::string const name = std::string("components 4096x4096, ") + (blobs ? "blobs" : "random") +
                               (near == c4 ? ", 4 neighbours" : ", 8 neighbours");
      double const cells = static_cast<double>(side * side);
      double const ms = median_ms(where, [&] { connected_into(where, in, near, out, count, scratch); });
      // five passes over the mask and the labels
      report(c, name.c_str(), ms, 1, 0, 5 * 5 * cells * 1e-9);
      auto const found = to_host(where, count);
      double const both = median_ms(where, [&] {
        connected_into(where, in, near, out, count, scratch);
        (void)statistics(where, out, found(0));
      });
      report(c, (name + ", statistics").c_str(), both, 1, 0, 5 * 5 * cells * 1e-9);
    }
}

}  // namespace bench
