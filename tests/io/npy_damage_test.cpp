// What must not be read is refused with the file's name and a reason; nothing a file holds may crash the reader.
#include <cambium/io/npy.hpp>

#include "support/catch.hpp"
#include "support/npy_bytes.hpp"
#include "support/temporary.hpp"

#include <cmath>
#include <random>
#include <string>

using namespace cambium;
using oracle::npy_cells;
using oracle::npy_file;
using oracle::npy_header_text;

namespace {

bytes const sound = npy_file(npy_header_text("<f4", "(2, 3)"), npy_cells(std::vector<float>{1, 2, 3, 4, 5, 6}));

/// Why a file is refused; "" if it is read.
std::string reason(bytes const& file)
{
  std::string const text = support::refusal([&] { static_cast<void>(parse_npy(file, "folder/a.npy")); });
  if (text.empty()) return "";
  REQUIRE(text.rfind("folder/a.npy: ", 0) == 0);
  REQUIRE(text.size() > 20);
  return text.substr(14);
}

/// Why a header is refused, around as many cells as fit it or not.
std::string header_reason(std::string const& header, std::size_t cells = 24, int major = 1)
{
  return reason(npy_file(header, bytes(cells, 0), major));
}

bool says(std::string const& text, std::string const& words)
{
  UNSCOPED_INFO("said: " << text);
  return text.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("a file cut anywhere is refused", "[io][errors]")
{
  int const major = GENERATE(1, 2, 3);
  auto const whole = npy_file(npy_header_text("<f4", "(2, 3)"), npy_cells(std::vector<float>(6, 1)), major);
  REQUIRE(reason(whole) == "");
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    REQUIRE(reason(bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))) != "");
  }
  CHECK(reason({}) == "is empty");
  CHECK(
      says(reason(bytes(whole.begin(), whole.end() - 1)), "is truncated: float32 [2,3] needs 24 bytes, 23 are there"));
  CHECK(says(reason(bytes(whole.begin(), whole.begin() + 40)), "is truncated inside its header"));
}

TEST_CASE("bytes flipped anywhere never crash", "[io][errors]")
{
  std::mt19937 bits(3);
  int refused = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    auto file = sound;
    for (auto flips = 1 + bits() % 3; flips > 0; --flips)
      file[bits() % file.size()] = static_cast<unsigned char>(bits());
    refused += reason(file) != "";
  }
  CHECK(refused > 5000);  // most of a small file is its header
}

