#pragma once
// Oracle: a PNG put together byte by byte from the format's description, without compression (stored deflate blocks)
// and without libpng.

#include <cstdint>
#include <string>
#include <vector>

namespace oracle {

using bytes = std::vector<unsigned char>;

inline void put32(bytes& out, std::uint32_t v)
{
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<unsigned char>(v >> shift));
}

/// Length, name, content and check sum.
inline bytes png_chunk(std::string const& name, bytes const& content)
{
  bytes out;
  put32(out, static_cast<std::uint32_t>(content.size()));
  out.insert(out.end(), name.begin(), name.end());
  out.insert(out.end(), content.begin(), content.end());
  std::uint32_t crc = ~0u;
  for (std::size_t i = 4; i < out.size(); ++i) {
    crc ^= out[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0u);
  }
  put32(out, ~crc);
  return out;
}

inline bytes zlib_stored(bytes const& raw)
{
  bytes out = {0x78, 0x01};
  std::uint32_t a = 1, b = 0;
  for (unsigned char const c : raw) a = (a + c) % 65521, b = (b + a) % 65521;
  for (std::size_t at = 0; at == 0 || at < raw.size(); at += 65535) {
    std::size_t const n = raw.size() - at < 65535 ? raw.size() - at : 65535;
    auto const low = static_cast<unsigned char>(n), high = static_cast<unsigned char>(n >> 8);
    out.insert(out.end(), {static_cast<unsigned char>(at + n == raw.size()), low, high,
                           static_cast<unsigned char>(~low), static_cast<unsigned char>(~high)});
    out.insert(out.end(), raw.begin() + static_cast<std::ptrdiff_t>(at),
               raw.begin() + static_cast<std::ptrdiff_t>(at + n));
  }
  put32(out, b << 16 | a);
  return out;
}

struct png_recipe {
  int height = 1, width = 1;
  int depth = 8;        ///< bits of a sample
  int colour_type = 0;  ///< 0 grey, 2 RGB, 3 indices, 4 grey + alpha, 6 RGB + alpha
  bool interlaced = false;
  bytes palette;  ///< RGB after RGB, for colour type 3

  int channels() const { return colour_type == 2 ? 3 : colour_type == 4 ? 2 : colour_type == 6 ? 4 : 1; }
};

inline bytes png_header(png_recipe const& r)
{
  bytes ihdr;
  put32(ihdr, static_cast<std::uint32_t>(r.width));
  put32(ihdr, static_cast<std::uint32_t>(r.height));
  for (int const v : {r.depth, r.colour_type, 0, 0, r.interlaced ? 1 : 0})
    ihdr.push_back(static_cast<unsigned char>(v));
  bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  bytes const chunk = png_chunk("IHDR", ihdr);
  out.insert(out.end(), chunk.begin(), chunk.end());
  return out;
}

/// A whole file whose samples are sample(y, x, channel), values of `depth` bits.
template <class Sample>
bytes png_file(png_recipe const& r, Sample const& sample)
{
  struct pass {
    int y, x, dy, dx;
  };
  std::vector<pass> const adam7 = {{0, 0, 8, 8}, {0, 4, 8, 8}, {4, 0, 8, 4}, {0, 2, 4, 4},
                                   {2, 0, 4, 2}, {0, 1, 2, 2}, {1, 0, 2, 1}};
  std::vector<pass> const whole = {{0, 0, 1, 1}};
  bytes raw;
  for (pass const& p : r.interlaced ? adam7 : whole) {
    if (p.x >= r.width) continue;  // a pass without columns has no rows either
    for (int y = p.y; y < r.height; y += p.dy) {
      raw.push_back(0);  // no filter
      int held = 0, bits = 0;
      for (int x = p.x; x < r.width; x += p.dx)
        for (int c = 0; c < r.channels(); ++c) {
          int const v = sample(y, x, c);
          if (r.depth == 16) raw.push_back(static_cast<unsigned char>(v >> 8));
          if (r.depth >= 8) {
            raw.push_back(static_cast<unsigned char>(v));
          } else {
            held = held << r.depth | v, bits += r.depth;
            if (bits == 8) raw.push_back(static_cast<unsigned char>(held)), held = bits = 0;
          }
        }
      if (bits > 0) raw.push_back(static_cast<unsigned char>(held << (8 - bits)));
    }
  }
  bytes out = png_header(r);
  std::vector<bytes> chunks;
  if (!r.palette.empty()) chunks.push_back(png_chunk("PLTE", r.palette));
  chunks.push_back(png_chunk("IDAT", zlib_stored(raw)));
  chunks.push_back(png_chunk("IEND", {}));
  for (bytes const& chunk : chunks) out.insert(out.end(), chunk.begin(), chunk.end());
  return out;
}

}  // namespace oracle
