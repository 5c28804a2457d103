#include "data/augment.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainer {

using cambium::box;
using cambium::expects;
using cambium::extent2;
using cambium::grid;
using cambium::index_t;

namespace {

void check(labelled_photograph const& s, char const* who)
{
  index_t const H = s.photograph.shape()[0], W = s.photograph.shape()[1];
  expects(H >= 1 && W >= 1 && s.photograph.shape()[2] == 3, who, ": the photograph is ", s.photograph.view(),
          "; expected [H,W,3] with at least one pixel");
  for (std::size_t i = 0; i < s.maps.size(); ++i)
    expects(s.maps[i].shape()[0] == H && s.maps[i].shape()[1] == W, who, ": map ", i, " is ", s.maps[i].view(),
            " but the photograph ", s.photograph.view());
}

void check_chance(double p, char const* who) { expects(p >= 0 && p <= 1, who, ": flip is ", p, ", outside [0,1]"); }

void check_crop(index_t crop, char const* who)
{
  expects(crop >= 1 && crop <= 65536, who, ": crop is ", crop, "; expected 1 to 65536 pixels");
}

/// A side times a factor, rounded, halves to the even number, as NumPy's and Python's round; at least 1.
index_t scaled(index_t side, double factor)
{
  return std::max<index_t>(1, static_cast<index_t>(std::nearbyint(static_cast<double>(side) * factor)));
}

extent2 scaled(grid<std::uint8_t, 3> const& photograph, double factor)
{
  return {scaled(photograph.shape()[0], factor), scaled(photograph.shape()[1], factor)};
}

double moved(double p, index_t from, index_t to, point_rule rule)
{
  double const m = static_cast<double>(from), n = static_cast<double>(to);
  if (rule == point_rule::centred) return (p + 0.5) * n / m - 0.5;
  return std::trunc(p / m * n);
}

template <class T>
void reverse_row(T* row, index_t cells)
{
  std::reverse(row, row + cells);
}

/// Everything but the photograph.
void flip_labels(std::vector<grid<std::int32_t, 2>>& maps, cambium::points& points, std::vector<labelled_box>& boxes,
                 index_t W)
{
  for (auto& m : maps)
    for (index_t y = 0; y < m.shape()[0]; ++y) reverse_row(&m(y, 0), W);
  for (auto& p : points) p.x = static_cast<double>(W - 1) - p.x;
  for (auto& b : boxes) b.bounds = {b.bounds.top, W - b.bounds.right, b.bounds.bottom, W - b.bounds.left};
}

index_t random_offset(index_t side, index_t crop, dice& d)
{
  return side >= crop ? d.below(static_cast<int>(side - crop) + 1) : -d.below(static_cast<int>(crop - side) + 1);
}

}  // namespace

labelled_photograph resized(labelled_photograph const& from, extent2 to, sampling rules, kernel shape, point_rule rule)
{
  check(from, "resized");
  index_t const H = from.photograph.shape()[0], W = from.photograph.shape()[1];
  labelled_photograph out;
  out.photograph = resized(from.photograph, to, rules, shape);
  for (auto const& m : from.maps) out.maps.push_back(resized(m, to, rules));
  for (cambium::point p : from.points) {
    p.y = moved(p.y, H, to.height, rule), p.x = moved(p.x, W, to.width, rule);
    out.points.push_back(p);
  }
  if (from.boxes.empty()) return out;
  auto const down = sources(H, to.height, rules), across = sources(W, to.width, rules);
  auto const edge = [](std::vector<index_t> const& places, index_t at) {  // the first cell from there or after it
    return static_cast<index_t>(std::lower_bound(places.begin(), places.end(), at) - places.begin());
  };
  for (labelled_box const& b : from.boxes) {
    box const at{edge(down, b.bounds.top), edge(across, b.bounds.left), edge(down, b.bounds.bottom),
                 edge(across, b.bounds.right)};
    if (at.top < at.bottom && at.left < at.right) out.boxes.push_back({at, b.category});
  }
  return out;
}

void flip(labelled_photograph& s)
{
  check(s, "flip");
  index_t const W = s.photograph.shape()[1];
  for (index_t y = 0; y < s.photograph.shape()[0]; ++y)
    for (index_t x = 0; x < W / 2; ++x)
      for (index_t c = 0; c < 3; ++c) std::swap(s.photograph(y, x, c), s.photograph(y, W - 1 - x, c));
  flip_labels(s.maps, s.points, s.boxes, W);
}

