#include "data/scenes.hpp"

#include "data/random.hpp"

#include <cambium/core/error.hpp>
#include <cambium/grid/grid.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

namespace trainer {
namespace {

using cambium::expects;
using cambium::grid;
using cambium::index_t;

constexpr int classes = 6;
constexpr double turn = 6.283185307179586;

using colour = std::array<double, 3>;  ///< [0,255] red, green, blue

colour blend(colour const& a, colour const& b, double t)
{
  return {a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])};
}

double distance(colour const& a, colour const& b) { return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]); }

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
      return value_[static_cast<std::size_t>((iy & 31) * 32 + (ix & 31))];
    };
    double const sy = fy * fy * (3 - 2 * fy), sx = fx * fx * (3 - 2 * fx);
    return (1 - sy) * ((1 - sx) * at(0, 0) + sx * at(0, 1)) + sy * ((1 - sx) * at(1, 0) + sx * at(1, 1));
  }

 private:
  double cell_;
  std::array<double, 32 * 32> value_;
};

/// Two colours of each class's face: what tells it.
constexpr std::array<std::array<colour, 2>, classes> faces{{{{{225, 40, 40}, {250, 235, 225}}},
                                                            {{{40, 70, 225}, {240, 240, 250}}},
                                                            {{{40, 175, 60}, {20, 40, 20}}},
                                                            {{{245, 205, 40}, {30, 25, 20}}},
                                                            {{{190, 50, 200}, {250, 230, 160}}},
                                                            {{{50, 205, 215}, {40, 20, 70}}}}};

/// What tells the class of an object, in the object's own coordinates: a disc around (0, at), covered from one side.
struct face {
  double at = 0.42, radius = 0.46;
  double covered = 0, from = 0;  ///< share of the diameter, direction

  [[nodiscard]] bool shows(double v, double u) const
  {
    if (!(std::hypot(v, u - at) < radius)) return false;
    return covered <= 0 || std::sin(from) * v + std::cos(from) * (u - at) < radius * (1 - 2 * covered);
  }
};

/// One object in its own coordinates: its body lies within radius 1.
struct object {
  int category = 0;  ///< from 0, or -1 for a body without a face
  int outline = 0;   ///< of three families, shared by classes
  double y = 0, x = 0, radius = 1, angle = 0, stretch = 1, phase = 0;
  colour body{}, spots{};
  int texture = 0;
  std::vector<face> parts{{}};

  [[nodiscard]] std::array<double, 2> own(double py, double px) const
  {
    double const dy = (py - y) / radius, dx = (px - x) / radius;
    return {(std::cos(angle) * dy - std::sin(angle) * dx) / stretch, std::sin(angle) * dy + std::cos(angle) * dx};
  }

  /// How far inside, about 1 in the middle and 0 on the outline.
  [[nodiscard]] double depth(double v, double u) const
  {
    double const r = std::hypot(v, u), a = std::atan2(v, u);
    switch (outline) {
      case 0:  // an egg
        return 1 - r * (1 - 0.12 * std::cos(a));
      case 1:  // a rounded box
        return 1 - std::pow(std::pow(std::abs(v), 4) + std::pow(std::abs(u), 4), 0.25) * 1.08;
      default:  // a pebble with lobes
        return 1 - r / (0.9 + 0.09 * std::sin(3 * a + phase) + 0.05 * std::sin(5 * a - phase));
    }
  }

  [[nodiscard]] colour paint(double v, double u) const
  {
    for (face const& part : parts) {
      if (category < 0 || !part.shows(v, u)) continue;
      auto const& [ground, mark] = faces[static_cast<std::size_t>(category)];
      bool marked = false;
      switch (category % 3) {
        case 0:  // rings
          marked = std::fmod(std::hypot(v, u - part.at), 0.28) > 0.15;
          break;
        case 1:  // bars
          marked = std::fmod(v + 2.1, 0.3) > 0.16;
          break;
        default:  // a cross
          marked = std::abs(v) < 0.1 || std::abs(u - part.at) < 0.1;
      }
      return marked ? mark : ground;
    }
    double t = 0;
    switch (texture) {
      case 0:
        t = std::sin(11 * u + phase) > 0.3 ? 1 : 0;
        break;
      case 1:
        t = std::hypot(std::sin(6 * v + phase), std::cos(6 * u)) < 0.5 ? 1 : 0;
        break;
      default:
        t = 0.5 + 0.5 * std::sin(4 * v + 3 * u + phase);
    }
    return blend(body, spots, 0.75 * t);
  }
};

