#pragma once
// Patches that look alike, cut in two.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/exec/bits.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/instance/lanczos.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

struct normalised_cut_options {
  double eps = 1e-5;         ///< (0,1] the affinity of patches that are not alike; 1 of those that are
  double tolerance = 1e-12;  ///< [1e-14,1] of the eigenvector: |M w - (1 - lambda) w| for the unit vector w = D^1/2 v
  index_t steps = 1000;      ///< [count] most products with the affinities; >= 1
};

/// The slowest mode of the walk over patches.
struct cut_mode {
  grid<double, 2> vector;  ///< [H,W] v, with v D v = 1 and the largest |v| positive, the first of equals
  double value = 0;        ///< lambda, in [0,1] but for rounding and for eps next to 1: small where a cut is cheap
  double residual = 0;     ///< |M w - (1 - lambda) w|, measured
  index_t steps = 0;       ///< [count] products
  bool settled = true;     ///< the tolerance was reached
  bool cuts = true;        ///< false: all modes are equally slow, or none is slow, or steps is 1; v says nothing
};

/// The affinities of patches as bytes: byte b * N + i has, of the 8 patches of block b, those that are like patch i.
/// A row of the map has 8 blocks a word, of which the last may hold no patch.
class patch_affinity {
 public:
  patch_affinity(cpu const& where, mask_set<> const& alike, double eps, char const* who) : alike_(alike), eps_(eps)
  {
    auto const [H, W] = alike.image;
    count_ = H * W, across_ = (W + 7) / 8, blocks_ = H * across_;
    expects(alike.size() == count_, who, ": alike has ", alike.size(), " masks, but their image has ", count_,
            " patches");
    expects(count_ >= 2, who, ": alike has ", count_, " patches; expected 2 at least");
    expects(eps > 0 && eps <= 1, who, ": eps is ", eps, "; expected a number in (0,1]");
    expects_masks(alike, who);
    bytes_ = make_grid<std::uint8_t>({blocks_, count_});
    masks_view<> const from = alike;
    for_each_share(where, count_, 64, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i)
        for (index_t y = 0; y < alike.image.height; ++y)
          for (index_t x = 0; x < across_; ++x)
            bytes_(y * across_ + x, i) =
                static_cast<std::uint8_t>(from.word(from.masks[i], y, x / 8) >> (x % 8 * 8) & 255);
    });
    expects_symmetric(where, who);
  }

  index_t size() const { return count_; }
  double degree(index_t i) const
  {
    auto const near = static_cast<double>(alike_.masks(i).area);
    return near + eps_ * (static_cast<double>(count_) - near);
  }

  /// y = A x. The sums over 8 patches are tabled: a byte chooses one of 256.
  void multiply(cpu const& where, double const* x, double* y) const
  {
    double all = 0;
    for (index_t i = 0; i < count_; ++i) all += x[i];
    for_each_share(where, count_, 512, [&](index_t first, index_t last) {
      std::fill(y + first, y + last, 0.);
      double sum[256];
      for (index_t b = 0; b < blocks_; ++b) {
        sum[0] = 0;
        for (int bit = 0; bit < 8; ++bit) {
          index_t const j = patch(b, bit);
          double const v = j < 0 ? 0 : x[j];
          for (int k = 0; k < 1 << bit; ++k) sum[(1 << bit) + k] = sum[k] + v;
        }
        std::uint8_t const* const chosen = &bytes_(b, 0);
        for (index_t i = first; i < last; ++i) y[i] += sum[chosen[i]];
      }
      for (index_t i = first; i < last; ++i) y[i] = eps_ * all + (1 - eps_) * y[i];
    });
  }

 private:
  /// The patch of a bit, or -1 beyond the end of a row.
  index_t patch(index_t block, int bit) const
  {
    index_t const x = block % across_ * 8 + bit;
    return x < alike_.image.width ? block / across_ * alike_.image.width + x : -1;
  }

  void expects_symmetric(cpu const& where, char const* who) const
  {
    std::vector<index_t> wrong(static_cast<std::size_t>(blocks_), -1);  // a patch of the block with a partner missing
    for_each_share(where, blocks_, 8, [&](index_t first, index_t last) {
      for (index_t b = first; b < last; ++b)
        for (int bit = 0; bit < 8; ++bit) {
          index_t const j = patch(b, bit);
          if (j < 0) break;
          for (index_t c = 0; c < blocks_ && wrong[static_cast<std::size_t>(b)] < 0; ++c) {
            int column = 0;
            for (int t = 0; t < 8 && patch(c, t) >= 0; ++t) column |= (bytes_(b, patch(c, t)) >> bit & 1) << t;
            if (column != bytes_(c, j)) wrong[static_cast<std::size_t>(b)] = j;
          }
        }
    });
    auto const at = std::find_if(wrong.begin(), wrong.end(), [](index_t j) { return j >= 0; });
    if (at == wrong.end()) return;
    masks_view<> const from = alike_;
    index_t const W = alike_.image.width;
    for (index_t i = 0; i < count_; ++i)
      expects(from.inside(i, *at / W, *at % W) == from.inside(*at, i / W, i % W), who, ": one of alike(", i,
              ") and alike(", *at, ") has the other's patch, and the other has not");
  }

  mask_set<> const& alike_;
  double eps_;
  index_t count_ = 0, across_ = 0, blocks_ = 0;
  grid<std::uint8_t, 2> bytes_;
};

