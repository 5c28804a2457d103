#pragma once
// Patches of an image that look alike, by the features that a network has for them.

#include <cambium/affinity/attention_cores.hpp>
#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

namespace cambium {

struct feature_affinity_options {
  double tau = 0.15;                      ///< patches are alike if the cosine of their features is larger, strictly
  index_t most_bytes = index_t{4} << 30;  ///< [bytes] refuse maps whose pairs would take more
};

namespace rule {

/// Features of patches, each divided by its length: `panel_width` patches together, feature after feature.
template <class T>
struct fill_unit_panel {
  stack_view<T const> features;
  index_t panel;
  T* panels;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr index_t width = panel_width<Bytes, T>;
    index_t const D = features.extent[0], W = features.extent[2], N = features.extent[1] * W;
    index_t const first = panel * width, count = std::min(width, N - first);
    T const* from[std::size_t{width}];
    double length[std::size_t{width}]{};
    for (index_t x = 0; x < count; ++x) from[x] = &features(0, (first + x) / W, (first + x) % W);
    for (index_t k = 0; k < D; ++k)
      for (index_t x = 0; x < count; ++x) {
        double const v = static_cast<double>(from[x][k * features.stride[0]]);
        length[x] += v * v;
      }
    for (index_t x = 0; x < count; ++x) length[x] = std::max(std::sqrt(length[x]), 1e-12);
    for (index_t k = 0; k < D; ++k) {
      T* const to = panels + (panel * D + k) * width;
      for (index_t x = 0; x < count; ++x)
        to[x] = static_cast<T>(static_cast<double>(from[x][k * features.stride[0]]) / length[x]);
      std::fill_n(to + count, width - count, T(0));
    }
  }
};

}  // namespace rule

/// Find for each patch the patches whose features are alike.
///
///   mask i = { j : cosine(i, j) > tau },   cosine(i, j) = f_i . f_j / (max(|f_i|, 1e-12) max(|f_j|, 1e-12))
///
/// A patch without a feature, all 0, has cosine 0 to every patch and to itself. So has one, in doubles, whose length is
/// beyond 1e154: the squares are infinite.
///
/// @param where     cpu
/// @param features  [D,H,W] of the patches, for example a vision transformer's keys
/// @param options   tau = 0.15
/// @return mask_set of N = H * W masks [H,W]; mask y * W + x is of patch (y,x)
///
/// @throws       precondition_error: no feature (D = 0), features or a tau that are not finite, more patches than
///               most_bytes allows
/// @invariant    j is in mask i exactly if i is in mask j. Multiplying a patch's features by a number > 0 changes nothing,
///               up to rounding, while their length stays between 1e-12 and 1e150
/// @complexity   Theta(D * N^2); memory of D * N features, N^2 / 8 bytes, and 128 N bytes a thread
/// @determinism  run to run. tau is rounded to the type of the features; cosines next to it depend on the rounding of sums
/// @source       Wang et al., "Cut and learn", CVPR 2023, section 3.1; maskcut.py of facebookresearch/CutLER, whose
///               affinity is a dense matrix of 1 and eps. Here it is one bit a pair, and the cut knows eps
template <stack_like F>
  requires reaches<cpu, space_of<F, 3>>
[[nodiscard]] mask_set<> feature_affinity(cpu const& where, F const& features,
                                          feature_affinity_options const& options = {})
{
  using T = std::remove_const_t<value_of<F, 3>>;
  static_assert(std::is_floating_point_v<T>, "feature_affinity: features are float or double");
  view<T const, 3> const in = as_view<3>(features, "feature_affinity: features");
  index_t const D = in.extent[0], H = in.extent[1], W = in.extent[2], N = H * W;
  expects(D > 0, "feature_affinity: features are ", in, ", without a feature");
  expects(std::isfinite(options.tau), "feature_affinity: tau is ", options.tau);
  double const patches = static_cast<double>(H) * static_cast<double>(W), needed = patches * patches * 0.375;
  expects(needed <= static_cast<double>(options.most_bytes), "feature_affinity: features are ", in, "; all pairs of ",
          patches, " patches and a cut of them take about ", needed,
          " bytes, more than most_bytes = ", options.most_bytes);
  expects_finite(where, in, "feature_affinity: features");
  if (N == 0) return {{H, W}, {}, {}};

  isa const set = vectors_of(where);
  index_t const width = 2 * register_bytes(set) / static_cast<index_t>(sizeof(T)), count = (N + width - 1) / width;
  grid<T, 1> panels(count * width * D);
  for_each_share(where, count, 1, [&](index_t first, index_t last) {
    for (index_t p = first; p < last; ++p) run_widest(set, rule::fill_unit_panel<T>{in, p, panels.data()});
  });
  index_t const across = words_of_row(W);
  grid<std::uint64_t, 3> bits(N, H, across);
  T const above = static_cast<T>(options.tau);
  for_each_share(where, count, 1, [&](index_t first, index_t last) {
    grid<T, 2> cosine(N, width);  // of all patches to those of a panel
    for (index_t p = first; p < last; ++p) {
      run_widest(set, rule::product_panel<T>{panels.data(), p, D, N, 0, cosine.view()});
      for (index_t x = 0; x < std::min(width, N - p * width); ++x)
        for (index_t i = 0; i < N; ++i)
          bits(p * width + x, i / W, i % W / 64) |= std::uint64_t{cosine(i, x) > above} << (i % W % 64);
    }
  });
  return fill_masks(where, {H, W}, N, [&](index_t i, image_view<std::uint64_t> rows) {
    std::copy_n(&bits(i, 0, 0), H * across, rows.data);
    return box{0, 0, H, W};
  });
}

}  // namespace cambium
