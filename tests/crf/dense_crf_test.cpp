#include <cambium/crf/dense_crf.hpp>
#include <cambium/crf/unary.hpp>

#include "support/backends.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

struct picture {
  grid<std::uint8_t, 3> image;
  grid<float, 3> unary;

  picture(index_t L, index_t H, index_t W, unsigned seed)
      : image(support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 40, seed)),
        unary(support::uniform<float, 3>({L, H, W}, 0, 2, seed + 1))
  {
    for (index_t y = 0; y < H; ++y)
      for (index_t x = W / 2; x < W; ++x)
        for (index_t c = 0; c < 3; ++c) image(y, x, c) = static_cast<std::uint8_t>(image(y, x, c) + 120);
  }
};

/// Each kernel's [N,N] weights between pixels, by definition.
std::vector<std::vector<double>> pair_weights(picture const& p, std::vector<pairwise> const& kernels)
{
  index_t const H = p.image.shape()[0], W = p.image.shape()[1], N = H * W;
  std::vector<std::vector<double>> weight;
  for (auto const& k : kernels) {
    std::vector<double> w(static_cast<std::size_t>(N * N)), d(static_cast<std::size_t>(N), 0.0);
    for (index_t i = 0; i < N; ++i)
      for (index_t j = 0; j < N; ++j) {
        double far = (std::pow(i / W - j / W, 2) + std::pow(i % W - j % W, 2)) / (k.sxy * k.sxy);
        for (index_t c = 0; c < 3 && k.srgb > 0; ++c)
          far += std::pow((p.image(i / W, i % W, c) - p.image(j / W, j % W, c)) / k.srgb, 2);
        w[static_cast<std::size_t>(i * N + j)] = std::exp(-far / 2);
        d[static_cast<std::size_t>(i)] += std::exp(-far / 2);
      }
    for (index_t i = 0; i < N; ++i)
      for (index_t j = 0; j < N; ++j) {
        double& v = w[static_cast<std::size_t>(i * N + j)];
        double const di = d[static_cast<std::size_t>(i)], dj = d[static_cast<std::size_t>(j)];
        if (k.by == kernel_norm::before) v /= dj;
        if (k.by == kernel_norm::after) v /= di;
        if (k.by == kernel_norm::symmetric) v /= std::sqrt(di * dj);
      }
    weight.push_back(w);
  }
  return weight;
}

/// Mean field by its definition, over all pairs of pixels, in double.
std::vector<double> by_definition(picture const& p, std::vector<pairwise> const& kernels, int steps)
{
  index_t const H = p.image.shape()[0], W = p.image.shape()[1], L = p.unary.shape()[0], N = H * W;
  auto const at = [&](std::vector<double>& v, index_t l, index_t i) -> double& {
    return v[static_cast<std::size_t>(l * N + i)];
  };
  auto const weight = pair_weights(p, kernels);
  std::vector<double> q(static_cast<std::size_t>(L * N)), energy(q.size());
  for (int t = 0; t <= steps; ++t) {
    for (index_t i = 0; i < N; ++i)
      for (index_t l = 0; l < L; ++l) {
        double e = -static_cast<double>(p.unary(l, i / W, i % W));
        for (std::size_t k = 0; k < kernels.size() && t > 0; ++k)
          for (index_t j = 0; j < N; ++j) {
            double const w = weight[k][static_cast<std::size_t>(i * N + j)];
            auto const& c = kernels[k].compat;
            if (c.matrix)
              for (index_t m = 0; m < L; ++m) e -= c.weight[static_cast<std::size_t>(l * L + m)] * w * at(q, m, j);
            else
              e += c.weight[c.weight.size() == 1 ? 0 : static_cast<std::size_t>(l)] * w * at(q, l, j);
          }
        at(energy, l, i) = e;
      }
    for (index_t i = 0; i < N; ++i) {
      double most = -1e300, sum = 0;
      for (index_t l = 0; l < L; ++l) most = std::max(most, at(energy, l, i));
      for (index_t l = 0; l < L; ++l) sum += at(q, l, i) = std::exp(at(energy, l, i) - most);
      for (index_t l = 0; l < L; ++l) at(q, l, i) /= sum;
    }
  }
  return q;
}

/// Each kernel's [N,N] weights between pixels as a lattice has them: what it makes of single ones.
std::vector<std::vector<double>> lattice_weights(picture const& p, std::vector<pairwise> const& kernels)
{
  index_t const W = p.image.shape()[1], N = p.image.shape()[0] * W;
  std::vector<std::vector<double>> weight;
  for (auto const& k : kernels) {
    grid<float, 2> feature(k.srgb > 0 ? 5 : 2, N), one(N, N), all(N, 1);
    for (index_t i = 0; i < N; ++i) {
      feature(0, i) = static_cast<float>(i % W) / static_cast<float>(k.sxy);
      feature(1, i) = static_cast<float>(i / W) / static_cast<float>(k.sxy);
      for (index_t c = 0; c < feature.shape()[0] - 2; ++c)
        feature(2 + c, i) = static_cast<float>(p.image(i / W, i % W, c)) / static_cast<float>(k.srgb);
      one(i, i) = all(i, 0) = 1;
    }
    permutohedral const lattice(cpu{}, feature);
    auto const out = filter(cpu{}, lattice, one), d = filter(cpu{}, lattice, all);
    auto& w = weight.emplace_back(static_cast<std::size_t>(N * N));
    for (index_t i = 0; i < N; ++i)
      for (index_t j = 0; j < N; ++j) {
        double const di = static_cast<double>(d(i, 0)), dj = static_cast<double>(d(j, 0));
        w[static_cast<std::size_t>(i * N + j)] =
            static_cast<double>(out(i, j)) / (k.by == kernel_norm::before      ? dj
                                              : k.by == kernel_norm::after     ? di
                                              : k.by == kernel_norm::symmetric ? std::sqrt(di * dj)
                                                                               : 1.0);
      }
  }
  return weight;
}

