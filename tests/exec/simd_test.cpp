#include <cambium/exec/simd.hpp>

#include "support/catch.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace cambium;

namespace {

/// A schedule that says for which registers it was compiled.
struct width {
  int* bytes;
  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    *bytes = Bytes;
  }
};

/// A product the compiler cannot work out beforehand.
template <class T>
T product(T a, T b)
{
  T volatile x = a, y = b;
  T const out = x * y;
  return out;
}

template <class T>
bool keeps_denormals()
{
  return product(std::numeric_limits<T>::min(), T(0.5)) != 0 &&
         product(std::numeric_limits<T>::denorm_min(), T(1)) != 0;
}

template <class T, int Lanes>
void check_shifts()
{
  std::array<T, Lanes + 2> cells;  // a guard on either side, and no alignment to count on
  auto const fill = [&] {
    for (int i = 0; i < Lanes + 2; ++i) cells[static_cast<std::size_t>(i)] = static_cast<T>(10 + i);
    cells[2] = std::numeric_limits<T>::quiet_NaN();  // moved, not computed with
    cells[1] = -T(0);
  };
  auto const same = [](T a, T b) { return std::memcmp(&a, &b, sizeof(T)) == 0; };
  fill();
  auto const before = cells;
  shift_lanes_up<T, Lanes>(cells.data() + 1);
  CHECK((same(cells.front(), before.front()) && same(cells.back(), before.back())));
  CHECK(same(cells[1], T(0)));
  for (std::size_t i = 2; i <= Lanes; ++i) CHECK(same(cells[i], before[i - 1]));
  fill();
  shift_lanes_down<T, Lanes>(cells.data() + 1);
  CHECK((same(cells.front(), before.front()) && same(cells.back(), before.back())));
  CHECK(same(cells[Lanes], T(0)));
  for (std::size_t i = 1; i < Lanes; ++i) CHECK(same(cells[i], before[i + 1]));
}

}  // namespace

TEST_CASE("shift_lanes moves every lane by one", "[exec][reference]")
{
  check_shifts<float, 4>();
  check_shifts<float, 8>();
  check_shifts<float, 16>();
  check_shifts<double, 2>();
  check_shifts<double, 4>();
  check_shifts<double, 8>();
}

TEST_CASE("run_widest runs what was compiled for the instruction set", "[exec][reference]")
{
  for (isa const asked : {isa::baseline, isa::avx2, isa::avx512}) {
    isa const set = vectors_of(cpu{.vectors = asked});
    CHECK(set <= asked);
    CHECK(set <= widest_isa());
    CHECK((set == asked || set == widest_isa()));
    int bytes = 0;
    run_widest(set, width{&bytes});
    CHECK(bytes == register_bytes(set));
  }
  CHECK(register_bytes(isa::baseline) == 16);
  CHECK(register_bytes(isa::avx2) == 32);
  CHECK(register_bytes(isa::avx512) == 64);
}

TEST_CASE("lanes_at reads and writes at any address", "[exec][reference]")
{
  alignas(64) unsigned char block[80] = {};
  for (int shift = 0; shift < 16; ++shift) {
    float const values[4] = {1, -2, 3, -4};
    std::memcpy(block + shift, values, sizeof values);
    auto* const p = reinterpret_cast<float*>(block + shift);
    lanes_at<4>(p).v = lanes_at<4>(static_cast<float const*>(p)).v * 2;
    float doubled[4];
    std::memcpy(doubled, block + shift, sizeof doubled);
    for (int i = 0; i < 4; ++i) CHECK(doubled[i] == 2 * values[i]);
  }
}

namespace {

struct fill_some {
  double* to;
  index_t count;
  double value;
  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    fill_lanes<Bytes>(to, count, value);
  }
};

}  // namespace

TEST_CASE("fill_lanes sets so many cells and no other", "[exec][property]")
{
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512})
    for (double const value : {3.5, -0.0, std::numeric_limits<double>::infinity()})
      for (index_t count = 0; count < 40; ++count) {
        if (set > widest_isa()) continue;
        std::vector<double> cells(42, 7), want = cells;
        run_widest(set, fill_some{cells.data() + 1, count, value});
        for (index_t i = 1; i <= count; ++i) want[static_cast<std::size_t>(i)] = value;
        REQUIRE(std::memcmp(cells.data(), want.data(), cells.size() * sizeof(double)) == 0);
      }
}

TEST_CASE("pin changes no value", "[exec][property]")
{
  for (double value : {0.0, 1.5, -1e300}) {
    double const before = value;
    no_contract(value);
    CHECK(value == before);
  }
  float small = 0.1f;
  no_contract(small);
  CHECK(small == 0.1f);
}

