#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/metric/confusion.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <type_traits>
#include <vector>

namespace cambium {

struct boundary_f_options {
  double tolerance = 0.0075;   ///< below 1: fraction of the image's diagonal, rounded up to cells; from 1 on: [cells]
  int ignore = label::ignore;  ///< truth with this or a negative number has no class
};

/// Precision and recall of one class's outline.
struct boundary_score {
  index_t predicted = 0;       ///< [cells] of the predicted outline, without those on ignored truth
  index_t predicted_hits = 0;  ///< those near the true outline
  index_t truth = 0;           ///< [cells] of the true outline
  index_t truth_hits = 0;      ///< those near the predicted outline
  double precision = 0;
  double recall = 0;
  double f = 0;  ///< 2 precision recall / (precision + recall); NaN for a class that is in neither map
};

/// Cells whose membership of a mask changes to the right, below, or right below: one cell thick.
/// @source seg2bmap of the Berkeley benchmark and of DAVIS
template <class Inside>
grid<std::uint8_t, 2> outline(index_t H, index_t W, Inside const& inside)
{
  grid<std::uint8_t, 2> out(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      bool const here = inside(y, x), right = x + 1 < W, below = y + 1 < H;
      out(y, x) = (right && inside(y, x + 1) != here) || (below && inside(y + 1, x) != here) ||
                  (right && below && inside(y + 1, x + 1) != here);
    }
  return out;
}

/// Count the cells of one outline within a distance of another outline. Exact: squared distances are integers.
/// @param counts [H,W] 0 at cells that do not count, or an empty grid
/// @complexity Theta(H * W + cells of the outline * radius)
inline void cells_near(grid<std::uint8_t, 2> const& of, grid<std::uint8_t, 2> const& other, double radius,
                       grid<std::uint8_t, 2> const& counts, index_t& all, index_t& near)
{
  index_t const H = of.shape()[0], W = of.shape()[1], reach = static_cast<index_t>(radius), far = H + W;
  // The vertical distance to the other outline.
  auto vertical = make_grid<index_t>({H, W});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      vertical(y, x) = other(y, x) != 0 ? 0 : y > 0 ? std::min(far, vertical(y - 1, x) + 1) : far;
  for (index_t y = H - 1; y-- > 0;)
    for (index_t x = 0; x < W; ++x) vertical(y, x) = std::min(vertical(y, x), vertical(y + 1, x) + 1);
  double const limit = radius * radius;
  all = near = 0;
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      if (of(y, x) == 0 || (counts.size() > 0 && counts(y, x) == 0)) continue;
      ++all;
      for (index_t to = std::max<index_t>(0, x - reach); to <= std::min(W - 1, x + reach); ++to) {
        index_t const dx = to - x, dy = vertical(y, to);
        if (dy < far && static_cast<double>(dx * dx + dy * dy) <= limit) {
          ++near;
          break;
        }
      }
    }
}

/// Compare the outlines of every class of two label maps.
///
///   precision = predicted outline cells within r of the true outline / all of them
///   recall    = true outline cells within r of the predicted outline / all of them
///   f         = 2 precision recall / (precision + recall), 0 if both are 0
///   r         = ceil(tolerance * sqrt(H^2 + W^2))
///
/// A class that covers a whole map has no outline there. If neither outline exists, f is 1. If only the predicted
/// outline is missing, precision is 1 and recall 0. If only the true one is missing, precision is 0 and recall 1. A
/// class in one map only has f 0; a class in neither map has NaN. Cells of ignored truth have no class. Predicted
/// outlines on them do not count against precision.
///
/// @param where      cpu: threads divide the classes
/// @param predicted  [H,W] 0..classes-1, or options.ignore for no class
/// @param truth      [H,W] 0..classes-1, or options.ignore, or negative
/// @param classes    >= 1
/// @return one score per class
///
/// @throws       precondition_error: other labels, with their place; tolerance negative or not finite
/// @complexity   Theta(classes that occur * H * W + outlines * r)
/// @determinism  exact: distances are compared as squares
/// @source       Martin, Fowlkes & Malik, PAMI 2004; Csurka et al., BMVC 2013 (per class, per image). Outlines,
///               disc and rules for empty outlines are those of db_eval_boundary of DAVIS 2016 (Perazzi et al.). Its
///               tolerance is 0.008; the Berkeley benchmark's is 0.0075. The Berkeley benchmark matches cells one to
///               one; this function does not
template <image_like Q, image_like G>
[[nodiscard]] std::vector<boundary_score> boundary_f(cpu const& where, Q const& predicted, G const& truth, int classes,
                                                     boundary_f_options options = {})
{
  static_assert(std::is_integral_v<value_of<Q, 2>> && std::is_integral_v<value_of<G, 2>>,
                "boundary_f: labels are integers");
  auto const p = as_view<2>(predicted, "boundary_f: predicted");
  auto const t = as_view<2>(truth, "boundary_f: truth");
  expects(same_shape(p, t), "boundary_f: predicted is ", p, " but truth is ", t);
  expects(classes >= 1, "boundary_f: ", classes, " classes");
  expects(options.tolerance >= 0 && std::isfinite(options.tolerance), "boundary_f: tolerance is ", options.tolerance);
  index_t const H = p.extent[0], W = p.extent[1];
  std::vector<std::uint8_t> in_predicted(static_cast<std::size_t>(classes), 0), in_truth(in_predicted);
  grid<std::uint8_t, 2> counts(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const have = static_cast<index_t>(p(y, x)), want = static_cast<index_t>(t(y, x));
      expects(have == options.ignore || (0 <= have && have < classes), "boundary_f: predicted(", y, ",", x, ") is ",
              have, " but there are ", classes, " classes");
      expects(want == options.ignore || want < classes, "boundary_f: truth(", y, ",", x, ") is ", want,
              " but there are ", classes, " classes");
      counts(y, x) = want != options.ignore && want >= 0;
      if (have != options.ignore && counts(y, x) != 0) in_predicted[static_cast<std::size_t>(have)] = 1;
      if (counts(y, x) != 0) in_truth[static_cast<std::size_t>(want)] = 1;
    }
  double const diagonal = std::sqrt(static_cast<double>(H * H + W * W));
  double const radius =
      std::min(options.tolerance >= 1 ? options.tolerance : std::ceil(options.tolerance * diagonal), diagonal + 1);

  std::vector<boundary_score> out(static_cast<std::size_t>(classes));
  for_each_share(where, classes, 1, [&](index_t begin, index_t end) {
    for (index_t c = begin; c < end; ++c) {
      auto const i = static_cast<std::size_t>(c);
      boundary_score& s = out[i];
      if (in_predicted[i] == 0 && in_truth[i] == 0) {
        s.precision = s.recall = s.f = std::numeric_limits<double>::quiet_NaN();
        continue;
      }
      auto const mine = outline(
          H, W, [&](index_t y, index_t x) { return static_cast<index_t>(p(y, x)) == c && c != options.ignore; });
      auto const theirs =
          outline(H, W, [&](index_t y, index_t x) { return counts(y, x) != 0 && static_cast<index_t>(t(y, x)) == c; });
      cells_near(mine, theirs, radius, counts, s.predicted, s.predicted_hits);
      cells_near(theirs, mine, radius, {}, s.truth, s.truth_hits);
      auto const share = [](index_t hits, index_t all) {
        return all == 0 ? 1 : static_cast<double>(hits) / static_cast<double>(all);
      };
      s.precision = share(s.predicted_hits, s.predicted);
      s.recall = share(s.truth_hits, s.truth);
      if (in_predicted[i] != 0 && in_truth[i] != 0 && s.precision + s.recall > 0)
        s.f = 2 * s.precision * s.recall / (s.precision + s.recall);
    }
  });
  return out;
}

