#pragma once

#include <cambium/core/config.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <tuple>
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

/// Whether a point lies on a map: not farther than half a cell before its first centres, and before its end. Half a cell
/// behind the last centres is the map's border; some files count from corners, so the next half cell counts, too.
[[nodiscard]] CAMBIUM_HD inline bool lies_on(point const& p, extent2 map)
{
  return p.y >= -0.5 && p.x >= -0.5 && p.y < static_cast<double>(map.height) && p.x < static_cast<double>(map.width);
}

/// The cell of a map that a point lies on: the nearest one, (floor(y + 1/2), floor(x + 1/2)).
/// @pre  lies_on(p, map)
[[nodiscard]] CAMBIUM_HD inline place cell_of(point const& p, extent2 map)
{
  index_t const y = static_cast<index_t>(std::floor(p.y + 0.5)), x = static_cast<index_t>(std::floor(p.x + 0.5));
  return {y < map.height ? y : map.height - 1, x < map.width ? x : map.width - 1};
}

/// The cells that points lie on, as points. Of several points of one class on one cell one stays, with the highest score.
/// @pre  all lie on the map
[[nodiscard]] inline points points_on_cells(points const& all, extent2 map)
{
  points out;
  std::map<std::tuple<index_t, index_t, std::int32_t>, std::size_t> found;
  for (point const& p : all) {
    auto const [y, x] = cell_of(p, map);
    auto const [at, fresh] = found.try_emplace({y, x, p.category}, out.size());
    if (fresh)
      out.push_back({static_cast<double>(y), static_cast<double>(x), p.category, p.score});
    else
      out[at->second].score = std::max(out[at->second].score, p.score);
  }
  return out;
}

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
