#pragma once
// What a dense CRF does at one pixel, for any policy: its features, and its share of the divergence.

#include <cambium/core/config.hpp>
#include <cambium/core/index.hpp>
#include <cambium/crf/kernels.hpp>
#include <cambium/crf/pixel_order.hpp>
#include <cambium/exec/rounded.hpp>
#include <cambium/grid/view.hpp>

#include <cmath>

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
  float const *own, *q;  ///< [N], [N,stride]
  compatibility_map by;
  index_t stride;
  float* force;  ///< [N,stride]

  CAMBIUM_HD void operator()(index_t at) const
  {
    index_t const i = at / by.labels, l = at % by.labels;
    force[i * stride + l] -= by.take(0.f, own[i], q + i * stride, l);
  }
};

/// A pixel's share of the divergence.
struct divergence_of_pixel {
  float const *q, *gain, *force;  ///< [N,stride]; the last may be null: 0
  index_t labels, stride;
  double part;  ///< of the forces: half of a pair's energy belongs to each of its pixels

  CAMBIUM_HD double operator()(index_t i) const
  {
    double sum = 0;
    for (index_t at = i * stride; at < i * stride + labels; ++at) {
      double const p = static_cast<double>(q[at]);
      double const taken = force == nullptr ? 0 : static_cast<double>(force[at]);
      if (p > 0) sum += p * (std::log(p) - static_cast<double>(gain[at]) - taken * part);
    }
    return sum;
  }
};

}  // namespace rule

}  // namespace cambium
