// 08  Spectral cut: the border that a random walk takes longest to cross.
//
// A boundary map has two rooms of different size and a narrow door. The transition becomes an Eigen matrix. Its second
// eigenvector is the slowest mode of the walk. The eigenvector changes its sign at the door (Shi & Malik's normalised
// cut). Spectra computes the eigenvectors.
//
//   $ ./08_spectral_cut
//
// Next: 09_graph_algorithms.

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/interop/eigen.hpp>

#include <Spectra/MatOp/SparseSymMatProd.h>
#include <Spectra/SymEigsSolver.h>

#include <cmath>
#include <cstdio>

using namespace cambium;

int main()
{
  char const* const picture[] = {
      ".........b...........",  //
      ".........b...........",  //
      ".........b...........",  //
      ".....................",  // the door
      ".........b...........",  //
      ".........b...........",  //
  };
  index_t const H = 6, W = 21;
  grid<double, 2> boundary(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) boundary(y, x) = picture[y][x] == 'b' ? 0.6 : 0.1;

  auto const edges = stencil::disc(2);
  auto const transition = make_transition(cpu{}, edges, path_affinity(cpu{}, boundary, edges), {.beta = 4});

  // The walk's own matrix D^-1 A is not symmetric; this one is, and has the same eigenvalues.
  auto const matrix = to_eigen<Eigen::ColMajor>(cpu{}, transition, matrix_form::symmetric);
  Spectra::SparseSymMatProd<double> product(matrix);
  Spectra::SymEigsSolver<Spectra::SparseSymMatProd<double>> solver(product, 3, 30);
  solver.init();
  solver.compute(Spectra::SortRule::LargestAlge, 10000, 1e-12);
  if (solver.info() != Spectra::CompInfo::Successful) return 1;
  auto const values = solver.eigenvalues();
  std::printf("eigenvalues %.4f %.4f %.4f\n", values(0), values(1), values(2));

  // D^-1/2 maps its eigenvectors to those of the walk. The sign is arbitrary: make the first cell positive.
  grid<double, 2> mode(H, W);
  auto cells = as_eigen<2>(mode);
  cells = solver.eigenvectors(2).col(1).reshaped<Eigen::RowMajor>(H, W);
  cells.array() *= as_eigen<2>(transition.inverse_degree).array().sqrt();
  cells /= cells(0, 0) < 0 ? -cells.cwiseAbs().maxCoeff() : cells.cwiseAbs().maxCoeff();

  std::printf("the cut\n");
  for (index_t y = 0; y < H; ++y) {
    for (index_t x = 0; x < W; ++x) std::putchar(picture[y][x] == 'b' ? '|' : mode(y, x) > 0 ? '#' : '.');
    std::putchar('\n');
  }
  std::printf("how sure, along the row of the door\n");
  for (index_t x = 0; x < W; x += 2) std::printf("%6.2f", mode(3, x));
  std::putchar('\n');
}
