#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/scan.hpp>
#include <cambium/grid/copy.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/runs.hpp>
#include <cambium/grid/tiles.hpp>

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

namespace rule {

template <class T>
struct forget_component {
  instance* all;
  order_key_t<T>* largest;
  index_t height;
  index_t width;

  CAMBIUM_HD void operator()(index_t i) const
  {
    all[i] = instance{0, 0, 0, {height, width, 0, 0}};
    largest[i] = key_below_all<T>;
  }
};

/// A strip of a window of the image is added to its component.
template <writers Of, class T, class S>
struct measure_component {
  image_view<T const, S> score;
  index_t top;   ///< of the window
  index_t left;  ///< of the window
  index_t components;
  instance* all;
  order_key_t<T>* largest;

  CAMBIUM_HD void operator()(index_t label, box const& cells) const
  {
    index_t const n = label - 1;
    if (n < 0 || n >= components) return;
    add_into<Of>(&all[n].area, area_of(cells));
    widen<Of>(all[n].bounds, {top + cells.top, left + cells.left, top + cells.bottom, left + cells.right});
    T most = minus_infinity<T>;
    for (index_t y = cells.top; y < cells.bottom; ++y)
      for (index_t x = cells.left; x < cells.right; ++x) {
        T const here = score(y, x) == score(y, x) ? score(y, x) : T(0);
        most = here > most ? here : most;
      }
    max_into<Of>(&largest[n], order_key(most));
  }
};

/// Is component i, of label i+1, an instance? Entry 0 stays 0, so that a running sum numbers them from 1.
struct choose_component {
  instance const* all;
  index_t components;
  detect_options options;
  std::int32_t* kept;  ///< components + 2

  CAMBIUM_HD bool fragment(index_t i) const { return static_cast<double>(all[i].area) < options.smallest; }

  CAMBIUM_HD void operator()(index_t label) const
  {
    index_t const i = label - 1;
    bool const some = 0 <= i && i < components && all[i].area > 0;
    kept[label] = some && !(options.small == fragments::drop && fragment(i)) ? 1 : 0;
  }
};

template <class T, class S>
struct tell_component {
  choose_component chosen;
  order_key_t<T> const* largest;
  view<std::int32_t const, 1, S> category;
  std::int32_t const* before;  ///< of label l: how many of 1..l are kept
  index_t cells;
  view<instance, 1, S> found;
  view<std::int32_t, 1, S> count;
  std::int32_t* table;  ///< the new label of each

  CAMBIUM_HD void operator()(index_t label) const
  {
    if (label == chosen.components) count(0) = before[label];
    bool const kept = label > 0 && before[label] != before[label - 1];
    table[label] = kept ? before[label] : 0;
    if (!kept) return;
    index_t const i = label - 1;
    instance one = chosen.all[i];
    double const most = static_cast<double>(from_order_key<T>(largest[i]));
    one.category = category(i);
    one.score = one.area < cells && !(most > 0) ? 0 : most;
    if (chosen.options.small == fragments::score_zero && chosen.fragment(i)) one.score = 0;
    found(before[label] - 1) = one;
  }
};

}  // namespace rule

/// What detect works in; it grows to the largest number of components.
template <execution_policy P, class T>
struct detect_scratch {
  grid<instance, 1, typename P::memory> all;
  grid<order_key_t<T>, 1, typename P::memory> largest;
  grid<std::int32_t, 1, typename P::memory> before;
  workspace<P> space;
};

/// Detect instances of components, whose scores come window by window.
///
/// @param scores  scores(visit) calls visit(window, score) for windows that partition the image
/// @param to      [H,W] the instances' labels; may be the components
///
/// Everything else as detect_into.
template <class T, execution_policy P, class L, class S, class Scores>
void detect_on(P const& where, image_view<L const, S> from, view<std::int32_t const, 1, S> category,
               Scores const& scores, detect_options options, image_view<std::int32_t, S> to, view<instance, 1, S> found,
               view<std::int32_t, 1, S> count, detect_scratch<P, T>& scratch)
{
  index_t const H = from.extent[0], W = from.extent[1], components = category.extent[0], cells[3] = {1, H, W};
  if constexpr (std::is_same_v<P, cpu>) expects_labels(from, components, "detect: label");
  instance* const all = reserve(where, scratch.all, components);
  auto* const largest = reserve(where, scratch.largest, components);
  index_t const labels_and_end = components + 2;
  std::int32_t* const before = reserve(where, scratch.before, 2 * labels_and_end);
  for_each_index(where, components, rule::forget_component<T>{all, largest, H, W});
  scores([&](box const& window, image_view<T const, S> score) {
    for_each_strip(
        where, crop(from, window),
        rule::measure_component<writers_of<P>, T, S>{score, window.top, window.left, components, all, largest});
  });
  rule::choose_component const chosen{all, components, options, before};
  for_each_index(where, labels_and_end, chosen);
  // What is before the label after l is how many of 1..l are kept.
  exclusive_scan(where, labels_and_end, static_cast<std::int32_t const*>(before), before, scratch.space);
  std::int32_t* const table = before + labels_and_end;
  for_each_index(where, components + 1,
                 rule::tell_component<T, S>{chosen, largest, category, before + 1, H * W, found, count, table});
  for_each_cell(where, cells, rule::look_up_label<L, std::int32_t, std::int32_t, S>{from, table, components + 1, to});
}

