#pragma once
// Oracle: a .npy file put together from its parts, as the format's own description says, right or wrong on purpose.

#include <cstring>
#include <string>
#include <vector>

namespace oracle {

using bytes = std::vector<unsigned char>;

/// A file of that version around a header text and the bytes of the cells.
inline bytes npy_file(std::string header, bytes const& cells, int major = 1)
{
  std::size_t const lead = major == 1 ? 10 : 12;
  while ((lead + header.size() + 1) % 16 != 0) header += ' ';
  header += '\n';
  bytes file = {0x93, 'N', 'U', 'M', 'P', 'Y', static_cast<unsigned char>(major), 0};
  for (std::size_t i = 0; i < lead - 8; ++i) file.push_back(static_cast<unsigned char>(header.size() >> (8 * i)));
  file.insert(file.end(), header.begin(), header.end());
  file.insert(file.end(), cells.begin(), cells.end());
  return file;
}

/// The dictionary NumPy writes.
inline std::string npy_header_text(std::string const& descr, std::string const& shape, bool fortran = false)
{
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

/// The bytes of numbers, lowest first, or highest first.
template <class T>
bytes npy_cells(std::vector<T> const& values, bool big = false)
{
  bytes out;
  for (T const v : values) {
    unsigned char raw[sizeof(T)];
    std::memcpy(raw, &v, sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(raw[big ? sizeof(T) - 1 - i : i]);
  }
  return out;
}

}  // namespace oracle