/// The marginals of a picture after some steps.
template <class P>
grid<float, 3> inferred(picture const& p, std::vector<pairwise> const& kernels, crf_options options = {},
                        crf_build build = {})
{
  P const where{};
  dense_crf const crf(where, support::copied<P>(p.image), kernels, build);
  auto const state = infer(where, crf, support::copied<P>(p.unary), options);
  return support::carry<P>::back(marginals(where, state));
}

/// KL(Q||P) - log Z, by asking every labelling of a few pixels for its energy and for Q.
double divergence_of_all(picture const& p, std::vector<pairwise> const& kernels,
                         std::vector<std::vector<double>> const& weight, grid<float, 3> const& q)
{
  index_t const W = p.image.shape()[1], L = p.unary.shape()[0], N = p.image.shape()[0] * W;
  double sum = 0;
  std::vector<index_t> x(static_cast<std::size_t>(N), 0);
  for (bool more = true; more;) {
    double chance = 1, energy = 0;
    for (index_t i = 0; i < N; ++i) {
      index_t const l = x[static_cast<std::size_t>(i)];
      chance *= static_cast<double>(q(l, i / W, i % W));
      energy += static_cast<double>(p.unary(l, i / W, i % W));
      for (index_t j = 0; j < i; ++j)
        for (std::size_t k = 0; k < kernels.size(); ++k) {
          index_t const m = x[static_cast<std::size_t>(j)];
          auto const& c = kernels[k].compat;
          double const costs = c.matrix ? c.weight[static_cast<std::size_t>(l * L + m)]
                               : l != m ? 0
                                        : -c.weight[c.weight.size() == 1 ? 0 : static_cast<std::size_t>(l)];
          auto const& w = weight[k];
          energy += costs * (w[static_cast<std::size_t>(i * N + j)] + w[static_cast<std::size_t>(j * N + i)]) / 2;
        }
    }
    sum += chance * (std::log(chance) + energy);
    more = false;
    for (auto& l : x) {
      if (++l < L) {
        more = true;
        break;
      }
      l = 0;
    }
  }
  return sum;
}

constexpr cpu plain{.vectors = isa::baseline};  // its bits are a device's

}  // namespace

TEMPLATE_LIST_TEST_CASE("the divergence is that of all labellings, up to log Z", "[crf][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(kernel_norm::none, kernel_norm::before, kernel_norm::after, kernel_norm::symmetric);
  auto const kind = GENERATE(0, 1, 2);
  bool const exact = GENERATE(true, false);
  CAPTURE(static_cast<int>(by), kind, exact);
  picture const p(3, 2, 3, 4);
  compatibility const compat = kind == 0   ? compatibility(2.0)
                               : kind == 1 ? compatibility::per_class({1, 0.5, 2})
                                           : compatibility::table({-1, 0.5, 0, 0.5, -2, 0.25, 0, 0.25, -0.5});
  std::vector<pairwise> const kernels{{.sxy = 1, .srgb = 0, .compat = 0.5, .by = by},
                                      {.sxy = 2, .srgb = 60, .compat = compat, .by = by}};
  auto const weight = exact ? pair_weights(p, kernels) : lattice_weights(p, kernels);
  TestType const where{};
  dense_crf const crf(where, support::copied<TestType>(p.image), kernels, {.exact = exact});
  auto field = crf.start(where, support::copied<TestType>(p.unary));
  for (int step = 0; step < 3; ++step) {
    double const want = divergence_of_all(p, kernels, weight, to::back(marginals(where, field)));
    CHECK(crf.divergence(where, field) == Approx(want).margin(5e-6));
    crf.step(where, field);
  }
}

TEMPLATE_LIST_TEST_CASE("a lattice's own shares are its diagonal", "[crf][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const D = GENERATE(1, 2, 3, 5, 8);
  CAPTURE(D);
  index_t const N = 60;
  // near each other, so that points have neighbours
  auto const feature = support::uniform<float, 2>({D, N}, -0.6, 0.6, 11);
  TestType const where{};
  permutohedral const lattice(where, support::copied<TestType>(feature));
  grid<float, 2> one(N, N);
  for (index_t i = 0; i < N; ++i) one(i, i) = 1;
  grid<float, 2> const all = to::back(filter(where, lattice, support::copied<TestType>(one)));
  grid<float, 1> const own = to::back(own_shares(where, lattice));
  REQUIRE(own.size() == N);
  for (index_t i = 0; i < N; ++i) REQUIRE(own(i) == Approx(all(i, i)).epsilon(1e-5));
}

