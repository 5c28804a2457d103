// 01  Arrays: yours go in without a copy.
//
// cambium's stages take views. Any contiguous row-major array converts to a view: your own type, xtensor's, Boost's,
// or cambium's grid. An array of the wrong shape or layout is refused with a message before anything is written.
//
//   $ ./01_arrays

#include <cambium/activation/normalise.hpp>
#include <cambium/interop/xtensor.hpp>

#include <array>
#include <cstdio>
#include <vector>

/// All an array needs: data() and shape().
struct my_maps {
  std::vector<float> cells;
  std::array<long, 3> extents;

  float const* data() const { return cells.data(); }
  std::array<long, 3> const& shape() const { return extents; }
};

int main()
{
  using namespace cambium;

  // 1. Your own type, [C,H,W] = [1,2,3].
  my_maps const mine{{0, 1, 2, 3, 4, 5}, {1, 2, 3}};
  grid<float, 3> const scaled = normalise(cpu{}, mine, {.by = normalisation::min_max});
  std::printf("own type: %.1f %.1f %.1f\n", scaled(0, 0, 0), scaled(0, 0, 1), scaled(0, 1, 2));

  // 2. xtensor in, xtensor out; the cells are moved, not copied.
  xt::xtensor<float, 3> const tensor = xt::reshape_view(xt::arange<float>(6), {1, 2, 3});
  auto const out = into_xtensor(normalise(cpu{}, tensor, {.by = normalisation::min_max}));
  std::printf("xtensor:  %.1f %.1f %.1f\n", out(0, 0, 0), out(0, 0, 1), out(0, 1, 2));

  // 3. A window into a larger array: pointer, extents, strides.
  stack_view<float const> window(mine.cells.data(), {1, 2, 3});
  window.extent[2] = 2;  // the first two columns; the strides stay those of the array
  auto const part = normalise(cpu{.threads = 1}, window, {.by = normalisation::min_max});
  std::printf("window:   %.2f %.2f %.2f %.2f\n", part(0, 0, 0), part(0, 0, 1), part(0, 1, 0), part(0, 1, 1));

  // 4. A message names the argument and its fault.
  try {
    auto broken = mine;
    broken.cells[4] = std::numeric_limits<float>::quiet_NaN();
    static_cast<void>(normalise(cpu{}, broken));
  } catch (precondition_error const& e) {
    std::printf("refused:  %s\n", e.what());
  }
}
