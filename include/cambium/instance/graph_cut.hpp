#pragma once
// The only header of a stage that needs Boost: maximum flows are Boost.Graph's.

#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>

#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
#include <boost/graph/compressed_sparse_row_graph.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

struct graph_cut_options {
  double smoothness = 1;  ///< lambda: what a pairwise weight of 1 costs, in the unit of the unaries; >= 0
  int rounds = 10;        ///< [count] most sweeps over the labels; >= 1. Two labels need a single cut
  index_t most_bytes = index_t{4} << 30;  ///< [bytes] refuse maps whose graph would take more
};

/// What a cut found.
struct cut_labels {
  grid<std::int32_t, 2> label;  ///< [H,W] 0..L-1
  double energy = 0;            ///< of these labels
  int rounds = 0;               ///< [count] sweeps over the labels
  bool settled = true;          ///< no expansion of any label lowers the energy further
};

/// One energy over the labels of a grid's cells, in whole numbers, and the flow graph that minimises it.
///
/// Energies are multiplied by the power of two that brings their sum near 2^60, and rounded. Sums are then exact: flows
/// end after finitely many steps, whatever the weights, and energies can be compared.
template <class U>
class label_energy {
 public:
  using amount = std::int64_t;

  template <class W>
  label_energy(stack_view<U const> unary, stencil const& edges, stack_view<W const> weight, double smoothness,
               grid<std::uint8_t, 2> const& known)
      : unary_(unary), known_(known)
  {
    index_t const H = unary.extent[1], width = unary.extent[2];
    double sum = 0;
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < width; ++x) {
        double most = 0;
        for (index_t l = 0; l < unary.extent[0]; ++l)
          most = std::max(most, std::abs(static_cast<double>(unary(l, y, x))));
        sum += known(y, x) ? 2 * most : 0;
      }
    auto const for_each_edge = [&](auto const& each) {
      for (index_t y = 0; y < H; ++y)
        for (index_t x = 0; x < width; ++x)
          for (int k = 0; k < edges.size; ++k) {
            index_t const fy = y + edges.at[k].dy, fx = x + edges.at[k].dx;
            if (fy >= H || fx < 0 || fx >= width) continue;
            each(y * width + x, fy * width + fx, smoothness * static_cast<double>(weight(k, y, x)));
          }
    };
    for_each_edge([&](index_t, index_t, double w) { sum += 2 * w; });
    expects(sum <= std::numeric_limits<double>::max(), "graph_cut: the energies add up to ", sum);
    exponent_ = sum > 0 ? 60 - std::ilogb(sum) : 0;
    half_ = std::ldexp(1.0, exponent_ / 2), rest_ = std::ldexp(1.0, exponent_ - exponent_ / 2);

