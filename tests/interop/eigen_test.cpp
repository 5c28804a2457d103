#include <cambium/interop/eigen.hpp>

#include <cambium/affinity/make_transition.hpp>
#include <cambium/affinity/path_affinity.hpp>
#include <cambium/walk/random_walk.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <Eigen/Dense>

#include <limits>

using namespace cambium;

namespace {

template <class T>
transition<T> walk_of(index_t H, index_t W, stencil const& edges, double low = 0, double high = 1)
{
  auto const boundary = support::uniform<T, 2>({H, W}, low, high, 7);
  return make_transition(cpu{}, edges, path_affinity(cpu{}, boundary, edges), {.beta = 3});
}

/// By the definition, with no stencil: the weight between two cells, looked for in both directions.
template <class T>
double weight_between(transition<T> const& t, index_t y, index_t x, index_t fy, index_t fx)
{
  if (y == fy && x == fx) return 1;
  for (int k = 0; k < t.edges.size; ++k) {
    if (fy - y == t.edges.at[k].dy && fx - x == t.edges.at[k].dx) return static_cast<double>(t.weight(k, y, x));
    if (y - fy == t.edges.at[k].dy && x - fx == t.edges.at[k].dx) return static_cast<double>(t.weight(k, fy, fx));
  }
  return 0;
}

template <class T>
bool same(transition<T> const& a, transition<T> const& b)
{
  return a.edges == b.edges && a.weight == b.weight && a.inverse_degree == b.inverse_degree;
}

}  // namespace

TEST_CASE("as_eigen looks at the same cells", "[interop][property]")
{
  grid<double, 2> g(3, 4);
  auto m = as_eigen<2>(g);
  CHECK((m.rows() == 3 && m.cols() == 4 && m.data() == g.data()));
  m(1, 2) = 5;
  CHECK(g(1, 2) == 5);

  auto const s = support::uniform<float, 3>({2, 3, 4}, -1, 1, 1);
  auto const channels = as_eigen<3>(s);
  CHECK((channels.rows() == 2 && channels.cols() == 12));
  for (index_t c = 0; c < 2; ++c)
    for (index_t y = 0; y < 3; ++y)
      for (index_t x = 0; x < 4; ++x) REQUIRE(channels(c, y * 4 + x) == s(c, y, x));
  auto const plane = s.view()[1];
  CHECK(as_eigen<2>(plane)(2, 3) == s(1, 2, 3));

  grid<float, 3> none(0, 3, 4);
  CHECK(as_eigen<3>(none).size() == 0);
  auto window = g.view();
  window.extent[1] = 2;
  CAMBIUM_THROWS_SAYING(as_eigen<2>(window), precondition_error, "as_eigen: the view [3,2] has gaps");
}

TEMPLATE_TEST_CASE("a transition as a matrix, entry by entry", "[interop][reference]", float, double)
{
  using T = TestType;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 9}, {9, 1}, {2, 2}, {5, 7}}));
  int const radius = GENERATE(1, 2, 5);
  CAPTURE(H, W, radius);
  auto const t = walk_of<T>(H, W, stencil::disc(radius));
  auto const a = to_eigen(cpu{}, t, matrix_form::affinity);
  auto const p = to_eigen(cpu{}, t);
  auto const s = to_eigen(cpu{}, t, matrix_form::symmetric);
  auto const columns = to_eigen<Eigen::ColMajor, std::int64_t>(cpu{}, t);
  CHECK((a.isCompressed() && p.isCompressed() && s.isCompressed() && columns.isCompressed()));
  index_t const n = H * W;
  REQUIRE((a.rows() == n && a.cols() == n));
  for (index_t v = 0; v < n; ++v) {
    double sum = 0;
    for (index_t u = 0; u < n; ++u) sum += weight_between(t, v / W, v % W, u / W, u % W);
    for (index_t u = 0; u < n; ++u) {
      double const weight = weight_between(t, v / W, v % W, u / W, u % W);
      double far = 0;
      for (index_t i = 0; i < n; ++i) far += weight_between(t, u / W, u % W, i / W, i % W);
      REQUIRE(a.coeff(v, u) == static_cast<T>(weight));
      REQUIRE(p.coeff(v, u) == Approx(weight / sum).epsilon(1e-5));
      REQUIRE(s.coeff(v, u) == Approx(weight / std::sqrt(sum * far)).epsilon(1e-5));
      REQUIRE(s.coeff(v, u) == s.coeff(u, v));
      REQUIRE(columns.coeff(v, u) == p.coeff(v, u));
    }
  }
  auto const threads = to_eigen(cpu{.threads = 5}, t), one = to_eigen(cpu{.threads = 1}, t);
  CHECK(Eigen::MatrixX<T>(threads - one).isZero(0));
}