#if CAMBIUM_X86
TEST_CASE("denormals are zero while flush_denormals lives, and come back", "[exec][property]")
{
  REQUIRE(keeps_denormals<float>());
  REQUIRE(keeps_denormals<double>());
  unsigned const before = _mm_getcsr();
  {
    flush_denormals const outer;
    CHECK(product(std::numeric_limits<float>::min(), 0.5f) == 0);
    CHECK(product(std::numeric_limits<double>::denorm_min(), 1e300) == 0);  // as an operand too
    CHECK(product(2.0f, 0.5f) == 1);
    {
      flush_denormals const inner;
    }
    CHECK(!keeps_denormals<float>());  // the inner one put back what the outer one wanted
  }
  CHECK(keeps_denormals<float>());
  CHECK(keeps_denormals<double>());
  CHECK(_mm_getcsr() == before);
}

TEST_CASE("flush_denormals restores what the caller had, even after an exception", "[exec][property]")
{
  unsigned const before = _mm_getcsr();
  try {
    flush_denormals const guard;
    throw 1;
  } catch (int) {
  }
  CHECK(_mm_getcsr() == before);
  _mm_setcsr(before | 0x8040u);  // a caller who lives without denormals
  {
    flush_denormals const guard;
  }
  CHECK((_mm_getcsr() & 0x8040u) == 0x8040u);
  _mm_setcsr(before);
}
#endif

namespace {

/// A function of packs on a row of numbers.
template <class Function>
struct on_row {
  float* row;
  int length;  ///< a multiple of 16
  Function function;

  template <int Bytes>
  [[gnu::always_inline]] void run() const
  {
    for (int i = 0; i < length; i += Bytes / 4) {
      auto v = lanes_at<Bytes / 4>(row + i).v;
      function.template apply<Bytes / 4>(v);
      lanes_at<Bytes / 4>(row + i).v = v;
    }
  }
};

struct exponential_f {
  template <int Lanes>
  [[gnu::always_inline]] void apply(pack<float, Lanes>& x) const
  {
    exponential<Lanes>(x);
  }
};
struct log_one_plus_f {
  template <int Lanes>
  [[gnu::always_inline]] void apply(pack<float, Lanes>& x) const
  {
    log_one_plus<Lanes>(x);
  }
};
struct reciprocal_root_f {
  template <int Lanes>
  [[gnu::always_inline]] void apply(pack<float, Lanes>& x) const
  {
    reciprocal_root<Lanes>(x);
  }
};

/// The largest error in units of the last place of the truth, over all instruction sets.
template <class Function, class Truth>
double largest_error(std::vector<float> x, Function function, Truth const& truth)
{
  while (x.size() % 16 != 0) x.push_back(x.back());
  double worst = 0;
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    auto row = x;
    run_widest(vectors_of(cpu{.vectors = set}), on_row<Function>{row.data(), static_cast<int>(row.size()), function});
    for (std::size_t i = 0; i < x.size(); ++i) {
      double const want = truth(static_cast<double>(x[i]));
      float const near = static_cast<float>(want);
      double const ulp = static_cast<double>(std::nextafter(near, INFINITY)) - static_cast<double>(near);
      double const error = std::abs(static_cast<double>(row[i]) - want) / ulp;
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

std::vector<float> steps(double first, double last, int count)
{
  std::vector<float> out;
  for (int i = 0; i <= count; ++i) out.push_back(static_cast<float>(first + (last - first) * i / count));
  return out;
}

}  // namespace

TEST_CASE("functions of packs are within their bounds", "[exec][reference]")
{
  CHECK(largest_error(steps(-87, 88, 100000), exponential_f{}, [](double x) { return std::exp(x); }) <= 2);
  CHECK(largest_error(steps(0, 1, 100000), log_one_plus_f{}, [](double x) { return std::log1p(x); }) <= 3);
  CHECK(largest_error(steps(0.25, 4, 100000), reciprocal_root_f{}, [](double x) { return 1 / std::sqrt(x); }) <= 3);
  std::vector<float> scales, small;
  for (int e = -120; e <= 120; ++e) scales.push_back(std::ldexp(1.37f, e));
  for (int e = -120; e <= 0; ++e) small.push_back(std::ldexp(1.f, e));
  CHECK(largest_error(scales, reciprocal_root_f{}, [](double x) { return 1 / std::sqrt(x); }) <= 3);
  CHECK(largest_error(small, log_one_plus_f{}, [](double x) { return std::log1p(x); }) <= 3);
}

TEST_CASE("functions of packs keep NaN, and 0 of log_one_plus is 0", "[exec][property]")
{
  float const nan = std::numeric_limits<float>::quiet_NaN();
  for (isa const set : {isa::baseline, isa::avx2, isa::avx512}) {
    std::vector<float> a(16, nan), b(16, nan), c(16, nan), zero(16, 0.f);
    isa const run = vectors_of(cpu{.vectors = set});
    run_widest(run, on_row<exponential_f>{a.data(), 16, {}});
    run_widest(run, on_row<log_one_plus_f>{b.data(), 16, {}});
    run_widest(run, on_row<reciprocal_root_f>{c.data(), 16, {}});
    run_widest(run, on_row<log_one_plus_f>{zero.data(), 16, {}});
    for (std::size_t i = 0; i < 16; ++i) {
      CHECK((std::isnan(a[i]) && std::isnan(b[i]) && std::isnan(c[i])));
      CHECK(zero[i] == 0);
    }
  }
}
