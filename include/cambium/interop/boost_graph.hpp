#pragma once
// Boost.Graph: a grid as a graph. Cells are vertices, and a stencil gives the edges. Nothing is stored or copied.
// Algorithms of Boost.Graph read cambium's maps and write into them.

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/neighbourhood.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/grid/stencil.hpp>
#include <cambium/grid/view.hpp>

#include <boost/graph/adjacency_iterator.hpp>
#include <boost/graph/graph_traits.hpp>
#include <boost/graph/properties.hpp>
#include <boost/iterator/counting_iterator.hpp>
#include <boost/iterator/iterator_facade.hpp>
#include <boost/property_map/property_map.hpp>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <type_traits>
#include <utility>

namespace cambium {

/// A join predicate that joins all neighbours.
struct every_edge {
  constexpr bool operator()(index_t, index_t, index_t, index_t) const { return true; }
};

/// A predicate on edges: true above a weight. An edge is given by its offset k and its owner, the cell (y,x).
template <class T>
struct weight_above {
  stack_view<T const> weight;  ///< [K,H,W]
  T threshold = 0;

  bool operator()(index_t k, index_t y, index_t x) const { return weight(k, y, x) > threshold; }
};

/// An edge of a grid, seen from one of its two ends. Both views compare equal.
struct cell_edge {
  index_t owner = -1;   ///< number of the cell that owns it
  std::int32_t k = 0;   ///< offset of the stencil
  bool forward = true;  ///< from the owner to the far end

  friend bool operator==(cell_edge const& a, cell_edge const& b) { return a.owner == b.owner && a.k == b.k; }
  friend auto operator<=>(cell_edge const& a, cell_edge const& b)
  {
    return std::pair{a.owner, a.k} <=> std::pair{b.owner, b.k};
  }
};

/// An undirected graph of the cells of an [H,W] grid, for the algorithms of Boost.Graph.
///
/// Cell (y,x) is vertex y * W + x. An edge joins (y,x) and (y,x) + offset if both lie on the grid and `join` returns
/// true. join is either a predicate on neighbours, join(y, x, ny, nx), as for connected_if, or a predicate on edges,
/// join(k, y, x), for example weight_above. It is called at every visit.
///
/// Models VertexListGraph, EdgeListGraph, BidirectionalGraph (and so IncidenceGraph), AdjacencyGraph and
/// AdjacencyMatrix. Iterators point to the graph, which must outlive them. The graph has the size of its stencil.
///
/// @complexity   O(K) per out_edges, in_edges, degree or edge; num_edges O(K) with every_edge, otherwise O(K * H * W)
/// @determinism  vertices and edges in raster order of the owner, out-edges in the order of the stencil
template <class Join = every_edge>
class cell_graph {
  static constexpr bool joins_cells = std::is_invocable_r_v<bool, Join const&, index_t, index_t, index_t, index_t>;
  static_assert(joins_cells || std::is_invocable_r_v<bool, Join const&, index_t, index_t, index_t>,
                "cell_graph: join takes (y, x, ny, nx) or (k, y, x)");

 public:
  class incident_iterator;
  class owned_iterator;
  struct traversal_category : boost::vertex_list_graph_tag,
                              boost::edge_list_graph_tag,
                              boost::bidirectional_graph_tag,
                              boost::adjacency_graph_tag,
                              boost::adjacency_matrix_tag {};
  using directed_category = boost::undirected_tag;
  using edge_parallel_category = boost::disallow_parallel_edge_tag;
  using vertex_descriptor = index_t;
  using edge_descriptor = cell_edge;
  using vertices_size_type = std::size_t;
  using edges_size_type = std::size_t;
  using degree_size_type = std::size_t;
  using vertex_iterator = boost::counting_iterator<index_t>;
  using edge_iterator = owned_iterator;
  using out_edge_iterator = incident_iterator;
  using in_edge_iterator = incident_iterator;
  using adjacency_iterator =
      typename boost::adjacency_iterator_generator<cell_graph, vertex_descriptor, out_edge_iterator>::type;
  static constexpr vertex_descriptor null_vertex() { return -1; }

