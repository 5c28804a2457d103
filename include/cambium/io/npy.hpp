#pragma once
// The .npy files of NumPy. xtensor reads them too, but accepts a truncated file. Labels from such a file would be wrong
// without a message.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/io/file.hpp>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cambium {

/// An array of a file: any type, any rank, row-major, in the byte order of this machine.
struct npy_array {
  char kind = 'f';  ///< 'f' float, 'i' signed, 'u' unsigned, 'b' bool
  int width = 4;    ///< [bytes] of one element
  std::vector<index_t> shape;
  bytes data;

  index_t size() const
  {
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
    index_t n = 1;
    for (index_t const e : shape) n *= e;
    return n;
  }
  /// "float32 [2,94,125]"
  std::string describe() const
  {
    std::string text = kind == 'b' ? "bool" : kind == 'f' ? "float" : kind == 'i' ? "int" : "uint";
    if (kind != 'b') text += std::to_string(8 * width);
    text += " [";
    for (std::size_t r = 0; r < shape.size(); ++r) text += (r ? "," : "") + std::to_string(shape[r]);
    return text + "]";
  }
};

/// Convert 16 bits of IEEE 754 to a float. The conversion is exact.
[[nodiscard]] inline float float_of_half(std::uint16_t half)
{
  std::uint32_t const sign = std::uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | fraction << 13);  // infinite, or NaN
  float const magnitude = std::ldexp(static_cast<float>(exponent > 0 ? 1024 + fraction : fraction),
                                     static_cast<int>(std::max(exponent, std::uint32_t{1})) - 25);
  return sign != 0 ? -magnitude : magnitude;
}

/// A reader of the header's Python dictionary. It accepts the headers that NumPy writes, and refuses those that NumPy
/// refuses.
class npy_header {
 public:
  explicit npy_header(std::string text, std::string name) : text_(std::move(text)), name_(std::move(name))
  {
    std::set<std::string> seen;
    skip('{');
    while (!at('}')) {
      std::string const key = quoted();
      if (!seen.insert(key).second) fail<int>("has two entries '" + key + "' in its header");
      skip(':');
      if (key == "descr")
        descr = at('[') ? fail<std::string>("holds records, not one array of numbers") : quoted();
      else if (key == "fortran_order")
        fortran = word() == "True", ordered_ = true;
      else if (key == "shape")
        tuple();
      else
        fail<int>("has an unknown entry '" + key + "' in its header");
      if (!at('}')) skip(',');
    }
    skip('}');
    if (descr.empty() || !shaped_ || !ordered_)
      fail<int>("lacks its type (descr), its shape or its order of axes (fortran_order)");
    at(' ');
    if (place_ < text_.size()) fail<int>("has text behind the dictionary of its header");
  }

  std::string descr;
  bool fortran = false;
  std::vector<index_t> shape;

 private:
  template <class T>
  [[noreturn]] T fail(std::string const& reason) const
  {
    throw io_error(name_ + ": " + reason);
  }
  bool at(char c)
  {
    place_ = std::min(text_.find_first_not_of(" \t\n\r\f", place_), text_.size());
    return place_ < text_.size() && text_[place_] == c;
  }
  void skip(char c)
  {
    if (!at(c)) fail<int>(std::string("has a damaged header: '") + c + "' expected");
    ++place_;
  }
  std::string quoted()
  {
    char const quote = at('"') ? '"' : '\'';
    skip(quote);
    auto const end = text_.find(quote, place_);
    if (end == std::string::npos) fail<int>("has a damaged header: a text does not end");
    auto const found = text_.substr(place_, end - place_);
    place_ = end + 1;
    return found;
  }
  std::string word()
  {
    at(' ');
    std::size_t const begin = place_;
    while (place_ < text_.size() && std::isalpha(static_cast<unsigned char>(text_[place_])) != 0) ++place_;
    auto const found = text_.substr(begin, place_ - begin);
    if (found != "True" && found != "False") fail<int>("has a damaged header: True or False expected");
    return found;
  }
  void tuple()
  {
    skip('(');
    bool comma = true;
    while (!at(')')) {
      index_t extent = 0;
      std::size_t const begin = place_;
      for (; place_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[place_])) != 0; ++place_) {
        if (extent > (index_t{1} << 48)) fail<int>("claims an extent beyond 2^48");
        extent = 10 * extent + (text_[place_] - '0');
      }
      if (place_ == begin) fail<int>("has a damaged header: a number expected in its shape");
      if (text_[begin] == '0' && place_ > begin + 1) fail<int>("has a damaged header: a number that begins with 0");
      if (at('L')) ++place_;  // Python 2
      shape.push_back(extent);
      if (comma = at(','); comma) ++place_;
      if (!comma && !at(')')) skip(',');
    }
    skip(')');
    if (shape.size() == 1 && !comma) fail<int>("has a damaged header: its shape is a number, not a tuple");
    if (shape.size() > 8) fail<int>("has " + std::to_string(shape.size()) + " axes");
    shaped_ = true;
  }

  std::string text_, name_;
  std::size_t place_ = 0;
  bool shaped_ = false, ordered_ = false;
};

