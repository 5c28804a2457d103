#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/gaussian_logit.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/tiles.hpp>
#include <cambium/instance/box_guard.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// How boxes turn into masks while the network learns.
enum class bootstrap_mode {
  off,   ///< boxes stay boxes
  hard,  ///< cells the network is sure of become certain foreground or background
  soft   ///< labels are mixed with the network's own probability
};

/// What becomes of box cells the network is not sure of.
enum class undecided {
  keep_box,  ///< they stay boxed foreground
  ignore     ///< they are not learned from
};

struct bootstrap_options {
  bootstrap_mode mode = bootstrap_mode::hard;
  std::int64_t warm_up = 0;  ///< [iterations] before this one nothing changes
  double tau_lo = 1;         ///< sigma below which a positive mean is foreground; > 0
  double tau_hi = 4;         ///< sigma above which a cell is background; >= tau_lo
  double confidence = 0.9;   ///< a cell is background where its expected probability is at most 1 - confidence; [0.5,1)
  undecided unsure = undecided::keep_box;
  double min_fill = 0.25;       ///< [share of its cells] a box keeps at least; 0..1
  bool tight = true;            ///< a box keeps foreground in each of its rows and columns
  double keep = 0.95;           ///< of the soft mode: the weight of the box label, beta in Reed et al.; 0..1
  double largest_sigma = 1e15;  ///< as in the loss; in (0,1e15]
};

/// Labels for a loss, and how far to trust them.
template <class Space = host>
struct bootstrapped : bootstrap_counts {
  grid<float, 2, Space> target;          ///< [H,W] in [0,1]
  grid<std::uint8_t, 2, Space> trusted;  ///< [H,W] trust::ignored, certain, boxed
};

namespace rule {

/// Give all cells of a window one label.
template <class S>
struct label_window {
  float label;
  std::uint8_t trust;
  image_view<float, S> target;
  image_view<std::uint8_t, S> trusted;

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const { target(y, x) = label, trusted(y, x) = trust; }

  template <int Bytes>
  [[gnu::always_inline]] void row(index_t, index_t y) const
  {
    fill_lanes<Bytes>(&target(y, 0), target.extent[1], label);
    std::fill_n(&trusted(y, 0), target.extent[1], trust);
  }
};

/// Decide about one cell of a box, before boxes put cells back. Cells of boxes are boxed foreground, no other cell is.
template <class T, class U, class S>
struct bootstrap_cell {
  image_view<T const, S> mean;
  image_view<U const, S> log_variance;
  bootstrap_options options;
  double largest, low, high, sure;  ///< the options' sigmas as log variances, and the confidence as a logit
  image_view<float, S> target;
  image_view<std::uint8_t, S> trusted;
  image_view<double, S> score;  ///< kappa * mean, on cells of boxes

  CAMBIUM_HD void operator()(index_t, index_t y, index_t x) const
  {
    if (trusted(y, x) != trust::boxed) return;
    double const s = static_cast<double>(log_variance(y, x));
    gaussian_logit const z{static_cast<double>(mean(y, x)), largest < s ? largest : s};
    double const logit = score(y, x) = z.expected_logit();
    if (options.mode == bootstrap_mode::soft) {
      target(y, x) = static_cast<float>(options.keep + (1 - options.keep) / (1 + std::exp(-logit)));
    } else if ((z.mean < 0 && logit <= -sure) || z.log_variance > high) {
      target(y, x) = 0, trusted(y, x) = trust::certain;
    } else if (z.mean > 0 && z.log_variance < low) {
      trusted(y, x) = trust::certain;
    } else if (options.unsure == undecided::ignore) {
      target(y, x) = 0, trusted(y, x) = trust::ignored;
    }
  }
};

}  // namespace rule

/// Replace box labels by what the network has learned so far about one class.
///
/// Outside the boxes the label is certain background, always. A cell inside becomes, from iteration warm_up on,
///
///   background  where mean < 0 and sigmoid(kappa * mean) <= 1 - confidence, or where sigma > tau_hi
///   foreground  where mean > 0 and sigma < tau_lo
///
/// and otherwise stays boxed foreground or is ignored. Then every box puts back what it must keep: its most
/// foreground-like cells become boxed foreground again. In the soft mode every box cell stays boxed, with the label
/// keep + (1 - keep) * sigmoid(kappa * mean).
///
/// @param where         where to run; must reach the maps
/// @param mean          [H,W] of the logits
/// @param log_variance  [H,W] log sigma^2
/// @param boxes         of this class; they may overlap, and what lies outside the map does not count
/// @param iteration     of the training, from 0
/// @param options       mode, warm_up, tau_lo, tau_hi, confidence, unsure, min_fill, tight, keep, largest_sigma
/// @param target        [H,W]
/// @param trusted       [H,W]
/// @return counts, on the host
///
/// @throws       precondition_error before anything is written: shapes that differ, outputs that overlap an input or
///               each other, a negative iteration, options outside their ranges, on the cpu NaN or infinite values;
///               gpu_error
/// @invariant    outside all boxes target 0 and certain; in the hard mode every box keeps ceil(min_fill * area) cells
///               with target 1, and one in each of its rows and columns if tight; the order of boxes has no effect
/// @complexity   cpu: Theta(H * W + cells of boxes). Other policies also sort the cells of boxes
/// @determinism  exact up to the mathematics library's exponential
/// @asynchrony   gpu: waits for where.stream, for the counts
/// @source       Neven et al., ICCVW 2021: the abstract says that boxes are transformed to masks while the network
///               trains. The rule, its thresholds and its guards are ours; the soft mode is Reed et al., "Training deep
///               neural networks on noisy labels with bootstrapping", 2014
template <execution_policy P, image_like M, image_like V, image_like O, image_like U>
  requires reaches<P, space_of<M, 2>> && reaches<P, space_of<V, 2>> && reaches<P, space_of<O, 2>> &&
           reaches<P, space_of<U, 2>>
