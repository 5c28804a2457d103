#pragma once

#include <cambium/core/error.hpp>
#include <cambium/exec/loops.hpp>
#include <cambium/exec/simd.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/path.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/stencil.hpp>

#include <algorithm>
#include <type_traits>

namespace cambium {

namespace rule {

/// The rule, written once for every backend: one edge takes 1 - the largest boundary on its path.
template <class T, class S>
struct path_affinity_edge {
  stencil edges;
  image_view<T const, S> boundary;
  stack_view<T, S> out;

  CAMBIUM_HD void operator()(index_t k, index_t y, index_t x) const
  {
    offset const to = edges.at[k];
    index_t const far_y = y + to.dy, far_x = x + to.dx;
    if (far_y >= boundary.extent[0] || far_x < 0 || far_x >= boundary.extent[1]) {
      out(k, y, x) = 0;
      return;
    }
    T most = boundary(y, x);
    int const step = to.dx < 0 ? -1 : 1;
    for (int py = 0; py <= to.dy; ++py)
      for (int px = 0; px != to.dx + step; px += step)
        if (on_path(to, {py, px})) {
          T const here = boundary(y + py, x + px);
          most = here > most ? here : most;
        }
    out(k, y, x) = 1 - most;
  }
};

/// The same for one row of edges, a register of columns at a time.
template <class T>
struct path_affinity_row {
  path cells;
  T const* boundary;  ///< the row's first cell
  index_t stride;     ///< [elements] from row to row
  index_t first;      ///< columns first..last-1 have their far end inside
  index_t last;
  T* out;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / static_cast<int>(sizeof(T));
    index_t x = first;
    for (; x + lanes <= last; x += lanes) {
      pack<T, lanes> most = lanes_at<lanes>(boundary + x).v;
      for (int i = 0; i + 1 < cells.size; ++i) {  // the last cell of a path is its source
        pack<T, lanes> const here = lanes_at<lanes>(boundary + cells.at[i].dy * stride + x + cells.at[i].dx).v;
        most = here > most ? here : most;
      }
      lanes_at<lanes>(out + x).v = 1 - most;
    }
    for (; x < last; ++x) {
      T most = boundary[x];
      for (int i = 0; i + 1 < cells.size; ++i) {
        T const here = boundary[cells.at[i].dy * stride + x + cells.at[i].dx];
        most = here > most ? here : most;
      }
      out[x] = 1 - most;
    }
  }
};

}  // namespace rule

/// The CPU schedule: edge by edge, row by row.
template <class T>
void path_affinity_on(cpu const& where, image_view<T const> boundary, stencil const& edges, stack_view<T> out)
{
  index_t const H = boundary.extent[0], W = boundary.extent[1];
  if (H * W == 0) return;
  isa const set = vectors_of(where);
  for_each_share(where, edges.size * H, 64, [&](index_t begin, index_t end) {
    rule::path_affinity_row<T> row{};
    for (index_t at = begin; at < end; ++at) {
      index_t const k = at / H, y = at % H;
      offset const to = edges.at[k];
      if (at == begin || y == 0) row.cells = path::to(to);
      bool const inside = y + to.dy < H;
      row.boundary = &boundary(y, 0);
      row.stride = boundary.stride[0];
      row.first = inside ? (to.dx < 0 ? std::min<index_t>(W, -to.dx) : 0) : W;
      row.last = inside ? std::max<index_t>(row.first, to.dx > 0 ? W - to.dx : W) : W;
      row.out = &out(k, y, 0);
      for (index_t x = 0; x < row.first; ++x) row.out[x] = 0;
      run_widest(set, row);
      for (index_t x = row.last; x < W; ++x) row.out[x] = 0;
    }
  });
}

/// Any other policy: the rule under that policy's loop.
template <execution_policy P, class T, class S>
void path_affinity_on(P const& where, image_view<T const, S> boundary, stencil const& edges, stack_view<T, S> out)
{
  for_each_cell(where, out.extent, rule::path_affinity_edge<T, S>{edges, boundary, out});
}

/// Turn a boundary map into affinities between cells: high where no boundary lies between them.
///
///   out(k, y, x) = 1 - max of boundary over path::to(edges.at[k]) laid at (y,x)
///
/// @param where     where to run; must reach the memory of the boundary
/// @param boundary  [H,W] probability of a boundary, in [0,1]
/// @param edges     K offsets, usually stencil::disc(5)
/// @param out       [K,H,W] affinities in [0,1]; 0 where the edge leaves the grid
///
/// @pre          host memory: 0 <= boundary <= 1 everywhere (NaN is refused); every edge shorter than
///               path::longest = 17
/// @throws       precondition_error before anything is written
/// @invariant    raising a boundary never raises an affinity; affinities between equal cells of a
///               constant map are 1 - that constant
/// @complexity   Theta(H * W * cells on all paths) time: 242 cells at radius 5, 2,134 at radius 10; no allocation
/// @determinism  exact: only comparisons and one subtraction
/// @asynchrony   gpu: enqueues and returns, and cannot check the range of the boundary
/// @source       Ahn, Cho, Kwak, CVPR 2019, eq. (7); edge_to_affinity, misc/indexing.py of jiwoon-ahn/irn,
///               which pads by 1 so that edges leaving the map are 0; here they are 0 without padding
template <execution_policy P, image_like B, stack_like O>
  requires reaches<P, space_of<B, 2>> && reaches<P, space_of<O, 3>>
void path_affinity_into(P const& where, B const& boundary, stencil const& edges, O&& out)
{
  auto const in = as_view<2>(boundary, "path_affinity: boundary");
  auto const to = as_view<3>(out, "path_affinity: out");
  using T = value_of<B, 2>;
  using S = space_of<B, 2>;
  expects(to.extent[0] == edges.size && to.extent[1] == in.extent[0] && to.extent[2] == in.extent[1],
          "path_affinity: out is ", to, " but the boundary is ", in, " and the stencil has ", edges.size, " offsets");
  expects(!overlap(in, to), "path_affinity: boundary and out overlap");
  expects_half_plane(edges, "path_affinity");
  constexpr index_t longest = path::longest;
  for (int k = 0; k < edges.size; ++k)
    expects(index_t{edges.at[k].dy} * edges.at[k].dy + index_t{edges.at[k].dx} * edges.at[k].dx < longest * longest,
            "path_affinity: an edge is ", longest, " cells long or longer");
  if constexpr (std::is_same_v<P, cpu>)
    expects_inside(where, in, T(0), T(1), "path_affinity: boundary", "a value in [0,1]");
  path_affinity_on(where, image_view<T const, S>(in), edges, stack_view<T, S>(to));
}

/// As path_affinity_into, and allocates the result.
/// @return grid<T, 3> [K,H,W] in the memory of the policy
template <execution_policy P, image_like B>
  requires reaches<P, space_of<B, 2>>
[[nodiscard]] auto path_affinity(P const& where, B const& boundary, stencil const& edges)
{
  auto const in = as_view<2>(boundary, "path_affinity: boundary");
  auto out = make_grid<value_of<B, 2>>(where, {index_t{edges.size}, in.extent[0], in.extent[1]});
  path_affinity_into(where, in, edges, out);
  return out;
}

}  // namespace cambium