  /// @param size   [cells] height and width
  /// @param edges  K offsets
  /// @param join   whether an edge exists
  /// @throws precondition_error: a negative size, more cells than index_t can count, offsets outside the half plane or
  ///         listed twice
  cell_graph(extent2 size, stencil const& edges, Join join = {}) : size_(size), edges_(edges), join_(std::move(join))
  {
    cells_ = cell_count({size.height, size.width});
    expects_half_plane(edges, "cell_graph");
    for (int k = 0; k < edges.size; ++k)
      for (int other = 0; other < k; ++other)
        expects(!(edges.at[k] == edges.at[other]), "cell_graph: offsets ", other, " and ", k,
                " of the stencil are both (", edges.at[k].dy, ",", edges.at[k].dx, ")");
  }
  /// c4 or c8: each neighbour before a cell owns the edge between them.
  cell_graph(extent2 size, neighbourhood const& near, Join join = {})
      : cell_graph(size, mirrored(near), std::move(join))
  {
  }

  extent2 size() const { return size_; }
  stencil const& offsets() const { return edges_; }
  index_t number(index_t y, index_t x) const { return y * size_.width + x; }
  cambium::place place(vertex_descriptor v) const { return {v / size_.width, v % size_.width}; }
  bool on_grid(index_t y, index_t x) const { return 0 <= y && y < size_.height && 0 <= x && x < size_.width; }

  /// Whether the edge k of the cell (y,x) exists.
  bool joined(int k, index_t y, index_t x) const
  {
    index_t const fy = y + edges_.at[k].dy, fx = x + edges_.at[k].dx;
    if (!on_grid(fy, fx)) return false;
    if constexpr (joins_cells)
      return join_(y, x, fy, fx);
    else
      return join_(index_t{k}, y, x);
  }

  /// The edges at one cell, seen from it (out) or towards it (in).
  class incident_iterator : public boost::iterator_facade<incident_iterator, cell_edge, boost::forward_traversal_tag,
                                                          cell_edge, std::ptrdiff_t> {
   public:
    incident_iterator() = default;
    incident_iterator(cell_graph const& graph, vertex_descriptor v, int at, bool out)
        : graph_(&graph), v_(v), place_(graph.place(v)), at_(at), out_(out)
    {
      settle();
    }

   private:
    friend class boost::iterator_core_access;
    bool owned() const { return at_ % 2 == 0; }
    cell_edge dereference() const
    {
      offset const to = graph_->edges_.at[at_ / 2];
      return {owned() ? v_ : v_ - graph_->number(to.dy, to.dx), at_ / 2, owned() == out_};
    }
    bool equal(incident_iterator const& other) const { return v_ == other.v_ && at_ == other.at_; }
    void increment()
    {
      ++at_;
      settle();
    }
    void settle()  // move to the next existing edge, or to the end
    {
      for (; at_ < 2 * graph_->edges_.size; ++at_) {
        offset const to = graph_->edges_.at[at_ / 2];
        if (owned() ? graph_->joined(at_ / 2, place_.y, place_.x)
                    : graph_->on_grid(place_.y - to.dy, place_.x - to.dx) &&
                          graph_->joined(at_ / 2, place_.y - to.dy, place_.x - to.dx))
          return;
      }
    }

    cell_graph const* graph_ = nullptr;
    vertex_descriptor v_ = -1;
    cambium::place place_;
    int at_ = 0;  ///< 2 k: the edge this cell owns; 2 k + 1: the one that ends here
    bool out_ = true;
  };

