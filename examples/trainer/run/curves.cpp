#include "run/curves.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

namespace trainer {

using cambium::expects;
using cambium::grid;
using cambium::index_t;
using cambium::rgb;

namespace {

struct glyph {
  char letter;
  std::string_view rows;  ///< seven of five, parted by |
};

// clang-format off
constexpr glyph font[] = {
    {'0', " ### |#   #|#  ##|# # #|##  #|#   #| ### "},
    {'1', "  #  | ##  |  #  |  #  |  #  |  #  | ### "},
    {'2', " ### |#   #|    #|  ## | #   |#    |#####"},
    {'3', " ### |#   #|    #|  ## |    #|#   #| ### "},
    {'4', "   # |  ## | # # |#  # |#####|   # |   # "},
    {'5', "#####|#    |#### |    #|    #|#   #| ### "},
    {'6', "  ## | #   |#    |#### |#   #|#   #| ### "},
    {'7', "#####|    #|   # |  #  |  #  | #   | #   "},
    {'8', " ### |#   #|#   #| ### |#   #|#   #| ### "},
    {'9', " ### |#   #|#   #| ####|    #|   # | ##  "},
    {'a', "     |     | ### |    #| ####|#   #| ####"},
    {'b', "#    |#    |#### |#   #|#   #|#   #|#### "},
    {'c', "     |     | ### |#   #|#    |#   #| ### "},
    {'d', "    #|    #| ####|#   #|#   #|#   #| ####"},
    {'e', "     |     | ### |#   #|#####|#    | ### "},
    {'f', "  ## | #   |#### | #   | #   | #   | #   "},
    {'g', "     | ####|#   #|#   #| ####|    #| ### "},
    {'h', "#    |#    |#### |#   #|#   #|#   #|#   #"},
    {'i', "  #  |     | ##  |  #  |  #  |  #  | ### "},
    {'j', "   # |     |  ## |   # |   # |#  # | ##  "},
    {'k', "#    |#    |#  # |# #  |##   |# #  |#  # "},
    {'l', " ##  |  #  |  #  |  #  |  #  |  #  | ### "},
    {'m', "     |     |## # |# # #|# # #|# # #|# # #"},
    {'n', "     |     |#### |#   #|#   #|#   #|#   #"},
    {'o', "     |     | ### |#   #|#   #|#   #| ### "},
    {'p', "     |     |#### |#   #|#### |#    |#    "},
    {'q', "     |     | ####|#   #| ####|    #|    #"},
    {'r', "     |     |# ## |##   |#    |#    |#    "},
    {'s', "     |     | ####|#    | ### |    #|#### "},
    {'t', " #   | #   |#### | #   | #   | #   |  ## "},
    {'u', "     |     |#   #|#   #|#   #|#   #| ####"},
    {'v', "     |     |#   #|#   #|#   #| # # |  #  "},
    {'w', "     |     |#   #|# # #|# # #|# # #| # # "},
    {'x', "     |     |#   #| # # |  #  | # # |#   #"},
    {'y', "     |     |#   #|#   #| ####|    #| ### "},
    {'z', "     |     |#####|   # |  #  | #   |#####"},
    {' ', "     |     |     |     |     |     |     "},
    {'.', "     |     |     |     |     | ##  | ##  "},
    {',', "     |     |     |     |  #  |  #  | #   "},
    {'-', "     |     |     |#####|     |     |     "},
    {'+', "     |  #  |  #  |#####|  #  |  #  |     "},
    {'_', "     |     |     |     |     |     |#####"},
    {'/', "    #|    #|   # |  #  | #   |#    |#    "},
    {':', "     | ##  | ##  |     | ##  | ##  |     "},
};
// clang-format on

std::string_view rows_of(char letter)
{
  if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  for (glyph const& g : font)
    if (g.letter == letter) return g.rows;
  return "#####|#   #|#   #|#   #|#   #|#   #|#####";
}

void blend(grid<std::uint8_t, 3>& picture, index_t y, index_t x, rgb colour, double cover)
{
  std::uint8_t const to[3] = {colour.red, colour.green, colour.blue};
  for (index_t c = 0; c < 3; ++c) {
    double const v = picture(y, x, c) + cover * (to[c] - static_cast<double>(picture(y, x, c)));
    picture(y, x, c) = static_cast<std::uint8_t>(v + 0.5);
  }
}

struct place {
  double y, x;
};

/// The part of a picture that curves may touch, and how much a line covers of each pixel there.
class canvas {
 public:
  canvas(index_t top, index_t left, index_t bottom, index_t right)
      : top_(top), left_(left), bottom_(bottom), right_(right), cover_(bottom - top, right - left)
  {
  }