/// Turn components into scored instances.
///
/// The score of an instance is the largest value of max(score, 0) on it; of one that covers the whole
/// image, the largest score.
///
/// @param where       where to run
/// @param labels      [H,W] 0..N: components
/// @param categories  [N] int32 in the policy's memory: the category of component i+1. There may be fewer components
/// @param scores      [H,W] float or double; NaN counts as 0
/// @param options     smallest = 0, small = score_zero
/// @param label       [H,W] int32: the instances' labels
/// @param found       [N] in the order of their labels; the first count(0) are written. A label without a cell is
///                    no instance
/// @param count       [1] int32
///
/// @pre          cpu: labels are in 0..N. On a device other labels are background
/// @throws       precondition_error before anything is written
/// @complexity   Theta(H * W + N)
/// @determinism  exact: counts, minima and maxima only
/// @asynchrony   gpu: enqueues and returns; takes memory only while the scratch grows
/// @source       detect_instance, step/make_ins_seg_labels.py of jiwoon-ahn/irn: np.max(score * mask) runs over the
///               whole image, hence the 0; `sum < max_fragment_size`, strict. Where that raises because nothing is
///               found, this returns an empty list
template <execution_policy P, image_like L, gridded<1> K, image_like X, image_like O, gridded<1> F, gridded<1> N>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<K, 1>> && reaches<P, space_of<X, 2>> &&
           reaches<P, space_of<O, 2>> && reaches<P, space_of<F, 1>> && reaches<P, space_of<N, 1>>
void detect_into(P const& where, L const& labels, K const& categories, X const& scores, detect_options options,
                 O&& label, F&& found, N&& count, detect_scratch<P, value_of<X, 2>>& scratch)
{
  using cell_type = value_of<L, 2>;
  using T = value_of<X, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<cell_type>, "detect: labels are integers");
  static_assert(std::is_floating_point_v<T>, "detect: scores are float or double");
  image_view<cell_type const, S> const from = as_view<2>(labels, "detect: labels");
  view<std::int32_t const, 1, S> const category = as_view<1>(categories, "detect: categories");
  image_view<T const, S> const score = as_view<2>(scores, "detect: scores");
  image_view<std::int32_t, S> const to = as_view<2>(label, "detect: label");
  view<instance, 1, S> const list = as_view<1>(found, "detect: found");
  view<std::int32_t, 1, S> const number = as_view<1>(count, "detect: count");
  index_t const components = category.extent[0];
  expects_detectable(from, score, options);
  expects(same_shape(from, to), "detect: labels are ", from, " but label is ", to);
  expects(list.extent[0] == components && number.extent[0] == 1, "detect: ", components, " categories but found is ",
          list, " and count ", number);
  expects(!overlap(from, to) && !overlap(score, to), "detect: an input and label overlap");
  detect_on<T>(
      where, from, category, [&](auto const& visit) { visit(box{0, 0, from.extent[0], from.extent[1]}, score); },
      options, to, list, number, scratch);
}

/// As detect_on, and allocates the scratch.
/// @param label  [H,W] for the instances' labels; may hold the components
template <class T, execution_policy P, class L, class S, class Scores>
[[nodiscard]] instances<S> detect_windows(P const& where, image_view<L const, S> from,
                                          grid<std::int32_t, 1, S> const& category, Scores const& scores,
                                          detect_options options, grid<std::int32_t, 2, S> label)
{
  detect_scratch<P, T> scratch;
  return make_instances(where, std::move(label), category.size(),
                        [&](auto const& to, auto const& found, auto const& count) {
                          detect_on<T>(where, from, category.view(), scores, options, to, found, count, scratch);
                        });
}

/// As detect_into, with the categories on the host; allocates the result and the scratch.
template <execution_policy P, image_like L, image_like X>
  requires reaches<P, space_of<L, 2>> && reaches<P, space_of<X, 2>>
[[nodiscard]] auto detect(P const& where, L const& labels, std::vector<std::int32_t> const& categories, X const& scores,
                          detect_options options = {}) -> instances<typename P::memory>
{
  auto const label = as_view<2>(labels, "detect: labels");
  auto const score = as_view<2>(scores, "detect: scores");
  expects_detectable(label, score, options);
  auto const category = to_memory(where, categories);
  detect_scratch<P, value_of<X, 2>> scratch;
  auto const [H, W] = extent2{label.extent[0], label.extent[1]};
  return make_instances(where, H, W, category.size(), [&](auto const& to, auto const& found, auto const& count) {
    detect_into(where, label, category, score, options, to, found, count, scratch);
  });
}

}  // namespace cambium
