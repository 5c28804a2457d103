#pragma once

#include <cambium/component/connected.hpp>
#include <cambium/component/geodesic.hpp>
#include <cambium/component/geodesic_costs.hpp>
#include <cambium/core/error.hpp>
#include <cambium/core/label.hpp>
#include <cambium/grid/grid.hpp>
#include <cambium/grid/instance.hpp>
#include <cambium/grid/points.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace cambium {

/// What is one object.
enum class scribbled_object {
  stroke,  ///< each stroke, that is each 8-connected component of one class, and each point
  class_,  ///< all marks of a class together
};

/// What becomes of a cell that no mark reaches.
enum class unreached_cell { undecided, background };

struct scribble_options {
  geodesic_cost_options cost{};
  double limit = std::numeric_limits<double>::infinity();  ///< [cost] of the longest path; > 0
  unreached_cell unreached = unreached_cell::undecided;    ///< cells beyond the limit
  bool frame = false;     ///< unmarked cells of the outermost rows and columns count as marked background
  double confidence = 0;  ///< [0,1] cells with a lower confidence are undecided
  scribbled_object objects = scribbled_object::stroke;
};

/// The marks of one image. Either kind may be missing: a null view, no point.
template <class T = float>
struct scribble_input {
  stack_view<std::uint8_t const> image{};      ///< [H,W,B], or null
  image_view<T const> boundary{};              ///< [H,W] in [0,1], or null
  image_view<std::int32_t const> scribbles{};  ///< [H,W] 255 unmarked, 0 background, 1..254 class; or null
  points const* clicks = nullptr;              ///< each on an object of its class; rounded to the nearest cell
};

/// What scribble_labels returns.
template <class T = float>
struct scribble_labels_of {
  grid<std::int32_t, 2> semantic;  ///< [H,W] 0, class, 255 undecided
  instances<> objects;             ///< categories are class - 1, the score is the mean confidence
  grid<T, 2> confidence;           ///< [H,W] in [0,1], of geodesic
};

/// The numbers of marks: 0 none, 1 background, then the objects.
struct numbered_marks {
  grid<std::int32_t, 2> seeds;        ///< [H,W]
  std::vector<std::int32_t> classes;  ///< of each number; [0] and [1] are 0
};

/// Number the marks of an image: strokes in raster order, then points. As scribble_labels.
template <class T>
numbered_marks number_marks(cpu const& where, scribble_input<T> const& in, extent2 size,
                            scribble_options const& options)
{
  auto const [H, W] = size;
  bool const whole_classes = options.objects == scribbled_object::class_;
  numbered_marks out{grid<std::int32_t, 2>(H, W), {0, 0}};
  std::vector<std::int32_t> number_of_class(label::ignore, 0);
  auto const object_of = [&](std::int32_t of_class) {
    std::int32_t& known = number_of_class[static_cast<std::size_t>(of_class)];
    if (known == 0 || !whole_classes) {
      known = static_cast<std::int32_t>(out.classes.size());
      out.classes.push_back(of_class);
    }
    return known;
  };
  if (in.scribbles.data != nullptr) {
    auto const strokes = connected_equal(where, in.scribbles, c8, label::ignore);
    std::vector<std::int32_t> number(static_cast<std::size_t>(strokes.count + 1), 0);
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; ++x) {
        std::int32_t const of_class = in.scribbles(y, x);
        if (of_class == label::ignore) continue;
        std::int32_t& n = number[static_cast<std::size_t>(strokes.label(y, x))];
        if (n == 0) n = of_class == label::background ? 1 : object_of(of_class);
        out.seeds(y, x) = n;
      }
  }
  for (std::size_t i = 0; in.clicks != nullptr && i < in.clicks->size(); ++i) {
    point const& p = (*in.clicks)[i];
    auto const [y, x] = cell_of(p, size);
    std::int32_t& cell = out.seeds(y, x);
    if (cell == 0)
      cell = object_of(p.category + 1);
    else
      expects(out.classes[static_cast<std::size_t>(cell)] == p.category + 1, "scribble_labels: point ", i, " at (", y,
              ",", x, ") is of class ", p.category + 1, ", but the cell is marked as ",
              out.classes[static_cast<std::size_t>(cell)]);
  }
  if (options.frame)
    for (index_t y = 0; y < H; ++y)
      for (index_t x = 0; x < W; x += y == 0 || y + 1 == H ? 1 : std::max<index_t>(1, W - 1))
        if (out.seeds(y, x) == 0) out.seeds(y, x) = 1;
  return out;
}

