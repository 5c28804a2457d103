#include <cambium/affinity/attention.hpp>
#include <cambium/pipeline/attention.hpp>

#include "support/backends.hpp"
#include "support/picture.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#if !defined(__CUDACC__)
#include <Eigen/Dense>
#endif

using namespace cambium;
using support::carry;
using support::uniform;

namespace {

using matrix = std::vector<std::vector<double>>;

/// Oracle: the definition in double, on vectors of vectors.
template <class T>
matrix mean_of(grid<T, 3> const& a, int layers, int skip)
{
  auto const L = static_cast<int>(a.shape()[0]), n = static_cast<int>(a.shape()[1]) - skip;
  int const first = std::max(0, L - layers);
  matrix out(static_cast<std::size_t>(n), std::vector<double>(static_cast<std::size_t>(n)));
  for (int l = first; l < L; ++l)
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) out[i][j] += static_cast<double>(a(l, i + skip, j + skip)) / (L - first);
  return out;
}
matrix affinity_of(matrix w, int rounds, int squarings)
{
  std::size_t const n = w.size();
  for (int r = 0; r < rounds; ++r) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += w[i][j];
      for (std::size_t i = 0; i < n; ++i) w[i][j] /= sum;
    }
    for (auto& row : w) {
      double sum = 0;
      for (double const v : row) sum += v;
      for (double& v : row) v /= sum;
    }
  }
  matrix t = w;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) t[i][j] = (w[i][j] + w[j][i]) / 2;
  for (int s = 0; s < squarings; ++s) {
    matrix const before = t;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        t[i][j] = 0;
        for (std::size_t k = 0; k < n; ++k) t[i][j] += before[i][k] * before[k][j];
      }
  }
  return t;
}

/// The largest difference as a part of the largest entry.
template <class A>
double gap(A const& have, matrix const& want)
{
  double most = 0, off = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    for (std::size_t j = 0; j < want.size(); ++j) {
      most = std::max(most, std::abs(want[i][j]));
      double const d = std::abs(static_cast<double>(have(i, j)) - want[i][j]);
      off = d <= off ? off : d;
    }
  return most > 0 ? off / most : off;
}

template <class T>
grid<T, 3> attention_of(index_t L, index_t n, std::uint64_t seed)
{
  auto a = uniform<T, 3>({L, n, n}, 0.01, 1, seed);
  for (index_t l = 0; l < L; ++l)
    for (index_t i = 0; i < n; ++i) {
      T sum = 0;
      for (index_t j = 0; j < n; ++j) a(l, i, j) = a(l, i, j) * a(l, i, j) * a(l, i, j), sum += a(l, i, j);
      for (index_t j = 0; j < n; ++j) a(l, i, j) /= sum;
    }
  return a;
}

template <class P, class T, int R>
decltype(auto) there(grid<T, R> const& g)
{
  return carry<P>::there(g);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("the mean of layers is scaled, made symmetric and squared", "[affinity][reference]",
                        support::backends)
{
  if (!carry<TestType>::usable()) return;
  TestType const where{};
  for (index_t const n : {1, 2, 7, 33, 64, 130, 259})
    for (int const squarings : {0, 1, 2}) {
      CAPTURE(n, squarings);
      auto const a = attention_of<float>(9, n + 1, static_cast<std::uint64_t>(n));
      int const rounds = static_cast<int>(n % 4), layers = n % 2 == 0 ? 8 : 20;
      auto const mean = mean_attention(where, there<TestType>(a), {.layers = layers});
      CHECK(gap(carry<TestType>::back(mean), mean_of(a, layers, 1)) <= 1e-6);
      auto const affinity = attention_affinity(where, mean, {.rounds = rounds, .squarings = squarings});
      grid<float, 2> const have = carry<TestType>::back(affinity);
      CHECK(gap(have, affinity_of(mean_of(a, layers, 1), rounds, squarings)) <= 2e-6);
      bool symmetric = true;
      for (index_t i = 0; i < n; ++i)
        for (index_t j = 0; j < n; ++j) symmetric = symmetric && have(i, j) == have(j, i);
      if (squarings == 0 || std::is_same_v<TestType, cpu>) CHECK(symmetric);
    }
}

TEMPLATE_LIST_TEST_CASE("attention in double, without a class token", "[affinity][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  TestType const where{};
  auto const a = attention_of<double>(3, 75, 4);
  auto const mean = mean_attention(where, there<TestType>(a), {.layers = 2, .class_token = false});
  auto const have = attention_affinity(where, mean);
  CHECK(gap(carry<TestType>::back(have), affinity_of(mean_of(a, 2, 0), 3, 1)) <= 1e-14);
}

TEMPLATE_LIST_TEST_CASE("layers of more attention than the learned affinity", "[affinity][reference]",
                        support::backends)
{
  if (!carry<TestType>::usable()) return;
  TestType const where{};
  index_t const n = 20, L = 8;
  auto a = attention_of<float>(L, n + 1, 3);
  for (index_t l = 0; l < L; ++l)  // so that totals differ clearly
    for (index_t i = 0; i <= n; ++i)
      for (index_t j = 0; j <= n; ++j) a(l, i, j) *= 1 + 0.25F * static_cast<float>(l * 5 % 8);
  auto const learned = uniform<float, 2>({n, n}, 0, 1, 8);
  auto const out = attention_like(where, there<TestType>(a), there<TestType>(learned), {.layers = 6});
  std::vector<double> difference;
  double mean = 0;
  for (index_t l = 2; l < L; ++l) {
    double d = 0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < n; ++j) d += static_cast<double>(learned(i, j)) - static_cast<double>(a(l, i + 1, j + 1));
    difference.push_back(d), mean += d / 6;
  }
  auto const used = carry<TestType>::back(out.used);
  matrix want(n, std::vector<double>(n));
  double count = 0;
  for (index_t l = 0; l < 6; ++l) {
    REQUIRE(used(l) == (difference[l] <= mean));
    count += used(l);
    for (index_t i = 0; i < n && used(l); ++i)
      for (index_t j = 0; j < n; ++j) want[i][j] += static_cast<double>(a(l + 2, i + 1, j + 1));
  }
  CHECK((count > 0 && count < 6));
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) want[i][j] *= static_cast<double>(learned(i, j)) / (count + 1e-5);
  CHECK(gap(carry<TestType>::back(out.weight), want) <= 1e-6);
}