  /// A line of some width. Of lines that overlap the stronger counts: joints are not darker than the rest.
  void line(place a, place b, double width)
  {
    double const reach = width / 2 + 0.5, dy = b.y - a.y, dx = b.x - a.x, length = dy * dy + dx * dx;
    auto const first = [reach](double p, double q, index_t low) {
      return std::max(low, static_cast<index_t>(std::floor(std::max(std::min(p, q) - reach, -1e6))));
    };
    auto const last = [reach](double p, double q, index_t high) {
      return std::min(high - 1, static_cast<index_t>(std::ceil(std::min(std::max(p, q) + reach, 1e6))));
    };
    for (index_t y = first(a.y, b.y, top_); y <= last(a.y, b.y, bottom_); ++y)
      for (index_t x = first(a.x, b.x, left_); x <= last(a.x, b.x, right_); ++x) {
        double const py = static_cast<double>(y) - a.y, px = static_cast<double>(x) - a.x;
        double const t = length > 0 ? std::clamp((py * dy + px * dx) / length, 0.0, 1.0) : 0;
        double const ey = py - t * dy, ex = px - t * dx;
        double const cover = std::clamp(reach - std::sqrt(ey * ey + ex * ex), 0.0, 1.0);
        float& at = cover_(y - top_, x - left_);
        at = std::max(at, static_cast<float>(cover));
      }
  }

  void paint(grid<std::uint8_t, 3>& picture, rgb colour, double strength)
  {
    for (index_t y = top_; y < bottom_; ++y)
      for (index_t x = left_; x < right_; ++x) {
        float& cover = cover_(y - top_, x - left_);
        if (cover > 0) blend(picture, y, x, colour, strength * static_cast<double>(cover));
        cover = 0;
      }
  }

