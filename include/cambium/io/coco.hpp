#pragma once
// Masks as COCO's run-length encoding.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/instance.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace cambium {

/// Lengths of runs of a mask, **column by column** (down, then right), starting with a run of zeros that may be empty.
struct rle {
  index_t height = 0;
  index_t width = 0;
  std::vector<index_t> counts;

  index_t area() const
  {
    index_t n = 0;
    for (std::size_t i = 1; i < counts.size(); i += 2) n += counts[i];
    return n;
  }
};

/// Encode the cells of `bounds` for which inside(y, x) holds; there are none outside.
/// @throws precondition_error when the box leaves the image
/// @complexity Theta(cells of the box)
template <class Inside>
[[nodiscard]] rle encode_rle(extent2 image, box bounds, Inside const& inside)
{
  expects(0 <= bounds.top && bounds.top <= bounds.bottom && bounds.bottom <= image.height && 0 <= bounds.left &&
              bounds.left <= bounds.right && bounds.right <= image.width,
          "encode_rle: the box ", bounds.top, ",", bounds.left, " to ", bounds.bottom, ",", bounds.right,
          " leaves the image of ", image.height, " x ", image.width);
  rle out{image.height, image.width, {}};
  index_t run = bounds.left * image.height;
  bool value = false;
  auto const turn = [&] {
    out.counts.push_back(run);
    run = 0;
    value = !value;
  };
  for (index_t x = bounds.left; x < bounds.right; ++x) {
    if (value && bounds.top > 0) turn();
    run += bounds.top;
    for (index_t y = bounds.top; y < bounds.bottom; ++y, ++run)
      if (inside(y, x) != value) turn();
    if (value && bounds.bottom < image.height) turn();
    run += image.height - bounds.bottom;
  }
  if (value && bounds.right < image.width) turn();
  run += (image.width - std::max(bounds.left, bounds.right)) * image.height;
  out.counts.push_back(run);
  return out;
}

/// The same text as the COCO API's compressed `counts`: six bits a character from '0', five of them payload, each
/// count from the fourth on as the difference to the count two before.
/// @source rleToString, common/maskApi.c of cocodataset/cocoapi (format only)
[[nodiscard]] inline std::string compressed_counts(rle const& mask)
{
  std::string text;
  for (std::size_t i = 0; i < mask.counts.size(); ++i) {
    index_t rest = mask.counts[i] - (i > 2 ? mask.counts[i - 2] : 0);
    for (bool more = true; more;) {
      index_t const low = rest & 31;
      rest >>= 5;
      more = (low & 16) != 0 ? rest != -1 : rest != 0;
      text += static_cast<char>(48 + (low | (more ? 32 : 0)));
    }
  }
  return text;
}

}  // namespace cambium
