#pragma once
// Eigen: cells as Eigen maps without a copy; transitions as sparse matrices, and back.

#include <cambium/core/error.hpp>
#include <cambium/exec/parallel.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/range.hpp>
#include <cambium/grid/transition.hpp>

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// View the cells of a contiguous grid or view as an Eigen matrix. Nothing is copied or owned.
///
/// @param a  [H,W] becomes H x W; [C,H,W] becomes C x (H*W), one channel per row
/// @return Eigen::Map, row-major; of const cells if a's are const
template <int Rank, gridded<Rank> A>
[[nodiscard]] auto as_eigen(A& a)
{
  static_assert(Rank == 2 || Rank == 3, "as_eigen: [H,W] or [C,H,W]");
  auto const v = as_view<Rank>(a, "as_eigen: array");
  expects(v.contiguous(), "as_eigen: the view ", v, " has gaps");
  using cell = std::remove_pointer_t<decltype(v.data)>;
  using rows = Eigen::Matrix<std::remove_const_t<cell>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  index_t columns = 1;
  for (int r = 1; r < Rank; ++r) columns *= v.extent[r];
  return Eigen::Map<std::conditional_t<std::is_const_v<cell>, rows const, rows>>(v.data, v.extent[0], columns);
}

/// The matrices of a transition. A is symmetric, has the edges' weights, and 1 on its diagonal. D is the diagonal
/// matrix of A's row sums.
enum class matrix_form {
  row_stochastic,  ///< D^-1 A: a step of random_walk
  symmetric,       ///< D^-1/2 A D^-1/2: the same eigenvalues, and orthogonal eigenvectors
  affinity,        ///< A
};

/// A step from a cell to a neighbour, and the offset of the stencil that holds the edge; -1: the self edge.
struct numbered_step {
  offset to;
  int k;
  bool own;  ///< the edge is stored at the cell where the step starts
};

/// All steps of a stencil in raster order, the order of the far cells' numbers.
inline std::vector<numbered_step> raster_steps(stencil const& edges, char const* who)
{
  expects_half_plane(edges, who);
  std::vector<numbered_step> steps{{{0, 0}, -1, true}};
  for (int k = 0; k < edges.size; ++k) {
    steps.push_back({edges.at[k], k, true});
    steps.push_back({{-edges.at[k].dy, -edges.at[k].dx}, k, false});
  }
  std::sort(steps.begin(), steps.end(), [](numbered_step const& a, numbered_step const& b) {
    return std::pair{a.to.dy, a.to.dx} < std::pair{b.to.dy, b.to.dx};
  });
  for (std::size_t i = 1; i < steps.size(); ++i) {
    int const sign = steps[i].own ? 1 : -1;
    expects(!(steps[i].to == steps[i - 1].to), who, ": the stencil holds an offset twice, (", sign * steps[i].to.dy,
            ",", sign * steps[i].to.dx, ")");
  }
  return steps;
}