/// Parse the content of a .npy file. `name` begins every message.
/// @throws io_error: not npy, pickled objects, records, damaged header, truncated or over-long data
[[nodiscard]] inline npy_array parse_npy(bytes const& file, std::string const& name)
{
  auto const fail = [&](std::string const& reason) { throw io_error(name + ": " + reason); };
  if (file.size() < 10 || std::memcmp(file.data(), "\x93NUMPY", 6) != 0) {
    if (file.empty()) fail("is empty");
    if (file.size() > 2 && file[0] == 'P' && file[1] == 'K')
      fail("is an npz archive; save the one array it should hold with numpy.save");
    if (file[0] == 0x80)
      fail(
          "is a Python pickle, which is not read because it can run code; save arrays with numpy.save, or convert "
          "IRNet's CAM files with examples/label/convert_cams.py");
    fail("is not an npy file");
  }
  int const major = file[6];
  std::size_t const prefix = major == 1 ? 10 : 12;
  if (major < 1 || major > 3 || file[7] != 0 || file.size() < prefix)
    fail("is npy version " + std::to_string(major) + "." + std::to_string(file[7]) + " or damaged");
  std::size_t length = file[8] + (std::size_t{file[9]} << 8);
  if (major > 1) length += (std::size_t{file[10]} << 16) + (std::size_t{file[11]} << 24);
  if (length > file.size() - prefix) fail("is truncated inside its header");
  npy_header const header(
      {file.begin() + static_cast<std::ptrdiff_t>(prefix), file.begin() + static_cast<std::ptrdiff_t>(prefix + length)},
      name);

  if (header.descr.find('O') != std::string::npos)
    fail(
        "holds pickled Python objects, which are not read because they can run code. IRNet's CAM files are such: "
        "convert them with examples/label/convert_cams.py");
  npy_array out;
  std::string type = header.descr;
  char const order = type[0];
  bool const big = order == '>';
  if (order == '<' || order == '>' || order == '|' || order == '=') type.erase(0, 1);
  bool known = type.size() == 2 && std::string("fiub").find(type[0]) != std::string::npos;
  if (known) {
    out.kind = type[0];
    out.width = type[1] - '0';
    known = out.kind == 'f'   ? out.width == 2 || out.width == 4 || out.width == 8
            : out.kind == 'b' ? out.width == 1
                              : out.width == 1 || out.width == 2 || out.width == 4 || out.width == 8;
  } else if (type == "?") {
    out.kind = 'b', out.width = 1, known = true;
  }
  if (!known) {
    std::string const what = type == "V2"                       ? ", which is what bfloat16 is saved as"
                             : type == "V1"                     ? ", which is what float8 and int4 are saved as"
                             : type[0] == 'c'                   ? ", complex numbers"
                             : type[0] == 'U' || type[0] == 'S' ? ", text"
                                                                : "";
    fail("holds '" + header.descr + "'" + what +
         "; known are bool, integers, float16, float32 and float64: save array.astype('float32')");
  }
  out.shape = header.shape;

  bool empty = false;
  for (index_t const e : out.shape) empty = empty || e == 0;
  index_t elements = empty ? 0 : 1;
  for (index_t const e : out.shape) {
    if (empty) break;
    if (e > (index_t{1} << 48) / elements) fail("claims more than 2^48 elements");
    elements *= e;
  }
  std::size_t const held = file.size() - prefix - length;
  std::size_t const claimed = static_cast<std::size_t>(elements) * static_cast<std::size_t>(out.width);
  if (held < claimed)
    fail("is truncated: " + out.describe() + " needs " + std::to_string(claimed) + " bytes, " + std::to_string(held) +
         " are there");
  if (held > claimed) fail("has " + std::to_string(held - claimed) + " bytes more than " + out.describe() + " needs");
  out.data.assign(file.end() - static_cast<std::ptrdiff_t>(held), file.end());

  auto const w = static_cast<std::size_t>(out.width);
  if (big != (std::endian::native == std::endian::big) && w > 1)
    for (std::size_t i = 0; i < out.data.size(); i += w)
      std::reverse(out.data.begin() + static_cast<std::ptrdiff_t>(i),
                   out.data.begin() + static_cast<std::ptrdiff_t>(i + w));
  if (header.fortran && out.shape.size() > 1 && elements > 0) {
    bytes turned(out.data.size());
    std::vector<index_t> at(out.shape.size(), 0);
    for (index_t i = 0; i < elements; ++i) {  // i counts in row-major order
      index_t from = 0;
      for (std::size_t r = at.size(); r-- > 0;) from = from * out.shape[r] + at[r];
      std::memcpy(turned.data() + static_cast<std::size_t>(i) * w, out.data.data() + static_cast<std::size_t>(from) * w,
                  w);
      for (std::size_t r = at.size(); r-- > 0;) {
        if (++at[r] < out.shape[r]) break;
        at[r] = 0;
      }
    }
    out.data = std::move(turned);
  }
  return out;
}