void flip(augmented& a)
{
  index_t const W = a.photograph.shape()[2];
  if (a.photograph.size() == 0) return;
  for (index_t c = 0; c < a.photograph.shape()[0]; ++c)
    for (index_t y = 0; y < a.photograph.shape()[1]; ++y) reverse_row(&a.photograph(c, y, 0), W);
  flip_labels(a.maps, a.points, a.boxes, W);
  a.seen = {a.seen.top, W - a.seen.right, a.seen.bottom, W - a.seen.left};
}

window random_window(extent2 photograph, extent2 crop, dice& d)
{
  index_t const top = random_offset(photograph.height, crop.height, d);
  return {top, random_offset(photograph.width, crop.width, d), crop.height, crop.width};
}

augmented cropped(labelled_photograph const& from, window const& w, std::int32_t fill, colour_scale const& colours,
                  point_rule rule)
{
  check(from, "cropped");
  expects(w.height >= 1 && w.width >= 1, "cropped: a window of ", w.height, " x ", w.width, " pixels");
  float table[3][256];
  for (std::size_t c = 0; c < 3; ++c) {
    expects(std::isfinite(colours.mean[c]) && std::isfinite(colours.deviation[c]) && colours.deviation[c] > 0,
            "cropped: channel ", c, " has mean ", colours.mean[c], " and deviation ", colours.deviation[c],
            "; expected finite numbers, the second above 0");
    for (int v = 0; v < 256; ++v)
      table[c][v] = static_cast<float>((v / 255.0 - colours.mean[c]) / colours.deviation[c]);
  }
  index_t const H = from.photograph.shape()[0], W = from.photograph.shape()[1];
  augmented out;
  out.photograph = grid<float, 3>(3, w.height, w.width);
  out.seen = cambium::clipped({-w.top, -w.left, H - w.top, W - w.left}, w.height, w.width);
  box const& seen = out.seen;
  for (index_t c = 0; c < 3; ++c)
    for (index_t y = seen.top; y < seen.bottom; ++y)
      for (index_t x = seen.left; x < seen.right; ++x)
        out.photograph(c, y, x) = table[c][from.photograph(y + w.top, x + w.left, c)];
  for (auto const& m : from.maps) {
    grid<std::int32_t, 2> map(w.height, w.width);
    std::fill(map.cells().begin(), map.cells().end(), fill);
    for (index_t y = seen.top; y < seen.bottom; ++y)
      for (index_t x = seen.left; x < seen.right; ++x) map(y, x) = m(y + w.top, x + w.left);
    out.maps.push_back(std::move(map));
  }
  for (cambium::point p : from.points) {
    p.y -= static_cast<double>(w.top), p.x -= static_cast<double>(w.left);
    double const edge = rule == point_rule::centred ? 0.5 : 0;
    if (p.y >= -edge && p.y < static_cast<double>(w.height) - edge && p.x >= -edge &&
        p.x < static_cast<double>(w.width) - edge)
      out.points.push_back(p);
  }
  for (labelled_box const& b : from.boxes) {
    box const at = cambium::clipped(
        {b.bounds.top - w.top, b.bounds.left - w.left, b.bounds.bottom - w.top, b.bounds.right - w.left}, w.height,
        w.width);
    if (at.top < at.bottom && at.left < at.right) out.boxes.push_back({at, b.category});
  }
  return out;
}

grid<float, 3> normalised(grid<std::uint8_t, 3> const& photograph, colour_scale const& colours)
{
  labelled_photograph s;
  s.photograph = photograph;
  window const whole{0, 0, photograph.shape()[0], photograph.shape()[1]};
  return std::move(cropped(s, whole, 0, colours).photograph);
}

augmented augment_irnet_cam(labelled_photograph const& from, std::uint64_t seed, irnet_cam_augmentation const& o)
{
  check(from, "augment_irnet_cam");
  check_chance(o.flip, "augment_irnet_cam");
  check_crop(o.crop, "augment_irnet_cam");
  expects(o.shortest >= 1 && o.shortest <= o.longest && o.longest <= 65536, "augment_irnet_cam: the long side is from ",
          o.shortest, " to ", o.longest);
  dice d(seed);
  index_t const side = std::max(from.photograph.shape()[0], from.photograph.shape()[1]);
  double const factor =
      static_cast<double>(o.shortest + d.below(o.longest - o.shortest + 1)) / static_cast<double>(side);
  labelled_photograph s = resized(from, scaled(from.photograph, factor), sampling::pillow, kernel::bicubic);
  if (d.chance(o.flip)) flip(s);
  extent2 const size{s.photograph.shape()[0], s.photograph.shape()[1]};
  return cropped(s, random_window(size, {o.crop, o.crop}, d), o.fill, o.colours);
}