TEST_CASE("own shares of positions in several parts", "[crf][same]")
{
  index_t const H = 280, W = 330, N = H * W;
  grid<float, 2> feature(2, N), one(N, 8);
  for (index_t i = 0; i < N; ++i)
    feature(0, i) = static_cast<float>(i % W) / 3, feature(1, i) = static_cast<float>(i / W) / 3;
  permutohedral const lattice(cpu{}, feature);
  REQUIRE(lattice.parts().count() > 1);
  index_t at[8];
  for (index_t c = 0; c < 8; ++c) {  // some of them at the border of the first two parts
    at[c] = c < 4 ? lattice.parts().begin(1) - 2 + c : c * N / 8;
    one(at[c], c) = 1;
  }
  auto const all = filter(cpu{}, lattice, one);
  auto const own = own_shares(cpu{}, lattice);
  for (index_t c = 0; c < 8; ++c) CHECK(own(at[c]) == Approx(all(at[c], c)).epsilon(1e-5));
}

TEMPLATE_LIST_TEST_CASE("exact kernels: mean field is its definition", "[crf][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(kernel_norm::none, kernel_norm::before, kernel_norm::after, kernel_norm::symmetric);
  auto const kind = GENERATE(0, 1, 2);
  CAPTURE(static_cast<int>(by), kind);
  index_t const L = 3;
  picture const p(L, 6, 7, 4);
  compatibility const compat = kind == 0   ? compatibility(2.0)
                               : kind == 1 ? compatibility::per_class({1, 0.5, 2})
                                           : compatibility::table({-1, 0.5, 0, 0.5, -2, 0.25, 0, 0.25, -0.5});
  std::vector<pairwise> const kernels{{.sxy = 2, .srgb = 0, .compat = 0.5, .by = by},
                                      {.sxy = 4, .srgb = 30, .compat = compat, .by = by}};
  for (int const steps : {0, 1, 3}) {
    auto const have = inferred<TestType>(p, kernels, {.iterations = steps}, {.exact = true});
    CHECK(support::largest_gap(have.cells(), by_definition(p, kernels, steps)) < 2e-5);
  }
}

TEMPLATE_LIST_TEST_CASE("the lattice is near the exact kernels", "[crf][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  picture const p(2, 20, 24, 9);
  auto const step = [&](bool exact) {
    return inferred<TestType>(p, crf_preset::irn(), {.iterations = 1}, {.exact = exact});
  };
  auto const lattice = step(false), exact = step(true);
  double mean = 0;
  for (std::size_t i = 0; i < lattice.cells().size(); ++i)
    mean += std::abs(static_cast<double>(lattice.cells()[i]) - static_cast<double>(exact.cells()[i]));
  CHECK(mean / static_cast<double>(lattice.size()) < 0.03);
}

TEMPLATE_LIST_TEST_CASE("marginals are distributions", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  index_t const L = GENERATE(1, 2, 3, 4, 5, 21);
  CAPTURE(L);
  picture const p(L, 15, 18, 2);
  auto const q = inferred<TestType>(p, crf_preset::irn());
  for (index_t y = 0; y < 15; ++y)
    for (index_t x = 0; x < 18; ++x) {
      double sum = 0;
      for (index_t l = 0; l < L; ++l) {
        REQUIRE((q(l, y, x) >= 0 && q(l, y, x) <= 1));
        sum += static_cast<double>(q(l, y, x));
      }
      REQUIRE(sum == Approx(1).margin(1e-5));
    }
}

TEST_CASE("the number of threads changes nothing, and steps add up", "[crf][property]")
{
  picture const p(3, 150, 160, 6);
  auto const run = [&](int threads, int iterations) {
    cpu const where{.threads = threads};
    return marginals(infer(where, dense_crf(where, p.image, crf_preset::irn()), p.unary, {.iterations = iterations}));
  };
  auto const want = run(1, 4);
  for (int const threads : {2, 3, 7}) CHECK(run(threads, 4) == want);
  dense_crf const crf(cpu{}, p.image, crf_preset::irn());
  auto field = infer(cpu{}, crf, p.unary, {.iterations = 1});
  for (int t = 0; t < 3; ++t) crf.step(cpu{}, field);
  CHECK(marginals(field) == want);
  CHECK(field.steps == 4);
}

TEST_CASE("parts that spread while others are read change nothing", "[crf][property]")
{
  picture const p(3, 300, 500, 7);  // three parts
  std::vector<pairwise> const kernels{{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 40, .srgb = 20, .compat = 5.0}};
  dense_crf const crf(cpu{}, p.image, kernels);
  auto apart = crf.start(cpu{}, p.unary);  // single steps spread all marginals anew
  for (int t = 0; t < 5; ++t) crf.step(cpu{}, apart);
  auto const want = marginals(cpu{}, apart);
  for (int const threads : {1, 2, 8}) {
    cpu const where{.threads = threads};
    auto const have = infer(where, crf, p.unary, {.iterations = 5});
    CHECK((marginals(where, have) == want));  // not printed: half a million numbers
    auto other = crf.start(where, p.unary);
    crf.step(cpu{.threads = 1}, other, 5);  // fewer or more threads than at the start
    CHECK((marginals(where, other) == want));
  }
}

