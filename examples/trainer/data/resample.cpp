#include "data/resample.hpp"

#include <cambium/core/error.hpp>
#include <cambium/grid/bilinear.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace trainer {

using cambium::expects;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;

namespace {

constexpr int weight_bits = 22;  // of 32: eight for a byte, two for sums beyond it

double triangle(double x) { return std::max(0.0, 1 - std::abs(x)); }

double cubic(double x)
{
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// The pixels that one pixel of the result is made of, and their weights.
struct reach {
  index_t first = 0;
  std::vector<int> weight;
};

std::vector<reach> reaches(index_t m, index_t n, kernel shape)
{
  double const scale = static_cast<double>(m) / static_cast<double>(n), wide = std::max(scale, 1.0);
  double const support = (shape == kernel::bicubic ? 2 : 1) * wide, narrow = 1 / wide;
  std::vector<reach> out(static_cast<std::size_t>(n));
  std::vector<double> weight;
  for (index_t i = 0; i < n; ++i) {
    double const centre = (static_cast<double>(i) + 0.5) * scale;
    index_t const first = std::max<index_t>(0, static_cast<index_t>(centre - support + 0.5));
    index_t const last = std::min(m, static_cast<index_t>(centre + support + 0.5));
    weight.clear();
    double sum = 0;
    for (index_t k = first; k < last; ++k) {
      double const x = (static_cast<double>(k) - centre + 0.5) * narrow;
      weight.push_back(shape == kernel::bicubic ? cubic(x) : triangle(x));
      sum += weight.back();
    }
    reach& r = out[static_cast<std::size_t>(i)];
    r.first = first;
    for (double w : weight) {
      if (sum != 0) w /= sum;
      r.weight.push_back(static_cast<int>((w < 0 ? -0.5 : 0.5) + w * (1 << weight_bits)));
    }
  }
  return out;
}

std::uint8_t byte_of(int sum) { return static_cast<std::uint8_t>(std::clamp(sum >> weight_bits, 0, 255)); }

grid<std::uint8_t, 3> along_rows(grid<std::uint8_t, 3> const& in, index_t W, kernel shape)
{
  index_t const H = in.shape()[0], w = in.shape()[1];
  auto const from = reaches(w, W, shape);
  grid<std::uint8_t, 3> out(H, W, 3);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      reach const& r = from[static_cast<std::size_t>(x)];
      std::uint8_t const* p = in.data() + (y * w + r.first) * 3;
      int sum[3] = {1 << (weight_bits - 1), 1 << (weight_bits - 1), 1 << (weight_bits - 1)};
      for (int const k : r.weight) {
        for (int c = 0; c < 3; ++c) sum[c] += k * p[c];
        p += 3;
      }
      for (int c = 0; c < 3; ++c) out(y, x, c) = byte_of(sum[c]);
    }
  return out;
}

grid<std::uint8_t, 3> along_columns(grid<std::uint8_t, 3> const& in, index_t H, kernel shape)
{
  index_t const h = in.shape()[0], row = in.shape()[1] * 3;
  auto const from = reaches(h, H, shape);
  grid<std::uint8_t, 3> out(H, in.shape()[1], 3);
  std::vector<int> sum(static_cast<std::size_t>(row));
  for (index_t y = 0; y < H; ++y) {
    reach const& r = from[static_cast<std::size_t>(y)];
    std::fill(sum.begin(), sum.end(), 1 << (weight_bits - 1));
    for (std::size_t k = 0; k < r.weight.size(); ++k) {
      std::uint8_t const* const p = in.data() + (r.first + static_cast<index_t>(k)) * row;
      for (index_t x = 0; x < row; ++x) sum[static_cast<std::size_t>(x)] += r.weight[k] * p[x];
    }
    for (index_t x = 0; x < row; ++x) out.data()[y * row + x] = byte_of(sum[static_cast<std::size_t>(x)]);
  }
  return out;
}

grid<std::uint8_t, 3> between_pixels(grid<std::uint8_t, 3> const& in, extent2 to)
{
  index_t const h = in.shape()[0], w = in.shape()[1];
  auto const down = cambium::taps(to.height, static_cast<double>(h) / static_cast<double>(to.height), h);
  auto const across = cambium::taps(to.width, static_cast<double>(w) / static_cast<double>(to.width), w);
  grid<std::uint8_t, 3> out(to.height, to.width, 3);
  for (index_t y = 0; y < to.height; ++y) {
    auto const& v = down[static_cast<std::size_t>(y)];
    for (index_t x = 0; x < to.width; ++x) {
      auto const& u = across[static_cast<std::size_t>(x)];
      for (index_t c = 0; c < 3; ++c) {
        double const above = (1 - u.fraction) * in(v.low, u.low, c) + u.fraction * in(v.low, u.high, c);
        double const below = (1 - u.fraction) * in(v.high, u.low, c) + u.fraction * in(v.high, u.high, c);
        out(y, x, c) = static_cast<std::uint8_t>((1 - v.fraction) * above + v.fraction * below + 0.5);
      }
    }
  }
  return out;
}

void check(index_t H, index_t W, extent2 to)
{
  expects(H >= 1 && W >= 1, "resized: there is nothing to resize: ", H, " x ", W);
  expects(to.height >= 1 && to.width >= 1 && to.height <= 65536 && to.width <= 65536, "resized: to ", to.height, " x ",
          to.width, "; expected 1 to 65536 pixels a side");
}

}  // namespace

grid<std::uint8_t, 3> resized(grid<std::uint8_t, 3> const& photograph, extent2 to, sampling rules, kernel shape)
{
  index_t const H = photograph.shape()[0], W = photograph.shape()[1];
  check(H, W, to);
  expects(photograph.shape()[2] == 3, "resized: the photograph is ", photograph.view(), "; expected [H,W,3]");
  expects(rules == sampling::pillow || shape == kernel::bilinear, "resized: opencv's rules are for bilinear only");
  if (to.height == H && to.width == W) return photograph;
  if (rules == sampling::opencv) return between_pixels(photograph, to);
  if (to.width == W) return along_columns(photograph, to.height, shape);
  if (to.height == H) return along_rows(photograph, to.width, shape);
  return along_columns(along_rows(photograph, to.width, shape), to.height, shape);
}

grid<std::int32_t, 2> resized(grid<std::int32_t, 2> const& map, extent2 to, sampling rules)
{
  index_t const H = map.shape()[0], W = map.shape()[1];
  check(H, W, to);
  grid<std::int32_t, 2> out(to.height, to.width);
  auto const down = sources(H, to.height, rules), across = sources(W, to.width, rules);
  for (index_t y = 0; y < to.height; ++y)
    for (index_t x = 0; x < to.width; ++x)
      out(y, x) = map(down[static_cast<std::size_t>(y)], across[static_cast<std::size_t>(x)]);
  return out;
}

std::vector<index_t> sources(index_t m, index_t n, sampling rules)
{
  expects(m >= 1 && n >= 1, "sources: ", n, " cells of ", m, "; expected at least one each");
  std::vector<index_t> out;
  double const step = static_cast<double>(m) / static_cast<double>(n);
  double const inverse = 1 / (static_cast<double>(n) / static_cast<double>(m));
  double at = step * 0.5;  // pillow adds step by step
  for (index_t x = 0; x < n; ++x, at += step)
    out.push_back(std::min(
        m - 1, static_cast<index_t>(rules == sampling::pillow ? at : std::floor(static_cast<double>(x) * inverse))));
  return out;
}

}  // namespace trainer
