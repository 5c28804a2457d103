#pragma once
// Points as text: `x y class confidence`, one per line.

#include <cambium/core/error.hpp>
#include <cambium/core/index.hpp>
#include <cambium/grid/points.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/text.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cambium {

struct point_file_options {
  double threshold = -std::numeric_limits<double>::infinity();  ///< only points of strictly greater confidence are kept
};

/// Read points: `x y class confidence`. A point without the fourth word was set by a person and has confidence 1. x
/// counts columns, y rows; both may be fractions. Empty lines and comments after '#' are ignored.
///
/// @throws       io_error "name:line: reason": another number of words, words that are not numbers, a class that is
///               negative or not an integer, numbers beyond 1e9 in size. "name: reason": points as fractions of the
///               image, that is all between 0 and 1 and not all integers
/// @complexity   Theta(characters)
/// @source       PAM/point_extraction.py and utils/LoadData.py of BESTIE. There `conf > pseudo_thresh` is strict and
///               uses the three decimals of the file
[[nodiscard]] inline points parse_points(bytes const& file, std::string const& name, point_file_options options = {})
{
  points out;
  bool inside = true, whole = true;  // all coordinates: in [0,1], integers
  for (auto const& [line, text, words] : words_of(file, name)) {
    auto const fail = [&, at = line](std::string const& reason) {
      throw io_error(name + ":" + std::to_string(at) + ": " + reason);
    };
    if (words.size() != 3 && words.size() != 4)
      fail(std::to_string(words.size()) + " words instead of `x y class` or `x y class confidence`");
    auto const number = [&](std::string_view word, char const* what, auto value) {
      auto const [stop, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
      bool good = failure == std::errc{} && stop == word.data() + word.size();
      if constexpr (std::is_floating_point_v<decltype(value)>) good = good && std::abs(value) <= 1e9;
      if (!good) fail(std::string(what) + " is '" + std::string(word) + "'");
      return value;
    };
    point p;
    p.x = number(words[0], "x", double{});
    p.y = number(words[1], "y", double{});
    for (double const v : {p.x, p.y}) inside = inside && 0 <= v && v <= 1, whole = whole && v == std::trunc(v);
    p.category = number(words[2], "the class", std::int32_t{});
    if (p.category < 0) fail("the class is " + std::to_string(p.category));
    if (words.size() == 4) p.score = number(words[3], "the confidence", double{});
    if (p.score > options.threshold) out.push_back(p);
  }
  if (inside && !whole)
    throw io_error(name + ": every point lies between 0 and 1: shares of the image's size? Points are in pixels");
  return out;
}

[[nodiscard]] inline points read_points(std::filesystem::path const& path, point_file_options options = {})
{
  return parse_points(read_file(path), path.string(), options);
}

/// Format points as text, with the bytes of "%d %d %d %.3f\n".
/// @throws precondition_error: coordinates that are not integers, which the format cannot hold, or beyond 1e9; negative
///         classes; confidences that are not finite or beyond 1e9
[[nodiscard]] inline std::string format_points(points const& all)
{
  std::string text;
  for (std::size_t i = 0; i < all.size(); ++i) {
    point const& p = all[i];
    auto const whole = [](double v) { return std::abs(v) <= 1e9 && v == std::trunc(v); };
    expects(whole(p.x) && whole(p.y), "format_points: point ", static_cast<index_t>(i), " is at (", p.y, ",", p.x,
            "), not on a pixel");
    expects(p.category >= 0, "format_points: the class of point ", static_cast<index_t>(i), " is ", p.category);
    expects(std::abs(p.score) <= 1e9, "format_points: the confidence of point ", static_cast<index_t>(i), " is ",
            p.score);
    text += std::to_string(static_cast<index_t>(p.x)) + " " + std::to_string(static_cast<index_t>(p.y)) + " " +
            std::to_string(p.category) + " " + three_decimals(p.score) + "\n";
  }
  return text;
}

inline void write_points(std::filesystem::path const& path, points const& all)
{
  replace_file(path, format_points(all));
}

}  // namespace cambium