/// Make the sparse matrix of a transition. Cell (y,x) is row and column y * W + x.
///
///   A(v,v) = 1     A(v,u) = weight of the edge between v and u; no entry for weight 0
///
/// @tparam Order     Eigen::RowMajor or Eigen::ColMajor
/// @tparam Index     the matrix's StorageIndex: std::int64_t for more than 2^31 entries
/// @param where      cpu
/// @param transition [K,H,W] weights and [H,W] inverse degrees
/// @param form       row_stochastic, symmetric or affinity
/// @return Eigen::SparseMatrix<T, Order, Index>, (H*W) x (H*W), compressed
///
/// @throws       precondition_error: different extents, an offset twice in the stencil, weights that are not finite
///               and >= 0, inverse degrees outside (0,1], more entries than Index can count
/// @invariant    affinity and symmetric are exactly symmetric; the rows of row_stochastic sum to 1 up to rounding;
///               random_walk(steps = n) is the n-th power of row_stochastic times the scores, up to rounding
/// @complexity   Theta(K * H * W) time; sizeof(T) + sizeof(Index) bytes an entry, at most 2 K + 1 entries a row
/// @determinism  exact, for every number of threads
/// @source       to_transition_matrix, misc/indexing.py of jiwoon-ahn/irn. Its matrix is dense and the transpose of
///               row_stochastic, because its scores are rows
template <int Order = Eigen::RowMajor, class Index = int, transition_like A>
[[nodiscard]] auto to_eigen(cpu const& where, A const& transition, matrix_form form = matrix_form::row_stochastic)
{
  auto const t = as_transition(transition);
  using T = typename decltype(t.weight)::value_type;
  index_t const H = t.weight.extent[1], W = t.weight.extent[2], n = H * W;
  std::vector<numbered_step> const steps = raster_steps(t.edges, "to_eigen");
  expects(t.weight.extent[0] == t.edges.size && t.inverse_degree.extent[0] == H && t.inverse_degree.extent[1] == W,
          "to_eigen: weights are ", t.weight, " and inverse degrees ", t.inverse_degree, " but there are ",
          t.edges.size, " edges");
  expects_inside(where, t.weight, T(0), std::numeric_limits<T>::max(), "to_eigen: weight", "a finite weight >= 0");
  expects_inside(where, t.inverse_degree, std::numeric_limits<T>::min(), T(1), "to_eigen: inverse_degree",
                 "a value in (0,1]");

  // The pattern is symmetric, so rows and columns have the same entries. Calls each(far y, far x, weight).
  auto const for_each_entry = [&](index_t y, index_t x, auto const& each) {
    for (numbered_step const& s : steps) {
      index_t const fy = y + s.to.dy, fx = x + s.to.dx;
      if (fy < 0 || fy >= H || fx < 0 || fx >= W) continue;
      T const weight = s.k < 0 ? T(1) : s.own ? t.weight(s.k, y, x) : t.weight(s.k, fy, fx);
      if (weight != 0) each(fy, fx, weight);
    }
  };
  std::vector<index_t> first(static_cast<std::size_t>(n + 1), 0);
  for_each_share(where, H, 16, [&](index_t begin, index_t end) {
    for (index_t v = begin * W; v < end * W; ++v)
      for_each_entry(v / W, v % W, [&](index_t, index_t, T) { ++first[static_cast<std::size_t>(v + 1)]; });
  });
  for (std::size_t v = 1; v < first.size(); ++v) first[v] += first[v - 1];
  expects(std::cmp_less_equal(first.back(), std::numeric_limits<Index>::max()), "to_eigen: ", first.back(),
          " entries do not fit the StorageIndex, whose largest value is ", std::numeric_limits<Index>::max());

  Eigen::SparseMatrix<T, Order, Index> out(n, n);
  out.resizeNonZeros(first.back());
  for_each_share(where, H, 16, [&](index_t begin, index_t end) {
    for (index_t v = begin * W; v < end * W; ++v) {
      index_t const y = v / W, x = v % W;
      index_t at = first[static_cast<std::size_t>(v)];
      T const here = t.inverse_degree(y, x);
      for_each_entry(y, x, [&](index_t fy, index_t fx, T weight) {
        T const there = t.inverse_degree(fy, fx);
        if (form == matrix_form::row_stochastic)
          weight *= Order == Eigen::RowMajor ? here : there;
        else if (form == matrix_form::symmetric)
          weight = static_cast<T>(static_cast<double>(weight) *
                                  std::sqrt(static_cast<double>(here) * static_cast<double>(there)));
        out.innerIndexPtr()[at] = static_cast<Index>(fy * W + fx);
        out.valuePtr()[at++] = weight;
      });
    }
  });
  std::transform(first.begin(), first.end(), out.outerIndexPtr(), [](index_t at) { return static_cast<Index>(at); });
  return out;
}

