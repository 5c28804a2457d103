#include <cambium/exec/rounded.hpp>
#include <cambium/exec/softmax.hpp>

#include "support/catch.hpp"
#include "support/random.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

/// Cells side by side, channel l at [l * cells]: exponentials, what is largest, their sum, and what is not finite.
struct softmax_of_cells {
  float* scores;
  index_t channels, cells;
  float *most, *sum, *invalid;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    constexpr int lanes = Bytes / 4;
    for (index_t x = 0; x < cells; x += lanes) {
      pack<float, lanes> largest, all, odd;
      largest_scores<lanes>(scores + x, channels, cells, largest, &odd);
      exponentials_of_scores<lanes>(scores + x, channels, cells, largest, all);
      lanes_at<lanes>(most + x).v = largest;
      lanes_at<lanes>(sum + x).v = all;
      lanes_at<lanes>(invalid + x).v = odd;
    }
  }
};

std::uint32_t word(float v) { return std::bit_cast<std::uint32_t>(v); }

}  // namespace

TEST_CASE("the exponential of one number has the bits of a lane", "[exec][same]")
{
  std::vector<float> x;
  for (int i = -1200; i <= 1200; ++i) x.push_back(static_cast<float>(i) * 0.1013f);  // beyond both clamps
  for (float const v : {0.f, -0.f, 1e30f, -1e30f, HUGE_VALF, -HUGE_VALF, std::nanf("")}) x.push_back(v);
  while (x.size() % 16 != 0) x.push_back(1);
  auto const n = static_cast<index_t>(x.size());
  std::vector<float> zeros(x.size(), 0.f), out(x.size()), most(x.size()), sum(x.size()), invalid(x.size());
  std::vector<float> both(zeros);  // of two channels the first is 0, so that the second is e^min(x,0) to it
  both.insert(both.end(), x.begin(), x.end());
  run_widest(isa::baseline, softmax_of_cells{both.data(), 2, n, most.data(), sum.data(), invalid.data()});
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      CHECK(std::isnan(exponential(x[i])));
      continue;
    }
    double const want = std::exp(std::min(88.0, std::max(-87.0, static_cast<double>(x[i]))));
    CHECK(std::abs(static_cast<double>(exponential(x[i])) / want - 1) < 3e-7);
    if (x[i] <= 0) CHECK(word(both[x.size() + i]) == word(exponential(x[i])));
  }
}

TEMPLATE_TEST_CASE("softmax and log-sum-exp of a cell", "[exec][reference]", float, double)
{
  index_t const count = GENERATE(1, 2, 21);
  double const size = GENERATE(1.0, 40.0);
  auto const scores = support::uniform<TestType, 1>({count}, -size, size, 3);
  long double sum = 0;
  for (auto const v : scores.cells()) sum += std::exp(static_cast<long double>(v));
  auto const have = softmax_of(count, [&](index_t l) { return scores(l); });
  double const rounding = std::is_same_v<TestType, float> ? 1e-5 : 1e-13;
  CHECK(have.sum >= 1);
  CHECK(static_cast<double>(have.log_sum_exp()) == Approx(static_cast<double>(std::log(sum))).margin(rounding));
  std::vector<TestType> kept;
  softmax_of(count, [&](index_t l) { return scores(l); }, [&](index_t l, TestType v) {
    CHECK(l == static_cast<index_t>(kept.size()));
    kept.push_back(std::exp(v));
    return kept.back();
  });
  for (index_t l = 0; l < count; ++l)
    CHECK(static_cast<double>(kept[static_cast<std::size_t>(l)] / have.sum) ==
          Approx(static_cast<double>(std::exp(static_cast<long double>(scores(l))) / sum)).epsilon(rounding));
}

TEST_CASE("softmax of a register of cells is that of each", "[exec][same]")
{
  index_t const channels = GENERATE(1, 2, 21), cells = 32;
  isa const set = vectors_of(cpu{.vectors = GENERATE(isa::baseline, isa::avx2, isa::avx512)});
  auto scores = support::uniform<float, 2>({channels, cells}, -30, 30, 9);
  scores(channels - 1, 5) = HUGE_VALF, scores(channels / 2, 17) = -HUGE_VALF, scores(0, 30) = std::nanf("");
  auto exponentials = scores;
  std::vector<float> most(cells), sum(cells), invalid(cells);
  run_widest(set, softmax_of_cells{exponentials.data(), channels, cells, most.data(), sum.data(), invalid.data()});
  for (index_t x = 0; x < cells; ++x) {
    auto const i = static_cast<std::size_t>(x);
    bool const finite = x != 5 && x != 17 && x != 30;
    CHECK(std::isnan(invalid[i]) != finite);
    if (!finite) continue;
    CHECK(invalid[i] == 0);
    auto const one = softmax_of(channels, [&](index_t l) { return scores(l, x); },
                                [](index_t, float v) { return exponential(v); });
    CHECK(most[i] == one.most);
    CHECK(sum[i] == Approx(one.sum).epsilon(1e-5));
    if (set == isa::baseline) CHECK(word(sum[i]) == word(one.sum));
    for (index_t l = 0; l < channels; ++l)
      CHECK(exponentials(l, x) == Approx(exponential(scores(l, x) - one.most)).epsilon(1e-6));
  }
}
