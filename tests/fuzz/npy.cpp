#include "target.hpp"

#include <cambium/io/npy.hpp>

#include <cmath>

using namespace cambium;

void one_input(bytes const& file)
{
  auto const array = parse_npy(file, "npy");
  must(array.data.size() == static_cast<std::size_t>(array.size()) * static_cast<std::size_t>(array.width),
       "as many bytes as the shape says");
  if (array.kind == 'i' && array.width == 4 && array.shape.size() == 2) {
    auto const cells = to_grid<std::int32_t, 2>(array, "npy");
    must(to_grid<std::int32_t, 2>(parse_npy(format_npy(cells.view()), "again"), "again") == cells, "cells come back");
  } else if (array.kind == 'f' && array.shape.size() == 3) {
    auto const cells = to_grid<float, 3>(array, "npy");
    must(cells.size() == array.size(), "every cell");
  } else {
    static_cast<void>(to_grid<std::uint8_t, 2>(array, "npy"));
  }
}