/// The first patch whose v is the largest, but for rounding: patches that are like the same patches have equal v.
/// @param at  at(i) is v of patch i
template <class At>
[[nodiscard]] index_t surest_patch(index_t count, At const& at)
{
  double most = 0, size = 0;
  for (index_t i = 0; i < count; ++i) {
    most = i == 0 ? at(i) : std::max(most, at(i));
    size = std::max(size, std::abs(at(i)));
  }
  index_t first = 0;
  while (at(first) < most - 1e-9 * size) ++first;
  return first;
}

/// Find the mode that cuts patches in two: the second smallest generalised eigenvector.
///
///   A(i, j) = 1 if j is in mask i, else eps;   D = diagonal of A's row sums
///   (D - A) v = lambda D v,   the second smallest lambda;   the smallest is 0, of the constant vector
///
/// With M = D^-1/2 A D^-1/2 and w = D^1/2 v it is the largest eigenvalue 1 - lambda of M beside w = D^1/2 1.
///
/// @param where    cpu
/// @param alike    N = H * W masks [H,W], as feature_affinity makes them: j is in mask i exactly if i is in mask j
/// @param options  eps = 1e-5, tolerance = 1e-12, steps = 1000
/// @return the mode; cuts = false if every vector beside the constant one is a mode (no patch is like another one), or
///         if lambda is 1 (all patches are alike, or none is like itself)
///
/// @throws       precondition_error: fewer than 2 patches, not as many masks as patches, masks that are not symmetric,
///               options outside their ranges
/// @invariant    v D 1 = 0, v D v = 1. lambda is at most cut_cost of any division
/// @complexity   steps products of N^2 / 8 additions each, and Theta(steps^2 * N); 8 N (steps + 32) + N^2 / 8 bytes
/// @determinism  run to run
/// @source       Shi & Malik, "Normalized cuts and image segmentation", PAMI 2000; maskcut.py of
///               facebookresearch/CutLER solves the dense problem for all eigenvectors
[[nodiscard]] inline cut_mode normalised_cut(cpu const& where, mask_set<> const& alike,
                                             normalised_cut_options const& options = {})
{
  expects(options.tolerance >= 1e-14 && options.tolerance <= 1, "normalised_cut: tolerance is ", options.tolerance,
          "; expected a number in [1e-14,1]");
  expects(options.steps >= 1, "normalised_cut: steps is ", options.steps);
  patch_affinity const affinity(where, alike, options.eps, "normalised_cut");
  index_t const N = affinity.size();
  std::vector<double> constant(static_cast<std::size_t>(N)), scale(constant.size()), scaled(constant.size());
  for (index_t i = 0; i < N; ++i) {
    auto const at = static_cast<std::size_t>(i);
    constant[at] = std::sqrt(affinity.degree(i)), scale[at] = 1 / constant[at];
  }
  double const length = length_of(constant);
  for (double& v : constant) v /= length;
  auto const product = [&](std::vector<double> const& x, std::vector<double>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) scaled[i] = scale[i] * x[i];
    affinity.multiply(where, scaled.data(), y.data());
    for (std::size_t i = 0; i < y.size(); ++i) y[i] *= scale[i];
  };
  auto const found = largest_beside(where, std::move(constant), product, options.tolerance, options.steps);
  cut_mode out{make_grid<double>({alike.image.height, alike.image.width})};
  out.value = 1 - found.value, out.residual = found.residual, out.steps = found.steps, out.settled = found.settled;
  out.cuts = found.value > 1e-12 && (found.steps > 1 || N == 2);
  auto& cells = out.vector.cells();
  for (std::size_t i = 0; i < scale.size(); ++i) cells[i] = scale[i] * found.vector[i];
  auto const size = [&](index_t i) { return std::abs(cells[static_cast<std::size_t>(i)]); };
  if (cells[static_cast<std::size_t>(surest_patch(N, size))] < 0)
    for (double& v : cells) v = -v;
  return out;
}

