#pragma once

#include <cambium/core/error.hpp>

#include <cstdint>
#include <vector>

namespace cambium {

/// The two values that all label maps of the field share. Classes are 1..C.
namespace label {

inline constexpr int background = 0;
inline constexpr int ignore = 255;  ///< void in ground truth, uncertain in a pseudo label

}  // namespace label

/// Throws unless classes have labels: key + 1 is below label::ignore.
inline void expects_keys(std::vector<std::int32_t> const& keys, char const* who)
{
  for (auto const key : keys)
    expects(0 <= key && key < label::ignore - 1, who, ": key ", key, " is outside 0..", label::ignore - 2);
}

/// The label of each channel's pixels, by channel + 1; entry 0 is the background.
inline std::vector<std::int32_t> labels_of_keys(std::vector<std::int32_t> const& keys)
{
  std::vector<std::int32_t> out{label::background};
  for (auto const key : keys) out.push_back(key + 1);
  return out;
}

}  // namespace cambium
