#pragma once
// What a dense CRF does at one pixel, for any policy: its features, and its share of the divergence.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/kernels.hpp>
#include <cambium/crf/pixel_order.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cambium {

namespace rule {

/// Features of a pixel: x/sx, y/sy, colour/srgb.
template <class V, class S>
struct make_features {
  view<V const, 3, S> image;
  float sx, sy, srgb;
  float* out;  ///< [D,H * W]

  CAMBIUM_HD void operator()(index_t d, index_t y, index_t x, index_t at) const
  {
    float const v = d == 0   ? static_cast<float>(x) / sx
                    : d == 1 ? static_cast<float>(y) / sy
                             : static_cast<float>(image(y, x, d - 2)) / srgb;
    out[d * image.extent[0] * image.extent[1] + at] = v;
  }
};

/// Features of pixels that come row by row, in the order of a CRF.
template <class S>
struct order_features {
  view<float const, 2, S> features;  ///< [D,N]
  index_t width;
  float* out;  ///< [D,N]

  CAMBIUM_HD void operator()(index_t d, index_t y, index_t x, index_t at) const
  {
    out[d * features.extent[1] + at] = features(d, y * width + x);
  }
};

/// A kernel's share of a pixel's own marginals, normalised as the kernel is.
struct scale_share {
  float const *before, *after;  ///< [N], or null
  float* own;

  CAMBIUM_HD void operator()(index_t i) const
  {
    if (before != nullptr) own[i] = rounded_product(own[i], before[i]);
    if (after != nullptr) own[i] = rounded_product(own[i], after[i]);
  }
};

/// A pixel is not its own neighbour.
struct take_own_share {
  float const *own, *q;  ///< [N], [N,labels]
  compatibility_map by;
  float* force;  ///< [N,labels]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / by.labels, l = at % by.labels;
    force[at] -= by.take(0.f, own[i], q + i * by.labels, l);
  }
};

/// A pixel's share of the divergence.
struct divergence_of_pixel {
  float const *q, *gain, *force;  ///< [N,labels]; the last may be null: 0
  index_t labels;
  double part;  ///< of the forces: half of a pair's energy belongs to each of its pixels

  CAMBIUM_HD double operator()(index_t i) const
  {
    double sum = 0;
    for (index_t at = i * labels; at < (i + 1) * labels; ++at) {
      double const p = static_cast<double>(q[at]);
      double const taken = force == nullptr ? 0 : static_cast<double>(force[at]);
      if (p > 0) sum += p * (std::log(p) - static_cast<double>(gain[at]) - taken * part);
    }
    return sum;
  }
};

}  // namespace rule

/// Write D features of every pixel.
template <class P, class V, class S>
void write_features(P const& where, pixel_order order, rule::make_features<V, S> const& make, index_t D)
{
  for_each_pixel(where, order, D, make);
}
/// The cpu's for bytes: a quotient stands for all pixels of a column, a row or a level.
inline void write_features(cpu const& where, pixel_order order, rule::make_features<std::uint8_t, host> const& make,
                           index_t D)
{
  auto const [H, W] = order.size;
  auto const quotients = [](index_t n, float by) {
    std::vector<float> out(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) out[static_cast<std::size_t>(i)] = static_cast<float>(i) / by;
    return out;
  };
  auto const xs = quotients(W, make.sx), ys = quotients(H, make.sy), levels = quotients(256, make.srgb);
  for_each_square(where, order, D,
                  [&, make, N = H * W](index_t top, index_t left, index_t bottom, index_t right, index_t at) {
                    for (index_t y = top; y < bottom; ++y, at += right - left) {
                      std::copy(xs.data() + left, xs.data() + right, make.out + at);
                      std::fill_n(make.out + N + at, right - left, ys[static_cast<std::size_t>(y)]);
                      for (index_t d = 2; d < D; ++d)
                        for (index_t x = left; x < right; ++x)
                          make.out[d * N + at + x - left] = levels[make.image(y, x, d - 2)];
                    }
                  });
}

}  // namespace cambium
