#include <cambium/io/npy.hpp>

#include "support/catch.hpp"
#include "support/npy_bytes.hpp"
#include "support/random.hpp"
#include "support/temporary.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>

using namespace cambium;
using oracle::npy_cells;
using oracle::npy_file;
using oracle::npy_header_text;

namespace {

template <class T>
std::string descr_of(char order)
{
  char const kind = std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
  return std::string(1, sizeof(T) == 1 ? '|' : order) + kind + std::to_string(sizeof(T));
}

/// Every byte of every cell differs from its neighbours.
template <class T, int Rank>
grid<T, Rank> mixed_bytes(index_t const (&extents)[Rank])
{
  auto g = make_grid<T>(extents);
  for (index_t i = 0; i < g.size(); ++i) {
    unsigned char raw[sizeof(T)];
    for (std::size_t b = 0; b < sizeof(T); ++b)
      raw[b] = static_cast<unsigned char>(17 * i + 31 * static_cast<index_t>(b) + 1);
    std::memcpy(g.data() + i, raw, sizeof(T));
  }
  return g;
}

template <class T, int Rank>
void check_round_trip(index_t const (&extents)[Rank])
{
  auto const g = mixed_bytes<T>(extents);
  auto const back = to_grid<T, Rank>(parse_npy(format_npy(g.view()), "f"), "f");
  REQUIRE(back.shape() == g.shape());
  REQUIRE((g.size() == 0 || std::memcmp(back.data(), g.data(), sizeof(T) * g.cells().size()) == 0));
}

}  // namespace

TEMPLATE_TEST_CASE("arrays of every type and rank come back as they were", "[io][property]", std::uint8_t, std::int8_t,
                   std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, std::uint64_t, std::int64_t, float, double)
{
  check_round_trip<TestType, 1>({5});
  check_round_trip<TestType, 2>({3, 4});
  check_round_trip<TestType, 3>({2, 1, 7});
  check_round_trip<TestType, 4>({1, 3, 2, 2});
  check_round_trip<TestType, 1>({0});
  check_round_trip<TestType, 3>({2, 0, 7});
  check_round_trip<TestType, 3>({0, 94, 125});
}

