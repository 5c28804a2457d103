#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cambium {

/// A place with a class: a peak of an activation, the centre of an object, or someone's click.
/// A pixel's coordinates are its indices, without half a pixel added.
struct point {
  double y = 0;               ///< [pixels]
  double x = 0;               ///< [pixels]
  std::int32_t category = 0;  ///< from 0: the channel of a class, without the background
  double score = 1;           ///< 1 for what a person said

  friend bool operator==(point const&, point const&) = default;
};

using points = std::vector<point>;

/// Throws unless `first` divides a list of so many items among regions: it begins with 0, never falls and ends with their
/// number. Items of region r are first[r-1] .. first[r]-1. `who` begins the message.
inline void expects_divided(std::vector<index_t> const& first, index_t items, char const* who)
{
  expects(!first.empty() && first.front() == 0 && first.back() == items && std::is_sorted(first.begin(), first.end()),
          who, ": first does not divide ", items, " items among ", static_cast<index_t>(first.size()) - 1, " regions");
}

}  // namespace cambium
