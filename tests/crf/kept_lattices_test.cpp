#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/kept_lattices.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <algorithm>
#include <thread>
#include <vector>

using namespace cambium;

namespace {

grid<std::uint8_t, 3> image(index_t H, index_t W, unsigned seed)
{
  return support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 200, seed);
}
grid<float, 3> refined(dense_crf<> const& crf, unsigned seed)
{
  auto const [H, W] = crf.size();
  auto const unary = support::uniform<float, 3>({5, H, W}, 0, 2, seed);
  return marginals(infer(cpu{.threads = 1}, crf, unary, {.iterations = 3}));
}
bool same(grid<float, 3> const& a, grid<float, 3> const& b) { return a.size() > 0 && a.cells() == b.cells(); }

}  // namespace

TEST_CASE("kept lattices: the bits of lattices that are built anew", "[crf][same]")
{
  cpu const where{.threads = 2};
  kept_lattices<> kept;
  auto const kernels = crf_preset::irn();
  auto several = kernels;  // what a lattice depends on differs: each has its own
  several.push_back({.sxy = 5, .compat = 2.0});
  several.push_back({.sxy = 5, .compat = 2.0, .by = kernel_norm::before});
  struct round {
    index_t H, W;
    std::vector<pairwise> kernels;
    crf_build build;
    index_t afterwards;
  };
  unsigned seed = 1;
  for (auto const& [H, W, of, build, afterwards] :
       std::vector<round>{{33, 30, kernels, {}, 1},
                          {33, 30, kernels, {}, 1},
                          {33, 30, several, {}, 3},
                          {30, 33, kernels, {}, 4},
                          {33, 30, kernels, {.pad = true}, 4},  // the oldest is gone
                          {33, 30, several, {}, 4},
                          {9, 8, kernels, {.exact = true}, 4},
                          {9, 8, kernels, {}, 4}}) {
    auto const picture = image(H, W, ++seed);
    dense_crf const anew(where, picture, of, build), with(where, picture, of, build, &kept);
    CHECK(same(refined(anew, seed), refined(with, seed)));
    CHECK(kept.size() == afterwards);
  }
}

TEST_CASE("kept lattices: each is made once, and the latest stay", "[crf][property]")
{
  kept_lattices<> kept(2);
  int made = 0;
  auto const width = [&](index_t w) {
    return kept.get({{1, w}, 3, 3, kernel_norm::none, false, false}, [&] {
      ++made;
      return std::make_shared<crf_sums<cpu> const>(crf_sums<cpu>{all_pairs<cpu>{grid<float, 2>(2, w)}});
    });
  };
  auto const one = width(1);
  CHECK(std::get<all_pairs<cpu>>(one->filter).positions() == 1);
  CHECK(width(1) == one);
  CHECK(made == 1);
  auto const two = width(2);
  CHECK(width(1) == one);  // now 2 is the oldest
  CHECK(made == 2);
  width(3);
  CHECK(made == 3);
  CHECK(kept.size() == 2);
  CHECK(width(1) == one);
  CHECK(made == 3);
  CHECK(width(2) != two);
  CHECK(made == 4);
  CHECK_THROWS_WITH(kept.get({{1, 9}, 3, 3, kernel_norm::none, false, false},
                             []() -> kept_lattices<>::sums_t {
                               expects(false, "no");
                               return {};
                             }),
                    "no");
  CHECK(kept.size() == 2);
  kept_lattices<> nothing(0);
  dense_crf const crf(cpu{}, image(4, 4, 1), crf_preset::irn(), {}, &nothing);
  CHECK(nothing.size() == 0);
  CHECK(crf.kernels() == 2);
  CHECK_THROWS_WITH(kept_lattices<>(-1), "kept_lattices: most is -1");
}

TEST_CASE("kept lattices: threads share one", "[crf][property]")
{
  kept_lattices<> kept(1);
  std::vector<grid<float, 3>> got(4, grid<float, 3>(1, 1, 1));
  std::vector<std::thread> team;
  for (unsigned t = 0; t < 4; ++t)
    team.emplace_back([&, t] {
      for (index_t round = 0; round < 3; ++round)
        got[t] = refined(dense_crf(cpu{.threads = 1}, image(20, 21 + round % 2, 7), crf_preset::irn(), {}, &kept), 8);
    });
  for (auto& one : team) one.join();
  auto const expected = refined(dense_crf(cpu{.threads = 1}, image(20, 21, 7), crf_preset::irn()), 8);
  for (auto const& one : got) CHECK(same(one, expected));
  CHECK(kept.size() == 1);
}

TEST_CASE("a kernel of positions is that of their features", "[crf][same]")
{
  index_t const H = 11, W = 37;
  float const sx = 2.5f, sy = 4;
  cpu const where{.threads = 2};
  grid<float, 2> features(2, H * W);
  for (index_t i = 0; i < H * W; ++i) {
    features(0, i) = static_cast<float>(i % W) / sx;
    features(1, i) = static_cast<float>(i / W) / sy;
  }
  kept_lattices<> kept;
  for (auto* const keeps : {static_cast<kept_lattices<>*>(nullptr), &kept, &kept}) {
    dense_crf<> a(where, {H, W}), b(where, {H, W});
    a.add(where, features, 3.0, kernel_norm::after);
    b.add_positions(where, sx, sy, 3.0, kernel_norm::after, keeps);
    CHECK(same(refined(a, 3), refined(b, 3)));
  }
  CHECK(kept.size() == 1);

  dense_crf<> crf(where, {H, W});
  CHECK_THROWS_WITH(crf.add_positions(where, 0, 1, 1.0), "dense_crf: sx or sy is 0; it must be finite and not 0");
  CHECK_THROWS_WITH(crf.add_positions(where, 1, INFINITY, 1.0),
                    "dense_crf: sx or sy is inf; it must be finite and not 0");
  CHECK_THROWS_WITH(crf.add_positions(where, 1, 1, compatibility(static_cast<double>(NAN))),
                    "dense_crf: compat is nan");
  CHECK(crf.kernels() == 0);
  CHECK(kept.size() == 1);
}