TEMPLATE_TEST_CASE("format_npy writes what NumPy writes", "[io][reference]", std::uint8_t, std::int32_t, float, double)
{
  grid<TestType, 2> const g(2, 3);
  auto const file = format_npy(g.view());
  std::string const text(file.begin(), file.end());
  CHECK(text.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
  std::size_t const length = file[8] + 256u * file[9];
  CHECK((10 + length) % 64 == 0);  // cells are aligned
  std::string const header = text.substr(10, length);
  CHECK(header.back() == '\n');
  CHECK(header.substr(0, header.find_last_not_of(" \n") + 1) == npy_header_text(descr_of<TestType>('<'), "(2, 3)"));
  CHECK(file.size() == 10 + length + 6 * sizeof(TestType));
  grid<TestType, 1> const row(4);
  auto const one = format_npy(row.view());
  CHECK(std::string(one.begin(), one.end()).find("'shape': (4,), }") != std::string::npos);  // a tuple of one
}

TEST_CASE("masks of bool are written as bool and read as bytes", "[io][reference]")
{
  bool const mask[4] = {true, false, false, true};
  auto const a = parse_npy(format_npy(view<bool const, 2>(mask, {2, 2})), "f");
  CHECK(a.describe() == "bool [2,2]");
  auto const g = to_grid<std::uint8_t, 2>(a, "f");
  for (std::size_t i = 0; i < 4; ++i) CHECK(g.cells()[i] == mask[i]);
  auto const old = parse_npy(npy_file(npy_header_text("?", "(2,)"), {1, 0}), "f");
  CHECK(old.describe() == "bool [2]");
}

TEMPLATE_TEST_CASE("byte order, axis order and version are the file's business", "[io][reference]", std::uint8_t,
                   std::int16_t, std::uint32_t, std::int64_t, float, double)
{
  bool const big = GENERATE(false, true), fortran = GENERATE(false, true);
  int const major = GENERATE(1, 2, 3);
  CAPTURE(big, fortran, major);
  // Oracle: cell (a, b, c) holds 100a + 10b + c, wherever the file puts it.
  std::vector<TestType> cells;
  int const A = 2, B = 3, C = 4;
  if (fortran)
    for (int c = 0; c < C; ++c)
      for (int b = 0; b < B; ++b)
        for (int a = 0; a < A; ++a) cells.push_back(static_cast<TestType>(100 * a + 10 * b + c));
  else
    for (int a = 0; a < A; ++a)
      for (int b = 0; b < B; ++b)
        for (int c = 0; c < C; ++c) cells.push_back(static_cast<TestType>(100 * a + 10 * b + c));
  auto const header = npy_header_text(descr_of<TestType>(big ? '>' : '<'), "(2, 3, 4)", fortran);
  auto const g = to_grid<TestType, 3>(parse_npy(npy_file(header, npy_cells(cells, big), major), "f"), "f");
  for (int a = 0; a < A; ++a)
    for (int b = 0; b < B; ++b)
      for (int c = 0; c < C; ++c) REQUIRE(g(a, b, c) == static_cast<TestType>(100 * a + 10 * b + c));
}

TEST_CASE("headers as other programs write them", "[io][reference]")
{
  auto const cells = npy_cells(std::vector<float>{1, 2, 3});
  for (char const* const header : {"{'shape': (3,), 'fortran_order': False, 'descr': '<f4'}",
                                   "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (3,)}",
                                   "{'descr':'<f4','fortran_order':False,'shape':(3,)}",
                                   "{'descr': 'f4', 'fortran_order': True, 'shape': (3L,), }",
                                   "{ 'descr' : '=f4' , 'fortran_order' : False , 'shape' : ( 3 , ) , }"}) {
    CAPTURE(header);
    CHECK(to_grid<float, 1>(parse_npy(npy_file(header, cells), "f"), "f").cells() == cells_t<float>{1, 2, 3});
  }
}

TEST_CASE("a header of version 2 or 3 may be long", "[io][reference]")
{
  auto const header = npy_header_text("<f4", "(2,)") + std::string(200000, ' ');
  for (int const major : {2, 3}) {
    auto const a = parse_npy(npy_file(header, npy_cells(std::vector<float>{4, 5}), major), "f");
    CHECK(to_grid<float, 1>(a, "f").cells() == cells_t<float>{4, 5});
  }
}

TEST_CASE("an array of no axis holds one number", "[io][reference]")
{
  for (bool const fortran : {false, true}) {
    auto const a = parse_npy(npy_file(npy_header_text("<f8", "()", fortran), npy_cells(std::vector<double>{2.5})), "f");
    CHECK(a.shape.empty());
    CHECK(a.size() == 1);
    CHECK(a.describe() == "float64 []");
    CAMBIUM_THROWS_SAYING((to_grid<double, 1>(a, "f")), io_error, "f: holds float64 []; 1 ax");
  }
}

TEST_CASE("up to eight axes are read", "[io][reference]")
{
  auto const a = parse_npy(npy_file(npy_header_text("|u1", "(1, 2, 1, 2, 1, 2, 1, 1)"), oracle::bytes(8, 9)), "f");
  CHECK(a.shape == std::vector<index_t>{1, 2, 1, 2, 1, 2, 1, 1});
  CHECK(a.data == bytes(8, 9));
  CHECK(a.describe() == "uint8 [1,2,1,2,1,2,1,1]");
}

TEST_CASE("floating point changes its width, and nothing else", "[io][reference]")
{
  std::vector<double> const wide = {0.1, -0.0, 1e-300, std::nan(""), HUGE_VAL, -HUGE_VAL, 3.4028234663852886e38};
  auto const a = parse_npy(npy_file(npy_header_text("<f8", "(7,)"), npy_cells(wide)), "f");
  auto const narrow = to_grid<float, 1>(a, "f");
  CHECK(narrow(0) == 0.1f);
  CHECK((narrow(1) == 0 && std::signbit(narrow(1))));
  CHECK(narrow(2) == 0);
  CHECK(std::isnan(narrow(3)));
  CHECK((std::isinf(narrow(4)) && narrow(5) == -narrow(4)));
  CHECK(narrow(6) == std::numeric_limits<float>::max());
  auto const b = parse_npy(npy_file(npy_header_text("<f4", "(2,)"), npy_cells(std::vector<float>{0.1f, -7})), "f");
  CHECK(to_grid<double, 1>(b, "f").cells() == cells_t<double>{static_cast<double>(0.1f), -7});
}

TEST_CASE("float16 is read exactly", "[io][reference]")
{
  // Oracle: every one of the 65536 numbers from its parts, in double.
  std::vector<std::uint16_t> halves(65536);
  std::iota(halves.begin(), halves.end(), std::uint16_t{0});
  bool const big = GENERATE(false, true);
  auto const a = parse_npy(npy_file(npy_header_text(big ? ">f2" : "<f2", "(65536,)"), npy_cells(halves, big)), "f");
  CHECK(a.describe() == "float16 [65536]");
  auto const narrow = to_grid<float, 1>(a, "f");
  auto const wide = to_grid<double, 1>(a, "f");
  for (index_t i = 0; i < 65536; ++i) {
    int const exponent = static_cast<int>(i >> 10 & 31), fraction = static_cast<int>(i & 1023);
    double want = exponent == 0 ? std::pow(2., -24) * fraction : std::pow(2., exponent - 15) * (1 + fraction / 1024.);
    if (exponent == 31) want = fraction == 0 ? HUGE_VAL : std::nan("");
    if (i >= 32768) want = -want;
    CAPTURE(i);
    REQUIRE(std::isnan(narrow(i)) == std::isnan(want));
    if (std::isnan(want)) continue;
    REQUIRE((static_cast<double>(narrow(i)) == want && wide(i) == want));
    REQUIRE(std::signbit(narrow(i)) == (i >= 32768));
  }
  auto const fortran = parse_npy(npy_file(npy_header_text("<f2", "(2, 2)", true),
                                          npy_cells(std::vector<std::uint16_t>{0x3C00, 0x4000, 0x0001, 0xFBFF})),
                                 "f");
  CHECK(to_grid<float, 2>(fortran, "f").cells() == cells_t<float>{1, std::ldexp(1.f, -24), 2, -65504});
}

TEST_CASE("holds asks for the same type, but for the width of floats", "[io][reference]")
{
  auto const of = [](char kind, int width) { return npy_array{kind, width, {}, {}}; };
  CHECK((holds<float>(of('f', 4)) && holds<float>(of('f', 8)) && holds<double>(of('f', 4))));
  CHECK((!holds<float>(of('i', 4)) && !holds<float>(of('b', 1))));
  CHECK((holds<std::int32_t>(of('i', 4)) && !holds<std::int32_t>(of('i', 8)) && !holds<std::int32_t>(of('u', 4))));
  CHECK((holds<std::uint8_t>(of('u', 1)) && holds<std::uint8_t>(of('b', 1)) && !holds<std::int8_t>(of('b', 1))));
  CHECK((holds<bool>(of('b', 1)) && !holds<bool>(of('u', 1)) && !holds<std::uint16_t>(of('f', 2)) &&
         holds<float>(of('f', 2)) && holds<double>(of('f', 2))));
}

TEST_CASE("files are written and read by name", "[io][reference]")
{
  support::temporary_folder const folder;
  auto const g = support::uniform<float, 3>({2, 5, 3}, -1, 1, 3);
  auto const path = folder / "new" / "cam.npy";
  write_npy<3>(path, g);
  CHECK(read_npy<float, 3>(path) == g);
  CHECK(read_npy(path).describe() == "float32 [2,5,3]");
  CAMBIUM_THROWS_SAYING((read_npy<float, 2>(path)), io_error,
                        path.string() + ": holds float32 [2,5,3]; 2 axes are needed");
  CAMBIUM_THROWS_SAYING((read_npy<std::int32_t, 3>(path)), io_error, "holds float32 [2,5,3]; int32 is needed");
  CAMBIUM_THROWS_SAYING(read_npy(folder / "none.npy"), io_error, (folder / "none.npy").string() + ": ");
  auto window = g.view();
  window.extent[2] = 2;
  CAMBIUM_THROWS_SAYING(write_npy<3>(folder / "gaps.npy", window), precondition_error, "[2,5,2] has gaps");
  CHECK(!std::filesystem::exists(folder / "gaps.npy"));
}
