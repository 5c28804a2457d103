#pragma once
// The first labels that BESTIE's network learns: cues name the components of a semantic map.

#include <cambium/component/connected.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/instance/transfer.hpp>
#include <cambium/pipeline/bestie/regions.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace cambium {

/// How a cue's score is compared with the threshold.
enum class cue_score {
  three_decimals,  ///< rounded as in a point file: the original, in which 0.7003 does not exceed 0.7
  exact,           ///< as it is
};

struct bestie_transfer_options {
  double pseudo_thresh = 0.7;  ///< cues count when their score exceeds it
  cue_score score = cue_score::three_decimals;
  transfer_options labels{};  ///< sup = image, sigma = 6, smallest = 50, centre = truncated, several = reject
};

/// The cues that count: those of present classes whose score exceeds the threshold.
[[nodiscard]] inline points cues_that_count(points const& cues, std::vector<char> const& present,
                                            bestie_transfer_options const& options)
{
  expects(!std::isnan(options.pseudo_thresh), "bestie_pseudo_labels: pseudo_thresh is nan");
  bool const exact = options.score == cue_score::exact;
  points out = exact ? cues : confident_points(cues, options.pseudo_thresh);
  std::erase_if(out, [&](point const& p) {
    return (exact && !(p.score > options.pseudo_thresh)) || !is_present(present, index_t{p.category} + 1);
  });
  return out;
}

namespace rule {

/// Note the class of a component, if it is present.
template <writers Of, class V, class S>
struct note_category {
  image_view<V const, S> semantic;
  char const* table;
  index_t entries;
  std::int32_t* category;  ///< of component l at l - 1; -1 before

  CAMBIUM_HD void operator()(index_t at, box const& cells) const
  {
    V const value = semantic(cells.top, cells.left);
    if (at > 0 && is_present(table, entries, value))
      max_into<Of>(category + at - 1, static_cast<std::int32_t>(value) - 1);
  }
};

}  // namespace rule

/// Pseudo instance labels from a semantic map and cues: what the network learns first.
///
/// @param where     where to run; must reach map and targets
/// @param semantic  [H,W] of integers: class + 1; 0 and everything above C is no class
/// @param classes   present in the image, 0-based; others are passed over in map and cues
/// @param cues      points on the map
/// @param options   defaults of the original
/// @param out       targets of one image: centre [C,H,W], offset [2,H,W], weight [H,W]
///
/// @throws       precondition_error: classes outside 0..C-1, cues off the map, options outside their ranges
/// @complexity   Theta(C * H * W) for the empty heat maps; one labelling of the map for all classes
/// @determinism  exact
/// @source       pseudo_label_generation, utils/utils.py, with the filter of utils/LoadData.py, of clovaai/BESTIE
/// @asynchrony   gpu: waits for where.stream, for the number of components. Heat maps between cells (centroid::exact) are
///               within 1 ulp of the cpu's
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
void bestie_pseudo_labels_into(P const& where, M const& semantic, std::vector<std::int32_t> const& classes,
                               points const& cues, bestie_transfer_options const& options,
                               centre_targets_view<typename P::memory> const& out)
{
  using S = typename P::memory;
  using V = value_of<M, 2>;
  static_assert(std::is_integral_v<V>, "bestie_pseudo_labels: semantic is of integers");
  image_view<V const, S> const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  auto const present = table_of_classes(out.centre.extent[0], classes, "bestie_pseudo_labels");
  points const used = cues_that_count(cues, present, options);
  expects_transferable(in, {}, view<point const, 1>(used.data(), {static_cast<index_t>(used.size())}), options.labels,
                       out);
  auto const found = connected_equal(where, in, c8);
  auto const table = to_memory(where, present);
  auto category = make_grid<std::int32_t>(where, {found.count});
  fill(where, found.count, category.view().data, std::int32_t{-1});
  for_each_strip(where, found.label.view(),
                 rule::note_category<writers_of<P>, V, S>{in, table.view().data, table.size(), category.view().data});
  transfer_scratch<P> scratch;
  transfer_into(where, found.label, category, to_memory(where, used), options.labels, out, scratch);
}

/// As bestie_pseudo_labels_into, and allocates the targets.
/// @param C  number of classes
template <execution_policy P, image_like M>
  requires reaches<P, space_of<M, 2>>
[[nodiscard]] auto bestie_pseudo_labels(P const& where, M const& semantic, std::vector<std::int32_t> const& classes,
                                        points const& cues, index_t C, bestie_transfer_options const& options = {})
    -> centre_targets<typename P::memory>
{
  auto const in = as_view<2>(semantic, "bestie_pseudo_labels: semantic");
  auto out = make_targets(where, C, {in.extent[0], in.extent[1]}, "bestie_pseudo_labels");
  bestie_pseudo_labels_into(where, semantic, classes, cues, options, {out.centre, out.offset, out.weight});
  return out;
}

}  // namespace cambium