TEST_CASE("a divergence that was stopped changes no marginals and no later result", "[crf][property]")
{
  static int asked, allowed;
  cpu const stops{.threads = 1, .stop = [] { return ++asked > allowed; }};
  cpu const where{.threads = 1};
  picture const p(3, 60, 50, 8);
  std::vector<pairwise> const kernels{{.sxy = 3, .srgb = 0, .compat = 3.0}, {.sxy = 40, .srgb = 20, .compat = 5.0}};
  dense_crf const crf(where, p.image, kernels);
  auto const begin = [&] {
    auto field = crf.start(where, p.unary);
    crf.step(where, field, 2);
    return field;
  };
  auto field = begin();
  double const want = crf.divergence(where, field);
  crf.step(where, field);
  auto const next = marginals(where, field);
  int stops_seen = 0;
  for (allowed = 0;; ++allowed) {
    CAPTURE(allowed);
    field = begin();
    asked = 0;
    try {
      static_cast<void>(crf.divergence(stops, field));
      break;
    } catch (stopped const&) {
      ++stops_seen;
    }
    CHECK(crf.divergence(where, field) == want);
    crf.step(where, field);
    CHECK((marginals(where, field) == next));
  }
  CHECK(stops_seen > 10);
}

TEST_CASE("every pixel has one place in the order of a CRF, squares together", "[crf][property]")
{
  auto const [H, W] = GENERATE(extent2{1, 1}, extent2{32, 32}, extent2{33, 65}, extent2{70, 31}, extent2{5, 100});
  CAPTURE(H, W);
  pixel_order const order{{H, W}};
  std::vector<int> met(static_cast<std::size_t>(H * W), 0);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      REQUIRE((0 <= order(y, x) && order(y, x) < H * W));
      ++met[static_cast<std::size_t>(order(y, x))];
      CHECK(order(y * W + x) == order(y, x));
      if (x % pixel_order::side > 0) CHECK(order(y, x) == order(y, x - 1) + 1);
      if (y % pixel_order::side > 0) CHECK(order(y, x) - order(y - 1, x) <= pixel_order::side);
    }
  CHECK(met == std::vector<int>(met.size(), 1));
  std::vector<index_t> seen(static_cast<std::size_t>(H * W), -1);
  for_each_pixel(cpu{}, order, 1, [&, W = W](index_t, index_t y, index_t x, index_t at) {
    seen[static_cast<std::size_t>(y * W + x)] = at;
  });
  for (index_t i = 0; i < H * W; ++i) CHECK(seen[static_cast<std::size_t>(i)] == order(i));
}

TEMPLATE_LIST_TEST_CASE("equal labels stay equal", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  picture p(3, 20, 20, 3);
  std::fill(p.unary.cells().begin(), p.unary.cells().end(), 1.f);
  auto const q = inferred<TestType>(p, crf_preset::irn());
  for (float const v : q.cells()) REQUIRE(v == Approx(1 / 3.0).margin(1e-6));
}

TEMPLATE_LIST_TEST_CASE("only the labels present take part", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  picture const three(3, 20, 24, 5);
  grid<float, 3> all(21, 20, 24);
  std::vector<index_t> const present{0, 8, 15};
  for (std::size_t l = 0; l < 3; ++l) std::copy_n(&three.unary(l, 0, 0), 20 * 24, &all(present[l], 0, 0));
  TestType const where{};
  auto const image = support::copied<TestType>(three.image);
  auto const energies = support::copied<TestType>(all), own_energies = support::copied<TestType>(three.unary);
  dense_crf const crf(where, image, crf_preset::irn());
  auto const few = infer(where, crf, own_energies), many = infer(where, crf, energies, {.present = present});
  grid<float, 3> const q = to::back(marginals(where, few)), wide = to::back(marginals(where, many));
  CHECK(wide.shape() == all.shape());
  for (index_t l = 0; l < 21; ++l)
    for (index_t y = 0; y < 20; ++y)
      for (index_t x = 0; x < 24; ++x)
        REQUIRE(wide(l, y, x) == (l == 0 ? q(0, y, x) : l == 8 ? q(1, y, x) : l == 15 ? q(2, y, x) : 0.f));
  grid<std::int32_t, 2> const best = to::back(argmax_labels(where, few)), named = to::back(argmax_labels(where, many));
  for (std::size_t i = 0; i < best.cells().size(); ++i)
    REQUIRE(named.cells()[i] == present[static_cast<std::size_t>(best.cells()[i])]);

  // weights of classes are looked up by their number in the whole space
  std::vector<double> weight(21, 99.0);
  weight[0] = 1, weight[8] = 2, weight[15] = 3;
  dense_crf const by_all(where, image, {{.sxy = 3, .compat = compatibility::per_class(weight)}});
  dense_crf const by_few(where, image, {{.sxy = 3, .compat = compatibility::per_class({1, 2, 3})}});
  grid<float, 3> const one = to::back(marginals(where, infer(where, by_all, energies, {.present = present})));
  grid<float, 3> const other = to::back(marginals(where, infer(where, by_few, own_energies)));
  CHECK(one(15, 3, 4) == other(2, 3, 4));
}