struct stroke {
  double y, x, dy, dx, width, shade;

  [[nodiscard]] bool covers(double py, double px) const
  {
    double const along = std::clamp(((py - y) * dy + (px - x) * dx) / (dy * dy + dx * dx + 1e-9), 0.0, 1.0);
    return std::hypot(py - y - along * dy, px - x - along * dx) < width;
  }
};

colour any_colour(dice& d) { return {d(40, 225), d(40, 225), d(40, 225)}; }

/// A colour that differs from the ground's, so that the outline can be seen.
colour body_colour(dice& d, colour const& ground)
{
  colour best = any_colour(d);
  for (int tries = 0; tries < 20 && distance(best, ground) < 90; ++tries) {
    colour const other = any_colour(d);
    if (distance(other, ground) > distance(best, ground)) best = other;
  }
  return best;
}

object any_object(dice& d, scene_options const& o, colour const& ground)
{
  object out;
  double const side = static_cast<double>(std::min(o.height, o.width));
  out.category = d.below(classes);
  out.outline = out.category / 2;
  out.radius = 0.5 * side * d(o.smallest, o.largest);
  out.stretch = d(0.7, 1);
  out.y = d(0.08, 0.92) * static_cast<double>(o.height), out.x = d(0.08, 0.92) * static_cast<double>(o.width);
  out.angle = d(0, turn), out.phase = d(0, turn);
  out.body = body_colour(d, ground), out.spots = blend(out.body, any_colour(d), 0.45);
  out.texture = d.below(3);
  return out;
}

/// Another one of its class, so near that they touch.
object beside(dice& d, scene_options const& o, colour const& ground, object const& other)
{
  object out = any_object(d, o, ground);
  out.category = other.category, out.outline = other.outline;
  double const side = static_cast<double>(std::min(o.height, o.width));
  out.radius = std::clamp(other.radius * d(0.75, 1.3), 0.5 * side * o.smallest, 0.5 * side * o.largest);
  double const a = d(0, turn), apart = d(0.8, 0.95) * (out.radius + other.radius);
  out.y = other.y + std::sin(a) * apart, out.x = other.x + std::cos(a) * apart;
  if (d(0, 1) < 0.5) out.body = blend(out.body, other.body, 0.6), out.spots = blend(out.body, any_colour(d), 0.45);
  return out;
}

bool fits(object const& o, std::vector<object> const& others, index_t H, index_t W)
{
  double const margin = 0.45 * o.radius;
  if (o.y < margin || o.x < margin || o.y > static_cast<double>(H) - margin || o.x > static_cast<double>(W) - margin)
    return false;
  return std::none_of(others.begin(), others.end(),
                      [&](object const& p) { return std::hypot(p.y - o.y, p.x - o.x) < 0.72 * (p.radius + o.radius); });
}

/// The faces of an object. So many numbers are drawn for every object, whatever the options: each option changes what
/// it names and nothing else.
std::vector<face> any_faces(dice& d, scene_options const& o)
{
  bool const two = d.chance(o.second_face);
  std::vector<face> out(2);
  for (face& f : out) f.covered = o.covered * d(0, 1), f.from = d(0, turn);
  if (two)
    out[0].at = 0.54, out[0].radius = 0.36, out[1].at = -0.5, out[1].radius = 0.36;
  else
    out.resize(1);
  return out;
}