/// Make the transition of a symmetric affinity matrix over the cells of a grid. This is the inverse of
/// to_eigen(where, transition, matrix_form::affinity).
///
/// @param where   cpu
/// @param matrix  (H*W) x (H*W), >= 0, 1 on its diagonal; cell (y,x) is row and column y * W + x. Entries that are
///                stored as 0 count as absent
/// @param size    [cells] H and W
/// @param edges   K offsets; every entry off the diagonal lies on one of them
/// @return transition<T>
///
/// @throws       precondition_error that names the first invalid entry in the matrix's order of storage: it is not a
///               finite number >= 0, is not 1 on the diagonal, differs from its transposed entry, or fits no edge
/// @invariant    the weights have the entries' bits; inverse degrees are those of make_transition
/// @complexity   O(entries * log K) time on one thread; K * H * W weights
/// @determinism  exact
/// @source       cambium's own
template <class T, int Order, class Index>
[[nodiscard]] transition<T> from_eigen(cpu const&, Eigen::SparseMatrix<T, Order, Index> const& matrix, extent2 size,
                                       stencil const& edges)
{
  std::vector<numbered_step> const steps = raster_steps(edges, "from_eigen");
  index_t const H = size.height, W = size.width;
  expects(H >= 0 && W >= 0, "from_eigen: size is ", H, " x ", W);
  index_t const n = cell_count({H, W});
  expects(matrix.rows() == n && matrix.cols() == n, "from_eigen: the matrix is ", matrix.rows(), " x ", matrix.cols(),
          " but ", H, " x ", W, " cells need ", n, " x ", n);
  transition<T> out{edges, grid<T, 3>(edges.size, H, W), make_grid<T>({H, W})};
  for (index_t outer = 0; outer < n; ++outer) {
    bool diagonal = false;
    for (typename Eigen::SparseMatrix<T, Order, Index>::InnerIterator at(matrix, outer); at; ++at) {
      index_t const from = at.row(), to = at.col();
      T const value = at.value();
      if (value == 0) continue;
      auto const expects_here = [&](bool holds, auto const&... words) {
        expects(holds, "from_eigen: entry (", from, ",", to, "), of the cells (", from / W, ",", from % W, ") and (",
                to / W, ",", to % W, "), is ", value, words...);
      };
      expects_here(value > 0 && value <= std::numeric_limits<T>::max(), "; expected a finite number >= 0");
      if (from == to) {
        expects_here(value == 1, "; a transition's self edges have weight 1");
        diagonal = true;
        continue;
      }
      T const mirrored = matrix.coeff(to, from);
      expects_here(value == mirrored, " but its mirror image is ", mirrored);
      index_t const dy = to / W - from / W, dx = to % W - from % W;
      auto const step = std::lower_bound(steps.begin(), steps.end(), std::pair{dy, dx},
                                         [](numbered_step const& s, std::pair<index_t, index_t> const& d) {
                                           return std::pair<index_t, index_t>(s.to.dy, s.to.dx) < d;
                                         });
      expects_here(step != steps.end() && step->to.dy == dy && step->to.dx == dx,
                   ", and that is no edge of the stencil");
      if (step->own) out.weight(step->k, from / W, from % W) = value;
    }
    expects(diagonal, "from_eigen: entry (", outer, ",", outer, "), of the cell (", outer / W, ",", outer % W,
            "), is 0; a transition's self edges have weight 1");
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double sum = 1;
      for (int k = 0; k < edges.size; ++k) {  // in the order of make_transition
        index_t const by = y - edges.at[k].dy, bx = x - edges.at[k].dx;
        sum += static_cast<double>(out.weight(k, y, x));
        if (by >= 0 && bx >= 0 && bx < W) sum += static_cast<double>(out.weight(k, by, bx));
      }
      out.inverse_degree(y, x) = static_cast<T>(1 / sum);
    }
  return out;
}

}  // namespace cambium
