#pragma once
// The class of each mask: the mean of maps over it, or the most frequent label in it.

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/cpu.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/box.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/mask_set.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/proposal/pairwise.hpp>
#include <cambium/proposal/scores.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace cambium {

/// The class of a mask.
struct mask_vote {
  std::int32_t category = -1;  ///< from 0; -1: none
  double score = 0;            ///< of that class, in the units of what voted

  friend bool operator==(mask_vote const&, mask_vote const&) = default;
};

/// Compute the mean of maps over masks.
///
///   out(i, c) = sum of maps(c, y, x) over (y,x) in mask i / |mask i|; 0 for an empty mask
///
/// @param maps   [C,H,W] for example class activation maps, finite
/// @return grid<double, 2> [N,C]
///
/// @throws       precondition_error: maps of another size, a cell that is not finite
/// @complexity   Theta(C * (H * W + runs of all masks)): running sums of each row
/// @determinism  the same for any number of threads; sums in double
template <stack_like M>
  requires reaches<cpu, space_of<M, 3>>
[[nodiscard]] grid<double, 2> mask_means(cpu const& where, mask_set<> const& masks, M const& maps)
{
  auto const in = as_view<3>(maps, "mask_means: maps");
  index_t const C = in.extent[0], H = in.extent[1], W = in.extent[2];
  expects_masks(masks, "mask_means");
  expects(H == masks.image.height && W == masks.image.width, "mask_means: the maps are ", in,
          " but the masks are of an image of ", masks.image.height, " x ", masks.image.width);
  expects_finite(where, in, "mask_means: maps");
  auto out = make_grid<double>({masks.size(), C});
  masks_view<> const from(masks);
  for_each_share(where, C, 1, [&](index_t begin, index_t end) {
    auto sums = make_grid<double>({H, W + 1});
    for (index_t c = begin; c < end; ++c) {
      for (index_t y = 0; y < H; ++y) {
        sums(y, 0) = 0;
        for (index_t x = 0; x < W; ++x) sums(y, x + 1) = sums(y, x) + static_cast<double>(in(c, y, x));
      }
      for (index_t i = 0; i < masks.size(); ++i) {
        double sum = 0;
        for_each_word(from, masks.masks(i), [&](index_t y, index_t w, std::uint64_t word) {
          for (index_t x = 64 * w; word != 0;) {  // runs of the word
            int const zeros = std::countr_zero(word);
            word >>= zeros, x += zeros;
            int const ones = std::countr_one(word);
            sum += sums(y, x + ones) - sums(y, x);
            word = ones < 64 ? word >> ones : 0, x += ones;
          }
        });
        index_t const area = masks.masks(i).area;
        out(i, c) = area > 0 ? sum / static_cast<double>(area) : 0.;
      }
    }
  });
  return out;
}

struct vote_options {
  double background = 0.3;  ///< what a class must exceed, strictly: of maps their mean, of labels its share
};

/// Let maps vote for the class of each mask: that with the largest mean over it, if it exceeds the background.
///
/// @param maps  [C,H,W] class activation maps, finite
/// @return N votes; the score is the mean. Of equal classes the first; an empty mask has none
///
/// @throws       precondition_error: as mask_means; a background that is NaN
/// @determinism  as mask_means
template <stack_like M>
  requires reaches<cpu, space_of<M, 3>>
[[nodiscard]] std::vector<mask_vote> vote_by_maps(cpu const& where, mask_set<> const& masks, M const& maps,
                                                  vote_options const& options = {})
{
  expects(!std::isnan(options.background), "vote_by_maps: background is nan");
  auto const mean = mask_means(where, masks, maps);
  std::vector<mask_vote> out(static_cast<std::size_t>(masks.size()));
  for (index_t i = 0; i < masks.size(); ++i)
    for (index_t c = 0; c < mean.shape()[1]; ++c) {
      auto& vote = out[static_cast<std::size_t>(i)];
      if (masks.masks(i).area == 0 || !(mean(i, c) > (vote.category < 0 ? options.background : vote.score))) continue;
      vote = {static_cast<std::int32_t>(c), mean(i, c)};
    }
  return out;
}

/// Let the cells of a label map vote for the class of each mask: that with the largest share of its cells, if the share
/// exceeds the background.
///
/// @param labels   [H,W] 0, 1..classes; other labels, for example label::ignore, do not vote but count as cells
/// @param classes  without the background, >= 0
/// @return N votes: category = label - 1; the score is the share. Of equal classes the first
///
/// @throws       precondition_error: a map of another size, a background that is NaN
/// @complexity   O(classes * N * words of a box)
/// @determinism  exact counts and one division
template <image_like L>
  requires reaches<cpu, space_of<L, 2>>