    for_each_edge([&](index_t a, index_t b, double w) {
      if (amount const whole = quantised(w); whole > 0)
        links_.push_back({static_cast<number>(a), static_cast<number>(b), 0, whole});
    });
    build(H * width);
  }

  /// Of a label map, in units of 2^-exponent.
  amount of(grid<std::int32_t, 2> const& label) const
  {
    amount sum = 0;
    for (index_t y = 0; y < unary_.extent[1]; ++y)
      for (index_t x = 0; x < unary_.extent[2]; ++x) sum += cost(label(y, x), y, x);
    for (link const& e : links_) sum += label.cells()[e.from] != label.cells()[e.to] ? e.weight : 0;
    return sum;
  }
  double in_units(amount energy) const { return std::ldexp(static_cast<double>(energy), -exponent_); }

  /// The best map among those where every cell keeps its label or takes `alpha`. Cells that need not change stay.
  void expand(std::int32_t alpha, grid<std::int32_t, 2> const& label, grid<std::int32_t, 2>& out)
  {
    std::fill(residual_.begin(), residual_.end(), 0);
    // What it costs more to take alpha: the source holds a cell back, the sink pulls it.
    std::size_t v = 0;
    for (index_t y = 0; y < unary_.extent[1]; ++y)
      for (index_t x = 0; x < unary_.extent[2]; ++x, ++v) pull_[v] = cost(alpha, y, x) - cost(label(y, x), y, x);
    for (link const& e : links_) {
      std::int32_t const from = label.cells()[e.from], to = label.cells()[e.to];
      if (from == alpha || to == alpha) {
        if (from != alpha) pull_[e.from] -= e.weight;  // its neighbour has alpha, and will have it
        if (to != alpha) pull_[e.to] -= e.weight;
      } else {
        residual_[e.slot] = e.weight;
        if (from == to)
          residual_[reverse_[e.slot].idx] = e.weight;
        else
          pull_[e.to] -= e.weight;  // unless both take alpha, w is due: w - w to + w (not from) to
      }
    }
    auto const cells = static_cast<number>(pull_.size()), source = cells, sink = cells + 1;
    for (number c = 0; c < cells; ++c) {
      if (label.cells()[c] == alpha) continue;
      if (pull_[c] < 0) residual_[out_edges(c, graph_).first->idx] = -pull_[c];
      if (pull_[c] > 0) residual_[out_edges(source, graph_).first->idx + c] = pull_[c];
    }
    auto const slot = get(boost::edge_index, graph_);
    auto const vertex = get(boost::vertex_index, graph_);
    auto const capacity = boost::make_iterator_property_map(residual_.begin(), slot);
    boost::boykov_kolmogorov_max_flow(
        graph_, capacity, capacity, boost::make_iterator_property_map(reverse_.begin(), slot),
        boost::make_iterator_property_map(parent_.begin(), vertex),
        boost::make_iterator_property_map(tree_.begin(), vertex),
        boost::make_iterator_property_map(distance_.begin(), vertex), vertex, source, sink);
    for (number c = 0; c < cells; ++c)
      out.cells()[c] = tree_[c] == boost::white_color ? alpha : label.cells()[c];  // white: it leads to the sink
  }

 private:
  using number = std::uint32_t;
  using graph = boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, boost::no_property,
                                                   boost::no_property, number, number>;
  using edge = typename boost::graph_traits<graph>::edge_descriptor;
  struct link {
    number from, to;
    number slot;  ///< of from -> to among the graph's edges
    amount weight;
  };

  /// Twice times a power of two: exact, and much faster than ldexp. Once might be beyond the largest number.
  amount quantised(double energy) const { return std::llrint(energy * half_ * rest_); }
  amount cost(std::int32_t l, index_t y, index_t x) const
  {
    return known_(y, x) ? quantised(static_cast<double>(unary_(l, y, x))) : 0;
  }

  /// Rows of the graph: a cell to the sink, to the source, to its neighbours; the source and the sink to all cells.
  /// links_ are in the order of their owners, which come before their far ends.
  void build(index_t count)
  {
    auto const cells = static_cast<number>(count), source = cells, sink = cells + 1;
    std::vector<number> first(static_cast<std::size_t>(cells) + 1, 2);  // slots of a row, then where they begin
    for (link const& e : links_) ++first[e.from], ++first[e.to];
    number slots = 0;
    for (number& f : first) slots += std::exchange(f, slots);
    slots = first[cells];
    std::vector<std::pair<number, number>> ends(slots + 2 * static_cast<std::size_t>(cells));
    reverse_.resize(ends.size());
    auto const tie = [&](number at, number back, number a, number b) {
      ends[at] = {a, b}, ends[back] = {b, a};
      reverse_[at] = {b, back}, reverse_[back] = {a, at};
    };
    for (number c = 0; c < cells; ++c) {
      tie(first[c]++, slots + cells + c, c, sink);
      tie(first[c]++, slots + c, c, source);
    }
    for (link& e : links_) tie(e.slot = first[e.from]++, first[e.to]++, e.from, e.to);
    graph_ = graph(boost::edges_are_sorted, ends.begin(), ends.end(), cells + 2);
    residual_.resize(ends.size());
    pull_.resize(cells);
    parent_.resize(cells + 2), tree_.resize(cells + 2), distance_.resize(cells + 2);
  }

  stack_view<U const> unary_;
  grid<std::uint8_t, 2> const& known_;
  int exponent_ = 0;
  double half_ = 1, rest_ = 1;  ///< their product is 2^exponent
  std::vector<link> links_;
  graph graph_;
  std::vector<edge> reverse_;
  std::vector<amount> residual_;  ///< of every edge of the graph
  std::vector<amount> pull_;
  std::vector<edge> parent_;
  std::vector<boost::default_color_type> tree_;
  std::vector<std::int32_t> distance_;
};