TEMPLATE_LIST_TEST_CASE("scores in boxes are spread anywhere", "[affinity][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  TestType const where{};
  index_t const C = 3, H = 9, W = 11, N = H * W;
  auto const by = uniform<float, 2>({N, N}, 0, 1, 1);
  auto const cams = uniform<float, 3>({C, H, W}, 0, 1, 2);
  grid<std::uint8_t, 3> mask(C, H, W);
  for (std::size_t i = 0; i < mask.cells().size(); ++i) mask.cells()[i] = i % 3 == 0 ? 5 : 0;
  for (bool const masked : {false, true}) {
    auto const have =
        masked ? spread_by_attention(where, there<TestType>(by), there<TestType>(cams), there<TestType>(mask))
               : spread_by_attention(where, there<TestType>(by), there<TestType>(cams));
    grid<float, 3> const back = carry<TestType>::back(have);
    for (index_t c = 0; c < C; ++c)
      for (index_t i = 0; i < N; ++i) {
        double want = 0;
        for (index_t j = 0; j < N; ++j)
          if (!masked || mask(c, j / W, j % W) != 0)
            want += static_cast<double>(by(i, j)) * static_cast<double>(cams(c, j / W, j % W));
        CHECK(std::abs(static_cast<double>(back(c, i / W, i % W)) - want) <= 1e-5 * want);
      }
  }
}

TEMPLATE_LIST_TEST_CASE("boxes around strong components end before the last row and column", "[affinity][picture]",
                        support::backends)
{
  if (!carry<TestType>::usable()) return;
  // Digits are tenths of the maximum.
  auto const tenths = support::picture({
      "9.......",  //
      ".5......",  //
      "........",  //
      "....5.4.",  // 0.4 of the maximum is not above the threshold
      "...5....",  //
      "......99",  //
      "......99",
  });
  grid<float, 3> cams(1, 7, 8);
  for (index_t y = 0; y < 7; ++y)
    for (index_t x = 0; x < 8; ++x) cams(0, y, x) = static_cast<float>(tenths(y, x)) / 9 * 0.9F;
  auto const have = carry<TestType>::back(box_mask(TestType{}, there<TestType>(cams), 0.45));
  CHECK(support::drawn(have.view()[0]) == support::rows{
                                              "11......",  //
                                              "11......",  //
                                              "........",  //
                                              "...11...",  //
                                              "...11...",  //
                                              "......1.",  //
                                              "........",
                                          });
  grid<float, 3> row(2, 1, 5);
  for (auto& v : row.cells()) v = 1;
  grid<std::uint8_t, 3> const none = carry<TestType>::back(box_mask(TestType{}, there<TestType>(row)));
  for (auto const v : none.cells()) CHECK(v == 0);
}

TEMPLATE_LIST_TEST_CASE("attention_refine joins the stages", "[affinity][reference]", support::backends)
{
  if (!carry<TestType>::usable()) return;
  TestType const where{};
  auto const a = attention_of<float>(4, 31, 9);
  auto const cams = uniform<float, 3>({2, 5, 6}, 0, 1, 3);
  auto const have = carry<TestType>::back(attention_refine(where, there<TestType>(a), there<TestType>(cams)));
  auto const mask = box_mask(cpu{}, cams);
  auto const t = affinity_of(mean_of(a, 8, 1), 3, 1);
  for (index_t c = 0; c < 2; ++c)
    for (index_t i = 0; i < 30; ++i) {
      double want = 0;
      for (index_t j = 0; j < 30; ++j)
        want += t[i][j] * mask(c, j / 6, j % 6) * static_cast<double>(cams(c, j / 6, j % 6));
      CHECK(std::abs(static_cast<double>(have(c, i / 6, i % 6)) - want) <= 1e-6);
    }
  attention_refine_options options;
  options.boxes = false;
  auto const all = carry<TestType>::back(attention_refine(where, there<TestType>(a), there<TestType>(cams), options));
  for (index_t c = 0; c < 2; ++c)
    for (index_t i = 0; i < 30; ++i) {
      double want = 0;
      for (index_t j = 0; j < 30; ++j) want += t[i][j] * static_cast<double>(cams(c, j / 6, j % 6));
      CHECK(std::abs(static_cast<double>(all(c, i / 6, i % 6)) - want) <= 1e-6);
    }
}