void check(scene_options const& o)
{
  expects(o.height >= 32 && o.width >= 32, "scenes: height x width is ", o.height, "x", o.width, "; at least 32x32");
  expects(o.least >= 1 && o.most >= o.least, "scenes: objects from ", o.least, " to ", o.most,
          "; expected 1 <= least <= most");
  expects(o.smallest >= 0.08 && o.smallest <= o.largest && o.largest <= 0.6, "scenes: sizes from ", o.smallest, " to ",
          o.largest, "; expected 0.08 <= smallest <= largest <= 0.6");
  expects(o.touching >= 0 && o.touching <= 1, "scenes: touching is ", o.touching, "; expected 0 to 1");
  expects(o.clutter >= 0, "scenes: clutter is ", o.clutter);
  expects(o.second_face >= 0 && o.second_face <= 1, "scenes: second_face is ", o.second_face, "; expected 0 to 1");
  expects(o.covered >= 0 && o.covered <= 0.8, "scenes: covered is ", o.covered, "; expected 0 to 0.8");
}

}  // namespace

scene_options hard_scenes(scene_options easy)
{
  easy.second_face = 0.6, easy.covered = 0.5, easy.touching = 0.5;
  return easy;
}

scene draw_scene(scene_options const& options, std::size_t index)
{
  check(options);
  dice d(seed_of(options.seed, index));
  index_t const H = options.height, W = options.width;
  double const h = static_cast<double>(H), w = static_cast<double>(W), side = std::min(h, w);

  colour const ground{d(70, 170), d(80, 170), d(60, 160)};
  std::vector<object> bodies;  // without faces, under the others
  std::vector<stroke> strokes;
  for (int i = 0; i < options.clutter; ++i)
    strokes.push_back({d(0, h), d(0, w), d(-0.4, 0.4) * h, d(-0.4, 0.4) * w, d(0.006, 0.02) * side, d(-50, 50)});
  for (int i = 0; i < options.clutter / 2; ++i) {
    object o = any_object(d, options, ground);
    o.category = -1, o.radius = side * d(0.04, 0.08);
    bodies.push_back(o);
  }
  std::vector<object> objects;
  int const wanted = options.least + d.below(options.most - options.least + 1);
  for (int tries = 0; static_cast<int>(objects.size()) < wanted && tries < 100; ++tries) {
    bool const twin = !objects.empty() && d(0, 1) < options.touching;
    object const o =
        twin ? beside(d, options, ground, objects[static_cast<std::size_t>(d.below(static_cast<int>(objects.size())))])
             : any_object(d, options, ground);
    if (fits(o, objects, H, W)) objects.push_back(o);
  }
  dice look(seed_of(options.seed, index, 2));  // its own: the objects above do not hang on it
  for (object& o : objects) o.parts = any_faces(look, options);

  noise const coarse(d, 0.3 * side), fine(d, 0.06 * side), grain(d, 1.3);
  double const light_y = d(-1, 1), light_x = d(-1, 1), bright = d(0.8, 1.15);
  scene out;
  out.photograph = grid<std::uint8_t, 3>(H, W, 3);
  grid<std::int32_t, 2> owner(H, W);
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      double const py = static_cast<double>(y), px = static_cast<double>(x);
      double const mottle = 24 * coarse(py, px) + 12 * fine(py, px);
      colour c{ground[0] + mottle, ground[1] + mottle, ground[2] + 0.7 * mottle};
      for (stroke const& s : strokes)
        if (s.covers(py, px))
          for (double& v : c) v += s.shade;
      auto const lay = [&](object const& o) {
        auto const [v, u] = o.own(py, px);
        double const depth = o.depth(v, u);
        if (depth <= 0) return false;
        double const rim = std::min(1.0, depth * o.radius / (0.022 * side)),
                     shade = (0.55 + 0.45 * rim) * (1 + 0.2 * (light_y * v + light_x * u));
        c = o.paint(v, u);
        for (double& channel : c) channel *= shade;
        return true;
      };
      for (object const& o : bodies) lay(o);
      for (std::size_t i = 0; i < objects.size(); ++i)
        if (lay(objects[i])) owner(y, x) = static_cast<std::int32_t>(i + 1);
      double const lit = bright * (1 + 0.15 * (light_y * (py / h - 0.5) + light_x * (px / w - 0.5)));
      for (index_t k = 0; k < 3; ++k)
        out.photograph(y, x, k) = static_cast<std::uint8_t>(std::clamp(
            c[static_cast<std::size_t>(k)] * lit + 8 * grain(py + 7.0 * static_cast<double>(k), px), 0.0, 255.0));
    }

  // What is visible of each object; one of which next to nothing shows is not there.
  struct seen {
    index_t area = 0, top = std::numeric_limits<index_t>::max(), left = top, bottom = 0, right = 0;
    double y = 0, x = 0;
  };
  std::vector<seen> visible(objects.size());
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x)
      if (owner(y, x) > 0) {
        seen& s = visible[static_cast<std::size_t>(owner(y, x) - 1)];
        ++s.area, s.y += static_cast<double>(y), s.x += static_cast<double>(x);
        s.top = std::min(s.top, y), s.bottom = std::max(s.bottom, y + 1);
        s.left = std::min(s.left, x), s.right = std::max(s.right, x + 1);
      }
  out.objects.label = grid<std::int32_t, 2>(H, W);
  std::vector<std::int32_t> number(objects.size() + 1);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    seen const& s = visible[i];
    if (s.area < 12) continue;
    number[i + 1] = static_cast<std::int32_t>(out.objects.found.size()) + 1;
    out.objects.found.push_back({objects[i].category, 1, s.area, {s.top, s.left, s.bottom, s.right}});
    double const cy = s.y / static_cast<double>(s.area), cx = s.x / static_cast<double>(s.area);
    double nearest = std::numeric_limits<double>::infinity();
    cambium::point middle{0, 0, objects[i].category, 1};
    for (index_t y = s.top; y < s.bottom; ++y)
      for (index_t x = s.left; x < s.right; ++x) {
        double const far = std::hypot(static_cast<double>(y) - cy, static_cast<double>(x) - cx);
        if (owner(y, x) == static_cast<std::int32_t>(i + 1) && far < nearest)
          nearest = far, middle.y = static_cast<double>(y), middle.x = static_cast<double>(x);
      }
    out.points.push_back(middle);
  }
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) out.objects.label(y, x) = number[static_cast<std::size_t>(owner(y, x))];
  return out;
}