/// Label cells by minimum cuts: cheap labels, few and weak borders.
///
///   E(x) = sum over cells of unary(x_i, i)  +  sum over edges of smoothness * weight(k, i) * [x_i != x_j]
///
/// Two labels: the exact minimum, in one cut. More: alpha-expansion. Each expansion finds the best map that is reached
/// when any set of cells takes one label; sweeps over the labels end when none lowers E, or after `rounds`.
///
/// @param where    cpu: maximum flows run on the cpu only, on one thread
/// @param unary    [L,H,W] energies, finite, 1 <= L <= 255: from unary_from_labels, unary_from_scores and their like
/// @param edges    K offsets: stencil{2, {{0, 1}, {1, 0}}} are the four edge neighbours, stencil::disc(2) all eight
/// @param weights  [K,H,W] finite, >= 0: affinities, high where two cells look alike. Edges that leave the grid cost
///                 nothing
/// @param start    [H,W] labels to improve: 0..L-1. A cell of 255 has no data term: its unaries count as 0, and it
///                 starts as 0
/// @param options  smoothness = 1, rounds = 10, most_bytes = 4 GiB
/// @return labels, their energy, sweeps made, and whether they ended by themselves
///
/// @throws       precondition_error: shapes, values or options outside their ranges, labels that are neither; a map
///               whose graph exceeds most_bytes or 2^32 edges; energies whose sum is not finite
/// @invariant    the energy never rises, so it is at most the start's; two labels: no label map is better, and the
///               start does not matter but for its 255. More: at most twice the minimum if unaries are >= 0 and the
///               sweeps settled. Cells whose choice does not matter keep their label (two labels: take 0)
/// @complexity   one maximum flow an expansion, L expansions a sweep; in practice near linear in the edges. About
///               85 K + 200 bytes a cell
/// @determinism  exact: whole numbers, a fixed order, one thread. Energies are rounded to 2^-60 of about twice their
///               sum
/// @source       Boykov, Veksler, Zabih, PAMI 2001 (expansions, the bound of 2); Kolmogorov, Zabih, PAMI 2004 (edges
///               between two other labels without auxiliary vertices); Boykov, Kolmogorov, PAMI 2004, the flow:
///               boost::boykov_kolmogorov_max_flow
template <stack_like U, stack_like A, image_like L>
[[nodiscard]] cut_labels graph_cut(cpu const& where, U const& unary, stencil const& edges, A const& weights,
                                   L const& start, graph_cut_options options = {})
{
  using T = value_of<U, 3>;
  using V = value_of<A, 3>;
  static_assert(std::is_integral_v<value_of<L, 2>>, "graph_cut: labels are integers");
  stack_view<T const> const costs = as_view<3>(unary, "graph_cut: unary");
  stack_view<V const> const weight = as_view<3>(weights, "graph_cut: weights");
  auto const first = as_view<2>(start, "graph_cut: start");
  index_t const labels = costs.extent[0], H = costs.extent[1], W = costs.extent[2];
  expects_half_plane(edges, "graph_cut");
  expects(1 <= labels && labels <= label::ignore, "graph_cut: ", labels, " labels; expected 1..", label::ignore);
  expects(weight.extent[0] == edges.size && weight.extent[1] == H && weight.extent[2] == W, "graph_cut: unary is ",
          costs, " but weights are ", weight, " and the stencil has ", edges.size, " offsets");
  expects(first.extent[0] == H && first.extent[1] == W, "graph_cut: unary is ", costs, " but start is ", first);
  expects(options.smoothness >= 0 && std::isfinite(options.smoothness), "graph_cut: smoothness is ", options.smoothness,
          "; expected a finite number >= 0");
  expects(options.rounds >= 1, "graph_cut: rounds is ", options.rounds);
  double const cells = static_cast<double>(H) * static_cast<double>(W), bytes = cells * (85.0 * edges.size + 200);
  expects(bytes <= static_cast<double>(options.most_bytes), "graph_cut: the graph of ", costs, " with ", edges.size,
          " edges a cell takes about ", bytes, " bytes, more than most_bytes = ", options.most_bytes);
  expects(cells * (2.0 * edges.size + 4) < 4294967295.0, "graph_cut: ", costs, " with ", edges.size,
          " edges a cell has more than 2^32 edges");
  expects_finite(where, costs, "graph_cut: unary");
  expects_inside(where, weight, V(0), std::numeric_limits<V>::max(), "graph_cut: weight", "a finite weight >= 0");
  cut_labels out{make_grid<std::int32_t>({H, W})};
  auto known = make_grid<std::uint8_t>({H, W});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      auto const at = static_cast<index_t>(first(y, x));
      expects((0 <= at && at < labels) || at == label::ignore, "graph_cut: start(", y, ",", x, ") is ", at,
              "; expected 0..", labels - 1, " or ", label::ignore);
      known(y, x) = at != label::ignore;
      out.label(y, x) = known(y, x) && labels != 2 ? static_cast<std::int32_t>(at) : 0;
    }
  if (H * W == 0) return out;

  label_energy<T> energy(costs, edges, weight, options.smoothness, known);
  auto now = energy.of(out.label);
  auto next = out.label;
  if (labels == 2) {
    energy.expand(1, out.label, next);
    std::swap(out.label, next);
    now = energy.of(out.label);
    out.rounds = 1;
  } else {
    index_t unchanged = 0;  // expansions since the last that lowered the energy
    for (; out.rounds < options.rounds && unchanged < labels; ++out.rounds)
      for (std::int32_t alpha = 0; alpha < labels && unchanged < labels; ++alpha) {
        energy.expand(alpha, out.label, next);
        auto const then = energy.of(next);
        ++unchanged;
        if (then >= now) continue;
        now = then;
        unchanged = 1;  // right after its expansion a label has nothing to gain
        std::swap(out.label, next);
      }
    out.settled = unchanged >= labels;
  }
  out.energy = energy.in_units(now);
  return out;
}

/// As above, from the cheapest label of each cell, the first of equals.
template <stack_like U, stack_like A>
[[nodiscard]] cut_labels graph_cut(cpu const& where, U const& unary, stencil const& edges, A const& weights,
                                   graph_cut_options options = {})
{
  auto const costs = as_view<3>(unary, "graph_cut: unary");
  grid<std::int32_t, 2> start(costs.extent[1], costs.extent[2]);
  for (index_t y = 0; y < costs.extent[1]; ++y)
    for (index_t x = 0; x < costs.extent[2]; ++x)
      for (index_t l = 1; l < costs.extent[0]; ++l)
        if (costs(l, y, x) < costs(start(y, x), y, x)) start(y, x) = static_cast<std::int32_t>(l);
  return graph_cut(where, costs, edges, weights, start, options);
}

}  // namespace cambium
