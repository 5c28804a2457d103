// Two bytes of size, then compressed counts.
#include "target.hpp"

#include <cambium/io/rle_masks.hpp>

using namespace cambium;

void one_input(bytes const& file)
{
  if (file.size() < 2) return;
  extent2 const image{file[0] % 64, file[1] % 64};
  auto const mask = parse_counts({reinterpret_cast<char const*>(file.data()) + 2, file.size() - 2}, image, "rle");
  must(parse_counts(compressed_counts(mask), image, "again") == mask, "counts come back");
  auto const cells = decode_rle(mask);
  auto const again = encode_rle(cells);
  must(again.area() == mask.area() && bounds_of(again) == bounds_of(mask), "cells, area and box agree");
  must(decode_rle(again) == cells, "cells come back");
  auto const overlap = rle_iou({mask}, {again})(0, 0);
  must(overlap == (mask.area() > 0 ? 1 : 0), "a mask overlaps itself");
  rle const both[] = {mask, again};
  must(merge_rle(both) == again && merge_rle(both, merge::both) == again, "union and intersection with itself");
}