 private:
  index_t top_, left_, bottom_, right_;
  grid<float, 2> cover_;
};

/// A curve: steps, what was measured there, and its running mean. Gaps are not numbers.
struct curve {
  std::string name;
  std::vector<double> step, raw, smooth;
};

std::vector<curve> curves_of(std::vector<journal_entry> const& entries, curves_options const& options)
{
  std::vector<curve> out;
  double const nothing = std::numeric_limits<double>::quiet_NaN();
  for (journal_entry const& e : entries)
    for (auto const& [name, value] : e.losses) {
      auto at = std::find_if(out.begin(), out.end(), [&](curve const& c) { return c.name == name; });
      if (at == out.end()) at = out.insert(out.end(), curve{name, {}, {}, {}});
      bool const usable = std::isfinite(value) && (!options.logarithmic || value > 0);
      at->step.push_back(static_cast<double>(e.step));
      at->raw.push_back(!usable ? nothing : options.logarithmic ? std::log10(value) : value);
    }
  for (curve& c : out) {
    double const span = std::max(1.0, options.smooth * static_cast<double>(c.raw.size())), keep = 1 - 1 / span;
    double sum = 0, weight = 0;
    for (double const v : c.raw) {
      if (std::isfinite(v)) sum = keep * sum + v, weight = keep * weight + 1;
      c.smooth.push_back(std::isfinite(v) ? sum / weight : nothing);
    }
  }
  return out;
}

/// The range of an axis of losses.
std::pair<double, double> range_of(std::vector<curve> const& curves, bool smooth)
{
  std::vector<double> raw;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (curve const& c : curves)
    for (std::size_t i = 0; i < c.raw.size(); ++i) {
      if (!std::isfinite(c.raw[i])) continue;
      raw.push_back(c.raw[i]);
      if (smooth) low = std::min(low, c.smooth[i]), high = std::max(high, c.smooth[i]);
    }
  if (raw.empty()) return {0, 1};
  std::sort(raw.begin(), raw.end());
  std::size_t const cut = raw.size() / 100;
  low = std::min(low, raw[cut]), high = std::max(high, raw[raw.size() - 1 - cut]);
  // Running means of equal values differ by roundings.
  bool const equal = high - low <= 1e-9 * std::max(std::abs(low), std::abs(high));
  double const margin = equal ? std::max(std::abs(high) * 0.1, 1e-3) : 0.04 * (high - low);
  return {low >= 0 && low - margin < 0 ? 0 : low - margin, high + margin};
}

std::string tick_text(double v)
{
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", v);
  return text;
}

/// Thins a long curve to the least and the largest of each pixel column, so that no spike is lost.
std::vector<place> thinned(std::vector<place> const& all, double columns)
{
  if (static_cast<double>(all.size()) <= 4 * columns) return all;
  std::vector<place> out;
  for (std::size_t i = 0; i < all.size();) {
    std::size_t low = i, high = i, j = i;
    for (; j < all.size() && std::floor(all[j].x) == std::floor(all[i].x); ++j) {
      if (!std::isfinite(all[j].y)) continue;
      if (!(all[low].y <= all[j].y)) low = j;
      if (!(all[high].y >= all[j].y)) high = j;
    }
    out.push_back(all[std::min(low, high)]);
    if (low != high) out.push_back(all[std::max(low, high)]);
    i = j;
  }
  return out;
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted)
{
  expects(std::isfinite(low) && std::isfinite(high) && low < high, "ticks: from ", low, " to ", high,
          "; expected a range of finite numbers");
  expects(wanted >= 1, "ticks: ", wanted, " wanted");
  double const rough = (high - low) / wanted, power = std::pow(10.0, std::floor(std::log10(rough)));
  double const factor = rough / power, step = (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10) * power;
  std::vector<double> out;
  double const first = std::ceil(low / step - 1e-9);
  for (int i = 0; i <= 10 * wanted && (first + i) * step <= high + 1e-9 * step; ++i)
    out.push_back((first + i) * step + 0.0);
  return out;
}

void draw_text(grid<std::uint8_t, 3>& picture, index_t y, index_t x, std::string const& text, rgb colour)
{
  for (char const letter : text) {
    std::string_view const rows = rows_of(letter);
    for (index_t v = 0; v < 7; ++v)
      for (index_t u = 0; u < 5; ++u)
        if (rows[static_cast<std::size_t>(6 * v + u)] == '#' && y + v >= 0 && y + v < picture.shape()[0] &&
            x + u >= 0 && x + u < picture.shape()[1])
          blend(picture, y + v, x + u, colour, 1);
    x += 6;
  }
}

rgb curve_colour(std::size_t i)
{
  // Apart from each other for eyes that see red and green alike: blue, orange, green, red, violet, brown, cyan, grey.
  static constexpr std::array<rgb, 8> colours{{{31, 88, 180},
                                               {225, 120, 10},
                                               {30, 140, 70},
                                               {200, 40, 50},
                                               {125, 80, 185},
                                               {130, 85, 60},
                                               {0, 160, 185},
                                               {105, 105, 105}}};
  return colours[i % colours.size()];
}

grid<std::uint8_t, 3> draw_curves(std::vector<journal_entry> const& entries, curves_options const& options)
{
  expects(options.height >= 120 && options.width >= 200 && options.height <= 16384 && options.width <= 16384,
          "draw_curves: a picture of ", options.height, " x ", options.width,
          "; expected at least 120 x 200 and at most 16384 pixels a side");
  expects(options.smooth >= 0 && options.smooth <= 1, "draw_curves: smooth is ", options.smooth, ", outside [0,1]");
  grid<std::uint8_t, 3> picture(options.height, options.width, 3);
  std::fill(picture.cells().begin(), picture.cells().end(), std::uint8_t{255});
  auto const curves = curves_of(entries, options);
  auto const [low, high] = range_of(curves, options.smooth > 0);
  double const first = entries.empty() ? 0 : static_cast<double>(entries.front().step);
  double const last = entries.empty() || entries.size() == 1 ? first + 1 : static_cast<double>(entries.back().step);
  rgb const black{40, 40, 40}, faint{228, 228, 228};
  index_t const top = 14, bottom = options.height - 30, left = 62, right = options.width - 16;
  auto const at = [&, low = low, high = high](double step, double value) {
    return place{static_cast<double>(bottom - 1) - (value - low) / (high - low) * static_cast<double>(bottom - 1 - top),
                 static_cast<double>(left) + (step - first) / (last - first) * static_cast<double>(right - 1 - left)};
  };

  // Axes.
  for (double const v : ticks(low, high, 6)) {
    auto const y = static_cast<index_t>(std::floor(at(first, v).y + 0.5));
    if (y < top || y >= bottom) continue;
    for (index_t x = left; x < right; ++x) blend(picture, y, x, faint, 1);
    std::string const text = options.logarithmic ? tick_text(std::pow(10.0, v)) : tick_text(v);
    draw_text(picture, y - 3, left - 6 - 6 * static_cast<index_t>(text.size()), text, black);
  }
  for (double const v : ticks(first, last, 6)) {
    auto const x = static_cast<index_t>(std::floor(at(v, low).x + 0.5));
    if (x < left || x >= right) continue;
    for (index_t y = top; y < bottom; ++y) blend(picture, y, x, faint, 1);
    std::string const text = tick_text(v);
    index_t const wide = 6 * static_cast<index_t>(text.size());
    draw_text(picture, bottom + 6, std::min(x - wide / 2, options.width - wide), text, black);
  }
  for (index_t x = left - 1; x < right; ++x) blend(picture, bottom, x, black, 1);
  for (index_t y = top; y <= bottom; ++y) blend(picture, y, left - 1, black, 1);
  draw_text(picture, bottom + 18, (left + right) / 2 - 12, "step", black);

  // Curves: all that is faint lies below all that is strong.
  canvas paper(top, left, bottom, right);
  for (int const strong : {0, 1}) {
    if (strong == 1 && options.smooth == 0) break;
    for (std::size_t i = 0; i < curves.size(); ++i) {
      std::vector<place> path;
      for (std::size_t k = 0; k < curves[i].step.size(); ++k)
        path.push_back(at(curves[i].step[k], strong == 1 ? curves[i].smooth[k] : curves[i].raw[k]));
      path = thinned(path, static_cast<double>(right - left));
      for (std::size_t k = 0; k < path.size(); ++k) {
        bool const here = std::isfinite(path[k].y), before = k > 0 && std::isfinite(path[k - 1].y);
        if (here) paper.line(before ? path[k - 1] : path[k], path[k], strong == 1 ? 2 : 1);
      }
      paper.paint(picture, curve_colour(i), strong == 1 ? 1 : options.smooth == 0 ? 1 : 0.3);
    }
  }

  // Legend, at the upper right.
  index_t wide = 0;
  for (curve const& c : curves) wide = std::max(wide, 6 * static_cast<index_t>(c.name.size()));
  for (std::size_t i = 0; i < curves.size(); ++i) {
    index_t const y = top + 6 + 12 * static_cast<index_t>(i), x = right - wide - 26;
    if (y + 10 > bottom) break;
    for (index_t v = y - 2; v < y + 10; ++v)
      for (index_t u = std::max(left, x - 4); u < right; ++u) blend(picture, v, u, {255, 255, 255}, 0.8);
    for (index_t v = y + 2; v < y + 5; ++v)
      for (index_t u = std::max(left, x); u < std::max(left, x + 14); ++u) blend(picture, v, u, curve_colour(i), 1);
    draw_text(picture, y, x + 19, curves[i].name, black);
  }
  return picture;
}

}  // namespace trainer
