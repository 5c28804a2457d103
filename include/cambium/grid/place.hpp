#pragma once

#include <cambium/core/index.hpp>

namespace cambium {

/// Where a cell is.
struct place {
  index_t y = 0;
  index_t x = 0;

  friend bool operator==(place const&, place const&) = default;
};

}  // namespace cambium