[[nodiscard]] std::vector<mask_vote> vote_by_labels(cpu const& where, mask_set<> const& masks, L const& labels,
                                                    index_t classes, vote_options const& options = {})
{
  auto const in = as_view<2>(labels, "vote_by_labels: labels");
  expects_masks(masks, "vote_by_labels");
  expects(in.extent[0] == masks.image.height && in.extent[1] == masks.image.width, "vote_by_labels: the labels are ",
          in, " but the masks are of an image of ", masks.image.height, " x ", masks.image.width);
  expects(!std::isnan(options.background), "vote_by_labels: background is nan");
  expects(classes >= 0, "vote_by_labels: classes is ", classes);
  auto const share = pairwise_containment(where, masks, masks_of_labels(where, in, classes));
  std::vector<mask_vote> out(static_cast<std::size_t>(masks.size()));
  for (index_t i = 0; i < masks.size(); ++i)
    for (index_t c = 0; c < classes; ++c) {
      auto& vote = out[static_cast<std::size_t>(i)];
      if (share(i, c) > 0 && share(i, c) > (vote.category < 0 ? options.background : vote.score))
        vote = {static_cast<std::int32_t>(c), share(i, c)};
    }
  return out;
}

/// Which mask a point takes, of those that hold it.
enum class point_choice {
  best,      ///< the highest score; of equal ones the smallest, then the first
  smallest,  ///< the smallest; of equal ones the highest score, then the first
  largest,   ///< the largest; of equal ones the highest score, then the first
};

struct point_choice_options {
  point_choice choice = point_choice::best;
  bool alone = false;  ///< only masks that hold no other point
};

/// Choose a mask for each point among those that hold it.
///
/// @param scores  N finite scores
/// @param at      places; a point belongs to the cell (floor(y + 1/2), floor(x + 1/2))
/// @return of each point the place of its mask; -1 if no mask holds it
///
/// @throws       precondition_error: another number of scores, a place that is not finite or off the image
/// @complexity   O(N * points)
/// @determinism  exact
[[nodiscard]] inline std::vector<index_t> choose_by_points(mask_set<> const& masks, std::span<double const> scores,
                                                           std::span<point const> at,
                                                           point_choice_options const& options = {})
{
  expects_masks(masks, "choose_by_points");
  expects_mask_scores(masks.size(), scores, {}, "choose_by_points");
  std::vector<place> cells;
  for (std::size_t k = 0; k < at.size(); ++k) {
    double const y = at[k].y + .5, x = at[k].x + .5;
    expects(
        y >= 0 && x >= 0 && y < static_cast<double>(masks.image.height) && x < static_cast<double>(masks.image.width),
        "choose_by_points: point ", static_cast<index_t>(k), " is at y ", at[k].y, ", x ", at[k].x,
        ", off the image of ", masks.image.height, " x ", masks.image.width);
    cells.push_back(cell_of(at[k], masks.image));
  }
  masks_view<> const from(masks);
  std::vector<index_t> out(at.size(), -1);
  auto const better = [&](index_t a, index_t b) {
    double const s = scores[static_cast<std::size_t>(a)], t = scores[static_cast<std::size_t>(b)];
    index_t const m = masks.masks(a).area, n = masks.masks(b).area;
    if (options.choice == point_choice::best) return s != t ? s > t : m < n;
    if (m != n) return (m < n) == (options.choice == point_choice::smallest);
    return s > t;
  };
  for (index_t i = 0; i < masks.size(); ++i) {
    index_t held = 0;
    for (place const& p : cells) held += from.inside(i, p.y, p.x);
    if (held == 0 || (options.alone && held > 1)) continue;
    for (std::size_t k = 0; k < cells.size(); ++k)
      if (from.inside(i, cells[k].y, cells[k].x) && (out[k] < 0 || better(i, out[k]))) out[k] = i;
  }
  return out;
}

struct box_choice_options {
  double min_iou = 0.5;  ///< in [0,1]: smallest overlap of a mask's box with the box given
};

/// Choose a mask for each box: that whose own box overlaps it most.
///
/// @param boxes  of cells
/// @return of each box the place of its mask; of equal overlaps the highest score, then the first; -1 if none overlaps
///         enough. A mask may be chosen by several boxes
///
/// @throws       precondition_error: another number of scores, a box whose corners are swapped
/// @complexity   O(N * boxes)
/// @determinism  exact counts and one division
[[nodiscard]] inline std::vector<index_t> choose_by_boxes(mask_set<> const& masks, std::span<double const> scores,
                                                          std::span<box const> boxes,
                                                          box_choice_options const& options = {})
{
  expects_masks(masks, "choose_by_boxes");
  expects_mask_scores(masks.size(), scores, {}, "choose_by_boxes");
  expects(0 <= options.min_iou && options.min_iou <= 1, "choose_by_boxes: min_iou is ", options.min_iou);
  std::vector<index_t> out(boxes.size(), -1);
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    box const& b = boxes[k];
    expects(b.top <= b.bottom && b.left <= b.right, "choose_by_boxes: box ", static_cast<index_t>(k), " is ", b.top,
            ",", b.left, " to ", b.bottom, ",", b.right);
    double most = 0;
    for (index_t i = 0; i < masks.size(); ++i) {
      packed_mask const& m = masks.masks(i);
      double const u = rule::iou_of_pair{}(shared_area(m.bounds, b), area_of(m.bounds), area_of(b));
      if (u == 0 || u < options.min_iou || u < most) continue;
      if (out[k] >= 0 && u == most && !(scores[static_cast<std::size_t>(i)] > scores[static_cast<std::size_t>(out[k])]))
        continue;
      most = u, out[k] = i;
    }
  }
  return out;
}

}  // namespace cambium
