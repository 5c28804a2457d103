#pragma once

#include <cambium/core/index.hpp>
#include <cambium/grid/grid.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

/// A box of cells: rows top..bottom-1, columns left..right-1.
struct box {
  index_t top = 0;
  index_t left = 0;
  index_t bottom = 0;
  index_t right = 0;

  friend bool operator==(box const&, box const&) = default;
};

/// One object that was found.
struct instance {
  std::int32_t category = 0;  ///< whatever the caller numbers classes by
  double score = 0;
  index_t area = 0;  ///< [cells]
  box bounds;
};

/// Objects that share no cell.
struct instances {
  grid<std::int32_t, 2> label;  ///< [H,W] 0 background, i+1 where found[i] is
  std::vector<instance> found;
};

}  // namespace cambium
