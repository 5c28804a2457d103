#pragma once
// Scenes with known masks: textured objects of four classes, touching and overlapping, on cluttered ground.

#include <cambium/grid/grid.hpp>
#include <cambium/io/png.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace demo {

using cambium::grid;
using cambium::index_t;

/// Random numbers that are the same on every machine (the standard's distributions are not).
class dice {
 public:
  explicit dice(std::uint64_t seed) : bits_(seed) {}
  double operator()(double low, double high)
  {
    return low + (high - low) * static_cast<double>(bits_() >> 11) * 0x1p-53;
  }
  int below(int n) { return static_cast<int>((*this)(0, n)); }

 private:
  std::mt19937_64 bits_;
};

/// Smooth noise in [-1,1]: random values on a lattice, interpolated.
class noise {
 public:
  noise(dice& d, double cell) : cell_(cell)
  {
    for (double& v : value_) v = d(-1, 1);
  }
  double operator()(double y, double x) const
  {
    y /= cell_, x /= cell_;
    double const fy = y - std::floor(y), fx = x - std::floor(x);
    auto const at = [&](int dy, int dx) {
      auto const iy = static_cast<std::int64_t>(std::floor(y)) + dy, ix = static_cast<std::int64_t>(std::floor(x)) + dx;
      return value_[static_cast<std::size_t>(((iy % 64 + 64) % 64) * 64 + (ix % 64 + 64) % 64)];
    };
    double const sy = fy * fy * (3 - 2 * fy), sx = fx * fx * (3 - 2 * fx);
    return (1 - sy) * ((1 - sx) * at(0, 0) + sx * at(0, 1)) + sy * ((1 - sx) * at(1, 0) + sx * at(1, 1));
  }

 private:
  double cell_;
  double value_[64 * 64];
};

/// One object: a class, a place, a size, a turn, a colour.
struct object {
  int category = 1;  ///< 1..4
  double y = 0, x = 0, size = 1, turn = 0, phase = 0;
  cambium::rgb colour;
  double part_y = 0, part_x = 0;  ///< where its telling part is, relative to the size
};

inline char const* const class_names[] = {"background", "ball", "star", "brick", "pebble"};
inline constexpr int classes = 4;

struct scene {
  std::string id;
  grid<std::uint8_t, 3> photograph;  ///< [H,W,3]
  grid<std::int32_t, 2> instance;    ///< [H,W] 0, 1..N
  grid<std::int32_t, 2> semantic;    ///< [H,W] 0, 1..classes
  std::vector<object> objects;       ///< instance i+1
};

/// Is a point, in the object's own coordinates (its radius is about 1), inside?
inline bool inside(object const& o, double y, double x)
{
  double const r = std::hypot(y, x), angle = std::atan2(y, x);
  switch (o.category) {
    case 1:
      return r < 1;
    case 2:
      return r < 0.72 + 0.28 * std::cos(5 * angle);
    case 3:
      return std::abs(y) < 0.62 && std::abs(x) < 1 &&
             std::hypot(std::max(std::abs(y) - 0.42, 0.0), std::max(std::abs(x) - 0.8, 0.0)) < 0.2;
    default:
      return r < 0.85 + 0.12 * std::sin(3 * angle + o.phase) + 0.06 * std::sin(7 * angle - o.phase);
  }
}

/// How bright an object's texture is there, around 1.
inline double texture(object const& o, double y, double x)
{
  switch (o.category) {
    case 1:
      return (std::sin(9 * y + o.phase) > 0 ? 1.12 : 0.8) * (1.05 - 0.35 * (y * y + x * x));
    case 2:
      return 0.85 + 0.3 * std::hypot(y, x) + 0.1 * std::cos(5 * std::atan2(y, x));
    case 3:
      return std::abs(std::fmod(std::abs(4 * y + (std::fmod(std::floor(4 * y), 2) == 0 ? 0 : 0.5)), 1.0) - 0.5) <
                         0.06 ||
                     std::abs(std::fmod(std::abs(3 * x + 0.5 * std::fmod(std::floor(4 * y + 40), 2.0)), 1.0) - 0.5) <
                         0.05
                 ? 0.6
                 : 1.05;
    default:
      return std::hypot(std::sin(6 * y + o.phase), std::cos(6 * x)) < 0.45 ? 0.65 : 1.0;
  }
}

