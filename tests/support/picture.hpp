#pragma once
// Small maps as text, for tests that a reader checks by eye.

#include <cambium/grid/grid.hpp>

#include <string>
#include <vector>

namespace support {

using rows = std::vector<std::string>;

/// '.' is 0, '#' is 1, digits and then letters from a = 10 are themselves.
template <class T = std::int32_t>
cambium::grid<T, 2> picture(rows const& text)
{
  cambium::grid<T, 2> out(text.size(), text.empty() ? 0 : text[0].size());
  for (std::size_t y = 0; y < text.size(); ++y)
    for (std::size_t x = 0; x < text[y].size(); ++x) {
      char const c = text[y][x];
      out(y, x) = static_cast<T>(c == '.' ? 0 : c == '#' ? 1 : c >= 'a' ? c - 'a' + 10 : c - '0');
    }
  return out;
}

/// The way back: '.' for 0, then 1..9, a..z.
template <class A>
rows drawn(A const& map)
{
  auto const v = cambium::as_view<2>(map);
  rows out;
  for (cambium::index_t y = 0; y < v.extent[0]; ++y) {
    auto& row = out.emplace_back();
    for (cambium::index_t x = 0; x < v.extent[1]; ++x) {
      auto const value = static_cast<int>(v(y, x));
      bool const known = 0 <= value && value < 36;
      row += known ? ".123456789abcdefghijklmnopqrstuvwxyz"[value] : '?';
    }
  }
  return out;
}

}  // namespace support