/// The features of a picture, by definition: x, y, and colours if `srgb` is positive.
grid<float, 2> features_of(picture const& p, float sxy, float srgb)
{
  index_t const W = p.image.shape()[1], N = p.image.shape()[0] * W;
  grid<float, 2> out(srgb > 0 ? 5 : 2, N);
  for (index_t i = 0; i < N; ++i) {
    out(0, i) = static_cast<float>(i % W) / sxy;
    out(1, i) = static_cast<float>(i / W) / sxy;
    for (index_t c = 0; c < out.shape()[0] - 2; ++c)
      out(2 + c, i) = static_cast<float>(p.image(i / W, i % W, c)) / srgb;
  }
  return out;
}

TEMPLATE_LIST_TEST_CASE("kernels of features, added later, are those of an image", "[crf][same]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  bool const exact = GENERATE(false, true);
  CAPTURE(exact);
  picture const p(3, 9, 11, 8);
  TestType const where{};
  std::vector<pairwise> const kernels{{.sxy = 3, .srgb = 0, .compat = 3.0},
                                      {.sxy = 8, .srgb = 5, .compat = 10.0, .by = kernel_norm::after}};
  auto const want = inferred<TestType>(p, kernels, {.iterations = 3}, {.exact = exact});

  dense_crf<TestType> crf(where, extent2{9, 11}, {.exact = exact});
  auto field = crf.prepare(where, support::copied<TestType>(p.unary));
  CHECK_THROWS_WITH(crf.step(where, field), Catch::Contains("restart() begins it"));
  crf.restart(where, field);
  crf.step(where, field);
  crf.add(where, support::copied<TestType>(features_of(p, 3, 0)), 3.0);
  CHECK_THROWS_WITH(crf.step(where, field), Catch::Contains("has not begun with these 1 kernels"));
  crf.add(where, support::copied<TestType>(features_of(p, 8, 5)), 10.0, kernel_norm::after);
  CHECK(crf.kernels() == 2);
  crf.restart(where, field);
  crf.step(where, field, 3);
  CHECK(field.steps == 3);
  CHECK(to::back(marginals(where, field)).cells() == want.cells());

  // an inference goes on from the marginals of another
  auto other = crf.start(where, support::copied<TestType>(p.unary));
  crf.step(where, other, 2);
  auto const two = std::as_const(other.q).view();
  crf.restart_at(where, field, [&](auto const& q) { copy(where, two, q); });
  crf.step(where, field);
  CHECK(to::back(marginals(where, field)).cells() == want.cells());
}

TEST_CASE("a feature of an image that is too large is told by its pixel", "[crf][errors]")
{
  grid<float, 3> image(3, 70, 3);
  image(2, 5, 1) = 3e38f;
  std::vector<pairwise> const kernels{{.sxy = 3, .srgb = 1e-3, .compat = 1.0}};
  CHECK_THROWS_WITH(dense_crf<>(cpu{}, image, kernels), Catch::Contains("dense_crf: feature(3,2,5) is inf"));
}

TEST_CASE("kernels of features: errors name the argument", "[crf][errors]")
{
  dense_crf<> crf(cpu{}, extent2{2, 3}, {.most_bytes = 1e5});
  CHECK_THROWS_WITH((dense_crf<>(cpu{}, extent2{-1, 3})), Catch::Contains("the size is -1 x 3"));
  CHECK_THROWS_WITH(crf.add(cpu{}, grid<float, 2>(2, 5), 3.0), Catch::Contains("features are [2,5] but there are 6"));
  CHECK_THROWS_WITH(crf.add(cpu{}, grid<float, 2>(9, 6), 3.0), Catch::Contains("expected 1 to 8"));
  grid<float, 2> features(2, 6);
  CHECK_THROWS_WITH(crf.add(cpu{}, features, HUGE_VAL), Catch::Contains("compat is inf"));
  features(1, 4) = HUGE_VALF;
  CHECK_THROWS_WITH(crf.add(cpu{}, features, 1.0), Catch::Contains("features(0,1,4) is inf"));
  features(1, 4) = 0;
  dense_crf<> large(cpu{}, extent2{2, 3}, {.most_bytes = 100});
  CHECK_THROWS_WITH(large.add(cpu{}, features, 1.0), Catch::Contains("raise options.most_bytes"));
  CHECK(large.kernels() == 0);
  crf.add(cpu{}, features, compatibility::per_class({1, 2}));
  CHECK_THROWS_WITH(crf.start(cpu{}, grid<float, 3>(3, 2, 3)), Catch::Contains("compat has 2 weights"));
  CHECK_NOTHROW(crf.start(cpu{}, grid<float, 3>(2, 2, 3)));
}

