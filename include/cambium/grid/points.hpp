#pragma once

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cambium {

/// Where a cell is.
struct place {
  index_t y = 0;
  index_t x = 0;

  friend bool operator==(place const&, place const&) = default;
};

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

/// A number with three decimals, as printf's "%.3f" writes it, in any locale.
[[nodiscard]] inline std::string three_decimals(double v)
{
  char text[400];
  return {text, std::to_chars(text, text + sizeof text, v, std::chars_format::fixed, 3).ptr};
}

/// The points whose confidence, as a file would hold it with three decimals, is above a threshold, strictly:
/// of 0.7 neither 0.7003 nor 0.7 stays.
[[nodiscard]] inline points confident_points(points const& all, double threshold)
{
  points out;
  for (point const& p : all) {
    double rounded = p.score;
    if (std::isfinite(p.score)) {
      std::string const text = three_decimals(p.score);
      std::from_chars(text.data(), text.data() + text.size(), rounded);
    }
    if (rounded > threshold) out.push_back(p);
  }
  return out;
}

/// Throws unless `first` divides a list of so many items among regions: it begins with 0, never falls and ends with
/// their number. Items of region r are first[r-1] .. first[r]-1. `who` begins the message.
inline void expects_divided(std::span<index_t const> first, index_t items, char const* who)
{
  expects(!first.empty() && first.front() == 0 && first.back() == items && std::is_sorted(first.begin(), first.end()),
          who, ": first does not divide ", items, " items among ", static_cast<index_t>(first.size()) - 1, " regions");
}

}  // namespace cambium