bootstrap_counts bootstrap_into(P const& where, M const& mean, V const& log_variance, std::vector<box> const& boxes,
                                std::int64_t iteration, bootstrap_options const& options, O&& target, U&& trusted)
{
  using S = typename P::memory;
  image_view<value_of<M, 2> const, S> const mu = as_view<2>(mean, "bootstrap: mean");
  image_view<value_of<V, 2> const, S> const s = as_view<2>(log_variance, "bootstrap: log_variance");
  image_view<float, S> const to = as_view<2>(target, "bootstrap: target");
  image_view<std::uint8_t, S> const trusted_to = as_view<2>(trusted, "bootstrap: trusted");
  expects(same_shape(mu, s), "bootstrap: mean is ", mu, " but log_variance is ", s);
  expects(same_shape(mu, to) && same_shape(mu, trusted_to), "bootstrap: mean is ", mu, " but target is ", to,
          " and trusted ", trusted_to);
  expects(!overlap(mu, to) && !overlap(s, to) && !overlap(mu, trusted_to) && !overlap(s, trusted_to) &&
              !overlap(to, trusted_to),
          "bootstrap: target and trusted overlap an input or each other");
  expects(iteration >= 0, "bootstrap: iteration ", iteration);
  expects(options.tau_lo > 0 && options.tau_hi >= options.tau_lo, "bootstrap: tau_lo is ", options.tau_lo,
          " and tau_hi is ", options.tau_hi, "; 0 < tau_lo <= tau_hi");
  expects(options.confidence >= 0.5 && options.confidence < 1, "bootstrap: confidence is ", options.confidence,
          ", outside [0.5,1)");
  expects(options.min_fill >= 0 && options.min_fill <= 1, "bootstrap: min_fill is ", options.min_fill,
          ", outside [0,1]");
  expects(options.keep >= 0 && options.keep <= 1, "bootstrap: keep is ", options.keep, ", outside [0,1]");
  expects(options.largest_sigma > 0 && options.largest_sigma <= 1e15, "bootstrap: largest_sigma is ",
          options.largest_sigma, ", outside (0,1e15]");
  if constexpr (std::is_same_v<P, cpu>) {
    expects_finite(where, mu, "bootstrap: mean");
    expects_finite(where, s, "bootstrap: log_variance");
  }

  index_t const H = mu.extent[0], W = mu.extent[1];
  std::vector<box> inside;
  for (box const& b : boxes)
    if (box const part = clipped(b, H, W); part != box{}) inside.push_back(part);
  bool const decides = options.mode != bootstrap_mode::off && iteration >= options.warm_up && !inside.empty();
  index_t const all[3] = {1, H, W};
  for_each_cell(where, all, rule::label_window<S>{0, trust::certain, to, trusted_to});
  for (box const& b : inside)
    for_each_cell(where, {1, b.bottom - b.top, b.right - b.left},
                  rule::label_window<S>{1, trust::boxed, crop(to, b), crop(trusted_to, b)});
  if (!decides) return {};

  auto score = make_grid<double>(where, {H, W});
  for_each_cell(where, all,
                rule::bootstrap_cell<value_of<M, 2>, value_of<V, 2>, S>{
                    mu, s, options, 2 * std::log(options.largest_sigma), 2 * std::log(options.tau_lo),
                    2 * std::log(options.tau_hi), std::log(options.confidence / (1 - options.confidence)), to,
                    trusted_to, score.view()});
  if (options.mode == bootstrap_mode::soft) return {};

  return restore_boxes_on(where, inside, options.tight, options.min_fill, std::as_const(score).view(), to, trusted_to);
}

/// As bootstrap_into, and allocates the labels.
template <execution_policy P, image_like M, image_like V>
  requires reaches<P, space_of<M, 2>> && reaches<P, space_of<V, 2>>
[[nodiscard]] auto bootstrap(P const& where, M const& mean, V const& log_variance, std::vector<box> const& boxes,
                             std::int64_t iteration, bootstrap_options const& options = {})
    -> bootstrapped<typename P::memory>
{
  auto const mu = as_view<2>(mean, "bootstrap: mean");
  bootstrapped<typename P::memory> out{
      {}, make_grid<float>(where, mu.extent), make_grid<std::uint8_t>(where, mu.extent)};
  static_cast<bootstrap_counts&>(out) =
      bootstrap_into(where, mean, log_variance, boxes, iteration, options, out.target, out.trusted);
  return out;
}

}  // namespace cambium