#if !defined(__CUDACC__)
TEST_CASE("the affinity is Eigen's, for every instruction set and number of threads", "[affinity][reference]")
{
  index_t const n = 196;
  auto const w = uniform<float, 2>({n, n}, 0.001, 1, 5);
  using dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  dense m = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const>(w.data(), n, n)
                .cast<double>();
  for (int r = 0; r < 3; ++r) {
    Eigen::RowVectorXd const columns = m.colwise().sum();
    m.array().rowwise() /= columns.array();
    Eigen::VectorXd const sums = m.rowwise().sum();
    m.array().colwise() /= sums.array();
  }
  dense const t = (m + m.transpose()) / 2, square = t * t;
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    auto const want = attention_affinity(cpu{.threads = 1, .vectors = set}, w);
    double off = 0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < n; ++j) off = std::max(off, std::abs(static_cast<double>(want(i, j)) - square(i, j)));
    CHECK(off <= 2e-6 * square.maxCoeff());
    for (int const threads : {2, 7}) CHECK(attention_affinity(cpu{.threads = threads, .vectors = set}, w) == want);
  }
}
#endif

TEST_CASE("a column without attention makes the affinity NaN", "[affinity][picture]")
{
  auto w = uniform<float, 2>({5, 5}, 0.1, 1, 2);
  for (index_t i = 0; i < 5; ++i) w(i, 3) = 0;
  auto const have = attention_affinity(cpu{}, w);
  for (float const v : have.cells()) CHECK(std::isnan(v));
  CHECK(attention_affinity(cpu{}, w, {.rounds = 0, .squarings = 0})(3, 3) == 0);
  CHECK(attention_affinity(cpu{}, grid<float, 2>(0, 0)).size() == 0);
}

TEST_CASE("what attention refuses", "[affinity][errors]")
{
  auto a = attention_of<float>(3, 7, 1);
  auto const cams = uniform<float, 3>({1, 2, 3}, 0, 1, 1);
  CHECK_THROWS_WITH(mean_attention(cpu{}, a, {.layers = 0}), "mean_attention: layers is 0; expected a number > 0");
  CHECK_THROWS_WITH(mean_attention(cpu{}, grid<float, 3>(2, 4, 5)),
                    "mean_attention: attention is [2,4,5]; expected square matrices");
  CHECK_THROWS_WITH(mean_attention(cpu{}, grid<float, 3>(0, 4, 4)),
                    "mean_attention: attention is [0,4,4], without a layer");
  CHECK_THROWS_WITH(mean_attention(cpu{}, grid<float, 3>(1, 0, 0)),
                    "mean_attention: attention is [1,0,0], without a class token");
  CHECK_THROWS_WITH(attention_like(cpu{}, a, grid<float, 2>(7, 7)),
                    "attention_like: learned is [7,7] but attention is [3,7,7]");
  CHECK_THROWS_WITH(attention_affinity(cpu{}, grid<float, 2>(4, 5)),
                    "attention_affinity: weight is [4,5]; expected a square matrix");
  CHECK_THROWS_WITH(attention_affinity(cpu{}, grid<float, 2>(4, 4), {.rounds = -1}),
                    "attention_affinity: rounds is -1; expected a number >= 0");
  CHECK_THROWS_WITH(attention_affinity(cpu{}, grid<float, 2>(4, 4), {.squarings = 9}),
                    "attention_affinity: squarings is 9; expected a number in 0..8");
  CHECK_THROWS_WITH(spread_by_attention(cpu{}, grid<float, 2>(4, 4), cams),
                    "spread_by_attention: affinity is [4,4] but scores are [1,2,3]");
  CHECK_THROWS_WITH(attention_refine(cpu{}, a, grid<float, 3>(1, 2, 4)),
                    "attention_refine: attention is [3,7,7] but cams are [1,2,4]");
  CHECK_THROWS_WITH(box_mask(cpu{}, cams, 1.5), "box_mask: threshold is 1.5; expected a value in [0,1]");
  grid<float, 3> large(1, 2, 3);
  large(0, 1, 2) = 1.5F;
  CHECK_THROWS_WITH(box_mask(cpu{}, large), "box_mask: cams(0,1,2) is 1.5; expected a value in [0,1]");
  a(2, 3, 4) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(mean_attention(cpu{}, a), "mean_attention: attention(2,3,4) is nan; expected a finite number");
  grid<float, 2> w(4, 4);
  attention_scratch<cpu> scratch;
  CHECK_THROWS_WITH(attention_affinity_into(cpu{}, w, {}, w, scratch), "attention_affinity: weight and out overlap");
}
