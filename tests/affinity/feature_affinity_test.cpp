#include <cambium/affinity/feature_affinity.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace cambium;
using support::uniform;

namespace {

/// Oracle: the definition in long double.
template <class T>
long double cosine(grid<T, 3> const& f, index_t i, index_t j)
{
  index_t const W = f.shape()[2];
  long double both = 0, a = 0, b = 0;
  for (index_t k = 0; k < f.shape()[0]; ++k) {
    long double const p = static_cast<long double>(f(k, i / W, i % W)),
                      q = static_cast<long double>(f(k, j / W, j % W));
    both += p * q, a += p * p, b += q * q;
  }
  return both / (std::max(std::sqrt(a), 1e-12L) * std::max(std::sqrt(b), 1e-12L));
}

}  // namespace

TEMPLATE_TEST_CASE("patches are alike where their cosine is above tau", "[affinity][reference]", float, double)
{
  struct size {
    index_t D, H, W;
  };
  for (auto const& [D, H, W] : {size{3, 1, 1}, size{1, 2, 3}, size{5, 7, 9}, size{130, 8, 8}, size{300, 3, 65},
                                size{64, 5, 64}, size{17, 13, 33}})
    for (double const tau : {-0.2, 0.0, 0.15, 0.6}) {
      CAPTURE(D, H, W, tau);
      auto f = uniform<TestType, 3>({D, H, W}, -1, 1, static_cast<std::uint64_t>(D * 100 + W));
      for (index_t k = 0; k < D; ++k) {
        f(k, H / 2, W / 2) = 0;               // a patch without a feature
        f(k, H - 1, 0) *= TestType(1e-6);     // lengths do not matter
        if (W > 2) f(k, 0, 1) = -f(k, 0, 2);  // opposite
      }
      auto const have = feature_affinity(cpu{}, f, {.tau = tau});
      REQUIRE(have.size() == H * W);
      CHECK(have.image == extent2{H, W});
      auto const cells = unpack_masks(cpu{}, have);
      index_t wrong = 0, like = 0, unlike = 0, close = 0;
      for (index_t i = 0; i < H * W; ++i)
        for (index_t j = 0; j < H * W; ++j) {
          auto const c = cosine(f, i, j);
          bool const zero = i == H / 2 * W + W / 2 || j == H / 2 * W + W / 2;  // its cosine is 0 exactly
          if (!zero && std::abs(c - static_cast<long double>(tau)) < 1e-6L) {
            ++close;
            continue;
          }
          bool const want = c > static_cast<long double>(tau);
          wrong += cells(i, j / W, j % W) != (want ? 1 : 0);
          ++(want ? like : unlike);
        }
      CHECK(wrong == 0);
      CHECK(close * 1000 <= H * W * H * W);
      if (H * W > 50 && D < 20) CHECK((like > 0 && unlike > 0));
    }
}

TEST_CASE("being alike is mutual, and the same for every number of threads", "[affinity][property]")
{
  auto const f = uniform<float, 3>({40, 20, 33}, -1, 1, 5);
  auto const one = feature_affinity(cpu{.threads = 1}, f, {.tau = 0.05});
  CHECK(one == feature_affinity(cpu{.threads = 2}, f, {.tau = 0.05}));
  CHECK(one == feature_affinity(cpu{.threads = 5}, f, {.tau = 0.05}));
  masks_view<> const in = one;
  index_t wrong = 0, alike = 0;
  for (index_t i = 0; i < 660; ++i)
    for (index_t j = 0; j < 660; ++j) {
      wrong += in.inside(i, j / 33, j % 33) != in.inside(j, i / 33, i % 33);
      alike += in.inside(i, j / 33, j % 33);
    }
  CHECK(wrong == 0);
  CHECK(alike > 660);
  for (isa const set : {isa::baseline, isa::avx2})
    CHECK(one == feature_affinity(cpu{.vectors = set}, f, {.tau = 0.05}));  // no cosine is that close to tau
}

TEST_CASE("features may be a window of a larger array", "[affinity][property]")
{
  auto const all = uniform<float, 3>({6, 9, 12}, -1, 1, 8);
  grid<float, 3> part(6, 5, 7);
  for (index_t k = 0; k < 6; ++k)
    for (index_t y = 0; y < 5; ++y)
      for (index_t x = 0; x < 7; ++x) part(k, y, x) = all(k, y + 2, x + 3);
  auto window = all.view();
  window.data += 2 * 12 + 3;
  window.extent[1] = 5, window.extent[2] = 7;
  CHECK(feature_affinity(cpu{}, window) == feature_affinity(cpu{}, part));
}

TEST_CASE("feature_affinity names what it refuses", "[affinity][errors]")
{
  grid<float, 3> f(4, 3, 5);
  CHECK(feature_affinity(cpu{}, grid<float, 3>(4, 0, 5)).size() == 0);
  f(2, 1, 4) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(feature_affinity(cpu{}, f), precondition_error, "feature_affinity: features(2,1,4) is nan");
  f(2, 1, 4) = std::numeric_limits<float>::infinity();
  CAMBIUM_THROWS_SAYING(feature_affinity(cpu{}, f), precondition_error, "features(2,1,4) is inf");
  CAMBIUM_THROWS_SAYING(feature_affinity(cpu{}, grid<float, 3>(0, 3, 5)), precondition_error, "without a feature");
  CAMBIUM_THROWS_SAYING(feature_affinity(cpu{}, grid<float, 3>(4, 3, 5), {.most_bytes = 84}), precondition_error,
                        "features are [4,3,5]; all pairs of 15 patches and a cut of them take about 84.375 bytes");
  CHECK(feature_affinity(cpu{}, grid<float, 3>(4, 3, 5), {.most_bytes = 85}).size() == 15);
  CAMBIUM_THROWS_SAYING(
      feature_affinity(cpu{}, grid<float, 3>(4, 3, 5), {.tau = std::numeric_limits<double>::quiet_NaN()}),
      precondition_error, "feature_affinity: tau is nan");
}