TEMPLATE_LIST_TEST_CASE("the package's divergence counts every ordered pair", "[crf][reference]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const by = GENERATE(kernel_norm::none, kernel_norm::before, kernel_norm::symmetric);
  picture const p(3, 3, 4, 4);
  std::vector<pairwise> const kernels{
      {.sxy = 1, .srgb = 0, .compat = 0.5, .by = by},
      {.sxy = 2, .srgb = 60, .compat = compatibility::table({-1, 0.5, 0, 0.5, -2, 0.25, 0, 0.25, -0.5}), .by = by}};
  auto const weight = pair_weights(p, kernels);
  TestType const where{};
  dense_crf const crf(where, support::copied<TestType>(p.image), kernels, {.exact = true});
  auto field = crf.start(where, support::copied<TestType>(p.unary));
  crf.step(where, field, 2);
  auto const q = to::back(marginals(where, field));
  double want = 0;
  auto const at = [&](index_t l, index_t i) { return static_cast<double>(q(l, i / 4, i % 4)); };
  for (index_t i = 0; i < 12; ++i)
    for (index_t l = 0; l < 3; ++l) {
      want += at(l, i) * (std::log(at(l, i)) + static_cast<double>(p.unary(l, i / 4, i % 4)));
      for (index_t j = 0; j < 12; ++j) {
        auto const w = static_cast<std::size_t>(i * 12 + j);
        want -= 0.5 * weight[0][w] * at(l, i) * at(l, j);
        for (index_t m = 0; m < 3; ++m)
          want += kernels[1].compat.weight[static_cast<std::size_t>(l * 3 + m)] * weight[1][w] * at(l, i) * at(m, j);
      }
    }
  CHECK(crf.divergence(where, field, {.package = true}) == Approx(want).margin(1e-5));
}

TEMPLATE_LIST_TEST_CASE("inference brings the divergence down", "[crf][property]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  picture const p(3, 30, 30, 8);
  TestType const where{};
  dense_crf const crf(where, support::copied<TestType>(p.image), crf_preset::irn());
  auto field = crf.start(where, support::copied<TestType>(p.unary));
  double const before = crf.divergence(where, field);
  for (int t = 0; t < 5; ++t) crf.step(where, field);
  CHECK(crf.divergence(where, field) < before);
}

TEMPLATE_LIST_TEST_CASE("an edge in colour stops what positions would smooth", "[crf][picture]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  // left dark, right bright; a few wrong labels on either side are put right, the border stays where it is
  picture const p(2, 16, 20, 1);
  grid<std::int32_t, 2> labels(16, 20), truth(16, 20);
  for (index_t y = 0; y < 16; ++y)
    for (index_t x = 0; x < 20; ++x) {
      truth(y, x) = x >= 10;
      labels(y, x) = (x >= 10) != ((7 * y + 5 * x) % 11 == 0);
    }
  TestType const where{};
  auto const unary = unary_from_labels(where, support::copied<TestType>(labels), 2);
  dense_crf const crf(where, support::copied<TestType>(p.image), {{.sxy = 50, .srgb = 40, .compat = 10.0}});
  CHECK(to::back(argmax_labels(where, infer(where, crf, unary))) == truth);
}

TEST_CASE("dense_crf rejects what it documents", "[crf][errors]")
{
  picture const p(2, 5, 6, 1);
  auto const made = [&](pairwise const& k) { dense_crf(cpu{}, p.image, {k}); };
  CAMBIUM_THROWS_SAYING(made({.sxy = 0}), precondition_error, "sxy is 0");
  CAMBIUM_THROWS_SAYING(made({.sxy = 3, .srgb = -1}), precondition_error, "srgb is -1");
  CAMBIUM_THROWS_SAYING(made({.sxy = 3, .compat = HUGE_VAL}), precondition_error, "compat is inf");
  CAMBIUM_THROWS_SAYING(dense_crf(cpu{}, grid<std::uint8_t, 3>(4, 4, 7), crf_preset::irn()), precondition_error,
                        "7 bands");
  CAMBIUM_THROWS_SAYING(dense_crf(cpu{}, grid<std::uint8_t, 3>(10000, 10000, 0), crf_preset::irn()), precondition_error,
                        "an image of 10000 x 10000 with 2 labels takes about");
  CAMBIUM_THROWS_SAYING(
      dense_crf(cpu{}, p.image, crf_preset::irn(), {.most_bytes = 1e4}).start(cpu{}, grid<float, 3>(200, 5, 6)),
      precondition_error, "with 200 labels takes about");
  CAMBIUM_THROWS_SAYING(made({.sxy = 1e-50}), precondition_error, "sxy is 1e-50");
  CAMBIUM_THROWS_SAYING(made({.sxy = 3, .srgb = 1e-50}), precondition_error, "srgb is 1e-50");
  grid<double, 3> wide(5, 6, 3);
  wide(1, 2, 0) = 1e300;
  CAMBIUM_THROWS_SAYING(dense_crf(cpu{}, wide, crf_preset::irn()), precondition_error, "image(1,2,0) is 1e+300");
  dense_crf const crf(cpu{}, p.image, crf_preset::irn());
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, grid<float, 3>(2, 5, 5)), precondition_error,
                        "[2,5,5] but the image is 5 x 6");
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, grid<float, 3>(0, 5, 6)), precondition_error, "[0,5,6]");
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, p.unary, {2}), precondition_error, "label 2 takes part but there are 2");
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, p.unary, {1, 1}), precondition_error, "label 1 is named twice");
  CAMBIUM_THROWS_SAYING(infer(cpu{}, crf, p.unary, {.iterations = -1}), precondition_error, "iterations is -1");
  auto bad = p.unary;
  bad(1, 2, 3) = std::numeric_limits<float>::quiet_NaN();
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, bad), precondition_error, "unary(1,2,3) is nan");
  dense_crf const three(cpu{}, p.image, {{.sxy = 3, .compat = compatibility::per_class({1, 2, 3})}});
  CAMBIUM_THROWS_SAYING(three.start(cpu{}, p.unary), precondition_error, "compat has 3 weights but there are 2 labels");
  dense_crf const table(cpu{}, p.image, {{.sxy = 3, .compat = compatibility::table({0, 1, 2, 0})}});
  CAMBIUM_THROWS_SAYING(table.start(cpu{}, p.unary), precondition_error, "compat(1,0) is not compat(0,1)");
  grid<double, 3> steep(2, 5, 6);
  steep(1, 2, 3) = -1e300;
  CAMBIUM_THROWS_SAYING(crf.start(cpu{}, steep), precondition_error, "unary(1,2,3) is -1e+300");
  picture const larger(2, 9, 8, 1);
  dense_crf const other(cpu{}, larger.image, crf_preset::irn()), without(cpu{}, p.image, {});
  auto field = crf.start(cpu{}, p.unary);
  CAMBIUM_THROWS_SAYING(other.step(cpu{}, field), precondition_error, "the inference of another CRF, of 5 x 6 pixels");
  CAMBIUM_THROWS_SAYING(without.step(cpu{}, field), precondition_error, "and 2 kernels");
  CAMBIUM_THROWS_SAYING(other.divergence(cpu{}, field), precondition_error, "the inference of another CRF");
  picture const flat(2, 5, 6, 7);  // another image of the same size: its lattices have other points
  dense_crf const twin(cpu{}, flat.image, crf_preset::irn()), copy = crf;
  CAMBIUM_THROWS_SAYING(twin.step(cpu{}, field), precondition_error, "the inference of another CRF, of 5 x 6 pixels");
  REQUIRE_NOTHROW(copy.step(cpu{}, field));
  CAMBIUM_THROWS_SAYING(twin.step(cpu{}, field), precondition_error, "the inference of another CRF, of 5 x 6 pixels");
}

