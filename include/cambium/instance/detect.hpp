#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// What becomes of components smaller than a fragment.
enum class fragments {
  score_zero,  ///< they stay, with score 0: the original
  drop,        ///< they become background
  keep,        ///< they are instances like any other
};

struct detect_options {
  double smallest = 0;  ///< [cells] area below which a component is a fragment; 0.01 * H * W in IRNet
  fragments small = fragments::score_zero;
};

/// Throws unless labels and scores of these shapes can become instances.
template <class L, class T, class S>
void expects_detectable(image_view<L, S> const& label, image_view<T, S> const& score, detect_options const& options)
{
  expects(same_shape(label, score), "detect: labels are ", label, " but scores are ", score);
  expects(options.smallest >= 0, "detect: smallest is ", options.smallest);
}

/// Turn components into scored instances.
///
/// The score of an instance is the largest value of max(score, 0) on it; of one that covers the whole
/// image, the largest score.
///
/// @param where       cpu
/// @param labels      [H,W] 0..N: components
/// @param categories  N entries: the category of component i+1
/// @param scores      [H,W] NaN counts as 0
/// @param options     smallest = 0, small = score_zero
/// @return instances in the order of their labels; labels without a cell give none
///
/// @throws       precondition_error when a label is outside 0..N or shapes differ
/// @complexity   Theta(H * W + N)
/// @determinism  exact
/// @source       detect_instance, step/make_ins_seg_labels.py of jiwoon-ahn/irn: np.max(score * mask) runs over the whole
///               image, hence the 0; `sum < max_fragment_size`, strict. Where that raises because nothing is
///               found, this returns an empty list
template <image_like L, image_like X>
[[nodiscard]] instances detect(cpu const& where, L const& labels, std::vector<std::int32_t> const& categories,
                               X const& scores, detect_options options = {})
{
  static_cast<void>(where);
  static_assert(std::is_integral_v<value_of<L, 2>>, "detect: labels are integers");
  auto const label = as_view<2>(labels, "detect: labels");
  auto const score = as_view<2>(scores, "detect: scores");
  expects_detectable(label, score, options);
  index_t const H = label.extent[0], W = label.extent[1], N = static_cast<index_t>(categories.size());
  expects_labels(label, N, "detect: label");
  std::vector<instance> all(categories.size(), instance{0, 0, 0, {H, W, 0, 0}});
  std::vector<double> largest(categories.size(), -std::numeric_limits<double>::infinity());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(label(y, x));
      if (at == 0) continue;
      auto const i = static_cast<std::size_t>(at - 1);
      ++all[i].area;
      box& b = all[i].bounds;
      b = {std::min(b.top, y), std::min(b.left, x), y + 1, std::max(b.right, x + 1)};
      double const here = static_cast<double>(score(y, x));
      largest[i] = std::max(largest[i], std::isnan(here) ? 0 : here);
    }

  instances out{make_grid<std::int32_t>({H, W}), {}};
  std::vector<std::int32_t> table(categories.size() + 1, 0);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].area == 0) continue;
    bool const fragment = static_cast<double>(all[i].area) < options.smallest;
    if (fragment && options.small == fragments::drop) continue;
    all[i].category = categories[i];
    all[i].score = all[i].area < H * W ? std::max(0.0, largest[i]) : largest[i];
    if (fragment && options.small == fragments::score_zero) all[i].score = 0;
    out.found.push_back(all[i]);
    table[i + 1] = static_cast<std::int32_t>(out.found.size());
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) out.label(y, x) = table[static_cast<std::size_t>(label(y, x))];
  return out;
}

}  // namespace cambium