/// The cost of a division of patches in two.
///
///   cut(S) / vol(S) + cut(S) / vol(not S),   cut(S) = sum of A(i, j) over i in S, j not in S,   vol(S) = sum of D(i)
///
/// @param inside  [H,W] S: not 0
/// @return in [0,2]; 2 if one side is empty, as for a side that nothing holds together
/// @throws precondition_error as normalised_cut, and for another shape
/// @complexity   one product
/// @determinism  run to run
/// @source       Shi & Malik, "Normalized cuts and image segmentation", PAMI 2000, equation 2
template <image_like I>
  requires reaches<cpu, space_of<I, 2>>
[[nodiscard]] double cut_cost(cpu const& where, mask_set<> const& alike, I const& inside, double eps = 1e-5)
{
  auto const side = as_view<2>(inside, "cut_cost: inside");
  index_t const W = alike.image.width;
  expects(side.extent[0] == alike.image.height && side.extent[1] == W, "cut_cost: inside is ", side,
          " but alike is of ", alike.image.height, " x ", W, " patches");
  patch_affinity const affinity(where, alike, eps, "cut_cost");
  std::vector<double> in(static_cast<std::size_t>(affinity.size())), out(in.size());
  for (index_t i = 0; i < affinity.size(); ++i) in[static_cast<std::size_t>(i)] = side(i / W, i % W) != 0 ? 1 : 0;
  affinity.multiply(where, in.data(), out.data());
  double cut = 0, volume[2]{};
  for (index_t i = 0; i < affinity.size(); ++i) {
    bool const here = in[static_cast<std::size_t>(i)] != 0;
    if (!here) cut += out[static_cast<std::size_t>(i)];
    volume[here] += affinity.degree(i);
  }
  return volume[0] > 0 && volume[1] > 0 ? cut / volume[0] + cut / volume[1] : 2;
}

/// The side of a cut that is an object.
struct cut_object {
  grid<std::uint8_t, 2> side;  ///< [H,W] 1 on the object's side of the cut
  index_t seed = 0;            ///< the patch y * W + x that is surest: the largest v of that side
  bool turned = false;         ///< the other side has the largest |v|, but lies in too many corners
};

/// Choose the side of a cut that is the object: the one with the largest |v|, unless it holds the corners of the map.
///
///   side = v > mean(v), with v turned so that the largest |v| is positive
///   with `corners` of the map's four corner patches inside it is background: v turns, side becomes the other one
///   seed = argmax v, the first of those that are equal up to 1e-9 of the largest |v|
///
/// @param mode     [H,W] finite: cut_mode::vector, of either sign
/// @param corners  [1..5] 5: never
/// @throws       precondition_error: no patch, values that are not finite, corners out of range
/// @invariant    the sign of v does not matter; the seed is inside. Of a v without a difference the side is empty, so no
///               patch is inside, and the seed is patch 0
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       maskcut.py of facebookresearch/CutLER; Wang et al., "Cut and learn", CVPR 2023, section 3.1. The original
///               looks at corners before it looks for the seed. Its result then depends on the sign that the eigensolver
///               gave to v. This is what it does for the sign with which its rule of corners applies
template <image_like V>
  requires reaches<cpu, space_of<V, 2>>
[[nodiscard]] cut_object choose_cut_object(cpu const& where, V const& mode, int corners = 3)
{
  auto const v = as_view<2>(mode, "choose_cut_object: mode");
  index_t const H = v.extent[0], W = v.extent[1], N = H * W;
  expects(N > 0, "choose_cut_object: mode is ", v);
  expects(corners >= 1 && corners <= 5, "choose_cut_object: corners is ", corners, "; expected 1..5");
  expects_finite(where, v, "choose_cut_object: mode");
  auto const at = [&](index_t i) { return static_cast<double>(v(i / W, i % W)); };
  double sum = 0;
  for (index_t i = 0; i < N; ++i) sum += at(i);
  cut_object out{make_grid<std::uint8_t>({H, W})};
  out.seed = surest_patch(N, [&](index_t i) { return std::abs(at(i)); });
  double const sign = at(out.seed) < 0 ? -1 : 1, mean = sum / static_cast<double>(N);
  for (index_t i = 0; i < N; ++i) out.side.cells()[static_cast<std::size_t>(i)] = sign * at(i) > sign * mean ? 1 : 0;
  int const held = out.side(0, 0) + out.side(0, W - 1) + out.side(H - 1, 0) + out.side(H - 1, W - 1);
  out.turned = held >= corners;
  if (out.turned) {
    for (auto& inside : out.side.cells()) inside = inside == 0;
    out.seed = surest_patch(N, [&](index_t i) { return -sign * at(i); });
  }
  return out;
}

}  // namespace cambium