TEMPLATE_LIST_TEST_CASE("small and empty images", "[crf][errors]", support::backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  for (auto const& [H, W] : {std::pair<index_t, index_t>{1, 1}, {1, 9}, {9, 1}, {0, 4}, {4, 0}}) {
    dense_crf const crf(where, support::copied<TestType>(grid<std::uint8_t, 3>(H, W, 3)), crf_preset::irn());
    auto const field = infer(where, crf, support::copied<TestType>(grid<float, 3>(2, H, W)));
    CHECK(marginals(where, field).size() == 2 * H * W);
    CHECK(argmax_labels(where, field).size() == H * W);
  }
  picture const p(2, 4, 4, 1);
  CHECK(inferred<TestType>(p, {}) == inferred<TestType>(p, {}, {.iterations = 0}));
}

TEMPLATE_LIST_TEST_CASE("a device's mean field is that of cores, bit by bit", "[crf][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [L, H, W] = GENERATE(table<int, int, int>(
      {{2, 1, 1}, {3, 1, 9}, {2, 0, 4}, {1, 7, 6}, {3, 33, 41}, {5, 18, 20}, {21, 20, 17}, {3, 260, 301}}));
  auto const kind = GENERATE(0, 1, 2);
  auto const by = GENERATE(kernel_norm::none, kernel_norm::before, kernel_norm::after, kernel_norm::symmetric);
  if (H > 200 && (kind != 0 || by != kernel_norm::symmetric)) return;
  CAPTURE(L, H, W, kind, static_cast<int>(by));
  picture const p(L, H, W, 4);
  std::vector<double> of_class, table;
  for (int l = 0; l < L; ++l) of_class.push_back(0.5 + l);
  for (int l = 0; l < L; ++l)
    for (int m = 0; m < L; ++m) table.push_back(l == m ? -1.25 : 0.1 * (l + m));
  compatibility const compat = kind == 0   ? compatibility(2.0)
                               : kind == 1 ? compatibility::per_class(of_class)
                                           : compatibility::table(table);
  std::vector<pairwise> kernels{{.sxy = 3, .srgb = 0, .compat = 0.5, .by = by},
                                {.sxy = 20, .srgb = 30, .compat = compat, .by = by}};
  if (kind == 2) std::swap(kernels[0], kernels[1]);  // either may come first
  TestType const where{};
  auto const image = support::copied<TestType>(p.image);
  auto const unary = support::copied<TestType>(p.unary);
  dense_crf const cores(plain, p.image, kernels);
  dense_crf<TestType> const there(where, image, kernels);
  for (int const steps : {0, 1, 4}) {
    auto const want = infer(plain, cores, p.unary, {.iterations = steps});
    auto const have = infer(where, there, unary, {.iterations = steps});
    CHECK(have.steps == steps);
    CHECK(to::back(marginals(where, have)) == marginals(want));
    CHECK(to::back(argmax_labels(where, have)) == argmax_labels(want));
  }
}

