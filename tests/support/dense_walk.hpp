#pragma once
// Oracle: IRNet's own formulation, a dense (HW)^2 matrix squared `times` times.
// Slow, obvious, and shares no line with the library.

#include <cmath>
#include <vector>

namespace oracle {

using matrix = std::vector<std::vector<double>>;

inline matrix product(matrix const& a, matrix const& b)
{
  matrix c(a.size(), std::vector<double>(b[0].size()));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t k = 0; k < b.size(); ++k)
      for (std::size_t j = 0; j < b[0].size(); ++j) c[i][j] += a[i][k] * b[k][j];
  return c;
}

/// 1 - the largest boundary on the thick line between two cells, by the definition: all cells of the bounding
/// box whose distance to the line is below 1.
template <class Boundary>
double affinity(Boundary const& b, int y0, int x0, int y1, int x1)
{
  double const dy = y1 - y0, dx = x1 - x0, length = std::sqrt(dy * dy + dx * dx);
  double most = 0;
  for (int y = std::min(y0, y1); y <= std::max(y0, y1); ++y)
    for (int x = std::min(x0, x1); x <= std::max(x0, x1); ++x)
      if (std::abs(dy * (x - x0) - dx * (y - y0)) / length < 1 - 1e-9)
        most = std::max(most, static_cast<double>(b(y, x)));
  return 1 - most;
}

/// seeds [C][HW]; weight(y0, x0, y1, x1) of the edge between two cells closer than radius.
template <class Weight>
matrix dense_walk(matrix const& seeds, int H, int W, int radius, Weight const& weight, int times)
{
  auto const n = static_cast<std::size_t>(H * W);
  matrix t(n, std::vector<double>(n));
  for (int a = 0; a < H * W; ++a)
    for (int b = 0; b < H * W; ++b) {
      int const dy = b / W - a / W, dx = b % W - a % W;
      if (a == b)
        t[a][b] = 1;
      else if (dy * dy + dx * dx < radius * radius)
        t[a][b] = weight(a / W, a % W, b / W, b % W);
    }
  for (std::size_t to = 0; to < n; ++to) {
    double sum = 0;
    for (std::size_t from = 0; from < n; ++from) sum += t[from][to];
    for (std::size_t from = 0; from < n; ++from) t[from][to] /= sum;
  }
  for (int i = 0; i < times; ++i) t = product(t, t);
  return product(seeds, t);
}

}  // namespace oracle
