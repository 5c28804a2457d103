#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/atomic.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/order_key.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/exec/scan.hpp>
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
[[nodiscard]] instances<> detect(cpu const& where, L const& labels, std::vector<std::int32_t> const& categories,
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

  instances<> out{make_grid<std::int32_t>({H, W}), {}};
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

// --- by rules: any policy but the cpu, whose bodies are above ---------------------------------------------


/// Below every number.
template <class T>
inline constexpr order_key_t<T> no_score_yet = std::numeric_limits<order_key_t<T>>::min();

template <class T>
struct forget_component {
  instance* all;
  order_key_t<T>* largest;
  index_t height;
  index_t width;

  CAMBIUM_HD void operator()(index_t i) const
  {
    all[i] = instance{0, 0, 0, {height, width, 0, 0}};
    largest[i] = no_score_yet<T>;
  }
};

/// A piece of a row adds what it knows of its components: cells side by side are mostly of one, which is told once.
template <class L, class T, class S>
struct measure_piece {
  static constexpr index_t length = 16;  ///< [cells]
  image_view<L const, S> label;
  image_view<T const, S> score;
  index_t components;
  instance* all;
  order_key_t<T>* largest;

  /// Pieces of a map of this shape.
  static index_t count(index_t height, index_t width) { return height * ((width + length - 1) / length); }

  CAMBIUM_HD void operator()(index_t i) const
  {
    index_t const pieces = (label.extent[1] + length - 1) / length, y = i / pieces, first = i % pieces * length;
    index_t const last = first + length < label.extent[1] ? first + length : label.extent[1];
    for (index_t begin = first, end = first; begin < last; begin = end) {
      L const at = label(y, begin);
      order_key_t<T> most = no_score_yet<T>;
      for (; end < last && label(y, end) == at; ++end) {
        T const here = score(y, end);
        order_key_t<T> const place = order_key(here == here ? here : T(0));
        if (place > most) most = place;
      }
      index_t const n = static_cast<index_t>(at) - 1;
      if (n < 0 || n >= components) continue;
      atomic_add(&all[n].area, end - begin);
      atomic_min(&all[n].bounds.top, y);
      atomic_min(&all[n].bounds.left, begin);
      atomic_max(&all[n].bounds.bottom, y + 1);
      atomic_max(&all[n].bounds.right, end);
      atomic_max(&largest[n], most);
    }
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

  CAMBIUM_HD void operator()(index_t label) const
  {
    if (label == chosen.components) count(0) = before[label];
    if (label == 0 || before[label] == before[label - 1]) return;
    index_t const i = label - 1;
    instance one = chosen.all[i];
    double const most = static_cast<double>(from_order_key<T>(largest[i]));
    one.category = category(i);
    one.score = one.area < cells && !(most > 0) ? 0 : most;
    if (chosen.options.small == fragments::score_zero && chosen.fragment(i)) one.score = 0;
    found(before[label] - 1) = one;
  }
};

/// What detect works in; it grows to the largest number of components.
template <execution_policy P, class T>
struct detect_scratch {
  grid<instance, 1, typename P::memory> all;
  grid<order_key_t<T>, 1, typename P::memory> largest;
  grid<std::int32_t, 1, typename P::memory> before;
  workspace<P> space;
};

/// As detect in detect.hpp, into the policy's memory.
///
/// @param labels      [H,W] 0..N
/// @param categories  [N] int32 in the policy's memory; N may be larger than the number of components
/// @param scores      [H,W] float or double
/// @param label       [H,W] int32: the instances' labels
/// @param found       [N] instances, of which the first count(0) are written
/// @param count       [1] int32
///
/// @pre          as there; on a device a label outside 0..N is background
/// @throws       precondition_error before anything is enqueued
/// @determinism  exact: counts, minima and maxima only
/// @asynchrony   enqueues and returns; takes memory only while the scratch grows
template <execution_policy P, image_like L, gridded<1> K, image_like X, image_like O, gridded<1> F, gridded<1> N>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && reaches<P, space_of<K, 1>> &&
          reaches<P, space_of<X, 2>> && reaches<P, space_of<O, 2>> && reaches<P, space_of<F, 1>> &&
          reaches<P, space_of<N, 1>>
void detect_into(P const& where, L const& labels, K const& categories, X const& scores, detect_options options,
                 O&& label, F&& found, N&& count, detect_scratch<P, value_of<X, 2>>& scratch)
{
  using cell_type = value_of<L, 2>;
  using T = value_of<X, 2>;
  using S = typename P::memory;
  static_assert(std::is_integral_v<cell_type>, "detect: labels are integers");
  image_view<cell_type const, S> const from = as_view<2>(labels, "detect: labels");
  view<std::int32_t const, 1, S> const category = as_view<1>(categories, "detect: categories");
  image_view<T const, S> const score = as_view<2>(scores, "detect: scores");
  image_view<std::int32_t, S> const to = as_view<2>(label, "detect: label");
  view<instance, 1, S> const table = as_view<1>(found, "detect: found");
  view<std::int32_t, 1, S> const number = as_view<1>(count, "detect: count");
  index_t const H = from.extent[0], W = from.extent[1], components = category.extent[0], cells[3] = {1, H, W};
  expects_detectable(from, score, options);
  expects(same_shape(from, to), "detect: labels are ", from, " but label is ", to);
  expects(table.extent[0] == components && number.extent[0] == 1, "detect: ", components, " categories but found is ",
          table, " and count ", number);
  expects(!overlap(from, to) && !overlap(score, to), "detect: an input and label overlap");
  instance* const all = reserve(where, scratch.all, components);
  auto* const largest = reserve(where, scratch.largest, components);
  view<std::int32_t, 1, S> const before(reserve(where, scratch.before, components + 2), {components + 2});
  for_each_index(where, components, forget_component<T>{all, largest, H, W});
  using piece = measure_piece<cell_type, T, S>;
  for_each_index(where, piece::count(H, W), piece{from, score, components, all, largest});
  choose_component const chosen{all, components, options, before.data};
  for_each_index(where, components + 2, chosen);
  // What is before the label after l is how many of 1..l are kept.
  exclusive_scan(where, components + 2, before.data, before.data, scratch.space);
  view<std::int32_t const, 1, S> const through(before.data + 1, {components + 1});
  for_each_index(where, components + 1,
                 tell_component<T, S>{chosen, largest, category, through.data, H * W, table, number});
  for_each_cell(where, cells, close_up_label<cell_type, S>{from, through, to});
}

/// As detect_into, with the categories on the host; allocates the result and the scratch. to_host() brings the result to
/// the host.
template <execution_policy P, image_like L, image_like X>
  requires(!std::same_as<P, cpu>) && reaches<P, space_of<L, 2>> && reaches<P, space_of<X, 2>>
[[nodiscard]] auto detect(P const& where, L const& labels, std::vector<std::int32_t> const& categories, X const& scores,
                          detect_options options = {}) -> instances<typename P::memory>
{
  auto const label = as_view<2>(labels, "detect: labels");
  auto const score = as_view<2>(scores, "detect: scores");
  expects_detectable(label, score, options);
  index_t const N = static_cast<index_t>(categories.size());
  auto category = make_grid<std::int32_t>(where, {N});
  copy(where, view<std::int32_t const, 1>(categories.data(), {N}), category.view());
  detect_scratch<P, value_of<X, 2>> scratch;
  auto const [H, W] = extent2{label.extent[0], label.extent[1]};
  return make_instances(where, H, W, N, [&](auto const& to, auto const& found, auto const& count) {
    detect_into(where, label, category, score, options, to, found, count, scratch);
  });
}

}  // namespace cambium