/// Turn scribbles and points into semantic and instance labels: every cell takes the label of the mark with the cheapest
/// path over image and boundary.
///
/// @param where    where to run
/// @param in       image, boundary and marks of one image
/// @param options  costs, limits, what an object is
///
/// @pre          image, boundary or both; scribbles, points or both; all of one size
/// @throws       precondition_error: different sizes; a scribble outside 0..255; a point outside the image or of a class
///               outside 0..253; a point on a mark of another class; no mark at all; options out of range
/// @invariant    a marked cell has the label of its mark
/// @complexity   two calls of geodesic, on one thread except for the costs
/// @determinism  exact for any number of threads
/// @source       scribbles as in ScribbleSup (Lin et al., CVPR 2016): PNG, 255 unmarked. Propagation by geodesic distance
///               as in GeoS (Criminisi et al., ECCV 2008)
template <class T>
[[nodiscard]] scribble_labels_of<T> scribble_labels(cpu const& where, scribble_input<T> const& in,
                                                    scribble_options const& options = {})
{
  expects(in.image.data != nullptr || in.boundary.data != nullptr, "scribble_labels: neither an image nor a boundary");
  index_t const H = in.image.data != nullptr ? in.image.extent[0] : in.boundary.extent[0];
  index_t const W = in.image.data != nullptr ? in.image.extent[1] : in.boundary.extent[1];
  auto const size = [&, H = H, W = W](auto const& v, char const* what) {
    expects(v.data == nullptr || (v.extent[0] == H && v.extent[1] == W), "scribble_labels: ", what, " is ", v,
            " but the image is ", H, " x ", W);
  };
  size(in.boundary, "boundary"), size(in.scribbles, "scribbles");
  expects(options.limit > 0, "scribble_labels: limit is ", options.limit, "; expected a number > 0");
  expects(options.confidence >= 0 && options.confidence <= 1, "scribble_labels: confidence is ", options.confidence,
          "; expected a value in [0,1]");
  if (in.scribbles.data != nullptr) expects_labels(in.scribbles, 255, "scribble_labels: scribbles");
  for (std::size_t i = 0; in.clicks != nullptr && i < in.clicks->size(); ++i) {
    point const& p = (*in.clicks)[i];
    expects(p.y >= -0.5 && p.y + 0.5 < static_cast<double>(H) && p.x >= -0.5 && p.x + 0.5 < static_cast<double>(W),
            "scribble_labels: point ", i, " is at (", p.y, ",", p.x, "), outside the image of ", H, " x ", W);
    expects(0 <= p.category && p.category < 254, "scribble_labels: point ", i, " is of class ", p.category,
            ", outside 0..253");
  }
  auto const marks = number_marks(where, in, {H, W}, options);
  expects(std::any_of(marks.seeds.cells().begin(), marks.seeds.cells().end(), [](auto v) { return v != 0; }),
          "scribble_labels: no cell is marked");
  auto const costs = geodesic_costs<T>(where, in.image, in.boundary, c8, options.cost);
  auto found = geodesic(where, costs, marks.seeds, {.limit = options.limit});

  scribble_labels_of<T> out{
      make_grid<std::int32_t>({H, W}), {make_grid<std::int32_t>({H, W}), {}}, std::move(found.confidence)};
  auto const objects = static_cast<std::int32_t>(marks.classes.size()) - 2;
  for (std::int32_t i = 0; i < objects; ++i)
    out.objects.found.push_back({marks.classes[static_cast<std::size_t>(i + 2)] - 1, 0, 0, {H, W, 0, 0}});
  for (index_t y = 0; y < H; ++y)
    for (index_t x = 0; x < W; ++x) {
      std::int32_t const number = found.label(y, x);
      double const sure = static_cast<double>(out.confidence(y, x));
      bool const decided = number != 0 && (sure >= options.confidence || marks.seeds(y, x) != 0);
      bool const outside = number == 0 && options.unreached == unreached_cell::background;
      out.semantic(y, x) = decided   ? marks.classes[static_cast<std::size_t>(number)]
                           : outside ? label::background
                                     : label::ignore;
      out.objects.label(y, x) = decided && number > 1 ? number - 1 : 0;
      if (!decided || number < 2) continue;
      instance& o = out.objects.found[static_cast<std::size_t>(number - 2)];
      ++o.area, o.score += sure;
      o.bounds = {std::min(o.bounds.top, y), std::min(o.bounds.left, x), y + 1, std::max(o.bounds.right, x + 1)};
    }
  for (instance& o : out.objects.found) o.score /= static_cast<double>(o.area);  // a marked cell at least
  return out;
}

}  // namespace cambium