/// Read an array of any type and shape.
[[nodiscard]] inline npy_array read_npy(std::filesystem::path const& path)
{
  return parse_npy(read_file(path), path.string());
}

/// Whether the file's type fits T. Floating point is read into floating point of any width, integers and bool into the
/// same type only. A label map in float would be a mistake of its writer.
template <class T>
bool holds(npy_array const& a)
{
  if constexpr (std::is_floating_point_v<T>)
    return a.kind == 'f';
  else if constexpr (std::is_same_v<T, bool>)
    return a.kind == 'b';
  else
    return (a.kind == (std::is_signed_v<T> ? 'i' : 'u') && a.width == sizeof(T)) ||
           (a.kind == 'b' && std::is_same_v<T, std::uint8_t>);
}

/// Convert an array of a file to a grid. bool becomes std::uint8_t.
/// @throws io_error if type or rank differ, or if a float64 does not fit into float32
template <class T, int Rank>
[[nodiscard]] grid<T, Rank> to_grid(npy_array const& a, std::string const& name)
{
  auto const fail = [&](std::string const& reason) { throw io_error(name + ": " + reason); };
  std::string const wanted = std::is_floating_point_v<T> ? "float16, float32 or float64"
                             : std::is_same_v<T, std::uint8_t>
                                 ? "uint8 or bool"
                                 : (std::is_signed_v<T> ? "int" : "uint") + std::to_string(8 * sizeof(T));
  if (!holds<T>(a)) fail("holds " + a.describe() + "; " + wanted + " is needed");
  if (a.shape.size() != static_cast<std::size_t>(Rank))
    fail("holds " + a.describe() + "; " + std::to_string(Rank) + " axes are needed");
  index_t extents[std::size_t{Rank}];
  for (int r = 0; r < Rank; ++r) extents[r] = a.shape[static_cast<std::size_t>(r)];
  auto out = make_grid<T>(extents);
  if (a.width == static_cast<int>(sizeof(T))) {
    if (!a.data.empty()) std::memcpy(out.data(), a.data.data(), a.data.size());
    return out;
  }
  auto const convert = [&]<class From>(From) {
    for (std::size_t i = 0; i < out.cells().size(); ++i) {
      From v;
      std::memcpy(&v, a.data.data() + i * sizeof(From), sizeof(From));
      auto const to = static_cast<T>(v);
      if constexpr (std::is_floating_point_v<T>)
        if (v - v == 0 && to - to != 0) fail("holds " + message_part(v) + ", which does not fit into float32");
      out.cells()[i] = to;
    }
  };
  if constexpr (std::is_floating_point_v<T>) {
    if (a.width == 2)
      for (std::size_t i = 0; i < out.cells().size(); ++i) {
        std::uint16_t half;
        std::memcpy(&half, a.data.data() + 2 * i, 2);
        out.cells()[i] = float_of_half(half);
      }
    if (a.width == 4) convert(float{});
    if (a.width == 8) convert(double{});
  }
  return out;
}

/// Read an array of a known type and rank.
template <class T, int Rank>
[[nodiscard]] grid<T, Rank> read_npy(std::filesystem::path const& path)
{
  return to_grid<T, Rank>(read_npy(path), path.string());
}

/// Format cells as the bytes of a .npy file (version 1.0, little-endian, C order).
template <class T, int Rank>
[[nodiscard]] bytes format_npy(view<T, Rank> const& v)
{
  using cell = std::remove_const_t<T>;
  static_assert(std::endian::native == std::endian::little);
  char const kind = std::is_same_v<cell, bool>       ? 'b'
                    : std::is_floating_point_v<cell> ? 'f'
                    : std::is_signed_v<cell>         ? 'i'
                                                     : 'u';
  std::string header = "{'descr': '";
  header += sizeof(cell) == 1 ? '|' : '<';
  header += kind + std::to_string(sizeof(cell)) + "', 'fortran_order': False, 'shape': (";
  for (int r = 0; r < Rank; ++r) header += std::to_string(v.extent[r]) + (Rank == 1 || r + 1 < Rank ? ", " : "");
  if (Rank == 1) header.pop_back();
  header += "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string start = "\x93NUMPY\x01";
  start += '\0';
  start += static_cast<char>(header.size() & 255);
  start += static_cast<char>(header.size() >> 8);
  expects(v.contiguous(), "write_npy: the view ", v, " has gaps");
  auto const* const first = reinterpret_cast<unsigned char const*>(v.data);
  std::size_t const size = static_cast<std::size_t>(v.size()) * sizeof(cell);
  bytes out;
  out.reserve(start.size() + header.size() + size);
  out.insert(out.end(), start.begin(), start.end());
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), first, first + size);
  return out;
}

/// Write an array, completely or not at all.
template <int Rank, gridded<Rank> A>
void write_npy(std::filesystem::path const& path, A const& a)
{
  replace_file(path, format_npy(as_view<Rank>(a, "write_npy: array")));
}

}  // namespace cambium