TEMPLATE_TEST_CASE("the walk is the power of the matrix", "[interop][reference]", float, double)
{
  using T = TestType;
  auto const [H, W] = GENERATE(table<int, int>({{1, 1}, {1, 11}, {8, 9}}));
  int const steps = GENERATE(0, 1, 2, 7);
  auto const t = walk_of<T>(H, W, stencil::disc(4));
  auto const seeds = support::uniform<T, 3>({3, H, W}, -2, 2, 9);
  auto const walked = random_walk(cpu{}, seeds, t, {.steps = steps});
  double const tolerance = std::is_same_v<T, float> ? 2e-6 : 1e-14;

  Eigen::MatrixX<T> x = as_eigen<3>(seeds).transpose();
  auto const p = to_eigen(cpu{}, t);
  for (int i = 0; i < steps; ++i) x = p * x;
  CHECK((x.transpose() - as_eigen<3>(walked)).cwiseAbs().maxCoeff() <= tolerance);

  // D^-1 A = D^-1/2 S D^1/2
  auto const s = to_eigen<Eigen::ColMajor>(cpu{}, t, matrix_form::symmetric);
  Eigen::VectorX<T> root(H * W);
  for (index_t v = 0; v < H * W; ++v) root(v) = std::sqrt(t.inverse_degree(v / W, v % W));
  Eigen::MatrixX<T> z = root.cwiseInverse().asDiagonal() * as_eigen<3>(seeds).transpose();
  for (int i = 0; i < steps; ++i) z = s * z;
  z = root.asDiagonal() * z;
  CHECK((z.transpose() - as_eigen<3>(walked)).cwiseAbs().maxCoeff() <= 10 * tolerance);
}

TEMPLATE_TEST_CASE("there and back is exact", "[interop][property]", float, double)
{
  using T = TestType;
  auto const [H, W] = GENERATE(table<int, int>({{0, 0}, {0, 4}, {1, 1}, {1, 12}, {12, 1}, {6, 8}}));
  int const radius = GENERATE(1, 2, 3, 5);
  CAPTURE(H, W, radius);
  auto const edges = stencil::disc(radius);
  auto const t = walk_of<T>(H, W, edges);
  CHECK(same(from_eigen(cpu{}, to_eigen(cpu{}, t, matrix_form::affinity), {H, W}, edges), t));
  auto columns = to_eigen<Eigen::ColMajor, std::int64_t>(cpu{}, t, matrix_form::affinity);
  CHECK(same(from_eigen(cpu{}, columns, {H, W}, edges), t));
  columns.uncompress();
  CHECK(same(from_eigen(cpu{}, columns, {H, W}, edges), t));
}

TEST_CASE("weights of 0 make the identity", "[interop][property]")
{
  auto const edges = stencil::disc(3);
  auto const t = walk_of<double>(4, 5, edges, 1, 1);
  for (auto form : {matrix_form::affinity, matrix_form::row_stochastic, matrix_form::symmetric}) {
    auto const m = to_eigen(cpu{}, t, form);
    CHECK(m.nonZeros() == 20);
    CHECK(Eigen::MatrixXd(m).isIdentity(0));
  }
  auto padded = to_eigen(cpu{}, t, matrix_form::affinity);
  padded.coeffRef(0, 19) = 0;  // stored, far from every edge, and nothing
  CHECK(same(from_eigen(cpu{}, padded, {4, 5}, edges), t));
}