augmented augment_irnet_affinity(labelled_photograph const& from, std::uint64_t seed,
                                 irnet_affinity_augmentation const& o)
{
  check(from, "augment_irnet_affinity");
  check_chance(o.flip, "augment_irnet_affinity");
  check_crop(o.crop, "augment_irnet_affinity");
  expects(o.smallest > 0 && o.smallest <= o.largest && o.largest <= 64, "augment_irnet_affinity: the scale is from ",
          o.smallest, " to ", o.largest, "; expected numbers in (0,64]");
  dice d(seed);
  labelled_photograph s =
      resized(from, scaled(from.photograph, d(o.smallest, o.largest)), sampling::pillow, kernel::bicubic);
  if (d.chance(o.flip)) flip(s);
  extent2 const size{s.photograph.shape()[0], s.photograph.shape()[1]};
  return cropped(s, random_window(size, {o.crop, o.crop}, d), o.fill, o.colours);
}

grid<std::int32_t, 2> quarter(grid<std::int32_t, 2> const& map)
{
  return resized(map, {scaled(map.shape()[0], 0.25), scaled(map.shape()[1], 0.25)}, sampling::pillow);
}

augmented augment_bestie(labelled_photograph const& from, std::uint64_t seed, bestie_augmentation const& o)
{
  char const* const who = "augment_bestie";
  check(from, who);
  check_chance(o.flip, who);
  check_crop(o.crop, who);
  expects(o.long_side >= 1 && o.long_side <= 65536, who, ": long_side is ", o.long_side,
          "; expected 1 to 65536 pixels");
  expects(o.multiple >= 1 && o.multiple <= 4096, who, ": multiple is ", o.multiple, "; expected 1 to 4096");
  expects(!o.scales.empty(), who, ": there is no scale");
  for (double const f : o.scales) expects(f > 0 && f <= 64, who, ": a scale is ", f, ", outside (0,64]");
  dice d(seed);
  labelled_photograph s = from;
  shift_colours(s.photograph, d, o.photometric);

  index_t const H = s.photograph.shape()[0], W = s.photograph.shape()[1];
  double const factor = static_cast<double>(o.long_side) / static_cast<double>(std::max(H, W));
  auto const side = [&](index_t n) {
    auto const cut = std::max<index_t>(1, static_cast<index_t>(static_cast<double>(n) * factor));
    return o.multiple == 1 ? cut : (cut - 1 + o.multiple - 1) / o.multiple * o.multiple + 1;
  };
  s = resized(s, {side(H), side(W)}, sampling::opencv, kernel::bilinear,
              o.exact_points ? point_rule::centred : point_rule::cut);

  double const scale = o.scales[static_cast<std::size_t>(d.below(static_cast<int>(o.scales.size())))];
  cambium::points const before = s.points;
  s = resized(s, scaled(s.photograph, scale), sampling::opencv, kernel::bilinear);
  if (!o.exact_points)
    for (std::size_t i = 0; i < before.size(); ++i)
      s.points[i].y = before[i].y * scale, s.points[i].x = before[i].x * scale;

  extent2 const size{s.photograph.shape()[0], s.photograph.shape()[1]};
  augmented out = cropped(s, random_window(size, {o.crop, o.crop}, d), o.fill, o.colours,
                          o.exact_points ? point_rule::centred : point_rule::cut);
  if (d.chance(o.flip)) flip(out);
  if (!o.exact_points)
    for (cambium::point& p : out.points) p.y = std::trunc(p.y) + 0.0, p.x = std::trunc(p.x) + 0.0;
  return out;
}

augmented augment_pam(labelled_photograph const& from, std::uint64_t seed, pam_augmentation const& o)
{
  check(from, "augment_pam");
  check_chance(o.flip, "augment_pam");
  check_crop(o.crop, "augment_pam");
  expects(o.size >= 1 && o.size <= 65536, "augment_pam: size is ", o.size, "; expected 1 to 65536 pixels");
  dice d(seed);
  labelled_photograph s = resized(from, {o.size, o.size}, sampling::pillow, kernel::bilinear);
  if (d.chance(o.flip)) flip(s);
  jitter(s.photograph, d, o.colour);
  return cropped(s, random_window({o.size, o.size}, {o.crop, o.crop}, d), o.fill, o.colours);
}

}  // namespace trainer