  /// All edges, each from its owner.
  class owned_iterator : public boost::iterator_facade<owned_iterator, cell_edge, boost::forward_traversal_tag,
                                                       cell_edge, std::ptrdiff_t> {
   public:
    owned_iterator() = default;
    owned_iterator(cell_graph const& graph, vertex_descriptor v) : graph_(&graph), v_(v)
    {
      if (v < graph.cells_) place_ = graph.place(v);
      settle();
    }

   private:
    friend class boost::iterator_core_access;
    cell_edge dereference() const { return {v_, k_, true}; }
    bool equal(owned_iterator const& other) const { return v_ == other.v_ && k_ == other.k_; }
    void increment()
    {
      ++k_;
      settle();
    }
    void settle()
    {
      for (; v_ < graph_->cells_; ++v_, k_ = 0) {
        for (; k_ < graph_->edges_.size; ++k_)
          if (graph_->joined(k_, place_.y, place_.x)) return;
        if (++place_.x == graph_->size_.width) ++place_.y, place_.x = 0;
      }
    }

    cell_graph const* graph_ = nullptr;
    vertex_descriptor v_ = -1;
    cambium::place place_;
    int k_ = 0;
  };

  // --- Boost.Graph's interface, found by argument-dependent lookup ---

  friend vertices_size_type num_vertices(cell_graph const& g) { return static_cast<std::size_t>(g.cells_); }
  friend std::pair<vertex_iterator, vertex_iterator> vertices(cell_graph const& g)
  {
    return {vertex_iterator(0), vertex_iterator(g.cells_)};
  }
  friend vertex_descriptor vertex(vertices_size_type n, cell_graph const&) { return static_cast<index_t>(n); }

  friend edges_size_type num_edges(cell_graph const& g)
  {
    if constexpr (std::is_same_v<Join, every_edge>) {
      index_t count = 0;
      for (int k = 0; k < g.edges_.size; ++k)
        count += std::max<index_t>(0, g.size_.height - g.edges_.at[k].dy) *
                 std::max<index_t>(0, g.size_.width - std::abs(g.edges_.at[k].dx));
      return static_cast<std::size_t>(count);
    } else {
      auto const all = edges(g);
      return static_cast<std::size_t>(std::distance(all.first, all.second));
    }
  }
  friend std::pair<edge_iterator, edge_iterator> edges(cell_graph const& g)
  {
    return {edge_iterator(g, 0), edge_iterator(g, g.cells_)};
  }

  friend vertex_descriptor source(cell_edge const& e, cell_graph const& g) { return g.end_of(e, !e.forward); }
  friend vertex_descriptor target(cell_edge const& e, cell_graph const& g) { return g.end_of(e, e.forward); }

  friend std::pair<out_edge_iterator, out_edge_iterator> out_edges(vertex_descriptor v, cell_graph const& g)
  {
    return {{g, v, 0, true}, {g, v, 2 * g.edges_.size, true}};
  }
  friend std::pair<in_edge_iterator, in_edge_iterator> in_edges(vertex_descriptor v, cell_graph const& g)
  {
    return {{g, v, 0, false}, {g, v, 2 * g.edges_.size, false}};
  }
  friend degree_size_type out_degree(vertex_descriptor v, cell_graph const& g)
  {
    auto const around = out_edges(v, g);
    return static_cast<std::size_t>(std::distance(around.first, around.second));
  }
  friend degree_size_type in_degree(vertex_descriptor v, cell_graph const& g) { return out_degree(v, g); }
  friend degree_size_type degree(vertex_descriptor v, cell_graph const& g) { return out_degree(v, g); }
  friend std::pair<adjacency_iterator, adjacency_iterator> adjacent_vertices(vertex_descriptor v, cell_graph const& g)
  {
    auto const around = out_edges(v, g);
    return {adjacency_iterator(around.first, &g), adjacency_iterator(around.second, &g)};
  }

  /// The edge between two cells, if it exists.
  friend std::pair<edge_descriptor, bool> edge(vertex_descriptor u, vertex_descriptor v, cell_graph const& g)
  {
    bool const forward = u < v;
    vertex_descriptor const owner = forward ? u : v;
    cambium::place const from = g.place(owner), to = g.place(forward ? v : u);
    for (int k = 0; k < g.edges_.size; ++k)
      if (from.y + g.edges_.at[k].dy == to.y && from.x + g.edges_.at[k].dx == to.x)
        return {{owner, k, forward}, g.joined(k, from.y, from.x)};
    return {{}, false};
  }