/// The mean f over the classes that occur; NaN without classes.
[[nodiscard]] inline double mean_f(std::vector<boundary_score> const& scores)
{
  std::vector<double> f;
  for (auto const& s : scores) f.push_back(s.f);
  return mean_defined(f);
}

/// Cells of a mask within `width` cells of its outside. A diagonal step counts 1. Cells beyond the image count as
/// outside.
/// @complexity Theta(H * W)
template <class T>
grid<std::uint8_t, 2> inner_band(view<T, 2> const& mask, index_t width)
{
  index_t const H = mask.extent[0], W = mask.extent[1], whole = 2 * width + 1;
  // A cell is far from the outside if the square of side `whole` around it is inside. `rows` marks the centres of row
  // segments that are inside.
  grid<std::uint8_t, 2> rows(H, W), out(H, W);
  std::vector<index_t> inside(static_cast<std::size_t>(W), 0);
  for (index_t y = 0; y < H; ++y) {
    index_t run = 0;
    for (index_t x = 0; x < W; ++x) {
      out(y, x) = mask(y, x) != 0;
      run = mask(y, x) != 0 ? run + 1 : 0;
      if (run >= whole) rows(y, x - width) = 1;
    }
    for (index_t x = 0; x < W; ++x) {
      auto& above = inside[static_cast<std::size_t>(x)];
      above = rows(y, x) != 0 ? above + 1 : 0;
      if (above >= whole) out(y - width, x) = 0;
    }
  }
  return out;
}

/// Intersection over union of the parts of two masks near their outlines.
///
///   |A' and B'| / |A' or B'|,  A' = cells of A within d of its outside,  d = max(1, round(ratio * sqrt(H^2 + W^2)))
///
/// @param predicted  [H,W] nonzero inside
/// @param truth      [H,W]
/// @param ratio      [fraction of the diagonal] usually 0.02
/// @return in [0,1]; NaN for two empty masks
///
/// @throws       precondition_error
/// @complexity   Theta(H * W)
/// @determinism  exact
/// @source       Cheng et al., CVPR 2021; mask_to_boundary of bowenc0221/boundary-iou-api (d erosions with 3 x 3 cells,
///               zeros around the image; halves are rounded to even)
template <image_like Q, image_like G>
[[nodiscard]] double boundary_iou(Q const& predicted, G const& truth, double ratio = 0.02)
{
  auto const p = as_view<2>(predicted, "boundary_iou: predicted");
  auto const t = as_view<2>(truth, "boundary_iou: truth");
  expects(same_shape(p, t), "boundary_iou: predicted is ", p, " but truth is ", t);
  expects(ratio >= 0 && ratio <= 1, "boundary_iou: ratio is ", ratio, ", outside [0,1]");
  double const diagonal = std::sqrt(static_cast<double>(p.extent[0] * p.extent[0] + p.extent[1] * p.extent[1]));
  auto const width = std::max<index_t>(1, static_cast<index_t>(std::nearbyint(ratio * diagonal)));
  auto const a = inner_band(p, width), b = inner_band(t, width);
  index_t both = 0, either = 0;
  for (std::size_t i = 0; i < a.cells().size(); ++i) {
    both += a.cells()[i] != 0 && b.cells()[i] != 0;
    either += a.cells()[i] != 0 || b.cells()[i] != 0;
  }
  return static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace cambium
