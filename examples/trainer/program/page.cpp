#include "program/page.hpp"

#include "overlay.hpp"  // of examples/label: distinct_colour

#include <cambium/core/error.hpp>
#include <cambium/io/file.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>

namespace trainer {

using cambium::expects;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;
using cambium::rgb;

namespace {

template <class Colour>
picture paint(extent2 size, Colour const& colour)
{
  picture out(size.height, size.width, 3);
  for (index_t y = 0; y < size.height; ++y)
    for (index_t x = 0; x < size.width; ++x) {
      rgb const c = colour(y, x);
      out(y, x, 0) = c.red, out(y, x, 1) = c.green, out(y, x, 2) = c.blue;
    }
  return out;
}

std::uint8_t level(double v) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(v, 0.0, 1.0))); }

extent2 size_of(picture const& p) { return {p.shape()[0], p.shape()[1]}; }

double grey(picture const& p, index_t y, index_t x) { return (p(y, x, 0) + p(y, x, 1) + p(y, x, 2)) / 765.0; }

/// Which of m cells lies under pixel i of n.
index_t under(index_t i, index_t n, index_t m) { return std::min(m - 1, i * m / n); }

}  // namespace

picture paint_cams(picture const& photograph, grid<float, 3> const& maps, std::vector<std::int32_t> const& classes)
{
  auto const palette = cambium::voc_palette();
  auto const [C, h, w] = maps.shape();
  expects(static_cast<std::size_t>(C) == classes.size(), "paint_cams: ", C, " maps of ",
          static_cast<index_t>(classes.size()), " classes");
  auto const size = size_of(photograph);
  return paint(size, [&, h = h, w = w](index_t y, index_t x) {
    double const base = 0.35 * grey(photograph, y, x);
    double c[3] = {base, base, base};
    for (std::size_t k = 0; k < classes.size(); ++k) {
      rgb const p = palette[static_cast<std::size_t>(classes[k] + 1) & 255];
      double const v = maps(static_cast<index_t>(k), under(y, size.height, h), under(x, size.width, w));
      c[0] += v * (p.red + 60) / 190.0, c[1] += v * (p.green + 60) / 190.0, c[2] += v * (p.blue + 60) / 190.0;
    }
    return rgb{level(c[0]), level(c[1]), level(c[2])};
  });
}

picture paint_boundary(grid<float, 2> const& boundary, extent2 size)
{
  return paint(size, [&](index_t y, index_t x) {
    std::uint8_t const v =
        level(1 - boundary(under(y, size.height, boundary.shape()[0]), under(x, size.width, boundary.shape()[1])));
    return rgb{v, v, v};
  });
}

picture paint_wheel(grid<float, 3> const& field, extent2 size)
{
  auto const h = field.shape()[1], w = field.shape()[2];
  float longest = 1e-6f;
  for (index_t y = 0; y < h; ++y)
    for (index_t x = 0; x < w; ++x) longest = std::max(longest, std::hypot(field(0, y, x), field(1, y, x)));
  return paint(size, [&](index_t y, index_t x) {
    index_t const v = under(y, size.height, h), u = under(x, size.width, w);
    double const dy = field(0, v, u), dx = field(1, v, u);
    double const angle = std::atan2(dy, dx) / 6.283185307179586 + 0.5,
                 length = std::min(1.0, 1.3 * std::hypot(dy, dx) / static_cast<double>(longest));
    auto const channel = [&](double shift) {
      double const k = std::fmod(shift + 6 * angle, 6.0);
      return level(1 - length * std::max(0.0, std::min({k, 4 - k, 1.0})));
    };
    return rgb{channel(5), channel(3), channel(1)};
  });
}

picture paint_classes(grid<std::int32_t, 2> const& labels)
{
  auto const palette = cambium::voc_palette();
  return paint({labels.shape()[0], labels.shape()[1]}, [&](index_t y, index_t x) {
    auto const v = labels(y, x);
    return v == 0 ? rgb{} : palette[static_cast<std::size_t>(v) & 255];
  });
}

picture paint_instances(picture const& photograph, grid<std::int32_t, 2> const& labels)
{
  return paint(size_of(photograph), [&](index_t y, index_t x) {
    double const base = 0.45 * grey(photograph, y, x);
    if (labels(y, x) == 0) return rgb{level(base), level(base), level(base)};
    rgb const c = labelling::distinct_colour(labels(y, x) - 1);
    auto const mixed = [&](std::uint8_t v) { return level(0.75 * v / 255.0 + 0.5 * base); };
    return rgb{mixed(c.red), mixed(c.green), mixed(c.blue)};
  });
}

page::page(std::string title)
    : body_(
          R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>)" +
          title +
          R"(</title>
<style>
 body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; color: #222; background: #fafaf7 }
 h1 { font-weight: 600 } table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid #ddd }
 td:first-child, th:first-child { text-align: left }
 .rows { display: grid; gap: 6px; align-items: start }
 .rows b { font-weight: 600; font-size: 13px; position: sticky; top: 0; background: #fafaf7; padding: 4px 0 }
 .rows img { width: 100%; display: block; border-radius: 3px } .alone { max-width: 100%; margin: .5rem 0 }
 p { max-width: 60rem; color: #555 }
</style></head><body>
<h1>)" + title +
          "</h1>\n")
{
}

void page::text(std::string const& html) { body_ += "<p>" + html + "</p>\n"; }

void page::table(std::vector<std::vector<std::string>> const& rows)
{
  body_ += "<table>";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    body_ += "<tr>";
    for (auto const& cell : rows[r]) body_ += (r == 0 ? "<th>" : "<td>") + cell;
    body_ += "</tr>\n";
  }
  body_ += "</table>\n";
}

void page::begin_rows(std::vector<std::string> const& titles)
{
  body_ += "<div class=rows style=\"grid-template-columns: repeat(" + std::to_string(titles.size()) + ", 1fr)\">\n";
  for (auto const& title : titles) body_ += "<b>" + title + "</b>";
}

void page::picture_in_row(std::string const& file)
{
  body_ += "\n<img loading=lazy src=\"" + file + "\" alt=\"" + file + "\">";
}

void page::end_rows() { body_ += "\n</div>\n"; }

void page::picture_alone(std::string const& file)
{
  body_ += "<img class=alone src=\"" + file + "\" alt=\"" + file + "\">\n";
}

void page::write(std::filesystem::path const& file) const { cambium::replace_file(file, body_ + "</body></html>\n"); }

}  // namespace trainer
