#include "axes.hpp"

#include <cambium/io/photograph.hpp>

#include <algorithm>

namespace labelling {

using namespace cambium;

namespace {

/// One scale both ways, where each side of the map may be so many cells too large, or too small.
bool one_scale(extent2 map, extent2 image, index_t large, index_t small = 1)
{
  // (h - large) / H <= (w + small) / W and the other way round, in integers
  return (map.height - large) * image.width <= (map.width + small) * image.height &&
         (map.width - large) * image.height <= (map.height + small) * image.width;
}

}  // namespace

bool fits(extent2 map, extent2 image)
{
  if (map.height < 1 || map.width < 1) return false;
  if (one_scale(map, image, 1)) return true;
  if (one_scale({map.width, map.height}, image, 1)) return false;  // rather [w,h]
  index_t const most = std::min<index_t>(32, std::min(map.height, map.width) / 10);
  for (index_t const more : {0, 1})
    for (index_t const padding : {32, 16, 14, 8, 4, 2})
      if (padding <= most && (map.height - more) % padding == 0 && (map.width - more) % padding == 0)
        return one_scale(map, image, padding + more) || one_scale(map, image, 1, padding);
  return false;
}

std::string axes_hint(std::vector<index_t> const& shape, std::function<bool(extent2)> const& is_map)
{
  if (shape.size() == 2)
    return is_map({shape[1], shape[0]})
               ? std::string("; it looks like [w,h]: numpy.transpose(a) makes [h,w] of it") + turned_words
               : "";
  if (shape.size() != 3 || is_map({shape[1], shape[2]})) return "";
  if (is_map({shape[0], shape[1]})) return "; it looks like [h,w,C]: numpy.moveaxis(a, -1, 0) makes [C,h,w] of it";
  if (is_map({shape[2], shape[1]}))
    return std::string("; it looks like [C,w,h]: numpy.swapaxes(a, 1, 2) makes [C,h,w] of it") + turned_words;
  if (is_map({shape[1], shape[0]})) return "; it looks like [w,h,C]: numpy.transpose(a) makes [C,h,w] of it";
  return "";
}

std::string scale_hint(std::vector<index_t> const& shape, std::function<bool(extent2)> const& is_map)
{
  auto const axes = shape[1] == shape[2] ? std::string{} : axes_hint(shape, is_map);
  return axes.empty() ? "; --stretched is for maps of an image that was squeezed to another shape" : axes;
}

}  // namespace labelling
