#include "data/colour.hpp"

#include <cambium/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace trainer {

using cambium::expects;
using cambium::grid;

namespace {

/// Grey as Pillow's mode L.
int grey(std::uint8_t const* p) { return (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16; }

/// Pillow's blend: fractions are cut off. Its arithmetic is in float.
std::uint8_t blended(int from, int to, float factor)
{
  float const v = static_cast<float>(from) + factor * static_cast<float>(to - from);
  return static_cast<std::uint8_t>(std::clamp(v, 0.0f, 255.0f));
}

void check_factor(double factor, char const* name)
{
  expects(std::isfinite(factor) && factor >= 0, name, ": factor is ", factor, "; expected a finite number >= 0");
}

template <class Each>
void for_each_pixel(grid<std::uint8_t, 3>& photograph, Each const& each)
{
  expects(photograph.shape()[2] == 3, "colours: the photograph is ", photograph.view(), "; expected [H,W,3]");
  std::uint8_t* const end = photograph.data() + photograph.cells().size();
  for (std::uint8_t* p = photograph.data(); p != end; p += 3) each(p);
}

struct hsv {
  std::uint8_t h, s, v;
};

/// Pillow's mode HSV, of three bytes.
hsv to_hsv(std::uint8_t const* p)
{
  int const r = p[0], g = p[1], b = p[2], most = std::max({r, g, b}), least = std::min({r, g, b});
  if (most == least) return {0, 0, static_cast<std::uint8_t>(most)};
  float const range = static_cast<float>(most - least), s = range / static_cast<float>(most);
  float const rc = static_cast<float>(most - r) / range, gc = static_cast<float>(most - g) / range,
              bc = static_cast<float>(most - b) / range;
  float h = 0;
  if (r == most)
    h = bc - gc;
  else if (g == most)
    h = static_cast<float>(2.0 + rc - bc);
  else
    h = static_cast<float>(4.0 + gc - rc);
  h = static_cast<float>(std::fmod(h / 6.0 + 1.0, 1.0));
  auto const byte = [](double v) { return static_cast<std::uint8_t>(std::clamp(static_cast<int>(v), 0, 255)); };
  return {byte(h * 255.0), byte(s * 255.0), static_cast<std::uint8_t>(most)};
}

void from_hsv(hsv c, std::uint8_t* p)
{
  if (c.s == 0) {
    p[0] = p[1] = p[2] = c.v;
    return;
  }
  int const i = static_cast<int>(std::floor(c.h * 6.0 / 255.0));
  float const f = static_cast<float>(c.h * 6.0 / 255.0 - i), fs = static_cast<float>(c.s / 255.0);
  auto const byte = [&](double part) {
    return static_cast<std::uint8_t>(std::clamp(static_cast<int>(std::round(c.v * part)), 0, 255));
  };
  std::uint8_t const low = byte(1.0 - fs), down = byte(1.0 - fs * f), up = byte(1.0 - fs * (1.0 - f));
  std::uint8_t const table[6][3] = {{c.v, up, low},   {down, c.v, low}, {low, c.v, up},
                                    {low, down, c.v}, {up, low, c.v},   {c.v, low, down}};
  for (int k = 0; k < 3; ++k) p[k] = table[i % 6][k];
}

/// Turns the hue of a colour of any range; saturation and value stay.
void turn_hue(double* p, double degrees)
{
  double const most = std::max({p[0], p[1], p[2]}), least = std::min({p[0], p[1], p[2]}), range = most - least;
  if (range <= 0) return;
  double h = most == p[0]   ? (p[1] - p[2]) / range
             : most == p[1] ? 2 + (p[2] - p[0]) / range
                            : 4 + (p[0] - p[1]) / range;
  h += degrees / 60;
  h -= 6 * std::floor(h / 6);
  // Each channel is a trapezium of the hue, the same one a third of the wheel apart.
  auto const channel = [&](double at) {
    double const x = at - 6 * std::floor(at / 6);
    return most - range * std::clamp(std::min(x, 4 - x), 0.0, 1.0);
  };
  p[0] = channel(5 + h), p[1] = channel(3 + h), p[2] = channel(1 + h);
}

}  // namespace

void adjust_brightness(grid<std::uint8_t, 3>& photograph, double factor)
{
  check_factor(factor, "adjust_brightness");
  auto const f = static_cast<float>(factor);
  for_each_pixel(photograph, [f](std::uint8_t* p) {
    for (int c = 0; c < 3; ++c) p[c] = blended(0, p[c], f);
  });
}

void adjust_contrast(grid<std::uint8_t, 3>& photograph, double factor)
{
  check_factor(factor, "adjust_contrast");
  if (photograph.size() == 0) return;
  double sum = 0;
  for_each_pixel(photograph, [&](std::uint8_t const* p) { sum += grey(p); });
  int const mean = static_cast<int>(sum / static_cast<double>(photograph.size() / 3) + 0.5);
  auto const f = static_cast<float>(factor);
  for_each_pixel(photograph, [f, mean](std::uint8_t* p) {
    for (int c = 0; c < 3; ++c) p[c] = blended(mean, p[c], f);
  });
}

void adjust_saturation(grid<std::uint8_t, 3>& photograph, double factor)
{
  check_factor(factor, "adjust_saturation");
  auto const f = static_cast<float>(factor);
  for_each_pixel(photograph, [f](std::uint8_t* p) {
    int const own = grey(p);
    for (int c = 0; c < 3; ++c) p[c] = blended(own, p[c], f);
  });
}

void adjust_hue(grid<std::uint8_t, 3>& photograph, double turns)
{
  expects(turns >= -0.5 && turns <= 0.5, "adjust_hue: turns is ", turns, ", outside [-0.5,0.5]");
  auto const step = static_cast<std::uint8_t>(static_cast<int>(turns * 255) & 255);
  for_each_pixel(photograph, [step](std::uint8_t* p) {
    hsv c = to_hsv(p);
    c.h = static_cast<std::uint8_t>(c.h + step);
    from_hsv(c, p);
  });
}

void jitter(grid<std::uint8_t, 3>& photograph, dice& d, jitter_options const& o)
{
  for (double const v : {o.brightness, o.contrast, o.saturation, o.hue})
    expects(std::isfinite(v) && v >= 0, "jitter: an option is ", v, "; expected a finite number >= 0");
  expects(o.hue <= 0.5, "jitter: hue is ", o.hue, ", outside [0,0.5]");
  auto const factor = [&d](double reach) { return d(std::max(0.0, 1 - reach), 1 + reach); };
  double const brightness = factor(o.brightness), contrast = factor(o.contrast), saturation = factor(o.saturation),
               hue = d(-o.hue, o.hue);
  std::vector<int> order{0, 1, 2, 3};
  d.shuffle(order);
  for (int const what : order) {
    if (what == 0 && o.brightness > 0) adjust_brightness(photograph, brightness);
    if (what == 1 && o.contrast > 0) adjust_contrast(photograph, contrast);
    if (what == 2 && o.saturation > 0) adjust_saturation(photograph, saturation);
    if (what == 3 && o.hue > 0) adjust_hue(photograph, hue);
  }
}

void shift_colours(grid<std::uint8_t, 3>& photograph, dice& d, photometric_options const& o)
{
  expects(std::isfinite(o.brightness) && o.brightness >= 0, "shift_colours: brightness is ", o.brightness,
          "; expected a finite number >= 0");
  expects(o.contrast_low >= 0 && o.contrast_low <= o.contrast_high && std::isfinite(o.contrast_high),
          "shift_colours: contrast is from ", o.contrast_low, " to ", o.contrast_high);
  expects(o.hue >= 0 && o.hue <= 180, "shift_colours: hue is ", o.hue, ", outside [0,180]");
  expects(o.chance >= 0 && o.chance <= 1, "shift_colours: chance is ", o.chance, ", outside [0,1]");
  double const add = d.chance(o.chance) ? d(-o.brightness, o.brightness) : 0;
  bool const contrast_first = d.chance(0.5);
  double const factor = d.chance(o.chance) ? d(o.contrast_low, o.contrast_high) : 1;
  double const degrees = d.chance(o.chance) ? d(-o.hue, o.hue) : 0;
  if (add == 0 && factor == 1 && degrees == 0) return;
  for_each_pixel(photograph, [&](std::uint8_t* p) {
    double v[3];
    for (int c = 0; c < 3; ++c) v[c] = (p[c] + add) * (contrast_first ? factor : 1);
    if (degrees != 0) turn_hue(v, degrees);
    for (int c = 0; c < 3; ++c)
      p[c] = static_cast<std::uint8_t>(std::clamp(v[c] * (contrast_first ? 1 : factor), 0.0, 255.0));
  });
}

}  // namespace trainer