  friend boost::typed_identity_property_map<index_t> get(boost::vertex_index_t, cell_graph const&) { return {}; }
  friend index_t get(boost::vertex_index_t, cell_graph const&, vertex_descriptor v) { return v; }

 private:
  static stencil mirrored(neighbourhood const& near)
  {
    stencil s;
    for (int i = near.size - 1; i >= 0; --i) s.at[s.size++] = {-near.before[i].dy, -near.before[i].dx};
    return s;
  }
  vertex_descriptor end_of(cell_edge const& e, bool far) const
  {
    return far ? e.owner + number(edges_.at[e.k].dy, edges_.at[e.k].dx) : e.owner;
  }

  extent2 size_;
  stencil edges_;
  Join join_;
  index_t cells_ = 0;
};

/// Property map: the index of each vertex.
template <class Join>
struct place_map {
  using key_type = index_t;
  using value_type = place;
  using reference = place;
  using category = boost::readable_property_map_tag;
  cell_graph<Join> const* graph = nullptr;

  friend place get(place_map const& map, index_t v) { return map.graph->place(v); }
};
template <class Join>
[[nodiscard]] place_map<Join> places(cell_graph<Join> const& g)
{
  return {&g};
}

/// Property map: a value for each edge, at its owner's cell in [K,H,W]. It is not the edge_index of Boost.Graph, which
/// has no gaps.
template <class T>
struct edge_values : boost::put_get_helper<T&, edge_values<T>> {
  using key_type = cell_edge;
  using value_type = std::remove_const_t<T>;
  using reference = T&;
  using category = boost::lvalue_property_map_tag;
  T* data = nullptr;
  index_t cells = 0;  ///< of one offset: H * W

  edge_values() = default;
  edge_values(T* first, index_t count) : data(first), cells(count) {}
  T& operator[](cell_edge const& e) const { return data[e.k * cells + e.owner]; }
};

/// View the cells of [K,H,W] as values of the edges: weights to read, or results to write.
/// @throws precondition_error if the shape does not fit the graph or the view has gaps
template <class Join, stack_like A>
[[nodiscard]] auto edge_map(cell_graph<Join> const& g, A& values)
{
  auto const v = as_view<3>(values, "edge_map: values");
  expects(v.extent[0] == g.offsets().size && v.extent[1] == g.size().height && v.extent[2] == g.size().width,
          "edge_map: values are ", v, " but the graph has ", g.offsets().size, " offsets on ", g.size().height, " x ",
          g.size().width, " cells");
  expects(v.contiguous(), "edge_map: the view ", v, " has gaps");
  return edge_values<std::remove_pointer_t<decltype(v.data)>>(v.data, v.extent[1] * v.extent[2]);
}

/// View the cells of [H,W] as values of the vertices: labels, distances, colours.
/// @throws precondition_error if the shape does not fit the graph or the view has gaps
template <class Join, image_like A>
[[nodiscard]] auto vertex_map(cell_graph<Join> const& g, A& values)
{
  auto const v = as_view<2>(values, "vertex_map: values");
  expects(v.extent[0] == g.size().height && v.extent[1] == g.size().width, "vertex_map: values are ", v,
          " but the graph has ", g.size().height, " x ", g.size().width, " cells");
  expects(v.contiguous(), "vertex_map: the view ", v, " has gaps");
  return boost::make_iterator_property_map(v.data, get(boost::vertex_index, g));
}

}  // namespace cambium

template <class Join>
struct boost::property_map<cambium::cell_graph<Join>, boost::vertex_index_t> {
  using type = boost::typed_identity_property_map<cambium::index_t>;
  using const_type = type;
};
template <class Join>
struct boost::property_map<cambium::cell_graph<Join> const, boost::vertex_index_t>
    : boost::property_map<cambium::cell_graph<Join>, boost::vertex_index_t> {};