/// Draws scene number `n`.
inline scene draw_scene(int n, index_t H, index_t W)
{
  dice d(1000 + static_cast<std::uint64_t>(n));
  scene s;
  s.id = "scene_" + std::string(n < 10 ? "0" : "") + std::to_string(n);
  s.photograph = grid<std::uint8_t, 3>(H, W, 3);
  s.instance = grid<std::int32_t, 2>(H, W);
  s.semantic = grid<std::int32_t, 2>(H, W);

  // Objects: some alone, some beside another of their class so that they touch.
  int const wanted = 3 + d.below(4);
  for (int tries = 0; static_cast<int>(s.objects.size()) < wanted && tries < 200; ++tries) {
    object o;
    bool const twin = !s.objects.empty() && d(0, 1) < 0.45;
    if (twin)
      o = s.objects[static_cast<std::size_t>(d.below(static_cast<int>(s.objects.size())))];
    else
      o.category = 1 + d.below(classes);
    double const scale = static_cast<double>(std::min(H, W));
    double const before = o.size;
    o.size = twin ? before * d(0.85, 1.15) : scale * d(0.11, 0.22);
    double const angle = d(0, 6.28);
    o.y = twin ? o.y + std::sin(angle) * 0.93 * (o.size + before) : d(0.1, 0.9) * static_cast<double>(H);
    o.x = twin ? o.x + std::cos(angle) * 0.93 * (o.size + before) : d(0.1, 0.9) * static_cast<double>(W);
    o.turn = d(0, 6.28), o.phase = d(0, 6.28);
    o.part_y = d(-0.4, 0.4), o.part_x = d(-0.4, 0.4);
    double const tint = d(0.55, 1);
    unsigned const hue[5][3] = {{0, 0, 0}, {215, 80, 60}, {235, 190, 70}, {170, 110, 90}, {110, 150, 170}};
    auto const mix = [&](unsigned v) {
      return static_cast<std::uint8_t>(std::clamp(v * tint + d(-18, 18), 0.0, 255.0));
    };
    o.colour = {mix(hue[o.category][0]), mix(hue[o.category][1]), mix(hue[o.category][2])};
    bool const on_screen = o.y > 0.3 * o.size && o.x > 0.3 * o.size && o.y < static_cast<double>(H) - 0.3 * o.size &&
                           o.x < static_cast<double>(W) - 0.3 * o.size;
    bool buried = false;  // no object hides most of another
    for (object const& p : s.objects) buried = buried || std::hypot(p.y - o.y, p.x - o.x) < 0.75 * (p.size + o.size);
    if (on_screen && !buried) s.objects.push_back(o);
  }

  // Ground, clutter, objects, light.
  noise const coarse(d, 60), fine(d, 9), grain(d, 1.3);
  double const ground[3] = {d(90, 150), d(110, 150), d(80, 140)};
  struct stroke {
    double y, x, dy, dx, width, shade;
  };
  std::vector<stroke> clutter;
  for (int i = 0; i < 14; ++i)
    clutter.push_back(
        {d(0, static_cast<double>(H)), d(0, static_cast<double>(W)), d(-60, 60), d(-60, 60), d(1, 3.5), d(-45, 45)});
  double const light_y = d(-1, 1), light_x = d(-1, 1);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const py = static_cast<double>(y), px = static_cast<double>(x);
      double const mottle = 22 * coarse(py, px) + 10 * fine(py, px);
      double colour[3] = {ground[0] + mottle, ground[1] + mottle, ground[2] + 0.7 * mottle};
      for (stroke const& c : clutter) {
        double const along =
            std::clamp(((py - c.y) * c.dy + (px - c.x) * c.dx) / (c.dy * c.dy + c.dx * c.dx), 0.0, 1.0);
        if (std::hypot(py - c.y - along * c.dy, px - c.x - along * c.dx) < c.width)
          for (double& v : colour) v += c.shade;
      }
      for (std::size_t i = 0; i < s.objects.size(); ++i) {
        object const& o = s.objects[i];
        double const dy = (py - o.y) / o.size, dx = (px - o.x) / o.size;
        double const v = std::cos(o.turn) * dy - std::sin(o.turn) * dx,
                     u = std::sin(o.turn) * dy + std::cos(o.turn) * dx;
        if (!inside(o, v, u)) continue;
        double const shade = texture(o, v, u) * (1 + 0.15 * (light_y * dy + light_x * dx));
        colour[0] = o.colour.red * shade, colour[1] = o.colour.green * shade, colour[2] = o.colour.blue * shade;
        s.instance(y, x) = static_cast<std::int32_t>(i + 1);
        s.semantic(y, x) = o.category;
      }
      double const lit =
          1 + 0.12 * (light_y * (py / static_cast<double>(H) - 0.5) + light_x * (px / static_cast<double>(W) - 0.5));
      for (index_t c = 0; c < 3; ++c)
        s.photograph(y, x, c) = static_cast<std::uint8_t>(
            std::clamp(colour[c] * lit + 7 * grain(py + 3.0 * static_cast<double>(c), px), 0.0, 255.0));
    }
  return s;
}

}  // namespace demo
