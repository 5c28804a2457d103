#pragma once

#include <cstdint>

namespace cambium {

using index_t = std::int64_t;  ///< signed: differences and -1 are valid values

/// Height and width of a map or an image, in cells. Rows come first in all of cambium.
struct extent2 {
  index_t height = 0;
  index_t width = 0;

  friend constexpr bool operator==(extent2 const&, extent2 const&) = default;
};

}  // namespace cambium
