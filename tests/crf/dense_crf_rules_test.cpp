// The CRF of a device against that of cores, whose equations dense_crf_test.cpp checks.
#include <cambium/crf/dense_crf.hpp>

#include "support/backends.hpp"
#include "support/random.hpp"

#include <cmath>
#include <utility>
#include <vector>

using namespace cambium;

namespace {

struct scene {
  grid<std::uint8_t, 3> image;
  grid<float, 3> unary;

  scene(index_t L, index_t H, index_t W, unsigned seed)
      : image(support::uniform<std::uint8_t, 3>({H, W, 3}, 0, 40, seed)),
        unary(support::uniform<float, 3>({L, H, W}, 0, 2, seed + 1))
  {
    for (index_t y = 0; y < H; ++y)
      for (index_t x = W / 2; x < W; ++x)
        for (index_t c = 0; c < 3; ++c) image(y, x, c) = static_cast<std::uint8_t>(image(y, x, c) + 120);
  }
};

constexpr cpu plain{.vectors = isa::baseline};

}  // namespace

TEMPLATE_LIST_TEST_CASE("a device's mean field is that of cores, bit by bit", "[crf][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  auto const [L, H, W] = GENERATE(table<int, int, int>(
      {{2, 1, 1}, {3, 1, 9}, {2, 0, 4}, {1, 7, 6}, {3, 33, 41}, {5, 18, 20}, {21, 20, 17}, {3, 260, 301}}));
  auto const kind = GENERATE(0, 1, 2);
  auto const by = GENERATE(kernel_norm::none, kernel_norm::before, kernel_norm::after, kernel_norm::symmetric);
  if (H > 200 && (kind != 0 || by != kernel_norm::symmetric)) return;
  CAPTURE(L, H, W, kind, static_cast<int>(by));
  scene const p(L, H, W, 4);
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

TEMPLATE_LIST_TEST_CASE("presets, padding and labels present on a device", "[crf][property]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  scene const p(21, 31, 23, 6);
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

TEMPLATE_LIST_TEST_CASE("exact kernels on a device", "[crf][reference]", support::rule_backends)
{
  using to = support::carry<TestType>;
  if (!to::usable()) return;
  TestType const where{};
  auto const matrix = GENERATE(false, true);
  scene const p(6, 9, 8, 3);
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
  scene const p(2, 5, 6, 1);
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
