#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/gaussian_logit.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
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
  ignore     ///< they say nothing
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
struct bootstrapped {
  grid<float, 2> target;          ///< [H,W] in [0,1]
  grid<std::uint8_t, 2> trusted;  ///< [H,W] trust::ignored, certain, boxed
  index_t foreground = 0;         ///< [cells] of boxes that became certain foreground
  index_t background = 0;         ///< [cells] of boxes that became certain background
  index_t restored = 0;           ///< [cells] that a guard kept from becoming background, or ignored
};

/// What a box must keep whatever the network thinks: cells are put back that are most like foreground, first in each
/// row and column that kept none, then until the smallest fill is reached.
class box_guard {
 public:
  /// `kept` [H,W] is 1 at foreground; `score` [H,W] ranks the others. Both before any guard.
  box_guard(image_view<std::uint8_t const> kept, image_view<double const> score) : kept_(kept), score_(score) {}

  /// The places (y,x) that this box puts back, in no order, each once.
  std::vector<std::pair<index_t, index_t>> restored(box const& b, bool tight, double min_fill) const
  {
    std::vector<std::pair<index_t, index_t>> places;
    if (tight) {
      for (index_t y = b.top; y < b.bottom; ++y) line(places, y, b.left, 0, 1, b.right - b.left);
      for (index_t x = b.left; x < b.right; ++x) line(places, b.top, x, 1, 0, b.bottom - b.top);
      std::sort(places.begin(), places.end());
      places.erase(std::unique(places.begin(), places.end()), places.end());
    }
    index_t const area = (b.bottom - b.top) * (b.right - b.left);
    auto const least = static_cast<index_t>(std::ceil(min_fill * static_cast<double>(area)));
    auto const taken = places.size();
    std::vector<std::pair<index_t, index_t>> rest;
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x)
        if (kept_(y, x) == 0 &&
            !std::binary_search(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(taken), std::pair{y, x}))
          rest.emplace_back(y, x);
    index_t const missing =
        std::min<index_t>(least - (area - static_cast<index_t>(rest.size())), static_cast<index_t>(rest.size()));
    if (missing <= 0) return places;
    std::nth_element(rest.begin(), rest.begin() + (missing - 1), rest.end(), [&](auto const& p, auto const& q) {
      double const a = score_(p.first, p.second), c = score_(q.first, q.second);
      return a != c ? a > c : p < q;
    });
    places.insert(places.end(), rest.begin(), rest.begin() + missing);
    return places;
  }

 private:
  /// The best cell of a row or a column without foreground; of equals the first.
  void line(std::vector<std::pair<index_t, index_t>>& places, index_t y, index_t x, index_t dy, index_t dx,
            index_t length) const
  {
    std::pair<index_t, index_t> best{y, x};
    for (index_t i = 0; i < length; ++i, y += dy, x += dx) {
      if (kept_(y, x) != 0) return;
      if (score_(y, x) > score_(best.first, best.second)) best = {y, x};
    }
    places.push_back(best);
  }

  image_view<std::uint8_t const> kept_;
  image_view<double const> score_;
};

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
/// @param where         cpu
/// @param mean          [H,W] of the logits
/// @param log_variance  [H,W] log sigma^2
/// @param boxes         of this class; they may overlap, and what lies outside the map does not count
/// @param iteration     of the training, from 0
/// @param options       mode, warm_up, tau_lo, tau_hi, confidence, unsure, min_fill, tight, keep, largest_sigma
/// @return targets, trust and counts
///
/// @throws       precondition_error: shapes that differ, NaN or infinite values, a negative iteration, options outside
///               their ranges
/// @invariant    outside all boxes target 0 and certain; in the hard mode every box keeps ceil(min_fill * area) cells with
///               target 1, and one in each of its rows and columns if tight; the order of boxes means nothing
/// @complexity   Theta(H * W + cells of boxes)
/// @determinism  exact up to the mathematics library's exponential
/// @source       Neven et al., ICCVW 2021: the abstract says that boxes are transformed to masks while the network trains.
///               The rule, its thresholds and its guards are ours; the soft mode is Reed et al., "Training deep neural
///               networks on noisy labels with bootstrapping", 2014
template <image_like M, image_like S>
[[nodiscard]] bootstrapped bootstrap(cpu const& where, M const& mean, S const& log_variance,
                                     std::vector<box> const& boxes, std::int64_t iteration,
                                     bootstrap_options const& options = {})
{
  auto const mu = as_view<2>(mean, "bootstrap: mean");
  auto const s = as_view<2>(log_variance, "bootstrap: log_variance");
  expects(same_shape(mu, s), "bootstrap: mean is ", mu, " but log_variance is ", s);
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
  expects_finite(where, mu, "bootstrap: mean");
  expects_finite(where, s, "bootstrap: log_variance");

  index_t const H = mu.extent[0], W = mu.extent[1];
  bootstrapped out{grid<float, 2>(H, W), make_grid<std::uint8_t>({H, W})};
  std::fill(out.trusted.cells().begin(), out.trusted.cells().end(), trust::certain);
  std::vector<box> inside;
  for (box const& b : boxes)
    if (box const part = clipped(b, H, W); part != box{}) inside.push_back(part);
  for (box const& b : inside)
    for (index_t y = b.top; y < b.bottom; ++y) {
      std::fill_n(&out.target(y, b.left), b.right - b.left, 1.f);
      std::fill_n(&out.trusted(y, b.left), b.right - b.left, trust::boxed);
    }
  if (options.mode == bootstrap_mode::off || iteration < options.warm_up || inside.empty()) return out;

  auto score = make_grid<double>({H, W});  // kappa * mean
  double const largest = 2 * std::log(options.largest_sigma), low = 2 * std::log(options.tau_lo);
  double const high = 2 * std::log(options.tau_hi), sure = std::log(options.confidence / (1 - options.confidence));
  for_each_share(where, H, 8, [&](index_t begin, index_t end) {
    for (index_t y = begin; y < end; ++y)
      for (index_t x = 0; x < W; ++x) {
        if (out.trusted(y, x) != trust::boxed) continue;
        gaussian_logit const z{static_cast<double>(mu(y, x)), std::min(static_cast<double>(s(y, x)), largest)};
        double const logit = score(y, x) = z.expected_logit();
        if (options.mode == bootstrap_mode::soft) {
          out.target(y, x) = static_cast<float>(options.keep + (1 - options.keep) / (1 + std::exp(-logit)));
        } else if ((z.mean < 0 && logit <= -sure) || z.log_variance > high) {
          out.target(y, x) = 0, out.trusted(y, x) = trust::certain;
        } else if (z.mean > 0 && z.log_variance < low) {
          out.trusted(y, x) = trust::certain;
        } else if (options.unsure == undecided::ignore) {
          out.target(y, x) = 0, out.trusted(y, x) = trust::ignored;
        }
      }
  });
  if (options.mode == bootstrap_mode::soft) return out;

  // Every box looks at the decisions, not at what other boxes put back, so their order means nothing.
  auto kept = make_grid<std::uint8_t>({H, W});
  for (index_t i = 0; i < H * W; ++i) kept.data()[i] = out.target.data()[i] == 1;
  box_guard const guard(kept, score);
  for (box const& b : inside)
    for (auto const& [y, x] : guard.restored(b, options.tight, options.min_fill)) {
      out.restored += out.target(y, x) != 1;
      out.target(y, x) = 1, out.trusted(y, x) = trust::boxed;
    }
  std::fill(kept.cells().begin(), kept.cells().end(), std::uint8_t{0});  // from here on: counted
  for (box const& b : inside)
    for (index_t y = b.top; y < b.bottom; ++y)
      for (index_t x = b.left; x < b.right; ++x) {
        if (out.trusted(y, x) != trust::certain || std::exchange(kept(y, x), std::uint8_t{1}) != 0) continue;
        ++(out.target(y, x) == 1 ? out.foreground : out.background);
      }
  return out;
}

}  // namespace cambium