TEST_CASE("other files are named for what they are", "[io][errors]")
{
  CHECK(says(reason({'P', 'K', 3, 4, 0, 0}), "is an npz archive; save the one array"));
  CHECK(says(reason({0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "is a Python pickle"));
  CHECK(says(reason({'G', 'I', 'F', '8', '9', 'a', 0, 0, 0, 0, 0, 0}), "is not an npy file"));
  CHECK(says(reason(bytes(100, 0)), "is not an npy file"));
  auto near = sound;
  near[5] = 'X';
  CHECK(says(reason(near), "is not an npy file"));
}

TEST_CASE("versions other than 1 to 3 are refused", "[io][errors]")
{
  for (int const major : {0, 4, 255}) {
    auto file = sound;
    file[6] = static_cast<unsigned char>(major);
    CHECK(says(reason(file), "version " + std::to_string(major)));
  }
  auto file = sound;
  file[7] = 1;
  CHECK(says(reason(file), "is npy version 1.1 or damaged"));
}

TEST_CASE("types that hold no numbers are refused", "[io][errors]")
{
  CHECK(says(header_reason(npy_header_text("|O", "(3,)")), "pickled Python objects"));
  CHECK(says(header_reason("{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (3,)}"),
             "holds records"));
  for (char const* const descr :
       {"<f16", "<c8", "<U5", "|S3", "<M8[ns]", "|V4", "<i3", "<u16", "|b4", "<", "f", "x4"}) {
    auto const why = header_reason(npy_header_text(descr, "(3,)"));
    CHECK(says(why, std::string("holds '") + descr + "'"));
    CHECK(says(why, "; known are bool, integers, float16, float32 and float64: save array.astype('float32')"));
  }
  CHECK(says(header_reason(npy_header_text("<V2", "(3,)")), "holds '<V2', which is what bfloat16 is saved as;"));
  CHECK(says(header_reason(npy_header_text("<V1", "(3,)")), "which is what float8 and int4 are saved as;"));
}

TEST_CASE("damaged headers are refused", "[io][errors]")
{
  for (char const* const header : {
           "",
           "{",
           "}",
           "[]",
           "{}",
           "{'descr'",
           "{'descr: '<f4'}",
           "{'descr' '<f4'}",
           "{'descr': <f4}",
           "{'descr': '<f4}",
           "{'descr': '<f4', }",
           "{'descr': '', 'fortran_order': False, 'shape': (6,)}",
           "{'fortran_order': False, 'shape': (6,)}",
           "{'descr': '<f4', 'fortran_order': False, }",
           "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,)}",
           "{'descr': '<f4', 'fortran_order': 1, 'shape': (6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (0x6,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (,6)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'extra': 1}",
           "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}",
       }) {
    CAPTURE(header);
    CHECK(header_reason(header) != "");
  }
  CHECK(says(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'extra': 1}"), "'extra'"));
  CHECK(says(header_reason("{'descr': '<f4', 'fortran_order': False, }"),
             "lacks its type (descr), its shape or its order of axes"));
}

TEST_CASE("an npy header without fortran_order, or with text behind the dictionary, is refused as NumPy does",
          "[io][errors]")
{
  std::string const whole = "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }";
  for (char const* const end : {"", "   ", "\n", " \n \n", "\t", "\r\n"}) CHECK(header_reason(whole + end) == "");
  for (char const* const start : {" ", "\n", "\t"}) CHECK(header_reason(start + whole) == "");
  for (std::string const end : {"x", "{}", ")", "}", ",", " 'a'"})
    CHECK((header_reason(whole + end) == "has text behind the dictionary of its header"));
  CHECK(header_reason(whole + std::string(1, '\0')) == "has text behind the dictionary of its header");
  CHECK(
      says(header_reason("{'descr': '<f4', 'shape': (6,)}"), "lacks its type (descr), its shape or its order of axes"));
  CHECK(says(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (6)}"), "a number, not a tuple"));
  CHECK(says(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (06,)}"), "begins with 0"));
  CHECK(says(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (6,,)}"), "a number expected"));
  CHECK(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (2 ,3)}") == "");
  CHECK(header_reason("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}", 0) == "");
}

TEST_CASE("an entry given twice is not two", "[io][errors]")
{
  // Python takes the last one. Whatever is made of it, (2,) and (3,) are not (2,3).
  auto const file = npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (3,)}", bytes(24, 0));
  CHECK(reason(file) != "");
}

TEST_CASE("shapes nobody can hold are refused", "[io][errors]")
{
  CHECK(says(header_reason(npy_header_text("<f4", "(99999999999999999999999999,)")), "2^48"));
  CHECK(says(header_reason(npy_header_text("<f4", "(281474976710657,)")), "2^48"));
  CHECK(says(header_reason(npy_header_text("<f4", "(281474976710656, 281474976710656)")), "2^48"));
  CHECK(says(header_reason(npy_header_text("<f8", "(65536, 65536, 65536, 65536)")), "2^48"));
  CHECK(
      says(header_reason(npy_header_text("<f8", "(281474976710656,)")), "is truncated"));  // claims, does not allocate
  CHECK(says(header_reason(npy_header_text("|u1", "(1, 1, 1, 1, 1, 1, 1, 1, 24)")), "has 9 axes"));
}

TEST_CASE("an empty array of absurd extents is empty or refused", "[io][errors]")
{
  auto const file = npy_file(npy_header_text("<f4", "(281474976710656, 281474976710656, 0)"), {});
  std::string const text = support::refusal([&] {
    auto const a = parse_npy(file, "f");
    CHECK(a.size() == 0);
    CHECK(to_grid<float, 3>(a, "f").view().size() == 0);
  });
  CHECK((text.empty() || says(text, "f: ")));
}

TEST_CASE("cells too many are as wrong as cells too few", "[io][errors]")
{
  auto file = sound;
  file.push_back(0);
  CHECK(says(reason(file), "has 1 bytes more than float32 [2,3] needs"));
  CHECK(says(header_reason(npy_header_text("<f4", "(0, 3)"), 4), "has 4 bytes more than float32 [0,3] needs"));
  CHECK(header_reason(npy_header_text("<f4", "(0, 3)"), 0) == "");
}

TEST_CASE("to_grid rejects what it documents", "[io][errors]")
{
  auto const a = parse_npy(npy_file(npy_header_text("<f8", "(2,)"), npy_cells(std::vector<double>{1, 1e39})), "f");
  CAMBIUM_THROWS_SAYING((to_grid<float, 1>(a, "b/f")), io_error, "b/f: holds 1e+39, which does not fit into float32");
  CHECK(to_grid<double, 1>(a, "b/f")(1) == 1e39);
  auto const i = parse_npy(npy_file(npy_header_text("<i8", "(1, 2)"), npy_cells(std::vector<std::int64_t>{1, 2})), "f");
  CAMBIUM_THROWS_SAYING((to_grid<float, 2>(i, "f")), io_error,
                        "f: holds int64 [1,2]; float16, float32 or float64 is needed");
  CAMBIUM_THROWS_SAYING((to_grid<std::int32_t, 2>(i, "f")), io_error, "holds int64 [1,2]; int32 is needed");
  CAMBIUM_THROWS_SAYING((to_grid<std::uint8_t, 2>(i, "f")), io_error, "uint8 or bool is needed");
  CAMBIUM_THROWS_SAYING((to_grid<std::int64_t, 3>(i, "f")), io_error, "f: holds int64 [1,2]; 3 axes are needed");
}