scenes::scenes(scene_options options) : options_(options) { check(options_); }

std::vector<std::string> const& scenes::class_names() const
{
  static std::vector<std::string> const names{"robin", "jay", "mug", "lantern", "turtle", "ray"};
  return names;
}

std::string scenes::id(std::size_t i) const
{
  expects(i < size(), "scenes: scene ", i, " of ", size());
  std::string digits = std::to_string(i);
  return options_.name + "_" + std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
}

weak_image scenes::load(std::size_t i) const
{
  weak_image out;
  out.id = id(i);
  scene s = draw_scene(options_, i);
  out.photograph = std::move(s.photograph);
  std::set<std::int32_t> tags;
  for (auto const& o : s.objects.found) {
    tags.insert(o.category);
    out.boxes.push_back({o.bounds, o.category});
  }
  out.tags.assign(tags.begin(), tags.end());
  out.points = std::move(s.points);
  return out;
}

cambium::instances<> scenes::truth(std::size_t i) const
{
  expects(i < size(), "scenes: scene ", i, " of ", size());
  return draw_scene(options_, i).objects;
}

scene_options scenes_of(std::uint64_t seed, std::size_t count, cambium::index_t side, bool held_out)
{
  scene_options o;
  o.seed = seed_of(seed, held_out ? 2 : 1);
  o.name = (held_out ? "held_out_" : "train_") + std::to_string(seed) + "_" + std::to_string(side);
  o.count = count;
  o.height = o.width = side;
  return o;
}

}  // namespace trainer