TEST_CASE("weights of edges that leave the grid are not looked at", "[interop][property]")
{
  auto const edges = stencil::disc(2);
  auto t = walk_of<float>(3, 3, edges);
  auto const before = to_eigen(cpu{}, t, matrix_form::affinity);
  for (int k = 0; k < edges.size; ++k) t.weight(k, 2, 2) = 9;  // the last cell owns no edge
  CHECK(Eigen::MatrixXf(before - to_eigen(cpu{}, t, matrix_form::affinity)).isZero(0));
}

TEST_CASE("to_eigen rejects what it documents", "[interop][errors]")
{
  auto const edges = stencil::disc(2);
  auto const good = walk_of<float>(3, 4, edges);
  auto t = good;
  t.weight(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "to_eigen: weight(1,2,3) is nan");
  t.weight(1, 2, 3) = -1;
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "expected a finite weight >= 0");
  t = good;
  t.inverse_degree(2, 0) = 0;
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "inverse_degree(2,0) is 0");
  t = good;
  t.inverse_degree = grid<float, 2>(4, 3);
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "weights are [4,3,4] and inverse degrees [4,3]");
  t = good;
  t.edges.at[1] = {-1, 0};
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "outside the half plane");
  t.edges.at[1] = t.edges.at[0];
  CAMBIUM_THROWS_SAYING(to_eigen(cpu{}, t), precondition_error, "an offset twice, (0,1)");
  auto const large = walk_of<float>(12, 12, edges);
  CAMBIUM_THROWS_SAYING((to_eigen<Eigen::RowMajor, signed char>(cpu{}, large)), precondition_error,
                        "entries do not fit the StorageIndex, whose largest value is 127");
}

TEST_CASE("from_eigen names what does not fit", "[interop][errors]")
{
  auto const edges = stencil::disc(2);
  auto const t = walk_of<double>(3, 4, edges, 0.2, 0.8);
  auto const good = to_eigen(cpu{}, t, matrix_form::affinity);
  auto const back = [&](auto const& m) { return from_eigen(cpu{}, m, {3, 4}, edges); };
  auto m = good;
  m.coeffRef(5, 6) *= 2;
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, "entry (5,6), of the cells (1,1) and (1,2), is ");
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, " but its mirror image is ");
  m = good;
  m.coeffRef(0, 11) = 0.5;
  CAMBIUM_THROWS_SAYING(back(m), precondition_error,
                        "entry (0,11), of the cells (0,0) and (2,3), is 0.5 but its mirror");
  m.coeffRef(11, 0) = 0.5;
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, "is 0.5, and that is no edge of the stencil");
  m = good;
  m.coeffRef(3, 4) = m.coeffRef(4, 3) = 0.25;  // neighbours in memory, not on the grid
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, "(0,3) and (1,0), is 0.25, and that is no edge");
  m = good;
  m.coeffRef(7, 7) = 2;
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, "is 2; a transition's self edges have weight 1");
  m.coeffRef(7, 7) = 0;
  CAMBIUM_THROWS_SAYING(back(m), precondition_error, "entry (7,7), of the cell (1,3), is 0; a transition's self");
  for (double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    m = good;
    m.coeffRef(0, 1) = m.coeffRef(1, 0) = bad;
    CAMBIUM_THROWS_SAYING(back(m), precondition_error, "expected a finite number >= 0");
  }
  CAMBIUM_THROWS_SAYING(from_eigen(cpu{}, good, {4, 4}, edges), precondition_error,
                        "the matrix is 12 x 12 but 4 x 4 cells need 16 x 16");
  CAMBIUM_THROWS_SAYING(from_eigen(cpu{}, good, {-3, -4}, edges), precondition_error, "size is -3 x -4");
  CAMBIUM_THROWS_SAYING(back(to_eigen(cpu{}, t)), precondition_error, "self edges have weight 1");
}
