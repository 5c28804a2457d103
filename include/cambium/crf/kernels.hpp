#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/rounded.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace cambium {

/// How a kernel's sums are normalised; d is the sum of a pixel's own kernel weights.
enum class kernel_norm {
  none,
  before,    ///< values times 1/d, then the filter
  after,     ///< the filter, then 1/d: a weighted mean
  symmetric  ///< 1/sqrt(d) on both sides: the package's default
};

/// What neighbours' labels do to a pixel's energies.
struct compatibility {
  compatibility(double potts = 1) : weight{potts} {}  // NOLINT: `.compat = 10`
  compatibility(std::vector<double> w, bool is_matrix) : weight(std::move(w)), matrix(is_matrix) {}

  std::vector<double> weight;  ///< one: what agreement takes off, for every label; L: for each label
  bool matrix = false;         ///< weight is [L,L]: energy of label l beside label m, symmetric

  /// Agreement on label l takes weight[l] off, as a single weight does: both attract. The common package, pydensecrf,
  /// reads a vector as energies instead: its compat=[3,3] repels. Weights copied from there change their sign; tables
  /// do not.
  static compatibility per_class(std::vector<double> w) { return {std::move(w), false}; }
  /// Label l beside label m costs energy[l * L + m]. A single weight w is -w on the diagonal.
  static compatibility table(std::vector<double> energy) { return {std::move(energy), true}; }

  bool potts() const { return !matrix && weight.size() == 1; }
};

/// One Gaussian over positions, or over positions and colours, that ties pixels together.
struct pairwise {
  double sxy = 3;              ///< [pixels] standard deviation of positions
  double srgb = 0;             ///< [grey levels] standard deviation of colours; 0 leaves colours out
  compatibility compat = 3.0;  ///< weight of agreement
  kernel_norm by = kernel_norm::symmetric;

  /// [count] of a pixel, in an image of so many bands
  index_t features(index_t bands) const { return srgb > 0 ? 2 + bands : 2; }
};

/// A kernel of any features, as far as memory and labels are concerned.
struct crf_tie {
  index_t features;  ///< [count] of a pixel
  compatibility compat;
};
inline std::vector<crf_tie> crf_ties(std::vector<pairwise> const& kernels, index_t bands)
{
  std::vector<crf_tie> ties;
  for (auto const& k : kernels) ties.push_back({k.features(bands), k.compat});
  return ties;
}

/// The published sets of kernels.
namespace crf_preset {
/// IRNet and most weak supervision since: label maps, 10 iterations.
inline std::vector<pairwise> irn()
{
  return {{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 50, .srgb = 5, .compat = 10.0}};
}
/// DeepLab's test-time refinement of probabilities, 10 iterations.
inline std::vector<pairwise> deeplab()
{
  return {{.sxy = 1, .srgb = 0, .compat = 3.0}, {.sxy = 67, .srgb = 3, .compat = 4.0}};
}
/// The example of the common package.
inline std::vector<pairwise> standard()
{
  return {{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 80, .srgb = 13, .compat = 10.0}};
}
}  // namespace crf_preset

/// Throws unless all weights are finite.
inline void expects_finite_weights(compatibility const& compat)
{
  for (double const w : compat.weight) expects(std::isfinite(w), "dense_crf: compat is ", w);
}

/// Throws unless the kernels can be built on an image of so many bands.
inline void expects_kernels(std::vector<pairwise> const& kernels, index_t bands)
{
  for (auto const& k : kernels) {
    auto const sxy = static_cast<float>(k.sxy), srgb = static_cast<float>(k.srgb);
    expects(sxy > 0 && std::isfinite(sxy), "dense_crf: sxy is ", k.sxy, "; it must be positive and finite, as a float");
    expects(srgb >= 0 && std::isfinite(srgb) && (srgb > 0 || k.srgb == 0), "dense_crf: srgb is ", k.srgb,
            "; it must be >= 0 and finite, as a float");
    expects(k.srgb == 0 || bands <= 6, "dense_crf: the image has ", bands, " bands; at most 6 enter a kernel");
    expects_finite_weights(k.compat);
  }
}

/// Throws unless every label that takes part is one of 0..all-1, and named once.
inline void expects_present(std::vector<index_t> const& present, index_t all)
{
  std::vector<bool> seen(static_cast<std::size_t>(all), false);
  for (index_t const l : present) {
    expects(0 <= l && l < all, "dense_crf: label ", l, " takes part but there are ", all);
    expects(!seen[static_cast<std::size_t>(l)], "dense_crf: label ", l, " is named twice");
    seen[static_cast<std::size_t>(l)] = true;
  }
}

/// Throws unless the weights fit so many labels, and tables are symmetric.
inline void expects_compatibilities(std::vector<crf_tie> const& kernels, index_t all)
{
  for (auto const& k : kernels) {
    auto const n = static_cast<index_t>(k.compat.weight.size());
    expects(k.compat.matrix ? n == all * all : n == 1 || n == all, "dense_crf: compat has ", n,
            " weights but there are ", all, " labels");
    for (index_t l = 0; k.compat.matrix && l < all; ++l)
      for (index_t m = 0; m < l; ++m)
        expects(k.compat.weight[static_cast<std::size_t>(l * all + m)] ==
                    k.compat.weight[static_cast<std::size_t>(m * all + l)],
                "dense_crf: compat(", l, ",", m, ") is not compat(", m, ",", l, ")");
  }
}

/// A kernel's compatibility as loops see it.
struct compatibility_map {
  float const* weight;
  index_t weights;  ///< 1, all, or all * all
  bool matrix;
  std::int32_t const* id;  ///< [labels] of those that take part, among all
  index_t labels, all;

  /// Label l's message becomes what it takes off the label's energy, on top of `taken`; `message` is the pixel's.
  /// @param share  of the message that counts
  CAMBIUM_HD float take(float taken, float share, float const* message, index_t l) const
  {
    if (!matrix) return taken + rounded_product(weight[weights == 1 ? 0 : id[l]], rounded_product(share, message[l]));
    for (index_t m = 0; m < labels; ++m)
      taken -= rounded_product(weight[id[l] * all + id[m]], rounded_product(share, message[m]));
    return taken;
  }
};

}  // namespace cambium