TEMPLATE_LIST_TEST_CASE("presets, padding and labels present on a device", "[crf][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  picture const p(21, 31, 23, 6);
  auto const image = support::copied<TestType>(p.image);
  auto const unary = support::copied<TestType>(p.unary);
  std::vector<index_t> const present{15, 0, 8};
  for (auto const& kernels : {crf_preset::irn(), crf_preset::deeplab(), std::vector<pairwise>{}})
    for (bool const pad : {false, true}) {
      dense_crf const cores(plain, p.image, kernels, {.pad = pad});
      dense_crf<TestType> const there(where, image, kernels, {.pad = pad});
      auto want = infer(plain, cores, p.unary, {.iterations = 3, .present = present});
      auto have = infer(where, there, unary, {.iterations = 3, .present = present});
      CHECK(to::back(marginals(where, have)) == marginals(want));
      CHECK(to::back(argmax_labels(where, have)) == argmax_labels(want));
      CHECK(there.divergence(where, have) == Approx(cores.divergence(plain, want)).epsilon(1e-12));
      there.step(where, have);  // what the divergence worked in is no one's
      cores.step(plain, want);
      CHECK(to::back(marginals(where, have)) == marginals(want));
    }
  grid<std::int32_t, 2> labels(31, 23);
  for (index_t i = 0; i < labels.size(); ++i)
    labels.data()[i] = static_cast<std::int32_t>(i * 7 % 11 == 0 ? 1 : i / 300);
  dense_crf const cores(plain, p.image, crf_preset::irn());
  dense_crf<TestType> const there(where, image, crf_preset::irn());
  CHECK(to::back(refine_labels(where, there, support::copied<TestType>(labels), 4)) ==
        refine_labels(plain, cores, labels, 4));
}

TEMPLATE_LIST_TEST_CASE("exact kernels on a device", "[crf][same]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const matrix = GENERATE(false, true);
  picture const p(6, 9, 8, 3);
  std::vector<double> table;
  for (int l = 0; l < 6; ++l)
    for (int m = 0; m < 6; ++m) table.push_back(l == m ? -1 : 0.05 * (l + m));
  std::vector<pairwise> const kernels{
      {.sxy = 2, .srgb = 0, .compat = 0.5},
      {.sxy = 4, .srgb = 30, .compat = matrix ? compatibility::table(table) : compatibility(1.5)}};
  auto const want = infer(plain, dense_crf(plain, p.image, kernels, {.exact = true}), p.unary, {.iterations = 3});
  dense_crf<TestType> const there(where, support::copied<TestType>(p.image), kernels, {.exact = true});
  auto const have = infer(where, there, support::copied<TestType>(p.unary), {.iterations = 3});
  CHECK(support::largest_gap(to::back(marginals(where, have)).cells(), marginals(want).cells()) <= 1e-6);
}

TEMPLATE_LIST_TEST_CASE("a device's CRF rejects what it documents", "[crf][errors]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  using crf = dense_crf<TestType>;
  TestType const where{};
  picture const p(2, 5, 6, 1);
  auto const image = support::copied<TestType>(p.image);
  auto const unary = support::copied<TestType>(p.unary);
  auto const made = [&](pairwise const& k) { crf const field(where, image, {k}); };
  CAMBIUM_THROWS_SAYING(made({.sxy = 0}), precondition_error, "sxy is 0");
  CAMBIUM_THROWS_SAYING(made({.sxy = 3, .srgb = -1}), precondition_error, "srgb is -1");
  CAMBIUM_THROWS_SAYING(made({.sxy = 3, .compat = HUGE_VAL}), precondition_error, "compat is inf");
  auto const in_little = [&] { crf const field(where, image, crf_preset::irn(), {.most_bytes = 1e3}); };
  CAMBIUM_THROWS_SAYING(in_little(), precondition_error, "an image of 5 x 6 with 2 labels takes about");
  grid<double, 3> wide(5, 6, 3);
  wide(1, 2, 0) = 1e300;
  auto const bright = support::copied<TestType>(wide);
  auto const of_bright = [&] { crf const field(where, bright, crf_preset::irn()); };
  CAMBIUM_THROWS_SAYING(of_bright(), precondition_error, "features(2,8) is inf");
  crf const field(where, image, crf_preset::irn());
  auto const small = support::copied<TestType>(grid<float, 3>(2, 5, 5));
  CAMBIUM_THROWS_SAYING(field.start(where, small), precondition_error, "[2,5,5] but the image is 5 x 6");
  CAMBIUM_THROWS_SAYING(field.start(where, unary, {2}), precondition_error, "label 2 takes part but there are 2");
  CAMBIUM_THROWS_SAYING(infer(where, field, unary, {.iterations = -1}), precondition_error, "iterations is -1");
  crf const three(where, image, {{.sxy = 3, .compat = compatibility::per_class({1, 2, 3})}}), none(where, image, {});
  CAMBIUM_THROWS_SAYING(three.start(where, unary), precondition_error, "compat has 3 weights but there are 2 labels");
  auto state = field.start(where, unary);
  CAMBIUM_THROWS_SAYING(none.step(where, state), precondition_error, "the inference of another CRF, of 5 x 6 pixels");
  crf const twin(where, image, crf_preset::irn());
  CAMBIUM_THROWS_SAYING(twin.step(where, state), precondition_error, "the inference of another CRF, of 5 x 6 pixels");
  auto out = make_grid<float>(where, {3, 5, 6});
  CAMBIUM_THROWS_SAYING(marginals_into(where, state, out.view()), precondition_error, "the field has 2 labels");
}
